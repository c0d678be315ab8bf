//! What each watch leaves behind, and whom a change wakes. A group's own status writes wake nobody: only a changed
//! generation or annotation does, while the store follows every version (decision 1).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::Namespace,
};
use kube::{
    Resource, ResourceExt as _,
    core::DeserializeGuard,
    runtime::{
        reflector::{self, ObjectRef, Store, store::Writer},
        watcher::Event,
    },
};
use tokio::sync::watch;
use tracing::warn;

use crate::api::{ConsumerGroup, KafkaCluster, NamespacesFrom, ScaleTargetRef};

use super::{
    cluster,
    context::{Context, lock},
    name::{Name, TargetKey},
    watch::{Change, Sink},
    workload::{Read, Workload},
};

/// A store that several watches write, each its own namespace.
pub(super) struct Stock<K: Resource<DynamicType = ()> + Clone + 'static> {
    writer: Mutex<Writer<K>>,
    store: Store<K>,
    /// What of each object has been told of: a change of anything else wakes nobody.
    told: Mutex<BTreeMap<Name, Told>>,
}

/// Uid, generation, annotations.
type Told = (Option<String>, Option<i64>, BTreeMap<String, String>);

impl<K: Resource<DynamicType = ()> + Clone + 'static> Stock<K> {
    pub(super) fn new() -> Self {
        let (store, writer) = reflector::store();
        Self {
            writer: Mutex::new(writer),
            store,
            told: Mutex::default(),
        }
    }

    pub(super) fn store(&self) -> Store<K> {
        self.store.clone()
    }

    /// Puts it there; says whether what a user writes has changed.
    fn put(&self, object: K) -> bool {
        let name = Name::of(&object);
        let says = (
            object.uid(),
            object.meta().generation,
            object.annotations().clone(),
        );
        lock(&self.writer).apply_watcher_event(&Event::Apply(object));
        let before = lock(&self.told).insert(name, says.clone());
        before.as_ref() != Some(&says)
    }

    fn take(&self, name: &Name) {
        lock(&self.told).remove(name);
        let reference = ObjectRef::new(&name.name).within(&name.namespace);
        if let Some(object) = self.store.get(&reference) {
            lock(&self.writer).apply_watcher_event(&Event::Delete((*object).clone()));
        }
    }

    /// All watches have told what there is: whoever waits for the store may begin.
    pub(super) fn open(&self) {
        let mut writer = lock(&self.writer);
        writer.apply_watcher_event(&Event::Init);
        for object in self.store.state() {
            writer.apply_watcher_event(&Event::InitApply((*object).clone()));
        }
        writer.apply_watcher_event(&Event::InitDone);
    }
}

/// ConsumerGroups. One that cannot be read is as good as none: it is not managed, and does not stop the others.
pub(super) fn groups(
    context: Arc<Context>,
    stock: Arc<Stock<ConsumerGroup>>,
) -> Sink<DeserializeGuard<ConsumerGroup>> {
    let gone = {
        let (context, stock) = (Arc::clone(&context), Arc::clone(&stock));
        move |name: Name| {
            stock.take(&name);
            let concerned = lock(&context.seen.claims).remove(&name);
            context.forget(&name);
            context.wake.groups(concerned);
            context.wake_clusters();
        }
    };
    Arc::new(move |change| match change {
        Change::Applied(guard) => {
            let name = Name::of(&guard);
            match guard.0 {
                Ok(group) => {
                    let concerned = lock(&context.seen.claims).apply(&group);
                    let changed = stock.put(group);
                    context.wake.groups(concerned);
                    if changed {
                        context.wake.groups([name]);
                        context.wake_clusters();
                    }
                }
                Err(invalid) => {
                    warn!(group = %name, "cannot be read and is not managed: {}", invalid.error);
                    context.metrics.reconcile_error("Unreadable");
                    gone(name);
                }
            }
        }
        Change::Deleted(name) => gone(name),
        Change::Listed | Change::Forbidden => {}
    })
}

