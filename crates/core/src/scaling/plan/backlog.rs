//! Growing further or sooner than the load alone asks for: if records wait longer than the
//! objective and more consumers would soon read them, and if a backlog that is left to build could
//! not be worked off by any size.

use crate::scaling::measure::estimate::Estimate;
use crate::scaling::measure::placement::Spread;
use crate::scaling::plan::delay_target::DelayTarget;
use crate::scaling::plan::size_input::SizeInput;
use crate::scaling::tuning::Tuning;

/// The delay target, after weighing late records against the cost of more replicas.
pub(in crate::scaling) fn sooner(mut target: DelayTarget, input: &SizeInput<'_>) -> DelayTarget {
    let SizeInput {
        estimate,
        model,
        sizes,
        replicas,
        objective,
        tuning,
        ..
    } = *input;
    let backlog = &tuning.backlog;
    if !backlog.enabled {
        return target;
    }
    let builds_least = backlog.builds_least.as_secs_f64();
    // If hardly any records arrive, consumers that are behind work at their capacity.
    let is_rest =
        estimate.arrivals() <= backlog.rest * estimate.consumed && target.delay > builds_least;
    let measured = model.capacity().filter(|_| model.is_measured());
    let Some(capacity) = measured.or(target.capacity.filter(|_| is_rest)) else {
        return target;
    };
    if estimate.is_outage || !estimate.is_known {
        return target;
    }
    let drain = Drain::new(estimate, capacity, tuning);
    if target.predicted > objective {
        let least = target.size.max(replicas);
        let cost = |size: i32| {
            let (starts, drains) = drain.times(size, replicas);
            let late = if is_rest {
                // The whole backlog ages until its last record is read.
                (target.delay + starts + drains - objective).max(0.0)
            } else {
                drains * (1.0 - objective / target.predicted).max(0.0)
            };
            let kept = (starts + drains).max(backlog.kept.as_secs_f64());
            f64::from(size) * kept + backlog.late.0 * late
        };
        let larger = sizes.iter().copied().filter(|size| *size > least);
        let best = std::iter::once(least)
            .chain(larger)
            .min_by(|a, b| cost(*a).total_cmp(&cost(*b)));
        if let Some(best) = best.filter(|best| *best > target.size && *best > replicas) {
            target.size = best;
            target.unlimited = target.unlimited.max(best);
            target.is_up = true;
        }
    }
    if !target.is_up
        && target.size > replicas
        && target.delay > builds_least.max(backlog.builds * objective)
        && drain.is_tight(sizes, replicas, objective)
    {
        target.is_up = true;
    }
    target
}

/// The smallest of `sizes`, from `replicas` on, at which the busiest consumer finishes its backlog
/// about as soon as at `most`: a larger size shortens no backlog. `capacity`: if it is measured.
pub(in crate::scaling) fn enough_for_backlog(
    estimate: &Estimate,
    capacity: Option<f64>,
    sizes: &[i32],
    replicas: i32,
    most: i32,
    tuning: &Tuning,
) -> i32 {
    // In an outage it is unknown how the backlog is shared among the consumers.
    if estimate.is_outage {
        return most;
    }
    let drain = Drain::new(estimate, capacity.unwrap_or(1.0), tuning);
    let work = |size: i32| match capacity {
        Some(_) => drain.work(size),
        None => drain.max_load(&drain.work_of_a_while(), size),
    };
    let least = work(most);
    let later = if capacity.is_some() {
        tuning.polls.interval.as_secs_f64()
    } else {
        0.0
    };
    let enough = (tuning.backlog.hardly_more * least).max(least + later);
    let between = sizes.iter().copied();
    std::iter::once(replicas)
        .chain(between.filter(|size| (replicas..most).contains(size)))
        .find(|size| work(*size) <= enough)
        .unwrap_or(most)
}

/// The time in which backlogs are worked off at each size.
struct Drain<'a> {
    estimate: &'a Estimate,
    capacity: f64,
    backlog: Vec<f64>,
    arrivals: Vec<f64>,
    tuning: &'a Tuning,
}

impl<'a> Drain<'a> {
    fn new(estimate: &'a Estimate, capacity: f64, tuning: &'a Tuning) -> Self {
        Self {
            estimate,
            capacity,
            backlog: estimate.weights(|live| live.lag),
            arrivals: estimate.weights(|live| live.expected),
            tuning,
        }
    }

    fn max_load(&self, weights: &[f64], size: i32) -> f64 {
        Spread::new(self.estimate.skew(), weights).max_load(&self.estimate.placement, size)
    }

    /// Seconds until the busiest consumer has worked off its backlog, at most an hour.
    fn seconds(&self, size: i32) -> f64 {
        let spare = self.capacity - self.max_load(&self.arrivals, size);
        let backlog = self.max_load(&self.backlog, size);
        if backlog <= 0.0 {
            return 0.0;
        }
        let most = self.tuning.backlog.drain_most.as_secs_f64();
        (backlog / spare.max(1e-9)).min(most)
    }

    /// The same, to compare sizes even if none of them carries the load: the more capacity is
    /// missing, the higher the value.
    fn work(&self, size: i32) -> f64 {
        let spare = self.capacity - self.max_load(&self.arrivals, size);
        let backlog = self.max_load(&self.backlog, size);
        let never = self.tuning.backlog.never.as_secs_f64();
        if spare > 0.0 {
            (backlog / spare).min(never)
        } else {
            never * (1.0 - spare / self.capacity)
        }
    }

    /// The records to read within the time in which a backlog is to be worked off.
    fn work_of_a_while(&self) -> Vec<f64> {
        let each = self.backlog.iter().zip(&self.arrivals);
        let drain = self.tuning.growth.drain.as_secs_f64();
        each.map(|(backlog, arrivals)| backlog + drain * arrivals)
            .collect()
    }

    /// Seconds until a size takes effect, and from then on until the backlog is worked off.
    fn times(&self, size: i32, replicas: i32) -> (f64, f64) {
        let starts = if size > replicas {
            self.tuning.growth.horizon.as_secs_f64()
        } else {
            0.0
        };
        (starts, self.seconds(size))
    }

    /// Whether the load exceeds the capacity of the present size, and the backlog that would build
    /// until the objective is reached could not be worked off in time by the largest size.
    fn is_tight(&self, sizes: &[i32], replicas: i32, objective: f64) -> bool {
        let Some(most) = sizes.last().filter(|most| **most > replicas) else {
            return false;
        };
        let load = self.max_load(&self.arrivals, *most);
        let spare = self.capacity - load;
        let growth = &self.tuning.growth;
        let built = growth.line * objective * load;
        let drain = growth.drain.as_secs_f64();
        self.max_load(&self.arrivals, replicas) > self.capacity && spare * drain < built
    }
}
