//! The custom resources as Rust types: what users write and read. Defaults and validation, no other
//! behaviour. Depends on no other module.

mod columns;
pub mod condition;
mod connection;
mod consumer_group;
mod duration;
mod kafka_cluster;
#[cfg(test)]
mod reference;
mod schema;
mod status;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

pub use connection::{
    AwsCredentialsRef, AwsSpec, CertificateSource, ClientCertificate, ClientSecretRef,
    KerberosSpec, OauthSpec, PasswordRef, SaslMechanism, SaslSpec, TlsSpec, UsernameRef,
};
pub use consumer_group::{
    AutoOffsetReset, ClusterRef, ConsumerGroup, ConsumerGroupSpec, Fallback, IsolationLevel,
    KafkaSource, Mode, Objective, Pacing, ScaleTargetRef,
};
pub use duration::{Duration, DurationError};
pub use kafka_cluster::{
    AllowedNamespaces, KafkaCluster, KafkaClusterSpec, KafkaClusterStatus, NamespacesFrom,
};
pub use status::{
    ConsumerGroupStatus, DecisionAction, DecisionStatus, GroupStatus, LagStatus, MAX_HISTORY,
    RateStatus, ReplicasStatus, ScaleRecord, milli_of, milli_quantity,
};

/// The API group of every resource here.
pub const GROUP: &str = "lagrange.dev";
/// The version of it that this operator reads and writes.
pub const VERSION: &str = "v1alpha1";

/// Annotations on a ConsumerGroup that pause it without a change to its manifest (ACT-10).
pub mod annotations {
    /// `"true"` stops all actions.
    pub const PAUSED: &str = "lagrange.dev/paused";
    /// A number of replicas to scale to and to hold. Takes precedence over [`PAUSED`].
    pub const PAUSED_REPLICAS: &str = "lagrange.dev/paused-replicas";
    /// `"true"` stops scale-downs.
    pub const PAUSED_SCALE_IN: &str = "lagrange.dev/paused-scale-in";
    /// `"true"` stops scale-ups.
    pub const PAUSED_SCALE_OUT: &str = "lagrange.dev/paused-scale-out";
    /// The prefix of all of them, and of most misspellings: an unknown annotation with this prefix
    /// pauses too.
    pub const PAUSE_PREFIX: &str = "lagrange.dev/pause";
}

/// The definitions of both kinds, as they are applied to a cluster: the derived `crd()` with
/// finished schemas and columns.
pub fn definitions() -> [CustomResourceDefinition; 2] {
    [
        schema::finish(ConsumerGroup::crd(), &columns::of_consumer_group()),
        schema::finish(KafkaCluster::crd(), &columns::of_kafka_cluster()),
    ]
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
        JSONSchemaProps, JSONSchemaPropsOrArray,
    };

    use super::*;

    /// TELL-33.
    #[test]
    fn every_field_is_described_every_list_bounded_and_merged_as_it_says() {
        for definition in definitions() {
            let schema = definition.spec.versions[0].schema.clone().unwrap();
            let schema = schema.open_api_v3_schema.unwrap();
            check(&definition.spec.names.kind, &schema);
        }
    }

    fn check(path: &str, schema: &JSONSchemaProps) {
        assert_eq!(schema.nullable, None, "{path}");
        match schema.type_.as_deref() {
            Some("integer") => assert_eq!(schema.format, None, "{path}"),
            Some("array") => {
                assert!(schema.max_items.is_some(), "{path} has no bound");
                assert!(
                    schema.x_kubernetes_list_type.is_some(),
                    "{path} has no list type"
                );
            }
            _ => {}
        }
        if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
            check(&format!("{path}[]"), items);
        }
        for (name, property) in schema.properties.iter().flatten() {
            let described = property
                .description
                .as_deref()
                .is_some_and(|text| text.ends_with(['.', '>']));
            assert!(described, "{path}.{name} is not described in a sentence");
            check(&format!("{path}.{name}"), property);
        }
    }
}
