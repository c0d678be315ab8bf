//! Each CEL rule: one object that breaks it and is refused with its message, and a similar one that
//! is accepted.

use std::collections::BTreeSet;

use lagrange_core::api;
use rstest::rstest;
use serde_json::{Value, json};

use crate::connections::of_connections;
use crate::objects::{cluster, group};
use crate::server::Server;

const DURATION: &str = "write a duration between 1s and 24h, such as 90s, 1m30s or 2h";
const POLL_INTERVAL: &str = "write a duration between 5s and 30s, such as 15s";
const SERVER: &str = "write each bootstrap server as host:port, such as kafka-0.kafka:9092";
const TOPIC: &str =
    "write the name of a topic: letters, digits, '.', '_' and '-'; for a pattern use topicPattern";
const NAMESPACE: &str = "write the name of a namespace: lower case letters, digits and '-'";

/// The wrong field, an object with the mistake, the message, and a similar object without it.
pub(crate) struct Case {
    at: &'static str,
    bad: Value,
    message: &'static str,
    good: Value,
}

pub(crate) fn case(at: &'static str, bad: Value, message: &'static str, good: Value) -> Case {
    Case {
        at,
        bad,
        message,
        good,
    }
}

fn of_spec() -> Vec<Case> {
    let topics = json!(["orders"]);
    vec![
        case(
            "spec",
            group(json!({ "minReplicas": 6, "maxReplicas": 5 })),
            "minReplicas is above maxReplicas: lower minReplicas or raise maxReplicas",
            group(json!({ "minReplicas": 5, "maxReplicas": 5 })),
        ),
        case(
            "spec",
            group(json!({ "topics": topics, "topicPattern": "orders.*" })),
            "topics and topicPattern exclude each other: list the topics, or give a pattern for their names",
            group(json!({ "topicPattern": "orders.*" })),
        ),
        case(
            "spec",
            group(json!({ "minReplicas": 0 })),
            "minReplicas: 0 needs topics or topicPattern, so that a record for a sleeping group is noticed",
            group(json!({ "minReplicas": 0, "topics": topics })),
        ),
        case(
            "spec",
            group(json!({ "minReplicas": 3, "fallback": { "replicas": 2 } })),
            "fallback.replicas is below minReplicas, which holds in any case: raise it, or remove fallback",
            group(json!({ "minReplicas": 3, "fallback": { "replicas": 3 } })),
        ),
        case(
            "spec",
            group(json!({ "maxReplicas": 5, "fallback": { "replicas": 6 } })),
            "fallback.replicas is above maxReplicas: lower it, or raise maxReplicas",
            group(json!({ "maxReplicas": 6, "fallback": { "replicas": 6 } })),
        ),
        case(
            "spec.objective",
            group(json!({ "objective": { "lagPerReplica": null } })),
            "set exactly one of maxDelay, how long a record may wait, and lagPerReplica, how many messages behind one replica may be",
            group(json!({ "objective": { "lagPerReplica": 1 } })),
        ),
        case(
            "spec.objective",
            group(json!({ "objective": { "lagPerReplica": 1, "maxDelay": "60s" } })),
            "set exactly one of maxDelay, how long a record may wait, and lagPerReplica, how many messages behind one replica may be",
            group(json!({ "objective": { "lagPerReplica": null, "maxDelay": "60s" } })),
        ),
        case(
            "spec.kafka",
            group(json!({ "kafka": { "bootstrapServers": ["kafka:9092"] } })),
            "set exactly one of clusterRef (a KafkaCluster) and bootstrapServers (host:port of brokers)",
            group(json!({ "kafka": { "clusterRef": null, "bootstrapServers": ["kafka:9092"] } })),
        ),
        case(
            "spec.kafka",
            group(json!({ "kafka": { "clusterRef": null } })),
            "set exactly one of clusterRef (a KafkaCluster) and bootstrapServers (host:port of brokers)",
            group(json!({ "kafka": { "clusterRef": { "name": "main", "namespace": "kafka" } } })),
        ),
    ]
}

