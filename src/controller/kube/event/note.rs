//! The content of an event: its reason, which decides its type and how often it is written, and a
//! text.

/// The reason of an event: one word, in the past tense. `as_str` is what users read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::controller) enum EventReason {
    /// Replicas were added.
    ScaledUp,
    /// Replicas were removed.
    ScaledDown,
    /// `mode: DryRun` would have changed the replicas.
    WouldScale,
    /// The replicas were changed externally.
    ScaledExternally,
    /// A topic has more partitions than before.
    PartitionsAdded,
    /// The partitions do not allow the size that the load asks for.
    PartitionLimitReached,
    /// Consumers have no partition.
    IdleConsumers,
    /// A partition makes no progress.
    PartitionStuck,
    /// Something else scales the target or manages the group.
    TargetContested,
    /// The target or its scale cannot be read.
    TargetUnreadable,
    /// Part of the lag is not known.
    LagUnknown,
    /// Kafka cannot be read.
    KafkaConnectionFailed,
    /// Kafka can be read again.
    KafkaConnectionRestored,
}

impl EventReason {
    /// All of them.
    #[cfg(test)]
    pub(in crate::controller) const ALL: [Self; 13] = [
        Self::ScaledUp,
        Self::ScaledDown,
        Self::WouldScale,
        Self::ScaledExternally,
        Self::PartitionsAdded,
        Self::PartitionLimitReached,
        Self::IdleConsumers,
        Self::PartitionStuck,
        Self::TargetContested,
        Self::TargetUnreadable,
        Self::LagUnknown,
        Self::KafkaConnectionFailed,
        Self::KafkaConnectionRestored,
    ];

    /// The text in the event.
    pub(in crate::controller) const fn as_str(self) -> &'static str {
        match self {
            Self::ScaledUp => "ScaledUp",
            Self::ScaledDown => "ScaledDown",
            Self::WouldScale => "WouldScale",
            Self::ScaledExternally => "ScaledExternally",
            Self::PartitionsAdded => "PartitionsAdded",
            Self::PartitionLimitReached => "PartitionLimitReached",
            Self::IdleConsumers => "IdleConsumers",
            Self::PartitionStuck => "PartitionStuck",
            Self::TargetContested => "TargetContested",
            Self::TargetUnreadable => "TargetUnreadable",
            Self::LagUnknown => "LagUnknown",
            Self::KafkaConnectionFailed => "KafkaConnectionFailed",
            Self::KafkaConnectionRestored => "KafkaConnectionRestored",
        }
    }

    /// What was done or tried: a short verb.
    pub(in crate::controller) const fn action(self) -> &'static str {
        match self {
            Self::ScaledUp | Self::ScaledDown | Self::WouldScale => "Scale",
            Self::ScaledExternally
            | Self::PartitionsAdded
            | Self::PartitionLimitReached
            | Self::IdleConsumers
            | Self::PartitionStuck
            | Self::TargetContested
            | Self::TargetUnreadable
            | Self::LagUnknown => "Observe",
            Self::KafkaConnectionFailed | Self::KafkaConnectionRestored => "Connect",
        }
    }

    /// Whether it needs attention.
    pub(in crate::controller) const fn is_warning(self) -> bool {
        match self {
            Self::IdleConsumers
            | Self::PartitionStuck
            | Self::TargetContested
            | Self::TargetUnreadable
            | Self::LagUnknown
            | Self::KafkaConnectionFailed => true,
            Self::ScaledUp
            | Self::ScaledDown
            | Self::WouldScale
            | Self::ScaledExternally
            | Self::PartitionsAdded
            | Self::PartitionLimitReached
            | Self::KafkaConnectionRestored => false,
        }
    }

    /// Whether its cause may come and go, so that not every occurrence is written.
    pub(in crate::controller) const fn may_flap(self) -> bool {
        match self {
            Self::PartitionLimitReached
            | Self::IdleConsumers
            | Self::PartitionStuck
            | Self::TargetContested
            | Self::TargetUnreadable
            | Self::LagUnknown
            | Self::KafkaConnectionFailed
            | Self::KafkaConnectionRestored => true,
            Self::ScaledUp
            | Self::ScaledDown
            | Self::WouldScale
            | Self::ScaledExternally
            | Self::PartitionsAdded => false,
        }
    }
}

/// An event before it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::controller) struct EventNote {
    pub(in crate::controller) reason: EventReason,
    /// For a person, with numbers.
    pub(in crate::controller) text: String,
}

impl EventNote {
    pub(in crate::controller) fn new(reason: EventReason, text: impl Into<String>) -> Self {
        Self {
            reason,
            text: text.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_explained_to_operators() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md");
        let page = std::fs::read_to_string(page).unwrap();
        let (_, table) = page.split_once("| event | on | when |").unwrap();
        let (table, _) = table.split_once("\n\n").unwrap();
        let named: Vec<&str> = (table.lines())
            .filter_map(|row| row.split('|').nth(1))
            .flat_map(|cell| cell.split(','))
            .map(|name| name.trim().trim_matches('`'))
            .collect();
        for reason in EventReason::ALL {
            assert!(named.contains(&reason.as_str()), "{reason:?} is not in it");
        }
    }
}
