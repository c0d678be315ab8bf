//! What users see of a resource: defaults, columns and `kubectl explain`. A status of another
//! version can be read.

use http::Method;
use lagrange_core::api::{self, ConsumerGroup, Duration, Mode, NamespacesFrom};
use serde_json::{Value, json};

use crate::objects::{cluster, group};
use crate::server::{Server, kubectl};

#[tokio::test]
async fn defaults_are_stored() {
    let server = Server::with_definitions().await;
    let stored = server
        .dry_run(&group(
            json!({ "pacing": { "minInterval": "45s" }, "fallback": { "replicas": 2 } }),
        ))
        .await;
    assert_eq!(
        stored.body["spec"],
        json!({
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "fulfillment" },
            "kafka": { "clusterRef": { "name": "main" } },
            "objective": { "lagPerReplica": 1000 },
            "minReplicas": 1,
            "pacing": { "minInterval": "45s", "minScaleDownInterval": "2m", "settleTimeout": "5m", "scaleToZeroDelay": "5m" },
            "mode": "Auto",
            "threadsPerReplica": 1,
            "autoOffsetReset": "Latest",
            "isolationLevel": "ReadUncommitted",
            "fallback": { "replicas": 2, "after": "5m" },
        })
    );

    let stored = server.dry_run(&cluster(json!({}))).await;
    assert_eq!(
        stored.body["spec"],
        json!({
            "bootstrapServers": ["kafka-0.kafka:9092"],
            "allowInsecure": false,
            "allowedNamespaces": { "from": "Same" },
            "pollInterval": "15s",
        })
    );
}

/// An object that was stored before there were defaults reads the same.
#[test]
fn defaults_of_the_types_are_those_of_the_schema() {
    let group: ConsumerGroup = serde_json::from_value(group(json!({}))).unwrap();
    assert_eq!(
        (
            group.spec.min_replicas,
            group.spec.threads_per_replica,
            group.spec.mode
        ),
        (1, 1, Mode::Auto)
    );
    assert_eq!(group.spec.pacing, api::Pacing::default());
    let cluster: api::KafkaCluster = serde_json::from_value(cluster(json!({}))).unwrap();
    assert_eq!(cluster.spec.poll_interval, Duration::from_secs(15));
    assert_eq!(cluster.spec.allowed_namespaces.from, NamespacesFrom::Same);
}

#[tokio::test]
async fn null_is_the_same_as_absent() {
    let server = Server::with_definitions().await;
    let mut object = group(json!({}));
    object["spec"]["maxReplicas"] = Value::Null;
    object["spec"]["kafka"]["bootstrapServers"] = Value::Null;
    object["spec"]["mode"] = Value::Null;
    let stored = server.dry_run(&object).await;
    assert_eq!(stored.status, 201, "{}", stored.body);
    assert_eq!(stored.body["spec"]["mode"], "Auto");
    assert!(stored.body["spec"].get("maxReplicas").is_none());
}

/// TELL-32.
#[tokio::test]
async fn columns_show_the_decision_and_wide_ones_the_group() {
    let server = Server::with_definitions().await;
    let created = server
        .create(
            "columns",
            &group(json!({ "maxReplicas": 20, "mode": "DryRun" })),
        )
        .await;
    assert_eq!(created.status, 201, "{}", created.body);
    let status: api::ConsumerGroupStatus = serde_json::from_value(status()).unwrap();
    set_status(
        &server,
        "columns",
        "consumergroups",
        &serde_json::to_value(&status).unwrap(),
    )
    .await;

    let narrow = kubectl(&["get", "cg", "-n", "columns"]);
    assert_eq!(
        words(&narrow),
        [
            "NAME TARGET REPLICAS DESIRED LAG DELAY READY REASON AGE",
            "example fulfillment 2 3 2700 AGE True CoolingDown AGE",
        ]
    );
    let wide = kubectl(&["get", "cg", "-n", "columns", "-o", "wide"]);
    assert_eq!(
        words(&wide),
        [
            "NAME TARGET REPLICAS DESIRED LAG DELAY READY REASON AGE GROUP STATE PARTITIONS MEMBERS IDLE MIN MAX LAST-SCALE NOT-BEFORE MODE",
            "example fulfillment 2 3 2700 AGE True CoolingDown AGE shop.fulfillment Stable 6 2 0 1 20 AGE 2096-11-24T14:03:20Z DryRun",
        ]
    );
}

