//! The lag objective. Up if the lag asks for more, as a HorizontalPodAutoscaler would. Down by a
//! replay once the capacity of a consumer is measured, and one aligned size at a time before.
//!
//! A group that keeps up has no lag, so the lag does not show how few replicas are enough.

use jiff::Timestamp;

use crate::scaling::input::policy::Objective;
use crate::scaling::measure::demand::Demand;
use crate::scaling::measure::estimate::{Backlogged, Estimate};
use crate::scaling::number::{later, milli, seconds};
use crate::scaling::output::decision::{HoldReason, ScaleReason, Verdict, Wait};
use crate::scaling::output::trail::Step;
use crate::scaling::plan::delay_target::{self, DelayTarget};
use crate::scaling::plan::proposal::Proposal;
use crate::scaling::plan::situation::Situation;
use crate::scaling::plan::{backlog, explain, flap_backoff, grow, ineffective, scale_down, shrink};

/// The proposal of the lag objective, and what it waits for.
pub(in crate::scaling) fn propose(situation: &Situation<'_>, demand: Demand) -> Proposal {
    let replicas = situation.replicas();
    let estimate = situation.measured.estimate.as_ref();
    let estimate = estimate.filter(|_| replicas > 0);
    let mut steps = steps(situation, demand);
    let mut backlogged = Backlogged::default();
    let mut size = demand.wanted;
    let mut is_over = false;
    if replicas > 0 && size > replicas {
        let cap = ineffective::cap(situation, size);
        steps.extend(cap.step);
        is_over = cap.is_over;
        size = cap.size;
        if let Some((shorter, theirs, step)) =
            estimate.and_then(|estimate| shortening(situation, estimate, cap.size))
        {
            steps.push(step);
            (size, backlogged) = (shorter, theirs);
        }
    }
    let proposal = if size > replicas {
        up(situation, estimate, size)
    } else {
        down(situation, estimate, demand)
    };
    Proposal {
        backlogged,
        ..proposal.after(steps).noting_bottleneck(is_over)
    }
}

fn steps(situation: &Situation<'_>, demand: Demand) -> Vec<Step> {
    let measured = situation.measured;
    let live = &measured.live;
    let mut steps = vec![Step::Lag {
        total: live.total,
        unknown: measured.lag.unknown,
    }];
    steps.extend(explain::partitions(live.new_partitions, live.stuck));
    if let Objective::LagPerReplica(lag_per_replica) = situation.policy.objective {
        steps.push(Step::Demand {
            replicas: demand.asked,
            lag_per_replica,
        });
    }
    steps.extend(explain::limit(situation, demand));
    steps
}

fn up(situation: &Situation<'_>, estimate: Option<&Estimate>, size: i32) -> Proposal {
    let drains = estimate.and_then(|estimate| drains_until(situation, estimate));
    if let Some(until) = drains.filter(|_| situation.up_gate(false).is_none()) {
        let settling = Wait {
            why: HoldReason::Settling,
            until: Some(until),
        };
        let sizes = (situation.replicas(), size);
        let step =
            Step::Said("this lag built up during the last rebalance, and this size works it off");
        return Proposal::scale(sizes, ScaleReason::LagAboveTarget, Some(settling))
            .after(vec![step]);
    }
    let why = if situation.replicas() == 0 {
        ScaleReason::WakeUp
    } else {
        ScaleReason::LagAboveTarget
    };
    grow::to(situation, size, why, false)
}

fn down(situation: &Situation<'_>, estimate: Option<&Estimate>, demand: Demand) -> Proposal {
    let measured = estimate.filter(|_| situation.model().is_measured());
    let (Some(estimate), Some(bounds)) = (measured, &situation.measured.bounds) else {
        return unmeasured(situation);
    };
    let (replicas, wanted) = (situation.replicas(), demand.wanted);
    // No smaller than the lag has recently asked for: if commits are rare, the lag rises and falls
    // with each of them.
    let window = situation.policy.pacing.min_scale_down_interval;
    let peak = situation
        .history
        .lag_peaks
        .window(window, &situation.policy.tuning);
    let peak = peak.map_or(0, |window| window.peak);
    // And no size that would work off the backlog of its own rebalance too slowly: the lag would
    // undo the scale-down.
    let load = load_needs(situation, estimate).map_or(0, |target| target.size);
    let least = wanted.max(bounds.at_least(peak).max(load).min(replicas));
    let sizes = bounds.sizes().iter().copied();
    let sizes: Vec<i32> = sizes.filter(|size| *size >= least).collect();
    let proposal = shrink::propose(situation, estimate, &sizes, ScaleReason::LagBelowTarget);
    let as_desired = Verdict::Hold(Wait::open(HoldReason::AsDesired));
    if proposal.verdict == as_desired && wanted < replicas {
        let steps = load_steps(situation, estimate);
        return shrink::stays(situation, HoldReason::ArrivalsTooHigh)
            .after(steps)
            .after(proposal.steps);
    }
    proposal
}

