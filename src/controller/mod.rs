//! Turns decisions into changes. The only room that writes to Kubernetes.
//!
//! [`start`] follows what there is and runs one pipeline for every ConsumerGroup and one for every KafkaCluster. What wakes
//! a group: a look at its cluster, its target, its own generation or annotations, whoever contests it, and a timer.

mod act;
mod answers;
mod cluster;
mod conditions;
mod contest;
mod context;
mod error;
mod event;
pub mod kube;
mod looks;
mod managed;
mod name;
mod news;
mod notify;
mod observe;
mod prepare;
mod reconcile;
mod report;
mod secrets;
mod sinks;
mod source;
mod target;
mod view;
mod wake;
mod watch;
mod words;
mod workload;

use std::{collections::BTreeMap, fmt::Debug, sync::Arc};

use ::kube::{
    Client, Resource,
    core::NamespaceResourceScope,
    runtime::{
        Config, Controller,
        controller::Error as ControllerError,
        reflector::{ObjectRef, Store},
    },
};
use futures::{Stream, StreamExt as _, future::ready, stream::pending};
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::Namespace,
};
use lagrange_core::api::{ConsumerGroup, KafkaCluster};
use serde::de::DeserializeOwned;
use tokio::sync::watch as signal;

use crate::clock::Clock;
use crate::kafka::model::interest::{Key, Kind};
use crate::metrics::Metrics;
use crate::process::readiness::{Gate, ReadinessBuilder};
use crate::process::shutdown::Tasks;
use crate::recording::Recorder;
use answers::object;
use context::Context;
use name::Name;
use sinks::Stock;
use wake::Wake;
use watch::follow::Source;
use watch::{Read, Sink, Watch};
use workload::Kind as WorkloadKind;

pub use context::Settings;
pub use looks::{Clusters, Watching};

/// What must be seen before the controller works, as `/readyz` names it.
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
    /// Registers them.
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
    /// The API server. It must not try again by itself: a scale that is written twice meets a conflict with itself.
    pub client: Client,
    /// Kafka.
    pub kafka: Arc<dyn Clusters>,
    /// The time.
    pub clock: Clock,
    /// The numbers.
    pub metrics: Metrics,
    /// What a user chose.
    pub settings: Settings,
    /// Records what is decided for one group.
    pub recorder: Option<Recorder>,
    /// What `/readyz` waits for.
    pub gates: Gates,
    /// Where tasks run.
    pub tasks: Tasks,
}

/// Starts watches and pipelines as tasks; they end with [`Tasks::stop`]. `wakeups` names the resources whose cluster was
/// looked at.
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
        tasks,
    } = setup;
    let context = Context::new(client, kafka, clock, metrics, settings, wake, recorder);
    let context = Arc::new(context);
    let shared = Arc::new(cluster::Shared {
        context: Arc::clone(&context),
        clusters: cluster::Clusters::default(),
    });
    let house = House { context, tasks };
    let group_stock = Arc::new(Stock::<ConsumerGroup>::new());
    let cluster_stock = Arc::new(Stock::<KafkaCluster>::new());
    let needed = house.watch_all(gates, &shared, &group_stock, &cluster_stock);

    house.forward(wakeups);
    house.run_groups(group_stock, needed.clone(), groups_woken);
    house.run_clusters(shared, cluster_stock, needed, clusters_woken);
}

struct House {
    context: Arc<Context>,
    tasks: Tasks,
}

impl House {
    /// Follows every kind. Nothing is managed before all of them have been seen: whoever contests a target, too.
    fn watch_all(
        &self,
        gates: Gates,
        shared: &Arc<cluster::Shared>,
        groups: &Arc<Stock<ConsumerGroup>>,
        clusters: &Arc<Stock<KafkaCluster>>,
    ) -> Needed {
        let context = || Arc::clone(&self.context);
        let scopes = self.context.settings.namespaces.len().max(1);
        let metrics = || self.context.metrics.clone();
        let watch = |kind, gate| Watch::new(kind, gate, scopes, metrics());
        let targets = "groups that scale one say TargetForbidden";
        let selects = signal::Sender::new(false);

        let watches = vec![
            self.follow::<ConsumerGroup, _>(
                watch("ConsumerGroups", gates.groups),
                object::consumer_group,
                &sinks::groups(context(), Arc::clone(groups)),
            ),
            self.follow::<KafkaCluster, _>(
                watch("KafkaClusters", gates.clusters),
                object::kafka_cluster,
                &sinks::clusters(Arc::clone(shared), Arc::clone(clusters), selects.clone()),
            ),
            self.follow::<Deployment, _>(
                watch("Deployments", gates.deployments).without(targets),
                workload::read,
                &sinks::workloads(context(), WorkloadKind::Deployment),
            ),
            self.follow::<StatefulSet, _>(
                watch("StatefulSets", gates.stateful_sets).without(targets),
                workload::read,
                &sinks::workloads(context(), WorkloadKind::StatefulSet),
            ),
            self.follow::<HorizontalPodAutoscaler, _>(
                watch("HorizontalPodAutoscalers", gates.autoscalers)
                    .without("one that scales the same target goes unnoticed"),
                object::autoscaler,
                &sinks::autoscalers(context()),
            ),
        ];
        gates.namespaces.open();
        let namespaces = Watch::new("Namespaces", gates.namespaces, 1, metrics())
            .without("allowedNamespaces.from: Selector lets nobody in");
        self.follow_namespaces(namespaces.clone(), &selects);
        Needed {
            watches,
            selects,
            namespaces,
        }
    }

