//! Plans by dynamic programming. Time is cut into segments with one size each. The group is one
//! queue whose capacity is set by the busiest consumer. A change of the size costs a pause, the
//! starting pods, and the weight of a rescale. Of the states of each size, only those are kept that
//! no other state beats in both backlog and cost.

use std::collections::BTreeMap;

use super::future::{Future, STEP, at, mean_start};
use super::pauses::Pauses;
use crate::simulate::number::{count, floor, nearest, place, real};
use crate::simulate::plant::{LATE_WEIGHS, RESCALE_WEIGHS};

/// The states of a size are thinned out if there are more than this.
const KEPT: usize = 25;
/// Loads up to this length, in hours, use short segments.
const SHORT: i64 = 12;
/// Seconds of a segment for a short load, and for a longer one.
const SEGMENT: (i64, i64) = (120, 300);
/// Seconds, in addition to the start of a pod, by which a plan scales up early.
const EARLY: i64 = 8;

/// State of a plan at the end of a segment.
#[derive(Debug, Clone, Copy)]
struct State {
    backlog: f64,
    cost: f64,
    /// The last choice that led here.
    choice: Option<usize>,
}

/// The choice before, and the size for one segment.
type Choice = (Option<usize>, i32);

/// States by their size.
type Front = BTreeMap<i32, Vec<State>>;

/// Makes a plan that uses a share of the consumers' capacity and keeps a share of the objective.
/// Returns times and the replicas from each on.
pub(super) fn plan(future: &Future<'_>, counted_on: f64, kept_to: f64) -> Vec<(i64, i32)> {
    let simulation = future.simulation;
    let begin = simulation.parameters.consumers_from_seconds;
    let is_short = simulation.load.length <= SHORT * 3600;
    let mut planner = Planner {
        future,
        pauses: Pauses::new(simulation.parameters, simulation.threads),
        owners: future
            .sizes
            .iter()
            .map(|n| (*n, future.owners(*n)))
            .collect(),
        counted_on,
        late_after: floor((real(simulation.objective) * kept_to - 0.5 * real(STEP)) / real(STEP)),
        segment: if is_short { SEGMENT.0 } else { SEGMENT.1 },
        choices: Vec::new(),
    };
    let distance = |n: &&i32| (**n - simulation.replicas).abs();
    let Some(first) = future.sizes.iter().min_by_key(distance).copied() else {
        return Vec::new();
    };
    let state = State {
        backlog: at(&future.total, place(begin / STEP)),
        cost: 0.0,
        choice: None,
    };
    let mut front = Front::from([(first, vec![state])]);
    for segment in 0..(simulation.load.length - begin) / planner.segment {
        front = planner.go_on(&front, begin + segment * planner.segment);
    }
    planner.steps(first, &planner.chosen(&front))
}

struct Planner<'a> {
    future: &'a Future<'a>,
    pauses: Pauses<'a>,
    owners: BTreeMap<i32, Vec<usize>>,
    counted_on: f64,
    /// Records that arrived more steps ago are late.
    late_after: i64,
    /// Seconds of a segment.
    segment: i64,
    choices: Vec<Choice>,
}

