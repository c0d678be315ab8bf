//! What a Deployment or StatefulSet tells about its size and its rollout. Pure: one object in, a few numbers out.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, StatefulSet},
        core::v1::PodTemplateSpec,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use crate::scaling::observation::{Rollout, Target};

/// A workload as a watch last showed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Workload {
    pub(super) target: Target,
    /// It is being deleted.
    pub(super) is_going: bool,
    /// Its pod template, as a number.
    template: u64,
}

/// A workload, and the version of the object that told of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) workload: Workload,
    pub(super) version: u64,
}

/// How a kind is read; the second is what was seen of it before.
pub(super) type Read<K> = fn(&K, Option<&Workload>) -> Option<Workload>;

/// The version of an object as a number that grows; 0 where there is none.
pub(super) fn version(meta: &ObjectMeta) -> u64 {
    let version = meta.resource_version.as_ref();
    version
        .and_then(|version| version.parse().ok())
        .unwrap_or(0)
}

/// How far a controller has come with what the user wants.
#[derive(Debug, Clone, Copy)]
struct Progress {
    /// The controller has seen the newest specification.
    is_observed: bool,
    /// It replaces pods of its own accord.
    replaces: bool,
    /// Pods of another template that are still there.
    old_pods: i32,
}

impl Workload {
    /// From a Deployment; `before` is what the watch showed last.
    pub(super) fn of_deployment(deployment: &Deployment, before: Option<&Self>) -> Option<Self> {
        let spec = deployment.spec.as_ref()?;
        let status = deployment.status.clone().unwrap_or_default();
        let existing = status.replicas.unwrap_or(0);
        let progress = Progress {
            is_observed: status.observed_generation >= deployment.metadata.generation,
            replaces: spec.paused != Some(true),
            old_pods: existing - status.updated_replicas.unwrap_or(0),
        };
        Some(Self::new(
            spec.replicas,
            status.ready_replicas,
            template(&spec.template),
            deployment.metadata.deletion_timestamp.is_some(),
            progress,
            before,
        ))
    }

    /// From a StatefulSet; `before` is what the watch showed last.
    pub(super) fn of_stateful_set(set: &StatefulSet, before: Option<&Self>) -> Option<Self> {
        let spec = set.spec.as_ref()?;
        let status = set.status.clone().unwrap_or_default();
        let strategy = spec.update_strategy.clone().unwrap_or_default();
        let partition = strategy
            .rolling_update
            .and_then(|rolling| rolling.partition)
            .unwrap_or(0);
        let revised = status.current_revision != status.update_revision;
        // Pods below `partition` keep the old template for as long as the user likes: that is no rollout.
        let wanted = (status.replicas - partition).max(0);
        let progress = Progress {
            is_observed: status.observed_generation >= set.metadata.generation,
            replaces: strategy.type_.as_deref() != Some("OnDelete"),
            old_pods: if revised {
                wanted - status.updated_replicas.unwrap_or(0)
            } else {
                0
            },
        };
        Some(Self::new(
            spec.replicas,
            status.ready_replicas,
            template(&spec.template),
            set.metadata.deletion_timestamp.is_some(),
            progress,
            before,
        ))
    }

    fn new(
        replicas: Option<i32>,
        ready: Option<i32>,
        template: u64,
        is_going: bool,
        progress: Progress,
        before: Option<&Self>,
    ) -> Self {
        let rolls = if !progress.replaces {
            false
        } else if progress.is_observed {
            progress.old_pods > 0
        } else {
            // Its numbers are those of an older specification. A change of replicas alone, such as our own, begins no
            // rollout; another template does.
            before.is_none_or(|before| {
                before.template != template || before.target.rollout == Rollout::InProgress
            })
        };
        Self {
            target: Target {
                replicas: replicas.unwrap_or(1).max(0),
                ready: ready.unwrap_or(0).max(0),
                rollout: if rolls {
                    Rollout::InProgress
                } else {
                    Rollout::None
                },
            },
            is_going,
            template,
        }
    }
}

fn template(template: &PodTemplateSpec) -> u64 {
    let mut hasher = DefaultHasher::new();
    // Compared only within this process. What cannot be written as JSON cannot have come as JSON.
    serde_json::to_string(template)
        .unwrap_or_default()
        .hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
