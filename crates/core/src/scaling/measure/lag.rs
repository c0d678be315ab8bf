//! The lag of one poll, partition by partition. Unknown is never zero, and lag is never negative.

use std::sync::Arc;

use crate::scaling::input::observation::{Commit, GroupSnapshot, Partition, TopicRole};
use crate::scaling::input::policy::OffsetReset;

/// How many unknown partitions are named.
const NAMED_UNKNOWN: usize = 8;

/// Lag of one poll, in records.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lag {
    /// Sum over the known partitions.
    pub total: i64,
    /// The largest lag of one partition.
    pub max: i64,
    /// The partition with the largest lag.
    pub max_partition: Option<(Arc<str>, i32)>,
    /// Partitions with an unknown lag.
    pub unknown: i32,
    /// The first few partitions with an unknown lag.
    pub unknown_partitions: Vec<(Arc<str>, i32)>,
}

/// Lag of one partition in records, or `None` if it is unknown.
///
/// | committed | lag |
/// |---|---|
/// | at c, log start <= c <= end | end - c |
/// | before the log start | end - log start: expired records do not wait to be read |
/// | past the end | unknown: set by hand, or the topic was recreated; 0 if empty, see `offsets` |
/// | nothing | latest: 0, consumers start at the end; earliest: end - log start |
/// | unknown, or no end offset | unknown |
pub fn of_partition(partition: &Partition, reset: OffsetReset) -> Option<i64> {
    let end = partition.log_end?;
    match partition.committed {
        Commit::At(committed) if committed > end => None,
        Commit::At(committed) => {
            Some(end - committed.max(partition.log_start.unwrap_or(0)).min(end))
        }
        Commit::Absent if reset == OffsetReset::Latest => Some(0),
        Commit::Absent => partition.log_start.map(|start| (end - start).max(0)),
        Commit::Unknown => None,
    }
}

/// The first partition whose commit is past its log end.
pub(in crate::scaling) fn past_its_end(snapshot: &GroupSnapshot) -> Option<(Arc<str>, i32)> {
    let past =
        |p: &Partition| matches!((p.committed, p.log_end), (Commit::At(c), Some(end)) if c > end);
    snapshot
        .topics
        .iter()
        .filter(|t| t.is_counted())
        .find_map(|topic| {
            let index = topic.partitions.as_deref()?.iter().position(past)?;
            Some((Arc::clone(&topic.name), i32::try_from(index).ok()?))
        })
}

/// Sums the lag of a poll over the counted topics. A topic that could not be read counts as one
/// unknown partition.
pub(in crate::scaling) fn of_poll(snapshot: &GroupSnapshot, reset: OffsetReset) -> Lag {
    let mut lag = Lag::default();
    for topic in snapshot.topics.iter().filter(|t| t.is_counted()) {
        match topic.partitions.as_deref() {
            None | Some([]) => unknown(&mut lag, &topic.name, 0),
            Some(partitions) => {
                for (index, partition) in (0..).zip(partitions) {
                    match of_partition(partition, reset) {
                        Some(records) => add(&mut lag, &topic.name, index, records),
                        None => unknown(&mut lag, &topic.name, index),
                    }
                }
            }
        }
    }
    lag
}

/// Known waiting records in delayed topics.
pub(in crate::scaling) fn delayed(snapshot: &GroupSnapshot, reset: OffsetReset) -> i64 {
    let delayed = snapshot
        .topics
        .iter()
        .filter(|t| t.role == TopicRole::Delayed);
    let partitions = delayed.flat_map(|t| t.partitions.iter().flatten());
    let lags = partitions.filter_map(|partition| of_partition(partition, reset));
    lags.fold(0, i64::saturating_add)
}

fn add(lag: &mut Lag, topic: &Arc<str>, index: i32, records: i64) {
    lag.total = lag.total.saturating_add(records);
    if records > lag.max {
        lag.max = records;
        lag.max_partition = Some((Arc::clone(topic), index));
    }
}

fn unknown(lag: &mut Lag, topic: &Arc<str>, index: i32) {
    lag.unknown = lag.unknown.saturating_add(1);
    if lag.unknown_partitions.len() < NAMED_UNKNOWN {
        lag.unknown_partitions.push((Arc::clone(topic), index));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn partition(log_start: Option<i64>, log_end: Option<i64>, committed: Commit) -> Partition {
        Partition {
            log_start,
            log_end,
            committed,
            owner: Some(0),
        }
    }

    #[rstest]
    #[case::behind(Some(0), Some(100), Commit::At(40), Some(60))]
    #[case::at_the_end(Some(0), Some(100), Commit::At(100), Some(0))]
    #[case::past_the_end_is_unknown(Some(0), Some(5), Commit::At(999), None)]
    #[case::expired_records_do_not_wait(Some(70), Some(100), Commit::At(40), Some(30))]
    #[case::start_not_read_yet(None, Some(100), Commit::At(40), Some(60))]
    #[case::no_end(Some(0), None, Commit::At(40), None)]
    #[case::no_commit_known(Some(0), Some(100), Commit::Unknown, None)]
    fn lag_of_a_partition(
        #[case] start: Option<i64>,
        #[case] end: Option<i64>,
        #[case] committed: Commit,
        #[case] lag: Option<i64>,
    ) {
        assert_eq!(
            of_partition(&partition(start, end, committed), OffsetReset::Latest),
            lag
        );
    }

    #[rstest]
    #[case(OffsetReset::Latest, Some(10), Some(0))]
    #[case(OffsetReset::Earliest, Some(10), Some(90))]
    #[case(OffsetReset::Earliest, None, None)]
    fn without_a_commit_the_reset_policy_says_what_is_unread(
        #[case] reset: OffsetReset,
        #[case] start: Option<i64>,
        #[case] lag: Option<i64>,
    ) {
        assert_eq!(
            of_partition(&partition(start, Some(100), Commit::Absent), reset),
            lag
        );
    }

    proptest! {
        #[test]
        fn lag_is_never_negative(
            start in proptest::option::of(0..1000i64), end in proptest::option::of(0..1000i64),
            commit in prop_oneof![(0..2000i64).prop_map(Commit::At), Just(Commit::Absent), Just(Commit::Unknown)],
            earliest in any::<bool>(),
        ) {
            let reset = if earliest { OffsetReset::Earliest } else { OffsetReset::Latest };
            prop_assert!(of_partition(&partition(start, end, commit), reset).is_none_or(|lag| lag >= 0));
        }
    }
}
