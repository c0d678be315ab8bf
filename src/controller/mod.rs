//! Turns decisions into changes. The only module that writes to Kubernetes.
//!
//! [`start`] watches the resources and runs one pipeline per ConsumerGroup and one per
//! KafkaCluster. A group is reconciled when its cluster is polled, its target changes, its own
//! generation or annotations change, another resource contests it, or a timer ends.

pub mod kafka;
pub mod kube;
pub mod leader;

mod cluster;
mod context;
mod group;
mod ownership;
mod runner;
mod sessions;
mod status;
mod target;
mod wake;
mod watch;
mod watched;

use std::sync::Arc;

use ::kube::Client;
use futures::Stream;
use lagrange_core::api::{ConsumerGroup, KafkaCluster};

use crate::clock::Clock;
use crate::kafka::model::interest::Key;
use crate::metrics::Metrics;
use crate::process::readiness::{Gate, ReadinessBuilder};
use crate::process::shutdown::Tasks;
use crate::recording::Recorder;

use context::Context;
use kube::answers::ApiServer;
use kube::api::Api;
use leader::Leadership;
use runner::Runner;
use wake::Wake;
use watch::store::ObjectStore;

pub use context::Settings;
pub use kafka::port::{Clusters, Watching};

/// The watches that must be complete before the controller works, as `/readyz` names them.
#[derive(Debug)]
pub struct Gates {
    groups: Gate,
    clusters: Gate,
    deployments: Gate,
    stateful_sets: Gate,
    autoscalers: Gate,
    namespaces: Gate,
}

impl Gates {
    /// Registers the gates.
    pub fn new(gates: &mut ReadinessBuilder) -> Self {
        Self {
            groups: gates.gate("watch of ConsumerGroups"),
            clusters: gates.gate("watch of KafkaClusters"),
            deployments: gates.gate("watch of Deployments"),
            stateful_sets: gates.gate("watch of StatefulSets"),
            autoscalers: gates.gate("watch of HorizontalPodAutoscalers"),
            namespaces: gates.gate("watch of Namespaces"),
        }
    }
}

/// What the controller works with.
#[expect(missing_debug_implementations, reason = "a client has none")]
pub struct Setup {
    /// The client of the API server. It must not retry by itself: a scale that is written twice
    /// conflicts with itself.
    pub client: Client,
    /// The connections to Kafka.
    pub kafka: Arc<dyn Clusters>,
    /// The clock.
    pub clock: Clock,
    /// The metrics.
    pub metrics: Metrics,
    /// The settings that the user chose.
    pub settings: Settings,
    /// Records the decisions for one group.
    pub recorder: Option<Recorder>,
    /// The gates that `/readyz` waits for.
    pub gates: Gates,
    /// Whether this process works. Until then it only watches.
    pub leadership: Leadership,
    /// Runs the tasks.
    pub tasks: Tasks,
}

/// Starts watches and pipelines as tasks; they end with [`Tasks::stop`]. `wakeups` names the
/// resources whose cluster was polled.
pub fn start<S>(setup: Setup, wakeups: S)
where
    S: Stream<Item = Key> + Send + 'static,
{
    let wake = Wake::default();
    let (groups_woken, clusters_woken) = (wake.woken_groups(), wake.woken_clusters());
    let Setup {
        client,
        kafka,
        clock,
        metrics,
        settings,
        recorder,
        gates,
        leadership,
        tasks,
    } = setup;
    let api = Api {
        server: ApiServer::new(client),
        within: settings.api_timeout,
        metrics,
        leadership: leadership.clone(),
    };
    let context = Context::new(api, kafka, clock, settings, wake, recorder);
    let context = Arc::new(context);
    let shared = Arc::new(cluster::reconcile::Shared {
        context: Arc::clone(&context),
        clusters: cluster::reconcile::Clusters::default(),
    });
    let runner = Runner {
        context,
        tasks,
        leadership,
    };
    let group_store = Arc::new(ObjectStore::<ConsumerGroup>::new());
    let cluster_store = Arc::new(ObjectStore::<KafkaCluster>::new());
    let needed = runner.watch_all(gates, &shared, &group_store, &cluster_store);

    runner.forward(wakeups);
    runner.run_groups(group_store, needed.clone(), groups_woken);
    runner.run_clusters(shared, cluster_store, needed, clusters_woken);
}