/// KafkaClusters. `selects` turns true when one of them selects namespaces by their labels.
pub(super) fn clusters(
    shared: Arc<cluster::Shared>,
    stock: Arc<Stock<KafkaCluster>>,
    selects: watch::Sender<bool>,
) -> Sink<DeserializeGuard<KafkaCluster>> {
    let context = Arc::clone(&shared.context);
    let wake_users = {
        let context = Arc::clone(&context);
        move |name: &Name| {
            let users: Vec<Name> = lock(&context.seen.claims)
                .on_cluster(name)
                .map(|claim| claim.name.clone())
                .collect();
            context.wake.groups(users);
        }
    };
    let gone = {
        let (context, stock, wake_users) =
            (Arc::clone(&context), Arc::clone(&stock), wake_users.clone());
        move |name: Name| {
            stock.take(&name);
            lock(&context.seen.clusters).remove(&name);
            shared.forget(&name);
            wake_users(&name);
        }
    };
    Arc::new(move |change| match change {
        Change::Applied(guard) => {
            let name = Name::of(&guard);
            match guard.0 {
                Ok(cluster) => {
                    if cluster.spec.allowed_namespaces.from == NamespacesFrom::Selector {
                        selects.send_replace(true);
                    }
                    let shared = Arc::new(cluster.clone());
                    lock(&context.seen.clusters).insert(name.clone(), shared);
                    if stock.put(cluster) {
                        context.wake.cluster(name.clone());
                        wake_users(&name);
                    }
                }
                Err(invalid) => {
                    warn!(cluster = %name, "cannot be read and is not used: {}", invalid.error);
                    context.metrics.reconcile_error("Unreadable");
                    gone(name);
                }
            }
        }
        Change::Deleted(name) => gone(name),
        Change::Listed | Change::Forbidden => {}
    })
}

/// Deployments.
pub(super) fn deployments(context: Arc<Context>) -> Sink<Deployment> {
    workloads(context, "Deployment", Workload::of_deployment)
}

/// StatefulSets.
pub(super) fn stateful_sets(context: Arc<Context>) -> Sink<StatefulSet> {
    workloads(context, "StatefulSet", Workload::of_stateful_set)
}

fn workloads<K: Resource<DynamicType = ()> + 'static>(
    context: Arc<Context>,
    kind: &'static str,
    read: Read<K>,
) -> Sink<K> {
    let key = move |name: &Name| {
        let reference = ScaleTargetRef {
            api_version: "apps/v1".to_owned(),
            kind: kind.to_owned(),
            name: name.name.to_string(),
        };
        TargetKey::of(&reference, &name.namespace)
    };
    Arc::new(move |change| {
        let (key, changed) = match change {
            Change::Applied(object) => {
                let key = key(&Name::of(&object));
                let changed = context.seen.workload(&key, &object, read);
                (key, changed)
            }
            Change::Deleted(name) => {
                let key = key(&name);
                lock(&context.seen.at_least).remove(&key);
                let there = lock(&context.seen.workloads).remove(&key).is_some();
                (key, there)
            }
            Change::Listed => {
                lock(&context.seen.forbidden).remove(kind);
                return;
            }
            Change::Forbidden => {
                lock(&context.seen.forbidden).insert(kind);
                return;
            }
        };
        if changed {
            let concerned = lock(&context.seen.claims).on_target(&key);
            context.wake.groups(concerned);
        }
    })
}

/// HorizontalPodAutoscalers.
pub(super) fn autoscalers(context: Arc<Context>) -> Sink<HorizontalPodAutoscaler> {
    Arc::new(move |change| {
        let concerned = match change {
            Change::Applied(hpa) => lock(&context.seen.claims).apply_autoscaler(&hpa),
            Change::Deleted(name) => lock(&context.seen.claims).remove_autoscaler(&name),
            Change::Listed | Change::Forbidden => return,
        };
        context.wake.groups(concerned);
    })
}

/// Namespaces and their labels.
pub(super) fn namespaces(context: Arc<Context>) -> Sink<Namespace> {
    Arc::new(move |change| {
        let name = match change {
            Change::Applied(namespace) => {
                let name = namespace.name_any();
                let labels = namespace.labels().clone();
                let mut all = lock(&context.seen.namespaces);
                if all.get(&name) == Some(&labels) {
                    return;
                }
                all.insert(name.clone(), labels);
                name
            }
            Change::Deleted(name) => {
                lock(&context.seen.namespaces).remove(&*name.name);
                return;
            }
            Change::Listed | Change::Forbidden => return,
        };
        let groups: Vec<Name> = lock(&context.seen.claims)
            .names()
            .filter(|group| *group.namespace == *name)
            .cloned()
            .collect();
        context.wake.groups(groups);
    })
}
