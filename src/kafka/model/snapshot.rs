//! What one poll of a cluster found: plain, owned data. Unknown is a value of its own. Nothing here
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

/// A position in a partition's log: 0 or more, by construction.
///
/// Brokers and librdkafka use negative numbers for "unknown" and "none". Those never become an
/// offset (`kafka.md`, rule 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(i64);

impl Offset {
    /// The offset, unless `raw` is negative.
    pub fn new(raw: i64) -> Option<Self> {
        (raw >= 0).then_some(Self(raw))
    }

    /// The offset as a number, 0 or more.
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

/// The end of a partition at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndAt {
    /// The time.
    pub at: Timestamp,
    /// The offset after the last record that had arrived by then.
    pub end: Offset,
}

/// A value, or why a reply did not give it.
pub type Known<T> = Result<T, ReadError>;

/// What one poll of a cluster found.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Number of the poll for this poller, from 1. Two observations with the same number have the
    /// same data.
    pub poll: u64,
    /// When the poll began.
    pub started: Timestamp,
    /// When its last reply arrived.
    pub finished: Timestamp,
    /// `cluster.id`, once known.
    pub cluster_id: Option<Arc<str>>,
    /// The brokers that the metadata names.
    pub brokers: Vec<NodeId>,
    /// Why the newest credentials are not used. They do not work, and this poll used those before.
    pub renewal: Option<ReadError>,
    /// Why nothing at all could be read. `topics` and `groups` are then empty.
    pub error: Option<ReadError>,
    /// Every topic that counts for an interest, and every topic that is assigned to a member of its
    /// group.
    pub topics: BTreeMap<Arc<str>, Topic>,
    /// Every group that an interest asks for, by group id.
    pub groups: BTreeMap<Arc<str>, Group>,
}

/// A topic in one poll.
#[derive(Debug, Clone)]
pub enum Topic {
    /// It exists. Its partitions by index, without gaps.
    Present(Vec<Partition>),
    /// The brokers said in two polls in a row that there is no such topic.
    Absent,
    /// It could not be described, for this reason.
    Unknown(ReadError),
}

impl Topic {
    /// A partition among the topics of a poll.
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

/// A partition in one poll.
#[derive(Debug, Clone)]
pub struct Partition {
    /// The leader, if it has one.
    pub leader: Option<NodeId>,
    /// The first offset that is still kept: the last known value. It is read only every few polls,
    /// and when a commit seems to be older.
    pub start: Known<Offset>,
    /// The offset after the last record. With `ReadCommitted`, the last stable offset is in
    /// `stable_end`.
    pub end: Known<Offset>,
    /// The last stable offset. It is read only for topics of groups that read committed records.
    pub stable_end: Option<Known<Offset>>,
    /// When `end` was answered.
    pub at: Timestamp,
}

/// A consumer group in one poll.
#[derive(Debug, Clone)]
pub struct Group {
    /// Its state, from the coordinator's list or description.
    pub state: Known<GroupState>,
    /// The group protocol.
    pub protocol: Protocol,
    /// The broker that coordinates it, when known.
    pub coordinator: Option<NodeId>,
    /// Committed offsets: one entry for each partition of the topics that count. `Ok(None)`:
    /// nothing is committed there. Never beyond the end offset of the same poll: that is
    /// [`ReadError::CommittedBeyondEnd`].
    pub committed: BTreeMap<TopicPartition, Known<Option<Offset>>>,
    /// When `committed` was answered, which is before the end offsets of the same poll are asked
    /// for.
    pub committed_at: Timestamp,
    /// Earlier ends of the partitions that have had a lag since the first polls, for a group that
    /// is sized by delay. They come from the timestamps of records, oldest first. The last one is
    /// what the first poll found.
    pub earlier: BTreeMap<TopicPartition, Arc<[EndAt]>>,
    /// Members and assignor from the last description. `Err`: the last attempt failed and no older
    /// description is kept.
    pub description: Option<Known<Description>>,
    /// The topics that this poll resolved for each selection: topics that are named, match a
    /// pattern, are assigned or have commits (KNOW-19). Sorted.
    pub topics: BTreeMap<TopicSelection, Known<Vec<Arc<str>>>>,
}

impl Group {
    /// The topics that count for `selection`, which must be that of an interest in this group.
    pub fn topics_for(&self, selection: &TopicSelection) -> Known<&[Arc<str>]> {
        match self.topics.get(selection) {
            Some(Ok(topics)) => Ok(topics),
            Some(Err(error)) => Err(error.clone()),
            None => Err(ReadError::NotYetRead),
        }
    }

    /// Whether any known member has a `group.instance.id`.
    pub fn has_static_members(&self) -> bool {
        let members = match &self.description {
            Some(Ok(description)) => &*description.members,
            _ => &[],
        };
        members.iter().any(|member| member.instance_id.is_some())
    }
}

/// State of a group, by Kafka's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupState {
    /// All members have their partitions.
    Stable,
    /// Members are joining (classic protocol).
    PreparingRebalance,
    /// The leader assigns partitions (classic protocol).
    CompletingRebalance,
    /// The coordinator computes an assignment (KIP-848).
    Assigning,
    /// Members revoke or take over partitions (KIP-848).
    Reconciling,
    /// It exists and has no members.
    Empty,
    /// The coordinator said twice in a row that it does not exist.
    Dead,
}

impl GroupState {
    /// Kafka's name for it.
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
    /// Not reported (older brokers), or a kind that is not scaled.
    Unknown,
}

/// A description of a group.
#[derive(Debug, Clone)]
pub struct Description {
    /// When it was answered.
    pub at: Timestamp,
    /// The poll that read it; older than the snapshot's if that poll did not ask for it.
    pub poll: u64,
    /// The state, from the same reply as the members.
    pub state: Known<GroupState>,
    /// Name of the assignor; `None` if the reply has none (during a classic rebalance).
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
    /// The partitions that it is to have (KIP-848).
    pub target: Option<Vec<TopicPartition>>,
}
