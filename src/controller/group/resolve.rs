//! What comes before and with the decision: whether the group may be managed, what is read for it,
//! what is remembered of its target, and the call of `decide` itself. Writes nothing.

use std::sync::Arc;

use jiff::SignedDuration;
use lagrange_core::api::condition::{Reason, Type};
use lagrange_core::api::{ConsumerGroup, Mode, condition};
use lagrange_core::intent::Intent;
use lagrange_core::recording::Words;
use lagrange_core::scaling::decision::Wait;
use lagrange_core::scaling::observation::{Target, Unreadable};
use lagrange_core::scaling::{Decision, Memory, State, Verdict, decide};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::act::Action;
use super::observe;
use super::session::{Managed, Reading, Refusal};
use crate::controller::context::Context;
use crate::controller::kafka::source::{self, Resolved};
use crate::controller::kube::error::Problem;
use crate::controller::kube::name::Name;
use crate::controller::ownership::{Progress, Ruling};
use crate::controller::status::format;
use crate::controller::target::scale::Addressed;
use crate::kafka::model::interest::{Interest, Key};
use crate::kafka::model::snapshot::Snapshot;
use crate::recording::Turn;
use crate::sync::lock;

/// Whether the target or the group is contested (ACT-9). The log names both sides.
pub(in crate::controller) fn contested(
    context: &Context,
    managed: &mut Managed,
    name: &Name,
) -> Ruling {
    let now = context.clock.now();
    let relation = |mine: &_, other: &_| source::relation(context, mine, other);
    let ruling = lock(&context.seen.claims).ask(name, now, relation);
    let (rival, neighbour) = match &ruling {
        Ruling::Turn { neighbour } => (None, neighbour.clone()),
        Ruling::Contested(contest) => {
            if contest.rival.is_none() {
                // An autoscaler scales the target: then this group does not manage it.
                note_progress(context, name, Progress::Failing);
            }
            (contest.rival.clone(), None)
        }
        Ruling::Soon { rival } => {
            context.wake.groups([rival.clone()]);
            return ruling;
        }
    };
    if let Some(rival) = rival.as_ref().filter(|_| rival != managed.rival) {
        warn!(group = %name, %rival, "waits for another ConsumerGroup on the same target or group, which goes first");
    }
    if let Some(neighbour) = neighbour
        .as_ref()
        .filter(|_| neighbour != managed.neighbour)
    {
        warn!(group = %name, %neighbour, "a ConsumerGroup of another namespace manages the same group of the same servers");
    }
    managed.rival = rival;
    managed.neighbour = neighbour;
    ruling
}

/// The progress of a group that is not contested.
pub(in crate::controller) fn progress(
    managed: &Managed,
    intent: &Intent,
    resolved: &Resolved,
    snapshot: Option<&Snapshot>,
) -> Progress {
    let Some(snapshot) = snapshot else {
        return Progress::Unknown;
    };
    let reading = &intent.reading;
    if managed.refusal.is_some() || source::trouble(snapshot, reading, resolved, false).is_some() {
        Progress::Failing
    } else if snapshot.error.is_none() && snapshot.groups.contains_key(&reading.id) {
        Progress::Managed
    } else {
        Progress::Unknown
    }
}

/// Notes the progress of a group, and wakes the groups that wait for it.
pub(super) fn note_progress(context: &Context, name: &Name, progress: Progress) {
    let now = context.clock.now();
    let concerned = lock(&context.seen.claims).note(name, progress, now);
    context.wake.groups(concerned);
}

/// Starts or updates the reading of what the group needs from Kafka.
pub(in crate::controller) fn read(
    context: &Context,
    name: &Name,
    managed: &mut Managed,
    intent: &Intent,
    resolved: &Resolved,
) -> Result<(), Problem> {
    let identity = resolved.connection.identity();
    let connection = &resolved.connection;
    let was_refused = match &managed.reading {
        Some(reading) => reading.interest.was_refused,
        None => was_refused(managed),
    };
    let interest = Interest {
        interval: resolved.interval,
        group: Some(intent.reading.clone()),
        was_refused,
    };
    if let Some(reading) = &mut managed.reading
        && *reading.watch.identity() == identity
        && reading.interest.group.as_ref().map(|group| &group.id) == Some(&intent.reading.id)
    {
        if reading.connection != *connection {
            reading.watch.renew(connection);
            reading.connection = connection.clone();
        }
        if reading.interest != interest {
            reading.watch.update(interest.clone());
            reading.interest = interest;
            reading.since = context.clock.now();
        }
        return Ok(());
    }
    // Another group, another cluster, or reading resumes after a pause: past observations are
    // dropped, the memory is kept (KEEP-28). The old watch is dropped first, since both would count
    // against the namespace's limit.
    managed.reading = None;
    managed.state = State::after_restart(std::mem::take(&mut managed.state.memory));
    let key = Key::consumer_group(&name.namespace, &name.name);
    let watch = context
        .kafka
        .watch(connection, key, interest.clone())
        .map_err(|error| source::unwatchable(resolved, error))?;
    managed.reading = Some(Reading {
        connection: connection.clone(),
        interest,
        watch,
        since: context.clock.now(),
    });
    Ok(())
}

