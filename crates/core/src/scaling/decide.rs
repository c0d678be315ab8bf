//! `decide`: takes policy, state and observation; returns decision and state. It has no cache and
//! reads no clock.

use crate::scaling::facts;
use crate::scaling::gate::pacing::{Gates, paced};
use crate::scaling::input::observation::Observation;
use crate::scaling::input::policy::{Objective, Policy};
use crate::scaling::measure::history::History;
use crate::scaling::measure::take::{self, Measurements};
use crate::scaling::number::to_millis;
use crate::scaling::output::decision::{Decision, HoldReason, Wait};
use crate::scaling::plan::proposal::Proposal;
use crate::scaling::plan::scale_down::judge_probe;
use crate::scaling::plan::situation::{Situation, objective};
use crate::scaling::plan::{delay_objective, ineffective, lag_objective, learnings, overrides};
use crate::scaling::state::memory::Memory;

/// The state that `decide` returns and that the next call takes.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Survives restarts.
    pub memory: Memory,
    /// Rebuilt from polls; bounded in size.
    pub history: History,
}

impl State {
    /// The state of a process that has just started and read `memory` from the status.
    pub fn after_restart(memory: Memory) -> Self {
        Self {
            memory,
            history: History::default(),
        }
    }

    /// Whether nothing has been observed yet, so that only the memory is known.
    pub fn is_fresh(&self) -> bool {
        self.history.is_empty()
    }
}

/// Decides for one group.
///
/// The returned state goes into the next call, whether or not the decision is carried out. An
/// action is recorded by [`Memory::begin`] and [`Memory::confirm`].
pub fn decide(policy: &Policy, state: State, observation: &Observation) -> (Decision, State) {
    let policy = &paced(policy);
    let State {
        mut memory,
        mut history,
    } = state;
    let mut observation = Observation {
        now: to_millis(observation.now),
        ..observation.clone()
    };
    history.read_offsets(policy, &mut observation);
    let observation = &observation;

    let mut measured = take::take(policy, &mut memory, &mut history, observation);
    let notices = &mut measured.notices;
    let gates = Gates::new(policy, &mut memory, &mut history, observation, notices);
    judge_last_probe(policy, &mut memory, &measured, observation);

    let seen = (observation, &measured, &gates);
    let mut situation = Situation::new(policy, &memory, &history, seen);
    let proposal = propose(&mut situation);
    let update = learnings::learn(&situation, &proposal);
    learnings::apply(update, &mut memory, &mut history, policy, observation);
    let decision = facts::decision(&Situation::new(policy, &memory, &history, seen), proposal);
    (decision, State { memory, history })
}

/// The policy, in order: the overrides; back, if the last scale-up was ineffective; then the
/// objective, up before down.
fn propose(situation: &mut Situation<'_>) -> Proposal {
    if let Some(proposal) = overrides::propose(situation) {
        return proposal;
    }
    situation.review = ineffective::review(situation);
    ineffective::propose(situation).unwrap_or_else(|| by_objective(situation))
}

fn by_objective(situation: &Situation<'_>) -> Proposal {
    let Some(demand) = situation.measured.demand else {
        return Proposal::hold(Wait::open(HoldReason::LagUnknown), None);
    };
    match (situation.policy.objective, &situation.measured.estimate) {
        (Objective::MaxDelay(_), Some(estimate)) if situation.replicas() > 0 => {
            delay_objective::propose(situation, estimate)
        }
        // A group at zero replicas has no delay; new records wake it.
        _ => lag_objective::propose(situation, demand),
    }
}

/// Judges the last scale-down once it has settled. Under `lagPerReplica` there are no probes: the
/// group goes down one aligned size at a time until the capacity is measured.
fn judge_last_probe(
    policy: &Policy,
    memory: &mut Memory,
    measured: &Measurements,
    observation: &Observation,
) {
    if let (Some(estimate), Objective::MaxDelay(_)) = (&measured.estimate, policy.objective) {
        let objective = objective(policy, &memory.model);
        let (last, now) = (memory.last, observation.now);
        let model = &mut memory.model;
        judge_probe(model, estimate, last, objective, now, &policy.tuning);
    }
}
