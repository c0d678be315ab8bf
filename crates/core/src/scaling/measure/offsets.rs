//! Interprets the offsets of a poll before anything is computed from them: a commit in an empty
//! partition, partitions that are read without a commit, and what an aborted transaction leaves.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::scaling::input::observation::{Commit, GroupSnapshot, GroupState, Partition, Topic};
use crate::scaling::input::policy::{OffsetReset, Policy};
use crate::scaling::tuning::Tuning;

/// What is remembered of partitions whose offsets alone are not conclusive.
#[derive(Debug, Clone, Default)]
pub(in crate::scaling) struct Offsets {
    /// Partitions that are read and have no commit.
    uncommitted: BTreeMap<(Arc<str>, usize), Uncommitted>,
    /// Partitions with only a few offsets left.
    left: BTreeMap<(Arc<str>, usize), Left>,
    /// Since when records have been read without any commit of the whole group.
    nothing_committed: Option<Timestamp>,
    unknown: usize,
}

/// A partition with an owner and without a commit.
#[derive(Debug, Clone, Copy)]
struct Uncommitted {
    /// Its end when it was first seen in this state.
    end: i64,
}

/// The offsets left in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Left {
    end: i64,
    committed: i64,
    since: Timestamp,
}

impl Offsets {
    /// Interprets the offsets of the poll. `is_new`: the poll has not been recorded before.
    pub(in crate::scaling) fn read(
        &mut self,
        policy: &Policy,
        snapshot: &mut GroupSnapshot,
        is_new: bool,
    ) {
        if is_new {
            self.take(policy, snapshot);
        }
        let nothing_for = self
            .nothing_committed
            .map(|since| snapshot.at.duration_since(since));
        self.unknown = 0;
        let overdue =
            nothing_for.is_some_and(|lasts| lasts >= policy.tuning.offsets.commits_awaited);
        for topic in snapshot.topics.iter_mut().filter(|topic| topic.is_own()) {
            let (is_counted, unreadable_after) =
                (topic.is_counted(), unreadable_after(topic, &policy.tuning));
            for (index, partition) in topic.partitions.iter_mut().flatten().enumerate() {
                if is_empty(partition) && matches!(partition.committed, Commit::At(_)) {
                    partition.committed = partition.log_end.map_or(Commit::Unknown, Commit::At);
                }
                let place = (Arc::clone(&topic.name), index);
                if is_counted
                    && let Some(seen) = self.uncommitted.get(&place)
                    && partition.committed == Commit::Absent
                    && partition.log_end.is_some_and(|end| end > seen.end)
                    && (policy.offset_reset == OffsetReset::Latest || overdue)
                {
                    partition.committed = Commit::Unknown;
                    self.unknown += 1;
                }
                if let Some(left) = self.left.get(&place)
                    && snapshot.at.duration_since(left.since) >= unreadable_after
                    && partition.committed == Commit::At(left.committed)
                    && partition.log_end == Some(left.end)
                {
                    partition.committed = Commit::At(left.end);
                }
            }
        }
    }

    /// Partitions of the last poll whose lag is unknown because nothing has been committed for
    /// them.
    pub(in crate::scaling) fn unknown(&self) -> usize {
        self.unknown
    }

    /// Since when consumers have read records without committing anything, if the lag is unknown
    /// for that reason.
    pub(in crate::scaling) fn nothing_committed(&self) -> Option<Timestamp> {
        self.nothing_committed.filter(|_| self.unknown > 0)
    }

    fn take(&mut self, policy: &Policy, snapshot: &GroupSnapshot) {
        match snapshot.group.state {
            GroupState::Stable => {}
            // The members keep their records until a stable group shows that they lost the
            // partitions.
            GroupState::Rebalancing | GroupState::Unknown => {
                self.left.clear();
                return;
            }
            GroupState::Empty | GroupState::Dead => {
                *self = Self::default();
                return;
            }
        }
        let before = std::mem::take(self);
        let most = policy.tuning.offsets.unreadable_most();
        let mut is_read = false;
        let mut is_committed = false;
        for topic in snapshot.topics.iter().filter(|topic| topic.is_own()) {
            for (index, partition) in topic.partitions.iter().flatten().enumerate() {
                let place = || (Arc::clone(&topic.name), index);
                let Some(end) = partition.log_end else {
                    continue;
                };
                match partition.committed {
                    Commit::Absent if partition.owner.is_some() && topic.is_counted() => {
                        let seen = before.uncommitted.get(&place()).copied();
                        // An end that went back belongs to a recreated topic.
                        let seen = seen
                            .filter(|seen| seen.end <= end)
                            .unwrap_or(Uncommitted { end });
                        is_read |= end > seen.end;
                        self.uncommitted.insert(place(), seen);
                    }
                    Commit::At(committed) => {
                        is_committed = true;
                        let left = end - committed;
                        if policy.may_hold_markers
                            && partition.owner.is_some()
                            && (1..=most).contains(&left)
                        {
                            let now = Left {
                                end,
                                committed,
                                since: snapshot.at,
                            };
                            let same = before.left.get(&place()).copied();
                            let same =
                                same.filter(|same| (same.end, same.committed) == (end, committed));
                            self.left.insert(place(), same.unwrap_or(now));
                        }
                    }
                    Commit::Absent | Commit::Unknown => {}
                }
            }
        }
        self.nothing_committed =
            (is_read && !is_committed).then(|| before.nothing_committed.unwrap_or(snapshot.at));
    }
}

/// How long the offsets left in a partition must stay unread before they count as unreadable.
fn unreadable_after(topic: &Topic, tuning: &Tuning) -> SignedDuration {
    if topic.is_counted() {
        tuning.offsets.unreadable_after
    } else {
        tuning.offsets.delayed_most
    }
}

/// Whether a partition holds no record, whatever its commit.
fn is_empty(partition: &Partition) -> bool {
    partition.log_end == Some(0)
        || (partition.log_end.is_some() && partition.log_start == partition.log_end)
}
