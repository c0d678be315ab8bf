//! Conditions: their types and reasons, and the rule for `lastTransitionTime`. Pure: no client, no
//! clock.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::{Schema, SchemaGenerator, json_schema};

use crate::text;

/// Longest message in a status (TELL-33), in characters.
pub const MAX_MESSAGE: usize = 256;

/// An enum of words of the API: the text of each is the name of its variant.
macro_rules! words {
    ($(#[$of_all:meta])* pub enum $name:ident { $($(#[$of_one:meta])* $word:ident,)+ }) => {
        $(#[$of_all])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$of_one])* $word,)+
        }

        impl $name {
            /// All of them, in the order of the reference.
            pub const ALL: &[Self] = &[$(Self::$word),+];

            /// As the API writes it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$word => stringify!($word),)+
                }
            }

            /// The variant with this text, if this version has it.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|word| word.as_str() == text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// The types of conditions.
    pub enum Type {
        /// ConsumerGroup: Lagrange manages the group; all that it needs is there.
        Ready,
        /// ConsumerGroup: the lag of every partition is known.
        LagKnown,
        /// ConsumerGroup: a scale-up could happen now (TELL-30).
        AbleToScale,
        /// ConsumerGroup: a bound keeps the group from the size that it needs.
        ScalingLimited,
        /// ConsumerGroup: nothing about the group itself wants a person's attention.
        Healthy,
        /// KafkaCluster: the last poll of the cluster was answered.
        Connected,
    }
}

impl Type {
    /// Those of a ConsumerGroup, in the order in which they are listed.
    pub const OF_CONSUMER_GROUP: [Self; 5] = [
        Self::Ready,
        Self::LagKnown,
        Self::AbleToScale,
        Self::ScalingLimited,
        Self::Healthy,
    ];
}

words! {
    /// The reasons that conditions give. True has reasons too (TELL-30).
    pub enum Reason {
        /// Any, Unknown: nothing has been observed yet.
        NotYetObserved,

        /// Ready, True: all that is needed is there, and nothing stands in the way of managing the
        /// group.
        Managed,
        /// Ready, LagKnown and Connected, False: no broker answers.
        KafkaUnreachable,
        /// Ready and Connected, False: Kafka does not take the user, password, token or
        /// certificate.
        AuthenticationFailed,
        /// Ready and Connected, False: Kafka does not let Lagrange read what it needs.
        AuthorizationFailed,
        /// Ready, False: no such KafkaCluster in the group's own namespace.
        ClusterNotFound,
        /// Ready, False: no such KafkaCluster in another namespace, or one that does not allow this
        /// namespace; which of the two is nobody's business who may not see it (SAFE-34).
        ClusterNotAllowed,
        /// Ready and Connected, False: a Secret or ConfigMap that the connection needs is not
        /// there, or may not be read.
        SecretNotFound,
        /// Ready and Connected, False: a Secret or ConfigMap lacks a key, or has something else in
        /// it than is wanted.
        SecretInvalid,
        /// Ready and Connected, False: the connection would log in as the operator itself, which
        /// this namespace may not (SAFE-36).
        IdentityNotAllowed,
        /// Ready, False: a topic that `topics` names does not exist.
        TopicNotFound,
        /// Ready, False: `scaleTargetRef` names nothing that exists and can be scaled.
        TargetNotFound,
        /// Ready, False: Lagrange has no right to scale the target.
        TargetForbidden,
        /// Ready, False: the target is there, and the API server or Lagrange cannot read it or its
        /// scale.
        TargetUnreadable,
        /// Ready, False: somebody else scales the target (ACT-7 and ACT-9).
        TargetContested,
        /// Ready, False: another ConsumerGroup manages the same group of the same Kafka cluster
        /// (ACT-9).
        GroupContested,
        /// Ready, False: a group of a kind that has no members to count, or that cannot be read.
        GroupTypeUnsupported,
        /// Ready and Connected, False: the namespace uses as many Kafka clusters as one may
        /// (SAFE-38).
        TooManyConnections,
        /// Ready, False: the group's topics have more partitions than are read for one group, or
        /// than there is memory for.
        TooManyPartitions,
        /// Ready, LagKnown and Connected, False: the cluster has more brokers than the operator
        /// connects to; the message says which limit it is.
        TooManyBrokers,
        /// Ready and Connected, False: the resource asks for something that cannot be done; the
        /// message says what to write.
        InvalidSpec,

        /// LagKnown, True: every partition was read.
        AllPartitionsRead,
        /// LagKnown, False: at least one partition could not be read.
        PartitionsUnreadable,
        /// LagKnown, False: consumers read partitions for which nothing has been committed.
        NothingCommitted,
        /// LagKnown, False: what is known is too old.
        Stale,

        /// AbleToScale, True: nothing stands in the way of a scale-up.
        ReadyForNewScale,
        /// AbleToScale, False: the last action is too recent.
        CoolingDown,
        /// AbleToScale, False: the group is handing out partitions anew.
        GroupRebalancing,
        /// AbleToScale, False: the workload is rolling out.
        RolloutInProgress,
        /// AbleToScale, False: fewer replicas are ready than are wanted, and the others do no work
        /// either.
        ReplicasNotReady,
        /// AbleToScale, False: the lag is not known.
        LagUnknown,
        /// AbleToScale, False: the target was set to 0 by hand (ACT-8).
        ScalingDisabled,
        /// AbleToScale, False: an annotation pauses scaling (ACT-10).
        Paused,
        /// AbleToScale, False: `mode: DryRun` changes nothing.
        DryRun,

        /// ScalingLimited, True: more consumers than partitions would stand idle.
        PartitionLimit,
        /// ScalingLimited, True: `maxReplicas` holds the group below the size that it needs.
        MaxReplicas,
        /// ScalingLimited, True: `minReplicas` holds the group above the size that it needs.
        MinReplicas,
        /// ScalingLimited, False: the size that the group needs is within its bounds.
        DesiredWithinRange,

        /// Healthy, True: nothing to report.
        AsExpected,
        /// Healthy, False: consumers run that no partition is left for.
        IdleConsumers,
        /// Healthy, False: partitions do not move although they have lag and an owner.
        PartitionsStuck,
        /// Healthy, False: more arrives on one partition than one consumer can do.
        HotPartition,
        /// Healthy, False: more replicas have brought nothing.
        ScalingIneffective,
        /// Healthy, False: members have a `group.instance.id`, and the target is no StatefulSet, so
        /// that every Pod is a new instance (KNOW-21).
        StaticMembership,
        /// Healthy, False: replicas are ready, and none of them has joined the group (ACT-4).
        GroupMissing,
        /// AbleToScale and Healthy, False: the last scale-up has brought the group no member,
        /// though its replicas are ready.
        MembersMissing,
        /// Healthy, False: the group has members that are not of this target, and they take
        /// partitions.
        MembersForeign,
        /// Healthy, False: the group hands out its partitions anew again and again, and not because
        /// of its size.
        RebalancingOften,

        /// Connected, True: the cluster answers.
        BrokersReachable,
    }
}

/// The three things that a condition can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// The condition holds.
    True,
    /// The condition does not hold.
    False,
    /// The status is not known.
    Unknown,
}

