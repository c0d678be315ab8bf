//! The three steps of an action (ACT-1): write it ahead, write the scale, confirm. After every one
//! of them the process may die, time out, or find that somebody else was faster; what then holds is
//! said where it happens. Decides nothing.

use kube::{
    Resource as _, ResourceExt as _,
    api::{GetParams, Patch, PatchParams, Request},
};
use lagrange_core::api::{ConsumerGroup, ConsumerGroupStatus};
use serde_json::{Value, json};
use tracing::{info, warn};

use super::session::Managed;
use crate::controller::context::Context;
use crate::controller::kube::answers::{self, object};
use crate::controller::kube::error::{Error, Problem, Stop, target_problem};
use crate::controller::kube::event::REPORTER;
use crate::controller::status;
use crate::controller::target::scale::{self, Addressed, TargetState};
use crate::metrics::Direction;

/// A change of replicas that was decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::controller) struct Action {
    pub(in crate::controller) from: i32,
    pub(in crate::controller) to: i32,
}

/// What became of an action.
#[derive(Debug)]
pub(in crate::controller) enum Outcome {
    /// The API server took it.
    Done,
    /// Nobody knows: it counts as an action at its time.
    Unknown,
    /// Nothing was changed: what was decided on no longer holds. Look again.
    Retry(&'static str),
    /// Nothing was changed, and nothing will be until its user puts something right.
    Refused(Problem),
}

/// Acts. `ahead` is the status that tells of the decision; memory goes with it.
pub(in crate::controller) async fn act(
    context: &Context,
    managed: &mut Managed,
    target: &Addressed,
    size: TargetState,
    action: Action,
    ahead: ConsumerGroupStatus,
) -> Result<Outcome, Error> {
    let scale = match scale::scale(context, target).await {
        Ok(scale) => scale,
        Err(Stop::Problem(problem)) => return Ok(Outcome::Refused(problem)),
        Err(Stop::Error(error)) => return Err(error),
    };
    if scale::replicas(&scale) != action.from || !size.is_of(&scale) {
        // Somebody has scaled it, or a rollout has begun. Its watch shows it in a moment, unless it
        // has stopped telling.
        return match scale::look_up(context, target).await {
            Ok(()) => Ok(Outcome::Retry("the target has changed meanwhile")),
            Err(Stop::Problem(problem)) => Ok(Outcome::Refused(problem)),
            Err(Stop::Error(error)) => Err(error),
        };
    }

    // (a) Ahead. Nothing has been done yet, so whatever fails here costs nothing but another look.
    let Action { from, to } = action;
    let begun = managed.state.memory.begin(from, to, context.clock.now());
    let ahead = ConsumerGroupStatus {
        memory: status::group::memory(&begun),
        ..ahead
    };
    match write_status(context, managed, &ahead).await {
        Ok(()) => {}
        Err(error) if error.is(409) => {
            look_up(context, managed).await?;
            return Ok(Outcome::Retry("somebody else has written the status"));
        }
        Err(error) => {
            // It may have been written. Whoever reads it takes it for an action of unknown outcome,
            // and so do we.
            look_up(context, managed).await?;
            return Err(error);
        }
    }
    managed.state.memory = begun;

    // (b) The scale, with the version that it was decided on.
    let name = managed.stored().name_any();
    let outcome = match scale::set_replicas(context, target, &scale, to).await {
        Ok(_) => {
            info!(group = name, target = %target.key, from, to, "scaled");
            let direction = if to > from {
                Direction::Up
            } else {
                Direction::Down
            };
            context.metrics.scaled(direction);
            managed.state.memory = managed.state.memory.confirm();
            Outcome::Done
        }
        Err(error) if was_not_done(&error) => {
            managed.state.memory = managed.state.memory.refuse();
            match target_problem(error, &target.key.to_string()) {
                Stop::Problem(problem) => Outcome::Refused(problem),
                Stop::Error(error) => return Err(error),
            }
        }
        Err(error) => {
            warn!(group = name, target = %target.key, from, to, "not known whether scaled: {error}");
            managed.state.memory = managed.state.memory.unknown();
            Outcome::Unknown
        }
    };
    context
        .sessions
        .note_action(&target.key, &managed.state.memory, context.clock.now());
    // (c) is the report that follows. If it fails, the status still has the action as pending, and
    // any later report makes up for it.
    Ok(outcome)
}

/// The API server has said that it did nothing. A conflict is not among these: something between us
/// and it may have tried twice, and then the second try meets the version that the first one made.
fn was_not_done(error: &Error) -> bool {
    matches!(error, Error::Refused { code: 400..500, .. })
        && !error.is(408)
        && !error.is(409)
        && !error.is(429)
}

/// Writes what is new in `next`, if the resource is still the version that is known here.
pub(super) async fn write_status(
    context: &Context,
    managed: &mut Managed,
    next: &ConsumerGroupStatus,
) -> Result<(), Error> {
    let stored = managed.stored();
    let Some(change) =
        status::group::merge_patch(&value(stored.status.as_ref()), &value(Some(next)))
    else {
        return Ok(());
    };
    let patch = Patch::Merge(json!({
        "metadata": { "resourceVersion": stored.resource_version(), "uid": stored.uid() },
        "status": change,
    }));
    let parameters = PatchParams {
        field_manager: Some(REPORTER.to_owned()),
        ..PatchParams::default()
    };
    let request =
        requests(stored).patch_subresource("status", &stored.name_any(), &parameters, &patch);
    let written = answers::read(&context.api.server, request, object::consumer_group);
    let mut written = context
        .api
        .write("status", "write the status", written)
        .await?;
    // A status is all that was written, on the very version that is stored.
    if written.unreadable.is_some() {
        written.object.spec.clone_from(&stored.spec);
    }
    managed.observe_version(written.object.into());
    Ok(())
}

/// Reads the resource as it is now.
pub(in crate::controller) async fn look_up(
    context: &Context,
    managed: &mut Managed,
) -> Result<(), Error> {
    const CALL: &str = "get the ConsumerGroup";
    let stored = managed.stored();
    let request = requests(stored).get(&stored.name_any(), &GetParams::default());
    let asked = answers::read(&context.api.server, request, object::consumer_group);
    let now = context.api.read(CALL, asked).await?;
    if let Some(cause) = now.unreadable {
        return Err(Error::Broken { call: CALL, cause });
    }
    if managed.is(&now.object) {
        managed.observe_version(now.object.into());
    }
    Ok(())
}

fn requests(group: &ConsumerGroup) -> Request {
    let namespace = group.namespace().unwrap_or_default();
    Request::new(ConsumerGroup::url_path(&(), Some(&namespace)))
}

/// Statuses are made of texts, numbers and lists of them, so that this cannot fail.
fn value(status: Option<&ConsumerGroupStatus>) -> Value {
    status
        .and_then(|status| serde_json::to_value(status).ok())
        .unwrap_or_else(|| json!({}))
}
