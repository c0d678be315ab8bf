//! What can be scaled, and how its state gates actions (ACT-6).

use http::Method;
use lagrange_core::scaling::Memory;
use serde_json::{Value, json};

use crate::{
    api_server::Fault,
    kafka::GroupView,
    scene::{Scene, deployment, group, settle},
};

#[tokio::test(start_paused = true)]
async fn a_missing_target_is_reported_and_managed_once_it_exists() {
    let scene = Scene::empty();
    scene.api.create("consumergroups", group("orders"));
    let _operator = scene.operator().await;
    assert_eq!(scene.condition("orders", "Ready"), "False/TargetNotFound");
    assert_eq!(
        scene.condition("orders", "LagKnown"),
        "Unknown/NotYetObserved"
    );
    scene.api.create("deployments", deployment("orders", 1));
    scene.polls(2, 0).await;
    assert_eq!(scene.condition("orders", "Ready"), "True/Managed");
    scene.api.delete("deployments", "orders");
    settle().await;
    assert_eq!(scene.condition("orders", "Ready"), "False/TargetNotFound");
}

/// ACT-6.
#[tokio::test(start_paused = true)]
async fn a_rollout_is_waited_for() {
    let scene = Scene::of(1);
    let _operator = scene.operator().await;
    scene.polls(3, 0).await;
    scene.api.edit("deployments", "orders", |deployment| {
        deployment["spec"]["template"]["spec"]["containers"] =
            json!([{ "name": "app", "image": "two" }]);
    });
    settle().await;
    assert_eq!(
        scene.condition("orders", "AbleToScale"),
        "False/RolloutInProgress",
        "read before its controller has read it"
    );
    scene.polls(2, 150).await;
    assert_eq!(scene.replicas("orders"), 1);
    scene
        .api
        .edit("deployments", "orders", crate::api_server::follow);
    scene.polls(1, 150).await;
    assert_eq!(scene.replicas("orders"), 6);
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_the_watch_does_not_report_is_waited_for() {
    let scene = Scene::of(1);
    let _operator = scene.operator().await;
    scene.polls(3, 0).await;
    scene.api.silence_watches("deployments", true);
    scene.api.edit("deployments", "orders", |deployment| {
        deployment["spec"]["template"]["spec"]["containers"] =
            json!([{ "name": "app", "image": "two" }]);
    });
    scene.polls(3, 150).await;
    assert_eq!(scene.replicas("orders"), 1);
    assert_eq!(
        scene.condition("orders", "AbleToScale"),
        "False/RolloutInProgress"
    );
    scene
        .api
        .edit("deployments", "orders", crate::api_server::follow);
    scene.api.silence_watches("deployments", false);
    scene.polls(1, 150).await;
    assert_eq!(scene.replicas("orders"), 6);
}

#[tokio::test(start_paused = true)]
async fn our_own_scale_is_recognised_when_the_watch_is_silent() {
    let scene = Scene::of(1);
    let _operator = scene.operator().await;
    scene.polls(3, 0).await;
    scene.api.silence_watches("deployments", true);
    scene.polls(8, 150).await;
    assert_eq!(scene.replicas("orders"), 6);
    let status = scene.status("orders");
    assert_eq!(status["replicas"]["current"], 6, "{status:#}");
    assert_eq!(status["memory"]["last"]["landed"], true);
    let events = scene.api.events();
    assert!(
        events
            .iter()
            .all(|(reason, _)| reason != "ScaledExternally"),
        "{events:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn our_own_scale_is_not_a_rollout() {
    let scene = Scene::of(1);
    scene.api.hold_pods("orders");
    let _operator = scene.operator().await;
    scene.polls(2, 0).await;
    scene.polls(1, 150).await;
    assert_eq!(scene.replicas("orders"), 6);
    assert_eq!(
        scene.condition("orders", "AbleToScale"),
        "False/CoolingDown"
    );
}

fn stateful_set() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": "orders", "generation": 1 },
        "spec": { "replicas": 1, "serviceName": "x", "selector": { "matchLabels": { "app": "orders" } },
                  "template": { "metadata": {}, "spec": { "containers": [] } } },
        "status": { "observedGeneration": 1, "replicas": 1, "readyReplicas": 1, "updatedReplicas": 1 },
    })
}

#[tokio::test(start_paused = true)]
async fn a_stateful_set_is_scaled_like_a_deployment() {
    let scene = Scene::empty();
    scene.api.create("statefulsets", stateful_set());
    let mut group = group("orders");
    group["spec"]["scaleTargetRef"]["kind"] = json!("StatefulSet");
    scene.api.create("consumergroups", group);
    let _operator = scene.operator().await;
    for lag in [0, 0, 150] {
        scene.poll(GroupView::behind(6, 1, lag)).await;
    }
    assert_eq!(
        scene.api.get("statefulsets", "orders")["spec"]["replicas"],
        6
    );
}

fn pod(name: &str, template: &str, ready: bool) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "labels": { "app": "orders", "pod-template-hash": template } },
        "spec": { "containers": [] },
        "status": { "conditions": [{ "type": "Ready", "status": if ready { "True" } else { "False" } }] },
    })
}

