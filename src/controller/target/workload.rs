//! The size and the rollout of a Deployment or StatefulSet. Pure: one object in, a few numbers out.
//! The rest of the object is skipped.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use lagrange_core::scaling::observation::{Rollout, Target};
use lagrange_core::text;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A workload in its latest version from a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::controller) struct Workload {
    pub(in crate::controller) target: Target,
    /// It is being deleted.
    pub(in crate::controller) is_going: bool,
    /// A hash of its pod template.
    template: u64,
}

/// A workload, and the version of its object.
#[derive(Debug, Clone, Copy)]
pub(in crate::controller) struct WorkloadVersion {
    pub(in crate::controller) workload: Workload,
    pub(in crate::controller) version: u64,
}

/// The version of an object as an increasing number; 0 if there is none.
pub(in crate::controller) fn version(version: Option<&str>) -> u64 {
    version
        .and_then(|version| version.parse().ok())
        .unwrap_or(0)
}

/// The fields of a Deployment or StatefulSet that are read.
#[derive(Debug, Clone, Deserialize)]
pub(in crate::controller) struct Object {
    pub(in crate::controller) metadata: Metadata,
    spec: Spec,
    #[serde(default)]
    status: Option<Status>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::controller) struct Metadata {
    #[serde(default)]
    pub(in crate::controller) resource_version: Option<String>,
    #[serde(default)]
    generation: Option<i64>,
    #[serde(default)]
    deletion_timestamp: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    replicas: Option<i32>,
    /// Only in a Deployment.
    #[serde(default)]
    paused: Option<bool>,
    template: Template,
    /// Only in a StatefulSet.
    #[serde(default)]
    update_strategy: Option<Strategy>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Strategy {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    rolling_update: Option<Rolling>,
}

#[derive(Debug, Clone, Deserialize)]
struct Rolling {
    #[serde(default)]
    partition: Option<i32>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    observed_generation: Option<i64>,
    replicas: Option<i32>,
    ready_replicas: Option<i32>,
    updated_replicas: Option<i32>,
    current_revision: Option<String>,
    update_revision: Option<String>,
}

/// A hash of a pod template. Compared only within this process: an API server writes the same
/// template as the same text.
#[derive(Debug, Clone, Copy)]
struct Template(u64);

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&RawValue>::deserialize(deserializer)?;
        let mut hasher = DefaultHasher::new();
        text.get().hash(&mut hasher);
        Ok(Self(hasher.finish()))
    }
}

/// The kind of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::controller) enum Kind {
    Deployment,
    StatefulSet,
}

impl Kind {
    /// The kind as references name it.
    pub(in crate::controller) const fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
        }
    }
}

/// Reads an object of either kind.
pub(in crate::controller) fn read(text: &str) -> Result<Object, String> {
    serde_json::from_str(text).map_err(|error| text::clean(&error.to_string()))
}

/// The progress of a rollout.
#[derive(Debug, Clone, Copy)]
struct Progress {
    /// The controller has seen the newest specification.
    is_observed: bool,
    /// It replaces pods by itself.
    replaces: bool,
    /// Pods of another template that are still there.
    old_pods: i32,
}

impl Workload {
    /// Makes the state from an object; `before` is the previous state from the watch.
    pub(in crate::controller) fn of(kind: Kind, object: &Object, before: Option<&Self>) -> Self {
        let (spec, metadata) = (&object.spec, &object.metadata);
        let status = object.status.clone().unwrap_or_default();
        let existing = status.replicas.unwrap_or(0);
        let updated = status.updated_replicas.unwrap_or(0);
        let is_observed = status.observed_generation >= metadata.generation;
        let progress = match kind {
            Kind::Deployment => Progress {
                is_observed,
                replaces: spec.paused != Some(true),
                old_pods: existing.saturating_sub(updated),
            },
            Kind::StatefulSet => {
                let strategy = spec.update_strategy.as_ref();
                let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
                let partition = rolling.and_then(|rolling| rolling.partition).unwrap_or(0);
                let revised = status.current_revision != status.update_revision;
                // Pods below `partition` keep the old template until the user lowers it: that is no
                // rollout.
                let wanted = existing.saturating_sub(partition).max(0);
                Progress {
                    is_observed,
                    replaces: strategy.and_then(|strategy| strategy.kind.as_deref())
                        != Some("OnDelete"),
                    old_pods: if revised {
                        wanted.saturating_sub(updated)
                    } else {
                        0
                    },
                }
            }
        };
        Self::new(
            spec.replicas,
            status.ready_replicas,
            spec.template.0,
            metadata.deletion_timestamp.is_some(),
            progress,
            before,
        )
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
            // The numbers are of an older specification. A change of replicas alone, such as the
            // one that this operator makes, starts no rollout; another template does.
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

#[cfg(test)]
mod tests;
