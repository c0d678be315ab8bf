//! Any scalable target through its scale subresource: what it has, who last changed it, and the one write. Decides nothing.

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Debug,
    sync::Mutex,
};

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, StatefulSet},
        autoscaling::v1::Scale,
        core::v1::Pod,
    },
    apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta},
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams},
    core::NamespaceResourceScope,
    discovery::{self, Scope},
};
use serde::de::DeserializeOwned;
use serde_json::json;
use tracing::warn;

use crate::{
    api::{ScaleTargetRef, condition::reasons},
    scaling::observation::{Rollout, Target},
};

use super::{
    context::{Context, lock},
    error::{Error, Problem, Stop, target_problem},
    event::REPORTER,
    name::TargetKey,
    workload::{self, Read, Workload},
};

const DEPLOYMENT: &str = "Deployment";
const STATEFUL_SET: &str = "StatefulSet";

/// How the pods of one template are told from those of another.
const TEMPLATE_LABELS: [&str; 2] = ["pod-template-hash", "controller-revision-hash"];

/// A target by its reference.
#[derive(Debug, Clone)]
pub(super) struct Addressed {
    pub(super) key: TargetKey,
    /// As the user wrote it.
    pub(super) api_version: String,
    resource: ApiResource,
}

impl Addressed {
    fn api(&self, client: &Client) -> Api<DynamicObject> {
        Api::namespaced_with(client.clone(), &self.key.namespace, &self.resource)
    }
}

/// The kinds of targets that have been looked up.
#[derive(Debug, Default)]
pub(super) struct Kinds(Mutex<HashMap<GroupVersionKind, ApiResource>>);

impl Kinds {
    async fn find(&self, context: &Context, gvk: &GroupVersionKind) -> Result<ApiResource, Stop> {
        if let Some(resource) = lock(&self.0).get(gvk) {
            return Ok(resource.clone());
        }
        let unknown = || {
            Problem::new(
                reasons::TARGET_NOT_FOUND,
                format!(
                    "{} {} is no kind that this cluster has: correct spec.scaleTargetRef",
                    gvk.api_version(),
                    gvk.kind
                ),
            )
        };
        let found = context.read(
            "discover the target's kind",
            discovery::pinned_kind(&context.client, gvk),
        );
        let (resource, capabilities) = match found.await {
            Ok(found) => found,
            Err(Error::Refused { code: 404, .. }) => return Err(unknown().into()),
            Err(error) => return Err(Stop::Error(error)),
        };
        let scales = capabilities
            .subresources
            .iter()
            .any(|(subresource, _)| subresource.plural == "scale");
        if capabilities.scope == Scope::Cluster || !scales {
            return Err(Problem::new(
                reasons::TARGET_NOT_FOUND,
                format!("{} has no scale subresource in a namespace, so it cannot be scaled: name the workload that can", gvk.kind),
            )
            .into());
        }
        lock(&self.0).insert(gvk.clone(), resource.clone());
        Ok(resource)
    }

    fn forget(&self, gvk: &GroupVersionKind) {
        lock(&self.0).remove(gvk);
    }
}

/// Finds out how a target is addressed.
pub(super) async fn address(
    context: &Context,
    reference: &ScaleTargetRef,
    namespace: &str,
) -> Result<Addressed, Stop> {
    let key = TargetKey::of(reference, namespace);
    let resource = match watched(&key) {
        Some(DEPLOYMENT) => ApiResource::erase::<Deployment>(&()),
        Some(_) => ApiResource::erase::<StatefulSet>(&()),
        None => context.kinds.find(context, &gvk(reference)).await?,
    };
    Ok(Addressed {
        key,
        api_version: reference.api_version.clone(),
        resource,
    })
}

fn gvk(reference: &ScaleTargetRef) -> GroupVersionKind {
    let (group, version) = reference
        .api_version
        .split_once('/')
        .unwrap_or(("", &reference.api_version));
    GroupVersionKind::gvk(group, version, &reference.kind)
}

