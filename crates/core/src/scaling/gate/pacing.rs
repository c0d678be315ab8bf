//! When an action may happen: spacing, settling, rebalances, rollouts. Every wait has an end and
//! reports it.

use jiff::{SignedDuration, Timestamp};

use crate::scaling::input::observation::{GroupState, Observation, Rollout};
use crate::scaling::input::policy::{Objective, Policy};
use crate::scaling::measure::history::{History, Knowledge};
use crate::scaling::measure::notice::Notice;
use crate::scaling::number::{later, seconds};
use crate::scaling::output::decision::{HoldReason, Overdue, Wait};
use crate::scaling::state::memory::{LastAction, Memory};
use crate::scaling::tuning::Tuning;

/// The policy with effective pacing: under the time objective, at least the built-in spacing.
pub(in crate::scaling) fn paced(policy: &Policy) -> Policy {
    let mut paced = policy.clone();
    if matches!(policy.objective, Objective::MaxDelay(_)) {
        let pacing = &mut paced.pacing;
        pacing.min_interval = pacing.min_interval.max(policy.tuning.pacing.up_least);
        let least = policy.tuning.pacing.down_least;
        pacing.min_scale_down_interval = pacing.min_scale_down_interval.max(least);
    }
    paced
}

/// What an action waits for now.
#[derive(Debug, Clone, Copy)]
pub(in crate::scaling) struct Gates {
    now: Timestamp,
    /// A rollout.
    rollout: Option<Wait>,
    /// A rebalance.
    rebalance: Option<Wait>,
    /// The same, if the group's state is unknown.
    blind: Option<Wait>,
    /// The last action has not settled.
    settling: Option<Wait>,
    /// One of these has taken longer than `settleTimeout`, so one action in each `settleTimeout` is
    /// let through.
    pub(in crate::scaling) overdue: Option<Overdue>,
    /// Fewer replicas are ready than wanted, and the others do not work either.
    not_ready: Option<Wait>,
    /// The last scale-up has brought no member.
    pub(in crate::scaling) no_member_joined: bool,
    /// Ready replicas, and no members.
    no_members: bool,
    /// The same for longer than `settleTimeout`.
    pub(in crate::scaling) members_missing: bool,
    /// Nothing has been committed since the last action, and records wait.
    uncommitted: Option<Wait>,
    last: Option<LastAction>,
    landing: SignedDuration,
    /// How long moved partitions of this group pause beyond the usual time.
    excess: SignedDuration,
    began: Timestamp,
    min_interval: SignedDuration,
    settle_timeout: SignedDuration,
}

impl Gates {
    /// Reads group and workload, updates the timers in `history`, and notes in `memory` that the
    /// last action has settled.
    pub(in crate::scaling) fn new(
        policy: &Policy,
        memory: &mut Memory,
        history: &mut History,
        observation: &Observation,
        notices: &mut Vec<Notice>,
    ) -> Self {
        let Observation { now, target, .. } = *observation;
        let timeout = policy.pacing.settle_timeout;
        let snapshot = observation.snapshot.as_ref();
        let state = snapshot.map_or(GroupState::Unknown, |l| l.group.state);
        let memberless = matches!(state, GroupState::Empty | GroupState::Dead);

        let rebalancing = matches!(state, GroupState::Rebalancing | GroupState::Unknown);
        let since_group = timer(&mut history.timers.unsettled_group, rebalancing, now);
        let since_rollout = timer(
            &mut history.timers.rollout,
            target.rollout == Rollout::InProgress,
            now,
        );
        let working = history.membership.working(policy).max(target.ready);
        let idle = working < target.replicas;
        let since_idle = timer(&mut history.timers.not_ready, idle, now);
        let no_members = memberless && target.ready > 0;
        let since_missing = timer(&mut history.timers.no_members, no_members, now);

        let in_flight = in_flight(policy, memory, history, observation, notices);

        let mut overdue = None;
        let mut until_timeout = |since: Option<Timestamp>, why| {
            let since = since?;
            let until = later(since, timeout);
            if until <= now {
                overdue = overdue.or(Some(Overdue { what: why, since }));
                return None;
            }
            Some(Wait {
                why,
                until: Some(until),
            })
        };
        let rollout = until_timeout(since_rollout, HoldReason::RolloutInProgress);
        let rebalance = until_timeout(since_group, HoldReason::GroupRebalancing);
        let settling = until_timeout(in_flight, HoldReason::Settling);
        // If none of the added replicas has started, adding more does not help.
        let not_ready = if none_came(memory, working) {
            since_idle.map(|_| Wait::open(HoldReason::ReplicasNotReady))
        } else {
            until_timeout(since_idle, HoldReason::ReplicasNotReady)
        };
        let joined = history
            .membership
            .no_member_joined(policy, memory, observation);
        Self {
            now,
            rollout,
            rebalance: rebalance.filter(|_| state != GroupState::Unknown),
            blind: rebalance.filter(|_| state == GroupState::Unknown),
            settling,
            overdue,
            not_ready,
            no_member_joined: joined.is_some() && settling.is_none(),
            no_members,
            members_missing: since_missing.is_some_and(|since| later(since, timeout) <= now),
            uncommitted: uncommitted(memory, history, now, &policy.tuning),
            last: memory.last,
            landing: policy.tuning.pacing.landing,
            excess: seconds(memory.model.excess(&policy.tuning)),
            began: history.began.unwrap_or(now),
            min_interval: policy.pacing.min_interval,
            settle_timeout: timeout,
        }
    }

