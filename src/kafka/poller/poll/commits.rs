//! Whether a committed offset is accepted. Pure.
//!
//! A broker that has just become coordinator answers up to the high watermark that it had as a
//! follower, without an error. For a second or more after a coordinator was killed, groups are
//! `Dead` with nothing committed, or have an older offset (observed on Kafka 4.4: 1.3 s, until the
//! other replicas fetch from the new leader). Taken as lag this would be the whole log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::kafka::model::error::ReadError;
use crate::kafka::model::snapshot::{Known, Offset, Topic, TopicPartition};

/// The committed offsets of a group.
pub(super) struct Committed {
    pub(super) at: Timestamp,
    pub(super) partitions: BTreeMap<TopicPartition, Known<Option<Offset>>>,
}

impl Committed {
    /// A commit beyond the end of a partition cannot have been read: it is unknown, not a negative
    /// lag.
    pub(super) fn refuse_beyond_end(&mut self, topics: &BTreeMap<Arc<str>, Topic>) {
        for (partition, value) in &mut self.partitions {
            let (Ok(Some(committed)), Some(Ok(end))) = (
                &value,
                Topic::partition_of(topics, partition).map(|found| &found.end),
            ) else {
                continue;
            };
            if committed > end {
                *value = Err(ReadError::CommittedBeyondEnd {
                    committed: committed.get(),
                    end: end.get(),
                });
            }
        }
    }
}

/// The committed offsets of a group that were accepted last.
#[derive(Debug, Clone, Default)]
pub(super) struct Commits(BTreeMap<TopicPartition, LastCommit>);

#[derive(Debug, Clone)]
struct LastCommit {
    offset: Offset,
    /// Since when a lower value has been read.
    back_since: Option<Instant>,
}

impl Commits {
    /// Forgets everything: the group is gone.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Forgets partitions that are gone or that are no longer asked for.
    pub(super) fn retain(&mut self, keep: impl Fn(&TopicPartition) -> bool) {
        self.0.retain(|partition, _| keep(partition));
    }

    /// The value to use for an answer. A lower value is accepted when nothing else has been read
    /// for the time `regression_grace`.
    pub(super) fn accept(
        &mut self,
        partition: &TopicPartition,
        answer: Known<Option<Offset>>,
        now: Instant,
        regression_grace: Duration,
    ) -> Known<Option<Offset>> {
        let read = answer?;
        let Some(last) = self.0.get_mut(partition) else {
            self.keep(partition, read);
            return Ok(read);
        };
        if read < Some(last.offset) {
            let since = *last.back_since.get_or_insert(now);
            if now.duration_since(since) < regression_grace {
                return Err(ReadError::CommittedWentBack {
                    from: last.offset.get(),
                    to: read.map(Offset::get),
                });
            }
        }
        self.keep(partition, read);
        Ok(read)
    }

    fn keep(&mut self, partition: &TopicPartition, read: Option<Offset>) {
        match read {
            Some(offset) => {
                let last = LastCommit {
                    offset,
                    back_since: None,
                };
                self.0.insert(partition.clone(), last);
            }
            None => {
                self.0.remove(partition);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const REGRESSION_GRACE: Duration = Duration::from_secs(20);

    /// The values that are used when these are read, a second apart: an offset, -1 for nothing
    /// committed, -2 for an error.
    fn accepted(read: &[i64]) -> Vec<Known<Option<i64>>> {
        let mut commits = Commits::default();
        let partition = TopicPartition {
            topic: "t".into(),
            partition: 0,
        };
        let begin = Instant::now();
        let accepted = (0..).zip(read).map(|(second, read)| {
            let answer = match read {
                -2 => Err(ReadError::TimedOut),
                -1 => Ok(None),
                offset => Ok(Offset::new(*offset)),
            };
            let now = begin + Duration::from_secs(second);
            let accepted = commits.accept(&partition, answer, now, REGRESSION_GRACE);
            accepted.map(|offset| offset.map(Offset::get))
        });
        accepted.collect()
    }

    fn back(from: i64, to: Option<i64>) -> Known<Option<i64>> {
        Err(ReadError::CommittedWentBack { from, to })
    }

    #[rstest]
    #[case::forward(&[-1, 0, 5, 5, 9], &[Ok(None), Ok(Some(0)), Ok(Some(5)), Ok(Some(5)), Ok(Some(9))])]
    #[case::gone_for_a_moment(&[9, -1, -1, 9], &[Ok(Some(9)), back(9, None), back(9, None), Ok(Some(9))])]
    #[case::older_for_a_moment(&[9, 4, 6, 10], &[Ok(Some(9)), back(9, Some(4)), back(9, Some(6)), Ok(Some(10))])]
    #[case::an_error_between(&[9, -2, 4, -2, 9], &[Ok(Some(9)), Err(ReadError::TimedOut), back(9, Some(4)), Err(ReadError::TimedOut), Ok(Some(9))])]
    fn a_lower_offset_is_not_accepted_at_once(
        #[case] read: &[i64],
        #[case] expected: &[Known<Option<i64>>],
    ) {
        assert_eq!(accepted(read), expected);
    }

    #[rstest]
    #[case::reset(4, Some(4))]
    #[case::deleted(-1, None)]
    fn an_offset_that_stays_lower_is_accepted(#[case] read: i64, #[case] expected: Option<i64>) {
        let mut series = vec![9];
        series.extend([read; 22]);
        let accepted = accepted(&series);
        assert_eq!(accepted[20], back(9, expected));
        assert_eq!(accepted[21..], [Ok(expected), Ok(expected)]);
    }
}
