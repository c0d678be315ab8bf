//! The facts of a decision in addition to its verdict: what blocks a scale-up, and the numbers.

use std::sync::Arc;

use jiff::SignedDuration;

use crate::scaling::input::observation::{GroupState, Member, Unreadable};
use crate::scaling::input::policy::Pause;
use crate::scaling::measure::estimate::Estimate;
use crate::scaling::measure::lag;
use crate::scaling::measure::limits::PartitionLayout;
use crate::scaling::measure::replica_changes::ReplicaMatch;
use crate::scaling::output::decision::{Decision, Facts, HoldReason, Verdict, Wait};
use crate::scaling::output::trail::{Step, Trail};
use crate::scaling::plan::explain;
use crate::scaling::plan::proposal::Proposal;
use crate::scaling::plan::situation::Situation;

/// The decision that `proposal` makes, with its facts and its trail.
pub(in crate::scaling) fn decision(situation: &Situation<'_>, proposal: Proposal) -> Decision {
    let demand = proposal.demand.or(situation.measured.demand);
    let mut steps = proposal.steps.clone();
    steps.extend(last_steps(situation));
    Decision {
        verdict: proposal.verdict,
        up_blocked: up_blocked(situation, proposal.is_urgent),
        limited_by: explain::limited_by(situation, demand),
        facts: facts(situation, proposal),
        notices: situation.measured.notices.clone(),
        trail: Trail(steps),
    }
}

/// The steps that every decision reports.
fn last_steps(situation: &Situation<'_>) -> impl Iterator<Item = Step> {
    let past_end =
        past_end(situation).map(|(topic, partition)| Step::CommitPastEnd { topic, partition });
    // The measured pause of this group's hand-overs, if it is longer than usual.
    let model = situation.model();
    let tuning = &*situation.policy.tuning;
    let pause = model.pause.filter(|_| model.excess(tuning) > 0.0);
    let pause = pause.map(|pause| Step::Pause {
        lasts: SignedDuration::from_secs(pause.seconds),
    });
    let overdue = situation.gates.overdue.map(|overdue| Step::Overdue {
        what: overdue.what.as_str(),
        waited: situation.now().duration_since(overdue.since),
    });
    past_end.into_iter().chain(pause).chain(overdue)
}

/// A partition whose commit is past its log end.
fn past_end(situation: &Situation<'_>) -> Option<(Arc<str>, i32)> {
    situation.snapshot().and_then(lag::past_its_end)
}

/// What blocks a scale-up, whether or not one is wanted (TELL-30).
fn up_blocked(situation: &Situation<'_>, is_urgent: bool) -> Option<Wait> {
    let pauses = &situation.policy.pauses;
    if situation.is_switched_off() {
        return Some(Wait::open(HoldReason::ScalingDisabled));
    }
    if pauses.pause.is_some() || pauses.no_scale_out {
        return Some(Wait::open(HoldReason::Paused));
    }
    if let Some(until) = situation.memory.contested_until {
        return Some(Wait {
            why: HoldReason::TargetContested,
            until: Some(until),
        });
    }
    if situation.measured.replica_match == ReplicaMatch::NotLanded {
        return Some(Wait::open(HoldReason::Settling));
    }
    if situation.observation.snapshot == Err(Unreadable::NeverPolled) {
        return Some(Wait::open(HoldReason::NotYetObserved));
    }
    situation.up_gate(is_urgent)
}

fn facts(situation: &Situation<'_>, proposal: Proposal) -> Facts {
    let Situation {
        history,
        measured,
        gates,
        memory,
        ..
    } = situation;
    let model = situation.model();
    let tuning = &*situation.policy.tuning;
    let estimate = measured.estimate.as_ref();
    let group = situation.snapshot().map(|snapshot| &snapshot.group);
    let members = group.and_then(|group| group.members.as_ref());
    let is_stable = group.is_some_and(|group| group.state == GroupState::Stable);
    let idle = |list: &[_]| list.iter().filter(|m: &&Member| m.partitions == 0).count();
    let rates = estimate.and_then(Estimate::rates);
    let hot = |estimate: &Estimate| estimate.hot(model, situation.objective(), tuning);
    Facts {
        current: situation.replicas(),
        ready: situation.observation.target.ready,
        desired: proposal.desired,
        limit: memory.limit,
        partitions: measured.layout.as_ref().map(PartitionLayout::partitions),
        knowledge: measured.knowledge,
        members: members.map(|m| m.list.len()),
        idle_members: members.filter(|_| is_stable).map(|m| idle(&m.list)),
        produced: rates.map(|(produced, _)| produced),
        consumed: rates.map(|(_, consumed)| consumed),
        capacity: model.capacity.map(|capacity| capacity.milli),
        delay: estimate.map(|e| SignedDuration::try_from_secs_f64(e.delay).unwrap_or_default()),
        delay_partition: estimate.and_then(|e| e.latest_partition.clone()),
        hot_partitions: estimate.map(hot).unwrap_or_default(),
        bottleneck: model.bottleneck.map(|bottleneck| bottleneck.replicas),
        stuck_partitions: estimate.map(|e| e.stuck.clone()).unwrap_or_default(),
        overdue: gates.overdue,
        group_missing: gates.members_missing,
        members_missing: gates.no_member_joined,
        foreign_members: usize::try_from(history.membership.foreign()).unwrap_or(0),
        rebalances: history.membership.storm(situation.now(), tuning),
        nothing_committed: history.offsets.nothing_committed(),
        uncommitted: history.offsets.unknown(),
        wants_members: wants_members(situation, proposal.verdict),
        asked: proposal.steps.iter().find_map(Step::asked),
        past_end: past_end(situation),
        not_understood: not_understood(situation),
        lag: measured.lag.clone(),
        backlogged: proposal.backlogged,
    }
}

/// The pausing annotation that cannot be interpreted.
fn not_understood(situation: &Situation<'_>) -> Option<(String, String)> {
    match &situation.policy.pauses.pause {
        Some(Pause::NotUnderstood { annotation, value }) => {
            Some((annotation.clone(), value.clone()))
        }
        _ => None,
    }
}

/// Members are described at each poll while an action is near or has not settled (KNOW-22).
fn wants_members(situation: &Situation<'_>, verdict: Verdict) -> bool {
    let last = situation.memory.last;
    let in_flight = last.is_some_and(|last| last.settled_after.is_none());
    let near = match verdict {
        Verdict::Scale { .. } => true,
        Verdict::Hold(Wait { why, .. }) => matches!(
            why,
            HoldReason::CoolingDown | HoldReason::GroupRebalancing | HoldReason::Settling
        ),
    };
    in_flight || near
}