/// The kind, if it is one that is watched.
fn watched(key: &TargetKey) -> Option<&'static str> {
    match (key.group.as_str(), key.kind.as_str()) {
        ("apps", DEPLOYMENT) => Some(DEPLOYMENT),
        ("apps", STATEFUL_SET) => Some(STATEFUL_SET),
        _ => None,
    }
}

/// A target as it is now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sight {
    pub(super) target: Target,
    /// The version that told of it, if a watch did.
    version: Option<u64>,
}

impl Sight {
    /// Whether this scale is of the version that was seen, as far as that can be told.
    pub(super) fn is_of(&self, scale: &Scale) -> bool {
        let version = workload::version(&scale.metadata);
        self.version.is_none_or(|seen| seen == version)
    }
}

/// What the target is like now (decision 6).
pub(super) async fn see(context: &Context, target: &Addressed) -> Result<Sight, Stop> {
    if let Some(kind) = watched(&target.key) {
        if is_behind(context, &target.key) {
            look_up(context, target).await?;
        }
        return Ok(see_watched(context, &target.key, kind)?);
    }
    let scale = scale(context, target).await?;
    let replicas = replicas(&scale);
    let status = scale.status.unwrap_or_default();
    let (ready, rollout) = match status.selector.as_deref().filter(|s| !s.is_empty()) {
        Some(selector) => pods(context, &target.key, selector).await?,
        None => None,
    }
    .unwrap_or((status.replicas, Rollout::None));
    let target = Target {
        replicas,
        ready,
        rollout,
    };
    Ok(Sight {
        target,
        version: None,
    })
}

/// Whether the watch shows the target from before an answer that we have had.
fn is_behind(context: &Context, key: &TargetKey) -> bool {
    let at_least = lock(&context.seen.at_least).get(key).copied();
    let seen = lock(&context.seen.workloads)
        .get(key)
        .map(|seen| seen.version);
    matches!((seen, at_least), (Some(seen), Some(at_least)) if seen < at_least)
}

/// Reads the target itself where its watch is behind, or has stopped telling.
pub(super) async fn look_up(context: &Context, target: &Addressed) -> Result<(), Stop> {
    match watched(&target.key) {
        Some(DEPLOYMENT) => look_up_as(context, target, Workload::of_deployment).await,
        Some(_) => look_up_as(context, target, Workload::of_stateful_set).await,
        None => Ok(()),
    }
}

async fn look_up_as<K>(context: &Context, target: &Addressed, read: Read<K>) -> Result<(), Stop>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Debug,
{
    let key = &target.key;
    let api: Api<K> = Api::namespaced(context.client.clone(), &key.namespace);
    let object = context
        .read("get the target", api.get(&key.name))
        .await
        .map_err(|error| target_problem(error, &key.to_string()))?;
    context.seen.workload(key, &object, read);
    note_version(context, target, object.meta());
    Ok(())
}

/// The API server has told us this version of the target.
fn note_version(context: &Context, target: &Addressed, meta: &ObjectMeta) {
    if watched(&target.key).is_some() {
        lock(&context.seen.at_least).insert(target.key.clone(), workload::version(meta));
    }
}

fn see_watched(context: &Context, key: &TargetKey, kind: &'static str) -> Result<Sight, Problem> {
    if let Some(workload::Seen { workload, version }) =
        lock(&context.seen.workloads).get(key).copied()
    {
        if workload.is_going {
            return Err(Problem::new(
                reasons::TARGET_NOT_FOUND,
                format!("{key} is being deleted"),
            ));
        }
        return Ok(Sight {
            target: workload.target,
            version: Some(version),
        });
    }
    if lock(&context.seen.forbidden).contains(&kind) {
        return Err(Problem::new(
            reasons::TARGET_FORBIDDEN,
            format!("Lagrange may not watch kind {kind}: grant list and watch on it"),
        ));
    }
    Err(Problem::new(
        reasons::TARGET_NOT_FOUND,
        format!(
            "{key} does not exist in namespace {}: correct spec.scaleTargetRef, or create it",
            key.namespace
        ),
    ))
}

