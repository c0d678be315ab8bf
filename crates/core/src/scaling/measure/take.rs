//! Records an observation and computes the measurements from it and the history.

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

/// The measurements. They do not change while the decision is made.
#[derive(Debug)]
pub(in crate::scaling) struct Measurements {
    pub(in crate::scaling) replica_match: ReplicaMatch,
    /// The partition counts, if every topic has one.
    pub(in crate::scaling) layout: Option<PartitionLayout>,
    pub(in crate::scaling) bounds: Option<Bounds>,
    pub(in crate::scaling) knowledge: Knowledge,
    /// Every partition of every counted topic was read.
    pub(in crate::scaling) is_whole: bool,
    pub(in crate::scaling) lag: Lag,
    pub(in crate::scaling) live: LiveLag,
    /// The demand of the lag.
    pub(in crate::scaling) demand: Option<Demand>,
    /// The rates and delays of this poll.
    pub(in crate::scaling) estimate: Option<Estimate>,
    pub(in crate::scaling) notices: Vec<Notice>,
}

/// Records an observation in `history` and `memory`.
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
            // At zero replicas, and not by the operator: from now on new records are detected by
            // the end offsets, whatever happens to the commits.
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

/// Reconciles memory and target, and begins a new series after a change of target or an action.
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

/// Records a poll in which everything was read.
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

/// Records offsets and owners, measures the capacity, and computes the estimate.
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
    // Under `lagPerReplica` the capacity is kept until the next backlog: after a failed probe the
    // lag would ask for many replicas.
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

/// Whether a poll shows which topics the members have. A classic group hides that while it
/// rebalances, and a group without members has none. The limit may then lack topics that are not
/// named.
fn assignments_are_shown(snapshot: &GroupSnapshot) -> bool {
    let assigned = |members: &Members| members.list.iter().any(|member| member.partitions > 0);
    snapshot.group.state == GroupState::Stable
        && snapshot.group.members.as_ref().is_some_and(assigned)
}

/// The bounds of the group. If the partitions cannot be read: those of the last known limit, with
/// one consumer per replica.
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
