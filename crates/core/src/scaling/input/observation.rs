//! What `decide` is told: offsets, group, target, time. Plain data; the controller makes it from a
//! snapshot.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Everything that is known at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// The only clock. Never goes back within a process (KNOW-24).
    pub now: Timestamp,
    /// The latest look at Kafka. `Err`: it failed as a whole, or none is recent enough.
    pub snapshot: Result<GroupSnapshot, Unreadable>,
    /// The workload.
    pub target: Target,
}

/// Why there is no look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// Nothing has been read yet since the start.
    NeverPolled,
    /// Kafka could not be read.
    PollFailed {
        /// Number of the failed look; equal numbers are one look.
        number: u64,
    },
}

/// One look at the group and its topics.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupSnapshot {
    /// Equal numbers saw equal data; evidence is gathered once per number.
    pub number: u64,
    /// When it began: what happened later it may not have seen.
    pub began: Timestamp,
    /// When its last reply arrived.
    pub at: Timestamp,
    /// The topics that count: those the user named or that were resolved for the group, and those
    /// it is assigned. Sorted by name.
    pub topics: Vec<Topic>,
    /// The group.
    pub group: Group,
    /// Where partitions ended before anybody looked, where that is known and still of use.
    pub earlier: Vec<Earlier>,
}

/// Where a partition ended before the first look, by the timestamps of its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its number.
    pub partition: u32,
    /// Times and ends, oldest first; no end before the one before it.
    pub ends: Vec<(Timestamp, i64)>,
}

/// A topic.
#[derive(Debug, Clone, PartialEq)]
pub struct Topic {
    /// Its name.
    pub name: Arc<str>,
    /// What it bears on.
    pub role: TopicRole,
    /// Its partitions by index; `None`: they could not be read at all, so everything about it is
    /// unknown.
    pub partitions: Option<Vec<Partition>>,
}

/// What a topic bears on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TopicRole {
    /// Its lag asks for replicas.
    #[default]
    Counted,
    /// Its records wait on purpose, in a topic for retries: its lag asks for no replicas. It counts
    /// for the partition limit, and records in it keep the group awake.
    Delayed,
    /// Some member is assigned it, and the user has not named it: it counts for the partition limit
    /// alone.
    Assigned,
}

impl Topic {
    /// Whether its lag asks for replicas.
    pub fn is_counted(&self) -> bool {
        self.role == TopicRole::Counted
    }

    /// Whether it is the target's to read.
    pub fn is_own(&self) -> bool {
        self.role != TopicRole::Assigned
    }
}

/// A partition. All offsets are >= 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// First offset still kept.
    pub log_start: Option<i64>,
    /// One past the last record.
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
    /// The coordinator says that there is none.
    Absent,
    /// Not known.
    Unknown,
}

/// The group.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Its state.
    pub state: GroupState,
    /// The assignor, if this look or an earlier one of this process has seen it.
    pub assignor: Option<Assignor>,
    /// How its members hand partitions over, if this look or an earlier one of this process has
    /// seen it.
    pub rebalance: Option<Rebalance>,
    /// Its members as last described.
    pub members: Option<Members>,
}

/// State of a group, as far as it matters for acting (ACT-4).
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
    /// The look that described them; less than the look's own number when they were not asked for
    /// again.
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

/// How partitions are handed out, as far as it matters for the limit (KNOW-17).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Assignor {
    /// Topic by topic: no more consumers than the largest topic has partitions get any.
    Range,
    /// Over all topics at once: roundrobin, sticky, cooperative-sticky, KIP-848 uniform.
    Even,
    /// Something else (Kafka Streams, a user's own).
    Other,
}

impl Assignor {
    /// What an assignor's name says about the limit.
    pub fn named(name: &str) -> Self {
        match name {
            "range" => Self::Range,
            "roundrobin" | "sticky" | "cooperative-sticky" | "uniform" => Self::Even,
            _ => Self::Other,
        }
    }
}

/// How much of a group stands still when partitions are handed over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rebalance {
    /// All of it: range, roundrobin and sticky give up everything first. Also what is not known.
    #[default]
    Eager,
    /// What moves, for two rounds: cooperative-sticky.
    Cooperative,
    /// What moves, once: KIP-848's protocol, `group.protocol=consumer`.
    Consumer,
}

/// The workload that is scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Replicas wanted (`spec.replicas`), >= 0.
    pub replicas: i32,
    /// Replicas ready.
    pub ready: i32,
    /// Whether its pods are being replaced.
    pub rollout: Rollout,
}

/// Whether pods are being replaced by those of another template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rollout {
    /// No; or it cannot be told for this kind (ACT-6).
    None,
    /// Yes.
    InProgress,
}