#[tokio::test]
async fn a_kafka_cluster_shows_whether_it_is_connected() {
    let server = Server::with_definitions().await;
    server.create("clusters", &cluster(json!({}))).await;
    let status = json!({
        "observedGeneration": 1, "clusterId": "4L6g3nShT-eMCtK--X86sw", "brokers": 3, "groups": 12,
        "conditions": [condition("Connected", "True", "BrokersReachable")],
    });
    let typed: api::KafkaClusterStatus = serde_json::from_value(status.clone()).unwrap();
    assert_eq!(serde_json::to_value(typed).unwrap(), status);
    set_status(&server, "clusters", "kafkaclusters", &status).await;

    assert_eq!(
        words(&kubectl(&["get", "kcl", "-n", "clusters", "-o", "wide"])),
        [
            "NAME BROKERS GROUPS CONNECTED REASON AGE CLUSTER-ID POLL-INTERVAL",
            "example 3 12 True BrokersReachable AGE 4L6g3nShT-eMCtK--X86sw 15s",
        ]
    );
    assert!(
        kubectl(&["get", "lagrange", "-n", "clusters"])
            .contains("kafkacluster.lagrange.dev/example"),
        "the category lagrange does not list the KafkaCluster"
    );
}

#[tokio::test]
async fn kubectl_explains_every_level() {
    let _server = Server::with_definitions().await;
    for (path, text) in [
        (
            "consumergroup",
            "Scales the workload of one Kafka consumer group",
        ),
        (
            "consumergroup.spec.pacing",
            "Least time between any two actions, in either direction.",
        ),
        ("cg.spec.minReplicas", "needs topics or topicPattern"),
        ("cg.spec.mode", "ENUM:\n    Auto\n    DryRun"),
        ("cg.status.decision", "When the next action may follow."),
        (
            "cg.status.conditions",
            "What is the matter, and what to do about it.",
        ),
        (
            "kafkacluster.spec.allowedNamespaces.selector",
            "Labels that must all be present.",
        ),
        (
            "kafkacluster.spec.tls.clientCertificate",
            "Key of the private key, which must not be encrypted.",
        ),
        ("cg.spec.kafka.sasl.mechanism", "SCRAM-SHA-512"),
        ("kcl.status.brokers", "Brokers that the cluster has."),
    ] {
        let explained = kubectl(&["explain", path]);
        assert!(
            explained.contains(text),
            "kubectl explain {path} does not say {text:?}:\n{explained}"
        );
    }
}

/// The status of another version of the operator, with values and structures that are unknown to
/// this one.
#[tokio::test]
async fn a_status_of_another_version_does_not_make_the_object_unreadable() {
    let server = Server::with_definitions().await;
    server.create("upgrade", &group(json!({}))).await;
    let mut status = status();
    status["group"]["state"] = json!("Pondering");
    status["group"]["protocol"] = json!("Share");
    status["decision"]["action"] = json!("Evacuate");
    status["conditions"].as_array_mut().unwrap().push(condition(
        "Enchanted",
        "Unknown",
        "WhoKnows",
    ));
    status["memory"] = json!({ "version": 99, "pending": "not what this version writes", "nested": [{ "deep": null }] });
    let stored = set_status(&server, "upgrade", "consumergroups", &status).await;
    assert_eq!(
        stored["status"]["memory"]["version"], 99,
        "the memory was not kept whole"
    );
    assert_eq!(
        stored["status"]["memory"]["nested"][0],
        json!({ "deep": null })
    );

    let groups: kube::Api<ConsumerGroup> = kube::Api::namespaced(server.client.clone(), "upgrade");
    let read = groups
        .get("example")
        .await
        .expect("the object cannot be read")
        .status
        .unwrap();
    assert_eq!(read.group.unwrap().state.as_deref(), Some("Pondering"));
    assert_eq!(read.decision.unwrap().action, "Evacuate");
    assert_eq!(read.conditions.len(), 2);
}

