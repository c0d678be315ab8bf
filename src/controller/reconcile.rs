//! The pipeline for one ConsumerGroup: observe, decide, act, report. Each step is another file's; the order is here.

use std::{sync::Arc, time::Duration};

use jiff::SignedDuration;
use kube::{ResourceExt as _, runtime::controller};
use tokio::time::Instant;
use tracing::debug;

use crate::{
    api::{ConsumerGroup, ConsumerGroupStatus, Mode},
    intent::Intent,
    kafka::{
        interest::{Interest, Key},
        snapshot::Snapshot,
    },
    scaling::{
        Decision, Memory, State, Verdict, decide,
        decision::{Knowledge, Wait},
        observation::Target,
    },
};

use super::{
    act::{self, Action, Outcome},
    conditions::Found,
    context::{Context, lock},
    error::{Error, Problem, Stop},
    event,
    managed::{Managed, Reading, Refusal},
    name::Name,
    notify, observe,
    report::{self, News, Scene},
    source::{self, Resolved},
    target::{self, Addressed},
    words,
};

/// Moved numbers alone are written this often at most (decision 29).
const NUMBERS_EVERY: Duration = Duration::from_mins(1);
/// A target that cannot be scaled is tried again so much later, or when its resource changes.
const REFUSED_FOR: Duration = Duration::from_mins(5);
/// After a conflict or an unknown outcome the group is looked at again so soon.
const AGAIN: Duration = Duration::from_secs(2);
/// First pause after an error of the API server; doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Brings one group a step further.
pub(super) async fn reconcile(
    group: Arc<ConsumerGroup>,
    context: Arc<Context>,
) -> Result<controller::Action, Error> {
    let _timer = context.metrics.time_reconcile();
    let name = Name::of(&*group);
    let managed = context.managed(&name, &group);
    let mut managed = managed.lock().await;
    managed.meet(group);
    let next = match step(&context, &name, &mut managed).await {
        Ok(next) => next,
        Err(Stop::Problem(problem)) => {
            set_aside(&context, &mut managed, &problem).await?;
            None
        }
        Err(Stop::Error(error)) => return Err(error),
    };
    context.succeeded(&name);
    // Something that is watched will wake it; the timer is for when nothing comes.
    let patience = context
        .settings
        .inline_interval
        .max(Duration::from_secs(30))
        * 2;
    Ok(controller::Action::requeue(
        next.unwrap_or(patience).min(patience) + jitter(),
    ))
}

/// The pipeline. Returns when to look again at the latest, if that is soon.
async fn step(
    context: &Context,
    name: &Name,
    managed: &mut Managed,
) -> Result<Option<Duration>, Stop> {
    let group = Arc::clone(managed.stored());
    let intent = Intent::of(&group)?;
    let resolved = source::resolve(context, &intent.source, &name.namespace, &intent.reading.id)?;
    contested(context, name)?;
    read(context, name, managed, &intent, &resolved)?;
    let target = target::address(context, &intent.target, &name.namespace).await?;
    let size = target::see(context, &target).await?;
    inherit(context, managed, &target);

    let looked = looked(context, managed);
    let decision = decided(
        context,
        managed,
        &intent,
        &resolved,
        looked.as_deref(),
        size,
    );
    let view = View {
        context,
        intent: &intent,
        resolved: &resolved,
        target: &target,
        looked: looked.as_deref(),
        decision: &decision,
    };
    let again = match action(managed, &intent, decision.verdict) {
        Some(action) => view.act(managed, action).await?,
        None => None,
    };
    view.report(managed).await?;
    Ok(again.or_else(|| view.until()))
}

/// Whether somebody else manages the target or the group (decision 9).
fn contested(context: &Context, name: &Name) -> Result<(), Problem> {
    let same_cluster = |a: &_, b: &_| match (
        source::identity_of(context, a),
        source::identity_of(context, b),
    ) {
        (Some(a), Some(b)) => context.is_same_cluster(&a, &b),
        _ => false,
    };
    match lock(&context.seen.claims).verdict(name, same_cluster) {
        Some(problem) => Err(problem),
        None => Ok(()),
    }
}

