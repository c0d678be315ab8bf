//! Any scalable target through its scale subresource: its size, who last changed it, and the only
//! write. Decides nothing.

use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use kube::{
    Resource as _,
    api::{
        ApiResource, DynamicObject, GetParams, GroupVersionKind, ListParams, Patch, PatchParams,
        Request,
    },
};
use lagrange_core::api::condition::Reason;
use lagrange_core::api::{ConsumerGroup, ScaleTargetRef};
use lagrange_core::scaling::observation::{Rollout, Target};
use lagrange_core::text;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;
use tracing::warn;

use super::workload::{self, Kind};
use super::{manager, pods};
use crate::controller::context::Context;
use crate::controller::kube::answers;
use crate::controller::kube::error::{Error, Problem, Stop, target_problem};
use crate::controller::kube::event::REPORTER;
use crate::controller::kube::name::TargetKey;
use crate::sync::lock;

/// A scale that cannot be read for this time is reported, if the rest of the target can be read.
const SCALE_FAILS_FOR: Duration = Duration::from_secs(10);
/// The same if the rest cannot be read either: the cause may be the API server.
const TARGET_FAILS_FOR: Duration = Duration::from_mins(2);

/// A target by its reference.
#[derive(Debug, Clone)]
pub(in crate::controller) struct Addressed {
    pub(in crate::controller) key: TargetKey,
    /// As the user wrote it.
    pub(in crate::controller) api_version: String,
    resource: ApiResource,
}

impl Addressed {
    /// Requests for objects of its kind.
    fn requests(&self) -> Request {
        Request::new(DynamicObject::url_path(
            &self.resource,
            Some(&self.key.namespace),
        ))
    }
}