impl Status {
    /// As the API writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }

    /// The variant with this text.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::True, Self::False, Self::Unknown];
        all.into_iter().find(|status| status.as_str() == text)
    }
}

/// One condition as it is found now, before it is laid over what was said before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which condition.
    pub condition: Type,
    /// Its status.
    pub status: Status,
    /// The reason.
    pub reason: Reason,
    /// For a person: what is the matter and what to do about it. Cut at [`MAX_MESSAGE`].
    pub message: String,
}

impl Finding {
    /// What each type says before the first poll (TELL-30).
    pub fn not_yet_observed(condition: Type) -> Self {
        Self {
            condition,
            status: Status::Unknown,
            reason: Reason::NotYetObserved,
            message: String::new(),
        }
    }
}

/// The conditions to write: `findings` laid over `previous`. `lastTransitionTime` moves only when
/// the status changes, so that an unchanged condition is equal to itself and needs no write
/// (KEEP-29). Types that are not found any more go.
pub fn merge(
    previous: &[Condition],
    findings: &[Finding],
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    findings
        .iter()
        .map(|finding| {
            let status = finding.status.as_str();
            let since = previous
                .iter()
                .find(|before| {
                    before.type_ == finding.condition.as_str() && before.status == status
                })
                .map_or_else(
                    || Time(whole_second(now)),
                    |before| before.last_transition_time.clone(),
                );
            Condition {
                type_: finding.condition.as_str().to_owned(),
                status: status.to_owned(),
                reason: finding.reason.as_str().to_owned(),
                message: bounded_message(&finding.message).into_owned(),
                observed_generation: generation,
                last_transition_time: since,
            }
        })
        .collect()
}

/// The condition of this type, if there is one.
pub fn find(conditions: &[Condition], condition: Type) -> Option<&Condition> {
    conditions
        .iter()
        .find(|one| one.type_ == condition.as_str())
}