/// Has Kafka read what the group needs.
fn read(
    context: &Context,
    name: &Name,
    managed: &mut Managed,
    intent: &Intent,
    resolved: &Resolved,
) -> Result<(), Problem> {
    let identity = resolved.connection.identity();
    let interest = Interest {
        interval: resolved.interval,
        group: Some(intent.reading.clone()),
    };
    if let Some(reading) = &mut managed.reading
        && reading.identity == identity
        && reading.interest.group.as_ref().map(|group| &group.id) == Some(&intent.reading.id)
    {
        if reading.interest != interest {
            reading.watch.update(interest.clone());
            reading.interest = interest;
            reading.since = context.clock.now();
        }
        return Ok(());
    }
    // Another group, another cluster, or after a time in which nothing was read: what was seen is of no use, what was
    // done is (decision 28). The old watch goes first, since both would count against the namespace's limit.
    managed.reading = None;
    managed.state = State::after_restart(std::mem::take(&mut managed.state.memory));
    let key = Key::consumer_group(&name.namespace, &name.name);
    let watch = context
        .kafka
        .watch(&resolved.connection, key, interest.clone())?;
    managed.reading = Some(Reading {
        identity,
        interest,
        watch,
        since: context.clock.now(),
    });
    Ok(())
}

/// Takes over the last action on the target from whoever managed it before, if that is later than our own.
fn inherit(context: &Context, managed: &mut Managed, target: &Addressed) {
    let time = |memory: &Memory| memory.last.map(|last| last.time);
    if let Some(theirs) = context.last_action(&target.key)
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

fn looked(context: &Context, managed: &Managed) -> Option<Arc<Snapshot>> {
    let reading = managed.reading.as_ref()?;
    let snapshot = reading.watch.latest()?;
    context.note_cluster_id(&reading.identity, snapshot.cluster_id.as_ref());
    Some(snapshot)
}

/// Observes and decides.
fn decided(
    context: &Context,
    managed: &mut Managed,
    intent: &Intent,
    resolved: &Resolved,
    looked: Option<&Snapshot>,
    size: Target,
) -> Decision {
    let now = context.clock.now();
    let sight = observe::Sight {
        now,
        snapshot: looked,
        reading: &intent.reading,
        interval: SignedDuration::try_from(resolved.interval).unwrap_or(SignedDuration::MAX),
        since: managed
            .reading
            .as_ref()
            .map_or(now, |reading| reading.since),
    };
    let observation = observe::observation(&sight, size);
    let state = std::mem::take(&mut managed.state);
    let (decision, state) = decide(&intent.policy, state, &observation);
    managed.state = state;
    managed.note_idle(&decision, &observation);
    if let Some(reading) = &managed.reading {
        let unsure = managed.idle_since.is_some() && !managed.idle_lasts;
        reading.watch.attend(decision.facts.wants_members || unsure);
    }
    debug!(
        verdict = ?decision.verdict,
        trail = words::detail(&decision.trail),
        "decided"
    );
    decision
}

/// The action to take, if this decision is one that may be acted on.
fn action(managed: &mut Managed, intent: &Intent, verdict: Verdict) -> Option<Action> {
    let generation = managed.stored().metadata.generation;
    let refused =
        |refusal: &Refusal| refusal.generation == generation && refusal.at.elapsed() < REFUSED_FOR;
    match verdict {
        Verdict::Scale { from, to, .. } if intent.mode == Mode::Auto => {
            if managed.refusal.as_ref().is_some_and(refused) {
                return None;
            }
            managed.refusal = None;
            Some(Action { from, to })
        }
        Verdict::Scale { .. } | Verdict::Hold(_) => None,
    }
}

/// Everything that is known once it has been decided.
pub(super) struct View<'a> {
    pub(super) context: &'a Context,
    pub(super) intent: &'a Intent,
    pub(super) resolved: &'a Resolved,
    pub(super) target: &'a Addressed,
    pub(super) looked: Option<&'a Snapshot>,
    pub(super) decision: &'a Decision,
}