/// How far towards `size` growing shortens any backlog: a partition has one consumer at every size.
/// `None`: all the way.
fn shortening(
    situation: &Situation<'_>,
    estimate: &Estimate,
    size: i32,
) -> Option<(i32, Backlogged, Step)> {
    let model = situation.model();
    let capacity = model.capacity().filter(|_| model.is_measured());
    let (sizes, replicas) = (situation.sizes()?, situation.replicas());
    let tuning = &*situation.policy.tuning;
    let enough = backlog::enough_for_backlog(estimate, capacity, sizes, replicas, size, tuning);
    let Objective::LagPerReplica(per_replica) = situation.policy.objective else {
        return None;
    };
    (enough < size).then(|| {
        let step = Step::NoneShorter {
            replicas: enough,
            asked: size,
        };
        (enough, estimate.backlogged(per_replica), step)
    })
}

/// Until when the backlog counts as caused by the last rebalance, if this size works it off in time
/// and nothing is late. Growing for it would cost another rebalance, and the larger size would soon
/// be found too large.
fn drains_until(situation: &Situation<'_>, estimate: &Estimate) -> Option<Timestamp> {
    let last = situation.memory.last.map(|last| last.time);
    // The cause of the rebalance does not matter: a rollout or a replaced Pod also holds records
    // up. A rebalance that does not end counts no longer than `settleTimeout`.
    let disturbed = situation.history.membership.disturbed;
    let disturbed = disturbed.filter(|_| situation.gates.overdue.is_none());
    let held_up = last.max(disturbed);
    let held_up = held_up.filter(|_| situation.model().is_measured())?;
    let timeout = situation.policy.pacing.settle_timeout;
    let until = later(held_up, timeout);
    // A rollout stops the group once for each Pod; an action of the operator does so once.
    let patience = if Some(held_up) == disturbed {
        timeout.as_secs_f64()
    } else {
        0.0
    };
    let target = load_needs(situation, estimate)?;
    let drains =
        target.size <= situation.replicas() && target.delay <= situation.objective().max(patience);
    (until > situation.now() && drains).then_some(until)
}

/// The demand of the load and the backlog, whatever the lag asks for.
fn load_needs(situation: &Situation<'_>, estimate: &Estimate) -> Option<DelayTarget> {
    let input = situation.size_input(estimate, situation.sizes()?);
    Some(delay_target::target(&input))
}

/// Why no smaller size is considered, although the lag asks for fewer replicas.
fn load_steps(situation: &Situation<'_>, estimate: &Estimate) -> Vec<Step> {
    let capacity = situation.model().capacity();
    let load = capacity.map(|capacity| Step::Load {
        arrivals_milli: milli(estimate.arrivals()),
        capacity_milli: milli(capacity),
        is_measured: true,
        replicas: delay_target::unlimited(estimate, capacity, &situation.policy.tuning),
    });
    load.into_iter().collect()
}

/// One aligned size down after a window in which the lag asked for no more. The capacity of a
/// consumer is not known yet.
fn unmeasured(situation: &Situation<'_>) -> Proposal {
    shrink::ruled_out(situation)
        .or_else(|| shrink::records_in_hand(situation))
        .or_else(|| shrink::to_zero(situation))
        .or_else(|| one_less(situation))
        .unwrap_or_else(|| shrink::stays(situation, HoldReason::AsDesired))
}

/// The next smaller aligned size, and what it waits for. `None`: the lag asks for the present size.
fn one_less(situation: &Situation<'_>) -> Option<Proposal> {
    let (replicas, now) = (situation.replicas(), situation.now());
    let bounds = situation.measured.bounds.as_ref()?;
    let next = bounds.below(replicas).next_back()?;
    let tuning = &*situation.policy.tuning;
    let rebalance = situation.history.consumption.partitions.rebalance;
    let dear = scale_down::dear(situation.model(), rebalance, (replicas, next), now, tuning);
    let least = flap_backoff::down_wait(situation.memory, situation.policy, now);
    let length = least.max(seconds(dear)).min(tuning.lag_peaks.window_most);
    let spacing = situation.gates.down(length);
    let window = situation.history.lag_peaks.window(length, tuning);
    let covered = window.map(|window| window.covered).unwrap_or_default();
    let to_next = |wait, step| {
        let proposal = shrink::to(situation, next, ScaleReason::LagBelowTarget, wait);
        Some(proposal.after(vec![step]))
    };
    if covered < length {
        // Whether the present demand would allow a smaller size at all.
        if situation.measured.demand?.wanted.max(next) >= replicas {
            return None;
        }
        let gathering = Wait {
            why: HoldReason::GatheringEvidence,
            until: Some(later(now, length - covered)),
        };
        let window = length;
        let step = Step::Window { covered, window };
        return to_next(spacing.or(Some(gathering)), step);
    }
    let peak = window?.peak;
    // An uncertain ceiling causes no scale-down (KNOW-17).
    if peak > bounds.ceiling || bounds.at_least(peak) > next {
        return None;
    }
    to_next(spacing, Step::CapacityUnknown)
}
