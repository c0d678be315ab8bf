//! The replicas that the objective asks for, and whether the group has nothing to do.

use crate::scaling::input::observation::{Commit, GroupSnapshot};
use crate::scaling::input::policy::{Objective, OffsetReset, Policy};
use crate::scaling::measure::history::History;
use crate::scaling::measure::lag::{self, Lag};
use crate::scaling::measure::limits::Bounds;
use crate::scaling::state::memory::Memory;
use crate::scaling::tuning::Tuning;

/// A transaction marker takes one offset that no consumer reads (ACT-12).
const MARKER: i64 = 1;

/// The demand of the objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::scaling) struct Demand {
    /// Replicas, before bounds and aligned sizes.
    pub(in crate::scaling) asked: i32,
    /// The resulting size: aligned and within the bounds.
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
        // Under `maxDelay` the delay decides.
        Objective::MaxDelay(_) => replicas,
    };
    let wanted = match bounds.at_least(asked) {
        // A size that is not aligned is kept while the lag asks for it, and an uncertain ceiling
        // causes no scale-down (KNOW-17).
        _ if asked == replicas && replicas >= bounds.floor => replicas,
        size if asked >= replicas || asked > size => size.max(replicas),
        size => size,
    };
    Demand { asked, wanted }
}

/// The replicas to which new records wake a group at zero. One replica is enough to read records of
/// a delayed topic when they are due.
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
    // Something else may have moved the commits in the meantime: records before them need no
    // reading.
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
        // The capacity is unknown before the group has worked.
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

/// Records that arrived since the group went to zero. What was left at that time does not count,
/// and expired commits hide nothing. If the sum of the end offsets went back, the topic was
/// recreated and all records are new. If it is unknown, the group stays at zero until it is known.
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

/// The sum of the end offsets minus the records that were not read.
pub(in crate::scaling) fn read_so_far(
    history: &History,
    snapshot: &GroupSnapshot,
    lag: &Lag,
    reset: OffsetReset,
) -> Option<i64> {
    let unread = lag.total.saturating_add(lag::delayed(snapshot, reset));
    Some(history.sum_of_ends(snapshot)? - unread)
}

/// Whether every partition of the target's topics has a commit within its log.
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

/// Notes since when the group has been quiet: no offset has moved since the poll before, and every
/// partition with records has a commit at its end, or one offset before it if the log may hold
/// transaction markers. Nothing distinguishes a marker from a record that takes long. In a delayed
/// topic the last offset is not taken for a marker.
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
    // Within a tenth of what the present size is for.
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
