//! What there is to decide during the run: lag that comes and goes, and bounds that move.

use lagrange_testing::consumers::{Consumers, IDLE};
use lagrange_testing::until::{secs, until};
use serde_json::json;

use super::{APART, BOUNDED};
use crate::stage::{APP, Stage};

const PARTITIONS: i32 = 6;

/// The lag of the first ConsumerGroup, and the members of both.
pub(super) struct Load<'a> {
    stage: &'a Stage<'a>,
    consumers: Consumers,
    _bounded: Consumers,
    /// Whether there is lag that asks for more replicas, or none.
    rises: bool,
    /// The size when that began.
    from: i32,
}

impl<'a> Load<'a> {
    /// Creates both ConsumerGroups; the first one has lag.
    pub(super) async fn set(stage: &'a Stage<'a>) -> Self {
        let consumers = stage.set(PARTITIONS, 1).await;
        stage.group(json!({})).await;
        stage.kafka.produce(&stage.topic, 500).await;
        Self {
            stage,
            consumers,
            _bounded: bounded(stage).await,
            rises: true,
            from: 1,
        }
    }

    /// Waits until the leader has scaled by lag, then lets the lag go, or come again. That takes a
    /// few polls of one leader.
    pub(super) async fn turn(&mut self) {
        let (rises, from) = (self.rises, self.from);
        let size = until(secs(90), "scaled by lag", || async {
            let size = self.stage.space.replicas(APP).await;
            let has_scaled = if rises {
                size > from || size == PARTITIONS
            } else {
                size < from || size == 1
            };
            let seen = self.stage.status().await;
            has_scaled
                .then_some(size)
                .ok_or(format!("{size}; {seen:?}"))
        })
        .await;
        (self.rises, self.from) = (!rises, size);
        if self.rises {
            self.consumers.micros_per_record(IDLE);
            self.stage.kafka.produce(&self.stage.topic, 500).await;
        } else {
            self.consumers.micros_per_record(0);
        }
    }
}

/// The second ConsumerGroup, with members that have nothing to read.
async fn bounded(stage: &Stage<'_>) -> Consumers {
    let topic = format!("{}-{BOUNDED}", stage.topic);
    stage.kafka.create_topic(&topic, PARTITIONS).await;
    stage.space.deployment(BOUNDED, 1).await;
    let deployments = stage.space.deployments();
    let members = Consumers::follow(stage.kafka, deployments, BOUNDED, &topic, &topic);
    let apart = format!("{APART}s");
    let change = json!({
        "groupId": topic,
        "topics": [topic],
        "scaleTargetRef": { "name": BOUNDED },
        "pacing": { "minInterval": apart, "minScaleDownInterval": apart },
    });
    stage.space.group(BOUNDED, stage.spec(change)).await;
    members
}

/// Moves the bounds of the second ConsumerGroup, until dropped.
pub(super) async fn move_bounds(stage: &Stage<'_>) {
    for replicas in [3, 1, 4, 2].into_iter().cycle() {
        let bounds = json!({ "minReplicas": replicas, "maxReplicas": replicas });
        stage.space.edit(BOUNDED, bounds).await;
        tokio::time::sleep(secs(4)).await;
    }
}
