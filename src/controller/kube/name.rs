//! The names of objects. Plain data.

use std::{fmt, sync::Arc};

use kube::{Resource, ResourceExt as _, runtime::reflector::ObjectRef};
use lagrange_core::api::{ConsumerGroup, KafkaCluster, ScaleTargetRef};

use crate::kafka::model::interest::Key;

/// Namespace and name of an object whose kind is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::controller) struct Name {
    /// Its namespace; empty for objects without one.
    pub(in crate::controller) namespace: Arc<str>,
    /// Its name.
    pub(in crate::controller) name: Arc<str>,
}

impl Name {
    /// An object of that name.
    pub(in crate::controller) fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    pub(in crate::controller) fn of(object: &impl Resource) -> Self {
        Self::new(
            object.meta().namespace.as_deref().unwrap_or_default(),
            &object.name_any(),
        )
    }

    pub(in crate::controller) fn consumer_group(&self) -> ObjectRef<ConsumerGroup> {
        ObjectRef::new(&self.name).within(&self.namespace)
    }

    pub(in crate::controller) fn kafka_cluster(&self) -> ObjectRef<KafkaCluster> {
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

/// A workload, independent of the API version that a reference uses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::controller) struct TargetKey {
    /// Its namespace.
    pub(in crate::controller) namespace: String,
    /// Its API group; empty for the core.
    pub(in crate::controller) group: String,
    /// Its kind.
    pub(in crate::controller) kind: String,
    /// Its name.
    pub(in crate::controller) name: String,
}

impl TargetKey {
    /// The target of a reference in `namespace`.
    pub(in crate::controller) fn new(
        namespace: &str,
        api_version: &str,
        kind: &str,
        name: &str,
    ) -> Self {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        Self {
            namespace: namespace.to_owned(),
            group: group.to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
        }
    }

    /// Whether a Pod that replaces another takes its name. A kind called StatefulSet does that.
    pub(in crate::controller) fn keeps_names(&self) -> bool {
        self.kind.ends_with("StatefulSet")
    }

    pub(in crate::controller) fn of(target: &ScaleTargetRef, namespace: &str) -> Self {
        Self::new(namespace, &target.api_version, &target.kind, &target.name)
    }
}

impl fmt::Display for TargetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}