fn of_names() -> Vec<Case> {
    vec![
        case(
            "spec.scaleTargetRef.name",
            // The name is used in the path of a request, so it must not lead out of the namespace.
            group(json!({ "scaleTargetRef": { "name": "../../other/deployments/payments" } })),
            "write the name of the workload: lower case letters, digits, '-' and '.'",
            group(json!({ "scaleTargetRef": { "name": "fulfillment-2.eu" } })),
        ),
        case(
            "spec.scaleTargetRef.kind",
            group(json!({ "scaleTargetRef": { "kind": "deployments/x" } })),
            "write a kind such as Deployment or StatefulSet",
            group(json!({ "scaleTargetRef": { "kind": "StatefulSet" } })),
        ),
        case(
            "spec.scaleTargetRef.apiVersion",
            group(json!({ "scaleTargetRef": { "apiVersion": "apps" } })),
            "write an API version such as apps/v1",
            group(
                json!({ "scaleTargetRef": { "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout" } }),
            ),
        ),
        case(
            "spec.kafka.clusterRef.name",
            group(json!({ "kafka": { "clusterRef": { "name": "Main" } } })),
            "write the name of a KafkaCluster: lower case letters, digits, '-' and '.'",
            group(json!({ "kafka": { "clusterRef": { "name": "main.eu-1" } } })),
        ),
        case(
            "spec.kafka.clusterRef.namespace",
            group(json!({ "kafka": { "clusterRef": { "namespace": "" } } })),
            NAMESPACE,
            group(json!({ "kafka": { "clusterRef": { "namespace": "kafka" } } })),
        ),
        case(
            "spec.topics[1]",
            group(json!({ "topics": ["orders", "orders.*"] })),
            TOPIC,
            group(json!({ "topics": ["orders", "orders.eu_1-x"] })),
        ),
        case(
            "spec.topics[0]",
            group(json!({ "topics": [".."] })),
            TOPIC,
            group(json!({ "topics": ["..."] })),
        ),
        case(
            "spec.kafka.bootstrapServers[0]",
            group(json!({ "kafka": { "clusterRef": null, "bootstrapServers": ["kafka"] } })),
            SERVER,
            group(
                json!({ "kafka": { "clusterRef": null, "bootstrapServers": ["[fd00::1]:9092"] } }),
            ),
        ),
    ]
}

fn of_durations() -> Vec<Case> {
    let pacing = |field: &str, value: &str| group(json!({ "pacing": { field: value } }));
    vec![
        case(
            "spec.pacing.minInterval",
            pacing("minInterval", "999ms"),
            DURATION,
            pacing("minInterval", "1s"),
        ),
        case(
            "spec.pacing.minInterval",
            pacing("minInterval", "0h"),
            DURATION,
            pacing("minInterval", "1000ms"),
        ),
        case(
            "spec.pacing.minInterval",
            pacing("minInterval", "90"),
            DURATION,
            pacing("minInterval", "90s"),
        ),
        case(
            "spec.pacing.minInterval",
            pacing("minInterval", "999999h"),
            DURATION,
            pacing("minInterval", "23h59m59s999ms"),
        ),
        case(
            "spec.pacing.minScaleDownInterval",
            pacing("minScaleDownInterval", "24h1ms"),
            DURATION,
            pacing("minScaleDownInterval", "24h"),
        ),
        case(
            "spec.pacing.settleTimeout",
            pacing("settleTimeout", "soon"),
            DURATION,
            pacing("settleTimeout", "5m"),
        ),
        case(
            "spec.pacing.scaleToZeroDelay",
            pacing("scaleToZeroDelay", "1d"),
            DURATION,
            pacing("scaleToZeroDelay", "1h30m"),
        ),
        case(
            "spec.fallback.after",
            group(json!({ "fallback": { "replicas": 6, "after": "-5m" } })),
            DURATION,
            group(json!({ "fallback": { "replicas": 6, "after": "5m" } })),
        ),
    ]
}

fn of_cluster() -> Vec<Case> {
    let servers = |server: &str| cluster(json!({ "bootstrapServers": [server] }));
    vec![
        case(
            "spec.bootstrapServers[0]",
            servers("SSL://kafka:9092"),
            SERVER,
            servers("kafka:9092"),
        ),
        case(
            "spec.bootstrapServers[0]",
            servers("kafka-0:9092,kafka-1:9092"),
            SERVER,
            servers("10.0.0.1:1"),
        ),
        case(
            "spec.bootstrapServers[0]",
            servers("kafka:65536"),
            SERVER,
            servers("kafka:65535"),
        ),
        case(
            "spec.bootstrapServers[0]",
            servers("kafka:0"),
            SERVER,
            servers("[fd00::1]:65535"),
        ),
        case(
            "spec.pollInterval",
            cluster(json!({ "pollInterval": "4s999ms" })),
            POLL_INTERVAL,
            cluster(json!({ "pollInterval": "5s" })),
        ),
        case(
            "spec.pollInterval",
            cluster(json!({ "pollInterval": "31s" })),
            POLL_INTERVAL,
            cluster(json!({ "pollInterval": "30s" })),
        ),
    ]
}

