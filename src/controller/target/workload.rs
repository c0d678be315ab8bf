//! What a Deployment or StatefulSet tells about its size and its rollout. Pure: one object in, a
//! few numbers out. The rest of the object is skipped.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use lagrange_core::scaling::observation::{Rollout, Target};
use lagrange_core::text;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A workload as a watch last showed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::controller) struct Workload {
    pub(in crate::controller) target: Target,
    /// It is being deleted.
    pub(in crate::controller) is_going: bool,
    /// Its pod template, as a number.
    template: u64,
}

/// A workload, and the version of the object that told of it.
#[derive(Debug, Clone, Copy)]
pub(in crate::controller) struct WorkloadVersion {
    pub(in crate::controller) workload: Workload,
    pub(in crate::controller) version: u64,
}

/// The version of an object as a number that grows; 0 where there is none.
pub(in crate::controller) fn version(version: Option<&str>) -> u64 {
    version
        .and_then(|version| version.parse().ok())
        .unwrap_or(0)
}

/// A Deployment or StatefulSet, as far as it is read.
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
    /// Of a Deployment.
    #[serde(default)]
    paused: Option<bool>,
    template: Template,
    /// Of a StatefulSet.
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

/// A pod template, as a number. Compared only within this process: an API server writes the same
/// template in the same words.
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

/// Which of the two an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::controller) enum Kind {
    Deployment,
    StatefulSet,
}

impl Kind {
    /// As references name it.
    pub(in crate::controller) const fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
        }
    }
}

/// Reads either.
pub(in crate::controller) fn read(text: &str) -> Result<Object, String> {
    serde_json::from_str(text).map_err(|error| text::clean(&error.to_string()))
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
    /// From an object; `before` is what the watch showed last.
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
                // Pods below `partition` keep the old template for as long as the user likes: that
                // is no rollout.
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
            // Its numbers are those of an older specification. A change of replicas alone, such as
            // our own, begins no rollout; another template does.
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
