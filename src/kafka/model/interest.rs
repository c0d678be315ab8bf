//! What somebody wants to know of a cluster, and who is to be woken when it is known. Plain data.

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

/// Whom a look wakes: one resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// What it is: names are unique within a kind only.
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

/// What one resource wants each look at its cluster to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interest {
    /// How often it wants a look. The cluster is looked at as often as the most eager of its users
    /// asks, within [`Settings`](crate::kafka::pool::Settings).
    pub interval: Duration,
    /// The group to read; `None` looks at brokers only.
    pub group: Option<GroupInterest>,
    /// There was too much to be read for it before this process began: those that were read then
    /// come first.
    pub was_refused: bool,
}
