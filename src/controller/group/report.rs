//! What follows a decision: the action, the status if it has changed enough, the events and the
//! metrics. This file has the order; each step is in a file of its own.

use std::{sync::Arc, time::Duration};

use lagrange_core::api::condition::Reason;
use lagrange_core::api::{ConsumerGroupStatus, Mode};
use lagrange_core::intent::Intent;
use lagrange_core::scaling::decision::{Knowledge, Wait};
use lagrange_core::scaling::policy::Objective;
use lagrange_core::scaling::{Decision, Verdict};
use tokio::time::Instant;
use tracing::debug;

use super::act::{self, Action, Outcome};
use super::session::{Managed, Refusal};
use crate::controller::context::Context;
use crate::controller::kafka::source::{self, Resolved};
use crate::controller::kube::error::{Error, Problem};
use crate::controller::kube::name::Name;
use crate::controller::status;
use crate::controller::status::change::{self, Report, Tolerance};
use crate::controller::status::conditions::{ConditionInput, PollHealth};
use crate::controller::status::events::{self, Circumstances};
use crate::controller::status::group::StatusInput;
use crate::controller::status::metrics::{self, Measured};
use crate::controller::status::reported::Reported;
use crate::controller::target::scale::{self, Addressed, TargetState};
use crate::kafka::model::snapshot::{Group, Snapshot};
use crate::sync::lock;

/// A lag that changes by less than 1/20 of the lag that its replicas are for is not reported.
const LAG_TOLERANCE: i64 = 20;
/// Nor is a delay that changes by less than 1/10 of the objective, or by fewer seconds than
/// consumers usually let pass between two commits.
const DELAY_TOLERANCE: i64 = 10;
const DELAY_LEAST: i64 = 6;
/// After a conflict or an unknown outcome the group is reconciled again after this time.
const AGAIN: Duration = Duration::from_secs(2);

/// Everything that is known after the decision.
pub(in crate::controller) struct Reconciliation<'a> {
    pub(in crate::controller) context: &'a Context,
    pub(in crate::controller) intent: &'a Intent,
    pub(in crate::controller) resolved: &'a Resolved,
    pub(in crate::controller) target: &'a Addressed,
    pub(in crate::controller) size: TargetState,
    pub(in crate::controller) snapshot: Option<&'a Snapshot>,
    /// Polls have stopped.
    pub(in crate::controller) is_silent: bool,
    pub(in crate::controller) decision: &'a Decision,
}

