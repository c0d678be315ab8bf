//! When a smaller size is enough: its savings must pay for a rebalance down and one up again, and a
//! replay of that time must stay calm. If the capacity is unknown, a probe.

use jiff::{SignedDuration, Timestamp};

use crate::scaling::input::observation::Rebalance;
use crate::scaling::measure::estimate::Estimate;
use crate::scaling::measure::load_history::ReplayLimits;
use crate::scaling::number::real;
use crate::scaling::plan::rebalance_cost::stall;
use crate::scaling::plan::size_input::SizeInput;
use crate::scaling::state::backoff::Backoff;
use crate::scaling::state::capacity_model::{CapacityModel, Down};
use crate::scaling::state::memory::LastAction;
use crate::scaling::tuning::Tuning;

/// A candidate for a scale-down.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::scaling) enum ScaleDown {
    /// The replay kept up over the whole window.
    Holds {
        /// The size.
        to: i32,
        /// Seconds that were replayed.
        window: f64,
    },
    /// No measurement shows whether it holds; it is tried.
    Probe {
        /// The size.
        to: i32,
    },
    /// It carries the present load, but the window is not covered yet or the last action is too
    /// recent.
    Gathering {
        /// The size.
        to: i32,
        /// Seconds covered so far.
        covered: f64,
        /// Seconds needed.
        window: f64,
    },
}

/// Flaps in a row, if the last one was recent.
fn flaps(model: &CapacityModel, now: Timestamp, tuning: &Tuning) -> i32 {
    let lasts = tuning.shrink.unpaid_for.as_secs();
    let lately = |time: &Timestamp| now.duration_since(*time).as_secs() <= lasts;
    let last = model.last_flap.filter(lately);
    last.map_or(0, |_| model.flaps.unwrap_or(1))
}

/// Replica-seconds that a scale-down from `replicas` costs, with the scale-up that may follow.
fn pair(
    model: &CapacityModel,
    rebalance: Rebalance,
    replicas: i32,
    now: Timestamp,
    tuning: &Tuning,
) -> f64 {
    let shrink = &tuning.shrink;
    let stop = match rebalance {
        Rebalance::Consumer => shrink.stop_consumer,
        Rebalance::Cooperative => shrink.stop_cooperative,
        Rebalance::Eager => shrink.stop_eager,
    };
    // Measured for this group: state that is restored, and records in hand that are processed
    // again.
    let again = shrink.in_hand * model.longest(now, tuning);
    let stop = stop.as_secs_f64() + model.excess(tuning) + again;
    let price = shrink.pair.0 + f64::from(replicas) * stop;
    price * shrink.unpaid.0.powi(flaps(model, now, tuning))
}

/// Seconds after which going from `replicas` to `size` has paid (ski rental).
fn window(
    model: &CapacityModel,
    rebalance: Rebalance,
    (replicas, size): (i32, i32),
    objective: f64,
    now: Timestamp,
    tuning: &Tuning,
) -> f64 {
    let shrink = &tuning.shrink;
    let price = pair(model, rebalance, replicas, now, tuning);
    let paid = price / f64::from((replicas - size).max(1));
    let stall = stall(rebalance, 0, tuning) + model.excess(tuning);
    let dear = stall > shrink.dear_share * objective;
    let few = real(i64::try_from(shrink.window_records).unwrap_or(i64::MAX));
    let most = shrink.window_records_most.as_secs_f64();
    let capacity = model.capacity();
    let records = capacity.map_or(0.0, |capacity| (few / capacity).min(most));
    let least = shrink.window_least.as_secs_f64().max(records);
    least.max(if dear { shrink.dear * paid } else { paid })
}

/// The same for a group whose rebalances were measured to cost more than usual; 0 for others.
pub(in crate::scaling) fn dear(
    model: &CapacityModel,
    rebalance: Rebalance,
    (replicas, size): (i32, i32),
    now: Timestamp,
    tuning: &Tuning,
) -> f64 {
    if model.excess(tuning) <= 0.0 && model.longest(now, tuning) <= 0.0 {
        return 0.0;
    }
    let price = pair(model, rebalance, replicas, now, tuning);
    price / f64::from((replicas - size).max(1))
}

