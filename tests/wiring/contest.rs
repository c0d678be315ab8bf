//! Which resource manages a target or a group when several want to (ACT-7 to ACT-9).

use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    kafka::GroupView,
    scene::{Scene, cluster, deployment, group, group_of_cluster, settle},
};

fn autoscaler(owner: Option<&str>) -> Value {
    let mut hpa = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": { "name": "keda-hpa-orders" },
        "spec": { "maxReplicas": 9, "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "orders" } },
    });
    if let Some(owner) = owner {
        hpa["metadata"]["ownerReferences"] = json!([
            { "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": owner, "uid": "x" }
        ]);
    }
    hpa
}

/// ACT-9.
#[rstest]
#[case::plain(
    None,
    "HorizontalPodAutoscaler keda-hpa-orders scales Deployment/orders"
)]
#[case::of_keda(Some("orders-lag"), "of KEDA's ScaledObject orders-lag")]
#[tokio::test(start_paused = true)]
async fn a_target_of_another_autoscaler_is_not_scaled(
    #[case] owner: Option<&str>,
    #[case] words: &str,
) {
    let scene = Scene::of(1);
    let _operator = scene.operator().await;
    scene.polls(3, 0).await;
    scene
        .api
        .create("horizontalpodautoscalers", autoscaler(owner));
    scene.polls(6, 500).await;
    assert!(scene.scales().is_empty());
    assert_eq!(scene.condition("orders", "Ready"), "False/TargetContested");
    assert!(
        scene.message("orders", "Ready").contains(words),
        "{}",
        scene.message("orders", "Ready")
    );
    let reported = scene
        .api
        .events()
        .iter()
        .filter(|(reason, _)| reason == "TargetContested")
        .count();
    assert_eq!(reported, 1);

    scene
        .api
        .delete("horizontalpodautoscalers", "keda-hpa-orders");
    scene.polls(6, 500).await;
    assert_eq!(scene.replicas("orders"), 6, "{:#}", scene.status("orders"));
    assert_eq!(scene.condition("orders", "Ready"), "True/Managed");
}

#[tokio::test(start_paused = true)]
async fn dry_run_beside_an_autoscaler_reports_what_it_would_do() {
    let scene = Scene::of(1);
    scene.api.edit("consumergroups", "orders", |group| {
        group["spec"]["mode"] = json!("DryRun")
    });
    scene
        .api
        .create("horizontalpodautoscalers", autoscaler(None));
    let _operator = scene.operator().await;
    scene.polls(4, 500).await;
    assert_eq!(scene.status("orders")["decision"]["to"], 6);
    assert!(scene.scales().is_empty());
}

