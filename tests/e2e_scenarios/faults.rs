//! Events around a group: rollouts, Pods that cannot be scheduled, an operator that is killed, and
//! no load.

use std::time::Instant;

use lagrange_testing::until::{secs, throughout, until};
use serde_json::json;

use crate::field::{Consumers, IMAGE, Scenario};
use crate::watched::{Watched, assert_spaced};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_action_during_a_rollout() {
    let here = Scenario::new("rollout", 6).await;
    // Each new Pod must be ready for 10 s before the next one starts: about half a minute for two.
    let slow = Consumers {
        min_ready_seconds: 10,
        ..Consumers::new("fulfillment", 2, "20")
    };
    here.consumers(slow).await;
    here.sized("fulfillment", json!({ "minReplicas": 2 })).await;
    here.space
        .until_condition("fulfillment", "AbleToScale", "True/ReadyForNewScale")
        .await;
    here.space.roll_out("fulfillment", "again").await;
    let rolled = here.space.deployments().get("fulfillment").await.unwrap();
    let rolled = rolled.metadata.generation;
    here.field.kafka.produce(&here.topic, 12_000).await;
    until(secs(30), "the hold gives its reason", || async {
        let decision = here.space.status("fulfillment").await.decision.unwrap();
        if decision.reason == "RolloutInProgress" {
            Ok(())
        } else {
            Err(format!("{decision:?}"))
        }
    })
    .await;
    until(
        secs(90),
        "the rollout ends, without an action before",
        || async {
            let deployment = here
                .space
                .deployments()
                .get("fulfillment")
                .await
                .map_err(|e| e.to_string())?;
            let (spec, status) = (deployment.spec.unwrap(), deployment.status.unwrap());
            // No Pod of the old template is left. The action may come at once.
            let is_done =
                status.observed_generation >= rolled && status.updated_replicas == status.replicas;
            assert!(
                is_done || spec.replicas == Some(2),
                "scaled while rolling out: {status:?}"
            );
            if is_done {
                Ok(())
            } else {
                Err(format!("{status:?}"))
            }
        },
    )
    .await;
    here.space.until_replicas("fulfillment", 6, 60).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unschedulable_pods_block_a_further_scale_up() {
    let here = Scenario::new("pending", 6).await;
    let alone = Consumers {
        host_port: Some(18_080),
        ..Consumers::new("fulfillment", 1, "20")
    };
    here.consumers(alone).await;
    let pacing =
        json!({ "minInterval": "5s", "minScaleDownInterval": "15s", "settleTimeout": "20s" });
    here.sized(
        "fulfillment",
        json!({ "maxReplicas": 6, "objective": { "lagPerReplica": 2000 }, "pacing": pacing }),
    )
    .await;
    here.field.kafka.produce(&here.topic, 3500).await;
    here.space.until_replicas("fulfillment", 2, 60).await;
    let watched = Watched::deployment(&here.space, "fulfillment");
    here.field.kafka.produce(&here.topic, 12_000).await;
    here.space
        .until_condition("fulfillment", "AbleToScale", "False/ReplicasNotReady")
        .await;
    throughout(secs(30), "no further scale-up", || async {
        let counts = watched.counts();
        if counts.iter().all(|n| *n == 2) {
            Ok(())
        } else {
            Err(format!("{counts:?}"))
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_group_scales_to_zero_and_one_record_wakes_it() {
    let here = Scenario::new("zero", 3).await;
    here.consumers(Consumers::new("fulfillment", 1, "1")).await;
    here.field.kafka.produce(&here.topic, 30).await;
    here.sized("fulfillment", json!({ "minReplicas": 0 })).await;
    here.space.until_replicas("fulfillment", 0, 120).await;
    here.space.until_ready("fulfillment", 0).await;
    here.field.kafka.produce(&here.topic, 1).await;
    here.space.until_replicas("fulfillment", 1, 60).await;
    until(secs(60), "the record is read", || async {
        let committed = here
            .field
            .kafka
            .committed(&here.group_id("fulfillment"), &here.topic)
            .await;
        let total: i64 = committed.values().sum();
        if total == 31 {
            Ok(())
        } else {
            Err(format!("{committed:?}"))
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_that_does_not_end_blocks_until_its_timeout_is_reported() {
    let here = Scenario::new("broken", 6).await;
    here.consumers(Consumers::new("fulfillment", 2, "200"))
        .await;
    let pacing =
        json!({ "minInterval": "5s", "minScaleDownInterval": "15s", "settleTimeout": "20s" });
    here.sized("fulfillment", json!({ "minReplicas": 2, "pacing": pacing }))
        .await;
    here.space
        .until_condition("fulfillment", "AbleToScale", "True/ReadyForNewScale")
        .await;
    let watched = Watched::deployment(&here.space, "fulfillment");
    here.space
        .image("fulfillment", "localhost/not-there:e2e")
        .await;
    let broken_at = Instant::now();
    here.field.kafka.produce(&here.topic, 6000).await;
    here.space
        .until_condition("fulfillment", "AbleToScale", "False/RolloutInProgress")
        .await;
    let reported = until(secs(60), "the timeout is reported", || async {
        let decision = here.space.status("fulfillment").await.decision.unwrap();
        if decision.message.contains("longer than settleTimeout") {
            Ok(decision.message)
        } else {
            Err(format!("{decision:?}"))
        }
    })
    .await;
    assert!(reported.contains("RolloutInProgress since"), "{reported}");

    // One action is let through, up to the partition limit.
    here.space.until_replicas("fulfillment", 6, 60).await;
    let waited = watched.last_change() - broken_at;
    assert!(waited >= secs(20), "the operator waited only {waited:?}");

    // The image is corrected, and all consumers start.
    here.space.image("fulfillment", IMAGE).await;
    here.space.until_ready("fulfillment", 6).await;
    assert_eq!(watched.counts(), [2, 6]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_operator_loses_nothing_and_keeps_its_pacing() {
    let here = Scenario::new("dies", 6).await;
    here.consumers(Consumers::new("fulfillment", 1, "20")).await;
    let watched = Watched::deployment(&here.space, "fulfillment");
    let pacing =
        json!({ "minInterval": "20s", "minScaleDownInterval": "25s", "settleTimeout": "1m" });
    here.sized("fulfillment", json!({ "pacing": pacing })).await;
    here.space
        .until_condition("fulfillment", "Ready", "True/Managed")
        .await;
    here.field.kafka.produce(&here.topic, 500).await;
    watched.until_changes(1, secs(60)).await;
    here.field.kill_operator();
    here.field.kafka.produce(&here.topic, 6000).await;
    here.space.until_replicas("fulfillment", 6, 90).await;

    // The next action is a scale-down. Then the operator's Pod is deleted.
    let ups = watched.counts().len() - 1;
    watched.until_changes(ups + 1, secs(120)).await;
    here.field.delete_operator();
    watched.until_changes(ups + 2, secs(120)).await;
    let limits = (secs(20), secs(25));
    assert_spaced(&watched, &here.space, "fulfillment", limits.0, limits.1).await;
    here.space
        .until_condition("fulfillment", "Ready", "True/Managed")
        .await;
}
