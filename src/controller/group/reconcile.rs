//! The pipeline for one ConsumerGroup: observe, decide, act, report. This file has the order; each
//! step is in a file of its own.

use std::{sync::Arc, time::Duration};

use kube::{ResourceExt as _, runtime::controller};
use lagrange_core::api::ConsumerGroup;
use lagrange_core::intent::Intent;

use super::report::{Reconciliation, set_aside};
use super::session::Managed;
use super::{act, resolve};
use crate::controller::context::Context;
use crate::controller::kafka::source;
use crate::controller::kube::error::{Error, Problem, Stop};
use crate::controller::kube::name::Name;
use crate::controller::ownership::{Progress, Ruling};
use crate::controller::target::scale;
use crate::kafka::model::interest::Key;
use crate::sync::lock;

/// When to try again after a short wait (Secrets are being read, or another group has the turn), if
/// no event comes first.
const SOON: Duration = Duration::from_secs(2);
/// First pause after an error of the API server; doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Runs the pipeline for one group once.
pub(in crate::controller) async fn reconcile(
    group: Arc<ConsumerGroup>,
    context: Arc<Context>,
) -> Result<controller::Action, Error> {
    let _timer = context.metrics.time_reconcile();
    let name = Name::of(&*group);
    let ahead = context.api.leadership.ahead_of_predecessor();
    let remembered = context.sessions.managed(&name, &group, ahead);
    let mut managed = remembered.lock().await;
    managed.observe_version(group);
    let next = match step(&context, &name, &mut managed).await {
        Err(Stop::Problem(problem)) => {
            resolve::note_progress(&context, &name, Progress::Failing);
            set_aside(&context, &mut managed, &problem)
                .await
                .map(|()| None)
        }
        Err(Stop::Error(error)) => {
            if error.is_lasting() {
                resolve::note_progress(&context, &name, Progress::Failing);
            }
            Err(error)
        }
        Ok(next) => Ok(next),
    };
    context.done(&name, &remembered, next.is_ok());
    // A watch starts the next run; the timer is for the case that no event comes.
    let patience = context
        .settings
        .inline_interval
        .max(Duration::from_secs(30))
        * 2;
    Ok(controller::Action::requeue(
        next?.unwrap_or(patience).min(patience) + jitter(),
    ))
}

/// The pipeline. Returns how soon it must run again at the latest, if that is soon.
async fn step(
    context: &Context,
    name: &Name,
    managed: &mut Managed,
) -> Result<Option<Duration>, Stop> {
    let group = Arc::clone(managed.stored());
    let user = Key::consumer_group(&name.namespace, &name.name);
    if let Some(why) = lock(&context.seen.unreadable_groups).get(name) {
        context.secrets.release(&user);
        return Err(Problem::unreadable_spec(why).into());
    }
    let intent = Intent::of(&group)?;
    let release = || context.secrets.release(&user);
    let located = source::locate(context, &intent.source, &name.namespace, &intent.reading.id)
        .inspect_err(|_| release())?;
    match resolve::contested(context, managed, name) {
        Ruling::Turn { .. } => {}
        Ruling::Soon { .. } => return Ok(Some(SOON)),
        Ruling::Contested(contest) => {
            release();
            set_aside(context, managed, &contest.problem).await?;
            return Ok(contest.until.map(|until| context.until(until)));
        }
    }
    let before = managed.reading.as_ref().map(|reading| &reading.connection);
    let Some(resolved) = source::connect(context, located, name, before)? else {
        return Ok(Some(SOON));
    };
    let target = scale::address(context, &intent.target, &name.namespace).await?;
    let size = scale::see(context, &target).await?;
    // Last of the steps that may fail: to begin reading starts a poll for all users of that
    // cluster.
    resolve::read(context, name, managed, &intent, &resolved)
        .inspect_err(|_| context.secrets.unmake(&user))?;
    resolve::take_over_action(context, managed, &target);
    if managed.is_surprised_by(size.target.replicas) {
        act::look_up(context, managed).await?;
    }

    let snapshot = resolve::snapshot(context, managed);
    let (decision, is_silent) = resolve::decided(
        context,
        managed,
        &group,
        &intent,
        &resolved,
        snapshot.as_deref(),
        size.target,
    );
    resolve::hand_over_action(context, managed, &intent, &target);
    let reconciliation = Reconciliation {
        context,
        intent: &intent,
        resolved: &resolved,
        target: &target,
        size,
        snapshot: snapshot.as_deref(),
        is_silent,
        decision: &decision,
    };
    let again = match resolve::action(managed, &intent, decision.verdict) {
        Some(action) => reconciliation.act(managed, action).await?,
        None => None,
    };
    let progress = resolve::progress(managed, &intent, &resolved, snapshot.as_deref());
    resolve::note_progress(context, name, progress);
    reconciliation.report(managed).await?;
    Ok(again.or_else(|| reconciliation.until()))
}

/// When to try again after an error of the API server.
#[expect(clippy::needless_pass_by_value, reason = "called so by the scheduler")]
pub(in crate::controller) fn error_policy(
    group: Arc<ConsumerGroup>,
    error: &Error,
    context: Arc<Context>,
) -> controller::Action {
    let failures = context.sessions.count_failure(&Name::of(&*group));
    context.metrics.reconcile_error(error.category());
    tracing::warn!(
        group = format!(
            "{}/{}",
            group.namespace().unwrap_or_default(),
            group.name_any()
        ),
        failures,
        "{error}"
    );
    let pause = FIRST_PAUSE
        .saturating_mul(1_u32 << failures.saturating_sub(1).min(16))
        .min(LONGEST_PAUSE);
    controller::Action::requeue(pause + jitter())
}

/// Up to half a second, so that groups that wait for the same moment do not all run at once.
fn jitter() -> Duration {
    use std::hash::{BuildHasher as _, RandomState};
    Duration::from_millis(RandomState::new().hash_one(0) % 500)
}
