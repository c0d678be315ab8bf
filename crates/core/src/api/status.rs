//! The status of a `ConsumerGroup`: what a user reads. Enumerations are plain strings and every
//! part is read leniently, so that a status of another version of the operator never makes an
//! object unreadable.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    condition::{self, MAX_MESSAGE},
    schema::default_if_unreadable,
};

/// Actions that `history` keeps.
pub const MAX_HISTORY: usize = 10;

/// The last observation, decision and actions of Lagrange.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerGroupStatus {
    /// The generation of the resource that this status is about.
    #[serde(
        deserialize_with = "default_if_unreadable",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,

    /// The consumer group as its coordinator describes it.
    #[serde(
        deserialize_with = "default_if_unreadable",
        skip_serializing_if = "Option::is_none"
    )]
    pub group: Option<GroupStatus>,

    /// Partitions that the group reads, in all its topics together.
    #[serde(
        deserialize_with = "default_if_unreadable",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(range(min = 0))]
    pub partitions: Option<i32>,

    /// How far the group is behind, in records and in time.
    #[serde(
        deserialize_with = "default_if_unreadable",
        skip_serializing_if = "Option::is_none"
    )]
    pub lag: Option<LagStatus>,

    /// Records per second.
    #[serde(
        deserialize_with = "default_if_unreadable",
        skip_serializing_if = "Option::is_none"
    )]
    pub rate: Option<RateStatus>,

    /// The replicas that the target has, those that it should have, and their limit.
    #[serde(
        deserialize_with = "default_if_unreadable",
        skip_serializing_if = "Option::is_none"
    )]
    pub replicas: Option<ReplicasStatus>,

    /// The last decision.
    #[serde(
        deserialize_with = "default_if_unreadable",
        skip_serializing_if = "Option::is_none"
    )]
    pub decision: Option<DecisionStatus>,

    /// The last action.
    #[serde(
        deserialize_with = "default_if_unreadable",
        skip_serializing_if = "Option::is_none"
    )]
    pub last_scale: Option<ScaleRecord>,

    /// The last ten actions, newest first.
    #[serde(
        deserialize_with = "default_if_unreadable",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(length(max = 10), extend("x-kubernetes-list-type" = "atomic"))]
    pub history: Vec<ScaleRecord>,

    /// What Lagrange must remember across a restart. Internal: people and programs should not rely
    /// on it.
    #[serde(
        deserialize_with = "default_if_unreadable",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(schema_with = "opaque")]
    pub memory: Option<Value>,

    /// The conditions Ready, LagKnown, AbleToScale, ScalingLimited and Healthy.
    #[serde(
        deserialize_with = "default_if_unreadable",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(schema_with = "condition::schema")]
    pub conditions: Vec<Condition>,
}

/// The consumer group as its coordinator describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupStatus {
    /// The group's id.
    pub id: String,
    /// Its state, such as Stable, Empty or PreparingRebalance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Its rebalance protocol: Classic, or Consumer (KIP-848).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Its assignor, such as range, cooperative-sticky or uniform.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assignor: Option<String>,
    /// The number of its members.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub members: Option<i32>,
    /// The number of its members that have no partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub idle_members: Option<i32>,
    /// Id of the broker that coordinates it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coordinator: Option<i32>,
}

/// How far the group is behind, in records and in time. Numbers have two significant digits: an
/// exact number changes with every record and would be written with every poll.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LagStatus {
    /// Lag of all partitions together. Absent while a partition is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub total: Option<i64>,
    /// Lag of the partition that is furthest behind.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub max: Option<i64>,
    /// The partition that is furthest behind, as topic-partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_partition: Option<String>,
    /// Age of the oldest record that is not consumed, such as 42s. Partitions that more replicas
    /// cannot help are left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<String>,
    /// The number of partitions whose lag is unknown. Unknown is not zero: there is no scale-down
    /// while there are any.
    #[schemars(range(min = 0))]
    pub unknown_partitions: i32,
    /// The first eight stuck partitions, as topic-partition: they have lag and an owner, but their
    /// commit does not move. They ask for no replicas.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    pub stuck_partitions: Vec<String>,
}

/// Records per second, as quantities: `1250m` is one and a quarter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RateStatus {
    /// Records per second that are written to the group's topics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub produced: Option<String>,
    /// Records per second that the group commits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumed: Option<String>,
    /// Records per second that one replica can consume, measured while it had a backlog. Under
    /// `objective.maxDelay` it may also be estimated from its rate without a backlog.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_replica: Option<String>,
}

