//! Whether a status has changed enough to be written, and how soon (KEEP-29). Pure.

use std::time::Duration;

use jiff::SignedDuration;
use lagrange_core::api::condition::Type;
use lagrange_core::api::{ConsumerGroupStatus, LagStatus, RateStatus};
use lagrange_core::scaling::Memory;
use lagrange_core::scaling::decision::HoldReason;
use lagrange_core::scaling::{CapacityModel, Rate, Throughput};

use super::group;
use super::reported::{Numbers, Reported};

/// Numbers within 1/20 of the stored ones count as unchanged.
const CLOSE: u64 = 20;
/// Memory is written when the best consumption was measured this much later than the stored one.
const MEMORY_AGE: SignedDuration = SignedDuration::from_mins(30);

/// How much a status differs from the stored one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::controller) enum StatusChange {
    /// No difference.
    None,
    /// Numbers have changed a little.
    Drift,
    /// Numbers have changed.
    Numbers,
    /// Something has changed that a reader waits for.
    Words,
}

/// Differences that count as none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::controller) struct Tolerance {
    /// Records of lag.
    pub(in crate::controller) lag: i64,
    /// Seconds of delay.
    pub(in crate::controller) delay: i64,
    /// The objective is a delay: whether fewer replicas suffice changes from poll to poll.
    pub(in crate::controller) is_by_delay: bool,
}

/// A status, and the values that it is made from.
#[derive(Debug, Clone, Copy)]
pub(in crate::controller) struct Report<'a> {
    pub(in crate::controller) status: &'a ConsumerGroupStatus,
    /// `None`: another process has written it.
    pub(in crate::controller) rests_on: Option<&'a Reported>,
}

impl StatusChange {
    /// How long after the last write the next one is due; `None`: never.
    pub(in crate::controller) fn due_after(self) -> Option<Duration> {
        match self {
            Self::None => None,
            Self::Drift => Some(Duration::from_mins(10)),
            Self::Numbers => Some(Duration::from_mins(1)),
            Self::Words => Some(Duration::ZERO),
        }
    }
}

/// Compares two reports of one group. A lag or a delay that differs by less than `tolerance` counts
/// as equal. Messages are compared by the values that they are made from. In a report that another
/// process has written these values are unknown, and count as changed.
pub(in crate::controller) fn of(
    before: Report<'_>,
    now: Report<'_>,
    tolerance: Tolerance,
) -> StatusChange {
    let (stored, next) = (before.status, now.status);
    let (memory, next_memory) = (group::memory_of(Some(stored)), group::memory_of(Some(next)));
    if memory_is_new(&memory, &next_memory) || words(stored, tolerance) != words(next, tolerance) {
        return StatusChange::Words;
    }
    let events = |status: &ConsumerGroupStatus| ConsumerGroupStatus {
        memory: None,
        ..status.clone()
    };
    if events(stored) == events(next) {
        return StatusChange::None;
    }
    let rests_on_the_same = before.rests_on.zip(now.rests_on).is_some_and(|(old, new)| {
        numbers_are_close(&old.numbers, &new.numbers, tolerance) && old.is_alike(new)
    });
    let close = rests_on_the_same
        && lag_is_close(stored.lag.as_ref(), next.lag.as_ref(), tolerance)
        && without_text(stored) == without_text(next);
    if close {
        StatusChange::Drift
    } else {
        StatusChange::Numbers
    }
}

/// A status without everything that changes with every message.
fn words(status: &ConsumerGroupStatus, tolerance: Tolerance) -> ConsumerGroupStatus {
    let mut status = without_text(status);
    if let Some(decision) = &mut status.decision
        && decision.is_hold()
    {
        decision.not_before = None;
        // Whether a smaller size is excluded or could not carry the arrivals changes with the lag
        // alone. Under `maxDelay`, so does whether fewer replicas would do at this moment.
        let turns = |why: HoldReason| decision.reason == why.as_str();
        if turns(HoldReason::ArrivalsTooHigh)
            || turns(HoldReason::DelayTooHigh)
            || (tolerance.is_by_delay && turns(HoldReason::GatheringEvidence))
        {
            HoldReason::AsDesired
                .as_str()
                .clone_into(&mut decision.reason);
        }
        decision.time = None;
        if let Some(replicas) = &mut status.replicas {
            replicas.desired = None;
        }
    }
    // The limit of a size changes with the lag alone, so it is treated as a number.
    status
        .conditions
        .retain(|condition| condition.type_ != Type::ScalingLimited.as_str());
    status
}

