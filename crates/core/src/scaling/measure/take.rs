//! Takes an observation in, and says what it and what was seen before it come to.

use crate::scaling::input::observation::{
    Assignor, GroupState, Look, Members, Observation, Rollout,
};
use crate::scaling::input::policy::{Objective, Policy};
use crate::scaling::measure::capacity;
use crate::scaling::measure::demand::{self, Demand};
use crate::scaling::measure::estimate::{Estimate, LiveLag};
use crate::scaling::measure::history::{self, History, Knowledge, Taken};
use crate::scaling::measure::lag::{self, Lag};
use crate::scaling::measure::limits::{Bounds, Shape};
use crate::scaling::measure::membership::Membership;
use crate::scaling::measure::notice::Notice;
use crate::scaling::measure::replica_changes::{self, Sight};
use crate::scaling::state::memory::Memory;

/// What was measured. Nothing in it changes while the decision is made.
#[derive(Debug)]
pub(in crate::scaling) struct Measurements {
    pub(in crate::scaling) sight: Sight,
    /// The partition counts, when every topic gave them.
    pub(in crate::scaling) shape: Option<Shape>,
    pub(in crate::scaling) bounds: Option<Bounds>,
    pub(in crate::scaling) knowledge: Knowledge,
    /// Every partition of every topic that counts was read.
    pub(in crate::scaling) is_whole: bool,
    pub(in crate::scaling) lag: Lag,
    pub(in crate::scaling) live: LiveLag,
    /// What the lag asks for.
    pub(in crate::scaling) demand: Option<Demand>,
    /// What this look says of rates and delay.
    pub(in crate::scaling) estimate: Option<Estimate>,
    pub(in crate::scaling) notices: Vec<Notice>,
}

/// Takes an observation in. `history` and `memory` hold afterwards what was seen.
pub(in crate::scaling) fn take(
    policy: &Policy,
    memory: &mut Memory,
    history: &mut History,
    observation: &Observation,
) -> Measurements {
    let now = observation.now;
    let target = observation.target;
    let (sight, mut notices) = compare_replicas(policy, memory, history, observation);
    let look = observation.look.as_ref().ok();
    let lag = look.map(|look| lag::of_look(look, policy.offset_reset));
    let lag = lag.unwrap_or_default();
    let taken = history.take(policy, memory, observation, &lag);
    notices.extend(taken.notices.iter().cloned());

    memory.assignor = look.and_then(|l| l.group.assignor).or(memory.assignor);
    let shape = look
        .filter(|l| history::limit_is_known(l))
        .map(|l| shape_of(l, &history.membership, memory.assignor, policy.threads));
    if let Some(shape) = &shape {
        memory.limit = Some(shape.limit());
    }
    let bounds = bounds_of(policy, shape.as_ref(), memory.limit);
    let estimate = estimate(
        policy,
        memory,
        history,
        observation,
        bounds.as_ref(),
        &taken,
    );
    let live = estimate
        .as_ref()
        .map_or(LiveLag::UNKNOWN, Estimate::live_lag);
    if taken.is_other || history.bounds_changed(bounds.as_ref()) {
        history.evidence.clear();
    }
    let demand = look.zip(bounds.as_ref()).map(|(look, bounds)| {
        let (replicas, ends) = (target.replicas, history.sum_of_ends(look));
        demand::of(policy, memory, bounds, replicas, live.total, ends, look)
    });
    if let Some(look) = look.filter(|_| taken.is_new && taken.is_whole) {
        if target.replicas == 0 && memory.slept_at.is_none() {
            // Asleep, and not by us: from now on what comes is told by the ends, whatever becomes
            // of the commits.
            memory.slept_at = demand::read_so_far(history, look, &lag, policy.offset_reset);
        }
        take_whole(policy, history, look, demand, shape.as_ref());
    }
    Measurements {
        sight,
        shape,
        bounds,
        knowledge: history.knowledge(now, &policy.tuning),
        is_whole: taken.is_whole,
        lag,
        live,
        demand,
        estimate,
        notices,
    }
}

