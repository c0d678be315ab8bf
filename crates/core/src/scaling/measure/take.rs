//! Takes an observation in, and says what it and what was seen before it come to.

use crate::scaling::input::observation::{
    Assignor, GroupSnapshot, GroupState, Members, Observation, Rollout,
};
use crate::scaling::input::policy::{Objective, Policy};
use crate::scaling::measure::capacity;
use crate::scaling::measure::demand::{self, Demand};
use crate::scaling::measure::estimate::{Estimate, LiveLag};
use crate::scaling::measure::history::{self, History, Knowledge, ObservationDelta};
use crate::scaling::measure::lag::{self, Lag};
use crate::scaling::measure::limits::{Bounds, PartitionLayout};
use crate::scaling::measure::membership::Membership;
use crate::scaling::measure::notice::Notice;
use crate::scaling::measure::replica_changes::{self, ReplicaMatch};
use crate::scaling::state::memory::Memory;

/// What was measured. Nothing in it changes while the decision is made.
#[derive(Debug)]
pub(in crate::scaling) struct Measurements {
    pub(in crate::scaling) replica_match: ReplicaMatch,
    /// The partition counts, when every topic gave them.
    pub(in crate::scaling) layout: Option<PartitionLayout>,
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
    let (replica_match, mut notices) = compare_replicas(policy, memory, history, observation);
    let snapshot = observation.snapshot.as_ref().ok();
    let lag = snapshot.map(|snapshot| lag::of_poll(snapshot, policy.offset_reset));
    let lag = lag.unwrap_or_default();
    let taken = history.take(policy, memory, observation, &lag);
    notices.extend(taken.notices.iter().cloned());

    memory.assignor = snapshot.and_then(|l| l.group.assignor).or(memory.assignor);
    let layout = snapshot
        .filter(|l| history::limit_is_known(l))
        .map(|l| shape_of(l, &history.membership, memory.assignor, policy.threads));
    if let Some(layout) = &layout {
        memory.limit = Some(layout.limit());
    }
    let bounds = bounds_of(policy, layout.as_ref(), memory.limit);
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
        history.lag_peaks.clear();
    }
    let demand = snapshot.zip(bounds.as_ref()).map(|(snapshot, bounds)| {
        let (replicas, ends) = (target.replicas, history.sum_of_ends(snapshot));
        demand::of(policy, memory, bounds, replicas, live.total, ends, snapshot)
    });
    if let Some(snapshot) = snapshot.filter(|_| taken.is_new && taken.is_whole) {
        if target.replicas == 0 && memory.ends_at_zero.is_none() {
            // Asleep, and not by us: from now on what comes is told by the ends, whatever becomes
            // of the commits.
            memory.ends_at_zero = demand::read_so_far(history, snapshot, &lag, policy.offset_reset);
        }
        take_whole(policy, history, snapshot, demand, layout.as_ref());
    }
    Measurements {
        replica_match,
        layout,
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
) -> (ReplicaMatch, Vec<Notice>) {
    let mut notices = Vec::new();
    if memory
        .measurement_key
        .is_some_and(|measurement_key| measurement_key != policy.measurement_key)
    {
        history.lag_peaks.clear();
        history.consumption = history::Consumption::default();
    }
    let (replicas, now) = (observation.target.replicas, observation.now);
    let (replica_match, acted) =
        replica_changes::adopt(policy, memory, replicas, now, &mut notices);
    if acted && let Some(last) = memory.last.filter(|last| last.to > last.from) {
        memory.before_up = history.membership.before_up(last.from);
    }
    if acted || history.action_changed(memory.last.map(|l| l.time)) {
        history.note_action();
    }
    (replica_match, notices)
}

/// Takes in what a look says of which everything was read.
fn take_whole(
    policy: &Policy,
    history: &mut History,
    snapshot: &GroupSnapshot,
    demand: Option<Demand>,
    layout: Option<&PartitionLayout>,
) {
    if let Some(demand) = demand {
        history
            .lag_peaks
            .push(snapshot.at, demand.asked, &policy.tuning);
    }
    if assignments_are_shown(snapshot) {
        history.note_certain_limit(layout.map(PartitionLayout::certain_limit));
    }
    demand::note_quiet(history, snapshot, policy.may_hold_markers);
}

/// Takes in offsets and owners, learns what one consumer can do, and estimates.
fn estimate(
    policy: &Policy,
    memory: &mut Memory,
    history: &mut History,
    observation: &Observation,
    bounds: Option<&Bounds>,
    taken: &ObservationDelta,
) -> Option<Estimate> {
    let rolled_out =
        history.timers.rollout.is_some() && observation.target.rollout == Rollout::None;
    // Under a lag what was measured is kept until the next backlog: a probe that fails makes lag
    // ask for many.
    if rolled_out && matches!(policy.objective, Objective::MaxDelay(_)) {
        memory.model.mark_stale();
    }
    let snapshot = observation.snapshot.as_ref().ok()?;
    let tuning = &*policy.tuning;
    let consumption = &mut history.consumption;
    if taken.is_other {
        consumption.load_history.clear();
    }
    if taken.is_new {
        if let Some(pause) = consumption.partitions.pause.take() {
            memory.model.note_pause(pause, snapshot.at, tuning);
        }
        if std::mem::take(&mut consumption.partitions.found_waits) {
            memory.model.capacity = None;
        }
        let worked = std::mem::take(&mut consumption.partitions.longest);
        memory.model.note_longest(worked, snapshot.at, tuning);
    }
    let now = snapshot.at;
    let estimate = Estimate::new(
        &consumption.partitions,
        &memory.model,
        memory.assignor,
        (policy, history.membership.foreign()),
        now,
    )?;
    if taken.is_new {
        let (model, next_sample) = (&mut memory.model, &mut consumption.next_sample);
        capacity::learn(model, next_sample, &estimate, now, tuning);
        let sizes = bounds?.sizes();
        estimate.note_loads(
            &mut consumption.load_history,
            sizes,
            taken.is_whole,
            now,
            tuning,
        );
    }
    Some(estimate)
}

/// Whether a look shows which topics the members have: they hide that while a classic group
/// rebalances, and a group without members has none. The limit seen then may lack topics that are
/// merely not named.
fn assignments_are_shown(snapshot: &GroupSnapshot) -> bool {
    let assigned = |members: &Members| members.list.iter().any(|member| member.partitions > 0);
    snapshot.group.state == GroupState::Stable
        && snapshot.group.members.as_ref().is_some_and(assigned)
}

/// The bounds of the group. Where the partitions cannot be read: those of the limit last known, one
/// consumer a replica.
fn bounds_of(
    policy: &Policy,
    layout: Option<&PartitionLayout>,
    known: Option<i32>,
) -> Option<Bounds> {
    let last = known.map(|limit| PartitionLayout::new([limit], Some(Assignor::Even), 1));
    Bounds::new(layout.or(last.as_ref())?, policy.min, policy.max)
}

fn shape_of(
    snapshot: &GroupSnapshot,
    membership: &Membership,
    assignor: Option<Assignor>,
    threads: i32,
) -> PartitionLayout {
    let counts = |is_read: bool| {
        let topics = snapshot.topics.iter();
        let topics = topics.filter(move |t| (t.is_own() || membership.reads(&t.name)) == is_read);
        let partitions = topics.filter_map(|t| t.partitions.as_ref());
        partitions.map(|p| i32::try_from(p.len()).unwrap_or(i32::MAX))
    };
    PartitionLayout::new(counts(true), assignor, threads)
        .beside(counts(false), membership.foreign())
}
