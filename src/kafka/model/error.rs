//! Why Kafka could not be read: one enum for all of `kafka`, with a bounded category and messages
//! that say what to do.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use lagrange_core::api::condition::Reason;
use thiserror::Error;

/// Why something could not be read. Cheap to clone: snapshots may hold it once for each partition.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadError {
    /// No broker answered. `detail` is the last reason that librdkafka gave, if it gave one.
    #[error("no broker answered: {detail}")]
    Unreachable {
        /// What is known, and what to check.
        detail: String,
    },
    /// The broker refused the login, there was nothing to log in with, or one side does not trust
    /// the certificate of the other.
    #[error("cannot log in: {detail}")]
    Authentication {
        /// The message of the broker or of librdkafka, and what to check.
        detail: String,
    },
    /// The cluster has more brokers than one cluster may have.
    #[error(
        "the cluster has {brokers} brokers, more than the {limit} that one cluster may have: check \
         that it is the right cluster, or run the operator with a larger --max-brokers-per-cluster"
    )]
    TooManyBrokers {
        /// Brokers of the cluster.
        brokers: usize,
        /// Brokers that one cluster may have.
        limit: usize,
    },
    /// All clusters together have as many brokers as they may have.
    #[error(
        "the operator cannot connect to the {brokers} brokers of the cluster: the brokers of \
         all clusters use the {limit} threads that it may run for them; use fewer clusters, or run \
         another operator for some of the namespaces"
    )]
    NoRoomForBrokers {
        /// Brokers of the cluster, as far as they are known.
        brokers: usize,
        /// Threads that there may be.
        limit: usize,
    },
    /// A broker began an answer that is larger than any that is asked for.
    #[error(
        "{server} answers with {bytes} bytes, more than the {limit} that are read: check that it \
         is a Kafka broker; a cluster with more than 240,000 partitions of three replicas is \
         too large"
    )]
    AnswerTooLarge {
        /// The server that sent it.
        server: String,
        /// Size of the answer, by its own header.
        bytes: u32,
        /// Size that an answer may have.
        limit: u32,
    },
    /// An ACL is missing.
    #[error("not authorised to describe {resource}: grant Describe on it")]
    Authorization {
        /// What may not be described.
        resource: Resource,
    },
    /// Newer credentials log in, but may not read what the earlier ones may.
    #[error(
        "the new user logs in, but is not authorised to describe {resource}{}, which the \
         previous user may: grant Describe on {}",
        .more.map_or_else(String::new, |more| format!(" and {more} more")),
        if .more.is_some() { "them" } else { "it" }
    )]
    FewerRights {
        /// One of what may not be described.
        resource: Resource,
        /// How many others there are.
        more: Option<NonZeroUsize>,
    },
    /// The coordinator is moving or loading. This passes within seconds.
    #[error("the group's coordinator is not available")]
    CoordinatorUnavailable,
    /// The broker that was asked does not coordinate the group, or does so no longer.
    #[error("the group's coordinator has moved")]
    NotCoordinator,
    /// The partition has no leader, or its leader does not answer.
    #[error("the partition's leader is not available")]
    LeaderUnavailable,
    /// The topic or partition does not exist, not yet or no longer.
    #[error("no such topic or partition")]
    UnknownTopic,
    /// No answer within the deadline.
    #[error("no answer within the deadline")]
    TimedOut,
    /// The group is in no broker's list, and not known to be gone (`kafka.md`, rule 7).
    #[error("no broker lists the group")]
    NotListed,
    /// The group has members, but no reply has said so far which partitions they have.
    #[error("no partitions of the group's members are known yet")]
    AssignmentUnknown,
    /// The committed offset cannot be one that was read: it was reset, or the topic was deleted and
    /// created again.
    #[error(
        "the committed offset {committed} is beyond the partition's end {end}: reset the group's \
         offsets, or let it commit again"
    )]
    CommittedBeyondEnd {
        /// The committed offset.
        committed: i64,
        /// The end offset of the same poll, asked for after the committed one.
        end: i64,
    },
    /// The committed offset is lower than before. A new coordinator that has not caught up reports
    /// this for a moment; after a reset it stays so.
    #[error(
        "the committed offset went back from {from} to {}: it is accepted if it stays there",
        .to.map_or_else(|| "nothing".to_owned(), |to| to.to_string())
    )]
    CommittedWentBack {
        /// The offset that was accepted before.
        from: i64,
        /// The offset that was read now; `None`: nothing is committed.
        to: Option<i64>,
    },
    /// No poll has asked for it yet.
    #[error("not read yet")]
    NotYetRead,
    /// The group is of a kind that has no partitions to assign (share group, Kafka Connect ...).
    #[error("a group of type {kind} has no partitions to assign")]
    GroupType {
        /// The type that the broker reported.
        kind: String,
    },
    /// Any other error, by Kafka's name for it.
    #[error("{0}")]
    Other(String),
    /// The topics that count have more partitions than may be read.
    #[error(
        "{topics} topics with {}{partitions} partitions are selected; {}: name its topics, narrow \
         topicPattern, or give the operator more memory (its limit, or --memory-limit)",
        if *.at_least { "at least " } else { "" },
        .bound.words(*.limit)
    )]
    TooManyPartitions {
        /// Topics that are selected.
        topics: u32,
        /// Their partitions, as far as they were counted.
        partitions: u32,
        /// Whether counting stopped at this number, because it was already too large.
        at_least: bool,
        /// Partitions that may be read.
        limit: u32,
        /// What sets the limit.
        bound: Bound,
    },
    /// A pattern would have to be matched against more names than are kept.
    #[error(
        "the cluster has {topics} topics, and at most {limit} names are kept for topicPattern: \
         list the topics instead, or give the operator more memory (its limit, or --memory-limit)"
    )]
    TooManyTopics {
        /// Topics of the cluster.
        topics: u32,
        /// Names that are kept.
        limit: u32,
    },
    /// A description has more members, or assigns more partitions to them, than are kept.
    #[error(
        "the brokers report {members} members with {partitions} partitions in this group; {}: \
         if that is true, give the operator more memory (its limit, or --memory-limit)",
        .bound.words(*.limit)
    )]
    TooManyMembers {
        /// Members.
        members: u32,
        /// Partitions that they have or are to have.
        partitions: u32,
        /// How many of each may be read.
        limit: u32,
        /// What sets the limit.
        bound: Bound,
    },
}

/// The resource of a right to describe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// The cluster itself.
    Cluster,
    /// Topics in general.
    Topics,
    /// Groups in general.
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
    /// The limit of one group.
    Group,
    /// What is left for the group's namespace of all partitions that the process may read.
    Namespace,
}

impl Bound {
    fn words(self, limit: u32) -> String {
        match self {
            Self::Group => format!("one group may have {limit}"),
            Self::Namespace => {
                format!("{limit} are left for this namespace of all that the operator can hold")
            }
        }
    }
}

impl ReadError {
    /// Whether there is too much to read, so that none of it is read.
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

    /// The kind of failure.
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

    /// The reason in conditions.
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
    /// The login is refused, or one side rejects the other's certificate.
    AuthenticationFailed,
    /// An ACL is missing.
    AuthorizationFailed,
    /// The group cannot be read for now.
    GroupUnreadable,
    /// Partitions cannot be read for now.
    PartitionsUnreadable,
    /// There is no such topic.
    TopicNotFound,
    /// The group has no partitions to assign.
    GroupTypeUnsupported,
    /// The selection is larger than may be read.
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

    /// The reason in conditions. A group or partitions that cannot be read for long count as a
    /// Kafka that cannot be reached.
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
