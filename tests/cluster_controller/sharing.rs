//! Connections that namespaces share, every way to select the topics, and every group protocol.

use kube::api::{Patch, PatchParams};
use lagrange_testing::kafka::Kafka;
use lagrange_testing::kubernetes::{Kubernetes, Space};
use lagrange_testing::operator::Operator;
use lagrange_testing::until::{secs, until};
use serde_json::{Value, json};

use crate::stage::{APP, Stage};

/// Sets which namespaces may use the cluster.
async fn allow(owner: &Space, cluster: &str, allowed: Value) {
    let patch = Patch::Merge(json!({ "spec": { "allowedNamespaces": allowed } }));
    owner
        .clusters()
        .patch(cluster, &PatchParams::default(), &patch)
        .await
        .unwrap();
}

fn by_reference(cluster: &str, namespace: Option<&str>) -> Value {
    let reference = json!({ "name": cluster, "namespace": namespace });
    json!({ "kafka": { "bootstrapServers": null, "clusterRef": reference } })
}

async fn ready_message(space: &Space, group: &str) -> String {
    let conditions = space.status(group).await.conditions;
    let ready = conditions.into_iter().find(|c| c.type_ == "Ready").unwrap();
    ready.message
}

async fn until_scaled(stage: &Stage<'_>, replicas: i32) {
    stage.space.until_replicas(APP, replicas, 40).await;
    stage
        .space
        .until_condition(APP, "Ready", "True/Managed")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kafka_cluster_of_the_same_namespace_is_used_and_counts_its_users() {
    let stage = Stage::new("own").await;
    let _consumers = stage.set(6, 1).await;
    stage.kafka.produce(&stage.topic, 180).await;
    stage.group(by_reference("main", None)).await;
    let _operator = stage.operator().await;
    stage
        .space
        .until_condition(APP, "Ready", "False/ClusterNotFound")
        .await;
    stage.space.cluster("main", &stage.kafka.bootstrap).await;
    until_scaled(&stage, 2).await;
    until(secs(30), "the cluster is described", || async {
        let status = stage.space.clusters().get("main").await.unwrap().status;
        let status = status.unwrap_or_default();
        let connected = status.conditions.first().map(|c| c.status.as_str());
        match (connected, status.brokers, status.groups) {
            (Some("True"), Some(1), Some(1)) if status.cluster_id.is_some() => Ok(()),
            _ => Err(format!("{status:?}")),
        }
    })
    .await;
}

/// SAFE-34, SAFE-39.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_and_a_forbidden_cluster_of_another_namespace_are_indistinguishable() {
    let stage = Stage::new("abroad").await;
    let owner = stage.kubernetes.namespace("owner").await;
    let _consumers = stage.set(6, 1).await;
    stage.kafka.produce(&stage.topic, 180).await;
    owner.cluster("main", &stage.kafka.bootstrap).await;
    stage.group(by_reference("main", Some(&owner.name))).await;
    let mut nowhere = stage.spec(by_reference("nowhere", Some(&owner.name)));
    // Another target, so that neither contests the other.
    nowhere["scaleTargetRef"]["name"] = json!("lost");
    stage.space.group("lost", nowhere).await;
    let flag = format!("--watch-namespace={}", owner.name);
    let _operator = Operator::start_with(stage.kubernetes, &stage.space, &[&flag]).await;

    for group in [APP, "lost"] {
        stage
            .space
            .until_condition(group, "Ready", "False/ClusterNotAllowed")
            .await;
    }
    let refused = ready_message(&stage.space, APP).await;
    let absent = ready_message(&stage.space, "lost").await;
    assert_eq!(refused.replace("/main", "/nowhere"), absent);

    let others = json!({ "from": "Names", "names": ["another", stage.space.name] });
    allow(&owner, "main", others).await;
    until_scaled(&stage, 2).await;
    allow(
        &owner,
        "main",
        json!({ "from": "All", "names": null, "groupIdPrefixes": ["shop."] }),
    )
    .await;
    stage
        .space
        .until_condition(APP, "Ready", "False/ClusterNotAllowed")
        .await;
    allow(
        &owner,
        "main",
        json!({ "from": "All", "groupIdPrefixes": ["abroad"] }),
    )
    .await;
    stage
        .space
        .until_condition(APP, "Ready", "True/Managed")
        .await;
    allow(&owner, "main", Value::Null).await;
    stage
        .space
        .until_condition(APP, "Ready", "False/ClusterNotAllowed")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn namespaces_are_allowed_by_labels_and_refused_when_these_change() {
    // A cluster of its own: an operator for all namespaces would manage other tests' groups too.
    let kubernetes = Kubernetes::own().await;
    let kafka = Kafka::shared().await;
    let stage = Stage::at(&kubernetes, kafka, "labels").await;
    let owner = kubernetes.namespace("owner").await;
    let _consumers = stage.set(6, 1).await;
    kafka.produce(&stage.topic, 180).await;
    owner.cluster("main", &kafka.bootstrap).await;
    let selector = json!({ "matchLabels": { "team": "shop" } });
    allow(
        &owner,
        "main",
        json!({ "from": "Selector", "selector": selector }),
    )
    .await;
    stage.group(by_reference("main", Some(&owner.name))).await;
    let everywhere = Space {
        client: stage.space.client.clone(),
        name: String::new(),
    };
    let _operator = Operator::start(&kubernetes, &everywhere).await;
    stage
        .space
        .until_condition(APP, "Ready", "False/ClusterNotAllowed")
        .await;
    kubernetes.kubectl(&["label", "namespace", &stage.space.name, "team=shop"]);
    until_scaled(&stage, 2).await;
    kubernetes.kubectl(&["label", "namespace", &stage.space.name, "team-"]);
    stage
        .space
        .until_condition(APP, "Ready", "False/ClusterNotAllowed")
        .await;
}

/// KNOW-19.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_topics_in_the_spec_the_assigned_topics_count() {
    let stage = Stage::new("assigned").await;
    let _consumers = stage.set(6, 1).await;
    stage.kafka.produce(&stage.topic, 180).await;
    stage.group(json!({ "topics": null })).await;
    let _operator = stage.operator().await;
    until_scaled(&stage, 2).await;
    assert_eq!(stage.status().await.partitions, Some(6));
}

