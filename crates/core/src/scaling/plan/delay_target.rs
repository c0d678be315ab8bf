//! When a group has to grow, and to what size: the delay predicted for the time at which an action
//! could take effect, including the stall of the action itself, against the objective.

use jiff::Timestamp;

use crate::scaling::measure::estimate::{Estimate, Live};
use crate::scaling::measure::placement::Spread;
use crate::scaling::plan::rebalance_cost::stall;
use crate::scaling::plan::size_input::SizeInput;
use crate::scaling::state::memory::LastAction;
use crate::scaling::tuning::Tuning;
use crate::scaling::tuning::unit::Share;

/// The demand of the time objective.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::scaling) struct DelayTarget {
    /// The size that carries the load; if none does, the largest that still helps.
    pub(in crate::scaling) size: i32,
    /// Replicas that the load needs without the partition limit; while the capacity is unknown, the
    /// size.
    pub(in crate::scaling) unlimited: i32,
    /// Seconds of delay now, over all partitions that replicas can help.
    pub(in crate::scaling) delay: f64,
    /// Seconds of delay at the time when an action could take effect.
    pub(in crate::scaling) predicted: f64,
    /// Seconds that the action itself would add.
    pub(in crate::scaling) stall: f64,
    /// Whether to grow: the size is larger, and waiting would break the objective.
    pub(in crate::scaling) is_up: bool,
    /// The present size would be enough if partitions were handed out in turn.
    pub(in crate::scaling) is_skewed: bool,
    /// Every partition has been unknown for too long.
    pub(in crate::scaling) is_stale: bool,
    /// Expected arrivals, records per second.
    pub(in crate::scaling) arrivals: f64,
    /// Records per second of one consumer that the size was computed with.
    pub(in crate::scaling) capacity: Option<f64>,
}

/// The target under the time objective.
pub(in crate::scaling) fn target(input: &SizeInput<'_>) -> DelayTarget {
    let SizeInput {
        estimate,
        model,
        last,
        sizes,
        replicas,
        objective,
        now,
        tuning,
        ..
    } = *input;
    let growth = &tuning.growth;
    let known = model.capacity();
    // If commits are rare, a lower bound shows nothing about what a consumer cannot do.
    let accepted = known.filter(|_| model.is_sampled() || !estimate.busy.commits_rarely);
    let rate = ConsumerRate {
        capacity: accepted,
        lower_bound: seen_before(input),
    };
    let predicted = predict(input, rate, |live| live.expected);
    let surging = predict(input, rate, |live| live.surging);
    let active = match estimate.busy.active {
        0 => replicas.saturating_mul(estimate.placement.threads),
        active => active,
    };
    let seen = estimate.consumed / f64::from(active.max(1));
    let capacity =
        known.or((estimate.consumed > 0.0).then(|| seen.max(model.lower_bound(now, tuning))));
    let mut target = DelayTarget {
        size: replicas,
        unlimited: replicas,
        delay: estimate.delay,
        predicted,
        stall: 0.0,
        is_up: false,
        is_skewed: false,
        is_stale: !estimate.is_known,
        arrivals: estimate.arrivals(),
        capacity,
    };
    let Some(capacity) = capacity else {
        return target;
    };
    let limit = growth.utilisation * capacity;
    let weights = estimate.weights(|live| weight(live, tuning));
    let skew = estimate.skew();
    let size = |skew| carrying(input, (&weights, skew), limit);
    target.size = size(skew);
    target.is_skewed = target.size > replicas && skew > 1.0 && size(1.0) <= replicas;
    target.unlimited = target.size.max(unlimited(estimate, capacity, tuning));
    if known.is_none() {
        // The rate of consumers that keep up does not show how many the load needs.
        let most = sizes.last().copied().unwrap_or(replicas);
        let aligned = |from| sizes.iter().copied().find(|size| *size >= from);
        let undone = before_probe(last, now, tuning).map(|from| aligned(from).unwrap_or(most));
        target.size = match undone.filter(|from| *from > replicas) {
            Some(from) => from,
            None => target.size.max(grown(sizes, replicas, tuning)),
        };
        target.unlimited = target.size;
    }
    let joiners = (target.size - replicas).saturating_mul(estimate.placement.threads);
    let stall = stall(estimate.rebalance, joiners, tuning) + model.excess(tuning);
    target.stall = stall.min(tuning.stall.share * objective);
    let breaks = |predicted: f64, line: Share| predicted + target.stall > line * objective;
    target.is_up = target.size > replicas
        && estimate.is_known
        && (breaks(predicted, growth.line) || breaks(surging, growth.surge_line));
    target
}

/// Replicas that the load needs, without the partition limit.
pub(in crate::scaling) fn unlimited(estimate: &Estimate, capacity: f64, tuning: &Tuning) -> i32 {
    let weights = estimate.live.iter().map(|live| weight(live, tuning));
    let load: f64 = weights.sum();
    let own = load / (tuning.growth.utilisation * capacity) - f64::from(estimate.placement.foreign);
    whole(own / f64::from(estimate.placement.threads))
}

/// Arrivals, and the share of the backlog to be worked off per second.
fn weight(live: &Live, tuning: &Tuning) -> f64 {
    live.surging + live.lag / tuning.growth.drain.as_secs_f64()
}

