//! `ConsumerGroup`: what a user asks for. The API server checks its rules. No behaviour beyond
//! defaults.

use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    ConsumerGroupStatus, Duration, SaslSpec, TlsSpec, connection,
    schema::{DNS_SUBDOMAIN, bootstrap_servers, rule},
};

/// The consumer group to scale, its objective and its bounds.
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
    doc = "Scales the workload of one Kafka consumer group to the replicas that its objective needs, never to more than can be assigned a partition, and reports in its status what was done and why."
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

    /// The connection to Kafka: exactly one of clusterRef and bootstrapServers.
    pub kafka: KafkaSource,

    /// The topics whose lag counts. Default: the topics that the group's members are assigned, or,
    /// without members, those in which the group has committed offsets. The partition limit always
    /// covers these topics and the assigned ones together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "topics")]
    pub topics: Option<Vec<String>>,

    /// Instead of topics: a regular expression that must match the whole name of a topic. Topics
    /// are listed once a minute; internal topics are left out. Syntax:
    /// <https://docs.rs/regex/latest/regex/#syntax>
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub topic_pattern: Option<String>,

    /// A regular expression for the topics whose records wait on purpose, such as retry topics; it
    /// must match the whole name. Records in these topics ask for no replicas and do not count as
    /// delay. The topics count for the partition limit like the others, and with minReplicas: 0 a
    /// record in them wakes the group and keeps it awake. If topics or topicPattern is set, it must
    /// include them. Syntax as for topicPattern.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub delayed_topic_pattern: Option<String>,

    /// The minimum number of replicas. With 0 the group is scaled to zero when there is nothing to
    /// read; this needs topics or topicPattern.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 10_000))]
    pub min_replicas: i32,

    /// The maximum number of replicas. The partition limit always applies as well; if this is
    /// absent, it is the only limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_replicas: Option<i32>,

    /// What to scale by: exactly one of maxDelay and lagPerReplica.
    pub objective: Objective,

    /// The least times between actions. Each action makes the group rebalance, and consumption
    /// pauses during a rebalance.
    #[serde(default)]
    pub pacing: Pacing,

    /// Auto scales. DryRun decides and reports, and changes nothing.
    #[serde(default)]
    pub mode: Mode,

    /// The number of consumers that one replica runs. The partition limit is the number of
    /// partitions divided by this, rounded up.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1_000))]
    pub threads_per_replica: i32,

    /// The consumers' own `auto.offset.reset`. It decides how a partition without a committed
    /// offset counts. Latest: as read. Earliest: as unread from its beginning.
    #[serde(default)]
    pub auto_offset_reset: AutoOffsetReset,

    /// The consumers' own `isolation.level`. It decides up to which offset they can read. With
    /// ReadCommitted that is the last stable offset, so an open transaction does not count as lag.
    #[serde(default)]
    pub isolation_level: IsolationLevel,

    /// The replicas to hold at least while Kafka cannot be read. Absent: the group keeps its size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Fallback>,
}

/// The workload to scale: any kind with a scale subresource, such as a Deployment or a StatefulSet.
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

/// The connection to Kafka: exactly one of clusterRef and bootstrapServers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = source_rules()))]
pub struct KafkaSource {
    /// A KafkaCluster resource, which many groups can share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_ref: Option<ClusterRef>,

    /// Brokers to connect to first, as host:port. They name the other brokers of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bootstrap_servers")]
    pub bootstrap_servers: Option<Vec<String>>,

    /// TLS settings, with bootstrapServers. Absent: the connection is not encrypted. {}: it is
    /// encrypted, and the brokers' certificates are checked against the authorities that the
    /// operator's system trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSpec>,

    /// The SASL login, with bootstrapServers. Absent: no login, or the client certificate
    /// identifies the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl: Option<SaslSpec>,

    /// With bootstrapServers: allows logins that show a password or token to the network. These are
    /// PLAIN, OAUTHBEARER and AWS_MSK_IAM without tls, and tokens over http.
    // Not serialised when false: a rule rejects it beside clusterRef.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_insecure: bool,
}

/// A reference to a KafkaCluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterRef {
    /// Name of the KafkaCluster.
    #[schemars(length(max = 253), extend("x-kubernetes-validations" = [
        rule(DNS_SUBDOMAIN, "write the name of a KafkaCluster: lower case letters, digits, '-' and '.'")]))]
    pub name: String,

    /// Namespace of the KafkaCluster. Default: this resource's own. A KafkaCluster in another
    /// namespace must allow this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), extend("x-kubernetes-validations" = [
        rule(DNS_SUBDOMAIN, "write the name of a namespace: lower case letters, digits and '-'")]))]
    pub namespace: Option<String>,
}

/// What to scale by: exactly one of maxDelay and lagPerReplica.
///
/// An object of optional fields of which exactly one is set, so that other objectives can be added
/// without a new version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule("has(self.maxDelay) != has(self.lagPerReplica)",
        "set exactly one of maxDelay, how long a record may wait, and lagPerReplica, how many messages behind one replica may be")]))]
pub struct Objective {
    /// No record waits longer than this from the time it is written until it is consumed and
    /// committed: 1s to 24h. The capacity of a replica is measured and the delay is predicted. The
    /// group grows when waiting would cost more than the rebalance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_delay: Option<Duration>,
    /// The lag, in records, for which one replica is wanted, like KEDA's lagThreshold. The group
    /// grows when its lag is more than this times its replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_i64))]
    pub lag_per_replica: Option<i64>,
}

/// The least times between actions. They hold across restarts and for both directions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Pacing {
    /// Least time between any two actions, in either direction.
    pub min_interval: Duration,
    /// Least time from any action to a scale-down. The longer of this and minInterval applies.
    pub min_scale_down_interval: Duration,
    /// How long an action may take to settle (replicas ready, members joined, group stable) before
    /// it is reported as overdue, and how long to wait for a rollout.
    pub settle_timeout: Duration,
    /// With minReplicas 0: how long no record must arrive and none be unread before the group is
    /// scaled to zero.
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

/// Whether decisions are carried out.
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
    /// Consumers read up to the high watermark.
    #[default]
    ReadUncommitted,
    /// Consumers read only up to the last stable offset.
    ReadCommitted,
}

/// The replicas to hold at least while Kafka cannot be read. The group is raised once, within its
/// last known limit, and never lowered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Fallback {
    /// Replicas to raise the group to.
    #[schemars(range(min = 1, max = 10_000))]
    pub replicas: i32,
    /// How long Kafka must be unreadable before the group is raised.
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
