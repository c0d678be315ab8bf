//! Where Kafka is, who may use it, and what a KafkaCluster says about itself (SAFE-34).

use std::time::Duration;

use http::Method;
use rstest::rstest;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    api_server::{Fault, Seen},
    kafka::Sight,
    scene::{Scene, cluster, deployment, group_of_cluster, settle},
};

/// A group in namespace `shop` that uses cluster `kafka/main`, which lets these in.
fn shop(allowed: Value) -> Scene {
    let scene = Scene::empty();
    let mut workload = deployment("orders", 1);
    workload["metadata"]["namespace"] = json!("shop");
    scene.api.create("deployments", workload);
    scene.api.create("kafkaclusters", cluster("main", allowed));
    let reference = json!({ "name": "main", "namespace": "kafka" });
    scene.api.create(
        "consumergroups",
        group_of_cluster("orders", "shop", reference),
    );
    scene
}

/// SAFE-39.
#[rstest]
#[case::its_own_only(json!({ "from": "Same" }), false)]
#[case::all(json!({ "from": "All" }), true)]
#[case::named(json!({ "from": "Names", "names": ["shop"] }), true)]
#[case::others_named(json!({ "from": "Names", "names": ["shops"] }), false)]
#[case::prefix(json!({ "from": "All", "groupIdPrefixes": ["x.", "ord"] }), true)]
#[case::other_prefix(json!({ "from": "All", "groupIdPrefixes": ["shop."] }), false)]
#[case::selected(json!({ "from": "Selector", "selector": { "matchLabels": { "team": "shop" } } }), true)]
#[case::not_selected(json!({ "from": "Selector", "selector": { "matchLabels": { "team": "ops" } } }), false)]
#[tokio::test(start_paused = true)]
async fn a_cluster_says_which_namespaces_may_use_it(#[case] allowed: Value, #[case] may: bool) {
    let scene = shop(allowed);
    scene.api.create(
        "namespaces",
        json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": "shop", "namespace": "", "labels": { "team": "shop" } },
        }),
    );
    let _operator = scene.operator().await;
    scene.look(Sight::behind(6, 1, 0)).await;
    scene.look(Sight::behind(6, 1, 0)).await;
    let ready = if may {
        "True/Managed"
    } else {
        "False/ClusterNotAllowed"
    };
    assert_eq!(scene.condition("shop/orders", "Ready"), ready);
    let users = scene.api.get("kafkaclusters", "kafka/main")["status"]["groups"].clone();
    assert_eq!(users, json!(i32::from(may)));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_turned_away_before_the_labels_of_namespaces_are_known() {
    let by_label = json!({ "from": "Selector", "selector": { "matchLabels": { "team": "shop" } } });
    let scene = shop(by_label);
    scene.api.create(
        "namespaces",
        json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": "shop", "namespace": "", "labels": { "team": "shop" } },
        }),
    );
    scene
        .api
        .plan(Method::GET, "/namespaces", Fault::Status(503), 3);
    let _operator = scene.operator().await;
    scene.looks_of_shop(4).await;
    assert_eq!(scene.condition("shop/orders", "Ready"), "True/Managed");
    let writes = scene.api.requests(&Method::PATCH, "/orders/status");
    let turned_away = |seen: &Seen| seen.body.to_string().contains("ClusterNotAllowed");
    assert!(!writes.iter().any(turned_away), "{writes:#?}");
}

/// SAFE-34.
#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_not_there_and_one_that_is_closed_are_told_apart_by_nobody() {
    let scene = shop(json!({ "from": "Same" }));
    let _operator = scene.operator().await;
    let closed = scene.message("shop/orders", "Ready");
    scene.api.delete("kafkaclusters", "kafka/main");
    settle().await;
    assert_eq!(
        scene.condition("shop/orders", "Ready"),
        "False/ClusterNotAllowed"
    );
    assert_eq!(scene.message("shop/orders", "Ready"), closed);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_missing_in_ones_own_namespace_is_said_and_used_when_it_comes() {
    let scene = Scene::empty();
    let reference = json!({ "name": "main" });
    let mut workload = deployment("orders", 1);
    workload["metadata"]["namespace"] = json!("kafka");
    scene.api.create("deployments", workload);
    scene.api.create(
        "consumergroups",
        group_of_cluster("orders", "kafka", reference),
    );
    let _operator = scene.operator().await;
    assert_eq!(
        scene.condition("kafka/orders", "Ready"),
        "False/ClusterNotFound"
    );
    scene
        .api
        .create("kafkaclusters", cluster("main", json!({ "from": "Same" })));
    scene.look(Sight::behind(6, 1, 0)).await;
    assert_eq!(scene.condition("kafka/orders", "Ready"), "True/Managed");
}

