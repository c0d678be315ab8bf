//! What a poller keeps from poll to poll: the little that rules 6 and 7 need, and what is read less
//! often than every poll. Pure.

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

/// What a poller keeps of its cluster.
#[derive(Debug, Clone, Default)]
pub(in crate::kafka::poller) struct Memory {
    pub(super) polls: u64,
    pub(super) cluster_id: Option<Arc<str>>,
    pub(in crate::kafka::poller) brokers: Vec<NodeId>,
    /// The names of all topics, and when they were listed.
    pub(in crate::kafka::poller) names: Option<(Instant, Known<BTreeSet<Arc<str>>>)>,
    pub(super) topics: BTreeMap<Arc<str>, TopicMemory>,
    pub(super) groups: BTreeMap<Arc<str>, GroupMemory>,
    /// What was too much to read.
    pub(super) refused: BTreeMap<Subject, Refused>,
}

/// A selection that is not read, and the time until which it is skipped.
#[derive(Debug, Clone)]
pub(super) struct Refused {
    pub(super) error: ReadError,
    pub(super) until: Instant,
}

impl Memory {
    /// The memory for a trial poll with other credentials. It asks for topics by their known names:
    /// a list of all leaves out, without an error, those that may not be described.
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

/// What is kept of a topic.
#[derive(Debug, Clone, Default)]
pub(super) struct TopicMemory {
    /// The accepted number of partitions.
    pub(super) count: Option<usize>,
    /// Whether the last description had fewer partitions.
    shrunk: bool,
    /// Descriptions in a row that reported no such topic.
    missing: u32,
    pub(super) internal: bool,
    /// The last known start of each partition's log.
    pub(super) starts: BTreeMap<i32, Offset>,
}

/// What a poll uses for a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TopicState {
    /// It has this many partitions.
    Partitions(usize),
    /// It does not exist.
    Absent,
    /// It is unknown.
    Unknown(ReadError),
}

impl TopicMemory {
    /// Records a description. While brokers disagree, a count may go 20, 4, 20 within 200 ms, and a
    /// topic may exist and not exist. Fewer partitions than before are accepted when they are
    /// reported twice in a row (`kafka.md`, rule 7).
    pub(super) fn accept(&mut self, described: &Known<TopicLayout>) -> TopicState {
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
                TopicState::Partitions(self.count.unwrap_or(count))
            }
            Err(ReadError::UnknownTopic) => {
                self.missing += 1;
                match self.count {
                    _ if self.missing > 1 => {
                        self.count = None;
                        self.starts.clear();
                        TopicState::Absent
                    }
                    Some(count) => TopicState::Partitions(count),
                    None => TopicState::Unknown(ReadError::UnknownTopic),
                }
            }
            Err(error) => TopicState::Unknown(error.clone()),
        }
    }
}

/// What is kept of a group.
#[derive(Debug, Clone, Default)]
pub(super) struct GroupMemory {
    pub(super) coordinator: Option<NodeId>,
    pub(super) protocol: Option<Protocol>,
    /// The last description, or why there is none.
    pub(super) description: Option<Known<Description>>,
    /// When it was read, and the entry in the list at that time.
    pub(super) described: Option<(Instant, Listing)>,
    /// Since when, and in how many polls in a row, the coordinator has reported that there is no
    /// such group.
    pub(super) dead: Option<(Instant, u32)>,
    /// Whether it has ever existed.
    pub(super) existed: bool,
    /// The committed offsets that were accepted last.
    pub(super) commits: Commits,
    /// Where its partitions ended before they were first found.
    pub(super) earlier: Earlier,
    /// The topics that were last assigned to its members.
    pub(super) assigned: BTreeSet<Arc<str>>,
    /// The topics in which it has committed, and when they were read.
    pub(super) committed: Option<(Instant, Known<BTreeSet<Arc<str>>>)>,
    /// Since when some of those have been missing.
    fewer_since: Option<Instant>,
}

/// A group's entry in a broker's list. A change of it makes a description due.
pub(super) type Listing = (Option<GroupState>, Protocol);

impl GroupMemory {
    /// Whether members have to be read although no user asked for them.
    pub(super) fn description_due(&self, listing: Listing, oldest: Instant) -> bool {
        // A description that was too long is not repeated sooner.
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

    /// Records a description.
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
            // A rebalance hides some or all partitions: nothing is forgotten before it is over.
            self.assigned.extend(assigned);
        }
        self.described = Some((at, listing));
        self.description = Some(Ok(description));
    }

    /// Records that a description is too long, or that it and earlier ones have more than `limit`
    /// topics. Nothing of it or of earlier ones is kept.
    pub(super) fn refuse(&mut self, at: Instant, listing: Listing, error: ReadError) {
        self.assigned.clear();
        self.described = Some((at, listing));
        self.description = Some(Err(error));
    }

    /// Records a failed description. An older one stays.
    pub(super) fn reject(&mut self, error: &ReadError) {
        match &mut self.description {
            Some(Ok(_)) => {}
            other => *other = Some(Err(error.clone())),
        }
        self.described = None;
    }

    /// Records the topics in which it has committed. Fewer than before are accepted, like lower
    /// offsets, after they have been read for the time `regression_grace`.
    pub(super) fn accept_committed(
        &mut self,
        now: Instant,
        topics: Known<BTreeSet<Arc<str>>>,
        regression_grace: Duration,
    ) {
        if let Some((_, Ok(before))) = &self.committed {
            let Ok(topics) = &topics else {
                return;
            };
            if !topics.is_superset(before) {
                let since = *self.fewer_since.get_or_insert(now);
                if now.duration_since(since) < regression_grace {
                    return;
                }
            }
        }
        self.fewer_since = None;
        self.committed = Some((now, topics));
    }

    /// Records that its coordinator reports no such group, and returns whether that is accepted:
    /// after two reports in a row (`kafka.md`, rule 7) and, for a group that existed before, after
    /// reports for the time `regression_grace`.
    pub(super) fn accept_dead(&mut self, now: Instant, regression_grace: Duration) -> bool {
        let (since, times) = self.dead.unwrap_or((now, 0));
        self.dead = Some((since, times.saturating_add(1)));
        let gone = times > 0 && (!self.existed || now.duration_since(since) >= regression_grace);
        if gone {
            self.existed = false;
            self.commits.clear();
        }
        gone
    }

    /// Records that it exists.
    pub(super) fn accept_alive(&mut self) {
        self.dead = None;
        self.existed = true;
    }

    /// Whether it has members, as far as is known.
    pub(super) fn has_members(&self) -> Known<bool> {
        match &self.description {
            Some(Ok(description)) => Ok(!description.members.is_empty()),
            Some(Err(error)) => Err(error.clone()),
            None => Err(ReadError::NotYetRead),
        }
    }
}
