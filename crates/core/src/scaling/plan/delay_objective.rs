//! The time objective: up if the predicted delay passes the line, down if fewer replicas are
//! enough.

use crate::scaling::measure::demand::Demand;
use crate::scaling::measure::estimate::Estimate;
use crate::scaling::number::{milli, seconds};
use crate::scaling::output::decision::{HoldReason, ScaleReason, Wait};
use crate::scaling::output::trail::Step;
use crate::scaling::plan::delay_target::{self, DelayTarget};
use crate::scaling::plan::proposal::{Learning, Proposal};
use crate::scaling::plan::situation::Situation;
use crate::scaling::plan::{backlog, explain, grow, ineffective, shrink};

/// The proposal of the time objective, and what it waits for.
pub(in crate::scaling) fn propose(situation: &Situation<'_>, estimate: &Estimate) -> Proposal {
    let Some(sizes) = situation.sizes() else {
        return Proposal::hold(Wait::open(HoldReason::LagUnknown), None);
    };
    let (objective, replicas) = (situation.objective(), situation.replicas());
    let input = situation.size_input(estimate, sizes);
    let target = backlog::sooner(delay_target::target(&input), &input);
    let demand = Demand {
        asked: target.unlimited,
        wanted: target.size,
    };
    let is_urgent = target.predicted > objective;
    let mut steps = steps(situation, estimate, &target);
    steps.extend(explain::limit(situation, demand));
    let cap = target
        .is_up
        .then(|| ineffective::cap(situation, target.size));
    let size = cap.as_ref().map(|cap| cap.size);
    let is_over = cap.as_ref().is_some_and(|cap| cap.is_over);
    steps.extend(cap.and_then(|cap| cap.step));
    let proposal = if let Some(size) = size.filter(|size| *size > replicas) {
        let grown = grow::to(situation, size, ScaleReason::DelayAboveTarget, is_urgent);
        if target.is_skewed {
            grown.teaching(Learning::Skewed(estimate.skew()))
        } else {
            grown
        }
    } else if !target.is_up && target.is_stale && target.size > replicas {
        Proposal::hold(Wait::open(HoldReason::LagUnknown), Some(target.size))
    } else {
        shrink::propose(situation, estimate, sizes, ScaleReason::DelayBelowTarget)
    };
    Proposal {
        demand: Some(demand),
        is_urgent,
        ..proposal.after(steps).noting_bottleneck(is_over)
    }
}

fn steps(situation: &Situation<'_>, estimate: &Estimate, target: &DelayTarget) -> Vec<Step> {
    let measured = situation.measured;
    let mut steps = vec![Step::Delay {
        delay: seconds(target.delay),
        predicted: seconds(target.predicted),
        unknown: measured.lag.unknown,
    }];
    let stuck = i32::try_from(estimate.stuck.len()).unwrap_or(i32::MAX);
    steps.extend(explain::partitions(measured.live.new_partitions, stuck));
    if let Some(capacity) = target.capacity {
        steps.push(Step::Load {
            arrivals_milli: milli(target.arrivals),
            capacity_milli: milli(capacity),
            is_measured: situation.model().capacity.is_some(),
            replicas: target.unlimited,
        });
    } else if target.delay > 0.0 {
        steps.push(Step::Said(
            "nothing has been committed yet, so the effect of more replicas is unknown",
        ));
    }
    steps
}
