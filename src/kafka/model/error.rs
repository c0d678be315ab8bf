//! Why Kafka could not be read: one enum for the room, with a bounded category and words that say
//! what to do.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use lagrange_core::api::condition::Reason;
use thiserror::Error;

/// Why something could not be read. Cheap to clone: it stands in snapshots, once per partition at
/// worst.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadError {
    /// No broker answered. `detail` is the last reason that librdkafka gave, if it gave one.
    #[error("no broker answered: {detail}")]
    Unreachable {
        /// What is known, and what to check.
        detail: String,
    },
    /// The broker refused the login, there was nothing to log in with, or one side does not trust
    /// the other's certificate.
    #[error("cannot log in: {detail}")]
    Authentication {
        /// The broker's or librdkafka's words, and what to check.
        detail: String,
    },
    /// The cluster has more brokers than one may.
    #[error(
        "the cluster names {brokers} brokers, and at most {limit} are connected to: is it the right one? \
         If so, run the operator with a larger --max-brokers-per-cluster"
    )]
    TooManyBrokers {
        /// How many it names.
        brokers: usize,
        /// How many it may have.
        limit: usize,
    },
    /// All clusters together have as many brokers as they may.
    #[error(
        "there is no room for the {brokers} brokers of the cluster: the brokers of all clusters take the {limit} threads that the \
         operator may have for them; use fewer clusters, or run another operator for some of the namespaces"
    )]
    NoRoomForBrokers {
        /// How many the cluster has, as far as it is known.
        brokers: usize,
        /// How many threads there may be.
        limit: usize,
    },
    /// A broker has begun an answer that is larger than any that is asked for.
    #[error(
        "{server} answers with {bytes} bytes, and at most {limit} are read: is it a Kafka broker? A cluster of more than \
         240,000 partitions of three replicas is too large to be read"
    )]
    AnswerTooLarge {
        /// Who answers so.
        server: String,
        /// How large it is, as it says.
        bytes: u32,
        /// How large it may be.
        limit: u32,
    },
    /// An ACL is missing.
    #[error("not authorised to describe {resource}: grant Describe on it")]
    Authorization {
        /// What may not be described.
        resource: Resource,
    },
    /// Newer credentials log in, but may not read what those before may.
    #[error(
        "the user of now logs in, but is not authorised to describe {resource}{}, which the one before may: \
         grant Describe on {}",
        .more.map_or_else(String::new, |more| format!(" and {more} more")),
        if .more.is_some() { "them" } else { "it" }
    )]
    FewerRights {
        /// One of what may not be described.
        resource: Resource,
        /// How much else.
        more: Option<NonZeroUsize>,
    },
    /// The coordinator is moving or loading; it passes in seconds.
    #[error("the group's coordinator is not available")]
    CoordinatorUnavailable,
    /// The broker that was asked does not coordinate the group (any more).
    #[error("the group's coordinator has moved")]
    NotCoordinator,
    /// The partition has no leader, or its leader does not answer.
    #[error("the partition's leader is not available")]
    LeaderUnavailable,
    /// The topic or partition does not exist (yet, or any more).
    #[error("no such topic or partition")]
    UnknownTopic,
    /// No answer within the deadline.
    #[error("no answer within the deadline")]
    TimedOut,
    /// In no broker's list, and not known to be gone (`kafka.md`, rule 7).
    #[error("in no broker's list of groups")]
    NotListed,
    /// The group has members, but no reply has said yet which partitions they have.
    #[error("the group's members have not been seen with partitions yet")]
    AssignmentUnknown,
    /// What is committed cannot have been read: somebody reset it, or the topic was deleted and
    /// created again.
    #[error(
        "offset {committed} is committed, beyond the partition's end {end}: reset the group's offsets, or let it commit anew"
    )]
    CommittedBeyondEnd {
        /// The committed offset.
        committed: i64,
        /// The end offset of the same look, asked for after the committed one.
        end: i64,
    },
    /// Less is committed than before: a new coordinator that has not caught up says so for a
    /// moment, a reset lasts.
    #[error(
        "the committed offset went back from {from} to {}: believed when it stays there",
        .to.map_or_else(|| "nothing".to_owned(), |to| to.to_string())
    )]
    CommittedWentBack {
        /// The offset that was believed before.
        from: i64,
        /// What was read now; `None`: nothing committed.
        to: Option<i64>,
    },
    /// No look has asked for it yet.
    #[error("not read yet")]
    NotYetRead,
    /// The group is of a kind that has no partitions to share out (share group, Kafka Connect ...).
    #[error("a group of type {kind} has no partitions to share out")]
    GroupType {
        /// The type that the broker gave.
        kind: String,
    },
    /// Anything else, with Kafka's name for it.
    #[error("{0}")]
    Other(String),
    /// The topics that count come to more partitions than are read.
    #[error(
        "{topics} topics with {}{partitions} partitions are selected; {}: name its topics, narrow topicPattern, or give \
         the operator more memory (its limit, or --memory-limit)",
        if *.at_least { "at least " } else { "" },
        .bound.words(*.limit)
    )]
    TooManyPartitions {
        /// Topics that are selected.
        topics: u32,
        /// Their partitions, as far as they were counted.
        partitions: u32,
        /// Counting ended when it was certain that there are too many.
        at_least: bool,
        /// How many may be read.
        limit: u32,
        /// What sets the limit.
        bound: Bound,
    },
    /// A pattern would be matched against more names than are kept.
    #[error(
        "the cluster has {topics} topics, and {limit} names at most are kept for topicPattern: list topics instead, or give \
         the operator more memory (its limit, or --memory-limit)"
    )]
    TooManyTopics {
        /// Topics of the cluster.
        topics: u32,
        /// How many names are kept.
        limit: u32,
    },
    /// A description has more members, or assigns them more partitions, than are kept.
    #[error(
        "the brokers tell of {members} members with {partitions} partitions in this group; {}: give the operator more memory \
         (its limit, or --memory-limit), if that is true",
        .bound.words(*.limit)
    )]
    TooManyMembers {
        /// Members.
        members: u32,
        /// Partitions that they have or shall have.
        partitions: u32,
        /// How many of each may be read.
        limit: u32,
        /// What sets the limit.
        bound: Bound,
    },
}

