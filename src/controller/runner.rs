//! Runs the pipelines: follows every kind of object, and gives woken objects to the two schedulers.
//! Uses neither Kafka nor decisions.

use std::{collections::BTreeMap, fmt::Debug, pin::pin, sync::Arc};

use futures::{
    Stream, StreamExt as _,
    future::{ready, select},
    stream::pending,
};
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::Namespace,
};
use kube::{
    Resource,
    core::NamespaceResourceScope,
    runtime::{
        Config, Controller,
        controller::Error as ControllerError,
        reflector::{ObjectRef, Store},
    },
};
use lagrange_core::api::{ConsumerGroup, KafkaCluster};
use serde::de::DeserializeOwned;
use tokio::sync::watch as signal;
use tokio_util::sync::CancellationToken;

use super::Gates;
use super::context::{Context, Settings};
use super::kube::answers::object;
use super::kube::name::Name;
use super::leader::Leadership;
use super::target::workload::{self, Kind as WorkloadKind};
use super::watch::follow::Source;
use super::watch::handlers;
use super::watch::store::ObjectStore;
use super::watch::{ChangeHandler, Read, Watch};
use super::{cluster, group};
use crate::kafka::model::interest::{Key, Kind};
use crate::process::shutdown::Tasks;

/// Starts the watches, and the pipelines once all of them have listed their objects.
pub(super) struct Runner {
    pub(super) context: Arc<Context>,
    pub(super) tasks: Tasks,
    pub(super) leadership: Leadership,
}

impl Runner {
    /// Follows every kind. Nothing is managed before all of them have been listed, because any
    /// object may contest a target.
    pub(super) fn watch_all(
        &self,
        gates: Gates,
        shared: &Arc<cluster::reconcile::Shared>,
        groups: &Arc<ObjectStore<ConsumerGroup>>,
        clusters: &Arc<ObjectStore<KafkaCluster>>,
    ) -> Needed {
        let context = || Arc::clone(&self.context);
        let scopes = self.context.settings.namespaces.len().max(1);
        let metrics = || self.context.metrics.clone();
        let watch = |kind, gate| Watch::new(kind, gate, scopes, metrics());
        let targets = "groups that scale one report TargetForbidden";
        let selects = signal::Sender::new(false);

        let watches = vec![
            self.follow::<ConsumerGroup, _>(
                watch("ConsumerGroups", gates.groups),
                object::consumer_group,
                &handlers::groups(context(), Arc::clone(groups)),
            ),
            self.follow::<KafkaCluster, _>(
                watch("KafkaClusters", gates.clusters),
                object::kafka_cluster,
                &handlers::clusters(Arc::clone(shared), Arc::clone(clusters), selects.clone()),
            ),
            self.follow::<Deployment, _>(
                watch("Deployments", gates.deployments).without(targets),
                workload::read,
                &handlers::workloads(context(), WorkloadKind::Deployment),
            ),
            self.follow::<StatefulSet, _>(
                watch("StatefulSets", gates.stateful_sets).without(targets),
                workload::read,
                &handlers::workloads(context(), WorkloadKind::StatefulSet),
            ),
            self.follow::<HorizontalPodAutoscaler, _>(
                watch("HorizontalPodAutoscalers", gates.autoscalers)
                    .without("one that scales the same target is not detected"),
                object::autoscaler,
                &handlers::autoscalers(context()),
            ),
        ];
        gates.namespaces.open();
        let namespaces = Watch::new("Namespaces", gates.namespaces, 1, metrics())
            .without("allowedNamespaces.from: Selector allows no other namespace");
        self.follow_namespaces(namespaces.clone(), &selects);
        Needed {
            watches,
            selects,
            namespaces,
            leadership: self.leadership.clone(),
        }
    }

