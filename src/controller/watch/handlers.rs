//! What each watch stores, and which resources a change wakes. A group's own status writes wake
//! nothing: only a changed generation or annotation does, while the store follows every version
//! (ACT-1).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use lagrange_core::api::{ConsumerGroup, KafkaCluster, NamespacesFrom, ScaleTargetRef};
use tokio::sync::watch;
use tracing::warn;

use super::store::ObjectStore;
use super::{Change, ChangeHandler};
use crate::controller::cluster::reconcile;
use crate::controller::context::Context;
use crate::controller::kube::answers::object::Ours;
use crate::controller::kube::name::{Name, TargetKey};
use crate::controller::target::workload::{self, Kind};
use crate::sync::lock;

/// The kinds as logs and metrics name them.
const GROUPS: &str = "ConsumerGroups";
const CLUSTERS: &str = "KafkaClusters";

/// ConsumerGroups. One with an unreadable specification has no claim, and its status reports the
/// error; one that cannot be read at all is treated as deleted.
pub(in crate::controller) fn groups(
    context: Arc<Context>,
    store: Arc<ObjectStore<ConsumerGroup>>,
) -> ChangeHandler<Ours<ConsumerGroup>> {
    let gone = {
        let (context, store) = (Arc::clone(&context), Arc::clone(&store));
        move |name: Name| {
            store.take(&name);
            let concerned = lock(&context.seen.claims).remove(&name);
            note(
                &context,
                GROUPS,
                &context.seen.unreadable_groups,
                &name,
                None,
            );
            context.forget(&name);
            context.wake.groups(concerned);
            context.wake_clusters();
        }
    };
    Arc::new(move |change| match change {
        Change::Applied(name, Ours { object, unreadable }) => {
            let concerned = if unreadable.is_some() {
                lock(&context.seen.claims).remove(&name)
            } else {
                lock(&context.seen.claims).apply(&object)
            };
            note(
                &context,
                GROUPS,
                &context.seen.unreadable_groups,
                &name,
                unreadable,
            );
            let changed = store.put(object);
            context.wake.groups(concerned);
            if changed {
                context.wake.groups([name]);
                context.wake_clusters();
            }
        }
        Change::Unreadable(name, _) | Change::Deleted(name) => gone(name),
        Change::Listed | Change::Forbidden => {}
    })
}

/// Notes whether the specification of a ConsumerGroup or KafkaCluster can be read.
fn note(
    context: &Context,
    kind: &'static str,
    all: &Mutex<BTreeMap<Name, String>>,
    name: &Name,
    unreadable: Option<String>,
) {
    let mut all = lock(all);
    let Some(why) = unreadable else {
        if all.remove(name).is_some() {
            context.metrics.unreadable_objects(kind, -1);
        }
        return;
    };
    if !all.contains_key(name) {
        context.metrics.unreadable_objects(kind, 1);
        warn!(kind, object = %name, "its spec cannot be read: {why}");
    }
    all.insert(name.clone(), why);
}

/// KafkaClusters. `selects` becomes true when one of them selects namespaces by their labels.
pub(in crate::controller) fn clusters(
    shared: Arc<reconcile::Shared>,
    store: Arc<ObjectStore<KafkaCluster>>,
    selects: watch::Sender<bool>,
) -> ChangeHandler<Ours<KafkaCluster>> {
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
        let (context, store, wake_users) =
            (Arc::clone(&context), Arc::clone(&store), wake_users.clone());
        move |name: Name| {
            store.take(&name);
            lock(&context.seen.clusters).remove(&name);
            note(
                &context,
                CLUSTERS,
                &context.seen.unreadable_clusters,
                &name,
                None,
            );
            shared.forget(&name);
            wake_users(&name);
        }
    };
    Arc::new(move |change| match change {
        Change::Applied(name, Ours { object, unreadable }) => {
            if object.spec.allowed_namespaces.from == NamespacesFrom::Selector {
                selects.send_replace(true);
            }
            let is_readable = unreadable.is_none();
            note(
                &context,
                CLUSTERS,
                &context.seen.unreadable_clusters,
                &name,
                unreadable,
            );
            let changed = store.put(object);
            let mut clusters = lock(&context.seen.clusters);
            match store.get(&name).filter(|_| is_readable) {
                Some(cluster) => clusters.insert(name.clone(), cluster),
                None => clusters.remove(&name),
            };
            drop(clusters);
            if changed {
                context.wake.cluster(name.clone());
                wake_users(&name);
            }
        }
        Change::Unreadable(name, _) | Change::Deleted(name) => gone(name),
        Change::Listed | Change::Forbidden => {}
    })
}

/// Deployments or StatefulSets.
pub(in crate::controller) fn workloads(
    context: Arc<Context>,
    kind: Kind,
) -> ChangeHandler<workload::Object> {
    let key = move |name: &Name| {
        let reference = ScaleTargetRef {
            api_version: "apps/v1".to_owned(),
            kind: kind.as_str().to_owned(),
            name: name.name.to_string(),
        };
        TargetKey::of(&reference, &name.namespace)
    };
    Arc::new(move |change| {
        let (key, changed) = match change {
            Change::Applied(name, object) => {
                let key = key(&name);
                let changed = context.seen.workload(&key, kind, &object);
                (key, changed)
            }
            // It exists, but its size is unknown: not the same as absent.
            Change::Unreadable(name, why) => {
                let key = key(&name);
                lock(&context.seen.workloads).remove(&key);
                let before = lock(&context.seen.unreadable_workloads).insert(key.clone(), why);
                (key, before.is_none())
            }
            Change::Deleted(name) => {
                let key = key(&name);
                lock(&context.seen.at_least).remove(&key);
                let there = lock(&context.seen.workloads).remove(&key).is_some();
                let unreadable = lock(&context.seen.unreadable_workloads).remove(&key);
                (key, there || unreadable.is_some())
            }
            Change::Listed => {
                lock(&context.seen.forbidden).remove(kind.as_str());
                return;
            }
            Change::Forbidden => {
                lock(&context.seen.forbidden).insert(kind.as_str());
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
pub(in crate::controller) fn autoscalers(
    context: Arc<Context>,
) -> ChangeHandler<HorizontalPodAutoscaler> {
    Arc::new(move |change| {
        let concerned = match change {
            Change::Applied(_, hpa) => lock(&context.seen.claims).apply_autoscaler(&hpa),
            Change::Unreadable(name, _) | Change::Deleted(name) => {
                lock(&context.seen.claims).remove_autoscaler(&name)
            }
            Change::Listed | Change::Forbidden => return,
        };
        context.wake.groups(concerned);
    })
}

/// Namespaces and their labels. A namespace that cannot be read matches no label selector.
pub(in crate::controller) fn namespaces(
    context: Arc<Context>,
) -> ChangeHandler<BTreeMap<String, String>> {
    Arc::new(move |change| {
        let mut all = lock(&context.seen.namespaces);
        let name = match change {
            Change::Applied(Name { name, .. }, labels) => {
                if all.get(&*name) == Some(&labels) {
                    return;
                }
                all.insert(name.to_string(), labels);
                name
            }
            Change::Unreadable(Name { name, .. }, _) => {
                all.remove(&*name);
                name
            }
            Change::Deleted(name) => {
                all.remove(&*name.name);
                return;
            }
            Change::Listed | Change::Forbidden => return,
        };
        drop(all);
        let groups: Vec<Name> = lock(&context.seen.claims)
            .names()
            .filter(|group| group.namespace == name)
            .cloned()
            .collect();
        context.wake.groups(groups);
    })
}
