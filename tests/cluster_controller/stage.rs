//! The set-up of every scenario: a topic, a group of the same name, a Deployment `app` whose ready
//! replicas are members of that group, and a ConsumerGroup `app` that targets it. The assertions
//! are in the scenarios.

use std::sync::{Arc, Mutex};

use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use kube::api::{Api, PostParams};
use kube::runtime::watcher::watch_object;
use lagrange_core::api::{ConsumerGroup, ConsumerGroupStatus};
use lagrange_testing::audit::{self, Action};
use lagrange_testing::consumers::Consumers;
use lagrange_testing::kafka::Kafka;
use lagrange_testing::kubernetes::{Kubernetes, Space};
use lagrange_testing::operator::Operator;
use lagrange_testing::until::{secs, throughout, until};
use serde_json::{Value, json};

pub(crate) use lagrange_testing::merge;

/// The name of the Deployment and of the ConsumerGroup.
pub(crate) const APP: &str = "app";

/// The least seconds between two actions in the scenarios, and before a scale-down.
pub(crate) const UP: i64 = 5;
pub(crate) const DOWN: i64 = 15;

/// The namespace, topic and group of one test.
pub(crate) struct Stage<'a> {
    pub(crate) kafka: &'a Kafka,
    pub(crate) kubernetes: &'a Kubernetes,
    pub(crate) space: Space,
    /// The name of the topic and of the group.
    pub(crate) topic: String,
}

impl Stage<'static> {
    /// A stage on the shared broker.
    pub(crate) async fn new(stem: &str) -> Self {
        Self::on(Kafka::shared().await, stem).await
    }
}

impl<'a> Stage<'a> {
    /// A stage on brokers of its own.
    pub(crate) async fn on(kafka: &'a Kafka, stem: &str) -> Self {
        Self::at(Kubernetes::shared().await, kafka, stem).await
    }

    /// A stage on a Kubernetes cluster of its own.
    pub(crate) async fn at(kubernetes: &'a Kubernetes, kafka: &'a Kafka, stem: &str) -> Self {
        let space = kubernetes.namespace(stem).await;
        Self {
            kafka,
            kubernetes,
            topic: space.name.clone(),
            space,
        }
    }

    /// Creates the topic and a Deployment. Its members own partitions but read nothing until the
    /// test sets their speed.
    pub(crate) async fn set(&self, partitions: i32, replicas: i32) -> Consumers {
        self.kafka.create_topic(&self.topic, partitions).await;
        self.space.deployment(APP, replicas).await;
        self.consumers(&[])
    }

    pub(crate) fn consumers(&self, settings: &[(&str, &str)]) -> Consumers {
        Consumers::follow_with(
            self.kafka,
            self.space.deployments(),
            APP,
            &self.topic,
            &self.topic,
            settings,
        )
    }

    /// The spec of a ConsumerGroup in the scenarios, with `change` merged into it.
    pub(crate) fn spec(&self, change: Value) -> Value {
        let servers: Vec<&str> = self.kafka.bootstrap.split(',').collect();
        let mut spec = json!({
            "groupId": self.topic,
            "scaleTargetRef": { "name": APP },
            "kafka": { "bootstrapServers": servers },
            "topics": [self.topic],
            "autoOffsetReset": "Earliest",
            "objective": { "lagPerReplica": 100 },
            "pacing": {
                "minInterval": format!("{UP}s"),
                "minScaleDownInterval": format!("{DOWN}s"),
                "settleTimeout": "30s",
            },
        });
        merge(&mut spec, change);
        spec
    }

    /// Creates the ConsumerGroup.
    pub(crate) async fn group(&self, change: Value) {
        self.space.group(APP, self.spec(change)).await;
    }

    /// Creates the ConsumerGroup with annotations.
    pub(crate) async fn annotated_group(&self, annotations: Value, change: Value) {
        let object = json!({
            "apiVersion": "lagrange.dev/v1alpha1",
            "kind": "ConsumerGroup",
            "metadata": { "name": APP, "annotations": annotations },
            "spec": self.spec(change),
        });
        let object = serde_json::from_value(object).unwrap();
        self.space
            .groups()
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
    }

    pub(crate) async fn operator(&self) -> Operator {
        Operator::start(self.kubernetes, &self.space).await
    }

    pub(crate) async fn status(&self) -> ConsumerGroupStatus {
        self.space.status(APP).await
    }

