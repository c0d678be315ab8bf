//! Unparseable objects, failing lists, and scales that the API server cannot return: none of them
//! hides another, and each is reported on its own object.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    api_server::Fault,
    kafka::GroupView,
    scene::{Scene, cluster, deployment, group, settle},
};

#[tokio::test(start_paused = true)]
async fn failing_lists_are_retried_slowly_and_reported_until_they_work() {
    let scene = Scene::of(1);
    scene
        .api
        .plan(Method::GET, "/deployments", Fault::Status(503), u32::MAX);
    let operator = scene.operator().await;
    sleep(Duration::from_secs(6)).await;
    let said = operator.readiness.check().unwrap_err().to_string();
    let expected = "watch of Deployments (failing for 5 s: HTTP 503 planned)";
    assert!(said.contains(expected), "{said}");
    sleep(Duration::from_secs(34)).await;
    let lists = scene.api.lists("deployments");
    assert!((4..=10).contains(&lists), "{lists} lists in 40 s");
    scene.api.forgive();
    sleep(Duration::from_secs(31)).await;
    operator.readiness.check().unwrap();
    scene.polls(4, 150).await;
    assert_eq!(scene.replicas("orders"), 6);
}

#[tokio::test(start_paused = true)]
async fn an_unparseable_deployment_is_not_absent_and_not_scaled() {
    let scene = Scene::of(1);
    scene.api.create("deployments", deployment("other", 1));
    scene.api.create("consumergroups", group("other"));
    scene.api.edit("deployments", "orders", |deployment| {
        deployment["spec"]["replicas"] = json!("many");
    });
    let operator = scene.operator().await;
    for _ in 0..4 {
        scene
            .poll_groups(&[
                ("orders", GroupView::behind(6, 1, 150)),
                ("other", GroupView::behind(6, 1, 150)),
            ])
            .await;
    }
    assert_eq!(scene.replicas("other"), 6);
    assert_eq!(scene.condition("orders", "Ready"), "False/TargetUnreadable");
    let said = scene.message("orders", "Ready");
    assert!(said.contains("many"), "{said}");
    let events = scene.api.events();
    let reported = events
        .iter()
        .filter(|(reason, _)| reason == "TargetUnreadable");
    assert_eq!(reported.count(), 1, "{events:?}");
    let unreadable = r#"lagrange_unreadable_objects{kind="Deployments"}"#;
    assert_eq!(operator.number(unreadable), 1);
    scene.api.edit("deployments", "orders", |deployment| {
        deployment["spec"]["replicas"] = json!(1);
    });
    scene
        .api
        .edit("deployments", "orders", crate::api_server::follow);
    scene.polls(4, 150).await;
    assert_eq!(scene.replicas("orders"), 6);
    assert_eq!(operator.number(unreadable), 0);
}

#[tokio::test(start_paused = true)]
async fn an_unparseable_kafka_cluster_is_reported_on_itself_and_its_groups() {
    let scene = Scene::of(1);
    let mut main = cluster("main", json!({ "from": "Same" }));
    main["metadata"]["namespace"] = json!("default");
    main["spec"]["pollInterval"] = json!(["odd"]);
    scene.api.create("kafkaclusters", main);
    scene.api.edit("consumergroups", "orders", |group| {
        group["spec"]["kafka"] = json!({ "clusterRef": { "name": "main" } });
    });
    let _operator = scene.operator().await;
    settle().await;
    let main = scene.api.get("kafkaclusters", "main");
    let connected = &main["status"]["conditions"][0];
    assert_eq!(connected["reason"], "InvalidSpec", "{main:#}");
    assert_eq!(scene.condition("orders", "Ready"), "False/InvalidSpec");
    assert!(
        scene
            .message("orders", "Ready")
            .contains("KafkaCluster main cannot be read")
    );
}

/// This many nested brackets.
fn nested(levels: usize) -> Value {
    (0..levels).fold(json!({}), |inside, _| json!({ "f:a": inside }))
}

/// The names of version 1 are removed: beside those of version 2 the memory could not be read.
#[tokio::test(start_paused = true)]
async fn memory_of_version_1_is_continued_as_version_2() {
    let scene = Scene::of(1);
    scene.api.edit("consumergroups", "orders", |group| {
        group["status"] = json!({ "memory": { "version": 1, "subject": 7, "sequence": 3, "sleptAt": 5,
            "learnt": { "regrets": 2, "backoff": 1800 } } });
    });
    let _operator = scene.operator().await;
    scene.polls(4, 150).await;
    let memory = scene.status("orders")["memory"].clone();
    assert_eq!(
        (&memory["version"], &memory["sequence"]),
        (&json!(2), &json!(4))
    );
    for old in ["subject", "sleptAt", "learnt", "regret"] {
        assert_eq!(memory.get(old), None, "{memory:#}");
    }
}

