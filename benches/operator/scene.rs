//! The setup that is measured: a namespace with groups and their members, and two operators, a
//! leader and a stand-by, that manage it.

use std::time::Duration;

use futures::StreamExt as _;
use kube::api::ListParams;
use lagrange_core::api::condition::{Reason, Type, find};
use lagrange_testing::confined::{Account, Confined, Limits, NAMESPACE};
use lagrange_testing::kafka::Kafka;
use lagrange_testing::kubernetes::{Kubernetes, Space};
use lagrange_testing::unique;
use lagrange_testing::until::until;
use serde_json::json;

use crate::members::Members;

/// Partitions of each group.
pub(crate) const PARTITIONS: i32 = 12;
/// Topics and Deployments that are created concurrently.
const AT_A_TIME: usize = 8;
/// Timeout of a step of a thousand groups, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// Groups at rest.
pub(crate) struct Scene<'a> {
    kubernetes: &'a Kubernetes,
    account: &'a Account,
    pub(crate) kafka: &'static Kafka,
    pub(crate) space: Space,
    /// Topics, groups and Deployments have the same names.
    pub(crate) names: Vec<String>,
    _members: Members,
}

impl<'a> Scene<'a> {
    pub(crate) async fn new(
        kubernetes: &'a Kubernetes,
        account: &'a Account,
        groups: usize,
    ) -> Self {
        let kafka = Kafka::shared().await;
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
        members.until_assigned(PATIENCE).await;
        Self {
            kubernetes,
            account,
            kafka,
            space,
            names,
            _members: members,
        }
    }

    /// Starts an operator that takes part in the election, and waits until it is ready.
    pub(crate) async fn operator(&self, limits: Limits) -> Confined {
        let flags = [
            format!("--watch-namespace={}", self.space.name),
            "--leader-elect".to_owned(),
            format!("--leader-elect-resource-namespace={NAMESPACE}"),
        ];
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let name = &self.space.name;
        Confined::start(self.kubernetes, self.account, limits, name, &flags).await
    }

    /// Waits until every group has been read by this operator, or refused; or until the operator
    /// has been killed for want of memory.
    pub(crate) async fn until_read(&self, operator: &Confined) {
        until(PATIENCE, "every group is read or refused", || async {
            let (read, refused) = (read(operator), self.refused().await);
            if read + refused == self.names.len() || operator.group.kills() > 0 {
                Ok(())
            } else {
                Err(format!("{read} read, {refused} refused"))
            }
        })
        .await;
    }

    /// The number of groups that are not read because the memory does not suffice.
    pub(crate) async fn refused(&self) -> usize {
        let list = self.space.groups().list(&ListParams::default()).await;
        let list = list.unwrap().items.into_iter();
        list.filter_map(|group| group.status)
            .filter(|status| {
                let ready = find(&status.conditions, Type::Ready);
                ready.is_some_and(|ready| ready.reason == Reason::TooManyPartitions.as_str())
            })
            .count()
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

/// The number of groups whose lag the operator knows.
pub(crate) fn read(confined: &Confined) -> usize {
    let page = confined.operator.get("/metrics");
    let lags = page.lines();
    lags.filter(|line| line.starts_with("lagrange_consumergroup_lag{"))
        .count()
}

/// Waits until the operator leads.
pub(crate) async fn until_leads(confined: &Confined) {
    until(PATIENCE, "the operator leads", || async {
        match confined.operator.metric("lagrange_leader") {
            Some(1.0) => Ok(()),
            other => Err(format!("lagrange_leader is {other:?}")),
        }
    })
    .await;
}