/// Status and reason of the condition of this type, if this version has the words.
pub fn said(conditions: &[Condition], condition: Type) -> Option<(Status, Option<Reason>)> {
    let found = find(conditions, condition)?;
    Some((Status::parse(&found.status)?, Reason::parse(&found.reason)))
}

/// The message on one line, cut to what the schema lets through ([`MAX_MESSAGE`] characters) with
/// an ellipsis. What others say is cleaned where it comes in; a message also has names that users
/// give.
pub fn bounded_message(message: &str) -> Cow<'_, str> {
    Cow::Owned(text::clean_to(message, MAX_MESSAGE))
}

/// Kubernetes keeps times in whole seconds; a finer one would differ from itself after a round
/// trip.
fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// The schema of a list of conditions: a map by type, bounded.
pub(super) fn schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "reason", "message", "lastTransitionTime"],
            "properties": {
                "type": { "type": "string", "maxLength": 64, "description": "What the condition is about." },
                "status": { "type": "string", "enum": ["True", "False", "Unknown"], "description": "Whether it holds: True, False or Unknown." },
                "reason": { "type": "string", "maxLength": 64, "description": "One word for why." },
                "message": { "type": "string", "maxLength": MAX_MESSAGE, "description": "What is the matter, and what to do about it." },
                "lastTransitionTime": { "type": "string", "format": "date-time", "description": "When status last changed." },
                "observedGeneration": { "type": "integer", "minimum": 0, "description": "The generation of the resource that this was found for." },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn ready(status: Status, reason: Reason, message: &str) -> Finding {
        Finding {
            condition: Type::Ready,
            status,
            reason,
            message: message.to_owned(),
        }
    }

    #[test]
    fn transition_time_moves_only_when_the_status_changes() {
        let first = merge(
            &[],
            &[ready(Status::True, Reason::Managed, "")],
            Some(1),
            at(100),
        );
        assert_eq!(first[0].last_transition_time, Time(at(100)));

        let same = merge(
            &first,
            &[ready(Status::True, Reason::Managed, "")],
            Some(1),
            at(200),
        );
        assert_eq!(same, first, "nothing new is equal, and is not written");

        let other_words = merge(
            &same,
            &[ready(Status::True, Reason::Managed, "now with words")],
            Some(2),
            at(300),
        );
        assert_eq!(other_words[0].last_transition_time, Time(at(100)));
        assert_eq!(other_words[0].observed_generation, Some(2));

        let turned = merge(
            &other_words,
            &[ready(Status::False, Reason::TargetNotFound, "")],
            Some(2),
            at(400),
        );
        assert_eq!(turned[0].last_transition_time, Time(at(400)));
        assert_eq!(turned[0].reason, "TargetNotFound");
    }

    #[test]
    fn a_condition_of_an_older_operator_goes() {
        let mut old = merge(
            &[],
            &[
                Finding::not_yet_observed(Type::Connected),
                Finding::not_yet_observed(Type::Ready),
            ],
            None,
            at(1),
        );
        "Gone".clone_into(&mut old[0].type_);
        let new = merge(
            &old,
            &[ready(Status::True, Reason::Managed, "")],
            None,
            at(2),
        );
        assert_eq!(new.len(), 1);
        assert!(find(&new, Type::Ready).is_some());
    }

    #[test]
    fn each_word_parses_and_other_text_does_not() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(*reason));
        }
        let written = merge(
            &[],
            &[ready(Status::False, Reason::GroupContested, "")],
            None,
            at(1),
        );
        let is = Some((Status::False, Some(Reason::GroupContested)));
        assert_eq!(said(&written, Type::Ready), is);
        assert_eq!(said(&written, Type::Healthy), None);
        let mut newer = written;
        "OfANewerVersion".clone_into(&mut newer[0].reason);
        assert_eq!(said(&newer, Type::Ready), Some((Status::False, None)));
    }

    #[test]
    fn times_are_whole_seconds_so_that_a_round_trip_changes_nothing() {
        let fine = Timestamp::from_millisecond(1_234).unwrap();
        let written = merge(&[], &[ready(Status::True, Reason::Managed, "")], None, fine);
        let read: Vec<Condition> =
            serde_json::from_str(&serde_json::to_string(&written).unwrap()).unwrap();
        assert_eq!(read, written);
    }

    proptest! {
        #[test]
        fn a_message_of_any_length_and_script_fits(message in "\\PC{0,600}") {
            let bounded = bounded_message(&message);
            prop_assert!(bounded.chars().count() <= MAX_MESSAGE);
            let is_shown_as_it_is = message.chars().count() <= MAX_MESSAGE
                && !message.contains(text::is_disruptive);
            prop_assert!(!is_shown_as_it_is || bounded == message);
        }
    }
}
