//! What happened that a user should be told once.

use std::sync::Arc;

use jiff::SignedDuration;

/// Something that a user should be told once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Somebody else changed the replicas.
    ScaledExternally {
        /// Replicas before.
        from: i32,
        /// Replicas now.
        to: i32,
    },
    /// A topic has more partitions than before.
    PartitionsAdded {
        /// The topic.
        topic: Arc<str>,
        /// Partitions before.
        from: i32,
        /// Partitions now.
        to: i32,
    },
    /// The last action has settled.
    Settled {
        /// From the action to the settled group.
        after: SignedDuration,
    },
}