impl SizeInput<'_> {
    /// The smallest size that is enough, or what is still missing.
    pub(in crate::scaling) fn smaller(&self) -> Option<ScaleDown> {
        let below = || self.sizes.iter().copied().filter(|m| *m < self.replicas);
        // The lower bound of the capacity is less than a consumer can do, and it can be enough to
        // show that a size holds.
        let lower_bound = Some(self.model.lower_bound(self.now, self.tuning));
        let lower_bound = lower_bound.filter(|rate| *rate > 0.0);
        if let Some(capacity) = self.model.capacity().or(lower_bound) {
            let windows = below().map(|to| (to, self.window(to)));
            let holds = |(to, window): &(i32, f64)| {
                self.since_action().is_none_or(|since| since >= *window)
                    && self.holds(*to, capacity, *window)
            };
            if let Some((to, window)) = windows.clone().find(holds) {
                return Some(ScaleDown::Holds { to, window });
            }
            if self.model.is_measured() {
                return self.gathering(capacity, windows);
            }
        }
        self.probe(below().next_back()?)
    }

    /// Whether a size would have kept up for `window` seconds.
    fn holds(&self, to: i32, capacity: f64, window: f64) -> bool {
        if !self.tuning.shrink.replay {
            return self.fits(to, capacity);
        }
        let limits = self.limits(capacity, window);
        self.load_history.holds(to, self.now_millis(), limits)
    }

    /// Whether a size carries the present load.
    fn fits(&self, to: i32, capacity: f64) -> bool {
        let shrink = &self.tuning.shrink;
        let limit = shrink.mean * (1.0 - shrink.margin.0) * capacity;
        self.load_history
            .latest(to)
            .is_some_and(|load| load <= limit)
    }

    /// Whether the delay is low enough for any scale-down.
    pub(in crate::scaling) fn is_calm(&self) -> bool {
        let shrink = &self.tuning.shrink;
        let late = shrink.late_least.as_secs_f64();
        let late = late.max(shrink.late * self.objective);
        !self.estimate.is_outage && self.estimate.waits <= late
    }

    /// The smallest size that carries the present load while the window is not covered.
    fn gathering(
        &self,
        capacity: f64,
        mut windows: impl Iterator<Item = (i32, f64)>,
    ) -> Option<ScaleDown> {
        let covered = self
            .load_history
            .covered(self.now_millis())
            .min(self.since_action().unwrap_or(f64::MAX));
        let fits = |(to, window): &(i32, f64)| covered < *window && self.fits(*to, capacity);
        windows.find(fits).map(|(to, window)| ScaleDown::Gathering {
            to,
            covered,
            window,
        })
    }

    /// A probe by one aligned size, after a quiet time.
    fn probe(&self, to: i32) -> Option<ScaleDown> {
        let probe = &self.tuning.probe;
        let late = self.tuning.shrink.late_least.as_secs_f64();
        let late = late.max(probe.late * self.objective);
        let quiet = !self.estimate.is_outage && self.estimate.waits < late;
        let careful = f64::from(to) >= probe.least * f64::from(self.replicas) - 1.0;
        if !probe.enabled || !quiet || !careful {
            return None;
        }
        let stored = self.model.probe_wait;
        let wait = backoff(self.tuning).current(stored, SignedDuration::ZERO);
        let window = wait.as_secs_f64().max(self.dear(to));
        let watched = self.estimate.watched_for;
        let covered = watched.min(self.since_action().unwrap_or(watched));
        if covered >= window {
            Some(ScaleDown::Probe { to })
        } else {
            Some(ScaleDown::Gathering {
                to,
                covered,
                window,
            })
        }
    }

    /// A probe has to pay as well if this group's rebalances cost more than usual.
    fn dear(&self, to: i32) -> f64 {
        let sizes = (self.replicas, to);
        dear(
            self.model,
            self.estimate.rebalance,
            sizes,
            self.now,
            self.tuning,
        )
    }

    fn window(&self, to: i32) -> f64 {
        let sizes = (self.replicas, to);
        window(
            self.model,
            self.estimate.rebalance,
            sizes,
            self.objective,
            self.now,
            self.tuning,
        )
    }

    fn limits(&self, capacity: f64, window: f64) -> ReplayLimits {
        let (shrink, objective) = (&self.tuning.shrink, self.objective);
        let stall = stall(self.estimate.rebalance, 0, self.tuning);
        let stall = stall + self.model.excess(self.tuning);
        let beyond = stall + shrink.calm_beyond_stall * objective;
        let calm = (shrink.calm * objective).max(beyond);
        ReplayLimits {
            window,
            capacity: capacity * (1.0 - shrink.margin.0),
            stall,
            most: calm.min(shrink.calm_most * objective),
            left: shrink.left * objective,
            utilisation: shrink.mean.0,
        }
    }

    fn since_action(&self) -> Option<f64> {
        let last = self.last?;
        Some(self.now.duration_since(last.time).as_secs_f64())
    }

    fn now_millis(&self) -> i64 {
        self.now.as_millisecond()
    }
}

