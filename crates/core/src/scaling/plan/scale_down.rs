//! When a smaller size will do: what it saves must have paid for a rebalance down and one up again,
//! and a replay of all that time must have stayed calm. Without a known capacity, a careful probe.

use jiff::Timestamp;

use crate::scaling::input::observation::Rebalance;
use crate::scaling::measure::estimate::Estimate;
use crate::scaling::measure::load_history::{Trial, WhatIf};
use crate::scaling::plan::rebalance_cost::stall;
use crate::scaling::state::learnt::{Down, Learnt};
use crate::scaling::state::memory::LastAction;
use crate::scaling::tuning::{PROBE_MOST, REGRETS};

/// Replica-seconds that a pair of a scale-down and a scale-up must save before it pays ...
const PAIR: f64 = 300.0;
/// ... and the price of the next pairs after one that did not pay, as a factor ...
const REGRET: f64 = 2.0;
/// ... each within so many seconds of the one before; so long it lasts.
const REGRET_FOR: i64 = 3600;
/// No evidence covers less, in seconds.
const LEAST_WINDOW: f64 = 120.0;
/// Nor less than the time in which one consumer gets through so many records, up to an hour of it.
const RECORDS: f64 = 10.0;
const RECORDS_FOR: f64 = 3600.0;
/// Capacity held back in the replay, for slow pods and noise.
const MARGIN: f64 = 0.02;
/// The replay stays under this share of the objective ...
const CALM: f64 = 0.5;
/// ... its mean load under this share of the capacity ...
const MEAN: f64 = 0.96;
/// ... and ends under this share of the objective.
const LEFT: f64 = 0.25;
/// No scale-down while the delay is above this share of the objective ...
const LATE: f64 = 0.4;
/// ... and above so many seconds; no probe from half of it on.
const LATE_LEAST: f64 = 10.0;
const PROBE_LATE: f64 = 0.2;
/// Seconds between two probes, at first.
const PROBE: i64 = 300;
/// A probe has failed if the delay passes this share of the objective within so many seconds.
const PROBE_FAILED: f64 = 0.35;
const PROBE_JUDGED: i64 = 600;
/// What a failed probe says about the capacity: a little more than was seen without a backlog.
const BRACKET: f64 = 1.03;
/// An up within so many seconds of a down judges it; one that saved less than so many pairs did not
/// pay.
const JUDGED_WITHIN: i64 = 7200;
const PAID: f64 = 1.5;

/// A smaller size in question.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::scaling) enum Smaller {
    /// It would have held over the whole window.
    Holds {
        /// The size.
        to: i32,
        /// Seconds that were replayed.
        window: f64,
    },
    /// Nobody knows; to be tried.
    Probe {
        /// The size.
        to: i32,
    },
    /// Its load fits now; the window is not covered, or the last action is too recent.
    Gathering {
        /// The size.
        to: i32,
        /// Seconds covered so far.
        covered: f64,
        /// Seconds wanted.
        window: f64,
    },
}

/// Scale-downs in a row that did not pay, the last one lately.
fn regrets(learnt: &Learnt, now: Timestamp) -> i32 {
    let lately = |time: &Timestamp| now.duration_since(*time).as_secs() <= REGRET_FOR;
    let last = learnt.regretted.filter(lately);
    last.map_or(0, |_| learnt.regrets.unwrap_or(1))
}

/// Replica-seconds that a down and an up that may follow cost at `replicas`.
fn pair(learnt: &Learnt, rebalance: Rebalance, replicas: i32, now: Timestamp) -> f64 {
    let stop = match rebalance {
        Rebalance::Consumer => 10.0,
        Rebalance::Cooperative => 15.0,
        Rebalance::Eager => 40.0,
    };
    // What was learnt of this group: what it restores, and what it does again of the record in
    // hand.
    let stop = stop + learnt.excess() + learnt.longest(now) / 2.0;
    (PAIR + f64::from(replicas) * stop) * REGRET.powi(regrets(learnt, now))
}

/// Seconds after which going from `replicas` to `size` has paid (ski rental).
fn window(
    learnt: &Learnt,
    rebalance: Rebalance,
    (replicas, size): (i32, i32),
    objective: f64,
    now: Timestamp,
) -> f64 {
    let paid = pair(learnt, rebalance, replicas, now) / f64::from((replicas - size).max(1));
    let dear = stall(rebalance, 0) + learnt.excess() > 0.5 * objective;
    let capacity = learnt.capacity();
    let records = capacity.map_or(0.0, |capacity| (RECORDS / capacity).min(RECORDS_FOR));
    LEAST_WINDOW
        .max(records)
        .max(if dear { 3.0 * paid } else { paid })
}