/// Resolves a reference to a target.
pub(in crate::controller) async fn address(
    context: &Context,
    reference: &ScaleTargetRef,
    namespace: &str,
) -> Result<Addressed, Stop> {
    let key = TargetKey::of(reference, namespace);
    let resource = match watched(&key) {
        Some(Kind::Deployment) => ApiResource::erase::<Deployment>(&()),
        Some(Kind::StatefulSet) => ApiResource::erase::<StatefulSet>(&()),
        None => context.kinds.find(&context.api, &gvk(reference)).await?,
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
fn watched(key: &TargetKey) -> Option<Kind> {
    let kinds = [Kind::Deployment, Kind::StatefulSet];
    kinds
        .into_iter()
        .find(|kind| key.group == "apps" && key.kind == kind.as_str())
}

/// The fields of a scale that are read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(in crate::controller) struct Scale {
    metadata: Versioned,
    spec: Option<Wanted>,
    status: Option<Found>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Versioned {
    resource_version: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Wanted {
    replicas: Option<i32>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Found {
    replicas: i32,
    selector: Option<String>,
}

/// The present state of a target.
#[derive(Debug, Clone, Copy)]
pub(in crate::controller) struct TargetState {
    pub(in crate::controller) target: Target,
    /// The object version, if the state comes from a watch.
    version: Option<u64>,
}

impl TargetState {
    /// Whether this scale is of the same version as the state, as far as versions are known.
    pub(in crate::controller) fn is_of(&self, scale: &Scale) -> bool {
        let version = workload::version(scale.metadata.resource_version.as_deref());
        self.version.is_none_or(|seen| seen == version)
    }
}

/// Reads the present state of the target (ACT-6).
pub(in crate::controller) async fn see(
    context: &Context,
    target: &Addressed,
) -> Result<TargetState, Stop> {
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
        Some(selector) => pods::of(context, &target.key, selector).await?,
        None => None,
    }
    .unwrap_or((status.replicas, Rollout::None));
    let target = Target {
        replicas,
        ready,
        rollout,
    };
    Ok(TargetState {
        target,
        version: None,
    })
}

/// Whether the watch is behind a version that the API server has already answered with.
fn is_behind(context: &Context, key: &TargetKey) -> bool {
    let at_least = lock(&context.seen.at_least).get(key).copied();
    let seen = lock(&context.seen.workloads)
        .get(key)
        .map(|seen| seen.version);
    matches!((seen, at_least), (Some(seen), Some(at_least)) if seen < at_least)
}

/// Reads the target itself if it is of a watched kind, for when the watch is behind or has stopped.
pub(in crate::controller) async fn look_up(
    context: &Context,
    target: &Addressed,
) -> Result<(), Stop> {
    let key = &target.key;
    let Some(kind) = watched(key) else {
        return Ok(());
    };
    let request = target.requests().get(&key.name, &GetParams::default());
    let asked = answers::read(&context.api.server, request, workload::read);
    let object = context
        .api
        .read("get the target", asked)
        .await
        .map_err(|error| target_problem(error, &key.to_string()))?;
    context.seen.workload(key, kind, &object);
    note_version(context, target, object.metadata.resource_version.as_deref());
    Ok(())
}

/// Notes the version of the target in an answer of the API server.
fn note_version(context: &Context, target: &Addressed, version: Option<&str>) {
    if watched(&target.key).is_some() {
        lock(&context.seen.at_least).insert(target.key.clone(), workload::version(version));
    }
}

fn see_watched(context: &Context, key: &TargetKey, kind: Kind) -> Result<TargetState, Problem> {
    if let Some(workload::WorkloadVersion { workload, version }) =
        lock(&context.seen.workloads).get(key).copied()
    {
        if workload.is_going {
            return Err(Problem::new(
                Reason::TargetNotFound,
                format!("{key} is being deleted"),
            ));
        }
        return Ok(TargetState {
            target: workload.target,
            version: Some(version),
        });
    }
    if let Some(why) = lock(&context.seen.unreadable_workloads).get(key) {
        return Err(Problem::new(
            Reason::TargetUnreadable,
            format!("{key} exists, but cannot be read, so its size is held: {why}"),
        ));
    }
    if lock(&context.seen.forbidden).contains(kind.as_str()) {
        let kind = kind.as_str();
        return Err(Problem::new(
            Reason::TargetForbidden,
            format!("Lagrange may not watch kind {kind}: grant list and watch on it"),
        ));
    }
    Err(Problem::new(
        Reason::TargetNotFound,
        format!(
            "{key} does not exist in namespace {}: correct spec.scaleTargetRef, or create it",
            key.namespace
        ),
    ))
}

/// Reads the scale of the target.
pub(in crate::controller) async fn scale(
    context: &Context,
    target: &Addressed,
) -> Result<Scale, Stop> {
    let error = match read_scale(context, target).await {
        Err(Stop::Error(error)) => error,
        answered => return answered,
    };
    if !is_its_own(context, target).await {
        return Err(error.into());
    }
    // Once more: the scale may have recovered since the first try.
    match read_scale(context, target).await {
        Err(Stop::Error(error)) => Err(Problem::new(
            Reason::TargetUnreadable,
            format!(
                "the scale of {} cannot be read: set its spec.replicas, or correct the scale subresource of its definition. {}",
                target.key,
                error.says()
            ),
        )
        .into()),
        answered => answered,
    }
}

async fn read_scale(context: &Context, target: &Addressed) -> Result<Scale, Stop> {
    let request = (target.requests()).get_subresource("scale", &target.key.name);
    let asked = answers::read(&context.api.server, request, scale_of);
    let read = context.api.read("get the target's scale", asked).await;
    let error = match read {
        Ok(scale) => {
            lock(&context.unreadable_scales).remove(&target.key);
            return Ok(scale);
        }
        Err(error) => error,
    };
    if error.is(404) && watched(&target.key).is_none() {
        // The kind itself may be gone, or have another plural now.
        let resource = &target.resource;
        let gvk = GroupVersionKind::gvk(&resource.group, &resource.version, &resource.kind);
        context.kinds.forget(&gvk);
    }
    Err(target_problem(error, &target.key.to_string()))
}

fn scale_of(text: &str) -> Result<Scale, String> {
    serde_json::from_str(text).map_err(|error| text::clean(&error.to_string()))
}

/// Whether a scale that could not be read, for a reason that may pass, is a problem of this target
/// alone: the failure has lasted, and the target itself can be read, or after minutes at least
/// another object. Short outages of the API server change no condition.
async fn is_its_own(context: &Context, target: &Addressed) -> bool {
    let key = &target.key;
    let now = Instant::now();
    let since = {
        let mut all = lock(&context.unreadable_scales);
        all.retain(|_, since: &mut Instant| now.duration_since(*since) < Duration::from_hours(1));
        *all.entry(key.clone()).or_insert(now)
    };
    if since.elapsed() < SCALE_FAILS_FOR {
        return false;
    }
    let request = if since.elapsed() < TARGET_FAILS_FOR {
        target.requests().get(&key.name, &GetParams::default())
    } else {
        let groups = ConsumerGroup::url_path(&(), Some(&key.namespace));
        Request::new(groups).list(&ListParams::default().limit(1))
    };
    let request = request.map_err(kube::Error::BuildRequest);
    let asked = async { answers::nothing(&context.api.server, request?).await };
    context.api.read("get something else", asked).await.is_ok()
}

/// The replicas that a scale asks for.
pub(in crate::controller) fn replicas(scale: &Scale) -> i32 {
    let wanted = scale.spec.as_ref().and_then(|spec| spec.replicas);
    wanted.unwrap_or(0).max(0)
}

/// Writes `to`, if the target still has the version of `seen`.
pub(in crate::controller) async fn set_replicas(
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
    let request =
        (target.requests()).patch_subresource("scale", &target.key.name, &parameters, &patch);
    let written = answers::read(&context.api.server, request, scale_of);
    let scale = context
        .api
        .write("scale", "scale the target", written)
        .await?;
    note_version(context, target, scale.metadata.resource_version.as_deref());
    Ok(scale)
}

/// The field manager that last set the target's replicas, if it is known.
pub(in crate::controller) async fn last_manager(
    context: &Context,
    target: &Addressed,
) -> Option<String> {
    let request = target
        .requests()
        .get(&target.key.name, &GetParams::default());
    let asked = answers::read(&context.api.server, request, manager::of_replicas);
    match context.api.read("get the target", asked).await {
        Ok(manager) => manager,
        Err(error) => {
            warn!("cannot find out what scaled {}: {error}", target.key);
            None
        }
    }
}
