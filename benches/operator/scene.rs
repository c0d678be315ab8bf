//! The setup that is measured: a namespace with groups and their members, and an operator that
//! manages it.

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use kube::api::ListParams;
use lagrange_testing::kafka::Kafka;
use lagrange_testing::kubernetes::{Kubernetes, Space};
use lagrange_testing::operator::Operator;
use lagrange_testing::unique;
use lagrange_testing::until::{secs, until};
use serde_json::json;

use crate::members::Members;

const PARTITIONS: i32 = 6;
/// Topics and Deployments that are created concurrently.
const AT_A_TIME: usize = 8;

/// Groups at rest.
pub(crate) struct Scene {
    pub(crate) kafka: &'static Kafka,
    pub(crate) space: Space,
    pub(crate) operator: Operator,
    /// Topics, groups and Deployments have the same names.
    pub(crate) names: Vec<String>,
    /// Time from the start of the operator until every group's lag is known.
    pub(crate) until_read: Duration,
    _members: Members,
}

impl Scene {
    pub(crate) async fn new(groups: usize) -> Self {
        let kafka = Kafka::shared().await;
        let kubernetes = Kubernetes::shared().await;
        let space = kubernetes.namespace("measured").await;
        let stem = unique("group");
        let names: Vec<String> = (0..groups).map(|i| format!("{stem}-{i}")).collect();
        space
            .apply(json!({
                "apiVersion": "lagrange.dev/v1alpha1",
                "kind": "KafkaCluster",
                "metadata": { "name": "kafka" },
                "spec": { "bootstrapServers": [kafka.bootstrap], "pollInterval": "15s" },
            }))
            .await;
        futures::stream::iter(&names)
            .for_each_concurrent(AT_A_TIME, |name| set_up(kafka, &space, name))
            .await;
        let members = Members::join(&kafka.bootstrap, &names);
        members.until_assigned(secs(120)).await;
        let began = Instant::now();
        let operator = Operator::start_with(kubernetes, &space, &["--log-filter=info"]).await;
        until_read(&space, groups).await;
        Self {
            kafka,
            space,
            operator,
            names,
            until_read: began.elapsed(),
            _members: members,
        }
    }
}

async fn set_up(kafka: &Kafka, space: &Space, name: &str) {
    kafka.create_topic(name, PARTITIONS).await;
    kafka.produce(name, 60).await;
    kafka.commit_at_ends(name, name).await;
    space.deployment(name, 1).await;
    space
        .group(
            name,
            json!({
                "scaleTargetRef": { "name": name },
                "kafka": { "clusterRef": { "name": "kafka" } },
                "topics": [name],
                "objective": { "lagPerReplica": 10 },
            }),
        )
        .await;
}

async fn until_read(space: &Space, groups: usize) {
    until(secs(120), "every group's lag is known", || async {
        let list = space
            .groups()
            .list(&ListParams::default())
            .await
            .map_err(|e| e.to_string())?;
        let is_known = |status: &lagrange_core::api::ConsumerGroupStatus| {
            status
                .conditions
                .iter()
                .any(|c| c.type_ == "LagKnown" && c.status == "True")
        };
        let known = list
            .items
            .iter()
            .filter(|group| group.status.as_ref().is_some_and(is_known))
            .count();
        if known == groups {
            Ok(())
        } else {
            Err(format!("{known} of {groups}"))
        }
    })
    .await;
}
