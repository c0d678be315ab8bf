//! Groups with too much to read.

use crate::{
    kafka::GroupView,
    scene::{Scene, cluster, deployment, group_of_cluster},
};
use lagrange::kafka::model::error::{Bound, ReadError};
use serde_json::json;

fn too_many() -> ReadError {
    ReadError::TooManyPartitions {
        topics: 10_000,
        partitions: 6_300,
        at_least: true,
        limit: 6_291,
        bound: Bound::Group,
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_with_too_many_partitions_is_reported_and_keeps_its_size() {
    let scene = Scene::of(5);
    let _operator = scene.operator().await;
    scene.polls(12, 0).await;
    let size = scene.replicas("orders");
    assert!(size < 5, "without load it scales down: {size}");
    scene.kafka.is_too_much(Some(too_many()));
    scene.polls(1, 0).await;
    assert_eq!(
        scene.condition("orders", "Ready"),
        "False/TooManyPartitions"
    );
    assert_eq!(
        scene.message("orders", "Ready"),
        "10000 topics with at least 6300 partitions are selected; one group may have 6291: name \
         its topics, narrow topicPattern, or give the operator more memory (its limit, or \
         --memory-limit)"
    );
    scene.polls(60, 0).await;
    assert_eq!(scene.replicas("orders"), size, "for a quarter of an hour");
    assert_eq!(
        scene.condition("orders", "LagKnown"),
        "False/PartitionsUnreadable"
    );
    let interests = scene.kafka.interests();
    assert!(
        interests.iter().all(|interest| !interest.was_refused),
        "{interests:?}"
    );
    scene.kafka.is_too_much(None);
    scene.polls(2, 0).await;
    assert_eq!(scene.condition("orders", "Ready"), "True/Managed");
    assert_eq!(
        scene.replicas("orders"),
        size,
        "what was measured before no longer counts"
    );
    scene.polls(20, 0).await;
    assert_eq!(scene.replicas("orders"), 1);
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_refused_groups_are_known() {
    let scene = Scene::of(3);
    let operator = scene.operator().await;
    scene.kafka.is_too_much(Some(too_many()));
    scene.polls(2, 0).await;
    assert_eq!(
        scene.condition("orders", "Ready"),
        "False/TooManyPartitions"
    );
    scene.api.kill(operator.client);
    // The watches of the first operator last as long as the test. They were not refused when it
    // started.
    let _next = scene.operator().await;
    let interests = scene.kafka.interests();
    let refused: Vec<_> = interests
        .iter()
        .map(|interest| interest.was_refused)
        .collect();
    assert_eq!(refused, [false, true]);
}

#[tokio::test(start_paused = true)]
async fn the_selection_of_a_group_is_not_shown_on_a_cluster_of_another_namespace() {
    let scene = Scene::empty();
    let mut workload = deployment("orders", 1);
    workload["metadata"]["namespace"] = json!("shop");
    scene.api.create("deployments", workload);
    let all = json!({ "from": "All" });
    scene.api.create("kafkaclusters", cluster("main", all));
    let reference = json!({ "name": "main", "namespace": "kafka" });
    let group = group_of_cluster("orders", "shop", reference);
    scene.api.create("consumergroups", group);
    let _operator = scene.operator().await;
    scene.kafka.is_too_much(Some(too_many()));
    scene.poll(GroupView::behind(6, 1, 0)).await;
    let message = scene.message("shop/orders", "Ready");
    assert!(
        message.starts_with("10000 topics with at least"),
        "{message}"
    );
    let cluster = scene.api.get("kafkaclusters", "kafka/main");
    let connected = &cluster["status"]["conditions"][0];
    assert_eq!(
        connected["status"], "True",
        "the cluster is read: {connected}"
    );
}
