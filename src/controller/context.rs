//! What all reconciliations share: the client, the clock, what the watches have seen, and what this process remembers of
//! each group. Decides nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use kube::Client;
use lagrange_core::api::{ConsumerGroup, KafkaCluster};
use lagrange_core::scaling::Memory;
use lagrange_core::scaling::memory::LastAction;
use tokio::time::{Instant, timeout};

use super::group::session::Managed;
use super::kafka::credentials::Secrets;
use super::kafka::port::Clusters;
use super::kube::answers::ApiServer;
use super::kube::error::Error;
use super::kube::name::{Name, TargetKey};
use super::ownership::Claims;
use super::target::scale::Kinds;
use super::target::workload::{self, Workload};
use super::wake::Wake;
use crate::clock::Clock;
use crate::kafka::connection::Identity;
use crate::kafka::model::interest::Key;
use crate::metrics::{Metrics, WriteOutcome};
use crate::recording::Recorder;
use crate::sync::lock;

/// What a user of the process chose.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Namespaces to watch; empty: all.
    pub namespaces: Vec<String>,
    /// Deadline of each call to the API server.
    pub api_timeout: Duration,
    /// Groups that are worked on at the same time.
    pub concurrency: u16,
    /// Whether a ConsumerGroup may name bootstrap servers itself.
    pub inline_connections: bool,
    /// How often such a cluster is looked at.
    pub inline_interval: Duration,
    /// Namespaces whose connections may log in as the operator itself (decision 36).
    pub ambient_identity_namespaces: Vec<String>,
}

/// What this process remembers of one group.
pub(super) type Remembered = Arc<tokio::sync::Mutex<Managed>>;

/// How long the last action on a target is kept for whoever manages it next.
const NOTED_FOR: SignedDuration = SignedDuration::from_hours(24);

/// How long what brokers said of their cluster is kept after they last said it.
const CLUSTER_ID_FOR: SignedDuration = SignedDuration::from_hours(1);

/// Shared by all reconciliations.
pub(super) struct Context {
    pub(super) api: ApiServer,
    pub(super) kafka: Arc<dyn Clusters>,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
    pub(super) settings: Settings,
    /// This process, in events.
    pub(super) instance: String,
    pub(super) seen: Seen,
    pub(super) kinds: Kinds,
    pub(super) wake: Wake,
    pub(super) secrets: Secrets,
    /// Of the one group that is recorded.
    pub(super) recorder: Option<Recorder>,
    managed: Mutex<BTreeMap<Name, Remembered>>,
    failures: Mutex<BTreeMap<Name, u32>>,
    /// The last action on each target, whoever managed it then (decision 28).
    actions: Mutex<BTreeMap<TargetKey, Memory>>,
    /// Which cluster each connection leads to by the word of its brokers, and when they last gave it.
    cluster_ids: Mutex<BTreeMap<Identity, (Arc<str>, Timestamp)>>,
    /// Targets whose scale cannot be read, and since when.
    pub(super) unreadable_scales: Mutex<BTreeMap<TargetKey, Instant>>,
}

/// What the watches have seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) claims: Mutex<Claims>,
    pub(super) clusters: Mutex<BTreeMap<Name, Arc<KafkaCluster>>>,
    /// Labels of namespaces, once somebody selects by them.
    pub(super) namespaces: Mutex<BTreeMap<String, BTreeMap<String, String>>>,
    pub(super) workloads: Mutex<BTreeMap<TargetKey, workload::Seen>>,
    /// The version that a workload has had at least, by an answer to ourselves: its watch may be behind that.
    pub(super) at_least: Mutex<BTreeMap<TargetKey, u64>>,
    /// Workloads that are there and cannot be read, and why.
    pub(super) unreadable_workloads: Mutex<BTreeMap<TargetKey, String>>,
    /// ConsumerGroups whose specification cannot be read, and why.
    pub(super) unreadable_groups: Mutex<BTreeMap<Name, String>>,
    /// The same of KafkaClusters.
    pub(super) unreadable_clusters: Mutex<BTreeMap<Name, String>>,
    /// Kinds that we may not watch.
    pub(super) forbidden: Mutex<BTreeSet<&'static str>>,
}

impl Seen {
    /// Takes in a workload; says whether it has changed.
    pub(super) fn workload(
        &self,
        key: &TargetKey,
        kind: workload::Kind,
        object: &workload::Object,
    ) -> bool {
        let mut all = lock(&self.workloads);
        let before = all.get(key).map(|seen| seen.workload);
        let workload = Workload::of(kind, object, before.as_ref());
        let version = workload::version(object.metadata.resource_version.as_deref());
        all.insert(key.clone(), workload::Seen { workload, version });
        let was_unreadable = lock(&self.unreadable_workloads).remove(key).is_some();
        before != Some(workload) || was_unreadable
    }
}

impl Context {
    pub(super) fn new(
        client: Client,
        kafka: Arc<dyn Clusters>,
        clock: Clock,
        metrics: Metrics,
        settings: Settings,
        wake: Wake,
        recorder: Option<Recorder>,
    ) -> Self {
        let api = ApiServer::new(client);
        Self {
            secrets: Secrets::new(
                api.clone(),
                wake.clone(),
                settings
                    .ambient_identity_namespaces
                    .iter()
                    .cloned()
                    .collect(),
            ),
            api,
            kafka,
            clock,
            metrics,
            settings,
            recorder,
            instance: std::env::var("HOSTNAME").unwrap_or_else(|_| "lagrange".to_owned()),
            seen: Seen::default(),
            kinds: Kinds::default(),
            wake,
            managed: Mutex::default(),
            failures: Mutex::default(),
            actions: Mutex::default(),
            cluster_ids: Mutex::default(),
            unreadable_scales: Mutex::default(),
        }
    }