/// The replicas that the target has, those that it should have, and their limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicasStatus {
    /// Replicas that the target asks for now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub current: Option<i32>,
    /// Replicas of it that are ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub ready: Option<i32>,
    /// Replicas that the group needs, within its limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub desired: Option<i32>,
    /// The most replicas that the group may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub limit: Option<i32>,
    /// What sets the limit: Partitions or MaxReplicas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limited_by: Option<String>,
}

/// The last decision. `time` is when it was first made: a hold that lasts is one decision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DecisionStatus {
    /// When this decision was first made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// The decision: ScaleUp, ScaleDown or Hold.
    pub action: String,
    /// Replicas before the action.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub from: Option<i32>,
    /// Replicas after the action.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub to: Option<i32>,
    /// The reason, as one word.
    pub reason: String,
    /// The reason in words, with the numbers behind the decision.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = MAX_MESSAGE))]
    pub message: String,
    /// When the next action may follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
}

/// What a decision does. `as_str` is the action in the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecisionAction {
    /// More replicas.
    ScaleUp,
    /// Fewer replicas.
    ScaleDown,
    /// The replicas stay.
    Hold,
}

impl DecisionAction {
    /// As the status writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ScaleUp => "ScaleUp",
            Self::ScaleDown => "ScaleDown",
            Self::Hold => "Hold",
        }
    }
}

impl DecisionStatus {
    /// Whether it leaves the replicas as they are.
    pub fn is_hold(&self) -> bool {
        self.action == DecisionAction::Hold.as_str()
    }
}

/// One action: a change of the target's replicas.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ScaleRecord {
    /// When the action was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// Replicas before the action.
    #[schemars(range(min = 0))]
    pub from: i32,
    /// Replicas after the action.
    #[schemars(range(min = 0))]
    pub to: i32,
    /// The reason, as one word.
    pub reason: String,
    /// How long it took until replicas were ready, members had joined and the group was stable.
    /// Absent until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settled_after: Option<String>,
}

/// A rate in thousandths of records per second, as a quantity in its canonical form: `1250m`, `2`.
pub fn milli_quantity(milli: i64) -> String {
    if milli % 1_000 == 0 {
        (milli / 1_000).to_string()
    } else {
        format!("{milli}m")
    }
}

/// The thousandths that a quantity of [`milli_quantity`] represents.
pub fn milli_of(quantity: &str) -> Option<i64> {
    match quantity.strip_suffix('m') {
        Some(milli) => milli.parse().ok(),
        None => quantity.parse::<i64>().ok()?.checked_mul(1_000),
    }
}

/// An object whose fields only its writer interprets (KEEP-27).
fn opaque(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case(0, "0")]
    #[case(1, "1m")]
    #[case(1_250, "1250m")]
    #[case(2_000, "2")]
    #[case(-500, "-500m")]
    fn rates_are_canonical_quantities(#[case] milli: i64, #[case] quantity: &str) {
        assert_eq!(milli_quantity(milli), quantity);
    }

    #[test]
    fn each_part_that_cannot_be_read_counts_as_absent_and_the_rest_stays() {
        let odd = json!({
            "observedGeneration": "seven",
            "group": { "id": "shop", "state": 3 },
            "partitions": 4.5,
            "lag": { "total": 9, "unknownPartitions": 2, "perTopic": [] },
            "rate": 7,
            "replicas": { "current": "three" },
            "decision": { "time": "yesterday" },
            "lastScale": null,
            "history": [{ "from": 1, "to": "2" }],
            "conditions": { "Ready": true },
            "memory": "scrambled",
            "weather": "fine",
        });
        let read: ConsumerGroupStatus = serde_json::from_value(odd).unwrap();
        let expected = ConsumerGroupStatus {
            lag: Some(LagStatus {
                total: Some(9),
                unknown_partitions: 2,
                ..LagStatus::default()
            }),
            memory: Some(json!("scrambled")),
            ..ConsumerGroupStatus::default()
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn an_empty_status_is_an_empty_object() {
        let empty = ConsumerGroupStatus::default();
        assert_eq!(serde_json::to_value(&empty).unwrap(), json!({}));
    }
}