#[tokio::test(start_paused = true)]
async fn what_a_broker_says_is_told_on_the_cluster_and_not_to_other_namespaces() {
    let scene = shop(json!({ "from": "All" }));
    let _operator = scene.operator().await;
    scene.look(Sight::behind(6, 1, 0)).await;
    let connected = |scene: &Scene| {
        let cluster = scene.api.get("kafkaclusters", "kafka/main");
        cluster["status"]["conditions"][0].clone()
    };
    assert_eq!(
        connected(&scene)["status"],
        "True",
        "{:#}",
        connected(&scene)
    );
    assert_eq!(
        scene.api.get("kafkaclusters", "kafka/main")["status"]["clusterId"],
        "one"
    );
    for _ in 0..3 {
        sleep(Duration::from_secs(15)).await;
        scene.kafka.fail();
        settle().await;
    }
    assert_eq!(connected(&scene)["reason"], "KafkaUnreachable");
    assert!(
        connected(&scene)["message"]
            .as_str()
            .unwrap()
            .contains("kafka-0.secret.example")
    );
    assert_eq!(
        scene.condition("shop/orders", "Ready"),
        "False/KafkaUnreachable"
    );
    let all = scene.status("shop/orders").to_string();
    assert!(!all.contains("secret.example"), "{all}");
    let events = scene.api.events();
    let failed = events
        .iter()
        .filter(|(reason, _)| reason == "KafkaConnectionFailed")
        .count();
    assert_eq!(
        failed, 1,
        "told of the cluster, not of each of its groups: {events:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_cluster_at_rest_is_not_written() {
    let scene = shop(json!({ "from": "All" }));
    let _operator = scene.operator().await;
    scene.looks_of_shop(4).await;
    let writes = scene.status_writes();
    scene.looks_of_shop(40).await;
    assert_eq!(scene.status_writes() - writes, 0);
}

impl Scene {
    async fn looks_of_shop(&self, count: u32) {
        for _ in 0..count {
            self.look(Sight::behind(6, 1, 0)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn servers_named_by_a_group_can_be_switched_off() {
    let scene = Scene::of(1);
    let clock = scene.kafka.clock();
    let _operator = scene
        .operator_with(clock, |settings| settings.inline_connections = false)
        .await;
    assert_eq!(scene.condition("orders", "Ready"), "False/InvalidSpec");
    assert!(scene.message("orders", "Ready").contains("clusterRef"));
}

#[tokio::test(start_paused = true)]
async fn only_the_namespaces_of_the_installation_are_managed() {
    let scene = shop(json!({ "from": "Selector", "selector": { "matchLabels": {} } }));
    scene.api.create("deployments", deployment("orders", 1));
    scene
        .api
        .create("consumergroups", crate::scene::group("orders"));
    let clock = scene.kafka.clock();
    let operator = scene
        .operator_with(clock, |settings| {
            settings.namespaces = vec!["default".to_owned(), "kafka".to_owned()]
        })
        .await;
    scene.look(Sight::behind(6, 1, 0)).await;
    assert!(operator.readiness.check().is_ok());
    assert_eq!(scene.condition("default/orders", "Ready"), "True/Managed");
    assert_eq!(scene.status("shop/orders"), json!(null));
    let cluster = scene.api.get("kafkaclusters", "kafka/main");
    let message = cluster["status"]["conditions"][0]["message"]
        .as_str()
        .unwrap();
    assert!(
        message.contains("Selector needs an installation that watches all namespaces"),
        "{message}"
    );
}