    /// What blocks either direction.
    fn unsettled(&self) -> Option<Wait> {
        self.rollout
            .or(self.rebalance)
            .or(self.blind)
            .or(self.settling)
    }

    /// What a scale-up waits for. `is_urgent`: the objective is about to be broken, so it does not
    /// wait until the effect of the last action is visible.
    pub(in crate::scaling) fn up(
        &self,
        knowledge: Knowledge,
        is_stale: bool,
        polls: u8,
        is_urgent: bool,
    ) -> Option<Wait> {
        if knowledge == Knowledge::NotYet {
            return Some(Wait::open(HoldReason::NotYetObserved));
        }
        if is_stale {
            return Some(Wait::open(HoldReason::LagUnknown));
        }
        self.unsettled()
            .or(self
                .no_members
                .then_some(Wait::open(HoldReason::GroupMissing)))
            .or(self.not_ready)
            .or(self
                .no_member_joined
                .then_some(Wait::open(HoldReason::MembersMissing)))
            .or_else(|| self.spacing(self.min_interval, is_urgent))
            .or(self.uncommitted)
            .or((self.last.is_none() && polls < 2)
                .then_some(Wait::open(HoldReason::GatheringEvidence)))
    }

    /// Replicas are ready and the group has no members: holds everything that depends on the lag.
    pub(in crate::scaling) fn without_members(&self) -> Option<Wait> {
        self.no_members
            .then_some(Wait::open(HoldReason::GroupMissing))
    }

    /// What a scale-up waits for that does not depend on the lag: a bound, or `paused-replicas`.
    pub(in crate::scaling) fn bound_up(&self) -> Option<Wait> {
        self.unsettled()
            .or(self.not_ready)
            .or_else(|| self.spacing(self.min_interval, false))
    }

    /// What the fallback waits for: the same, without what is unknown while Kafka cannot be read.
    pub(in crate::scaling) fn fallback(&self) -> Option<Wait> {
        self.rollout
            .or(self.rebalance)
            .or(self.settling)
            .or_else(|| self.spacing(self.min_interval, false))
    }

    /// What a scale-down waits for, apart from its window. `interval` is the least time since any
    /// action.
    pub(in crate::scaling) fn down(&self, interval: SignedDuration) -> Option<Wait> {
        let fresh = later(self.began, interval);
        self.unsettled()
            .or_else(|| self.spacing(interval.max(self.min_interval), false))
            .or(self.uncommitted)
            .or((self.last.is_none() && fresh > self.now).then_some(Wait {
                why: HoldReason::GatheringEvidence,
                until: Some(fresh),
            }))
    }

    fn spacing(&self, interval: SignedDuration, is_urgent: bool) -> Option<Wait> {
        let last = self.last?;
        // If a timeout let this action through: one in each `settleTimeout`.
        let interval = if self.overdue.is_some() {
            interval.max(self.settle_timeout)
        } else {
            interval
        };
        let landed = last
            .settled_after
            .filter(|_| !last.external && (!is_urgent || !self.excess.is_zero()))
            .map_or(last.time, |after| {
                let settled = later(last.time, SignedDuration::from_secs(after));
                later(settled, self.landing.min(interval) + self.excess)
            });
        let until = later(last.time, interval).max(landed);
        (until > self.now).then_some(Wait {
            why: HoldReason::CoolingDown,
            until: Some(until),
        })
    }
}