/// KNOW-19.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_topics_and_members_the_committed_topics_count() {
    let stage = Stage::new("committed").await;
    stage.kafka.create_topic(&stage.topic, 6).await;
    stage.kafka.produce(&stage.topic, 180).await;
    let begin = (0..6).map(|partition| (partition, 10)).collect();
    stage.kafka.commit(&stage.topic, &stage.topic, &begin).await;
    stage.space.deployment(APP, 1).await;
    stage
        .group(json!({ "topics": null, "autoOffsetReset": "Latest" }))
        .await;
    let _operator = stage.operator().await;
    until(secs(40), "the lag is known", || async {
        let status = stage.status().await;
        let lag = status.lag.as_ref().and_then(|lag| lag.total);
        match (status.partitions, lag) {
            (Some(6), Some(120)) => Ok(()),
            _ => Err(format!("{status:?}")),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pattern_counts_the_topics_whose_whole_name_it_matches() {
    let stage = Stage::new("pattern").await;
    let named = |tail: &str| format!("{}.{tail}", stage.topic);
    for (tail, partitions) in [("orders.eu", 6), ("orders.us", 3), ("orders.us.old", 12)] {
        stage.kafka.create_topic(&named(tail), partitions).await;
        stage.kafka.produce(&named(tail), 90).await;
    }
    stage.space.deployment(APP, 1).await;
    let pattern = format!("{}\\.orders\\.[a-z]+", stage.topic);
    stage
        .group(json!({ "topics": null, "topicPattern": pattern }))
        .await;
    let _operator = stage.operator().await;
    until(secs(40), "both topics are read", || async {
        let status = stage.status().await;
        let lag = status.lag.as_ref().and_then(|lag| lag.total);
        let limit = status.replicas.as_ref().and_then(|found| found.limit);
        match (status.partitions, lag, limit) {
            // The assignor is unknown, so the limit is the partitions of the largest topic.
            (Some(9), Some(180), Some(6)) => Ok(()),
            _ => Err(format!("{status:?}")),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_of_the_consumer_protocol_is_scaled_up_and_down() {
    let stage = Stage::new("kip848").await;
    stage.kafka.create_topic(&stage.topic, 6).await;
    stage.kafka.produce(&stage.topic, 600).await;
    stage.space.deployment(APP, 1).await;
    let consumers = stage.consumers(&[("group.protocol", "consumer")]);
    stage.group(json!({})).await;
    let _operator = stage.operator().await;
    until_scaled(&stage, 6).await;
    stage.until_settled(6).await;
    let group = stage.status().await.group.unwrap();
    assert_eq!(group.protocol.as_deref(), Some("Consumer"));
    assert_eq!(group.assignor.as_deref(), Some("uniform"));
    assert_eq!((group.members, group.idle_members), (Some(6), Some(0)));
    consumers.micros_per_record(0);
    stage.space.until_replicas(APP, 3, 90).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cooperative_group_is_scaled() {
    let stage = Stage::new("cooperative").await;
    stage.kafka.create_topic(&stage.topic, 6).await;
    stage.kafka.produce(&stage.topic, 600).await;
    stage.space.deployment(APP, 1).await;
    let assignor = ("partition.assignment.strategy", "cooperative-sticky");
    let _consumers = stage.consumers(&[assignor]);
    stage.group(json!({})).await;
    let _operator = stage.operator().await;
    until_scaled(&stage, 6).await;
    stage.until_settled(6).await;
    let group = stage.status().await.group.unwrap();
    assert_eq!(group.assignor.as_deref(), Some("cooperative-sticky"));
    assert_eq!((group.members, group.idle_members), (Some(6), Some(0)));
}

/// KNOW-21.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn static_members_are_reported_and_their_departure_is_waited_for() {
    let stage = Stage::new("static").await;
    stage.kafka.create_topic(&stage.topic, 6).await;
    stage.space.deployment(APP, 3).await;
    let _consumers = stage.consumers(&[("group.instance.id", "instance")]);
    stage.group(json!({ "topics": [stage.topic] })).await;
    let _operator = stage.operator().await;
    stage
        .space
        .until_condition(APP, "Healthy", "False/StaticMembership")
        .await;
    // A static member that has left keeps its partitions until its session ends.
    stage.until_settled(2).await;
    let group = stage.status().await.group.unwrap();
    assert_eq!(group.members, Some(2), "{group:?}");
}