impl View<'_> {
    async fn act(&self, managed: &mut Managed, action: Action) -> Result<Option<Duration>, Error> {
        let ahead = self.status(managed);
        let outcome = act::act(self.context, managed, self.target, action, ahead).await?;
        managed.refusal = None;
        Ok(match outcome {
            Outcome::Done => None,
            Outcome::Unknown => Some(AGAIN),
            Outcome::LookAgain(why) => {
                debug!(why, "not acted");
                Some(AGAIN)
            }
            Outcome::Refused(problem) => {
                managed.refusal = Some(Refusal {
                    problem,
                    at: Instant::now(),
                    generation: managed.stored().metadata.generation,
                });
                None
            }
        })
    }

    /// Writes what is new, and tells what has happened.
    async fn report(&self, managed: &mut Managed) -> Result<(), Error> {
        let stored = managed.status();
        let next = self.status(managed);
        notify::measure(self, managed, &next);
        let written = write(self.context, managed, &stored, &next).await?;
        let mut happenings = notify::notices(self.decision);
        if written {
            happenings.extend(notify::transitions(&stored, &next, self));
        }
        let group = Arc::clone(managed.stored());
        let related = Some((&self.target.key, self.target.api_version.as_str()));
        for mut happening in happenings {
            if happening.reason == notify::SCALED_EXTERNALLY {
                let manager = target::last_manager(self.context, self.target).await;
                notify::name_manager(&mut happening, manager);
            }
            event::tell(self.context, &mut managed.told, &*group, related, happening).await;
        }
        Ok(())
    }

    fn status(&self, managed: &Managed) -> ConsumerGroupStatus {
        let lasts = matches!(
            self.decision.facts.knowledge,
            Knowledge::Missing { lasting: true, .. }
        );
        let reading = &self.intent.reading;
        let trouble = self
            .looked
            .and_then(|looked| source::trouble(looked, reading, self.resolved, lasts));
        let now = self.context.clock.now();
        let scene = Scene {
            now,
            generation: managed.stored().metadata.generation,
            policy: &self.intent.policy,
            reading,
            group: self
                .looked
                .and_then(|looked| looked.groups.get(&reading.id)),
            found: Found {
                decision: self.decision,
                trouble: trouble.as_ref(),
                refusal: managed.refusal.as_ref().map(|refusal| &refusal.problem),
                is_stale: lasts && self.looked.is_none_or(|looked| looked.error.is_none()),
                idle_lasts: managed.idle_lasts,
                dry_run: self.intent.mode == Mode::DryRun,
            },
            memory: &managed.state.memory,
        };
        report::status(scene, &managed.status())
    }

    /// When the wait of a hold ends.
    fn until(&self) -> Option<Duration> {
        let Verdict::Hold(Wait {
            until: Some(until), ..
        }) = self.decision.verdict
        else {
            return None;
        };
        let left = until.duration_since(self.context.clock.now());
        Some(
            Duration::try_from(left)
                .unwrap_or_default()
                .max(Duration::from_secs(1)),
        )
    }
}

/// Writes a status if it says something new; moved numbers alone not more often than once a minute. Says whether it did.
async fn write(
    context: &Context,
    managed: &mut Managed,
    stored: &ConsumerGroupStatus,
    next: &ConsumerGroupStatus,
) -> Result<bool, Error> {
    let due = managed
        .numbers_written
        .is_none_or(|at| at.elapsed() >= NUMBERS_EVERY);
    match report::news(stored, next) {
        News::None => return Ok(false),
        News::Numbers if !due => return Ok(false),
        News::Numbers | News::Words => {}
    }
    match act::write_status(context, managed, next).await {
        Ok(()) => {
            managed.numbers_written = Some(Instant::now());
            Ok(true)
        }
        Err(error) if error.is(409) => {
            // Somebody else was faster: the next look reports on what is there then.
            act::look_up(context, managed).await?;
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// A group that is not managed at present: nothing of it is read, and its status says why.
async fn set_aside(
    context: &Context,
    managed: &mut Managed,
    problem: &Problem,
) -> Result<(), Error> {
    managed.reading = None;
    let group = Arc::clone(managed.stored());
    let stored = managed.status();
    let next = report::of_problem(
        problem,
        group.metadata.generation,
        context.clock.now(),
        &stored,
    );
    notify::measure_problem(context, &group, managed, &next);
    let written = write(context, managed, &stored, &next).await?;
    if let Some(happening) = notify::of_problem(&stored, problem).filter(|_| written) {
        event::tell(context, &mut managed.told, &*group, None, happening).await;
    }
    Ok(())
}

/// When to try again after an error of the API server.
pub(super) fn error_policy(
    group: Arc<ConsumerGroup>,
    error: &Error,
    context: Arc<Context>,
) -> controller::Action {
    let failures = context.count_failure(&Name::of(&*group));
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

/// Up to half a second, so that groups that wait for one moment do not all come in it.
fn jitter() -> Duration {
    use std::hash::{BuildHasher as _, RandomState};
    Duration::from_millis(RandomState::new().hash_one(0) % 500)
}
