//! Conditions: their types and reasons as constants, and the rule for `lastTransitionTime`. Pure:
//! no client, no clock.

use std::borrow::Cow;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::{Schema, SchemaGenerator, json_schema};

use crate::text;

/// Longest message in a status (TELL-33), in characters.
pub const MAX_MESSAGE: usize = 256;

/// The types of conditions.
pub mod types {
    /// ConsumerGroup: Lagrange manages the group; all that it needs is there.
    pub const READY: &str = "Ready";
    /// ConsumerGroup: the lag of every partition is known.
    pub const LAG_KNOWN: &str = "LagKnown";
    /// ConsumerGroup: a scale-up could happen now (TELL-30).
    pub const ABLE_TO_SCALE: &str = "AbleToScale";
    /// ConsumerGroup: a bound keeps the group from the size that it needs.
    pub const SCALING_LIMITED: &str = "ScalingLimited";
    /// ConsumerGroup: nothing about the group itself wants a person's attention.
    pub const HEALTHY: &str = "Healthy";
    /// KafkaCluster: the last look at the cluster was answered.
    pub const CONNECTED: &str = "Connected";

    /// Those of a ConsumerGroup, in the order in which they are listed.
    pub const OF_CONSUMER_GROUP: [&str; 5] =
        [READY, LAG_KNOWN, ABLE_TO_SCALE, SCALING_LIMITED, HEALTHY];
}

/// The reasons that conditions give. True has reasons too (TELL-30).
pub mod reasons {
    /// Any, Unknown: nothing has been looked at yet.
    pub const NOT_YET_OBSERVED: &str = "NotYetObserved";

    /// Ready, True: all that is needed is there, and nothing stands in the way of managing the
    /// group.
    pub const MANAGED: &str = "Managed";
    /// Ready, LagKnown and Connected, False: no broker answers.
    pub const KAFKA_UNREACHABLE: &str = "KafkaUnreachable";
    /// Ready and Connected, False: Kafka does not take the user, password, token or certificate.
    pub const AUTHENTICATION_FAILED: &str = "AuthenticationFailed";
    /// Ready and Connected, False: Kafka does not let Lagrange read what it needs.
    pub const AUTHORIZATION_FAILED: &str = "AuthorizationFailed";
    /// Ready, False: no such KafkaCluster in the group's own namespace.
    pub const CLUSTER_NOT_FOUND: &str = "ClusterNotFound";
    /// Ready, False: no such KafkaCluster in another namespace, or one that does not allow this
    /// namespace; which of the two is nobody's business who may not see it (SAFE-34).
    pub const CLUSTER_NOT_ALLOWED: &str = "ClusterNotAllowed";
    /// Ready and Connected, False: a Secret or ConfigMap that the connection needs is not there, or
    /// may not be read.
    pub const SECRET_NOT_FOUND: &str = "SecretNotFound";
    /// Ready and Connected, False: a Secret or ConfigMap lacks a key, or has something else in it
    /// than is wanted.
    pub const SECRET_INVALID: &str = "SecretInvalid";
    /// Ready and Connected, False: the connection would log in as the operator itself, which this
    /// namespace may not (SAFE-36).
    pub const IDENTITY_NOT_ALLOWED: &str = "IdentityNotAllowed";
    /// Ready, False: a topic that `topics` names does not exist.
    pub const TOPIC_NOT_FOUND: &str = "TopicNotFound";
    /// Ready, False: `scaleTargetRef` names nothing that exists and can be scaled.
    pub const TARGET_NOT_FOUND: &str = "TargetNotFound";
    /// Ready, False: Lagrange has no right to scale the target.
    pub const TARGET_FORBIDDEN: &str = "TargetForbidden";
    /// Ready, False: the target is there, and the API server or Lagrange cannot read it or its
    /// scale.
    pub const TARGET_UNREADABLE: &str = "TargetUnreadable";
    /// Ready, False: somebody else scales the target (ACT-7 and ACT-9).
    pub const TARGET_CONTESTED: &str = "TargetContested";
    /// Ready, False: another ConsumerGroup manages the same group of the same Kafka cluster
    /// (ACT-9).
    pub const GROUP_CONTESTED: &str = "GroupContested";
    /// Ready, False: a group of a kind that has no members to count, or that cannot be read.
    pub const GROUP_TYPE_UNSUPPORTED: &str = "GroupTypeUnsupported";
    /// Ready and Connected, False: the namespace uses as many Kafka clusters as one may (SAFE-38).
    pub const TOO_MANY_CONNECTIONS: &str = "TooManyConnections";
    /// Ready, False: the group's topics have more partitions than are read for one group, or than
    /// there is memory for.
    pub const TOO_MANY_PARTITIONS: &str = "TooManyPartitions";
    /// Ready, LagKnown and Connected, False: the cluster has more brokers than the operator
    /// connects to; the message says which limit it is.
    pub const TOO_MANY_BROKERS: &str = "TooManyBrokers";
    /// Ready and Connected, False: the resource asks for something that cannot be done; the message
    /// says what to write.
    pub const INVALID_SPEC: &str = "InvalidSpec";

