//! `ConsumerGroup`: what a user asks for. Its rules are checked by the API server; nothing here
//! decides anything.

use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    ConsumerGroupStatus, Duration, SaslSpec, TlsSpec, connection,
    schema::{DNS_SUBDOMAIN, bootstrap_servers, rule},
};

/// Which consumer group is sized, what for, and within which bounds.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "lagrange.dev",
    version = "v1alpha1",
    kind = "ConsumerGroup",
    namespaced,
    shortname = "cg",
    category = "lagrange",
    status = "ConsumerGroupStatus",
    derive = "PartialEq",
    doc = "Keeps one Kafka consumer group at the size that its lag asks for, never at more replicas than can be assigned a partition, and says on itself what it did and why."
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule("!has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",
        "minReplicas is above maxReplicas: lower minReplicas or raise maxReplicas"),
    rule("!(has(self.topics) && has(self.topicPattern))",
        "topics and topicPattern exclude each other: list the topics, or give a pattern for their names"),
    rule("self.minReplicas > 0 || has(self.topics) || has(self.topicPattern)",
        "minReplicas: 0 needs topics or topicPattern, so that a record for a sleeping group is noticed"),
    rule("!has(self.fallback) || self.fallback.replicas >= self.minReplicas",
        "fallback.replicas is below minReplicas, which holds in any case: raise it, or remove fallback"),
    rule("!has(self.fallback) || !has(self.maxReplicas) || self.fallback.replicas <= self.maxReplicas",
        "fallback.replicas is above maxReplicas: lower it, or raise maxReplicas"),
]))]
pub struct ConsumerGroupSpec {
    /// The consumer group's id (`group.id`). Default: the name of this resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub group_id: Option<String>,

    /// The workload whose replicas run the group's consumers. Always in this namespace.
    pub scale_target_ref: ScaleTargetRef,

    /// Where Kafka is: exactly one of clusterRef and bootstrapServers.
    pub kafka: KafkaSource,

    /// The topics that count. Default: those that the group's members are assigned, or else those
    /// that the group has committed offsets for. The partition limit is always over these and the
    /// assigned ones together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "topics")]
    pub topics: Option<Vec<String>>,

    /// Instead of topics: a regular expression that the whole name of a topic must match. Names are
    /// listed once a minute; internal topics are left out. Syntax:
    /// <https://docs.rs/regex/latest/regex/#syntax>
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub topic_pattern: Option<String>,

    /// Topics among those that count whose records wait on purpose, such as topics for retries: a
    /// regular expression that the whole name must match. What waits there asks for no replicas and
    /// is no delay. These topics count for the partition limit like the others, and with
    /// minReplicas: 0 records in them wake the group and keep it awake. Where topics or
    /// topicPattern is set, it has to have them, too. Syntax as with topicPattern.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub delayed_topic_pattern: Option<String>,

    /// Never fewer replicas than this. 0: the group sleeps when there is nothing to do; needs
    /// topics or topicPattern.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 10_000))]
    pub min_replicas: i32,

    /// Never more replicas than this. Absent: only the partition limit holds, which always does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_replicas: Option<i32>,

    /// What the group is sized for.
    pub objective: Objective,

    /// How close together actions may come: each one makes the group rebalance, and a rebalancing
    /// group stands still.
    #[serde(default)]
    pub pacing: Pacing,

    /// Auto scales; DryRun decides and reports, and changes nothing.
    #[serde(default)]
    pub mode: Mode,

    /// Consumers that one replica runs. The partition limit is the number of partitions divided by
    /// this, rounded up.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1_000))]
    pub threads_per_replica: i32,

    /// The consumers' own `auto.offset.reset`. It says how a partition without a committed offset
    /// counts: Latest as read, Earliest as unread from its beginning.
    #[serde(default)]
    pub auto_offset_reset: AutoOffsetReset,

    /// The consumers' own `isolation.level`. It says up to which offset they can read:
    /// ReadCommitted up to the last stable offset, so that an open transaction is no lag.
    #[serde(default)]
    pub isolation_level: IsolationLevel,

    /// A floor for the time in which Kafka cannot be read. Absent: the group keeps the size that it
    /// has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Fallback>,
}

/// The workload to scale: anything with a scale subresource, such as a Deployment or a StatefulSet.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaleTargetRef {
    /// API version of the workload.
    #[serde(default = "apps_v1")]
    #[schemars(length(max = 128), extend("x-kubernetes-validations" = [
        rule("self.matches('^([a-z0-9.-]+/)?v[0-9][a-z0-9]*$')", "write an API version such as apps/v1")]))]
    pub api_version: String,

    /// Kind of the workload.
    #[serde(default = "deployment")]
    #[schemars(length(max = 63), extend("x-kubernetes-validations" = [
        rule("self.matches('^[A-Z][A-Za-z0-9]*$')", "write a kind such as Deployment or StatefulSet")]))]
    pub kind: String,

    /// Name of the workload.
    #[schemars(length(max = 253), extend("x-kubernetes-validations" = [
        rule(DNS_SUBDOMAIN, "write the name of the workload: lower case letters, digits, '-' and '.'")]))]
    pub name: String,
}

/// Where Kafka is: exactly one of clusterRef and bootstrapServers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = source_rules()))]
pub struct KafkaSource {
    /// A KafkaCluster, shared by many groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_ref: Option<ClusterRef>,