impl Reconciliation<'_> {
    pub(in crate::controller) async fn act(
        &self,
        managed: &mut Managed,
        action: Action,
    ) -> Result<Option<Duration>, Error> {
        let name = Name::of(&**managed.stored());
        if !lock(&self.context.seen.claims).has_turn(&name, self.context.clock.now()) {
            debug!("not acted: another ConsumerGroup goes first now");
            return Ok(Some(AGAIN));
        }
        let (ahead, _) = self.rendered(managed);
        let outcome =
            act::act(self.context, managed, self.target, self.size, action, ahead).await?;
        managed.refusal = None;
        Ok(match outcome {
            Outcome::Done => None,
            Outcome::Unknown => Some(AGAIN),
            Outcome::Retry(why) => {
                debug!(why, "not acted");
                Some(AGAIN)
            }
            Outcome::Refused { problem, lasting } => {
                managed.refusal = Some(Refusal {
                    problem,
                    until: Instant::now() + lasting,
                    generation: managed.stored().metadata.generation,
                });
                None
            }
        })
    }

    /// Writes the status if it has changed, the metrics and the events.
    pub(in crate::controller) async fn report(&self, managed: &mut Managed) -> Result<(), Error> {
        let before = managed.status();
        let (next, reported) = self.rendered(managed);
        let name = Name::of(&**managed.stored());
        let measured = Measured {
            intent: self.intent,
            resolved: self.resolved,
            target: &self.target.key,
            snapshot: self.snapshot,
            decision: self.decision,
        };
        let numbers = &self.context.metrics;
        metrics::measure(numbers, &name, &measured, &next);
        metrics::count_hold(numbers, &mut managed.held, Some(self.decision.verdict));
        let report = (&next, reported);
        let written = write(self.context, managed, &before, report, self.tolerance()).await?;
        let by = if events::is_scaled_externally(self.decision) {
            scale::last_manager(self.context, self.target).await
        } else {
            None
        };
        let mut notes = events::notices(self.decision, by.as_deref());
        if written {
            let circumstances = Circumstances {
                dry_run: self.intent.mode == Mode::DryRun,
                has_cluster: self.resolved.cluster.is_some(),
                is_unread: self
                    .snapshot
                    .is_some_and(|snapshot| snapshot.error.is_some()),
            };
            notes.extend(events::transitions(&before, &next, circumstances));
        }
        let group = Arc::clone(managed.stored());
        let related = Some((&self.target.key, self.target.api_version.as_str()));
        for note in notes {
            let throttle = &mut managed.throttle;
            (self.context.events)
                .write(throttle, &*group, related, note)
                .await;
        }
        Ok(())
    }

    /// The differences that are too small to report under the group's objective.
    fn tolerance(&self) -> Tolerance {
        let facts = &self.decision.facts;
        match self.intent.policy.objective {
            Objective::LagPerReplica(lag) => Tolerance {
                lag: lag.saturating_mul(i64::from(facts.current.max(1))) / LAG_TOLERANCE,
                delay: DELAY_LEAST,
                is_by_delay: false,
            },
            Objective::MaxDelay(delay) => {
                let produced = facts.produced.unwrap_or(0) / 1000;
                Tolerance {
                    lag: produced.saturating_mul(delay.as_secs()) / LAG_TOLERANCE,
                    delay: (delay.as_secs() / DELAY_TOLERANCE).max(DELAY_LEAST),
                    is_by_delay: true,
                }
            }
        }
    }

    /// The new status, and the values that it is made from.
    fn rendered(&self, managed: &Managed) -> (ConsumerGroupStatus, Reported) {
        let lasts = matches!(
            self.decision.facts.knowledge,
            Knowledge::Missing { lasting: true, .. }
        );
        let reading = &self.intent.reading;
        let trouble = self
            .snapshot
            .and_then(|snapshot| source::trouble(snapshot, reading, self.resolved, lasts));
        // A problem with the present credentials explains more than the refusal of the previous
        // ones.
        let trouble = trouble.map(|trouble| match &self.resolved.stale {
            Some(stale) if trouble.reason == Reason::AuthenticationFailed => stale.clone(),
            _ => trouble,
        });
        let stale = source::stale(self.resolved, self.snapshot);
        let group = self
            .snapshot
            .and_then(|snapshot| snapshot.groups.get(&reading.id));
        let input = StatusInput {
            now: self.context.clock.now(),
            generation: managed.stored().metadata.generation,
            policy: &self.intent.policy,
            reading,
            group,
            found: ConditionInput {
                decision: self.decision,
                trouble: trouble.as_ref(),
                stale: stale.as_deref(),
                refusal: managed.refusal.as_ref().map(|refusal| &refusal.problem),
                polls: match self.snapshot {
                    _ if self.is_silent => PollHealth::Silent,
                    Some(snapshot) if snapshot.error.is_some() => PollHealth::Failing,
                    _ => PollHealth::Answered,
                },
                beside: managed.neighbour.as_ref().map(|_| &*reading.id),
                idle_lasts: managed.idle_lasts,
                fleeting_instances: group.is_some_and(Group::has_static_members)
                    && !self.target.key.keeps_names(),
                dry_run: self.intent.mode == Mode::DryRun,
                unmatched: self.intent.unmatched_pattern(),
            },
            memory: &managed.state.memory,
        };
        let threads = self.intent.policy.threads;
        let reported = Reported::of(&input.found, threads, managed.reported.as_ref());
        (status::group::status(input, &managed.status()), reported)
    }

    /// The time until the hold ends.
    pub(in crate::controller) fn until(&self) -> Option<Duration> {
        let Verdict::Hold(Wait {
            until: Some(until), ..
        }) = self.decision.verdict
        else {
            return None;
        };
        Some(self.context.until(until))
    }
}

/// Writes a status if it has changed and if that kind of change is due. Returns whether it did.
async fn write(
    context: &Context,
    managed: &mut Managed,
    stored: &ConsumerGroupStatus,
    (next, reported): (&ConsumerGroupStatus, Reported),
    tolerance: Tolerance,
) -> Result<bool, Error> {
    let before = Report {
        status: stored,
        rests_on: managed.reported.as_ref(),
    };
    let now = Report {
        status: next,
        rests_on: Some(&reported),
    };
    let Some(due_after) = change::of(before, now, tolerance).due_after() else {
        return Ok(false);
    };
    if managed.written.is_some_and(|at| at.elapsed() < due_after) {
        return Ok(false);
    }
    match act::write_status(context, managed, next).await {
        Ok(()) => {
            managed.written = Some(Instant::now());
            managed.reported = Some(reported);
            Ok(true)
        }
        Err(error) if error.is(409) => {
            // Another writer was faster: the next run reports on the version that is there then.
            act::look_up(context, managed).await?;
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Reports on a group that is not managed at present: nothing of it is read, and its status says
/// why.
pub(super) async fn set_aside(
    context: &Context,
    managed: &mut Managed,
    problem: &Problem,
) -> Result<(), Error> {
    managed.reading = None;
    let group = Arc::clone(managed.stored());
    let stored = managed.status();
    let next = status::group::of_problem(
        problem,
        group.metadata.generation,
        context.clock.now(),
        &managed.state.memory,
        &stored,
    );
    metrics::measure_problem(&context.metrics, &Name::of(&*group), &next);
    metrics::count_hold(&context.metrics, &mut managed.held, None);
    let report = (&next, Reported::of_problem(problem));
    let written = write(context, managed, &stored, report, Tolerance::default()).await?;
    if let Some(note) = events::of_problem(&stored, problem).filter(|_| written) {
        (context.events)
            .write(&mut managed.throttle, &*group, None, note)
            .await;
    }
    Ok(())
}