/// A status without its messages and without the numbers that are compared separately.
fn without_text(status: &ConsumerGroupStatus) -> ConsumerGroupStatus {
    let mut status = ConsumerGroupStatus {
        memory: None,
        rate: status.rate.as_ref().map(|_| RateStatus::default()),
        lag: status.lag.as_ref().map(|lag| LagStatus {
            total: lag.total.map(|_| 0),
            max: lag.max.map(|_| 0),
            max_partition: None,
            delay: lag.delay.as_ref().map(|_| String::new()),
            unknown_partitions: lag.unknown_partitions,
            // The condition reports that there are some.
            stuck_partitions: Vec::new(),
        }),
        ..status.clone()
    };
    if let Some(decision) = &mut status.decision {
        decision.message.clear();
    }
    for condition in &mut status.conditions {
        condition.message.clear();
    }
    status
}

fn lag_is_close(
    stored: Option<&LagStatus>,
    next: Option<&LagStatus>,
    tolerance: Tolerance,
) -> bool {
    let close = |of: fn(&LagStatus) -> Option<i64>| {
        is_close(stored.and_then(of), next.and_then(of), tolerance.lag)
    };
    close(|lag| lag.total)
        && close(|lag| lag.max)
        && stored.map(|lag| &lag.stuck_partitions) == next.map(|lag| &lag.stuck_partitions)
}

fn numbers_are_close(old: &Numbers, new: &Numbers, tolerance: Tolerance) -> bool {
    is_close(old.delay, new.delay, tolerance.delay)
        && is_close(old.produced, new.produced, 0)
        && is_close(old.consumed, new.consumed, 0)
        && is_close(old.per_replica, new.per_replica, 0)
}

fn is_close(stored: Option<i64>, next: Option<i64>, tolerance: i64) -> bool {
    match (stored, next) {
        (Some(old), Some(new)) => {
            let moved = old.abs_diff(new);
            moved <= tolerance.unsigned_abs() || moved.saturating_mul(CLOSE) <= old.unsigned_abs()
        }
        (old, new) => old == new,
    }
}

fn memory_is_new(stored: &Memory, next: &Memory) -> bool {
    let (before, after) = (&stored.model, &next.model);
    let is_same_rate = |stored: Option<Rate>, next: Option<Rate>| {
        let is_recent = match (stored, next) {
            (Some(old), Some(new)) => new.time.duration_since(old.time) <= MEMORY_AGE,
            _ => true,
        };
        is_recent && is_close(stored.map(|r| r.milli), next.map(|r| r.milli), 0)
    };
    let rate = |throughput: Throughput| Rate {
        milli: throughput.milli,
        time: throughput.time,
    };
    let is_same_capacity = match (before.capacity, after.capacity) {
        (Some(old), Some(new)) => {
            let is_recent = match (old.time, new.time) {
                (Some(old), Some(new)) => new.duration_since(old) <= MEMORY_AGE,
                (old, new) => old == new,
            };
            is_recent
                && old.measured == new.measured
                && is_close(Some(old.milli), Some(new.milli), 0)
        }
        (old, new) => old == new,
    };
    let consumers = |model: &CapacityModel| model.saturated.map(|s| s.consumers);
    let numbers_are_same = is_same_capacity
        && is_same_rate(before.lower_bound, after.lower_bound)
        && consumers(before) == consumers(after)
        && is_same_rate(before.saturated.map(rate), after.saturated.map(rate));
    let others = Memory {
        model: CapacityModel {
            capacity: before.capacity,
            lower_bound: before.lower_bound,
            saturated: before.saturated,
            ..after.clone()
        },
        ..next.clone()
    };
    !numbers_are_same || others != *stored
}

#[cfg(test)]
mod tests;