/// Ready pods and whether they are being replaced; `None` if pods may not be listed.
async fn pods(
    context: &Context,
    key: &TargetKey,
    selector: &str,
) -> Result<Option<(i32, Rollout)>, Stop> {
    let api: Api<Pod> = Api::namespaced(context.client.clone(), &key.namespace);
    let parameters = ListParams::default().labels(selector);
    let pods = match context
        .read("list the target's pods", api.list(&parameters))
        .await
    {
        Ok(pods) => pods.items,
        Err(Error::Refused { code: 403, .. }) => return Ok(None),
        Err(error) => return Err(Stop::Error(error)),
    };
    let staying = pods
        .iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none());
    let templates: BTreeSet<&String> = staying
        .clone()
        .filter_map(|pod| {
            TEMPLATE_LABELS
                .iter()
                .find_map(|label| pod.labels().get(*label))
        })
        .collect();
    let ready = staying.filter(|pod| is_ready(pod)).count();
    let rollout = if templates.len() > 1 {
        Rollout::InProgress
    } else {
        Rollout::None
    };
    Ok(Some((i32::try_from(ready).unwrap_or(i32::MAX), rollout)))
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The scale of the target, read now.
pub(super) async fn scale(context: &Context, target: &Addressed) -> Result<Scale, Stop> {
    let api = target.api(&context.client);
    let name = &target.key.name;
    match context
        .read("get the target's scale", api.get_scale(name))
        .await
    {
        Ok(scale) => Ok(scale),
        Err(error) => {
            if error.is(404) && watched(&target.key).is_none() {
                // The kind itself may have gone, or have another plural by now.
                let resource = &target.resource;
                let gvk = GroupVersionKind::gvk(&resource.group, &resource.version, &resource.kind);
                context.kinds.forget(&gvk);
            }
            Err(target_problem(error, &target.key.to_string()))
        }
    }
}

/// Replicas that a scale asks for.
pub(super) fn replicas(scale: &Scale) -> i32 {
    let wanted = scale.spec.as_ref().and_then(|spec| spec.replicas);
    wanted.unwrap_or(0).max(0)
}

/// Writes `to`, if the target is still the one that `seen` shows.
pub(super) async fn set_replicas(
    context: &Context,
    target: &Addressed,
    seen: &Scale,
    to: i32,
) -> Result<Scale, Error> {
    let patch = Patch::Merge(json!({
        "metadata": { "resourceVersion": seen.metadata.resource_version },
        "spec": { "replicas": to },
    }));
    let parameters = PatchParams {
        field_manager: Some(REPORTER.to_owned()),
        ..PatchParams::default()
    };
    let api = target.api(&context.client);
    let written = api.patch_scale(&target.key.name, &parameters, &patch);
    let scale = context.write("scale", "scale the target", written).await?;
    note_version(context, target, &scale.metadata);
    Ok(scale)
}

/// Who last set the target's replicas, if that can be told.
pub(super) async fn last_manager(context: &Context, target: &Addressed) -> Option<String> {
    let api = target.api(&context.client);
    let object = match context
        .read("get the target", api.get(&target.key.name))
        .await
    {
        Ok(object) => object,
        Err(error) => {
            warn!("cannot tell who scaled {}: {error}", target.key);
            return None;
        }
    };
    let fields = object.metadata.managed_fields.unwrap_or_default();
    manager_of_replicas(&fields)
}

/// The manager that owns `spec.replicas`: of several, the one that wrote last.
fn manager_of_replicas(fields: &[ManagedFieldsEntry]) -> Option<String> {
    let owns = |entry: &&ManagedFieldsEntry| {
        entry
            .fields_v1
            .as_ref()
            .and_then(|fields| fields.0.get("f:spec")?.get("f:replicas"))
            .is_some()
    };
    let latest = fields
        .iter()
        .filter(owns)
        .max_by_key(|entry| entry.time.as_ref().map(|time| time.0));
    latest.and_then(|entry| entry.manager.clone())
}