/// Whether the last written status says that there were too many partitions to read.
fn was_refused(managed: &Managed) -> bool {
    let conditions = managed.status().conditions;
    let ready = condition::said(&conditions, Type::Ready);
    ready.is_some_and(|(_, why)| why == Some(Reason::TooManyPartitions))
}

/// Takes over the last action on the target from the ConsumerGroup that managed it before, if that
/// action is later than this group's own.
pub(in crate::controller) fn take_over_action(
    context: &Context,
    managed: &mut Managed,
    target: &Addressed,
) {
    let time = |memory: &Memory| memory.last.map(|last| last.time);
    if let Some(theirs) = context.sessions.last_action(&target.key)
        && time(&theirs) > time(&managed.state.memory)
    {
        let ours = managed.state.memory.clone();
        managed.adopt(Memory {
            last: theirs.last,
            expected: theirs.expected,
            version: theirs.version,
            ..ours
        });
    }
}

/// Leaves the last action to the ConsumerGroup that manages the target next. Called after `decide`
/// has corrected what a wrong clock left.
pub(super) fn hand_over_action(
    context: &Context,
    managed: &Managed,
    intent: &Intent,
    target: &Addressed,
) {
    if intent.mode == Mode::Auto {
        context
            .sessions
            .note_action(&target.key, &managed.state.memory, context.clock.now());
    }
}

/// The latest snapshot of the group's cluster.
pub(in crate::controller) fn snapshot(
    context: &Context,
    managed: &Managed,
) -> Option<Arc<Snapshot>> {
    let reading = managed.reading.as_ref()?;
    let snapshot = reading.watch.latest()?;
    context.note_cluster_id(reading.watch.identity(), snapshot.cluster_id.as_ref());
    Some(snapshot)
}

/// Observes and decides. The second value is whether polls have stopped.
pub(in crate::controller) fn decided(
    context: &Context,
    managed: &mut Managed,
    group: &ConsumerGroup,
    intent: &Intent,
    resolved: &Resolved,
    snapshot: Option<&Snapshot>,
    size: Target,
) -> (Decision, bool) {
    let now = context.clock.now();
    let input = observe::ObserveInput {
        now,
        snapshot,
        reading: &intent.reading,
        delayed: intent.delayed.as_ref(),
        interval: SignedDuration::try_from(resolved.interval).unwrap_or(SignedDuration::MAX),
        since: managed
            .reading
            .as_ref()
            .map_or(now, |reading| reading.since),
    };
    let observation = observe::observation(&input, size);
    let number = snapshot.map(|snapshot| snapshot.poll);
    let is_silent = matches!(observation.snapshot, Err(Unreadable::PollFailed { number: other }) if Some(other) != number);
    let is_too_much =
        snapshot.is_some_and(|snapshot| source::is_too_much(snapshot, &intent.reading));
    if is_too_much && !std::mem::replace(&mut managed.is_too_much, true) {
        // Past observations of its partitions take up bytes that are now granted to others.
        managed.state = State::after_restart(std::mem::take(&mut managed.state.memory));
    }
    managed.is_too_much = is_too_much;
    let recorder = context.recorder.as_ref().filter(|r| r.is_of(group));
    let before = recorder.map(|_| (managed.state.memory.clone(), managed.state.is_fresh()));
    let state = std::mem::take(&mut managed.state);
    let (decision, state) = decide(&intent.policy, state, &observation);
    managed.state = state;
    if let (Some(recorder), Some((before, is_fresh))) = (recorder, before) {
        let seen = snapshot.and_then(|snapshot| snapshot.groups.get(&intent.reading.id));
        let state = seen.and_then(|seen| seen.state.as_ref().ok());
        recorder.record(&Turn {
            group,
            before,
            is_fresh,
            observation: &observation,
            words: Words {
                state: state.map(|state| state.as_str()),
                assignor: seen.and_then(observe::assignor),
            },
            decision: &decision,
            after: &managed.state.memory,
        });
    }
    managed.note_idle(&decision, &observation);
    if let Some(reading) = &managed.reading {
        let unsure = managed.idle_since.is_some() && !managed.idle_lasts;
        reading
            .watch
            .describe_members(decision.facts.wants_members || unsure);
    }
    let (reason, to) = match decision.verdict {
        Verdict::Scale { why, to, .. } => (why.as_str(), Some(to)),
        Verdict::Hold(Wait { why, .. }) => (why.as_str(), None),
    };
    debug!(
        reason,
        to,
        trail = format::detail(&decision.trail),
        "decided"
    );
    (decision, is_silent)
}

/// The action to take, if this decision may be acted on.
pub(in crate::controller) fn action(
    managed: &mut Managed,
    intent: &Intent,
    verdict: Verdict,
) -> Option<Action> {
    let generation = managed.stored().metadata.generation;
    let stands =
        |refusal: &Refusal| refusal.generation == generation && Instant::now() < refusal.until;
    // A refusal that is old or was about another specification no longer applies, whatever is
    // decided now.
    managed.refusal = managed.refusal.take().filter(stands);
    match verdict {
        Verdict::Scale { from, to, .. } if intent.mode == Mode::Auto => {
            managed.refusal.is_none().then_some(Action { from, to })
        }
        Verdict::Scale { .. } | Verdict::Hold(_) => None,
    }
}
