//! The state from the watches. Wakes nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use lagrange_core::api::KafkaCluster;

use super::kube::name::{Name, TargetKey};
use super::ownership::Claims;
use super::target::workload::{self, Workload};
use crate::sync::lock;

/// The state from the watches.
#[derive(Debug, Default)]
pub(super) struct WatchedState {
    pub(super) claims: Mutex<Claims>,
    pub(super) clusters: Mutex<BTreeMap<Name, Arc<KafkaCluster>>>,
    /// Labels of namespaces, once a KafkaCluster selects by them.
    pub(super) namespaces: Mutex<BTreeMap<String, BTreeMap<String, String>>>,
    pub(super) workloads: Mutex<BTreeMap<TargetKey, workload::WorkloadVersion>>,
    /// The lowest version that a workload can have, from an answer to this process: its watch may
    /// be behind that.
    pub(super) at_least: Mutex<BTreeMap<TargetKey, u64>>,
    /// Workloads that exist and cannot be read, and why.
    pub(super) unreadable_workloads: Mutex<BTreeMap<TargetKey, String>>,
    /// ConsumerGroups whose specification cannot be read, and why.
    pub(super) unreadable_groups: Mutex<BTreeMap<Name, String>>,
    /// KafkaClusters whose specification cannot be read, and why.
    pub(super) unreadable_clusters: Mutex<BTreeMap<Name, String>>,
    /// Kinds that the operator may not watch.
    pub(super) forbidden: Mutex<BTreeSet<&'static str>>,
}

impl WatchedState {
    /// Stores a workload. Returns whether it has changed.
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
        all.insert(key.clone(), workload::WorkloadVersion { workload, version });
        let was_unreadable = lock(&self.unreadable_workloads).remove(key).is_some();
        before != Some(workload) || was_unreadable
    }
}
