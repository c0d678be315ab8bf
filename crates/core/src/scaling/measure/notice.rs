//! Notices: things that happened and are reported once.

use std::sync::Arc;

use jiff::SignedDuration;

/// Something that is reported once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Something else changed the replicas.
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
        /// From the action until the group had settled.
        after: SignedDuration,
    },
}
