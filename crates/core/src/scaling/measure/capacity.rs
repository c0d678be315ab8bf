//! Measures the capacity of one consumer. Only a consumer with work waiting all along shows it: one
//! that keeps up shows the load, and one that is stuck or rebalancing shows nothing.

use jiff::Timestamp;

use crate::scaling::measure::estimate::Estimate;
use crate::scaling::number::{later, millis, real};
use crate::scaling::state::capacity_model::CapacityModel;
use crate::scaling::tuning::Tuning;

/// Measures from a new poll. `next_sample`: the earliest time of the next sample, in milliseconds.
pub(in crate::scaling) fn learn(
    model: &mut CapacityModel,
    next_sample: &mut i64,
    estimate: &Estimate,
    now: Timestamp,
    tuning: &Tuning,
) {
    let busy = &estimate.busy;
    let capacity = &tuning.capacity;
    if let (Some(bottleneck), Some(_)) = (model.bottleneck, busy.median())
        && estimate.consumed > tuning.ineffective.beyond * real(bottleneck.milli) / 1000.0
    {
        model.bottleneck = None;
        model.backoff = None;
    }
    // At a bottleneck the rate of the consumers is not their capacity.
    if let Some(sample) = busy.median()
        && capacity.enabled
        && model.bottleneck.is_none()
        && now.as_millisecond() >= *next_sample
    {
        *next_sample = now.as_millisecond() + millis(capacity.sample_every);
        let share = f64::from(busy.count) / f64::from(busy.active.max(1));
        if share >= capacity.representative.0 && sample < model.lower_bound(now, tuning) {
            model.set_lower_bound(sample, now);
        }
        let known = model.capacity().filter(|_| model.is_measured());
        let weight = capacity.weight.0 + capacity.weight_by_share * share;
        let rate = known.map_or(sample, |known| known + weight * (sample - known));
        model.set_capacity(rate, true, now);
    }
    if busy.steady_best > model.lower_bound(now, tuning) {
        model.set_lower_bound(busy.steady_best, now);
    }
    if model.is_measured_before(later(now, -capacity.old)) {
        model.mark_stale();
    }
    // The lower bound stands in for the capacity while nothing better is known.
    let lower_bound = model.lower_bound(now, tuning);
    // The measured capacity is too low: no member has a backlog, and one has done more for two
    // minutes.
    if model.is_measured() && busy.count == 0 {
        let known = model.capacity().unwrap_or(0.0);
        if busy.steady_best > capacity.outdone * known {
            model.set_capacity(busy.steady_best, true, now);
        }
    }
    if !model.is_measured() && model.capacity().is_some_and(|known| known < lower_bound) {
        model.set_capacity(lower_bound, false, now);
    }
}