/// What a right to describe is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// The cluster itself.
    Cluster,
    /// Topics, not one in particular.
    Topics,
    /// Groups, not one in particular.
    Groups,
    /// The topic of this name.
    Topic(Arc<str>),
    /// The group of this id.
    Group(Arc<str>),
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster => f.write_str("the cluster"),
            Self::Topics => f.write_str("topics"),
            Self::Groups => f.write_str("groups"),
            Self::Topic(name) => write!(f, "topic {name}"),
            Self::Group(id) => write!(f, "group {id}"),
        }
    }
}

/// What sets a limit of partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// The most that one group may have.
    Group,
    /// What is left for the group's namespace of all that the process may read.
    Namespace,
}

impl Bound {
    fn words(self, limit: u32) -> String {
        match self {
            Self::Group => format!("one group may have {limit}"),
            Self::Namespace => {
                format!("{limit} are left for this namespace of what the operator can hold")
            }
        }
    }
}

impl ReadError {
    /// Whether there is too much to be read, and none of it is.
    pub fn is_too_much(&self) -> bool {
        matches!(
            self,
            Self::TooManyPartitions { .. }
                | Self::TooManyTopics { .. }
                | Self::TooManyMembers { .. }
        )
    }

    /// Whether the cluster has more brokers than may be connected to, so that none of it is read.
    pub fn is_too_many_brokers(&self) -> bool {
        matches!(
            self,
            Self::TooManyBrokers { .. } | Self::NoRoomForBrokers { .. }
        )
    }

    /// What kind of failure it is.
    pub fn category(&self) -> Category {
        match self {
            Self::Unreachable { .. } | Self::TimedOut | Self::AnswerTooLarge { .. } => {
                Category::KafkaUnreachable
            }
            Self::TooManyBrokers { .. } | Self::NoRoomForBrokers { .. } => Category::TooManyBrokers,
            Self::Authentication { .. } => Category::AuthenticationFailed,
            Self::Authorization { .. } | Self::FewerRights { .. } => Category::AuthorizationFailed,
            Self::CoordinatorUnavailable
            | Self::NotCoordinator
            | Self::NotListed
            | Self::CommittedWentBack { .. }
            | Self::AssignmentUnknown => Category::GroupUnreadable,
            Self::LeaderUnavailable
            | Self::CommittedBeyondEnd { .. }
            | Self::NotYetRead
            | Self::Other(_) => Category::PartitionsUnreadable,
            Self::UnknownTopic => Category::TopicNotFound,
            Self::GroupType { .. } => Category::GroupTypeUnsupported,
            Self::TooManyPartitions { .. }
            | Self::TooManyTopics { .. }
            | Self::TooManyMembers { .. } => Category::TooManyPartitions,
        }
    }

    /// The reason that a condition gives for it.
    pub fn reason(&self) -> Reason {
        self.category().reason()
    }
}

/// Kinds of failures. `as_str` is the label in metrics: a bounded set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Category {
    /// No broker answers, or none that can be read.
    KafkaUnreachable,
    /// The cluster has more brokers than may be connected to.
    TooManyBrokers,
    /// The login is refused, or one side does not trust the other.
    AuthenticationFailed,
    /// An ACL is missing.
    AuthorizationFailed,
    /// The group cannot be read for now.
    GroupUnreadable,
    /// Partitions cannot be read for now.
    PartitionsUnreadable,
    /// There is no such topic.
    TopicNotFound,
    /// The group has no partitions to share out.
    GroupTypeUnsupported,
    /// There is too much to be read.
    TooManyPartitions,
}

impl Category {
    /// The label in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::KafkaUnreachable => "KafkaUnreachable",
            Self::TooManyBrokers => "TooManyBrokers",
            Self::AuthenticationFailed => "AuthenticationFailed",
            Self::AuthorizationFailed => "AuthorizationFailed",
            Self::GroupUnreadable => "GroupUnreadable",
            Self::PartitionsUnreadable => "PartitionsUnreadable",
            Self::TopicNotFound => "TopicNotFound",
            Self::GroupTypeUnsupported => "GroupTypeUnsupported",
            Self::TooManyPartitions => "TooManyPartitions",
        }
    }

    /// The reason of conditions. A group or partitions that cannot be read for long come to a Kafka
    /// that cannot be reached.
    pub const fn reason(self) -> Reason {
        match self {
            Self::KafkaUnreachable | Self::GroupUnreadable | Self::PartitionsUnreadable => {
                Reason::KafkaUnreachable
            }
            Self::TooManyBrokers => Reason::TooManyBrokers,
            Self::AuthenticationFailed => Reason::AuthenticationFailed,
            Self::AuthorizationFailed => Reason::AuthorizationFailed,
            Self::TopicNotFound => Reason::TopicNotFound,
            Self::GroupTypeUnsupported => Reason::GroupTypeUnsupported,
            Self::TooManyPartitions => Reason::TooManyPartitions,
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
