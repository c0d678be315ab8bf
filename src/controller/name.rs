//! How objects are named in here. Plain data.

use std::{fmt, sync::Arc};

use kube::{Resource, ResourceExt as _, runtime::reflector::ObjectRef};
use lagrange_core::api::{ConsumerGroup, KafkaCluster, ScaleTargetRef};

use crate::kafka::model::interest::Key;

/// Namespace and name of an object whose kind is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Name {
    /// Its namespace; empty for what has none.
    pub(super) namespace: Arc<str>,
    /// Its name.
    pub(super) name: Arc<str>,
}

impl Name {
    /// An object of that name.
    pub(super) fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    pub(super) fn of(object: &impl Resource) -> Self {
        Self::new(
            object.meta().namespace.as_deref().unwrap_or_default(),
            &object.name_any(),
        )
    }

    pub(super) fn consumer_group(&self) -> ObjectRef<ConsumerGroup> {
        ObjectRef::new(&self.name).within(&self.namespace)
    }

    pub(super) fn kafka_cluster(&self) -> ObjectRef<KafkaCluster> {
        ObjectRef::new(&self.name).within(&self.namespace)
    }
}

impl From<&Key> for Name {
    fn from(key: &Key) -> Self {
        Self {
            namespace: Arc::clone(&key.namespace),
            name: Arc::clone(&key.name),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A workload, whatever version of its API somebody names it by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct TargetKey {
    /// Its namespace.
    pub(super) namespace: String,
    /// Its API group; empty for the core.
    pub(super) group: String,
    /// Its kind.
    pub(super) kind: String,
    /// Its name.
    pub(super) name: String,
}

impl TargetKey {
    /// What a reference in `namespace` names.
    pub(super) fn new(namespace: &str, api_version: &str, kind: &str, name: &str) -> Self {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        Self {
            namespace: namespace.to_owned(),
            group: group.to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
        }
    }

    /// Whether a Pod that takes another's place takes its name: what is called a StatefulSet does that.
    pub(super) fn keeps_names(&self) -> bool {
        self.kind.ends_with("StatefulSet")
    }

    pub(super) fn of(target: &ScaleTargetRef, namespace: &str) -> Self {
        Self::new(namespace, &target.api_version, &target.kind, &target.name)
    }
}

impl fmt::Display for TargetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}