    /// LagKnown, True: every partition was read.
    pub const ALL_PARTITIONS_READ: &str = "AllPartitionsRead";
    /// LagKnown, False: at least one partition could not be read.
    pub const PARTITIONS_UNREADABLE: &str = "PartitionsUnreadable";
    /// LagKnown, False: consumers read partitions for which nothing has been committed.
    pub const NOTHING_COMMITTED: &str = "NothingCommitted";
    /// LagKnown, False: what is known is too old.
    pub const STALE: &str = "Stale";

    /// AbleToScale, True: nothing stands in the way of a scale-up.
    pub const READY_FOR_NEW_SCALE: &str = "ReadyForNewScale";
    /// AbleToScale, False: the last action is too recent.
    pub const COOLING_DOWN: &str = "CoolingDown";
    /// AbleToScale, False: the group is handing out partitions anew.
    pub const GROUP_REBALANCING: &str = "GroupRebalancing";
    /// AbleToScale, False: the workload is rolling out.
    pub const ROLLOUT_IN_PROGRESS: &str = "RolloutInProgress";
    /// AbleToScale, False: fewer replicas are ready than are wanted, and the others do no work
    /// either.
    pub const REPLICAS_NOT_READY: &str = "ReplicasNotReady";
    /// AbleToScale, False: the lag is not known.
    pub const LAG_UNKNOWN: &str = "LagUnknown";
    /// AbleToScale, False: the target was set to 0 by hand (ACT-8).
    pub const SCALING_DISABLED: &str = "ScalingDisabled";
    /// AbleToScale, False: an annotation pauses scaling (ACT-10).
    pub const PAUSED: &str = "Paused";
    /// AbleToScale, False: `mode: DryRun` changes nothing.
    pub const DRY_RUN: &str = "DryRun";

    /// ScalingLimited, True: more consumers than partitions would stand idle.
    pub const PARTITION_LIMIT: &str = "PartitionLimit";
    /// ScalingLimited, True: `maxReplicas` holds the group below the size that it needs.
    pub const MAX_REPLICAS: &str = "MaxReplicas";
    /// ScalingLimited, True: `minReplicas` holds the group above the size that it needs.
    pub const MIN_REPLICAS: &str = "MinReplicas";
    /// ScalingLimited, False: the size that the group needs is within its bounds.
    pub const DESIRED_WITHIN_RANGE: &str = "DesiredWithinRange";

    /// Healthy, True: nothing to report.
    pub const AS_EXPECTED: &str = "AsExpected";
    /// Healthy, False: consumers run that no partition is left for.
    pub const IDLE_CONSUMERS: &str = "IdleConsumers";
    /// Healthy, False: partitions do not move although they have lag and an owner.
    pub const PARTITIONS_STUCK: &str = "PartitionsStuck";
    /// Healthy, False: more arrives on one partition than one consumer can do.
    pub const HOT_PARTITION: &str = "HotPartition";
    /// Healthy, False: more replicas have brought nothing.
    pub const SCALING_INEFFECTIVE: &str = "ScalingIneffective";
    /// Healthy, False: members have a `group.instance.id`, and the target is no StatefulSet, so
    /// that every Pod is a new instance (KNOW-21).
    pub const STATIC_MEMBERSHIP: &str = "StaticMembership";
    /// Healthy, False: replicas are ready, and none of them has joined the group (ACT-4).
    pub const GROUP_MISSING: &str = "GroupMissing";
    /// AbleToScale and Healthy, False: the last scale-up has brought the group no member, though
    /// its replicas are ready.
    pub const MEMBERS_MISSING: &str = "MembersMissing";
    /// Healthy, False: the group has members that are not of this target, and they take partitions.
    pub const MEMBERS_FOREIGN: &str = "MembersForeign";
    /// Healthy, False: the group hands out its partitions anew again and again, and not because of
    /// its size.
    pub const REBALANCING_OFTEN: &str = "RebalancingOften";

