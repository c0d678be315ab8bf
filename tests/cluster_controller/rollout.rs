//! Promise 4: no action during a rollout of the workload, for at most `settleTimeout`, and a longer
//! rollout is reported.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use lagrange_testing::until::{secs, until};
use serde_json::json;

use crate::stage::{APP, Stage, now};

/// Rolls out another image, whose Pods get ready after this time.
async fn roll_out(stage: &Stage<'_>, ready_after: &str) {
    let template = json!({
        "metadata": { "annotations": { "lagrange.test/ready-delay": ready_after } },
        "spec": { "containers": [{ "name": "consumer", "image": "localhost/pause:2" }] },
    });
    let patch = Patch::Strategic(json!({ "spec": { "template": template } }));
    stage
        .space
        .deployments()
        .patch(APP, &PatchParams::default(), &patch)
        .await
        .unwrap();
}

/// When the rollout was complete, to the second, from the Deployment's status.
fn rolled_out(deployment: &Deployment) -> Option<Timestamp> {
    let status = deployment.status.clone()?;
    let progressing = status
        .conditions
        .into_iter()
        .flatten()
        .find(|condition| condition.type_ == "Progressing")?;
    let is_done = status.observed_generation == deployment.metadata.generation
        && status.updated_replicas == status.replicas
        && progressing.reason.as_deref() == Some("NewReplicaSetAvailable");
    progressing
        .last_update_time
        .filter(|_| is_done)
        .map(|at| at.0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_action_during_a_rollout_under_load() {
    let stage = Stage::new("rollout").await;
    let _consumers = stage.set(6, 2).await;
    stage
        .group(json!({ "pacing": { "settleTimeout": "2m" } }))
        .await;
    let _operator = stage.operator().await;
    stage.until_members(2).await;

    // Two Pods, one after the other.
    roll_out(&stage, "12s").await;
    stage.kafka.produce(&stage.topic, 600).await;
    stage.until_reason("RolloutInProgress").await;
    stage
        .space
        .until_condition(APP, "AbleToScale", "False/RolloutInProgress")
        .await;
    let done = until(secs(90), "the rollout is done", || async {
        let deployment = stage.space.deployments().get(APP).await.unwrap();
        rolled_out(&deployment).ok_or_else(|| format!("{:?}", deployment.status))
    })
    .await;
    stage.space.until_replicas(APP, 6, 60).await;
    let actions = stage.actions();
    assert!(actions[0].at >= done, "{actions:?} before {done}");
    assert_eq!(stage.sizes(), [6]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_that_never_ends_is_reported_and_blocks_for_settle_timeout_only() {
    let stage = Stage::new("stuck").await;
    let _consumers = stage.set(6, 2).await;
    stage
        .group(json!({ "pacing": { "settleTimeout": "20s" } }))
        .await;
    let _operator = stage.operator().await;
    stage.until_members(2).await;

    roll_out(&stage, "1h").await;
    let began = now();
    stage.kafka.produce(&stage.topic, 600).await;
    stage.until_reason("RolloutInProgress").await;
    let message = until(secs(60), "the overdue rollout is reported", || async {
        let status = stage.status().await;
        let message = status.decision.clone().unwrap_or_default().message;
        if message.contains("RolloutInProgress since")
            && message.contains("longer than settleTimeout")
        {
            Ok(message)
        } else {
            Err(format!("{status:?}"))
        }
    })
    .await;
    stage.space.until_replicas(APP, 6, 30).await;
    let waited = stage.actions()[0].at.duration_since(began);
    assert!(waited.as_secs() >= 19, "{waited:#}; {message}");
}
