//! Objective -> replicas wanted; and whether there is nothing at all to do.

use crate::scaling::input::observation::{Commit, GroupSnapshot};
use crate::scaling::input::policy::{Objective, OffsetReset, Policy};
use crate::scaling::measure::history::History;
use crate::scaling::measure::lag::{self, Lag};
use crate::scaling::measure::limits::Bounds;
use crate::scaling::state::memory::Memory;
use crate::scaling::tuning::Tuning;

/// A transaction marker takes one offset that no consumer ever reads (ACT-12).
const MARKER: i64 = 1;

/// What the objective asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::scaling) struct Demand {
    /// Replicas, before bounds and useful counts.
    pub(in crate::scaling) asked: i32,
    /// The size that follows: within the bounds, worth having.
    pub(in crate::scaling) wanted: i32,
}

/// Replicas that the lag asks for.
pub(in crate::scaling) fn of(
    policy: &Policy,
    memory: &Memory,
    bounds: &Bounds,
    replicas: i32,
    live_lag: i64,
    ends: Option<i64>,
    snapshot: &GroupSnapshot,
) -> Demand {
    let asked = match policy.objective {
        _ if replicas == 0 => asked_asleep(policy, memory, live_lag, ends, snapshot),
        Objective::LagPerReplica(per_replica) => {
            by_lag(live_lag, per_replica, replicas, &policy.tuning)
        }
        // The law says it from the delay.
        Objective::MaxDelay(_) => replicas,
    };
    let wanted = match bounds.at_least(asked) {
        // A count that is not worth having is left alone while it is what the lag asks for, and a
        // ceiling that is not certain brings nobody down (KNOW-17).
        _ if asked == replicas && replicas >= bounds.floor => replicas,
        size if asked >= replicas || asked > size => size.max(replicas),
        size => size,
    };
    Demand { asked, wanted }
}

/// What a group that sleeps is woken for. Records that wait on purpose are read by whoever is
/// awake: they ask for one replica.
fn asked_asleep(
    policy: &Policy,
    memory: &Memory,
    live_lag: i64,
    ends: Option<i64>,
    snapshot: &GroupSnapshot,
) -> i32 {
    let delayed = lag::delayed(snapshot, policy.offset_reset);
    let unread = live_lag.saturating_add(delayed);
    let come = come_while_asleep(memory, unread, ends);
    // Somebody else may have moved the commits since: what lies before them is nothing to do.
    let come = if is_committed(snapshot) {
        come.min(unread)
    } else {
        come
    };
    let least = i32::from(come > 0);
    match policy.objective {
        Objective::LagPerReplica(per_replica) => {
            let lag = (come - delayed).max(0);
            by_lag(lag, per_replica, 0, &policy.tuning).max(least)
        }
        // What it can do is not known before it does it.
        Objective::MaxDelay(_) => least,
    }
}

/// `ceil(lag / per_replica)`; the present count if the lag is within a tenth of what that is for.
fn by_lag(lag: i64, per_replica: i64, replicas: i32, tuning: &Tuning) -> i32 {
    let held = per_replica.saturating_mul(i64::from(replicas));
    let percent = tuning.offsets.tolerance_percent();
    let slack = (held / 100).saturating_mul(percent) + held % 100 * percent / 100;
    if replicas > 0 && (lag - held).abs() <= slack {
        return replicas;
    }
    let asked = lag / per_replica + i64::from(lag % per_replica != 0);
    i32::try_from(asked).unwrap_or(i32::MAX)
}

/// What has come since the group fell asleep. A remainder that was there then does not count, and a
/// commit that has expired meanwhile hides nothing. End offsets that went back: the topic was
/// recreated, so all of it is new. What cannot be summed up wakes nobody before it can.
fn come_while_asleep(memory: &Memory, live_lag: i64, ends: Option<i64>) -> i64 {
    match (memory.ends_at_zero, ends) {
        (None, _) => live_lag,
        (Some(ends_at_zero), Some(ends)) if ends >= ends_at_zero => {
            ends.saturating_sub(ends_at_zero)
        }
        (Some(_), Some(ends)) => ends,
        (Some(_), None) => 0,
    }
}

/// The sum of the ends less what has not been read.
pub(in crate::scaling) fn read_so_far(
    history: &History,
    snapshot: &GroupSnapshot,
    lag: &Lag,
    reset: OffsetReset,
) -> Option<i64> {
    let unread = lag.total.saturating_add(lag::delayed(snapshot, reset));
    Some(history.sum_of_ends(snapshot)? - unread)
}

/// Whether every partition that is the target's has a commit within its log.
fn is_committed(snapshot: &GroupSnapshot) -> bool {
    let mut topics = snapshot.topics.iter().filter(|topic| topic.is_own());
    topics.all(|topic| {
        let partitions = topic.partitions.as_deref();
        partitions.is_some_and(|partitions| {
            partitions.iter().all(
                |p| matches!((p.committed, p.log_end), (Commit::At(at), Some(end)) if at <= end),
            )
        })
    })
}

/// Notes since when nothing has come and nothing is unread: no offset moved since the look before,
/// and every partition that holds records has a commit at its end, or one marker before it where
/// there may be markers. Nothing else tells a marker from a record that takes long. Where records
/// wait on purpose, the last one is none.
pub(in crate::scaling) fn note_quiet(
    history: &mut History,
    snapshot: &GroupSnapshot,
    may_hold_markers: bool,
) {
    let moved = history.moved();
    let all_read = snapshot.topics.iter().filter(|t| t.is_own()).all(|topic| {
        let remainder = if may_hold_markers && topic.is_counted() {
            MARKER
        } else {
            0
        };
        topic
            .partitions
            .iter()
            .flatten()
            .all(|p| match (p.log_start, p.log_end, p.committed) {
                (Some(start), Some(end), _) if start == end => true,
                (_, Some(0), _) => true,
                (_, Some(end), Commit::At(committed)) => end - committed <= remainder,
                _ => false,
            })
    });
    if moved || !all_read {
        history.quiet_since = None;
    } else {
        history.quiet_since.get_or_insert(snapshot.at);
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(0, 1000, 3, 0)]
    #[case(1, 1000, 3, 1)]
    #[case(5000, 1000, 1, 5)]
    #[case(5001, 1000, 1, 6)]
    // Within a tenth of what the present count is for.
    #[case(3300, 1000, 3, 3)]
    #[case(2700, 1000, 3, 3)]
    #[case(3301, 1000, 3, 4)]
    #[case(i64::MAX, 1, 3, i32::MAX)]
    fn a_lag_asks_for_replicas(
        #[case] lag: i64,
        #[case] per: i64,
        #[case] replicas: i32,
        #[case] asked: i32,
    ) {
        assert_eq!(by_lag(lag, per, replicas, &Tuning::DEFAULT), asked);
    }
}
