//! What a poller carries from look to look: the little that rules 6 and 7 need, and what is read
//! more rarely than looked. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::backlog_age::Earlier;
use super::commits::Commits;
use crate::kafka::model::error::ReadError;
use crate::kafka::model::snapshot::{Description, GroupState, Known, NodeId, Offset, Protocol};
use crate::kafka::poller::quota::Subject;
use crate::kafka::reader::TopicLayout;

/// What a poller remembers of its cluster.
#[derive(Debug, Clone, Default)]
pub(in crate::kafka::poller) struct Memory {
    pub(super) looks: u64,
    pub(super) cluster_id: Option<Arc<str>>,
    pub(in crate::kafka::poller) brokers: Vec<NodeId>,
    /// The names of all topics, and when they were listed.
    pub(in crate::kafka::poller) names: Option<(Instant, Known<BTreeSet<Arc<str>>>)>,
    pub(super) topics: BTreeMap<Arc<str>, TopicMemory>,
    pub(super) groups: BTreeMap<Arc<str>, GroupMemory>,
    /// What there was too much of to be read.
    pub(super) refused: BTreeMap<Subject, Refused>,
}

/// A selection that is not read, and until when it is not looked into again.
#[derive(Debug, Clone)]
pub(super) struct Refused {
    pub(super) error: ReadError,
    pub(super) until: Instant,
}

impl Memory {
    /// For a look with other credentials that is not to count. It asks for the topics that are
    /// known by name: one that may not be described is left out of a list of all without a word.
    pub(in crate::kafka::poller) fn for_rehearsal(
        &self,
        brokers: Vec<NodeId>,
        now: Instant,
    ) -> Self {
        let mut memory = self.clone();
        memory.brokers = brokers;
        if let Some((listed, Ok(_))) = &mut memory.names {
            *listed = now;
        }
        memory
    }
}

/// What is remembered of a topic.
#[derive(Debug, Clone, Default)]
pub(super) struct TopicMemory {
    /// The partition count that is believed.
    pub(super) count: Option<usize>,
    /// The last description that answered gave fewer partitions.
    shrunk: bool,
    /// Descriptions in a row that said that there is no such topic.
    missing: u32,
    pub(super) internal: bool,
    /// The last known start of each partition's log.
    pub(super) starts: BTreeMap<i32, Offset>,
}

/// What a look is to believe of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Belief {
    /// It has this many partitions.
    Partitions(usize),
    /// It does not exist.
    Absent,
    /// It cannot be said.
    Unknown(ReadError),
}

impl TopicMemory {
    /// Takes a description in. While brokers disagree, a count may go 20, 4, 20 within 200 ms, and
    /// a topic be there and not be there: less than before is believed when it is seen twice in a
    /// row (`kafka.md`, rule 7).
    pub(super) fn accept(&mut self, described: &Known<TopicLayout>) -> Belief {
        match described {
            Ok(layout) => {
                self.missing = 0;
                self.internal = layout.internal;
                let count = layout.leaders.len();
                let fewer = self.count.is_some_and(|known| count < known);
                if fewer && !self.shrunk {
                    self.shrunk = true;
                } else {
                    self.shrunk = false;
                    self.count = Some(count);
                    self.starts.retain(|partition, _| {
                        usize::try_from(*partition).is_ok_and(|partition| partition < count)
                    });
                }
                Belief::Partitions(self.count.unwrap_or(count))
            }
            Err(ReadError::UnknownTopic) => {
                self.missing += 1;
                match self.count {
                    _ if self.missing > 1 => {
                        self.count = None;
                        self.starts.clear();
                        Belief::Absent
                    }
                    Some(count) => Belief::Partitions(count),
                    None => Belief::Unknown(ReadError::UnknownTopic),
                }
            }
            Err(error) => Belief::Unknown(error.clone()),
        }
    }
}

