//! Which Kafka cluster a group uses, which namespaces may use one, and what a KafkaCluster reports
//! about itself (SAFE-34).

use std::time::Duration;

use http::Method;
use rstest::rstest;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    api_server::{Fault, Seen},
    kafka::GroupView,
    scene::{Scene, cluster, deployment, group_of_cluster, settle},
};

/// A group in namespace `shop` that uses cluster `kafka/main`, which allows these namespaces.
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
async fn a_cluster_sets_which_namespaces_may_use_it(#[case] allowed: Value, #[case] may: bool) {
    let scene = shop(allowed);
    scene.api.create(
        "namespaces",
        json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": "shop", "namespace": "", "labels": { "team": "shop" } },
        }),
    );
    let _operator = scene.operator().await;
    scene.poll(GroupView::behind(6, 1, 0)).await;
    scene.poll(GroupView::behind(6, 1, 0)).await;
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
async fn no_namespace_is_refused_before_its_labels_are_known() {
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
    scene.polls_of_shop(4).await;
    assert_eq!(scene.condition("shop/orders", "Ready"), "True/Managed");
    let writes = scene.api.requests(&Method::PATCH, "/orders/status");
    let turned_away = |seen: &Seen| seen.body.to_string().contains("ClusterNotAllowed");
    assert!(!writes.iter().any(turned_away), "{writes:#?}");
}

/// SAFE-34.
#[tokio::test(start_paused = true)]
async fn a_missing_cluster_and_a_forbidden_one_poll_the_same() {
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
async fn a_cluster_missing_in_its_own_namespace_is_reported_and_used_once_it_exists() {
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
    scene.poll(GroupView::behind(6, 1, 0)).await;
    assert_eq!(scene.condition("kafka/orders", "Ready"), "True/Managed");
}

#[tokio::test(start_paused = true)]
async fn errors_of_brokers_are_shown_on_the_cluster_and_not_in_other_namespaces() {
    let scene = shop(json!({ "from": "All" }));
    let _operator = scene.operator().await;
    scene.poll(GroupView::behind(6, 1, 0)).await;
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
        "reported on the cluster, not on each of its groups: {events:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_cluster_is_not_written() {
    let scene = shop(json!({ "from": "All" }));
    let _operator = scene.operator().await;
    scene.polls_of_shop(4).await;
    let writes = scene.status_writes();
    scene.polls_of_shop(40).await;
    assert_eq!(scene.status_writes() - writes, 0);
}

impl Scene {
    async fn polls_of_shop(&self, count: u32) {
        for _ in 0..count {
            self.poll(GroupView::behind(6, 1, 0)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn bootstrap_servers_in_groups_can_be_disabled() {
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
    scene.poll(GroupView::behind(6, 1, 0)).await;
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
