//! The three steps of an action (ACT-1): write it ahead, write the scale, confirm. After each of
//! them the process may die, the call may time out, or another writer may have been faster. Each
//! step says what then holds. This module decides nothing.

use std::time::Duration;

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

/// The result of an action.
#[derive(Debug)]
pub(in crate::controller) enum Outcome {
    /// The API server accepted it.
    Done,
    /// It is not known whether the scale was written. It counts as an action at its time.
    Unknown,
    /// Nothing was changed: the state that the decision was made for has changed. Try again.
    Retry(&'static str),
    /// Nothing was changed, and nothing will be until the user fixes the problem.
    Refused {
        problem: Problem,
        /// How long it is not tried again.
        lasting: Duration,
    },
}

/// Each try to write a scale writes the status ahead, too.
const WRITE_REFUSED_FOR: Duration = Duration::from_mins(5);
/// A try to read one writes nothing.
const READ_REFUSED_FOR: Duration = Duration::from_secs(30);

/// What cannot be read is not scaled.
fn unreadable(problem: Problem) -> Outcome {
    Outcome::Refused {
        problem,
        lasting: READ_REFUSED_FOR,
    }
}

/// Acts. `ahead` is the status that describes the decision; the memory is written with it.
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
        Err(Stop::Problem(problem)) => return Ok(unreadable(problem)),
        Err(Stop::Error(error)) => return Err(error),
    };
    if scale::replicas(&scale) != action.from || !size.is_of(&scale) {
        // The target was scaled, or a rollout has begun. Its watch reports that in a moment, unless
        // the watch has stopped.
        return match scale::look_up(context, target).await {
            Ok(()) => Ok(Outcome::Retry("the target has changed since the decision")),
            Err(Stop::Problem(problem)) => Ok(unreadable(problem)),
            Err(Stop::Error(error)) => Err(error),
        };
    }

    // (a) Ahead. Nothing has been done yet, so a failure here only costs another try.
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
            return Ok(Outcome::Retry("another writer has changed the status"));
        }
        Err(error) => {
            // It may have been written. Whoever reads it treats it as an action of unknown outcome,
            // and so does this process.
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
                Stop::Problem(problem) => Outcome::Refused {
                    problem,
                    lasting: WRITE_REFUSED_FOR,
                },
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
    // (c) is the report that follows. If it fails, the action stays pending in the status, and any
    // later report confirms it.
    Ok(outcome)
}

/// Whether the API server answered that it did nothing. A conflict does not count as such an
/// answer: something in between may have sent the request twice, and then the second one conflicts
/// with the version that the first one made.
fn was_not_done(error: &Error) -> bool {
    matches!(error, Error::Refused { code: 400..500, .. })
        && !error.is(408)
        && !error.is(409)
        && !error.is(429)
}

/// Writes the fields of `next` that changed, if the resource still has the version that is known
/// here.
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
    // Only the status was written, and on exactly the stored version, so the spec is the stored
    // one.
    if written.unreadable.is_some() {
        written.object.spec.clone_from(&stored.spec);
    }
    managed.observe_version(written.object.into());
    Ok(())
}

/// Reads the current version of the resource.
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

/// A status consists of texts, numbers and lists of them, so this cannot fail.
fn value(status: Option<&ConsumerGroupStatus>) -> Value {
    status
        .and_then(|status| serde_json::to_value(status).ok())
        .unwrap_or_else(|| json!({}))
}