/// What is remembered of a group.
#[derive(Debug, Clone, Default)]
pub(super) struct GroupMemory {
    pub(super) coordinator: Option<NodeId>,
    pub(super) protocol: Option<Protocol>,
    /// The last description, or why there is none.
    pub(super) description: Option<Known<Description>>,
    /// When it was read, and what the list then said.
    pub(super) described: Option<(Instant, Listing)>,
    /// Since when, and in how many looks in a row, the coordinator has said that there is no such
    /// group.
    pub(super) dead: Option<(Instant, u32)>,
    /// It has been seen alive.
    pub(super) existed: bool,
    /// What it was last believed to have committed.
    pub(super) commits: Commits,
    /// Where its partitions ended before they were first seen.
    pub(super) earlier: Earlier,
    /// The topics that its members were last seen with.
    pub(super) assigned: BTreeSet<Arc<str>>,
    /// The topics in which it has committed, and when they were read.
    pub(super) committed: Option<(Instant, Known<BTreeSet<Arc<str>>>)>,
    /// Since when some of those have been missing.
    fewer_since: Option<Instant>,
}

/// What a broker's list says of a group; a change of it makes a description due.
pub(super) type Listing = (Option<GroupState>, Protocol);

impl GroupMemory {
    /// Whether members have to be read though nobody asked for them.
    pub(super) fn description_due(&self, listing: Listing, oldest: Instant) -> bool {
        // One that is too long is not asked for sooner for that.
        let failed = match &self.description {
            Some(Ok(_)) => false,
            Some(Err(error)) => !error.is_too_much(),
            None => true,
        };
        match self.described {
            Some((at, before)) => {
                failed || listing.0.is_none() || before != listing || at <= oldest
            }
            None => true,
        }
    }

    /// Takes a description in.
    pub(super) fn accept(&mut self, at: Instant, listing: Listing, description: Description) {
        let assigned: BTreeSet<_> = description
            .members
            .iter()
            .flat_map(|member| member.assigned.iter().chain(member.target.iter().flatten()))
            .map(|partition| Arc::clone(&partition.topic))
            .collect();
        if description.members.is_empty() {
            self.assigned.clear();
        } else if description.state == Ok(GroupState::Stable) && !assigned.is_empty() {
            self.assigned = assigned;
        } else {
            // A rebalance hides some partitions or all: nothing is forgotten before it is over.
            self.assigned.extend(assigned);
        }
        self.described = Some((at, listing));
        self.description = Some(Ok(description));
    }

    /// Takes in that a description is too long, or, with the ones before it, names more than
    /// `limit` topics: nothing of it is kept, nor of what was older.
    pub(super) fn refuse(&mut self, at: Instant, listing: Listing, error: ReadError) {
        self.assigned.clear();
        self.described = Some((at, listing));
        self.description = Some(Err(error));
    }

    /// Takes a failed description in: what is older stays.
    pub(super) fn reject(&mut self, error: &ReadError) {
        match &mut self.description {
            Some(Ok(_)) => {}
            other => *other = Some(Err(error.clone())),
        }
        self.described = None;
    }

    /// Takes in the topics in which it has committed. Fewer than before are believed, as with the
    /// offsets themselves, when that has been read for as long as `doubt`.
    pub(super) fn accept_committed(
        &mut self,
        now: Instant,
        topics: Known<BTreeSet<Arc<str>>>,
        doubt: Duration,
    ) {
        if let Some((_, Ok(before))) = &self.committed {
            let Ok(topics) = &topics else {
                return;
            };
            if !topics.is_superset(before) {
                let since = *self.fewer_since.get_or_insert(now);
                if now.duration_since(since) < doubt {
                    return;
                }
            }
        }
        self.fewer_since = None;
        self.committed = Some((now, topics));
    }

    /// Takes in that its coordinator says that there is no such group. Whether to believe it: when
    /// it is said twice in a row (`kafka.md`, rule 7), and of a group that was there before, when
    /// it has been said for as long as `doubt`.
    pub(super) fn accept_dead(&mut self, now: Instant, doubt: Duration) -> bool {
        let (since, times) = self.dead.unwrap_or((now, 0));
        self.dead = Some((since, times.saturating_add(1)));
        let gone = times > 0 && (!self.existed || now.duration_since(since) >= doubt);
        if gone {
            self.existed = false;
            self.commits.clear();
        }
        gone
    }

    /// Takes in that it exists.
    pub(super) fn accept_alive(&mut self) {
        self.dead = None;
        self.existed = true;
    }

    /// Whether it has members, as far as was last seen.
    pub(super) fn has_members(&self) -> Known<bool> {
        match &self.description {
            Some(Ok(description)) => Ok(!description.members.is_empty()),
            Some(Err(error)) => Err(error.clone()),
            None => Err(ReadError::NotYetRead),
        }
    }
}
