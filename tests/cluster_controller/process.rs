//! The operator stops in time on SIGTERM even if brokers hang, and starts from a status that cannot
//! be read.

use kube::api::{Patch, PatchParams};
use lagrange_testing::kafka::Kafka;
use lagrange_testing::until::secs;
use rstest::rstest;
use serde_json::{Value, json};

use crate::stage::{APP, Stage};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_the_operator_within_five_seconds() {
    let stage = Stage::new("term").await;
    let _consumers = stage.set(6, 1).await;
    stage.group(json!({})).await;
    let operator = stage.operator().await;
    stage.until_members(1).await;
    let (status, took) = operator.terminate();
    assert!(status.success(), "{status}");
    assert!(took < secs(5), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_the_operator_in_time_while_every_broker_hangs() {
    let kafka = Kafka::start(1).await;
    let stage = Stage::on(&kafka, "hang").await;
    let _consumers = stage.set(6, 1).await;
    stage.group(json!({})).await;
    let operator = stage.operator().await;
    stage.until_members(1).await;
    // The broker accepts connections and never answers.
    kafka.pause(1).await;
    stage.until_reason("LagUnknown").await;
    let (status, took) = operator.terminate();
    kafka.resume(1).await;
    assert!(status.success(), "{status}");
    // The limit is 5 s; the test takes some time to notice that the process has ended.
    assert!(took < secs(6), "{took:?}");
}

#[rstest]
#[case::nonsense(json!({ "version": "one", "last": { "time": "yesterday" }, "best": [] }))]
#[case::of_a_later_version(json!({ "version": 99, "sequence": 7 }))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unreadable_memory_is_treated_as_absent(#[case] memory: Value) {
    let stage = Stage::new("memory").await;
    let consumers = stage.set(6, 3).await;
    stage.group(json!({})).await;
    let operator = stage.operator().await;
    stage.until_members(3).await;
    operator.kill();
    let status = Patch::Merge(json!({ "status": { "memory": memory, "lastScale": 7 } }));
    let refused = stage
        .space
        .groups()
        .patch_status(APP, &PatchParams::default(), &status)
        .await;
    // The schema refuses a wrong `lastScale`, and leaves the memory to the operator.
    refused.unwrap_err();
    let status = Patch::Merge(json!({ "status": { "memory": memory } }));
    stage
        .space
        .groups()
        .patch_status(APP, &PatchParams::default(), &status)
        .await
        .unwrap();

    consumers.micros_per_record(0);
    let began = crate::stage::now();
    let _operator = stage.operator().await;
    stage.space.until_replicas(APP, 2, 60).await;
    let waited = stage.actions()[0].at.duration_since(began);
    assert!(waited.as_secs() >= 15, "scaled down after {waited:#}");
    let memory = stage.status().await.memory.unwrap();
    assert_eq!(
        (&memory["version"], &memory["sequence"]),
        (&json!(2), &json!(1))
    );
}
