//! Scale-downs: what rules them out, to zero, and to a size that would have kept up.

use crate::scaling::measure::estimate::Estimate;
use crate::scaling::number::{later, seconds};
use crate::scaling::output::decision::{HoldReason, ScaleReason, Wait};
use crate::scaling::output::trail::Step;
use crate::scaling::plan::proposal::{Learning, Proposal};
use crate::scaling::plan::scale_down::ScaleDown;
use crate::scaling::plan::situation::Situation;

/// Shrinks to `to`, unless a gate holds it.
pub(in crate::scaling) fn to(
    situation: &Situation<'_>,
    to: i32,
    why: ScaleReason,
    wait: Option<Wait>,
) -> Proposal {
    let wait = situation.held_by_annotation(to).or(wait);
    let proposal = Proposal::scale((situation.replicas(), to), why, wait);
    if to == 0 {
        let ends = situation.snapshot();
        let ends = ends.and_then(|snapshot| situation.history.sum_of_ends(snapshot));
        return proposal.teaching(Learning::Sleeps(ends));
    }
    proposal
}

/// What rules out any smaller size.
pub(in crate::scaling) fn ruled_out(situation: &Situation<'_>) -> Option<Proposal> {
    let (wait, desired) = situation.no_down()?;
    Some(Proposal::hold(wait, desired))
}

/// Consumers may be processing records that take long.
pub(in crate::scaling) fn records_in_hand(situation: &Situation<'_>) -> Option<Proposal> {
    situation
        .has_records_in_hand()
        .then(|| stays(situation, HoldReason::RecordsInHand))
}

/// Keeps the present size.
pub(in crate::scaling) fn stays(situation: &Situation<'_>, why: HoldReason) -> Proposal {
    Proposal::hold(Wait::open(why), Some(situation.replicas()))
}

/// To zero. `None`: there are records to read, or `minReplicas` is not 0.
pub(in crate::scaling) fn to_zero(situation: &Situation<'_>) -> Option<Proposal> {
    if situation.policy.min != 0 || situation.replicas() == 0 {
        return None;
    }
    let since = situation.history.quiet_since?;
    let until = later(since, situation.policy.pacing.scale_to_zero_delay);
    let wait = if until <= situation.now() {
        situation.down_gate()
    } else {
        let bounds = situation.measured.bounds.as_ref()?;
        if bounds.below(situation.replicas()).next().is_some() {
            return None;
        }
        Some(Wait {
            why: HoldReason::GatheringEvidence,
            until: Some(until),
        })
    };
    Some(to(situation, 0, ScaleReason::ScaleToZero, wait))
}

/// Whether fewer replicas are enough. `sizes`: the candidates, ascending; `below`: the reason, if
/// one of them is.
pub(in crate::scaling) fn propose(
    situation: &Situation<'_>,
    estimate: &Estimate,
    sizes: &[i32],
    below: ScaleReason,
) -> Proposal {
    ruled_out(situation)
        .or_else(|| outage(situation, estimate))
        .or_else(|| records_in_hand(situation))
        .or_else(|| to_zero(situation))
        .unwrap_or_else(|| to_smaller(situation, estimate, sizes, below))
}

fn outage(situation: &Situation<'_>, estimate: &Estimate) -> Option<Proposal> {
    let words = if estimate.stuck.is_empty() {
        "one record waits in most partitions and is not read: if producers use transactions, set isolationLevel: ReadCommitted"
    } else {
        "most partitions do not move, so the effect of fewer replicas is unknown"
    };
    let held = || stays(situation, HoldReason::DelayTooHigh).after(vec![Step::Said(words)]);
    estimate.is_outage.then(held)
}

fn to_smaller(
    situation: &Situation<'_>,
    estimate: &Estimate,
    sizes: &[i32],
    below: ScaleReason,
) -> Proposal {
    let input = situation.size_input(estimate, sizes);
    let gate = situation.down_gate();
    let (size, why, step) = match input.smaller() {
        None => return stays(situation, HoldReason::AsDesired),
        Some(ScaleDown::Gathering {
            to,
            covered,
            window,
        }) => {
            let step = Step::Window {
                covered: seconds(covered),
                window: seconds(window),
            };
            let gathering = Wait {
                why: HoldReason::GatheringEvidence,
                until: Some(later(situation.now(), seconds(window - covered))),
            };
            let wait = Some(gate.unwrap_or(gathering));
            return Proposal::scale((situation.replicas(), to), below, wait).after(vec![step]);
        }
        Some(ScaleDown::Holds { to, window }) => {
            let window = seconds(window);
            let replicas = to;
            (to, below, Step::Replayed { replicas, window })
        }
        Some(ScaleDown::Probe { to }) => (to, ScaleReason::ProbingCapacity, Step::CapacityUnknown),
    };
    let late = (!input.is_calm()).then_some(Wait::open(HoldReason::DelayTooHigh));
    to(situation, size, why, gate.or(late))
        .teaching(Learning::Shrinks)
        .after(vec![step])
}