/// The smallest size that carries the weights. If none does, the last one at which growing still
/// paid: no idle replicas are added for a hot partition.
fn carrying(input: &SizeInput<'_>, (weights, skew): (&[f64], f64), limit: f64) -> i32 {
    let SizeInput {
        estimate, sizes, ..
    } = *input;
    let growth = &input.tuning.growth;
    let placement = &estimate.placement;
    let mut best: Option<(i32, f64)> = None;
    let spread = Spread::new(skew, weights);
    for size in sizes {
        let load = spread.max_load(placement, *size);
        if load <= limit * 1.0001 {
            return *size;
        }
        let pays = best.is_none_or(|(smaller, more)| {
            (more / load).ln() / (f64::from(*size) / f64::from(smaller)).ln() >= growth.elasticity.0
        });
        if pays {
            best = Some((*size, load));
        }
    }
    let Some((best, _)) = best else {
        return sizes.last().copied().unwrap_or(1);
    };
    let late = growth.late_share * input.objective;
    let is_late = |(live, weight): (&Live, &f64)| live.delay > late && *weight <= limit;
    if !estimate.live.iter().zip(weights).any(is_late) {
        return best;
    }
    let freed = sizes
        .iter()
        .find(|size| placement.max_load_beside(**size, weights, limit) <= limit);
    freed.map_or(best, |freed| best.max(*freed))
}

/// The rate of one consumer, in records per second.
#[derive(Clone, Copy)]
struct ConsumerRate {
    capacity: Option<f64>,
    /// The lower bound from before the last action, used while the rebalance reduces the present
    /// rate.
    lower_bound: f64,
}

fn seen_before(input: &SizeInput<'_>) -> f64 {
    let (now, tuning) = (input.now, input.tuning);
    let rebalanced_for = tuning.growth.rebalanced_for.as_secs();
    let lasts = |last: LastAction| now.duration_since(last.time).as_secs() < rebalanced_for;
    if input.last.is_some_and(lasts) {
        input.model.lower_bound(now, tuning)
    } else {
        0.0
    }
}

/// The size before a scale-down that may have been a probe.
fn before_probe(last: Option<LastAction>, now: Timestamp, tuning: &Tuning) -> Option<i32> {
    let last = last?;
    let recent = now.duration_since(last.time).as_secs() < tuning.growth.undone_within.as_secs();
    (last.from > last.to && recent).then_some(last.from)
}

/// The first size that is larger by at least a half; the largest, if none is.
fn grown(sizes: &[i32], replicas: i32, tuning: &Tuning) -> i32 {
    let enough = tuning.growth.unknown * f64::from(replicas.max(1));
    let first = sizes.iter().find(|size| f64::from(**size) >= enough);
    first.or(sizes.last()).copied().unwrap_or(replicas)
}

/// The worst delay at the horizon with the present replicas, if `arrivals` arrive at each
/// partition. Consumers with a single partition are left out: more replicas cannot help them.
fn predict(input: &SizeInput<'_>, rate: ConsumerRate, arrivals: impl Fn(&Live) -> f64) -> f64 {
    #[derive(Default, Clone, Copy)]
    struct Consumer {
        expected: f64,
        consumed: f64,
        lag: f64,
        delay: f64,
        partitions: u32,
    }
    let (estimate, tuning) = (input.estimate, input.tuning);
    let growth = &tuning.growth;
    let horizon = growth.horizon.as_secs_f64();
    let members = estimate.busy.saturated.len();
    let mut consumers = vec![Consumer::default(); members + 1];
    for live in &estimate.live {
        // The last place is for partitions without an owner.
        let place = live.owner.map_or(members, |owner| owner.min(members));
        if let Some(consumer) = consumers.get_mut(place) {
            consumer.expected += arrivals(live);
            consumer.consumed += live.consumed;
            consumer.lag += live.lag;
            consumer.delay = consumer.delay.max(live.waits);
            consumer.partitions += 1;
        }
    }
    let nobody = consumers.pop().filter(|nobody| nobody.partitions > 0);
    // If commits continue, the partition has an owner that was not described.
    let unowned = nobody.map_or(0.0, |nobody| {
        let poll = tuning.polls.interval.as_secs_f64();
        let grows = estimate.stable_for.is_some() && members > 0 && nobody.delay > poll;
        nobody.delay + if grows { horizon } else { 0.0 }
    });
    let slope_from = growth.slope_least.as_secs_f64();
    let slope_from = slope_from.max(growth.slope_share * input.objective);
    let of_consumer = |(consumer, saturated): (&Consumer, &Option<f64>)| {
        // The next records to read arrived as fast as the backlog did, which may be faster than the
        // present arrivals.
        let backlog = if consumer.delay > slope_from {
            consumer.lag / consumer.delay
        } else {
            0.0
        };
        let came = consumer.expected.max(backlog);
        // After a rebalance the present consumption shows only the time that was left to consume
        // in.
        let consumed = consumer.consumed.max(rate.lower_bound);
        let slope = match rate.capacity {
            _ if came <= 0.0 => -1.0,
            Some(capacity) => {
                let rate = saturated.map_or(capacity, |rate| rate.min(capacity));
                (1.0 - rate / came).max(-1.0)
            }
            None if consumer.delay > slope_from => (1.0 - consumed / came).max(-1.0),
            None => 0.0,
        };
        consumer.delay + horizon * slope
    };
    consumers
        .iter()
        .zip(&estimate.busy.saturated)
        .filter(|(consumer, _)| consumer.partitions > 1)
        .map(of_consumer)
        .fold(unowned, f64::max)
}

/// Rounded up, within what a replica count can be.
fn whole(replicas: f64) -> i32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "clamped; a cast saturates besides"
    )]
    let whole = replicas.ceil().clamp(0.0, f64::from(i32::MAX)) as i32;
    whole
}