/// ACT-9.
#[tokio::test(start_paused = true)]
async fn the_older_of_two_groups_on_one_target_manages_it_until_deleted() {
    let scene = Scene::of(1);
    let mut younger = group("younger");
    younger["spec"]["scaleTargetRef"]["name"] = json!("orders");
    scene.api.create("consumergroups", younger);
    let _operator = scene.operator().await;
    let views = |replicas, lag| {
        [
            ("orders", GroupView::behind(6, replicas, lag)),
            ("younger", GroupView::behind(6, replicas, 0)),
        ]
    };
    for _ in 0..3 {
        scene.poll_groups(&views(1, 0)).await;
    }
    assert_eq!(scene.condition("orders", "Ready"), "True/Managed");
    assert_eq!(scene.condition("younger", "Ready"), "False/TargetContested");
    assert!(scene.message("younger", "Ready").contains("default/orders"));
    assert_eq!(
        scene.status("younger")["decision"]["reason"],
        "TargetContested"
    );
    scene.poll_groups(&views(1, 150)).await;
    assert_eq!(scene.replicas("orders"), 6);
    let scaled = scene.scales()[0].at;

    scene.api.delete("consumergroups", "orders");
    settle().await;
    for _ in 0..24 {
        let replicas = scene.replicas("orders");
        scene.poll_groups(&views(replicas, 0)).await;
    }
    assert_eq!(scene.condition("younger", "Ready"), "True/Managed");
    let scales = scene.scales();
    assert!(
        scales.len() >= 2,
        "the younger one scales down the target that it took over"
    );
    assert!(
        (scales[1].at - scaled).as_secs() >= 119,
        "spaced from the last action on the target"
    );
    let events = scene.api.events();
    assert!(
        !events
            .iter()
            .any(|(reason, _)| reason == "ScaledExternally"),
        "{events:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_older_of_two_groups_with_one_group_id_manages_it() {
    let scene = Scene::of(1);
    scene.api.create("deployments", deployment("twin", 1));
    let mut twin = group("twin");
    twin["spec"]["groupId"] = json!("orders");
    // The same Kafka under another of its brokers, recognised by its cluster id.
    twin["spec"]["kafka"]["bootstrapServers"] = json!(["kafka-1.secret.example:9092"]);
    scene.api.create("consumergroups", twin);
    let _operator = scene.operator().await;
    scene.polls(4, 0).await;
    assert_eq!(scene.condition("orders", "Ready"), "True/Managed");
    assert_eq!(scene.condition("twin", "Ready"), "False/GroupContested");
    scene.polls(2, 150).await;
    assert_eq!((scene.replicas("orders"), scene.replicas("twin")), (6, 1));
}

#[tokio::test(start_paused = true)]
async fn a_group_that_may_not_use_a_cluster_contests_no_group_of_it() {
    let scene = Scene::empty();
    scene.api.create(
        "kafkaclusters",
        cluster("main", json!({ "from": "Names", "names": ["shop"] })),
    );
    let reference = || json!({ "name": "main", "namespace": "kafka" });
    let mut squatter = group_of_cluster("squatter", "elsewhere", reference());
    squatter["spec"]["groupId"] = json!("orders");
    scene.api.create("consumergroups", squatter);
    let mut workload = deployment("orders", 1);
    workload["metadata"]["namespace"] = json!("shop");
    scene.api.create("deployments", workload);
    scene.api.create(
        "consumergroups",
        group_of_cluster("orders", "shop", reference()),
    );
    let _operator = scene.operator().await;
    scene.poll(GroupView::behind(6, 1, 0)).await;
    scene.poll(GroupView::behind(6, 1, 0)).await;
    assert_eq!(
        scene.condition("elsewhere/squatter", "Ready"),
        "False/ClusterNotAllowed"
    );
    assert_eq!(scene.condition("shop/orders", "Ready"), "True/Managed");
}

#[tokio::test(start_paused = true)]
async fn without_the_right_to_see_autoscalers_the_rest_works() {
    let scene = Scene::of(1);
    scene.api.forbid("horizontalpodautoscalers");
    let operator = scene.operator().await;
    scene.polls(4, 500).await;
    assert_eq!(scene.replicas("orders"), 6);
    assert!(operator.readiness.check().is_ok());
}

/// A ConsumerGroup `orders` of another namespace that is older than all others, with a Deployment
/// if `has_target`.
fn squat(scene: &Scene, servers: &str, has_target: bool) {
    let mut squatter = group("orders");
    squatter["metadata"]["namespace"] = json!("squat");
    squatter["spec"]["kafka"]["bootstrapServers"] = json!([servers]);
    scene.api.create("consumergroups", squatter);
    if has_target {
        scene.create_deployment("squat", "orders");
    }
}

#[rstest]
#[case::the_same_servers_and_no_target("kafka-0.secret.example:9092", false)]
#[case::the_same_servers("kafka-0.secret.example:9092", true)]
#[case::a_broker_that_gives_the_same_cluster_id("squatter.example:9092", true)]
#[tokio::test(start_paused = true)]
async fn an_older_group_of_another_namespace_does_not_keep_a_group_from_managing(
    #[case] servers: &str,
    #[case] has_target: bool,
) {
    let scene = Scene::empty();
    squat(&scene, servers, has_target);
    scene.api.create("deployments", deployment("orders", 1));
    scene.api.create("consumergroups", group("orders"));
    let _operator = scene.operator().await;
    scene.polls(4, 0).await;
    assert_eq!(scene.condition("orders", "Ready"), "True/Managed");
    scene.polls(2, 150).await;
    assert_eq!(scene.replicas("orders"), 6);
    let said = scene.ready_history("namespaces/default/consumergroups/orders");
    assert!(!said.contains(&"GroupContested".to_owned()), "{said:?}");
    let theirs = if has_target {
        "True/Managed"
    } else {
        "False/TargetNotFound"
    };
    assert_eq!(scene.condition("squat/orders", "Ready"), theirs);
}

#[tokio::test(start_paused = true)]
async fn two_namespaces_that_manage_one_group_both_get_a_warning() {
    let scene = Scene::of(1);
    squat(&scene, "kafka-0.secret.example:9092", true);
    let _operator = scene.operator().await;
    scene.polls(8, 0).await;
    for name in ["orders", "squat/orders"] {
        let said = scene.message(name, "Ready");
        assert!(
            said.contains("of another namespace manages group orders"),
            "{said}"
        );
        assert!(
            !said.contains("squat") && !said.contains("default"),
            "{said}"
        );
    }
    scene.api.delete("consumergroups", "squat/orders");
    settle().await;
    scene.polls(8, 0).await;
    assert_eq!(scene.message("orders", "Ready"), "");
}