/// TELL-33.
#[tokio::test]
async fn the_history_and_messages_of_a_status_are_bounded() {
    let server = Server::with_definitions().await;
    server.create("bounded", &group(json!({}))).await;
    let path = "/apis/lagrange.dev/v1alpha1/namespaces/bounded/consumergroups/example/status?fieldManager=test&force=true";
    let apply = |status: Value| {
        json!({
            "apiVersion": "lagrange.dev/v1alpha1", "kind": "ConsumerGroup", "metadata": { "name": "example" }, "status": status,
        })
    };
    let record = json!({ "from": 1, "to": 2, "reason": "LagAboveObjective" });

    let full = json!({ "history": vec![record.clone(); api::MAX_HISTORY], "decision": { "action": "Hold", "reason": "x", "message": "ä".repeat(256) } });
    let accepted = server.send(Method::PATCH, path, &apply(full)).await;
    assert_eq!(accepted.status, 200, "{}", accepted.body);

    let too_long = json!({ "history": vec![record; api::MAX_HISTORY + 1] });
    assert_eq!(
        server
            .send(Method::PATCH, path, &apply(too_long))
            .await
            .status,
        422
    );
    let too_long =
        json!({ "decision": { "action": "Hold", "reason": "x", "message": "m".repeat(257) } });
    assert_eq!(
        server
            .send(Method::PATCH, path, &apply(too_long))
            .await
            .status,
        422
    );
}

fn status() -> Value {
    json!({
        "observedGeneration": 1,
        "group": { "id": "shop.fulfillment", "state": "Stable", "protocol": "Classic", "assignor": "range", "members": 2, "idleMembers": 0, "coordinator": 1 },
        "partitions": 6,
        "lag": { "total": 2700, "max": 900, "maxPartition": "order-events-3", "delay": "42s", "stuckPartitions": ["order-events-5"], "unknownPartitions": 0 },
        "rate": { "produced": "420", "consumed": "390", "perReplica": "210500m" },
        "replicas": { "current": 2, "ready": 2, "desired": 3, "limit": 6, "limitedBy": "Partitions" },
        "decision": { "time": "2025-11-24T14:03:05Z", "action": "Hold", "from": 2, "to": 3, "reason": "CoolingDown", "message": "wants 3", "notBefore": "2096-11-24T14:03:20Z" },
        "lastScale": { "time": "2025-11-24T14:02:50Z", "from": 1, "to": 2, "reason": "LagAboveObjective", "settledAfter": "12s" },
        "history": [{ "time": "2025-11-24T14:02:50Z", "from": 1, "to": 2, "reason": "LagAboveObjective", "settledAfter": "12s" }],
        "memory": { "version": 1 },
        "conditions": [condition("Ready", "True", "Managed")],
    })
}

fn condition(kind: &str, status: &str, reason: &str) -> Value {
    json!({ "type": kind, "status": status, "reason": reason, "message": "", "lastTransitionTime": "2025-11-24T14:00:00Z", "observedGeneration": 1 })
}

/// Writes the status as the operator does, and returns the stored object. Panics if a field is
/// lost.
async fn set_status(server: &Server, namespace: &str, plural: &str, status: &Value) -> Value {
    let path = format!(
        "/apis/lagrange.dev/v1alpha1/namespaces/{namespace}/{plural}/example/status?fieldManager=test"
    );
    let kind = if plural == "consumergroups" {
        "ConsumerGroup"
    } else {
        "KafkaCluster"
    };
    let object = json!({ "apiVersion": "lagrange.dev/v1alpha1", "kind": kind, "metadata": { "name": "example" }, "status": status });
    let written = server.send(Method::PATCH, &path, &object).await;
    assert_eq!(written.status, 200, "{}", written.body);
    assert_eq!(&written.body["status"], status, "the schema lacks a field");
    assert_eq!(written.warnings, [] as [&str; 0]);
    written.body
}

/// The lines with single spaces, and every age as `AGE`.
fn words(table: &str) -> Vec<String> {
    let age = |word: &str| {
        word.ends_with(['s', 'm', 'h', 'd', 'y'])
            && word.starts_with(|c: char| c.is_ascii_digit())
            && word != "15s"
    };
    let line = |line: &str| {
        line.split_whitespace()
            .map(|word| if age(word) { "AGE" } else { word })
            .collect::<Vec<_>>()
            .join(" ")
    };
    table.lines().map(line).collect()
}