    /// Connected, True: the cluster answers.
    pub const BROKERS_REACHABLE: &str = "BrokersReachable";
}

/// The three things that a condition can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Not known.
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
}

/// One condition as it is found now, before it is laid over what was said before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// One of [`types`].
    pub condition: &'static str,
    /// What it says.
    pub status: Status,
    /// One of [`reasons`].
    pub reason: &'static str,
    /// For a person: what is the matter and what to do about it. Cut at [`MAX_MESSAGE`].
    pub message: String,
}

impl Finding {
    /// What each type says before the first look (TELL-30).
    pub fn not_yet_observed(condition: &'static str) -> Self {
        Self {
            condition,
            status: Status::Unknown,
            reason: reasons::NOT_YET_OBSERVED,
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
                .find(|before| before.type_ == finding.condition && before.status == status)
                .map_or_else(
                    || Time(whole_second(now)),
                    |before| before.last_transition_time.clone(),
                );
            Condition {
                type_: finding.condition.to_owned(),
                status: status.to_owned(),
                reason: finding.reason.to_owned(),
                message: bounded_message(&finding.message).into_owned(),
                observed_generation: generation,
                last_transition_time: since,
            }
        })
        .collect()
}

/// The condition of this type, if there is one.
pub fn find<'a>(conditions: &'a [Condition], condition: &str) -> Option<&'a Condition> {
    conditions.iter().find(|one| one.type_ == condition)
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

    fn ready(status: Status, reason: &'static str, message: &str) -> Finding {
        Finding {
            condition: types::READY,
            status,
            reason,
            message: message.to_owned(),
        }
    }

    #[test]
    fn transition_time_moves_only_when_the_status_changes() {
        let first = merge(
            &[],
            &[ready(Status::True, reasons::MANAGED, "")],
            Some(1),
            at(100),
        );
        assert_eq!(first[0].last_transition_time, Time(at(100)));

        let same = merge(
            &first,
            &[ready(Status::True, reasons::MANAGED, "")],
            Some(1),
            at(200),
        );
        assert_eq!(same, first, "nothing new is equal, and is not written");

        let other_words = merge(
            &same,
            &[ready(Status::True, reasons::MANAGED, "now with words")],
            Some(2),
            at(300),
        );
        assert_eq!(other_words[0].last_transition_time, Time(at(100)));
        assert_eq!(other_words[0].observed_generation, Some(2));

        let turned = merge(
            &other_words,
            &[ready(Status::False, reasons::TARGET_NOT_FOUND, "")],
            Some(2),
            at(400),
        );
        assert_eq!(turned[0].last_transition_time, Time(at(400)));
        assert_eq!(turned[0].reason, "TargetNotFound");
    }

    #[test]
    fn a_condition_of_an_older_operator_goes() {
        let old = merge(
            &[],
            &[
                Finding::not_yet_observed("Gone"),
                Finding::not_yet_observed(types::READY),
            ],
            None,
            at(1),
        );
        let new = merge(
            &old,
            &[ready(Status::True, reasons::MANAGED, "")],
            None,
            at(2),
        );
        assert_eq!(new.len(), 1);
        assert!(find(&new, types::READY).is_some());
        assert!(find(&new, "Gone").is_none());
    }

    #[test]
    fn times_are_whole_seconds_so_that_a_round_trip_changes_nothing() {
        let fine = Timestamp::from_millisecond(1_234).unwrap();
        let written = merge(
            &[],
            &[ready(Status::True, reasons::MANAGED, "")],
            None,
            fine,
        );
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
