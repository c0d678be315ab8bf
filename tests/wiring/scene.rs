//! An API server, Kafka, and any number of operators, in virtual time.

use std::{sync::Arc, time::Duration};

use crate::{
    api_server::{ApiServer, Seen},
    kafka::{GroupView, Kafka},
};
use http::Method;
use lagrange::clock::Clock;
use lagrange::controller::leader::{Candidate, Election, Leadership, Timing};
use lagrange::controller::{self, Gates, Settings, Setup};
use lagrange::metrics::Metrics;
use lagrange::process::readiness::{Readiness, ReadinessBuilder};
use lagrange::process::shutdown::{self, Supervisor};
use serde_json::{Value, json};
use tokio::{runtime::Handle, time::sleep};

/// Time between two polls.
pub const INTERVAL: Duration = Duration::from_secs(15);

pub struct Scene {
    pub api: ApiServer,
    pub kafka: Kafka,
}

/// One running operator.
pub struct Operator {
    pub client: u32,
    pub metrics: Metrics,
    pub readiness: Readiness,
    pub supervisor: Supervisor,
    pub candidate: Option<Candidate>,
}

impl Scene {
    /// A Deployment `orders` of this many replicas, and a ConsumerGroup of the same name for it.
    pub fn of(replicas: i32) -> Self {
        let scene = Self::empty();
        scene
            .api
            .create("deployments", deployment("orders", replicas));
        scene.api.create("consumergroups", group("orders"));
        scene
    }

    pub fn empty() -> Self {
        Self {
            api: ApiServer::default(),
            kafka: Kafka::new(),
        }
    }

    /// Starts an operator.
    pub async fn operator(&self) -> Operator {
        self.operator_with(self.kafka.clock(), |_| {}).await
    }

    pub async fn operator_with(
        &self,
        clock: Clock,
        change: impl FnOnce(&mut Settings),
    ) -> Operator {
        self.start(clock, change, false).await
    }

    /// Starts an operator that waits for the Lease `lagrange`.
    pub async fn replica(&self) -> Operator {
        self.replica_at(self.kafka.clock()).await
    }

    /// The same, with a clock of its own.
    pub async fn replica_at(&self, clock: Clock) -> Operator {
        self.start(clock, |_| {}, true).await
    }

    async fn start(
        &self,
        clock: Clock,
        change: impl FnOnce(&mut Settings),
        elects: bool,
    ) -> Operator {
        let (client, api) = self.api.client();
        let metrics = Metrics::new();
        let (tasks, supervisor) = shutdown::supervised(Handle::current());
        let mut gates = ReadinessBuilder::default();
        let candidate = elects.then(|| {
            Candidate::new(Election {
                client: api.clone(),
                namespace: "default".to_owned(),
                name: "lagrange".to_owned(),
                identity: format!("replica-{client}"),
                timing: Timing::default(),
                clock,
                gate: gates.gate("leader election"),
                metrics: metrics.clone(),
            })
        });
        if let Some(candidate) = candidate.clone() {
            let stop = tasks.stop().clone();
            tasks.spawn_vital("leader election", candidate.run(stop));
        }
        let mut settings = Settings {
            namespaces: Vec::new(),
            api_timeout: Duration::from_secs(10),
            concurrency: 16,
            inline_connections: true,
            inline_interval: INTERVAL,
            ambient_identity_namespaces: Vec::new(),
        };
        change(&mut settings);
        let setup = Setup {
            recorder: None,
            client: api,
            kafka: Arc::new(self.kafka.seen_by(clock)),
            clock,
            metrics: metrics.clone(),
            settings,
            gates: Gates::new(&mut gates),
            leadership: candidate
                .as_ref()
                .map_or_else(Leadership::unlimited, Candidate::leadership),
            tasks,
        };
        controller::start(setup, self.kafka.wakeups());
        settle().await;
        Operator {
            client,
            metrics,
            readiness: gates.build(),
            supervisor,
            candidate,
        }
    }

    /// A Deployment of one replica.
    pub fn create_deployment(&self, namespace: &str, name: &str) {
        let mut workload = deployment(name, 1);
        workload["metadata"]["namespace"] = json!(namespace);
        self.api.create("deployments", workload);
    }

    /// All values of `Ready` of a ConsumerGroup in order, without repetitions.
    pub fn ready_history(&self, path: &str) -> Vec<String> {
        let ready = |seen: &Seen| {
            let conditions = seen.body["status"]["conditions"].as_array()?;
            let ready = conditions.iter().find(|one| one["type"] == "Ready")?;
            Some(ready["reason"].as_str()?.to_owned())
        };
        let writes = self
            .api
            .requests(&Method::PATCH, &format!("/{path}/status"));
        let mut said: Vec<String> = writes.iter().filter_map(ready).collect();
        said.dedup();
        said
    }

