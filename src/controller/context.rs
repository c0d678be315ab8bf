//! The state that all reconciliations share: the client, the clock, the state from the watches, and
//! what this process remembers of each group. Decides nothing.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::kafka::credentials::Secrets;
use super::kafka::port::Clusters;
use super::kube::api::Api;
use super::kube::event::Events;
use super::kube::name::{Name, TargetKey};
use super::sessions::{Remembered, Sessions};
use super::target::kinds::Kinds;
use super::wake::Wake;
use super::watched::WatchedState;
use crate::clock::Clock;
use crate::kafka::connection::Identity;
use crate::kafka::model::interest::Key;
use crate::metrics::Metrics;
use crate::recording::Recorder;
use crate::sync::lock;

/// The settings that the user of the process chose.
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
    /// The poll interval of such a cluster.
    pub inline_interval: Duration,
    /// Namespaces whose connections may log in as the operator itself (SAFE-36).
    pub ambient_identity_namespaces: Vec<String>,
}

/// How long a cluster id is kept after the brokers last returned it.
const CLUSTER_ID_FOR: SignedDuration = SignedDuration::from_hours(1);

/// Shared by all reconciliations.
pub(super) struct Context {
    pub(super) api: Api,
    pub(super) kafka: Arc<dyn Clusters>,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
    pub(super) settings: Settings,
    pub(super) events: Events,
    pub(super) seen: WatchedState,
    pub(super) kinds: Kinds,
    pub(super) wake: Wake,
    pub(super) secrets: Secrets,
    /// Records the one group that is recorded.
    pub(super) recorder: Option<Recorder>,
    pub(super) sessions: Sessions,
    /// The cluster id that the brokers of each connection return, and when they last returned it.
    cluster_ids: Mutex<BTreeMap<Identity, (Arc<str>, Timestamp)>>,
    /// Targets whose scale cannot be read, and since when.
    pub(super) unreadable_scales: Mutex<BTreeMap<TargetKey, Instant>>,
}

impl Context {
    pub(super) fn new(
        api: Api,
        kafka: Arc<dyn Clusters>,
        clock: Clock,
        settings: Settings,
        wake: Wake,
        recorder: Option<Recorder>,
    ) -> Self {
        let instance = std::env::var("HOSTNAME").unwrap_or_else(|_| "lagrange".to_owned());
        Self {
            events: Events {
                api: api.clone(),
                clock,
                instance,
            },
            secrets: Secrets::new(
                api.server.clone(),
                wake.clone(),
                settings
                    .ambient_identity_namespaces
                    .iter()
                    .cloned()
                    .collect(),
            ),
            metrics: api.metrics.clone(),
            api,
            kafka,
            clock,
            settings,
            recorder,
            seen: WatchedState::default(),
            kinds: Kinds::default(),
            wake,
            sessions: Sessions::default(),
            cluster_ids: Mutex::default(),
            unreadable_scales: Mutex::default(),
        }
    }

    /// Makes every KafkaCluster count its users again.
    pub(super) fn wake_clusters(&self) {
        for name in lock(&self.seen.clusters).keys() {
            self.wake.cluster(name.clone());
        }
    }

    /// Removes everything that is kept of a deleted group, its polls, Secrets and metrics included.
    pub(super) fn forget(&self, name: &Name) {
        self.sessions.forget(name);
        self.secrets
            .release(&Key::consumer_group(&name.namespace, &name.name));
        self.metrics.forget_group(&name.namespace, &name.name);
    }

    /// Ends the work on a group. If it was deleted during that work, its metrics are removed too.
    pub(super) fn done(&self, name: &Name, managed: &Remembered, well: bool) {
        if !self.sessions.done(name, managed, well) {
            self.metrics.forget_group(&name.namespace, &name.name);
        }
    }

    /// Notes the cluster id that the brokers returned.
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
        // Connections come and go; the entry of one in use is renewed with each poll.
        ids.retain(|_, (_, at)| now.duration_since(*at) < CLUSTER_ID_FOR);
        ids.insert(identity.clone(), (Arc::clone(id), now));
    }

    /// Whether two connections lead to one cluster, as far as is known. Brokers may return any id,
    /// so this counts only between resources of one namespace, which chose those brokers.
    pub(super) fn is_same_cluster(&self, a: &Identity, b: &Identity) -> bool {
        let ids = lock(&self.cluster_ids);
        a == b || matches!((ids.get(a), ids.get(b)), (Some((a, _)), Some((b, _))) if a == b)
    }

    /// The time left until `then`, at least a second.
    pub(super) fn until(&self, then: Timestamp) -> Duration {
        let left = then.duration_since(self.clock.now());
        Duration::try_from(left)
            .unwrap_or_default()
            .max(Duration::from_secs(1))
    }
}