#[tokio::test(start_paused = true)]
async fn deeply_nested_memory_is_removed() {
    let scene = Scene::of(1);
    scene.api.edit("consumergroups", "orders", |group| {
        group["status"] = json!({ "memory": { "version": 99, "deep": nested(200), "large": "x".repeat(1 << 20) } });
        group["metadata"]["managedFields"] = json!([{ "manager": "x", "fieldsV1": nested(200) }]);
    });
    scene.api.edit("deployments", "orders", |deployment| {
        deployment["metadata"]["managedFields"] =
            json!([{ "manager": "x", "fieldsV1": nested(200) }]);
        deployment["metadata"]["annotations"] = json!({ "large": "x".repeat(255 << 10) });
    });
    let operator = scene.operator().await;
    operator.readiness.check().unwrap();
    scene.polls(4, 150).await;
    assert_eq!(scene.replicas("orders"), 6, "{:#}", scene.status("orders"));
    let memory = scene.status("orders")["memory"].clone();
    assert_eq!(
        (&memory["deep"], &memory["large"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(memory["version"], 2);
    // The other fields of the object belong to its owner.
    let deployment = scene.api.get("deployments", "orders");
    assert_eq!(
        deployment["metadata"]["annotations"]["large"]
            .as_str()
            .unwrap()
            .len(),
        255 << 10
    );
    let writes = scene.status_writes();
    scene.polls(10, 0).await;
    assert!(
        scene.status_writes() - writes < 10,
        "there are no writes afterwards"
    );
}

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

#[tokio::test(start_paused = true)]
async fn an_unreadable_scale_is_reported_once_and_retried_slowly() {
    let scene = widget();
    let scale = "/widgets/orders/scale";
    scene
        .api
        .plan(Method::GET, scale, Fault::Status(500), u32::MAX);
    let _operator = scene.operator().await;
    assert_eq!(scene.condition("orders", "Ready"), "absent");
    sleep(Duration::from_secs(30)).await;
    assert_eq!(scene.condition("orders", "Ready"), "False/TargetUnreadable");
    let said = scene.message("orders", "Ready");
    assert!(
        said.ends_with("The API server answered 500 planned"),
        "{said}"
    );
    let asked = scene.api.lists("scale");
    sleep(Duration::from_mins(30)).await;
    let asked = scene.api.lists("scale") - asked;
    assert!(
        (20..=80).contains(&asked),
        "asked {asked} times in half an hour"
    );
    let events = scene.api.events();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].0, "TargetUnreadable");
    scene.api.forgive();
    sleep(Duration::from_mins(2)).await;
    scene.poll(GroupView::behind(6, 1, 0)).await;
    assert_eq!(scene.condition("orders", "Ready"), "True/Managed");
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_silent_about_a_target_for_a_minute_changes_no_condition() {
    let scene = widget();
    let _operator = scene.operator().await;
    scene.poll(GroupView::behind(6, 1, 0)).await;
    assert_eq!(scene.condition("orders", "Ready"), "True/Managed");
    for path in ["/widgets/orders/scale", "/widgets/orders"] {
        scene
            .api
            .plan(Method::GET, path, Fault::Status(500), u32::MAX);
    }
    for _ in 0..5 {
        scene.poll(GroupView::behind(6, 1, 0)).await;
        assert_eq!(scene.condition("orders", "Ready"), "True/Managed");
    }
    for _ in 0..10 {
        scene.poll(GroupView::behind(6, 1, 0)).await;
    }
    assert_eq!(scene.condition("orders", "Ready"), "False/TargetUnreadable");
}

#[tokio::test(start_paused = true)]
async fn an_invalid_selector_is_reported() {
    let scene = widget();
    scene
        .api
        .plan(Method::GET, "/pods", Fault::Status(400), u32::MAX);
    let _operator = scene.operator().await;
    assert_eq!(scene.condition("orders", "Ready"), "False/TargetUnreadable");
    let said = scene.message("orders", "Ready");
    assert!(
        said.contains("label selector") && said.ends_with("400 planned"),
        "{said}"
    );
    scene.api.forgive();
    scene.api.edit("widgets", "orders", |widget| {
        widget["status"]["selector"] = json!("x".repeat(5000));
    });
    sleep(Duration::from_mins(2)).await;
    assert!(scene.message("orders", "Ready").contains("4096 bytes"));
}
