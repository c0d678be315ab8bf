//! The time objective: up when the delay that is predicted passes the line, down when fewer will
//! do.

use crate::scaling::measure::demand::Demand;
use crate::scaling::measure::estimate::Estimate;
use crate::scaling::number::{milli, seconds};
use crate::scaling::output::decision::{HoldReason, ScaleReason, Wait};
use crate::scaling::output::trail::Step;
use crate::scaling::plan::delay_target::{self, Grounds, Need};
use crate::scaling::plan::proposal::{Lesson, Proposal};
use crate::scaling::plan::situation::Situation;
use crate::scaling::plan::{backlog, explain, grow, ineffective, shrink};

/// What the time objective asks for, and what stands in its way.
pub(in crate::scaling) fn propose(situation: &Situation<'_>, estimate: &Estimate) -> Proposal {
    let Some(sizes) = situation.sizes() else {
        return Proposal::hold(Wait::open(HoldReason::LagUnknown), None);
    };
    let (objective, replicas) = (situation.objective(), situation.replicas());
    let grounds = Grounds {
        estimate,
        learnt: situation.learnt(),
        last: situation.memory.last,
        sizes,
        replicas,
        objective,
        now: situation.now(),
        tuning: &situation.policy.tuning,
    };
    let need = backlog::sooner(delay_target::need(&grounds), &grounds);
    let demand = Demand {
        asked: need.unlimited,
        wanted: need.size,
    };
    let is_urgent = need.predicted > objective;
    let mut steps = steps(situation, estimate, &need);
    steps.extend(explain::limit(situation, demand));
    let cap = need.is_up.then(|| ineffective::cap(situation, need.size));
    let size = cap.as_ref().map(|cap| cap.size);
    let is_over = cap.as_ref().is_some_and(|cap| cap.is_over);
    steps.extend(cap.and_then(|cap| cap.step));
    let proposal = if let Some(size) = size.filter(|size| *size > replicas) {
        let grown = grow::to(situation, size, ScaleReason::DelayAboveTarget, is_urgent);
        if need.is_uneven {
            grown.teaching(Lesson::Uneven(estimate.unevenness()))
        } else {
            grown
        }
    } else if !need.is_up && need.is_stale && need.size > replicas {
        Proposal::hold(Wait::open(HoldReason::LagUnknown), Some(need.size))
    } else {
        shrink::propose(situation, estimate, sizes, ScaleReason::DelayBelowTarget)
    };
    Proposal {
        demand: Some(demand),
        is_urgent,
        ..proposal.after(steps).noting_plateau(is_over)
    }
}

fn steps(situation: &Situation<'_>, estimate: &Estimate, need: &Need) -> Vec<Step> {
    let measured = situation.measured;
    let mut steps = vec![Step::Delay {
        delay: seconds(need.delay),
        predicted: seconds(need.predicted),
        unknown: measured.lag.unknown,
    }];
    let stuck = i32::try_from(estimate.stuck.len()).unwrap_or(i32::MAX);
    steps.extend(explain::partitions(measured.live.new_partitions, stuck));
    if let Some(capacity) = need.capacity {
        steps.push(Step::Load {
            arrivals_milli: milli(need.arrivals),
            capacity_milli: milli(capacity),
            is_measured: situation.learnt().capacity.is_some(),
            replicas: need.unlimited,
        });
    } else if need.delay > 0.0 {
        steps.push(Step::Said(
            "nothing has been committed yet, so nothing can be said of what more replicas could do",
        ));
    }
    steps
}
