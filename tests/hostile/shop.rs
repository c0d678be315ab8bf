//! Those who are to notice nothing: ten groups on a real broker, with real members that stand in
//! for their Pods.

use lagrange_core::api::condition::{Type, find};
use lagrange_testing::consumers::{Consumers, IDLE};
use lagrange_testing::kafka::Kafka;
use lagrange_testing::kubernetes::{Kubernetes, Space};
use lagrange_testing::until::{secs, until};
use serde_json::json;

/// How many.
pub(crate) const GROUPS: usize = 10;
const PARTITIONS: i32 = 6;

/// Their group ids; also the names of their topics, Deployments and ConsumerGroups.
pub(crate) fn group_ids() -> Vec<String> {
    (0..GROUPS).map(|n| format!("shop-{n}")).collect()
}

pub(crate) struct Shop {
    pub(crate) space: Space,
    kafka: &'static Kafka,
    _consumers: Vec<Consumers>,
}

impl Shop {
    pub(crate) async fn open(kubernetes: &Kubernetes, kafka: &'static Kafka) -> Self {
        let space = kubernetes.namespace("shop").await;
        let mut all = Vec::new();
        let servers: Vec<&str> = kafka.bootstrap.split(',').collect();
        for id in &group_ids() {
            kafka.create_topic(id, PARTITIONS).await;
            space.deployment(id, 1).await;
            let consumers = Consumers::follow(kafka, space.deployments(), id, id, id);
            consumers.micros_per_record(IDLE);
            all.push(consumers);
            let spec = json!({
                "groupId": id,
                "scaleTargetRef": { "name": id },
                "kafka": { "bootstrapServers": servers },
                "topics": [id],
                "autoOffsetReset": "Earliest",
                "objective": { "lagPerReplica": 100 },
                "pacing": { "minInterval": "10s", "settleTimeout": "60s" },
            });
            space.group(id, spec).await;
        }
        Self {
            space,
            kafka,
            _consumers: all,
        }
    }

    /// Waits until all of them are managed.
    pub(crate) async fn until_managed(&self) {
        for id in &group_ids() {
            self.space
                .until_condition(id, "Ready", "True/Managed")
                .await;
        }
    }

    /// Gives one of them work for all of its partitions.
    pub(crate) async fn rush(&self, group: usize) {
        self.kafka.produce(&group_ids()[group], 3_000).await;
    }

    /// Waits until each of them has the size that its work asks for.
    pub(crate) async fn until_grown(&self) {
        for id in &group_ids() {
            self.space.until_replicas(id, PARTITIONS, 120).await;
        }
    }

    /// Whether each of them is managed and its lag known.
    pub(crate) async fn all_well(&self) -> Result<(), String> {
        for id in &group_ids() {
            let status = self.space.status(id).await;
            for condition in [Type::Ready, Type::LagKnown] {
                let found = find(&status.conditions, condition);
                if found.is_none_or(|found| found.status != "True") {
                    return Err(format!("{id}: {:?}", status.conditions));
                }
            }
        }
        Ok(())
    }
}

/// Waits for a condition of a group, however long the machine takes.
pub(crate) async fn until_reason(space: &Space, name: &str, reason: &str) {
    until(secs(120), &format!("{name} says {reason}"), || async {
        let status = space.status(name).await;
        let ready = find(&status.conditions, Type::Ready);
        match ready {
            Some(ready) if ready.reason == reason => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}
