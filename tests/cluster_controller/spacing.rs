//! Promise 3: no two actions are closer together than pacing allows, even if the operator is killed
//! or the resource edited in between.

use std::time::Duration;

use lagrange_testing::operator::Operator;
use lagrange_testing::until::{secs, until};
use serde_json::json;

use crate::stage::{APP, Stage, assert_spaced};

/// Kills the operator as soon as the Deployment's spec has `replicas`.
async fn kill_right_after(stage: &Stage<'_>, operator: Operator, replicas: i32) {
    let began = std::time::Instant::now();
    while stage.space.replicas(APP).await != replicas {
        assert!(began.elapsed() < secs(40), "{:?}", stage.status().await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    operator.kill();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_killed_right_after_an_action_still_waits_before_the_next_one() {
    let stage = Stage::new("killed").await;
    let _consumers = stage.set(6, 1).await;
    stage.kafka.produce(&stage.topic, 180).await;
    stage
        .group(json!({ "pacing": { "minInterval": "25s" } }))
        .await;
    let operator = stage.operator().await;
    kill_right_after(&stage, operator, 2).await;

    stage.kafka.produce(&stage.topic, 400).await;
    let _operator = stage.operator().await;
    stage.until_reason("CoolingDown").await;
    stage.space.until_replicas(APP, 6, 60).await;
    assert_eq!(stage.sizes(), [2, 6]);
    assert_spaced(1, &stage.actions(), 25, 25);
    // The action of the killed process is in the history as well.
    let history = stage.status().await.history;
    assert!(
        history.iter().any(|action| action.to == 2),
        "the action before the kill is missing: {history:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn editing_the_resource_after_a_kill_does_not_shorten_the_wait() {
    let stage = Stage::new("edited").await;
    let _consumers = stage.set(6, 1).await;
    stage.kafka.produce(&stage.topic, 180).await;
    stage
        .group(json!({ "pacing": { "minInterval": "25s" } }))
        .await;
    let operator = stage.operator().await;
    kill_right_after(&stage, operator, 2).await;

    // Another objective drops the measurements, and a bound acts without any lag.
    let edit = json!({ "objective": { "lagPerReplica": 10 }, "minReplicas": 3 });
    stage.space.edit(APP, edit).await;
    let _operator = stage.operator().await;
    stage.hold(2, 10).await;
    stage
        .space
        .edit(APP, json!({ "threadsPerReplica": 2 }))
        .await;
    stage
        .space
        .edit(APP, json!({ "threadsPerReplica": 1 }))
        .await;
    until(secs(60), "the next action has come", || async {
        match stage.sizes()[..] {
            [2, 3 | 6, ..] => Ok(()),
            ref other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert_spaced(1, &stage.actions(), 25, 25);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_at_the_worst_moments_never_bring_two_actions_too_close() {
    const SPACE: i64 = 12;
    let stage = Stage::new("kills").await;
    let _consumers = stage.set(6, 1).await;
    let pacing =
        json!({ "minInterval": "12s", "minScaleDownInterval": "12s", "settleTimeout": "20s" });
    stage
        .group(json!({ "minReplicas": 1, "maxReplicas": 1, "pacing": pacing }))
        .await;
    let mut operator = stage.operator().await;
    stage.until_members(1).await;

    let sequence =
        |memory: Option<serde_json::Value>| memory.and_then(|memory| memory["sequence"].as_i64());
    // Bounds need no lag, so each edit asks for an action at once. The kill comes 0 to 120 ms after
    // the pending action is written to the status: before, during and after the scale request and
    // the writes that follow it.
    for (round, replicas) in [2, 3, 1, 6].into_iter().enumerate() {
        let before = sequence(stage.status().await.memory);
        let bounds = json!({ "minReplicas": replicas, "maxReplicas": replicas });
        stage.space.edit(APP, bounds).await;
        let began = std::time::Instant::now();
        while sequence(stage.status().await.memory) == before {
            assert!(began.elapsed() < secs(60), "{:?}", stage.status().await);
        }
        tokio::time::sleep(Duration::from_millis(40 * round as u64)).await;
        operator.kill();
        operator = stage.operator().await;
        stage.space.until_replicas(APP, replicas, 90).await;
    }
    let actions = stage.actions();
    assert!(actions.len() >= 4, "{actions:?}");
    assert_spaced(1, &actions, SPACE, SPACE);
}
