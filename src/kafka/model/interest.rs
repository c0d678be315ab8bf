//! What a resource wants to read of a cluster, and which resource to wake after a poll. Plain data.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lagrange_core::intent::topics::GroupInterest;

/// The kind of resource that a [`Key`] names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A ConsumerGroup.
    ConsumerGroup,
    /// A KafkaCluster.
    KafkaCluster,
}

/// The resource that a poll wakes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Its kind: names are unique only within a kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl Key {
    /// The key of a ConsumerGroup.
    pub fn consumer_group(namespace: &str, name: &str) -> Self {
        Self {
            kind: Kind::ConsumerGroup,
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// The key of a KafkaCluster.
    pub fn kafka_cluster(namespace: &str, name: &str) -> Self {
        Self {
            kind: Kind::KafkaCluster,
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What one resource wants every poll of its cluster to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interest {
    /// How often it wants a poll. The cluster is polled at the shortest interval of all its users,
    /// within [`Settings`](crate::kafka::pool::Settings).
    pub interval: Duration,
    /// The group to read; `None` reads the brokers only.
    pub group: Option<GroupInterest>,
    /// Whether it was refused for its size before this process started. The groups that were read
    /// at that time come first.
    pub was_refused: bool,
}