impl Planner<'_> {
    /// Advances from the states at the start of a segment to those at its end.
    fn go_on(&mut self, front: &Front, t: i64) -> Front {
        let p = self.future.simulation.parameters;
        let (from, steps) = (place(t / STEP), place(self.segment / STEP));
        let loads = self.future.loads(from, from + steps);
        // Backlogs that differ by less than this are treated as equal.
        let grain = (at(&self.future.total, usize::MAX) / real(self.future.simulation.load.length)
            * 4.0)
            .max(1.0);
        let mut next = Front::new();
        for (size, owners) in &self.owners {
            let able = self
                .future
                .capacity(*size, owners, &loads, t, self.counted_on);
            let able = able * real(STEP);
            let mut reached: BTreeMap<i64, State> = BTreeMap::new();
            for (before, states) in front {
                let mut base = f64::from(*size) * real(self.segment);
                let mut pause = 0.0;
                if size != before {
                    pause = self.pauses.of(*before, *size);
                    base += RESCALE_WEIGHS + f64::from((size - before).max(0)) * mean_start(p);
                }
                for state in states {
                    let (backlog, late) = self.pass(from, steps, state.backlog, able, pause);
                    let reaches = State {
                        backlog,
                        cost: state.cost + base + LATE_WEIGHS * late,
                        choice: state.choice,
                    };
                    let grains = nearest(backlog / grain);
                    let best = reached.entry(grains).or_insert(reaches);
                    if reaches.cost < best.cost {
                        *best = reaches;
                    }
                }
            }
            next.insert(*size, thinned(reached));
        }
        self.prune(&mut next);
        for (size, states) in &mut next {
            for state in states {
                self.choices.push((state.choice, *size));
                state.choice = Some(self.choices.len() - 1);
            }
        }
        next
    }

    /// Simulates one segment. Returns the backlog after it and its late seconds.
    fn pass(
        &self,
        from: usize,
        steps: usize,
        mut backlog: f64,
        able: f64,
        mut pause: f64,
    ) -> (f64, f64) {
        let total = &self.future.total;
        let mut late = 0.0;
        for step in from..from + steps {
            let now = at(total, step + 1);
            let stopped = (pause / real(STEP)).min(1.0);
            pause -= stopped * real(STEP);
            backlog = (backlog + now - at(total, step) - able * (1.0 - stopped)).max(0.0);
            // A backlog is late if it arrived more than `late_after` steps ago.
            let since = i64::try_from(step).unwrap_or(i64::MAX) - self.late_after;
            if since >= 0 && backlog > now - at(total, place(since)) {
                late += real(STEP);
            }
        }
        (backlog, late)
    }

    /// Removes states that are too far behind the best to catch up.
    fn prune(&self, front: &mut Front) {
        let least = front
            .values()
            .flatten()
            .map(|s| s.cost)
            .fold(f64::INFINITY, f64::min);
        let largest = f64::from(self.future.sizes.last().copied().unwrap_or(1));
        let most = least + 400.0 * largest + 15.0 * real(self.segment) * LATE_WEIGHS;
        for states in front.values_mut() {
            states.retain(|state| state.cost < most);
        }
        front.retain(|_, states| !states.is_empty());
    }

    /// The sizes of the cheapest plan, segment by segment.
    fn chosen(&self, front: &Front) -> Vec<i32> {
        let rate = self.future.simulation.parameters.consumer_rate;
        let largest = f64::from(self.future.sizes.last().copied().unwrap_or(1));
        let whole = |s: &State| s.cost + s.backlog / rate * (1.0 + LATE_WEIGHS / largest);
        let cheapest = front.values().flatten();
        let cheapest = cheapest.min_by(|a, b| whole(a).total_cmp(&whole(b)));
        let mut last = cheapest.and_then(|state| state.choice);
        let mut sizes = Vec::new();
        while let Some((before, size)) = last.and_then(|place| self.choices.get(place)) {
            sizes.push(*size);
            last = *before;
        }
        sizes.reverse();
        sizes
    }

    /// The times of the writes: a scale-up is written early enough for the pods to be ready in
    /// time.
    fn steps(&self, first: i32, sizes: &[i32]) -> Vec<(i64, i32)> {
        let simulation = self.future.simulation;
        let p = simulation.parameters;
        let begin = p.consumers_from_seconds;
        let (_, mode, most) = p.start_seconds;
        let lead = floor(mode + 0.6 * (most - mode)) + EARLY;
        let mut steps = vec![(begin, simulation.replicas)];
        let mut current = first;
        for (segment, size) in (0_i64..).zip(sizes) {
            if *size == current {
                continue;
            }
            let mut t = begin + segment * self.segment;
            if *size > current {
                let has_room = |most: usize| usize::try_from(*size).is_ok_and(|n| n <= most);
                let waits = p.new_node_above.is_some_and(|most| !has_room(most));
                let node = if waits { p.new_node_seconds } else { 0 };
                t = (t - lead - node).max(begin);
            }
            steps.push((t, *size));
            current = *size;
        }
        steps.sort_by_key(|(t, _)| *t);
        steps
    }
}

/// States that no state with less backlog beats in cost, thinned out if there are more than `KEPT`.
fn thinned(reached: BTreeMap<i64, State>) -> Vec<State> {
    let mut least = f64::INFINITY;
    let mut kept: Vec<State> = Vec::new();
    for state in reached.into_values() {
        if state.cost < least - 1e-9 {
            least = state.cost;
            kept.push(state);
        }
    }
    if kept.len() <= KEPT {
        return kept;
    }
    let last = kept.last().copied();
    let every = (count(kept.len()) / count(KEPT)).floor();
    let some = kept.into_iter().step_by(place(floor(every)).max(1));
    some.chain(last).collect()
}