    /// The reason of the decision in the status.
    pub(crate) async fn reason(&self) -> String {
        let decision = self.status().await.decision;
        decision.map(|decision| decision.reason).unwrap_or_default()
    }

    pub(crate) async fn until_reason(&self, wanted: &str) {
        until(
            secs(60),
            &format!("the decision's reason is {wanted}"),
            || async {
                let status = self.status().await;
                match status.decision {
                    Some(decision) if decision.reason == wanted => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            },
        )
        .await;
    }

    /// Waits until the latest action scaled to `replicas` and has settled.
    pub(crate) async fn until_settled(&self, replicas: i32) {
        until(
            secs(90),
            &format!("the action to {replicas} has settled"),
            || async {
                let status = self.status().await;
                match &status.last_scale {
                    Some(last) if last.to == replicas && last.settled_after.is_some() => Ok(()),
                    _ => Err(format!("{status:?}")),
                }
            },
        )
        .await;
    }

    /// Waits until the status reports this number of members.
    pub(crate) async fn until_members(&self, members: i32) {
        until(secs(60), &format!("{members} members are seen"), || async {
            let status = self.status().await;
            match &status.group {
                Some(group) if group.members == Some(members) => Ok(()),
                _ => Err(format!("{status:?}")),
            }
        })
        .await;
    }

    /// Panics if the Deployment has another number of replicas at any time while this waits.
    pub(crate) async fn hold(&self, replicas: i32, lasting: u64) {
        throughout(
            secs(lasting),
            &format!("{replicas} replicas are held"),
            || async {
                let seen = self.space.replicas(APP).await;
                if seen == replicas {
                    Ok(())
                } else {
                    Err(format!("{seen}; {:?}", self.status().await))
                }
            },
        )
        .await;
    }

    /// The operator's scale actions on the Deployment.
    pub(crate) fn actions(&self) -> Vec<Action> {
        audit::actions(self.kubernetes, &self.space, APP)
    }

    /// The sizes that the operator set, in order.
    pub(crate) fn sizes(&self) -> Vec<i32> {
        self.actions().iter().map(|action| action.to).collect()
    }
}

/// Panics if two actions were closer together than pacing allows. `from`: the size before the
/// first.
pub(crate) fn assert_spaced(from: i32, actions: &[Action], up: i64, down: i64) {
    // A write reaches the audit log a little later than the time that the operator counts from.
    let slack = SignedDuration::from_millis(500);
    let mut before: Option<Action> = None;
    let mut size = from;
    for action in actions {
        let least = SignedDuration::from_secs(if action.to < size { down } else { up });
        if let Some(before) = before {
            let gap = action.at.duration_since(before.at);
            assert!(
                gap + slack >= least,
                "{gap:#} between {before:?} and {action:?}, least {least:#}"
            );
        }
        size = action.to;
        before = Some(*action);
    }
}

/// Every version of a ConsumerGroup's status, from a watch.
pub(crate) struct Chronicle {
    seen: Arc<Mutex<Vec<ConsumerGroupStatus>>>,
    follow: tokio::task::JoinHandle<()>,
}

impl Chronicle {
    pub(crate) fn of(space: &Space, name: &str) -> Self {
        let groups: Api<ConsumerGroup> = space.groups();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (name, write) = (name.to_owned(), Arc::clone(&seen));
        let follow = tokio::spawn(async move {
            let mut versions = watch_object(groups, &name).boxed();
            while let Some(version) = versions.next().await {
                if let Ok(Some(ConsumerGroup {
                    status: Some(status),
                    ..
                })) = version
                {
                    write.lock().unwrap().push(status);
                }
            }
        });
        Self { seen, follow }
    }

    pub(crate) fn statuses(&self) -> Vec<ConsumerGroupStatus> {
        self.seen.lock().unwrap().clone()
    }

    /// Every `Status/Reason` that a condition had, in order, without repetitions.
    pub(crate) fn condition(&self, condition: &str) -> Vec<String> {
        let mut said: Vec<String> = self
            .statuses()
            .iter()
            .flat_map(|status| &status.conditions)
            .filter(|found| found.type_ == condition)
            .map(|found| format!("{}/{}", found.status, found.reason))
            .collect();
        said.dedup();
        said
    }
}

impl Drop for Chronicle {
    fn drop(&mut self) {
        self.follow.abort();
    }
}

/// The time. The API server runs on this machine and has the same clock.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}
