//! What one look at a cluster saw: plain, owned data. Unknown is a value of its own; nothing here
//! reads, decides or retries.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use lagrange_core::intent::topics::TopicSelection;

use super::error::ReadError;

/// The id of a broker (`node.id`), as the cluster's metadata gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub i32);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A position in a partition's log: zero or more, by construction.
///
/// Brokers and librdkafka give negative numbers for "unknown" and "none"; those never become an
/// offset (`kafka.md`, rule 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(i64);

impl Offset {
    /// The offset, unless `raw` is negative.
    pub fn new(raw: i64) -> Option<Self> {
        (raw >= 0).then_some(Self(raw))
    }

    /// The offset as a number of records since the log began, >= 0.
    pub fn get(self) -> i64 {
        self.0
    }
}

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// Name of the topic.
    pub topic: Arc<str>,
    /// Index of the partition, >= 0.
    pub partition: i32,
}

/// Where a partition ended at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndAt {
    /// When.
    pub at: Timestamp,
    /// One past the last record that had arrived by then.
    pub end: Offset,
}

/// A value that one reply may have failed to give.
pub type Known<T> = Result<T, ReadError>;

/// What one look at a cluster saw.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Counts the looks of this poller, from 1. Two observations with the same number saw the same
    /// data.
    pub look: u64,
    /// When the look began.
    pub started: Timestamp,
    /// When its last reply arrived.
    pub finished: Timestamp,
    /// `cluster.id`, once known.
    pub cluster_id: Option<Arc<str>>,
    /// The brokers that the metadata names.
    pub brokers: Vec<NodeId>,
    /// Why the newest credentials are not used: they do not work, and what was read was read with
    /// those before.
    pub renewal: Option<ReadError>,
    /// Why nothing at all could be read; then `topics` and `groups` are empty.
    pub error: Option<ReadError>,
    /// Every topic that counts for an interest, and every one that a member of its group is
    /// assigned.
    pub topics: BTreeMap<Arc<str>, Topic>,
    /// Every group that somebody is interested in, by group id.
    pub groups: BTreeMap<Arc<str>, Group>,
}

/// A topic in one look.
#[derive(Debug, Clone)]
pub enum Topic {
    /// It exists; partitions in the order of their index, without gaps.
    Present(Vec<Partition>),
    /// Two looks in a row the brokers said that there is no such topic.
    Absent,
    /// It could not be described; the error says why.
    Unknown(ReadError),
}

impl Topic {
    /// A partition in what a look has read.
    pub fn partition_of<'a>(
        topics: &'a BTreeMap<Arc<str>, Self>,
        partition: &TopicPartition,
    ) -> Option<&'a Partition> {
        match topics.get(&partition.topic)? {
            Self::Present(partitions) => partitions.get(usize::try_from(partition.partition).ok()?),
            Self::Absent | Self::Unknown(_) => None,
        }
    }
}

/// A partition in one look.
#[derive(Debug, Clone)]
pub struct Partition {
    /// The leader, if it has one.
    pub leader: Option<NodeId>,
    /// First offset still kept. Read only every few looks, and where a commit looks too old: the
    /// last known value.
    pub start: Known<Offset>,
    /// End offset: one past the last record (with `ReadCommitted`: the last stable offset, in
    /// `stable_end`).
    pub end: Known<Offset>,
    /// Last stable offset; read only for topics of groups that read committed records.
    pub stable_end: Option<Known<Offset>>,
    /// When `end` was answered.
    pub at: Timestamp,
}

/// A consumer group in one look.
#[derive(Debug, Clone)]
pub struct Group {
    /// Its state, as the coordinator's list or description says.
    pub state: Known<GroupState>,
    /// Which protocol it speaks.
    pub protocol: Protocol,
    /// The broker that coordinates it, when known.
    pub coordinator: Option<NodeId>,
    /// Committed offsets: one entry per partition of the topics that count. `Ok(None)`: nothing
    /// committed there. Never beyond the end offset of the same look: that is
    /// [`ReadError::CommittedBeyondEnd`].
    pub committed: BTreeMap<TopicPartition, Known<Option<Offset>>>,
    /// When `committed` was answered (before the end offsets of the same look were asked for).
    pub committed_at: Timestamp,
    /// Where partitions that have been behind since the first looks at a group that is sized by
    /// delay ended before those, by the timestamps of their records, oldest first; at last what was
    /// first seen.
    pub earlier: BTreeMap<TopicPartition, Arc<[EndAt]>>,
    /// Members and assignor, as of the last description. `Err`: the last try failed and nothing
    /// older is kept.
    pub description: Option<Known<Description>>,
    /// The topics that this look resolved, by what somebody asked for: named ones, or those that
    /// match, are assigned or committed (KNOW-19). Sorted.
    pub topics: BTreeMap<TopicSelection, Known<Vec<Arc<str>>>>,
}

impl Group {
    /// The topics that count for `selection`: one that an interest in this group asks for.
    pub fn topics_for(&self, selection: &TopicSelection) -> Known<&[Arc<str>]> {
        match self.topics.get(selection) {
            Some(Ok(topics)) => Ok(topics),
            Some(Err(error)) => Err(error.clone()),
            None => Err(ReadError::NotYetRead),
        }
    }

    /// Whether a member was seen that has a `group.instance.id`.
    pub fn has_static_members(&self) -> bool {
        let members = match &self.description {
            Some(Ok(description)) => &*description.members,
            _ => &[],
        };
        members.iter().any(|member| member.instance_id.is_some())
    }
}

/// State of a group. The names are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupState {
    /// All members have their partitions.
    Stable,
    /// Members are joining (classic protocol).
    PreparingRebalance,
    /// The leader hands out partitions (classic protocol).
    CompletingRebalance,
    /// The coordinator computes an assignment (KIP-848).
    Assigning,
    /// Members give up or take over partitions (KIP-848).
    Reconciling,
    /// It exists, without members.
    Empty,
    /// The coordinator said twice in a row that it does not exist.
    Dead,
}

impl GroupState {
    /// Kafka's name for it, as Lagrange writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "Stable",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Empty => "Empty",
            Self::Dead => "Dead",
        }
    }
}

/// Protocol of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// JoinGroup and SyncGroup; the assignor runs in a member.
    Classic,
    /// KIP-848; the assignor runs in the coordinator.
    Consumer,
    /// Not said (older brokers), or a kind that we do not scale.
    Unknown,
}

/// A description of a group.
#[derive(Debug, Clone)]
pub struct Description {
    /// When it was answered.
    pub at: Timestamp,
    /// The look that it was read in; older than the snapshot's when it was not asked for again.
    pub look: u64,
    /// The state that the description gave, from the same reply as the members.
    pub state: Known<GroupState>,
    /// Name of the assignor; empty replies (during a classic rebalance) are `None`.
    pub assignor: Option<Arc<str>>,
    /// Its members.
    pub members: Vec<Member>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The id that the coordinator gave it.
    pub id: Arc<str>,
    /// `client.id`.
    pub client_id: Arc<str>,
    /// The address that it connects from, without the leading slash.
    pub host: Arc<str>,
    /// `group.instance.id`, with static membership.
    pub instance_id: Option<Arc<str>>,
    /// The partitions it has. Empty while a classic group rebalances.
    pub assigned: Vec<TopicPartition>,
    /// The partitions it shall have (KIP-848).
    pub target: Option<Vec<TopicPartition>>,
}
