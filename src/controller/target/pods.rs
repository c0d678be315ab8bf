//! The pods of a target whose kind does not report rollouts: how many are ready, and whether they
//! all have the same template.

use std::{collections::BTreeSet, marker::PhantomData};

use k8s_openapi::api::core::v1::Pod;
use kube::{Resource as _, api::ListParams};
use lagrange_core::api::condition::Reason;
use lagrange_core::scaling::observation::Rollout;
use serde::{Deserialize, Deserializer, de::IgnoredAny};

use crate::controller::context::Context;
use crate::controller::kube::answers::object::Each;
use crate::controller::kube::answers::{self, cutter::Cut};
use crate::controller::kube::error::{Error, Problem, Stop};
use crate::controller::kube::name::TargetKey;

/// Pods per page of a list.
const PAGE: u32 = 100;
/// Longest selector that is used to list pods.
const LONGEST_SELECTOR: usize = 4096;

/// The fields of a pod that are read.
#[derive(Deserialize)]
struct PodObject {
    metadata: PodMetadata,
    #[serde(default)]
    status: Option<PodStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodMetadata {
    #[serde(default)]
    labels: Option<TemplateLabels>,
    #[serde(default)]
    deletion_timestamp: Option<IgnoredAny>,
}

/// The labels that tell the pods of one template from those of another.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[derive(Default)]
struct TemplateLabels {
    pod_template_hash: Option<String>,
    controller_revision_hash: Option<String>,
}

#[derive(Deserialize)]
struct PodStatus {
    #[serde(default)]
    conditions: Option<Readiness>,
}

/// Whether the pod has a true `Ready` condition.
struct Readiness(bool);

impl<'de> Deserialize<'de> for Readiness {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Condition {
            #[serde(rename = "type")]
            kind: String,
            status: String,
        }
        let mut is_ready = false;
        let each = |condition: Condition| {
            is_ready |= condition.kind == "Ready" && condition.status == "True";
        };
        deserializer.deserialize_seq(Each(each, PhantomData))?;
        Ok(Self(is_ready))
    }
}

/// The totals over all pods.
#[derive(Debug, Default)]
struct Pods {
    ready: i32,
    /// At most two: more make no difference.
    templates: BTreeSet<String>,
}

impl Pods {
    /// A pod that cannot be read is not counted as ready.
    fn count(&mut self, pod: Cut<'_>) {
        let Cut::Whole(text) = pod else { return };
        let Ok(pod) = serde_json::from_slice::<PodObject>(text) else {
            return;
        };
        if pod.metadata.deletion_timestamp.is_some() {
            return;
        }
        let labels = pod.metadata.labels.unwrap_or_default();
        let template = labels.pod_template_hash.or(labels.controller_revision_hash);
        if self.templates.len() < 2 {
            self.templates.extend(template);
        }
        let conditions = pod.status.and_then(|status| status.conditions);
        if conditions.is_some_and(|readiness| readiness.0) {
            self.ready = self.ready.saturating_add(1);
        }
    }
}

/// Ready pods and whether they are being replaced; `None` if pods may not be listed.
pub(super) async fn of(
    context: &Context,
    key: &TargetKey,
    selector: &str,
) -> Result<Option<(i32, Rollout)>, Stop> {
    let unusable = |why: &str| {
        Problem::new(
            Reason::TargetUnreadable,
            format!(
                "the status of {key} has a selector that Pods cannot be listed by: have its controller write a label selector such as app=orders. {why}"
            ),
        )
    };
    if selector.len() > LONGEST_SELECTOR {
        let why = format!("It has more than {LONGEST_SELECTOR} bytes");
        return Err(unusable(&why).into());
    }
    let mut pods = Pods::default();
    let path = Pod::url_path(&(), Some(&key.namespace));
    let parameters = ListParams::default().labels(selector).limit(PAGE);
    let listed = answers::all(&context.api.server, &path, parameters, |pod| {
        pods.count(pod);
    });
    match context.api.read("list the target's pods", listed).await {
        Ok(()) => {}
        Err(Error::Refused { code: 403, .. }) => return Ok(None),
        Err(Error::Refused {
            code: 400, message, ..
        }) => {
            let why = format!("The API server answered 400 {message}");
            return Err(unusable(&why).into());
        }
        Err(error) => return Err(Stop::Error(error)),
    }
    let rollout = if pods.templates.len() > 1 {
        Rollout::InProgress
    } else {
        Rollout::None
    };
    Ok(Some((pods.ready, rollout)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn pods_are_counted_whatever_else_is_in_them() {
        let deep = "[".repeat(1000) + &"]".repeat(1000);
        let pod = |hash: &str, ready: &str, more: Value| {
            let mut pod = json!({
                "metadata": { "name": "x", "labels": { "pod-template-hash": hash, "app": "orders" } },
                "spec": { "deep": "HERE" },
                "status": { "conditions": [{ "type": "Initialized", "status": "True" }, { "type": "Ready", "status": ready }] },
            });
            if !more.is_null() {
                pod["metadata"]["deletionTimestamp"] = more;
            }
            pod.to_string().replace("\"HERE\"", &deep)
        };
        let mut pods = Pods::default();
        let all = [
            pod("a", "True", Value::Null),
            pod("a", "False", Value::Null),
            pod("b", "True", json!("2026-11-24T12:00:00Z")),
            "{}".to_owned(),
            "odd".to_owned(),
        ];
        for pod in &all {
            pods.count(Cut::Whole(pod.as_bytes()));
        }
        pods.count(Cut::TooLarge(b"{"));
        assert_eq!((pods.ready, pods.templates.len()), (1, 1));
        for hash in ["b", "c", "d"] {
            pods.count(Cut::Whole(pod(hash, "True", Value::Null).as_bytes()));
        }
        assert_eq!((pods.ready, pods.templates.len()), (4, 2));
    }
}