/// Judges whether the last scale-down was a probe that failed. If so, the capacity is bounded from
/// both sides.
pub(in crate::scaling) fn judge_probe(
    model: &mut CapacityModel,
    estimate: &Estimate,
    last: Option<LastAction>,
    objective: f64,
    now: Timestamp,
    tuning: &Tuning,
) {
    let probe = &tuning.probe;
    let lower_bound = model.lower_bound(now, tuning);
    let Some(last) = last else { return };
    let age = now.duration_since(last.time).as_secs();
    let settled = last
        .settled_after
        .is_some_and(|after| age - after >= tuning.pacing.landing.as_secs());
    if model.is_sampled()
        || lower_bound <= 0.0
        || last.to >= last.from
        || age >= probe.judged_within.as_secs()
        || !settled
        || estimate.stable_for.is_none()
        || estimate.delay <= probe.failed * objective
    {
        return;
    }
    model.set_capacity(probe.bracket * lower_bound, false, now);
}

/// The back-off between two probes.
fn backoff(tuning: &Tuning) -> Backoff {
    let probe = &tuning.probe;
    Backoff {
        initial: probe.first,
        most: probe.most,
        factor: probe.factor.0,
        halves_after: None,
    }
}

/// Notes a scale-up that undoes a probe.
pub(in crate::scaling) fn note_undone(
    model: &mut CapacityModel,
    last: Option<LastAction>,
    now: Timestamp,
    tuning: &Tuning,
) {
    let judged_within = tuning.probe.judged_within.as_secs();
    let probed = last.is_some_and(|last| {
        last.to < last.from && now.duration_since(last.time).as_secs() < judged_within
    });
    if probed && !model.is_measured() {
        let wait = backoff(tuning).next(model.probe_wait, SignedDuration::ZERO);
        model.probe_wait = Some(wait.as_secs());
    }
}

/// Notes a scale-down that is about to be tried.
pub(in crate::scaling) fn note_down(
    model: &mut CapacityModel,
    from: i32,
    now: Timestamp,
    tuning: &Tuning,
) {
    let judged_within = tuning.shrink.judged_within.as_secs();
    let open = model
        .down
        .is_some_and(|down| now.duration_since(down.time).as_secs() <= judged_within);
    if !open {
        model.down = Some(Down { from, time: now });
    }
}

/// Notes a scale-up that is about to be tried, and whether the scale-down before it has paid.
pub(in crate::scaling) fn note_up(
    model: &mut CapacityModel,
    estimate: &Estimate,
    replicas: i32,
    objective: f64,
    now: Timestamp,
    tuning: &Tuning,
) {
    let shrink = &tuning.shrink;
    let Some(down) = model.down.take() else {
        return;
    };
    let lasted = now.duration_since(down.time);
    if lasted.as_secs() >= shrink.judged_within.as_secs() {
        return;
    }
    let saved = f64::from((down.from - replicas).max(0)) * lasted.as_secs_f64();
    let price = pair(model, estimate.rebalance, down.from, now, tuning);
    if saved < shrink.paid * price || estimate.delay > objective {
        model.flaps = Some((flaps(model, now, tuning) + 1).min(shrink.unpaid_most()));
        model.last_flap = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TUNING: &Tuning = &Tuning::DEFAULT;

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    fn model(capacity: f64) -> CapacityModel {
        let mut model = CapacityModel::default();
        model.set_capacity(capacity, true, now());
        model
    }

    fn window_of(model: &CapacityModel) -> f64 {
        window(model, Rebalance::Eager, (24, 12), 60.0, now(), TUNING)
    }

    #[test]
    fn a_window_holds_ten_records_of_one_consumer() {
        assert!((window_of(&model(200.0)) - 120.0).abs() < 1e-9);
        assert!((window_of(&model(0.02)) - 500.0).abs() < 1e-9);
        assert!((window_of(&model(0.001)) - 3600.0).abs() < 1e-9);
    }

    #[test]
    fn each_flap_within_the_hour_doubles_the_price_and_an_hour_later_it_is_forgotten() {
        let mut model = model(200.0);
        let price = |model: &CapacityModel, at| pair(model, Rebalance::Eager, 24, at, TUNING);
        let plain = price(&model, now());
        for flaps in [Some(1), Some(2), Some(3)] {
            model.last_flap = Some(now());
            model.flaps = flaps;
            let times = f64::from(1 << flaps.unwrap());
            assert!((price(&model, now()) - times * plain).abs() < 1e-9);
        }
        let later = now()
            .checked_add(jiff::SignedDuration::from_secs(3601))
            .unwrap();
        assert!((price(&model, later) - plain).abs() < 1e-9);
    }
}
