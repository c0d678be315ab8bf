//! The partition limit is reached exactly, sizes are aligned, and idle replicas are removed.

use std::time::Instant;

use lagrange_testing::until::{secs, until};
use rstest::rstest;
use serde_json::json;

use crate::stage::{APP, DOWN, Stage, UP, assert_spaced};

/// ACT-14.
#[rstest]
#[case(12)]
#[case(24)]
#[case(64)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_lag_takes_a_group_to_its_partition_limit_in_one_action(#[case] partitions: i32) {
    let stage = Stage::new("limit").await;
    let _consumers = stage.set(partitions, 1).await;
    stage.kafka.produce(&stage.topic, 5_000).await;
    stage
        .group(json!({ "objective": { "lagPerReplica": 1 } }))
        .await;
    let _operator = stage.operator().await;

    stage.space.until_replicas(APP, partitions, 40).await;
    stage.until_settled(partitions).await;
    stage
        .space
        .until_condition(APP, "AbleToScale", "True/ReadyForNewScale")
        .await;
    stage.hold(partitions, 11).await;
    assert_eq!(stage.sizes(), [partitions]);
    let limited = stage.space.condition(APP, "ScalingLimited").await;
    assert_eq!(limited, "True/PartitionLimit");
    let status = stage.status().await;
    assert_eq!(status.group.unwrap().idle_members, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn six_partitions_are_shared_by_2_3_or_6_replicas_with_pacing_kept() {
    let stage = Stage::new("worth").await;
    let consumers = stage.set(6, 1).await;
    stage.kafka.produce(&stage.topic, 180).await;
    stage.group(json!({})).await;
    let _operator = stage.operator().await;
    stage.space.until_replicas(APP, 2, 40).await;
    // The lag asks for 4. With 4 replicas the largest share is 2 partitions, as with 3, so the
    // operator scales to 6.
    stage.kafka.produce(&stage.topic, 180).await;
    stage.space.until_replicas(APP, 6, 60).await;

    consumers.micros_per_record(0);
    stage.space.until_replicas(APP, 2, 120).await;
    assert_eq!(stage.sizes(), [2, 6, 3, 2]);
    assert_spaced(1, &stage.actions(), UP, DOWN);
    let history = stage.status().await.history;
    let reported: Vec<(i32, i32)> = history
        .iter()
        .rev()
        .map(|action| (action.from, action.to))
        .collect();
    assert_eq!(reported[..3], [(1, 2), (2, 6), (6, 3)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_beyond_the_partitions_are_reported_and_removed_until_partitions_are_added() {
    let stage = Stage::new("payments").await;
    let _consumers = stage.set(4, 20).await;
    stage
        .group(json!({ "pacing": { "minScaleDownInterval": "25s" } }))
        .await;
    let began = Instant::now();
    let operator = stage.operator().await;

    stage
        .space
        .until_condition(APP, "Healthy", "False/IdleConsumers")
        .await;
    let group = stage.status().await.group.unwrap();
    assert_eq!((group.members, group.idle_members), (Some(20), Some(16)));
    let note = stage.space.until_event(APP, "IdleConsumers").await;
    assert!(note.starts_with("16 of 20 consumers"), "{note}");

    stage.space.until_replicas(APP, 4, 60).await;
    assert!(began.elapsed() >= secs(25), "{:?}", began.elapsed());
    stage.until_settled(4).await;
    stage
        .space
        .until_condition(APP, "Healthy", "True/AsExpected")
        .await;

    stage.kafka.add_partitions(&stage.topic, 20).await;
    // Two polls, and some time for a busy machine.
    until(secs(13), "the new partitions are noticed", || async {
        let status = stage.status().await;
        match status.replicas.as_ref().and_then(|found| found.limit) {
            Some(20) => Ok(()),
            _ => Err(format!("{status:?}")),
        }
    })
    .await;
    let note = stage.space.until_event(APP, "PartitionsAdded").await;
    assert!(note.contains("20 partitions instead of 4"), "{note}");
    assert!(note.contains("order per key is not kept"), "{note}");

    stage.kafka.produce(&stage.topic, 2_000).await;
    stage.space.until_replicas(APP, 20, 60).await;
    assert_eq!(stage.sizes(), [4, 20]);
    drop(operator);
}
