//! The overrides, which go before the objective, in this order (ACT-1, ACT-3, ACT-7, ACT-8, ACT-10,
//! ACT-11).

use std::cmp::Ordering;

use crate::scaling::input::observation::Unreadable;
use crate::scaling::input::policy::Pause;
use crate::scaling::measure::history::Knowledge;
use crate::scaling::measure::limits::{LimitedBy, PartitionLayout};
use crate::scaling::measure::replica_changes::ReplicaMatch;
use crate::scaling::number::later;
use crate::scaling::output::decision::{HoldReason, ScaleReason, Wait};
use crate::scaling::output::trail::Step;
use crate::scaling::plan::proposal::Proposal;
use crate::scaling::plan::situation::Situation;

/// The first override that proposes something decides.
const OVERRIDES: [fn(&Situation<'_>) -> Option<Proposal>; 8] = [
    own_write_not_seen,
    switched_off,
    paused,
    contested,
    above_max_or_partitions,
    below_min,
    fallback,
    not_yet_observed,
];

/// The proposal of the first override that applies.
pub(in crate::scaling) fn propose(situation: &Situation<'_>) -> Option<Proposal> {
    OVERRIDES.iter().find_map(|propose| propose(situation))
}

/// The watch may not have shown the operator's own write yet.
fn own_write_not_seen(situation: &Situation<'_>) -> Option<Proposal> {
    let wait = Wait::open(HoldReason::Settling);
    (situation.measured.replica_match == ReplicaMatch::NotLanded)
        .then(|| Proposal::hold(wait, situation.memory.expected))
}

fn switched_off(situation: &Situation<'_>) -> Option<Proposal> {
    let step = Step::Said("scaled to 0 by hand: scale it to 1 or more to resume autoscaling");
    situation
        .is_switched_off()
        .then(|| Proposal::hold(Wait::open(HoldReason::ScalingDisabled), None).after(vec![step]))
}

/// The pausing annotations (ACT-10).
fn paused(situation: &Situation<'_>) -> Option<Proposal> {
    let replicas = situation.replicas();
    let held = Proposal::hold(Wait::open(HoldReason::Paused), Some(replicas));
    match situation.policy.pauses.pause.clone()? {
        Pause::AtCurrentSize => Some(held),
        Pause::NotUnderstood { annotation, value } => {
            Some(held.after(vec![Step::NotUnderstood { annotation, value }]))
        }
        Pause::At(at) => Some(paused_at(situation, at)),
    }
}

fn paused_at(situation: &Situation<'_>, at: i32) -> Proposal {
    let replicas = situation.replicas();
    let limit = situation.memory.limit;
    // A scale-up stays within the limit, a scale-down within the certain limit. If the present size
    // is asked for, no limit applies.
    let certain = certain_limit(situation).or(limit);
    let to = match at.cmp(&replicas) {
        Ordering::Greater => limit.map_or(at, |limit| at.min(limit).max(replicas)),
        Ordering::Equal => at,
        Ordering::Less => certain.map_or(at, |certain| at.min(certain)),
    };
    let limited = (to < at).then_some(Step::Limited {
        by: LimitedBy::PartitionLimit,
        at: to,
    });
    let proposal = if to == replicas {
        Proposal::hold(Wait::open(HoldReason::Paused), Some(to))
    } else if to > replicas && limit.is_none() {
        Proposal::hold(Wait::open(HoldReason::LagUnknown), Some(to))
    } else {
        let wait = bound_gate(situation, to);
        Proposal::scale((replicas, to), ScaleReason::PausedReplicas, wait)
    };
    proposal.after(limited.into_iter().collect())
}

fn contested(situation: &Situation<'_>) -> Option<Proposal> {
    let wait = Wait {
        why: HoldReason::TargetContested,
        until: Some(situation.memory.contested_until?),
    };
    let step = Step::Said("something else changed the replicas three times within ten minutes");
    Some(Proposal::hold(wait, None).after(vec![step]))
}

/// More replicas than `maxReplicas` or the partition limit allows, whatever the lag (ACT-3).
fn above_max_or_partitions(situation: &Situation<'_>) -> Option<Proposal> {
    let (replicas, max) = (situation.replicas(), situation.policy.max);
    let bounds = situation.measured.bounds.as_ref();
    let present = certain_limit(situation);
    if let Some(max) = max.filter(|max| replicas > *max) {
        // An uncertain limit causes no scale-down (KNOW-17), nor a deeper one.
        let to = match (bounds, present) {
            (Some(bounds), Some(certain)) if certain > bounds.limit => max.min(certain),
            (Some(bounds), _) => bounds.ceiling,
            (None, _) => max,
        };
        let by = LimitedBy::MaxReplicas;
        let limited = Step::Limited { by, at: max };
        return Some(to_bound(situation, to, ScaleReason::MaxReplicas, limited));
    }
    let bounds = bounds?;
    // The partition limit causes a scale-down only if two whole polls, including the present one,
    // showed it.
    let (certain, 2) = situation.history.certain_limit? else {
        return None;
    };
    let is_above = situation.measured.is_whole
        && present.is_some_and(|present| replicas > present.max(certain));
    if !is_above {
        return None;
    }
    // Under an unknown assignor only replicas that are certain to be idle are removed (KNOW-17).
    let certain = max.map_or(certain, |max| max.min(certain));
    let to = if certain > bounds.limit {
        certain
    } else {
        bounds.ceiling
    };
    let by = LimitedBy::PartitionLimit;
    let limited = Step::Limited { by, at: certain };
    Some(to_bound(
        situation,
        to,
        ScaleReason::PartitionLimit,
        limited,
    ))
}

/// Fewer replicas than `minReplicas` (ACT-3).
fn below_min(situation: &Situation<'_>) -> Option<Proposal> {
    let floor = situation.measured.bounds.as_ref()?.floor;
    let limited = Step::Limited {
        by: LimitedBy::MinReplicas,
        at: situation.policy.min,
    };
    (situation.replicas() < floor)
        .then(|| to_bound(situation, floor, ScaleReason::MinReplicas, limited))
}

fn to_bound(situation: &Situation<'_>, to: i32, why: ScaleReason, limited: Step) -> Proposal {
    let wait = situation
        .held_by_annotation(to)
        .or_else(|| bound_gate(situation, to));
    Proposal::scale((situation.replicas(), to), why, wait).after(vec![limited])
}

fn bound_gate(situation: &Situation<'_>, to: i32) -> Option<Wait> {
    if to > situation.replicas() {
        situation.gates.bound_up()
    } else {
        situation.down_gate()
    }
}

fn certain_limit(situation: &Situation<'_>) -> Option<i32> {
    situation
        .measured
        .layout
        .as_ref()
        .map(PartitionLayout::certain_limit)
}

/// The floor while Kafka cannot be read (ACT-11).
fn fallback(situation: &Situation<'_>) -> Option<Proposal> {
    let fallback = situation.policy.fallback?;
    let Knowledge::Missing { since, .. } = situation.measured.knowledge else {
        return None;
    };
    let to = fallback
        .replicas
        .min(situation.measured.bounds.as_ref()?.ceiling);
    let replicas = situation.replicas();
    let last = situation.memory.last;
    let overruled = last.is_some_and(|last| last.external && last.time > since);
    if to <= replicas || later(since, fallback.after) > situation.now() || overruled {
        return None;
    }
    let wait = situation
        .held_by_annotation(to)
        .or(situation.gates.fallback());
    let proposal = Proposal::scale((replicas, to), ScaleReason::Fallback, wait);
    Some(proposal.after(vec![Step::Unreadable(since)]))
}

/// Nothing has been read since the start.
fn not_yet_observed(situation: &Situation<'_>) -> Option<Proposal> {
    let wait = Wait::open(HoldReason::NotYetObserved);
    (situation.observation.snapshot == Err(Unreadable::NeverPolled))
        .then(|| Proposal::hold(wait, None))
}