    /// Waits for an interval, then polls.
    pub async fn poll(&self, view: GroupView) {
        self.poll_groups(&[("orders", view)]).await;
    }

    pub async fn poll_groups(&self, groups: &[(&str, GroupView)]) {
        sleep(INTERVAL - SETTLE).await;
        self.kafka.poll(groups);
        settle().await;
    }

    /// Polls of a group of 6 partitions that has long settled at its current size and has `lag` on
    /// each of them.
    pub async fn polls(&self, count: u32, lag: i64) {
        for _ in 0..count {
            let replicas = self.replicas("orders");
            self.poll(GroupView::behind(6, replicas, lag)).await;
        }
    }

    pub fn replicas(&self, name: &str) -> i32 {
        let replicas = self.api.get("deployments", name)["spec"]["replicas"].as_i64();
        i32::try_from(replicas.unwrap()).unwrap()
    }

    pub fn status(&self, name: &str) -> Value {
        self.api.get("consumergroups", name)["status"].clone()
    }

    /// Status and reason of a condition.
    pub fn condition(&self, name: &str, condition: &str) -> String {
        let status = self.status(name);
        let found = status["conditions"]
            .as_array()
            .and_then(|conditions| conditions.iter().find(|one| one["type"] == condition));
        match found {
            Some(found) => format!(
                "{}/{}",
                found["status"].as_str().unwrap(),
                found["reason"].as_str().unwrap()
            ),
            None => "absent".to_owned(),
        }
    }

    pub fn message(&self, name: &str, condition: &str) -> String {
        let status = self.status(name);
        let conditions = status["conditions"].as_array().unwrap();
        let found = conditions.iter().find(|one| one["type"] == condition);
        found.unwrap()["message"].as_str().unwrap().to_owned()
    }

    /// The scale writes that were accepted.
    pub fn scales(&self) -> Vec<Seen> {
        let mut scales = self.api.requests(&Method::PATCH, "/scale");
        scales.retain(|seen| seen.status == 200);
        scales
    }

    pub fn status_writes(&self) -> usize {
        self.api.requests(&Method::PATCH, "/status").len()
    }
}

impl Operator {
    /// Reconciliations so far.
    pub fn reconciles(&self) -> u64 {
        self.number("lagrange_reconcile_seconds_count")
    }

    /// The value of one series; 0 if it is absent.
    pub fn number(&self, series: &str) -> u64 {
        let text = self.metrics.encode();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().unwrap())
    }
}

/// Enough for all immediate consequences of an event, and less than any timer.
const SETTLE: Duration = Duration::from_millis(200);

pub async fn settle() {
    sleep(SETTLE).await;
}

pub fn deployment(name: &str, replicas: i32) -> Value {
    let mut deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": name, "generation": 1 },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": name } },
            "template": { "metadata": { "labels": { "app": name } }, "spec": { "containers": [] } },
        },
    });
    crate::api_server::follow(&mut deployment);
    deployment["status"]["observedGeneration"] = json!(1);
    deployment
}

pub fn group(name: &str) -> Value {
    json!({
        "apiVersion": "lagrange.dev/v1alpha1", "kind": "ConsumerGroup",
        "metadata": { "name": name },
        "spec": {
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": name },
            "kafka": { "bootstrapServers": ["kafka-0.secret.example:9092"] },
            "topics": [name],
            "minReplicas": 1,
            "objective": { "lagPerReplica": 100 },
            "pacing": { "minInterval": "30s", "minScaleDownInterval": "2m", "settleTimeout": "5m", "scaleToZeroDelay": "5m" },
            "mode": "Auto", "threadsPerReplica": 1, "autoOffsetReset": "Latest", "isolationLevel": "ReadUncommitted",
        },
    })
}

/// The same, with a reference to its cluster.
pub fn group_of_cluster(name: &str, namespace: &str, cluster: Value) -> Value {
    let mut group = group(name);
    group["metadata"]["namespace"] = json!(namespace);
    group["spec"]["kafka"] = json!({ "clusterRef": cluster });
    group
}

pub fn cluster(name: &str, allowed: Value) -> Value {
    json!({
        "apiVersion": "lagrange.dev/v1alpha1", "kind": "KafkaCluster",
        "metadata": { "name": name, "namespace": "kafka" },
        "spec": { "bootstrapServers": ["kafka-0.secret.example:9092"], "pollInterval": "15s", "allowedNamespaces": allowed },
    })
}