    /// Brokers to begin with, as host:port; the others are learnt from them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bootstrap_servers")]
    pub bootstrap_servers: Option<Vec<String>>,

    /// TLS, with bootstrapServers. Absent: the connection is not encrypted. {}: it is, and the
    /// brokers are known by what the system trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSpec>,

    /// Who logs in, and how, with bootstrapServers. Absent: nobody does, or the client's
    /// certificate says who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl: Option<SaslSpec>,

    /// Allows, with bootstrapServers, what shows a password or token to the network: PLAIN,
    /// OAUTHBEARER and AWS_MSK_IAM without tls, and tokens over http.
    // Not written where it is false: beside a clusterRef it has no place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_insecure: bool,
}

/// Names a KafkaCluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterRef {
    /// Name of the KafkaCluster.
    #[schemars(length(max = 253), extend("x-kubernetes-validations" = [
        rule(DNS_SUBDOMAIN, "write the name of a KafkaCluster: lower case letters, digits, '-' and '.'")]))]
    pub name: String,

    /// Namespace of the KafkaCluster. Default: this resource's own. Another one must allow this
    /// namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), extend("x-kubernetes-validations" = [
        rule(DNS_SUBDOMAIN, "write the name of a namespace: lower case letters, digits and '-'")]))]
    pub namespace: Option<String>,
}

/// What the group is sized for.
///
/// An object of optional fields of which one is set, so that other objectives can join without a
/// new version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule("has(self.maxDelay) != has(self.lagPerReplica)",
        "set exactly one of maxDelay, how long a record may wait, and lagPerReplica, how many messages behind one replica may be")]))]
pub struct Objective {
    /// No record waits longer than this, from being written until it is consumed and committed: 1s
    /// to 24h. What one replica can do is measured, and the delay is predicted; the group grows
    /// when waiting would cost more than the rebalance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_delay: Option<Duration>,
    /// Messages behind for which one replica is wanted, like KEDA's lagThreshold: the group grows
    /// when its lag is more than this times its replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_i64))]
    pub lag_per_replica: Option<i64>,
}

/// How close together actions may come. Kept across restarts, and over both directions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Pacing {
    /// Least time between any two actions, in either direction.
    pub min_interval: Duration,
    /// Least time from any action to a scale-down. The longer of this and minInterval holds.
    pub min_scale_down_interval: Duration,
    /// How long an action may take to settle (replicas ready, members joined, group stable) before
    /// it is reported, and how long a rollout is waited for.
    pub settle_timeout: Duration,
    /// How long nothing must arrive and nothing be unread before a group with minReplicas 0 is put
    /// to sleep.
    pub scale_to_zero_delay: Duration,
}

impl Default for Pacing {
    fn default() -> Self {
        Self {
            min_interval: Duration::from_secs(30),
            min_scale_down_interval: Duration::from_secs(120),
            settle_timeout: Duration::from_secs(300),
            scale_to_zero_delay: Duration::from_secs(300),
        }
    }
}

/// Whether decisions are acted on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// Scales.
    #[default]
    Auto,
    /// Decides and reports, changes nothing.
    DryRun,
}

impl Mode {
    /// As the API writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "Auto",
            Self::DryRun => "DryRun",
        }
    }
}

/// The consumers' `auto.offset.reset`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum AutoOffsetReset {
    /// A partition without a committed offset counts as read.
    #[default]
    Latest,
    /// A partition without a committed offset counts as unread from its beginning.
    Earliest,
}

/// The consumers' `isolation.level`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum IsolationLevel {
    /// Everything up to the high watermark can be read.
    #[default]
    ReadUncommitted,
    /// Only what is before the last stable offset can be read.
    ReadCommitted,
}

/// A floor for the time in which Kafka cannot be read. It raises the group once, within its last
/// known limit, and never lowers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Fallback {
    /// Replicas to have then.
    #[schemars(range(min = 1, max = 10_000))]
    pub replicas: i32,
    /// How long Kafka must have been unreadable.
    #[serde(default = "five_minutes")]
    pub after: Duration,
}

fn one() -> i32 {
    1
}

fn apps_v1() -> String {
    "apps/v1".to_owned()
}

fn deployment() -> String {
    "Deployment".to_owned()
}

fn five_minutes() -> Duration {
    Duration::from_secs(300)
}

fn source_rules() -> Vec<Value> {
    let mut rules = vec![
        rule(
            "has(self.clusterRef) != has(self.bootstrapServers)",
            "set exactly one of clusterRef (a KafkaCluster) and bootstrapServers (host:port of brokers)",
        ),
        rule(
            "!has(self.clusterRef) || !(has(self.tls) || has(self.sasl) || has(self.allowInsecure))",
            "tls, sasl and allowInsecure go with bootstrapServers: a KafkaCluster has its own, remove them here",
        ),
    ];
    rules.extend(connection::rules());
    rules
}

fn topics(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": 64,
        "x-kubernetes-list-type": "set",
        "items": {
            "type": "string",
            "maxLength": 249,
            "x-kubernetes-validations": [rule(
                "self.matches('^[a-zA-Z0-9._-]+$') && self != '.' && self != '..'",
                "write the name of a topic: letters, digits, '.', '_' and '-'; for a pattern use topicPattern",
            )],
        },
    })
}