    /// Has every KafkaCluster count its users again.
    pub(super) fn wake_clusters(&self) {
        for name in lock(&self.seen.clusters).keys() {
            self.wake.cluster(name.clone());
        }
    }

    /// What this process remembers of a group. Another uid is another group.
    pub(super) fn managed(&self, name: &Name, group: &Arc<ConsumerGroup>) -> Remembered {
        let mut all = lock(&self.managed);
        if let Some(managed) = all.get(name)
            && managed.try_lock().map_or(true, |managed| managed.is(group))
        {
            return Arc::clone(managed);
        }
        let managed = Arc::new(tokio::sync::Mutex::new(Managed::first_sight(group)));
        all.insert(name.clone(), Arc::clone(&managed));
        managed
    }

    /// A group is gone: nothing of it stays, its looks and its series included.
    pub(super) fn forget(&self, name: &Name) {
        lock(&self.managed).remove(name);
        lock(&self.failures).remove(name);
        self.secrets
            .release(&Key::consumer_group(&name.namespace, &name.name));
        self.metrics.forget_group(&name.namespace, &name.name);
    }

    /// Failures in a row of one group, this one included.
    pub(super) fn count_failure(&self, name: &Name) -> u32 {
        let mut failures = lock(&self.failures);
        let count = failures.entry(name.clone()).or_default();
        *count = count.saturating_add(1);
        *count
    }

    /// A group has been worked on. If it was deleted meanwhile, what that left behind goes too.
    pub(super) fn done(&self, name: &Name, managed: &Remembered, well: bool) {
        let is_there = lock(&self.managed)
            .get(name)
            .is_some_and(|there| Arc::ptr_eq(there, managed));
        if !is_there {
            self.metrics.forget_group(&name.namespace, &name.name);
        }
        if well || !is_there {
            lock(&self.failures).remove(name);
        }
    }

    /// Notes the last action on a target.
    pub(super) fn note_action(&self, target: &TargetKey, memory: &Memory) {
        if memory.last.is_none() && memory.pending.is_none() {
            return;
        }
        let memory = memory.inherit();
        let mut actions = lock(&self.actions);
        if let Some(noted) = actions.get_mut(target) {
            *noted = memory;
            return;
        }
        // Targets come and go; what is a day old holds nobody back.
        let now = self.clock.now();
        let recent = |last: LastAction| now.duration_since(last.time) < NOTED_FOR;
        actions.retain(|_, noted| noted.last.is_some_and(recent));
        actions.insert(target.clone(), memory);
    }

    /// The last action on a target in this process's time.
    pub(super) fn last_action(&self, target: &TargetKey) -> Option<Memory> {
        lock(&self.actions).get(target).cloned()
    }

    /// Kafka has said which cluster this is.
    pub(super) fn note_cluster_id(&self, identity: &Identity, id: Option<&Arc<str>>) {
        let Some(id) = id else {
            return;
        };
        let now = self.clock.now();
        let mut ids = lock(&self.cluster_ids);
        if let Some(known) = ids.get_mut(identity) {
            if known.0 != *id {
                known.0 = Arc::clone(id);
            }
            known.1 = now;
            return;
        }
        // Connections come and go; one that is in use is noted anew with each look.
        ids.retain(|_, (_, at)| now.duration_since(*at) < CLUSTER_ID_FOR);
        ids.insert(identity.clone(), (Arc::clone(id), now));
    }

    /// Whether two connections lead to one cluster, as far as is known. Their brokers may lie: this counts only between
    /// resources of one namespace, which chose those.
    pub(super) fn is_same_cluster(&self, a: &Identity, b: &Identity) -> bool {
        let ids = lock(&self.cluster_ids);
        a == b || matches!((ids.get(a), ids.get(b)), (Some((a, _)), Some((b, _))) if a == b)
    }

    /// How long it is until then, at least a second.
    pub(super) fn until(&self, then: Timestamp) -> Duration {
        let left = then.duration_since(self.clock.now());
        Duration::try_from(left)
            .unwrap_or_default()
            .max(Duration::from_secs(1))
    }

    /// A call that only reads, under the deadline.
    pub(super) async fn read<T>(
        &self,
        call: &'static str,
        answer: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, Error> {
        let within = self.settings.api_timeout;
        match timeout(within, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Error::of(call, &error)),
            Err(_) => Err(Error::TimedOut { call, within }),
        }
    }

    /// A call that writes, under the deadline, and counted by its outcome.
    pub(super) async fn write<T>(
        &self,
        kind: &'static str,
        call: &'static str,
        answer: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, Error> {
        let answer = self.read(call, answer).await;
        let outcome = match &answer {
            Ok(_) => WriteOutcome::Succeeded,
            Err(Error::TimedOut { .. }) => WriteOutcome::TimedOut,
            Err(error) if error.is(409) => WriteOutcome::Conflict,
            Err(_) => WriteOutcome::Failed,
        };
        self.metrics.api_write(kind, outcome);
        answer
    }
}