/// The same for a group whose rebalances were seen to cost more than a rebalance does anywhere; 0
/// for others.
pub(in crate::scaling) fn dear(
    learnt: &Learnt,
    rebalance: Rebalance,
    (replicas, size): (i32, i32),
    now: Timestamp,
) -> f64 {
    if learnt.excess() <= 0.0 && learnt.longest(now) <= 0.0 {
        return 0.0;
    }
    pair(learnt, rebalance, replicas, now) / f64::from((replicas - size).max(1))
}

/// What a scale-down is decided on.
pub(in crate::scaling) struct Grounds<'a> {
    pub(in crate::scaling) estimate: &'a Estimate,
    pub(in crate::scaling) learnt: &'a Learnt,
    pub(in crate::scaling) what_if: &'a WhatIf,
    pub(in crate::scaling) last: Option<LastAction>,
    /// Sizes worth having, ascending.
    pub(in crate::scaling) sizes: &'a [i32],
    pub(in crate::scaling) replicas: i32,
    /// Seconds.
    pub(in crate::scaling) objective: f64,
    pub(in crate::scaling) now: Timestamp,
}

impl Grounds<'_> {
    /// The smallest size that would do, or what is still missing.
    pub(in crate::scaling) fn smaller(&self) -> Option<Smaller> {
        let below = || self.sizes.iter().copied().filter(|m| *m < self.replicas);
        // What a consumer was seen to do without a backlog is less than it can do, and enough to
        // show what will do.
        let at_least = Some(self.learnt.at_least(self.now)).filter(|rate| *rate > 0.0);
        if let Some(capacity) = self.learnt.capacity().or(at_least) {
            let windows = below().map(|to| (to, self.window(to)));
            let holds = |(to, window): &(i32, f64)| {
                self.since_action().is_none_or(|since| since >= *window)
                    && self
                        .what_if
                        .holds(*to, self.now_millis(), self.trial(capacity, *window))
            };
            if let Some((to, window)) = windows.clone().find(holds) {
                return Some(Smaller::Holds { to, window });
            }
            if self.learnt.is_measured() {
                return self.gathering(capacity, windows);
            }
        }
        self.probe(below().next_back()?)
    }

    /// Whether the delay is low enough for any scale-down at all.
    pub(in crate::scaling) fn is_calm(&self) -> bool {
        !self.estimate.is_outage && self.estimate.waits <= LATE_LEAST.max(LATE * self.objective)
    }

    /// The smallest size that takes the present load, while there is not enough evidence for it.
    fn gathering(
        &self,
        capacity: f64,
        mut windows: impl Iterator<Item = (i32, f64)>,
    ) -> Option<Smaller> {
        let covered = self
            .what_if
            .covered(self.now_millis())
            .min(self.since_action().unwrap_or(f64::MAX));
        let fits = |(to, window): &(i32, f64)| {
            let load = self.what_if.latest(*to);
            covered < *window && load.is_some_and(|load| load <= MEAN * (1.0 - MARGIN) * capacity)
        };
        windows.find(fits).map(|(to, window)| Smaller::Gathering {
            to,
            covered,
            window,
        })
    }

    /// One size less, to see what happens, after a time of quiet.
    fn probe(&self, to: i32) -> Option<Smaller> {
        let quiet = !self.estimate.is_outage
            && self.estimate.waits < LATE_LEAST.max(PROBE_LATE * self.objective);
        let careful = f64::from(to) >= 0.5 * f64::from(self.replicas) - 1.0;
        if !quiet || !careful {
            return None;
        }
        let wait = PROBE.max(self.learnt.probe_wait.unwrap_or(0));
        let window = f64::from(i32::try_from(wait).unwrap_or(i32::MAX)).max(self.dear(to));
        let watched = self.estimate.watched_for;
        let covered = watched.min(self.since_action().unwrap_or(watched));
        if covered >= window {
            Some(Smaller::Probe { to })
        } else {
            Some(Smaller::Gathering {
                to,
                covered,
                window,
            })
        }
    }

    /// What is tried has to pay as well where this group's rebalances are dear.
    fn dear(&self, to: i32) -> f64 {
        let sizes = (self.replicas, to);
        dear(self.learnt, self.estimate.rebalance, sizes, self.now)
    }

    fn window(&self, to: i32) -> f64 {
        let sizes = (self.replicas, to);
        window(
            self.learnt,
            self.estimate.rebalance,
            sizes,
            self.objective,
            self.now,
        )
    }

    fn trial(&self, capacity: f64, window: f64) -> Trial {
        let stall = stall(self.estimate.rebalance, 0) + self.learnt.excess();
        let calm = (CALM * self.objective).max(stall + 0.2 * self.objective);
        Trial {
            window,
            capacity: capacity * (1.0 - MARGIN),
            stall,
            most: calm.min(0.9 * self.objective),
            left: LEFT * self.objective,
            utilisation: MEAN,
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

/// Whether the last scale-down was a probe that failed: then the capacity is bracketed. `settled`:
/// since when the last action has been settled.
pub(in crate::scaling) fn judge_probe(
    learnt: &mut Learnt,
    estimate: &Estimate,
    last: Option<LastAction>,
    objective: f64,
    now: Timestamp,
) {
    let at_least = learnt.at_least(now);
    let Some(last) = last else { return };
    let age = now.duration_since(last.time).as_secs();
    let settled = last
        .settled_after
        .is_some_and(|after| age - after >= crate::scaling::tuning::LANDING.as_secs());
    if learnt.is_sampled()
        || at_least <= 0.0
        || last.to >= last.from
        || age >= PROBE_JUDGED
        || !settled
        || estimate.stable_for.is_none()
        || estimate.delay <= PROBE_FAILED * objective
    {
        return;
    }
    learnt.set_capacity(BRACKET * at_least, false, now);
}

/// Notes a scale-up that undoes a probe.
pub(in crate::scaling) fn note_undone(
    learnt: &mut Learnt,
    last: Option<LastAction>,
    now: Timestamp,
) {
    let probed = last.is_some_and(|last| {
        last.to < last.from && now.duration_since(last.time).as_secs() < PROBE_JUDGED
    });
    if probed && !learnt.is_measured() {
        let wait = learnt.probe_wait.unwrap_or(0).max(PROBE);
        learnt.probe_wait = Some((2 * wait).min(PROBE_MOST));
    }
}

/// Notes a scale-down that is about to be tried.
pub(in crate::scaling) fn note_down(learnt: &mut Learnt, from: i32, now: Timestamp) {
    let open = learnt
        .down
        .is_some_and(|down| now.duration_since(down.time).as_secs() <= JUDGED_WITHIN);
    if !open {
        learnt.down = Some(Down { from, time: now });
    }
}

/// Notes a scale-up that is about to be tried: whether the scale-down before it has paid.
pub(in crate::scaling) fn note_up(
    learnt: &mut Learnt,
    estimate: &Estimate,
    replicas: i32,
    objective: f64,
    now: Timestamp,
) {
    let Some(down) = learnt.down.take() else {
        return;
    };
    let lasted = now.duration_since(down.time);
    if lasted.as_secs() >= JUDGED_WITHIN {
        return;
    }
    let saved = f64::from((down.from - replicas).max(0)) * lasted.as_secs_f64();
    let price = pair(learnt, estimate.rebalance, down.from, now);
    if saved < PAID * price || estimate.delay > objective {
        learnt.regrets = Some((regrets(learnt, now) + 1).min(REGRETS));
        learnt.regretted = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    fn learnt(capacity: f64) -> Learnt {
        let mut learnt = Learnt::default();
        learnt.set_capacity(capacity, true, now());
        learnt
    }

    fn window_of(learnt: &Learnt) -> f64 {
        window(learnt, Rebalance::Eager, (24, 12), 60.0, now())
    }

    #[test]
    fn a_window_holds_ten_records_of_one_consumer() {
        assert!((window_of(&learnt(200.0)) - 120.0).abs() < 1e-9);
        assert!((window_of(&learnt(0.02)) - 500.0).abs() < 1e-9);
        assert!((window_of(&learnt(0.001)) - 3600.0).abs() < 1e-9);
    }

    #[test]
    fn each_regret_within_the_hour_doubles_the_price_and_an_hour_later_it_is_forgotten() {
        let mut learnt = learnt(200.0);
        let price = |learnt: &Learnt, at| pair(learnt, Rebalance::Eager, 24, at);
        let plain = price(&learnt, now());
        for regrets in [Some(1), Some(2), Some(3)] {
            learnt.regretted = Some(now());
            learnt.regrets = regrets;
            let times = f64::from(1 << regrets.unwrap());
            assert!((price(&learnt, now()) - times * plain).abs() < 1e-9);
        }
        let later = now()
            .checked_add(jiff::SignedDuration::from_secs(3601))
            .unwrap();
        assert!((price(&learnt, later) - plain).abs() < 1e-9);
    }
}
