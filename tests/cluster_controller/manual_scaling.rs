//! Pausing: the annotations and `mode: DryRun` hold under load, are reported, and end when they are
//! removed.

use lagrange_testing::until::{secs, until};
use serde_json::json;

use crate::stage::{APP, DOWN, Stage, UP, assert_spaced};

const PAUSED: &str = "lagrange.dev/paused";
const PAUSED_REPLICAS: &str = "lagrange.dev/paused-replicas";
const PAUSED_SCALE_IN: &str = "lagrange.dev/paused-scale-in";
const PAUSED_SCALE_OUT: &str = "lagrange.dev/paused-scale-out";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paused_holds_under_load_until_it_is_removed() {
    let stage = Stage::new("paused").await;
    let _consumers = stage.set(6, 1).await;
    stage.kafka.produce(&stage.topic, 600).await;
    stage
        .annotated_group(json!({ PAUSED: "true" }), json!({}))
        .await;
    let _operator = stage.operator().await;
    stage.until_reason("Paused").await;
    stage.hold(1, 16).await;
    let conditions = ["Ready", "LagKnown", "AbleToScale"];
    let mut said = Vec::new();
    for condition in conditions {
        said.push(stage.space.condition(APP, condition).await);
    }
    assert_eq!(
        said,
        ["True/Managed", "True/AllPartitionsRead", "False/Paused"]
    );

    stage.space.annotate(APP, PAUSED, None).await;
    stage.space.until_replicas(APP, 6, 30).await;
    assert_eq!(stage.sizes(), [6]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_annotation_value_pauses_and_is_quoted() {
    let stage = Stage::new("word").await;
    let _consumers = stage.set(6, 1).await;
    stage.kafka.produce(&stage.topic, 600).await;
    stage
        .annotated_group(json!({ PAUSED: "sometimes" }), json!({}))
        .await;
    let _operator = stage.operator().await;
    stage.until_reason("Paused").await;
    stage.hold(1, 12).await;
    let conditions = stage.status().await.conditions;
    let able = conditions
        .iter()
        .find(|c| c.type_ == "AbleToScale")
        .unwrap();
    assert_eq!(
        able.message,
        "annotation lagrange.dev/paused: \"sometimes\" is not understood, so paused"
    );
    stage.space.annotate(APP, PAUSED, Some("false")).await;
    stage.space.until_replicas(APP, 6, 30).await;
}

/// ACT-10.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paused_replicas_scales_once_and_removing_it_counts_as_an_action() {
    let stage = Stage::new("size").await;
    let _consumers = stage.set(6, 1).await;
    stage.kafka.produce(&stage.topic, 600).await;
    let pacing = json!({ "pacing": { "minInterval": "12s" } });
    stage
        .annotated_group(json!({ PAUSED_REPLICAS: "3" }), pacing)
        .await;
    let _operator = stage.operator().await;
    stage.space.until_replicas(APP, 3, 40).await;
    stage.until_settled(3).await;
    stage.hold(3, 15).await;
    assert_eq!(stage.reason().await, "Paused");

    let removed = crate::stage::now();
    stage.space.annotate(APP, PAUSED_REPLICAS, None).await;
    stage.space.until_replicas(APP, 6, 60).await;
    let actions = stage.actions();
    assert_eq!(stage.sizes(), [3, 6]);
    let waited = actions[1].at.duration_since(removed);
    assert!(waited.as_secs() >= 11, "{waited:#} after the pause ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paused_scale_out_keeps_a_loaded_group_and_lets_an_idle_one_shrink() {
    let stage = Stage::new("out").await;
    let consumers = stage.set(6, 3).await;
    stage.kafka.produce(&stage.topic, 600).await;
    stage
        .annotated_group(json!({ PAUSED_SCALE_OUT: "true" }), json!({}))
        .await;
    let _operator = stage.operator().await;
    stage.until_reason("Paused").await;
    stage.hold(3, 12).await;
    consumers.micros_per_record(0);
    stage.space.until_replicas(APP, 2, 60).await;
    assert_eq!(stage.sizes()[..1], [2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paused_scale_in_keeps_an_idle_group_and_lets_a_loaded_one_grow() {
    let stage = Stage::new("in").await;
    let consumers = stage.set(6, 2).await;
    consumers.micros_per_record(0);
    stage
        .annotated_group(json!({ PAUSED_SCALE_IN: "true" }), json!({}))
        .await;
    let _operator = stage.operator().await;
    stage.until_reason("Paused").await;
    stage.hold(2, 20).await;
    consumers.micros_per_record(lagrange_testing::consumers::IDLE);
    stage.kafka.produce(&stage.topic, 600).await;
    stage.space.until_replicas(APP, 6, 40).await;

    consumers.micros_per_record(0);
    stage.space.annotate(APP, PAUSED_SCALE_IN, None).await;
    stage.space.until_replicas(APP, 3, 90).await;
    assert_spaced(2, &stage.actions(), UP, DOWN);
}

/// TELL-31.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_reports_each_decision_once_and_does_not_scale() {
    let stage = Stage::new("dry").await;
    let _consumers = stage.set(6, 1).await;
    stage.kafka.produce(&stage.topic, 180).await;
    stage.group(json!({ "mode": "DryRun" })).await;
    let _operator = stage.operator().await;
    let would = || async {
        let mut notes: Vec<String> = stage
            .space
            .events(APP)
            .await
            .into_iter()
            .filter(|(reason, _)| reason == "WouldScale")
            .map(|(_, note)| note.split(',').next().unwrap().to_owned())
            .collect();
        notes.sort();
        notes
    };
    let until_reported = |wanted: &'static [&'static str]| {
        until(secs(40), "the dry run is reported", move || async move {
            let reported = would().await;
            if reported == wanted {
                Ok(())
            } else {
                Err(format!("{reported:?}"))
            }
        })
    };
    until_reported(&["replicas 1 -> 2"]).await;
    stage.hold(1, 12).await;
    until_reported(&["replicas 1 -> 2"]).await;
    assert_eq!(
        stage.space.condition(APP, "AbleToScale").await,
        "False/DryRun"
    );
    assert_eq!(stage.space.condition(APP, "Ready").await, "True/Managed");

    stage.kafka.produce(&stage.topic, 400).await;
    until_reported(&["replicas 1 -> 2", "replicas 1 -> 6"]).await;
    assert_eq!(stage.sizes(), [0; 0]);

    stage.space.edit(APP, json!({ "mode": "Auto" })).await;
    stage.space.until_replicas(APP, 6, 30).await;
}