    fn follow<K, T>(&self, watch: Watch, read: Read<T>, sink: &Sink<T>) -> Watch
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        T: 'static,
    {
        let namespaces = &self.context.settings.namespaces;
        let scopes = if namespaces.is_empty() {
            vec![None]
        } else {
            namespaces.iter().map(Some).collect()
        };
        for namespace in scopes {
            let source = Source {
                api: self.context.api.clone(),
                path: K::url_path(&(), namespace.map(String::as_str)),
                fields: None,
            };
            let following = watch.clone().follow(source, read, Arc::clone(sink));
            self.spawn_until_stopped(format!("watch of {}", watch.kind), following);
        }
        watch
    }

    /// Namespaces are watched from when a KafkaCluster selects them by their labels, and only by an installation that
    /// watches all of them.
    fn follow_namespaces(&self, watch: Watch, selects: &signal::Sender<bool>) {
        if !self.context.settings.namespaces.is_empty() {
            watch.skip();
            return;
        }
        let source = Source {
            api: self.context.api.clone(),
            path: Namespace::url_path(&(), None),
            fields: None,
        };
        let read: Read<BTreeMap<String, String>> = object::labels;
        let sink = sinks::namespaces(Arc::clone(&self.context));
        let mut selected = selects.subscribe();
        self.spawn_until_stopped("watch of Namespaces".to_owned(), async move {
            // Fails only when the sender, the watch of KafkaClusters, is gone: then the process ends.
            let _ = selected.wait_for(|selects| *selects).await;
            watch.follow(source, read, sink).await;
        });
    }

    /// Hands the looks on to those who wait for them.
    fn forward<S>(&self, wakeups: S)
    where
        S: Stream<Item = Key> + Send + 'static,
    {
        let wake = self.context.wake.clone();
        self.spawn_until_stopped("looks".to_owned(), async move {
            let mut wakeups = std::pin::pin!(wakeups);
            while let Some(key) = wakeups.next().await {
                match key.kind {
                    Kind::ConsumerGroup => wake.groups([Name::from(&key)]),
                    Kind::KafkaCluster => wake.cluster(Name::from(&key)),
                }
            }
        });
    }

    fn run_groups(
        &self,
        stock: Arc<Stock<ConsumerGroup>>,
        needed: Needed,
        woken: impl Stream<Item = Name> + Send + 'static,
    ) {
        let context = Arc::clone(&self.context);
        let references = woken.map(|name| name.consumer_group());
        let controller = self.controller(stock.store(), references);
        let stop = self.tasks.stop().clone();
        self.spawn("controller of ConsumerGroups", async move {
            if stop.run_until_cancelled(needed.all_seen()).await.is_none() {
                return;
            }
            stock.open();
            controller
                .run(
                    reconcile::reconcile,
                    reconcile::error_policy,
                    Arc::clone(&context),
                )
                .for_each(|outcome| {
                    // Deleted while it was still being read: nothing of it may stay.
                    if let Err(ControllerError::ObjectNotFound(gone)) = outcome {
                        let namespace = gone.namespace.as_deref().unwrap_or_default();
                        context.forget(&Name::new(namespace, &gone.name));
                    }
                    ready(())
                })
                .await;
        });
    }

    fn run_clusters(
        &self,
        shared: Arc<cluster::Shared>,
        stock: Arc<Stock<KafkaCluster>>,
        needed: Needed,
        woken: impl Stream<Item = Name> + Send + 'static,
    ) {
        let references = woken.map(|name| name.kafka_cluster());
        let controller = self.controller(stock.store(), references);
        let stop = self.tasks.stop().clone();
        self.spawn("controller of KafkaClusters", async move {
            if stop.run_until_cancelled(needed.all_seen()).await.is_none() {
                return;
            }
            stock.open();
            controller
                .run(
                    cluster::reconcile,
                    cluster::error_policy,
                    Arc::clone(&shared),
                )
                .for_each(|outcome| {
                    if let Err(ControllerError::ObjectNotFound(gone)) = outcome {
                        let namespace = gone.namespace.as_deref().unwrap_or_default();
                        shared.forget(&Name::new(namespace, &gone.name));
                    }
                    ready(())
                })
                .await;
        });
    }

    /// A scheduler over a store that our own watches fill: one piece of work per object at a time, a bounded number of
    /// objects at once.
    fn controller<K>(
        &self,
        store: Store<K>,
        woken: impl Stream<Item = ObjectRef<K>> + Send + 'static,
    ) -> Controller<K>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    {
        let stop = self.tasks.stop().clone();
        Controller::for_stream(pending(), store)
            .with_config(Config::default().concurrency(self.context.settings.concurrency))
            .reconcile_on(woken)
            .graceful_shutdown_on(async move { stop.cancelled().await })
    }

    /// Work that ends with the process and not before.
    fn spawn<F>(&self, name: &str, work: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let named = name.to_owned();
        self.tasks.spawn_vital(named, async move {
            work.await;
            Ok::<_, std::convert::Infallible>(())
        });
    }

    /// Work that is dropped where it stands when the process ends.
    fn spawn_until_stopped<F>(&self, name: String, work: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = self.tasks.stop().clone();
        self.tasks.spawn_vital(name, async move {
            stop.run_until_cancelled(work).await;
            Ok::<_, std::convert::Infallible>(())
        });
    }
}

/// What must have been seen before anything is managed.
#[derive(Clone)]
struct Needed {
    watches: Vec<Watch>,
    /// Whether a KafkaCluster selects namespaces by their labels. Then those must have been seen as well.
    selects: signal::Sender<bool>,
    namespaces: Watch,
}

impl Needed {
    async fn all_seen(&self) {
        for watch in &self.watches {
            watch.wait_until_synced().await;
        }
        if *self.selects.borrow() {
            self.namespaces.wait_until_synced().await;
        }
    }
}