/// Brings memory and target together, and begins anew what another target or an action makes
/// another series.
fn compare_replicas(
    policy: &Policy,
    memory: &mut Memory,
    history: &mut History,
    observation: &Observation,
) -> (Sight, Vec<Notice>) {
    let mut notices = Vec::new();
    if memory
        .subject
        .is_some_and(|subject| subject != policy.subject)
    {
        history.evidence.clear();
        history.law = history::Law::default();
    }
    let (replicas, now) = (observation.target.replicas, observation.now);
    let (sight, acted) = replica_changes::adopt(policy, memory, replicas, now, &mut notices);
    if acted && let Some(last) = memory.last.filter(|last| last.to > last.from) {
        memory.before_up = history.membership.before_up(last.from);
    }
    if acted || history.action_changed(memory.last.map(|l| l.time)) {
        history.note_action();
    }
    (sight, notices)
}

/// Takes in what a look says of which everything was read.
fn take_whole(
    policy: &Policy,
    history: &mut History,
    look: &Look,
    demand: Option<Demand>,
    shape: Option<&Shape>,
) {
    if let Some(demand) = demand {
        history.evidence.push(look.at, demand.asked, &policy.tuning);
    }
    if assignments_are_shown(look) {
        history.note_certain_limit(shape.map(Shape::certain_limit));
    }
    demand::note_quiet(history, look, policy.may_hold_markers);
}

/// Takes in offsets and owners, learns what one consumer can do, and estimates.
fn estimate(
    policy: &Policy,
    memory: &mut Memory,
    history: &mut History,
    observation: &Observation,
    bounds: Option<&Bounds>,
    taken: &Taken,
) -> Option<Estimate> {
    let rolled_out =
        history.timers.rollout.is_some() && observation.target.rollout == Rollout::None;
    // Under a lag what was measured is kept until the next backlog: a probe that fails makes lag
    // ask for many.
    if rolled_out && matches!(policy.objective, Objective::MaxDelay(_)) {
        memory.learnt.doubt();
    }
    let look = observation.look.as_ref().ok()?;
    let tuning = &*policy.tuning;
    let law = &mut history.law;
    if taken.is_other {
        law.what_if.clear();
    }
    if taken.is_new {
        if let Some(pause) = law.partitions.pause.take() {
            memory.learnt.note_pause(pause, look.at, tuning);
        }
        if std::mem::take(&mut law.partitions.found_waits) {
            memory.learnt.capacity = None;
        }
        let worked = std::mem::take(&mut law.partitions.longest);
        memory.learnt.note_longest(worked, look.at, tuning);
    }
    let now = look.at;
    let estimate = Estimate::new(
        &law.partitions,
        &memory.learnt,
        memory.assignor,
        (policy, history.membership.foreign()),
        now,
    )?;
    if taken.is_new {
        let (learnt, next_sample) = (&mut memory.learnt, &mut law.next_sample);
        capacity::learn(learnt, next_sample, &estimate, now, tuning);
        let sizes = bounds?.sizes();
        estimate.note_loads(&mut law.what_if, sizes, taken.is_whole, now, tuning);
    }
    Some(estimate)
}

/// Whether a look shows which topics the members have: they hide that while a classic group
/// rebalances, and a group without members has none. The limit seen then may lack topics that are
/// merely not named.
fn assignments_are_shown(look: &Look) -> bool {
    let assigned = |members: &Members| members.list.iter().any(|member| member.partitions > 0);
    look.group.state == GroupState::Stable && look.group.members.as_ref().is_some_and(assigned)
}

/// The bounds of the group. Where the partitions cannot be read: those of the limit last known, one
/// consumer a replica.
fn bounds_of(policy: &Policy, shape: Option<&Shape>, known: Option<i32>) -> Option<Bounds> {
    let last = known.map(|limit| Shape::new([limit], Some(Assignor::Even), 1));
    Bounds::new(shape.or(last.as_ref())?, policy.min, policy.max)
}

fn shape_of(
    look: &Look,
    membership: &Membership,
    assignor: Option<Assignor>,
    threads: i32,
) -> Shape {
    let counts = |is_read: bool| {
        let topics = look.topics.iter();
        let topics = topics.filter(move |t| (t.is_own() || membership.reads(&t.name)) == is_read);
        let partitions = topics.filter_map(|t| t.partitions.as_ref());
        partitions.map(|p| i32::try_from(p.len()).unwrap_or(i32::MAX))
    };
    Shape::new(counts(true), assignor, threads).beside(counts(false), membership.foreign())
}
