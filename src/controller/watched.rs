//! What the watches have seen, for whoever asks. Wakes nobody.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use lagrange_core::api::KafkaCluster;

use super::kube::name::{Name, TargetKey};
use super::ownership::Claims;
use super::target::workload::{self, Workload};
use crate::sync::lock;

/// What the watches have seen.
#[derive(Debug, Default)]
pub(super) struct WatchedState {
    pub(super) claims: Mutex<Claims>,
    pub(super) clusters: Mutex<BTreeMap<Name, Arc<KafkaCluster>>>,
    /// Labels of namespaces, once somebody selects by them.
    pub(super) namespaces: Mutex<BTreeMap<String, BTreeMap<String, String>>>,
    pub(super) workloads: Mutex<BTreeMap<TargetKey, workload::WorkloadVersion>>,
    /// The version that a workload has had at least, by an answer to ourselves: its watch may be
    /// behind that.
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

impl WatchedState {
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
        all.insert(key.clone(), workload::WorkloadVersion { workload, version });
        let was_unreadable = lock(&self.unreadable_workloads).remove(key).is_some();
        before != Some(workload) || was_unreadable
    }
}
