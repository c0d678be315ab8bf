//! The status of a `ConsumerGroup`: what a user reads. Words are plain strings and every part is
//! read leniently, so that what another version of the operator left never makes an object
//! unreadable.

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

/// What Lagrange last saw, decided and did.
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

    /// Partitions that the group reads, over all its topics.
    #[serde(
        deserialize_with = "default_if_unreadable",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(range(min = 0))]
    pub partitions: Option<i32>,

    /// How far the group is behind, in messages.
    #[serde(
        deserialize_with = "default_if_unreadable",
        skip_serializing_if = "Option::is_none"
    )]
    pub lag: Option<LagStatus>,

    /// Messages per second.
    #[serde(
        deserialize_with = "default_if_unreadable",
        skip_serializing_if = "Option::is_none"
    )]
    pub rate: Option<RateStatus>,

    /// The sizes: what the target has, what it should have, and what bounds it.
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

    /// What Lagrange must remember across a restart. Its own notes; not for people or programs to
    /// build on.
    #[serde(
        deserialize_with = "default_if_unreadable",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(schema_with = "opaque")]
    pub memory: Option<Value>,

    /// Ready, LagKnown, AbleToScale, ScalingLimited and Healthy.
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
    /// How it hands out partitions, such as range, cooperative-sticky or uniform.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assignor: Option<String>,
    /// Its members.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub members: Option<i32>,
    /// Members that have no partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub idle_members: Option<i32>,
    /// Id of the broker that coordinates it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coordinator: Option<i32>,
}

/// How far the group is behind, in messages and in time. Two significant digits: a number that
/// changes with every message would be written with every look.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LagStatus {
    /// Over all partitions. Absent while a partition is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub total: Option<i64>,
    /// Of the partition that is furthest behind.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub max: Option<i64>,
    /// The partition that is furthest behind, as topic-partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_partition: Option<String>,
    /// Age of the oldest message that is not consumed, such as 42s, without the
    /// partitions that replicas cannot help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<String>,
    /// Partitions whose lag is not known. Unknown is not zero: no scale-down while there are any.
    #[schemars(range(min = 0))]
    pub unknown_partitions: i32,
    /// Partitions that do not move although they have lag and an owner, as topic-partition; the
    /// first eight. They are left out of the demand.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    pub stuck_partitions: Vec<String>,
}

/// Messages per second, as quantities: `1250m` is one and a quarter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RateStatus {
    /// Written to the group's topics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub produced: Option<String>,
    /// Committed by the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumed: Option<String>,
    /// What one replica can consume: measured while it had a backlog, under `objective.maxDelay`
    /// also bracketed from what it did without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_replica: Option<String>,
}

/// The sizes: what the target has, what it should have, and what bounds it.
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
    /// Replicas that the group needs within its limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub desired: Option<i32>,
    /// The most replicas that the group may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub limit: Option<i32>,
    /// What sets that limit: Partitions, or MaxReplicas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limited_by: Option<String>,
}

/// The last decision. `time` is when it began, not when it was last taken: a hold that lasts is one
/// decision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DecisionStatus {
    /// When this decision began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// What was decided: ScaleUp, ScaleDown or Hold.
    pub action: String,
    /// Replicas before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub from: Option<i32>,
    /// Replicas decided on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub to: Option<i32>,
    /// One word for why.
    pub reason: String,
    /// Why, with the numbers that it was decided on.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = MAX_MESSAGE))]
    pub message: String,
    /// When the next action may come.
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
    /// Whether it leaves the replicas.
    pub fn is_hold(&self) -> bool {
        self.action == DecisionAction::Hold.as_str()
    }
}

/// One action: the target's replicas were set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ScaleRecord {
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// Replicas before.
    #[schemars(range(min = 0))]
    pub from: i32,
    /// Replicas after.
    #[schemars(range(min = 0))]
    pub to: i32,
    /// One word for why.
    pub reason: String,
    /// How long it took until replicas were ready, members had joined and the group was stable.
    /// Absent while it has not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settled_after: Option<String>,
}

/// A rate in thousandths of messages per second, as a quantity in its canonical form: `1250m`, `2`.
pub fn milli_quantity(milli: i64) -> String {
    if milli % 1_000 == 0 {
        (milli / 1_000).to_string()
    } else {
        format!("{milli}m")
    }
}

/// Thousandths that a quantity of [`milli_quantity`] stands for.
pub fn milli_of(quantity: &str) -> Option<i64> {
    match quantity.strip_suffix('m') {
        Some(milli) => milli.parse().ok(),
        None => quantity.parse::<i64>().ok()?.checked_mul(1_000),
    }
}

/// An object whose fields are nobody's business but its writer's (KEEP-27).
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