    fn follow<K, T>(&self, watch: Watch, read: Read<T>, handler: &ChangeHandler<T>) -> Watch
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
                api: self.context.api.server.clone(),
                path: K::url_path(&(), namespace.map(String::as_str)),
                fields: None,
            };
            let following = watch.clone().follow(source, read, Arc::clone(handler));
            self.spawn_until_stopped(format!("watch of {}", watch.kind), following);
        }
        watch
    }

    /// Namespaces are watched as soon as a KafkaCluster selects them by their labels, and only by
    /// an installation that watches all of them.
    fn follow_namespaces(&self, watch: Watch, selects: &signal::Sender<bool>) {
        if !self.context.settings.namespaces.is_empty() {
            watch.skip();
            return;
        }
        let source = Source {
            api: self.context.api.server.clone(),
            path: Namespace::url_path(&(), None),
            fields: None,
        };
        let read: Read<BTreeMap<String, String>> = object::labels;
        let handler = handlers::namespaces(Arc::clone(&self.context));
        let mut selected = selects.subscribe();
        self.spawn_until_stopped("watch of Namespaces".to_owned(), async move {
            // Fails only when the sender, the watch of KafkaClusters, is gone: then the process
            // ends.
            let _ = selected.wait_for(|selects| *selects).await;
            watch.follow(source, read, handler).await;
        });
    }

    /// Passes each poll on to the resources that wait for it.
    pub(super) fn forward<S>(&self, wakeups: S)
    where
        S: Stream<Item = Key> + Send + 'static,
    {
        let wake = self.context.wake.clone();
        self.spawn_until_stopped("polls".to_owned(), async move {
            let mut wakeups = std::pin::pin!(wakeups);
            while let Some(key) = wakeups.next().await {
                match key.kind {
                    Kind::ConsumerGroup => wake.groups([Name::from(&key)]),
                    Kind::KafkaCluster => wake.cluster(Name::from(&key)),
                }
            }
        });
    }

    pub(super) fn run_groups(
        &self,
        store: Arc<ObjectStore<ConsumerGroup>>,
        needed: Needed,
        woken: impl Stream<Item = Name> + Send + 'static,
    ) {
        let context = Arc::clone(&self.context);
        let stop = self.tasks.stop().clone();
        self.spawn("controller of ConsumerGroups", async move {
            let mut woken = Box::pin(woken);
            let met = needed.met(&mut woken);
            if stop.run_until_cancelled(met).await.is_none() {
                return;
            }
            store.open();
            context.wake.groups(store.names());
            let references = woken.map(|name| name.consumer_group());
            controller(store.store(), references, &context.settings, stop)
                .run(
                    group::reconcile::reconcile,
                    group::reconcile::error_policy,
                    Arc::clone(&context),
                )
                .for_each(|outcome| {
                    // Deleted while it was still being read: everything that is kept of it is
                    // removed.
                    if let Err(ControllerError::ObjectNotFound(gone)) = outcome {
                        let namespace = gone.namespace.as_deref().unwrap_or_default();
                        context.forget(&Name::new(namespace, &gone.name));
                    }
                    ready(())
                })
                .await;
        });
    }

    pub(super) fn run_clusters(
        &self,
        shared: Arc<cluster::reconcile::Shared>,
        store: Arc<ObjectStore<KafkaCluster>>,
        needed: Needed,
        woken: impl Stream<Item = Name> + Send + 'static,
    ) {
        let context = Arc::clone(&self.context);
        let stop = self.tasks.stop().clone();
        self.spawn("controller of KafkaClusters", async move {
            let mut woken = Box::pin(woken);
            let met = needed.met(&mut woken);
            if stop.run_until_cancelled(met).await.is_none() {
                return;
            }
            store.open();
            for name in store.names() {
                context.wake.cluster(name);
            }
            let references = woken.map(|name| name.kafka_cluster());
            controller(store.store(), references, &context.settings, stop)
                .run(
                    cluster::reconcile::reconcile,
                    cluster::reconcile::error_policy,
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

    /// Runs a task that finishes its work when the process ends.
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

    /// Runs a task that is dropped when the process ends.
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

/// A scheduler over a store that the operator's own watches fill. Works on each object once at a
/// time, and on a limited number of objects at once.
fn controller<K>(
    store: Store<K>,
    woken: impl Stream<Item = ObjectRef<K>> + Send + 'static,
    settings: &Settings,
    stop: CancellationToken,
) -> Controller<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    Controller::for_stream(pending(), store)
        .with_config(Config::default().concurrency(settings.concurrency))
        .reconcile_on(woken)
        .graceful_shutdown_on(async move { stop.cancelled().await })
}

/// What has to be there before anything is managed.
#[derive(Clone)]
pub(super) struct Needed {
    watches: Vec<Watch>,
    /// Whether a KafkaCluster selects namespaces by their labels. Then namespaces must be complete
    /// as well.
    selects: signal::Sender<bool>,
    namespaces: Watch,
    leadership: Leadership,
}

impl Needed {
    /// Waits until everything has been listed and this process leads. A stand-by waits for weeks:
    /// until then what is woken is dropped, because the queue would grow with every name that ever
    /// was.
    async fn met(&self, woken: &mut (impl Stream<Item = Name> + Unpin)) {
        let met = async {
            self.all_seen().await;
            self.leadership.elected().await;
        };
        let dropped = woken.for_each(|_| ready(()));
        select(pin!(met), dropped).await;
    }

    async fn all_seen(&self) {
        for watch in &self.watches {
            watch.wait_until_synced().await;
        }
        if *self.selects.borrow() {
            self.namespaces.wait_until_synced().await;
        }
    }
}
