//! The groups that must not be disturbed: ten on a real broker, with real members in place of their
//! Pods.

use lagrange_core::api::condition::{Type, find};
use lagrange_testing::consumers::{Consumers, IDLE};
use lagrange_testing::kafka::Kafka;
use lagrange_testing::kubernetes::{Kubernetes, Space};
use lagrange_testing::until::{secs, until};
use serde_json::json;

/// The number of groups.
pub(crate) const GROUPS: usize = 10;
const PARTITIONS: i32 = 6;

/// The group ids, which are also the names of the topics, Deployments and ConsumerGroups.
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

    /// Waits until all groups are managed.
    pub(crate) async fn until_managed(&self) {
        for id in &group_ids() {
            self.space
                .until_condition(id, "Ready", "True/Managed")
                .await;
        }
    }

    /// Gives one group a backlog on all of its partitions.
    pub(crate) async fn rush(&self, group: usize) {
        self.kafka.produce(&group_ids()[group], 3_000).await;
    }

    /// Waits until each group has the size that its backlog asks for.
    pub(crate) async fn until_grown(&self) {
        for id in &group_ids() {
            self.space.until_replicas(id, PARTITIONS, 120).await;
        }
    }

    /// Whether each group is managed and its lag is known.
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

/// Waits until `Ready` of a group has this reason. The timeout allows for a slow machine.
pub(crate) async fn until_reason(space: &Space, name: &str, reason: &str) {
    until(
        secs(120),
        &format!("Ready of {name} has the reason {reason}"),
        || async {
            let status = space.status(name).await;
            let ready = find(&status.conditions, Type::Ready);
            match ready {
                Some(ready) if ready.reason == reason => Ok(()),
                other => Err(format!("{other:?}")),
            }
        },
    )
    .await;
}