/// A group on a kind whose rollouts show in its Pods only.
fn widget() -> Scene {
    let scene = Scene::empty();
    scene.api.create(
        "widgets",
        json!({
            "apiVersion": "example.dev/v1", "kind": "Widget", "metadata": { "name": "orders" },
            "spec": { "replicas": 1 }, "status": { "replicas": 1, "selector": "app=orders" },
        }),
    );
    let mut group = group("orders");
    group["spec"]["scaleTargetRef"] =
        json!({ "apiVersion": "example.dev/v1", "kind": "Widget", "name": "orders" });
    scene.api.create("consumergroups", group);
    scene
}

/// ACT-6.
#[tokio::test(start_paused = true)]
async fn any_kind_with_a_scale_is_scaled_and_its_pods_show_rollouts() {
    let scene = widget();
    scene.api.create("pods", pod("old", "one", true));
    scene.api.create("pods", pod("new", "two", false));
    let _operator = scene.operator().await;
    for lag in [0, 0, 150] {
        scene.poll(GroupView::behind(6, 1, lag)).await;
    }
    assert_eq!(
        scene.condition("orders", "AbleToScale"),
        "False/RolloutInProgress"
    );
    assert_eq!(scene.api.get("widgets", "orders")["spec"]["replicas"], 1);
    scene.api.delete("pods", "new");
    scene.poll(GroupView::behind(6, 1, 150)).await;
    assert_eq!(scene.api.get("widgets", "orders")["spec"]["replicas"], 6);
}

#[tokio::test(start_paused = true)]
async fn without_the_right_to_list_pods_the_scale_itself_is_used() {
    let scene = widget();
    scene.api.forbid("pods");
    let _operator = scene.operator().await;
    for lag in [0, 0, 150] {
        scene.poll(GroupView::behind(6, 1, lag)).await;
    }
    assert_eq!(scene.api.get("widgets", "orders")["spec"]["replicas"], 6);
}

#[tokio::test(start_paused = true)]
async fn a_missing_kind_is_reported() {
    let scene = widget();
    scene.api.edit("consumergroups", "orders", |group| {
        group["spec"]["scaleTargetRef"]["kind"] = json!("Gadget");
    });
    let _operator = scene.operator().await;
    assert_eq!(scene.condition("orders", "Ready"), "False/TargetNotFound");
    assert!(scene.message("orders", "Ready").contains("Gadget"));
}

#[tokio::test(start_paused = true)]
async fn a_missing_right_to_see_deployments_is_reported_on_their_groups() {
    let scene = Scene::of(1);
    scene.api.forbid("deployments");
    let _operator = scene.operator().await;
    assert_eq!(scene.condition("orders", "Ready"), "False/TargetForbidden");
}

#[tokio::test(start_paused = true)]
async fn unparseable_memory_is_treated_as_absent() {
    let scene = Scene::of(1);
    scene.api.edit("consumergroups", "orders", |group| {
        group["status"] =
            json!({ "memory": { "version": 99, "last": "yesterday" }, "lag": "none" });
    });
    let _operator = scene.operator().await;
    scene.polls(4, 150).await;
    assert_eq!(scene.replicas("orders"), 6);
    let memory: Memory = serde_json::from_value(scene.status("orders")["memory"].clone()).unwrap();
    assert_eq!(memory.sequence, 1);
}

#[tokio::test(start_paused = true)]
async fn an_unparseable_group_does_not_stop_the_others() {
    let scene = Scene::of(1);
    scene.api.create(
        "consumergroups",
        json!({
            "apiVersion": "lagrange.dev/v1alpha1", "kind": "ConsumerGroup",
            "metadata": { "name": "broken" }, "spec": { "scaleTargetRef": 7 },
        }),
    );
    let operator = scene.operator().await;
    scene.polls(4, 150).await;
    assert_eq!(scene.replicas("orders"), 6);
    assert_eq!(scene.condition("broken", "Ready"), "False/InvalidSpec");
    let said = scene.message("broken", "Ready");
    assert!(said.starts_with("the spec cannot be read ("), "{said}");
    let unreadable = r#"lagrange_unreadable_objects{kind="ConsumerGroups"}"#;
    assert_eq!(operator.number(unreadable), 1);
    scene
        .api
        .create("deployments", crate::scene::deployment("broken", 1));
    scene.api.edit("consumergroups", "broken", |broken| {
        broken["spec"] = group("broken")["spec"].clone();
    });
    scene
        .poll_groups(&[("broken", GroupView::behind(6, 1, 0))])
        .await;
    assert_eq!(scene.condition("broken", "Ready"), "True/Managed");
    assert_eq!(operator.number(unreadable), 0);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_cleared_when_no_scale_is_wanted_any_longer() {
    let scene = Scene::of(1);
    scene
        .api
        .plan(Method::PATCH, "/scale", Fault::Status(422), 100);
    scene
        .api
        .plan(Method::PUT, "/scale", Fault::Status(422), 100);
    let _operator = scene.operator().await;
    scene.polls(4, 150).await;
    assert_eq!(
        scene.condition("orders", "Ready").split('/').next(),
        Some("False")
    );
    // The load has gone by itself, and so must the error after a while.
    scene.polls(40, 0).await;
    assert_eq!(scene.condition("orders", "Ready"), "True/Managed");
}