/// The time of the last action, unless the group has settled since then. Settling is noted in
/// `memory` and reported.
fn in_flight(
    policy: &Policy,
    memory: &mut Memory,
    history: &History,
    observation: &Observation,
    notices: &mut Vec<Notice>,
) -> Option<Timestamp> {
    let has_settled = is_settled(policy, memory, history, observation);
    let snapshot = observation.snapshot.as_ref().ok();
    let last = memory.last.as_mut().filter(|l| l.settled_after.is_none())?;
    let is_seen = snapshot.is_some_and(|snapshot| snapshot.began >= last.time);
    if !((last.landed || last.external) && is_seen && has_settled) {
        return Some(last.time);
    }
    let after = observation.now.duration_since(last.time);
    let after = after.max(SignedDuration::ZERO);
    last.settled_after = Some(after.as_secs());
    notices.push(Notice::Settled { after });
    None
}

/// Whether the last scale-up has not settled and no replica has become ready or working since.
/// `working`: the replicas that are.
fn none_came(memory: &Memory, working: i32) -> bool {
    let before = memory.before_up.map(|before| before.working);
    memory.last.is_some_and(|last| {
        let is_open = last.to > last.from && last.settled_after.is_none();
        is_open && before.is_some_and(|before| working <= before)
    })
}

/// If commits are rare or state is restored, the effect of an action shows only when a commit has
/// moved, and another action could discard uncommitted work. So for a time nothing more is done.
fn uncommitted(
    memory: &Memory,
    history: &History,
    now: Timestamp,
    tuning: &Tuning,
) -> Option<Wait> {
    let last = memory.last.filter(|last| last.to > 0 && last.from > 0)?;
    let until = later(last.time, tuning.pacing.commits_awaited);
    let partitions = &history.consumption.partitions;
    let model = &memory.model;
    let is_cheap = model.excess(tuning) <= 0.0 && model.longest(now, tuning) <= 0.0;
    if is_cheap && !partitions.commits_rarely(tuning) {
        return None;
    }
    let waits = until > now && !partitions.has_moved_since(last.time.as_millisecond());
    (waits && partitions.is_behind()).then_some(Wait {
        why: HoldReason::Settling,
        until: Some(until),
    })
}

/// Since when `lasts` has been true.
fn timer(since: &mut Option<Timestamp>, lasts: bool, now: Timestamp) -> Option<Timestamp> {
    if lasts {
        Some(*since.get_or_insert(now))
    } else {
        *since = None;
        None
    }
}

/// Settled (ACT-4): as many replicas ready or working as wanted; the group's state settled; no
/// member newer than one poll; at least as many members as the replicas make or the partitions
/// allow; and after a scale-down no more than the replicas make. Static members that left stay
/// members until their session ends (KNOW-21), others until their grace period ends.
fn is_settled(
    policy: &Policy,
    memory: &Memory,
    history: &History,
    observation: &Observation,
) -> bool {
    let target = observation.target;
    let Ok(snapshot) = &observation.snapshot else {
        return false;
    };
    let state_settled = match snapshot.group.state {
        GroupState::Stable => target.replicas > 0,
        GroupState::Empty | GroupState::Dead => target.replicas == 0,
        GroupState::Rebalancing | GroupState::Unknown => false,
    };
    let working = history.membership.working(policy).max(target.ready);
    let has_come = working >= target.replicas && target.ready <= target.replicas;
    if !has_come || target.rollout == Rollout::InProgress || !state_settled {
        return false;
    }
    if target.replicas == 0 {
        return true;
    }
    let Some(members) = &snapshot.group.members else {
        return false;
    };
    let own = target.replicas.saturating_mul(policy.threads);
    let consumers = own.saturating_add(history.membership.foreign());
    let consumers = usize::try_from(consumers).unwrap_or(usize::MAX);
    let partitions: usize = snapshot
        .topics
        .iter()
        .filter_map(|t| t.partitions.as_ref().map(Vec::len))
        .sum();
    let is_down = memory.last.is_some_and(|last| last.to < last.from);
    let waits = is_down || members.list.iter().any(|m| m.is_static);
    // Described in this poll: an older description shows the group before the action.
    members.poll == snapshot.number
        && (!waits || members.list.len() <= consumers)
        && members.list.len() >= consumers.min(partitions)
        && !history.membership.has_young(members)
}
