//! The observation for `decide`: offsets, group, target, time. Plain data; the controller makes it
//! from a snapshot.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What was observed at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// The only clock. Never goes back within a process (KNOW-24).
    pub now: Timestamp,
    /// The latest poll of Kafka. `Err`: it failed as a whole, or none is recent enough.
    pub snapshot: Result<GroupSnapshot, Unreadable>,
    /// The workload.
    pub target: Target,
}

/// Why there is no snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// Nothing has been read yet since the start.
    NeverPolled,
    /// Kafka could not be read.
    PollFailed {
        /// Number of the failed poll; equal numbers are one poll.
        number: u64,
    },
}

/// One poll of the group and its topics.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupSnapshot {
    /// Equal numbers mean equal data; each number is measured once.
    pub number: u64,
    /// When the poll began: it may lack what happened later.
    pub began: Timestamp,
    /// When its last reply arrived.
    pub at: Timestamp,
    /// The topics that count: those the user named or that were resolved for the group, and those
    /// assigned to its members. Sorted by name.
    pub topics: Vec<Topic>,
    /// The group.
    pub group: Group,
    /// The ends of partitions before the first poll, if they are known and still useful.
    pub earlier: Vec<Earlier>,
}

/// The ends of a partition before the first poll, by the timestamps of its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its number.
    pub partition: u32,
    /// Times and ends, oldest first; ends never decrease.
    pub ends: Vec<(Timestamp, i64)>,
}

/// A topic.
#[derive(Debug, Clone, PartialEq)]
pub struct Topic {
    /// Its name.
    pub name: Arc<str>,
    /// What it counts for.
    pub role: TopicRole,
    /// Its partitions by index; `None`: they could not be read at all, so everything about it is
    /// unknown.
    pub partitions: Option<Vec<Partition>>,
}

/// What a topic counts for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TopicRole {
    /// Its lag asks for replicas.
    #[default]
    Counted,
    /// Its records wait on purpose, as in a retry topic: its lag asks for no replicas. It counts
    /// towards the partition limit, and records in it keep the group awake.
    Delayed,
    /// Assigned to a member but not named by the user: it counts towards the partition limit only.
    Assigned,
}

impl Topic {
    /// Whether its lag asks for replicas.
    pub fn is_counted(&self) -> bool {
        self.role == TopicRole::Counted
    }

    /// Whether the target reads it.
    pub fn is_own(&self) -> bool {
        self.role != TopicRole::Assigned
    }
}

/// A partition. All offsets are >= 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// First offset still kept.
    pub log_start: Option<i64>,
    /// The offset after the last record.
    pub log_end: Option<i64>,
    /// What the group has committed.
    pub committed: Commit,
    /// Place of its owner in [`Members::list`]. `None` also while that is not known.
    pub owner: Option<u32>,
}

/// A committed offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// At this offset.
    At(i64),
    /// The coordinator reports that there is none.
    Absent,
    /// Not known.
    Unknown,
}

/// The group.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Its state.
    pub state: GroupState,
    /// The assignor, if this poll or an earlier one of this process has shown it.
    pub assignor: Option<Assignor>,
    /// How its members hand partitions over, if this poll or an earlier one of this process has
    /// shown it.
    pub rebalance: Option<Rebalance>,
    /// Its members as last described.
    pub members: Option<Members>,
}

/// State of a group, as far as actions depend on it (ACT-4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupState {
    /// Every member has its partitions.
    Stable,
    /// It exists and has no members.
    Empty,
    /// It does not exist.
    Dead,
    /// Members join, leave, give up or take over partitions.
    Rebalancing,
    /// Not known.
    Unknown,
}

/// Members, as one description gave them.
#[derive(Debug, Clone, PartialEq)]
pub struct Members {
    /// The poll that described them; less than the number of the present poll if they were not
    /// described again.
    pub poll: u64,
    /// One entry per member.
    pub list: Vec<Member>,
}

/// A member.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// The coordinator's id for it.
    pub id: Arc<str>,
    /// How many partitions it has.
    pub partitions: usize,
    /// Whether it has a `group.instance.id`.
    pub is_static: bool,
}

/// How partitions are handed out, as far as the limit depends on it (KNOW-17).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Assignor {
    /// Topic by topic: at most as many consumers as the largest topic has partitions get any.
    Range,
    /// Over all topics at once: roundrobin, sticky, cooperative-sticky, KIP-848 uniform.
    Even,
    /// Something else (Kafka Streams, a user's own).
    Other,
}

impl Assignor {
    /// The assignor of this name, as far as the limit depends on it.
    pub fn named(name: &str) -> Self {
        match name {
            "range" => Self::Range,
            "roundrobin" | "sticky" | "cooperative-sticky" | "uniform" => Self::Even,
            _ => Self::Other,
        }
    }
}

/// What pauses in a group when partitions are handed over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rebalance {
    /// Everything: range, roundrobin and sticky give up all partitions first. Also used if the
    /// protocol is unknown.
    #[default]
    Eager,
    /// What moves, in two rounds: cooperative-sticky.
    Cooperative,
    /// What moves, once: KIP-848, `group.protocol=consumer`.
    Consumer,
}

/// The workload that is scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Replicas wanted (`spec.replicas`), >= 0.
    pub replicas: i32,
    /// Replicas ready.
    pub ready: i32,
    /// Whether its Pods are being replaced.
    pub rollout: Rollout,
}

/// Whether Pods are being replaced by those of another template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rollout {
    /// No, or it cannot be determined for this kind (ACT-6).
    None,
    /// Yes.
    InProgress,
}
