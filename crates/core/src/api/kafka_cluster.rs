//! `KafkaCluster`: a connection that many groups share, and the namespaces that may use it. No
//! behaviour beyond validation and defaults.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{
    Duration, SaslSpec, TlsSpec, condition, connection, duration,
    schema::{DNS_SUBDOMAIN, bootstrap_servers, default_if_unreadable, rule},
};

/// How to connect to the cluster, how often to poll it, and which namespaces may use it.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "lagrange.dev",
    version = "v1alpha1",
    kind = "KafkaCluster",
    namespaced,
    shortname = "kcl",
    category = "lagrange",
    status = "KafkaClusterStatus",
    derive = "PartialEq",
    doc = "The connection to a Kafka cluster, shared by ConsumerGroups of its own namespace and of others that allowedNamespaces allows."
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = connection::rules()))]
pub struct KafkaClusterSpec {
    /// Brokers to connect to first, as host:port. They name the other brokers of the cluster.
    #[schemars(schema_with = "bootstrap_servers")]
    pub bootstrap_servers: Vec<String>,

    /// TLS settings. Absent: the connection is not encrypted. {}: it is encrypted, and the brokers'
    /// certificates are checked against the authorities that the operator's system trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSpec>,

    /// The SASL login. Absent: no login, or the client certificate identifies the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl: Option<SaslSpec>,

    /// Allows logins that show a password or token to the network. These are PLAIN, OAUTHBEARER and
    /// AWS_MSK_IAM without tls, and tokens over http.
    #[serde(default)]
    pub allow_insecure: bool,

    /// Which ConsumerGroups may use this cluster. Default: those of its own namespace.
    #[serde(default)]
    pub allowed_namespaces: AllowedNamespaces,

    /// Time from one poll of all groups to the next. The autoscaling rules are tuned for 15s.
    #[serde(default = "fifteen_seconds")]
    #[schemars(schema_with = "poll_interval")]
    pub poll_interval: Duration,
}

/// Which ConsumerGroups may use a KafkaCluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule("(self.from == 'Names') == has(self.names)",
        "names goes with from: Names, and from: Names needs names"),
    rule("(self.from == 'Selector') == has(self.selector)",
        "selector goes with from: Selector, and from: Selector needs a selector"),
    rule("self.from != 'Same' || !has(self.groupIdPrefixes)",
        "groupIdPrefixes binds other namespaces, and from: Same allows none: set from to All, Names or Selector, or remove groupIdPrefixes"),
]))]
pub struct AllowedNamespaces {
    /// Same: only the KafkaCluster's own namespace. All: every namespace. Names: also those in
    /// names. Selector: also those whose labels match selector.
    #[serde(default)]
    pub from: NamespacesFrom,

    /// Names of the namespaces that are allowed, in addition to its own. Only with from: Names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "namespace_names")]
    pub names: Option<Vec<String>>,

    /// Labels of the namespaces that are allowed, in addition to its own. Only with from: Selector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "label_selector")]
    pub selector: Option<LabelSelector>,

    /// Prefixes for other namespaces: the group ids of their ConsumerGroups must begin with one of
    /// these. Absent: any group id is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "group_id_prefixes")]
    pub group_id_prefixes: Option<Vec<String>>,
}

/// Which namespaces are allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum NamespacesFrom {
    /// Only the KafkaCluster's own namespace.
    #[default]
    Same,
    /// Every namespace.
    All,
    /// Its own namespace and those that are named.
    Names,
    /// Its own namespace and those whose labels match.
    Selector,
}

/// The result of the last polls of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct KafkaClusterStatus {
    /// The generation of the resource that this status is about.
    #[serde(
        deserialize_with = "default_if_unreadable",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,

    /// Kafka's own id of the cluster.
    #[serde(
        deserialize_with = "default_if_unreadable",
        skip_serializing_if = "Option::is_none"
    )]
    pub cluster_id: Option<String>,

    /// Brokers that the cluster has.
    #[serde(
        deserialize_with = "default_if_unreadable",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(range(min = 0))]
    pub brokers: Option<i32>,

    /// ConsumerGroups that use this cluster.
    #[serde(
        deserialize_with = "default_if_unreadable",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(range(min = 0))]
    pub groups: Option<i32>,

    /// The condition Connected.
    #[serde(
        deserialize_with = "default_if_unreadable",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(schema_with = "condition::schema")]
    pub conditions: Vec<Condition>,
}

fn fifteen_seconds() -> Duration {
    Duration::from_secs(15)
}

fn poll_interval(_: &mut SchemaGenerator) -> Schema {
    duration::bounded(Duration::from_secs(5), Duration::from_secs(30), "15s")
}

fn namespace_names(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": 256,
        "x-kubernetes-list-type": "set",
        "items": {
            "type": "string",
            "maxLength": 63,
            "x-kubernetes-validations": [rule(DNS_SUBDOMAIN, "write the name of a namespace: lower case letters, digits and '-'")],
        },
    })
}

fn group_id_prefixes(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": 64,
        "x-kubernetes-list-type": "set",
        "items": { "type": "string", "minLength": 1, "maxLength": 255 },
    })
}

/// Kubernetes' label selector with bounds, and with the rules that other resources leave to a
/// webhook.
fn label_selector(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "x-kubernetes-map-type": "atomic",
        "properties": {
            "matchLabels": {
                "description": "Labels that must all be present.",
                "type": "object",
                "maxProperties": 64,
                "additionalProperties": { "type": "string", "maxLength": 63 },
            },
            "matchExpressions": {
                "description": "Requirements that must all hold.",
                "type": "array",
                "maxItems": 32,
                "x-kubernetes-list-type": "atomic",
                "items": {
                    "type": "object",
                    "required": ["key", "operator"],
                    "properties": {
                        "key": { "description": "Key of the label.", "type": "string", "minLength": 1, "maxLength": 317 },
                        "operator": {
                            "description": "In and NotIn: the value is (not) one of values. Exists and DoesNotExist: the label is (not) present.",
                            "type": "string",
                            "enum": ["In", "NotIn", "Exists", "DoesNotExist"],
                        },
                        "values": {
                            "description": "Only with In and NotIn.",
                            "type": "array",
                            "maxItems": 64,
                            "x-kubernetes-list-type": "atomic",
                            "items": { "type": "string", "maxLength": 63 },
                        },
                    },
                    "x-kubernetes-validations": [rule(
                        "(self.operator in ['In', 'NotIn']) == (has(self.values) && self.values.size() > 0)",
                        "In and NotIn need values; Exists and DoesNotExist take none",
                    )],
                },
            },
        },
    })
}
