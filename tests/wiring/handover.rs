//! When the group or target of one ConsumerGroup passes to another, and when it does not.

use serde_json::json;

use crate::{
    kafka::GroupView,
    scene::{INTERVAL, Scene, cluster, deployment, group, group_of_cluster, settle},
};

/// Two namespaces that may use one KafkaCluster, each with a group `orders` on its own target. The
/// one of `shop` is older.
fn two_of_one_cluster() -> Scene {
    let scene = Scene::empty();
    scene
        .api
        .create("kafkaclusters", cluster("main", json!({ "from": "All" })));
    let reference = || json!({ "name": "main", "namespace": "kafka" });
    for namespace in ["shop", "mart"] {
        scene.create_deployment(namespace, "orders");
        let group = group_of_cluster("orders", namespace, reference());
        scene.api.create("consumergroups", group);
    }
    scene
}

async fn polls(scene: &Scene, count: u32) {
    for _ in 0..count {
        scene.poll(GroupView::behind(6, 1, 0)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_older_of_two_namespaces_on_one_kafka_cluster_manages_and_is_named_to_the_other() {
    let scene = two_of_one_cluster();
    let _operator = scene.operator().await;
    polls(&scene, 4).await;
    assert_eq!(scene.condition("shop/orders", "Ready"), "True/Managed");
    assert_eq!(
        scene.condition("mart/orders", "Ready"),
        "False/GroupContested"
    );
    let said = scene.message("mart/orders", "Ready");
    assert!(
        said.contains("KafkaCluster kafka/main") && !said.contains("shop"),
        "{said}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_group_without_a_target_does_not_hold_up_another() {
    let scene = two_of_one_cluster();
    scene.api.delete("deployments", "shop/orders");
    let _operator = scene.operator().await;
    polls(&scene, 4).await;
    assert_eq!(scene.condition("mart/orders", "Ready"), "True/Managed");
    // Its target comes too late.
    scene.create_deployment("shop", "orders");
    polls(&scene, 8).await;
    assert_eq!(scene.condition("mart/orders", "Ready"), "True/Managed");
    assert_eq!(
        scene.condition("shop/orders", "Ready"),
        "False/GroupContested"
    );
}

#[tokio::test(start_paused = true)]
async fn an_unmanaged_group_is_handed_over_after_a_minute_and_only_once() {
    let scene = two_of_one_cluster();
    let operator = scene.operator().await;
    polls(&scene, 4).await;
    scene.api.delete("deployments", "shop/orders");
    settle().await;
    polls(&scene, 3).await;
    assert_eq!(
        scene.condition("mart/orders", "Ready"),
        "False/GroupContested"
    );
    polls(&scene, 3).await;
    assert_eq!(scene.condition("mart/orders", "Ready"), "True/Managed");

    scene.create_deployment("shop", "orders");
    polls(&scene, 20).await;
    assert_eq!(scene.condition("mart/orders", "Ready"), "True/Managed");
    // Nor by a restart.
    scene.api.kill(operator.client);
    let _next = scene.operator().await;
    polls(&scene, 20).await;
    assert_eq!(
        scene.condition("shop/orders", "Ready"),
        "False/GroupContested"
    );
    assert_eq!(
        scene.ready_history("mart/consumergroups/orders"),
        ["GroupContested", "NotYetObserved", "Managed"]
    );
    let said = scene.message("shop/orders", "Ready");
    assert!(said.contains("since 20"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_short_failure_or_a_kafka_that_is_down_for_all_hands_nothing_over() {
    let scene = two_of_one_cluster();
    let operator = scene.operator().await;
    polls(&scene, 4).await;
    scene.api.delete("deployments", "shop/orders");
    polls(&scene, 2).await;
    scene.create_deployment("shop", "orders");
    polls(&scene, 8).await;
    assert_eq!(scene.condition("shop/orders", "Ready"), "True/Managed");

    let fail = async |count| {
        for _ in 0..count {
            tokio::time::sleep(INTERVAL).await;
            scene.kafka.fail();
            settle().await;
        }
    };
    fail(40).await;
    assert_eq!(
        scene.condition("shop/orders", "Ready"),
        "False/KafkaUnreachable"
    );
    // A restart in the middle of it.
    scene.api.kill(operator.client);
    let _next = scene.operator().await;
    fail(40).await;
    polls(&scene, 8).await;
    assert_eq!(scene.condition("shop/orders", "Ready"), "True/Managed");
    assert_eq!(
        scene.ready_history("mart/consumergroups/orders"),
        ["GroupContested"],
        "during the whole time"
    );
}

#[tokio::test(start_paused = true)]
async fn a_login_that_is_refused_for_both_hands_nothing_over() {
    let scene = two_of_one_cluster();
    scene.api.delete("deployments", "shop/orders");
    let _operator = scene.operator().await;
    polls(&scene, 4).await;
    // The older one works again, and waits. Then both logins are refused for ten minutes.
    scene.create_deployment("shop", "orders");
    polls(&scene, 4).await;
    for _ in 0..40 {
        tokio::time::sleep(INTERVAL).await;
        scene.kafka.refuse();
        settle().await;
    }
    assert_eq!(
        scene.condition("mart/orders", "Ready"),
        "False/AuthenticationFailed"
    );
    polls(&scene, 20).await;
    assert_eq!(scene.condition("mart/orders", "Ready"), "True/Managed");
    assert_eq!(
        scene.condition("shop/orders", "Ready"),
        "False/GroupContested"
    );
}

/// ACT-9.
#[tokio::test(start_paused = true)]
async fn an_older_resource_that_switches_to_a_managed_group_waits() {
    let scene = two_of_one_cluster();
    scene.api.edit("consumergroups", "shop/orders", |group| {
        group["spec"]["groupId"] = json!("other");
    });
    let operator = scene.operator().await;
    polls(&scene, 4).await;
    assert_eq!(scene.condition("mart/orders", "Ready"), "True/Managed");
    scene.api.edit("consumergroups", "shop/orders", |group| {
        group["spec"]["groupId"] = json!("orders");
    });
    settle().await;
    polls(&scene, 4).await;
    scene.api.kill(operator.client);
    let _next = scene.operator().await;
    polls(&scene, 4).await;
    assert_eq!(scene.condition("mart/orders", "Ready"), "True/Managed");
    assert_eq!(
        scene.condition("shop/orders", "Ready"),
        "False/GroupContested"
    );
}

#[tokio::test(start_paused = true)]
async fn a_target_passes_between_two_groups_and_never_has_two_managers() {
    let scene = Scene::empty();
    scene.api.create("kafkaclusters", {
        let mut own = cluster("main", json!({ "from": "Same" }));
        own["metadata"]["namespace"] = json!("default");
        own
    });
    scene.api.create("deployments", deployment("orders", 1));
    let older = group_of_cluster("older", "default", json!({ "name": "main" }));
    let younger = group("orders");
    for (mut group, minimum) in [(older, 2), (younger, 3)] {
        group["spec"]["scaleTargetRef"]["name"] = json!("orders");
        group["spec"]["minReplicas"] = json!(minimum);
        scene.api.create("consumergroups", group);
    }
    let _operator = scene.operator().await;
    let poll = async |count| {
        for _ in 0..count {
            let view = || GroupView::behind(6, scene.replicas("orders"), 0);
            scene
                .poll_groups(&[("older", view()), ("orders", view())])
                .await;
        }
    };
    poll(20).await;
    assert_eq!(scene.replicas("orders"), 2);
    assert_eq!(scene.condition("orders", "Ready"), "False/TargetContested");

    scene.api.delete("kafkaclusters", "main");
    settle().await;
    poll(3).await;
    assert_eq!(scene.condition("older", "Ready"), "False/ClusterNotFound");
    assert_eq!(scene.condition("orders", "Ready"), "False/TargetContested");
    assert!(scene.message("orders", "Ready").contains("it has trouble"));
    assert_eq!(scene.replicas("orders"), 2);
    poll(20).await;
    assert_eq!(scene.condition("orders", "Ready"), "True/Managed");
    assert_eq!(scene.replicas("orders"), 3);

    scene.api.create("kafkaclusters", {
        let mut own = cluster("main", json!({ "from": "Same" }));
        own["metadata"]["namespace"] = json!("default");
        own
    });
    settle().await;
    poll(40).await;
    assert_eq!(scene.condition("older", "Ready"), "False/TargetContested");
    assert!(
        scene
            .message("older", "Ready")
            .contains("default/orders already manages")
    );
    // Each of them once: 3 stays, although the other group would set 2.
    let sizes: Vec<_> = scene
        .scales()
        .iter()
        .map(|seen| seen.body["spec"]["replicas"].clone())
        .collect();
    assert_eq!(sizes, [json!(2), json!(3)]);
}
