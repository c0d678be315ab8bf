//! Whether a status says enough that is new to be written, and how soon (decision 29). Pure.

use std::time::Duration;

use jiff::SignedDuration;

use crate::{
    api::{ConsumerGroupStatus, LagStatus, RateStatus, condition::types, milli_of},
    scaling::{Memory, decision::HoldReason},
};

use super::report;

/// Numbers this close to those that are stored say nothing new: a twentieth ...
const CLOSE: u64 = 20;
/// Memory is written when the best consumption was measured so much later than the stored one.
const MEMORY_AGE: SignedDuration = SignedDuration::from_mins(30);

/// How much a status says that the stored one does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum News {
    /// Nothing.
    None,
    /// Numbers have moved a little.
    Drift,
    /// Numbers have moved.
    Numbers,
    /// Something that a reader waits for.
    Words,
}

impl News {
    /// How long after the last write it is worth another; `None`: never.
    pub(super) fn due_after(self) -> Option<Duration> {
        match self {
            Self::None => None,
            Self::Drift => Some(Duration::from_mins(10)),
            Self::Numbers => Some(Duration::from_mins(1)),
            Self::Words => Some(Duration::ZERO),
        }
    }
}

/// Compares two statuses of one group. A lag that differs by less than `grain` is as good as equal.
pub(super) fn of(stored: &ConsumerGroupStatus, next: &ConsumerGroupStatus, grain: i64) -> News {
    let (memory, next_memory) = (
        report::memory_of(Some(stored)),
        report::memory_of(Some(next)),
    );
    if memory_is_new(&memory, &next_memory) || words(stored) != words(next) {
        return News::Words;
    }
    let told = |status: &ConsumerGroupStatus| ConsumerGroupStatus {
        memory: None,
        ..status.clone()
    };
    if told(stored) == told(next) {
        return News::None;
    }
    let close = lag_is_close(stored.lag.as_ref(), next.lag.as_ref(), grain)
        && rate_is_close(stored.rate.as_ref(), next.rate.as_ref())
        && shape(stored) == shape(next);
    if close { News::Drift } else { News::Numbers }
}

/// A status without everything that moves with every message.
fn words(status: &ConsumerGroupStatus) -> ConsumerGroupStatus {
    let mut status = without_numbers(status);
    if let Some(decision) = &mut status.decision {
        decision.message.clear();
        if decision.action == "Hold" {
            decision.not_before = None;
            // Whether a smaller size is out of the question or would not carry what arrives turns on the lag alone.
            if decision.reason == HoldReason::ArrivalsTooHigh.as_str() {
                HoldReason::AsDesired
                    .as_str()
                    .clone_into(&mut decision.reason);
            }
            decision.time = None;
            if let Some(replicas) = &mut status.replicas {
                replicas.desired = None;
            }
        }
    }
    // What limits a size moves with the lag alone, so it is a number that happens to have a name.
    status
        .conditions
        .retain(|condition| condition.type_ != types::SCALING_LIMITED);
    for condition in &mut status.conditions {
        condition.message.clear();
    }
    status
}

/// A status with its messages, but without the digits in them.
fn shape(status: &ConsumerGroupStatus) -> ConsumerGroupStatus {
    let mut status = without_numbers(status);
    let blank = |text: &mut String| text.retain(|c| !c.is_ascii_digit());
    if let Some(decision) = &mut status.decision {
        blank(&mut decision.message);
    }
    for condition in &mut status.conditions {
        blank(&mut condition.message);
    }
    status
}

fn without_numbers(status: &ConsumerGroupStatus) -> ConsumerGroupStatus {
    ConsumerGroupStatus {
        memory: None,
        rate: status.rate.as_ref().map(|_| RateStatus::default()),
        lag: status.lag.as_ref().map(|lag| LagStatus {
            total: lag.total.map(|_| 0),
            max: lag.max.map(|_| 0),
            max_partition: None,
            unknown_partitions: lag.unknown_partitions,
        }),
        ..status.clone()
    }
}

fn lag_is_close(stored: Option<&LagStatus>, next: Option<&LagStatus>, grain: i64) -> bool {
    let close =
        |of: fn(&LagStatus) -> Option<i64>| is_close(stored.and_then(of), next.and_then(of), grain);
    close(|lag| lag.total) && close(|lag| lag.max)
}

fn rate_is_close(stored: Option<&RateStatus>, next: Option<&RateStatus>) -> bool {
    let close = |of: fn(&RateStatus) -> Option<&String>| {
        let milli = |rate: Option<&RateStatus>| rate.and_then(of).and_then(|text| milli_of(text));
        is_close(milli(stored), milli(next), 0)
    };
    close(|rate| rate.produced.as_ref())
        && close(|rate| rate.consumed.as_ref())
        && close(|rate| rate.per_replica.as_ref())
}

fn is_close(stored: Option<i64>, next: Option<i64>, grain: i64) -> bool {
    match (stored, next) {
        (Some(old), Some(new)) => {
            let moved = old.abs_diff(new);
            moved <= grain.unsigned_abs() || moved.saturating_mul(CLOSE) <= old.unsigned_abs()
        }
        (old, new) => old == new,
    }
}

fn memory_is_new(stored: &Memory, next: &Memory) -> bool {
    let milli = |memory: &Memory| memory.best.map(|best| best.milli);
    let later = match (stored.best, next.best) {
        (Some(old), Some(new)) => new.time.duration_since(old.time) > MEMORY_AGE,
        _ => false,
    };
    let others = Memory {
        best: stored.best,
        ..next.clone()
    };
    later || !is_close(milli(stored), milli(next), 0) || others != *stored
}

#[cfg(test)]
mod tests;