fn of_allowed_namespaces() -> Vec<Case> {
    let allowed = |changes: Value| cluster(json!({ "allowedNamespaces": changes }));
    let expression = |expression: Value| {
        allowed(json!({ "from": "Selector", "selector": { "matchExpressions": [expression] } }))
    };
    let (names, selector) = (
        "names goes with from: Names, and from: Names needs names",
        "selector goes with from: Selector, and from: Selector needs a selector",
    );
    let values = "In and NotIn need values; Exists and DoesNotExist take none";
    vec![
        case(
            "spec.allowedNamespaces",
            allowed(json!({ "from": "Names" })),
            names,
            allowed(json!({ "from": "Names", "names": ["shop"] })),
        ),
        case(
            "spec.allowedNamespaces",
            allowed(json!({ "names": ["shop"] })),
            names,
            allowed(json!({ "from": "All" })),
        ),
        case(
            "spec.allowedNamespaces.names[0]",
            allowed(json!({ "from": "Names", "names": ["*"] })),
            NAMESPACE,
            allowed(json!({ "from": "Names", "names": ["shop-1"] })),
        ),
        case(
            "spec.allowedNamespaces",
            allowed(json!({ "from": "Selector" })),
            selector,
            allowed(json!({ "from": "Selector", "selector": {} })),
        ),
        case(
            "spec.allowedNamespaces",
            allowed(json!({ "from": "All", "selector": {} })),
            selector,
            allowed(
                json!({ "from": "Selector", "selector": { "matchLabels": { "team": "shop" } } }),
            ),
        ),
        case(
            "spec.allowedNamespaces",
            allowed(json!({ "groupIdPrefixes": ["shop."] })),
            "groupIdPrefixes binds other namespaces, and from: Same allows none: set from to All, Names or Selector, or remove groupIdPrefixes",
            allowed(json!({ "from": "All", "groupIdPrefixes": ["shop."] })),
        ),
        case(
            "matchExpressions[0]",
            expression(json!({ "key": "team", "operator": "In" })),
            values,
            expression(json!({ "key": "team", "operator": "In", "values": ["shop"] })),
        ),
        case(
            "matchExpressions[0]",
            expression(json!({ "key": "team", "operator": "Exists", "values": ["shop"] })),
            values,
            expression(json!({ "key": "team", "operator": "Exists" })),
        ),
    ]
}

/// SAFE-35, SAFE-37.
#[rstest]
#[case::of_the_whole_spec(of_spec())]
#[case::of_names(of_names())]
#[case::of_durations(of_durations())]
#[case::of_a_kafka_cluster(of_cluster())]
#[case::of_allowed_namespaces(of_allowed_namespaces())]
#[case::of_connections(of_connections())]
#[tokio::test]
async fn an_object_that_breaks_a_rule_is_refused_with_what_to_write(#[case] cases: Vec<Case>) {
    let server = Server::with_definitions().await;
    for Case {
        at,
        bad,
        message,
        good,
    } in cases
    {
        let refused = server.dry_run(&bad).await;
        assert_eq!(
            refused.status, 422,
            "{at}: {bad} was not refused: {}",
            refused.body
        );
        assert!(
            refused
                .causes()
                .iter()
                .any(|(field, text)| field.ends_with(at) && text.contains(message)),
            "{at}: {bad} was refused without {message:?}: {:?}",
            refused.causes(),
        );
        let accepted = server.dry_run(&good).await;
        assert_eq!(
            accepted.status, 201,
            "{at}: {good} was refused: {}",
            accepted.body
        );
        assert_eq!(accepted.warnings, [] as [&str; 0], "{at}: {good}");
    }
}

#[test]
fn every_rule_has_a_case() {
    let cases = [
        of_spec(),
        of_names(),
        of_durations(),
        of_cluster(),
        of_allowed_namespaces(),
        of_connections(),
    ];
    let tested: BTreeSet<&str> = cases.iter().flatten().map(|case| case.message).collect();
    let mut written = BTreeSet::new();
    messages(
        &serde_json::to_value(api::definitions()).unwrap(),
        &mut written,
    );
    assert_eq!(written, tested.into_iter().map(str::to_owned).collect());
}

fn messages(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for rule in fields
                .get("x-kubernetes-validations")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                into.insert(
                    rule["message"]
                        .as_str()
                        .expect("a rule has no message")
                        .to_owned(),
                );
            }
            fields.values().for_each(|field| messages(field, into));
        }
        Value::Array(items) => items.iter().for_each(|item| messages(item, into)),
        _ => {}
    }
}
