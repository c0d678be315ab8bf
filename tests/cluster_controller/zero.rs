//! Scaling to zero and back (ACT-12).

use serde_json::json;

use crate::stage::{APP, Stage, now};

/// ACT-12.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_group_scales_to_zero_after_its_delay_and_one_record_wakes_it() {
    let stage = Stage::new("zero").await;
    let consumers = stage.set(6, 1).await;
    consumers.micros_per_record(0);
    stage.kafka.produce(&stage.topic, 60).await;
    let pacing = json!({ "minScaleDownInterval": "5s", "scaleToZeroDelay": "20s" });
    stage
        .group(json!({ "minReplicas": 0, "pacing": pacing }))
        .await;
    let began = now();
    let _operator = stage.operator().await;
    stage.space.until_replicas(APP, 0, 90).await;
    let waited = stage.actions()[0].at.duration_since(began);
    assert!(waited.as_secs() >= 20, "scaled to zero after {waited:#}");
    stage.until_settled(0).await;
    // At zero, it does not wake by itself.
    stage.hold(0, 12).await;

    stage.kafka.produce(&stage.topic, 1).await;
    stage.space.until_replicas(APP, 1, 20).await;
    assert_eq!(stage.sizes(), [0, 1]);
    let last = stage.status().await.history;
    let reported: Vec<&str> = last.iter().map(|action| action.reason.as_str()).collect();
    assert!(
        matches!(reported[..], ["WakeUp", "ScaleToZero"] | ["ScaleToZero"]),
        "{reported:?}"
    );
    // The record is read, and the group scales to zero again.
    stage.space.until_replicas(APP, 0, 90).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_with_records_to_read_does_not_scale_to_zero() {
    let stage = Stage::new("awake").await;
    let _consumers = stage.set(6, 1).await;
    stage.kafka.produce(&stage.topic, 6).await;
    let pacing = json!({ "minScaleDownInterval": "5s", "scaleToZeroDelay": "10s" });
    stage
        .group(json!({ "minReplicas": 0, "pacing": pacing }))
        .await;
    let _operator = stage.operator().await;
    stage.until_members(1).await;
    stage.hold(1, 25).await;
}
