//! Learns what one consumer can do. It shows it only while it has work waiting all along: one that
//! keeps up shows the load, one that is stuck or rebalancing shows nothing.

use jiff::{SignedDuration, Timestamp};

use crate::scaling::measure::estimate::Estimate;
use crate::scaling::number::{later, real};
use crate::scaling::state::learnt::Learnt;

/// A sample is taken once in so many milliseconds.
const SAMPLE_EVERY: i64 = 30_000;
/// So large a share of saturated consumers is believed against what was possible once.
const BELIEVED: f64 = 0.3;
/// So long after the last sample nobody knows any more: a consumer that has become faster shows it
/// only to who tries.
const OLD: SignedDuration = SignedDuration::from_hours(6);
/// A consumer that keeps up and does so many times what was measured shows that it was measured too
/// low.
const OUTDONE: f64 = 1.1;
/// A plateau is over when the group gets through so many times as much.
const BEYOND_PLATEAU: f64 = 1.25;

/// Learns from a new look. `next_sample`: not before, in milliseconds.
pub(in crate::scaling) fn learn(
    learnt: &mut Learnt,
    next_sample: &mut i64,
    estimate: &Estimate,
    now: Timestamp,
) {
    let busy = &estimate.busy;
    if let (Some(plateau), Some(_)) = (learnt.plateau, busy.median())
        && estimate.consumed > BEYOND_PLATEAU * real(plateau.milli) / 1000.0
    {
        learnt.plateau = None;
        learnt.backoff = None;
    }
    // At a plateau consumers show the bottleneck, not themselves.
    if let Some(sample) = busy.median()
        && learnt.plateau.is_none()
        && now.as_millisecond() >= *next_sample
    {
        *next_sample = now.as_millisecond() + SAMPLE_EVERY;
        let share = f64::from(busy.count) / f64::from(busy.active.max(1));
        if share >= BELIEVED && sample < learnt.at_least(now) {
            learnt.set_at_least(sample, now);
        }
        let known = learnt.capacity().filter(|_| learnt.is_measured());
        let capacity = known.map_or(sample, |known| {
            known + (0.25 + 0.5 * share) * (sample - known)
        });
        learnt.set_capacity(capacity, true, now);
    }
    if busy.steady_best > learnt.at_least(now) {
        learnt.set_at_least(busy.steady_best, now);
    }
    if learnt.is_measured_before(later(now, -OLD)) {
        learnt.doubt();
    }
    // Bracketed from below: while nothing better is known, what was done can be done.
    let at_least = learnt.at_least(now);
    // Measured in worse days: nobody has a backlog, and somebody has been doing more for two
    // minutes.
    if learnt.is_measured() && busy.count == 0 {
        let known = learnt.capacity().unwrap_or(0.0);
        if busy.steady_best > OUTDONE * known {
            learnt.set_capacity(busy.steady_best, true, now);
        }
    }
    if !learnt.is_measured() && learnt.capacity().is_some_and(|known| known < at_least) {
        learnt.set_capacity(at_least, false, now);
    }
}
