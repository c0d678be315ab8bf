//! The way to a verdict: what the objective asks for, what the law says of it, and what that waits for. Both objectives go
//! down by the law, and neither grows where that has brought nothing; they differ in when they grow.

use jiff::{SignedDuration, Timestamp};

use crate::scaling::decide::Scene;
use crate::scaling::input::observation::{Observation, Rollout};
use crate::scaling::input::policy::{Objective, Policy};
use crate::scaling::measure::capacity;
use crate::scaling::measure::estimate::Estimate;
use crate::scaling::measure::history::{GAP, History, Judgement, Taken};
use crate::scaling::number::{later, seconds};
use crate::scaling::output::decision::{HoldReason, ScaleReason, Verdict, Wait, wait};
use crate::scaling::output::trail::Step;
use crate::scaling::plan::limits::Bounds;
use crate::scaling::plan::scale_down::{self, Grounds, Smaller};
use crate::scaling::plan::{flap_backoff, ineffective};
use crate::scaling::state::learnt::Learnt;
use crate::scaling::state::memory::Memory;
use crate::scaling::tuning::LANDING;

/// Offsets are kept for twice the objective and a minute, and for no less than eleven minutes.
const KEPT_AT_LEAST: i64 = 600_000;
const KEPT_BESIDES: i64 = 60_000;
/// A scale-up is judged when it has landed and a sample of capacity has been taken since.
const JUDGED_AFTER: SignedDuration = SignedDuration::from_secs(90);

/// Who gives a lag does not say how late is too late: a smaller size has to keep records this young, in seconds, or as old
/// as the lag that is allowed makes them, where that is older.
const CALM_UNDER_LAG: f64 = 60.0;

/// Seconds of delay that the objective allows.
pub(in crate::scaling) fn objective(policy: &Policy, learnt: &Learnt) -> f64 {
    match policy.objective {
        Objective::MaxDelay(delay) => delay.as_secs_f64(),
        Objective::LagPerReplica(lag) => {
            let allowed = learnt.seconds_of(lag, policy.threads);
            allowed.unwrap_or(0.0).max(CALM_UNDER_LAG)
        }
    }
}

/// Under the time objective no pacing is shorter than what the law's windows need: what an action did must have become
/// visible in a minute of looks before the next is decided on.
const LEAST_UP: SignedDuration = SignedDuration::from_secs(30);
const LEAST_DOWN: SignedDuration = SignedDuration::from_secs(120);

/// The policy that is decided by: under the time objective with no less than the law's own spacing.
pub(in crate::scaling) fn paced(policy: &Policy) -> Policy {
    let mut paced = policy.clone();
    if matches!(policy.objective, Objective::MaxDelay(_)) {
        let pacing = &mut paced.pacing;
        pacing.min_interval = pacing.min_interval.max(LEAST_UP);
        pacing.min_scale_down_interval = pacing.min_scale_down_interval.max(LEAST_DOWN);
    }
    paced
}

/// Takes in what the law learns from an observation, and estimates.
pub(in crate::scaling) fn take(
    policy: &Policy,
    memory: &mut Memory,
    history: &mut History,
    observation: &Observation,
    bounds: Option<&Bounds>,
    taken: &Taken,
) -> Option<Estimate> {
    let rolled_out =
        history.timers.rollout.is_some() && observation.target.rollout == Rollout::None;
    // Under a lag what was measured is kept until the next backlog: a probe that fails makes lag ask for many.
    if rolled_out && matches!(policy.objective, Objective::MaxDelay(_)) {
        memory.learnt.doubt();
    }
    let look = observation.look.as_ref().ok()?;
    let law = &mut history.law;
    if taken.is_other {
        law.what_if.clear();
    }
    if taken.is_new {
        let twice = match policy.objective {
            Objective::MaxDelay(delay) => delay.as_secs().saturating_mul(2000),
            Objective::LagPerReplica(_) => 0,
        };
        let keep = KEPT_AT_LEAST.max(twice) + KEPT_BESIDES;
        let longest = memory.learnt.longest(look.at);
        law.partitions.take(look, policy, keep, longest);
        if let Some(pause) = law.partitions.pause.take() {
            memory.learnt.note_pause(pause, look.at);
        }
        if std::mem::take(&mut law.partitions.found_waits) {
            memory.learnt.capacity = None;
        }
        let worked = std::mem::take(&mut law.partitions.longest);
        memory.learnt.note_longest(worked, look.at);
    }
    let now = look.at;
    let estimate = Estimate::new(
        &law.partitions,
        &memory.learnt,
        memory.assignor,
        (policy.threads, history.membership.foreign()),
        now,
    )?;
    if taken.is_new {
        capacity::learn(&mut memory.learnt, &mut law.next_sample, &estimate, now);
        let gap = i64::try_from(GAP.as_millis()).unwrap_or(i64::MAX);
        estimate.note_loads(&mut law.what_if, bounds?.sizes(), taken.is_whole, now, gap);
    }
    Some(estimate)
}

/// Judges the last action, once it is known whether it has settled.
pub(in crate::scaling) fn judge(
    policy: &Policy,
    memory: &mut Memory,
    estimate: Option<&Estimate>,
    now: Timestamp,
) {
    // Under a lag nothing is probed: the size goes down by one count at a time until the capacity is known.
    if let (Some(estimate), Objective::MaxDelay(_)) = (estimate, policy.objective) {
        let objective = objective(policy, &memory.learnt);
        scale_down::judge_probe(&mut memory.learnt, estimate, memory.last, objective, now);
    }
}

impl Scene<'_> {
    /// How far towards `size` the group may grow: no further than growing has lately brought something.
    pub(in crate::scaling) fn capped(&mut self, size: i32) -> i32 {
        let Some(plateau) = ineffective::cap(&mut self.memory.learnt, self.now) else {
            return size;
        };
        let known = self.bounds.as_ref().map(|b| b.at_least(plateau.replicas));
        let most = known.unwrap_or(plateau.replicas).max(self.replicas);
        if size > most {
            self.trail.push(Step::Plateau {
                replicas: plateau.replicas,
                until: plateau.until,
            });
        }
        size.min(most)
    }

    pub(in crate::scaling) fn grow(
        &mut self,
        estimate: Option<&Estimate>,
        to: i32,
        why: ScaleReason,
    ) -> (Verdict, Option<i32>) {
        let wait = self.brake(to).or(self.up_gate());
        if wait.is_none() {
            let is_measured = self.memory.learnt.is_measured();
            if let Some(estimate) = estimate {
                let objective = objective(self.policy, &self.memory.learnt);
                let learnt = &mut self.memory.learnt;
                scale_down::note_up(learnt, estimate, self.replicas, objective, self.now);
                scale_down::note_undone(learnt, self.memory.last, self.now);
                let judgement = self.history.law.judgement;
                ineffective::note_before_up(learnt, judgement, estimate, self.now);
                self.history.law.judgement = Judgement::Open;
            }
            if !is_measured {
                self.memory.regret =
                    flap_backoff::after_up(&self.memory, self.policy.pacing, self.now);
            }
        }
        (self.unless(wait, to, why), Some(to))
    }

    /// Whether fewer will do. `sizes`: those to choose from, ascending; `below`: why, if one of them does.
    pub(in crate::scaling) fn shrink(
        &mut self,
        estimate: &Estimate,
        sizes: &[i32],
        below: ScaleReason,
    ) -> (Verdict, Option<i32>) {
        if let Some(held) = self.no_down() {
            return held;
        }
        if estimate.is_outage {
            self.trail.push(Step::Said(if estimate.stuck.is_empty() {
                "one record waits in most partitions, and nobody reads it: if producers use transactions, set isolationLevel: ReadCommitted"
            } else {
                "most partitions do not move, so nothing can be said of what fewer replicas could do"
            }));
            return (
                Verdict::Hold(wait(HoldReason::DelayTooHigh)),
                Some(self.replicas),
            );
        }
        if let Some(held) = self.records_in_hand() {
            return held;
        }
        if let Some((to, why, wait)) = self.to_zero() {
            return self.go_down(to, why, wait);
        }
        let grounds = Grounds {
            estimate,
            learnt: &self.memory.learnt,
            what_if: &self.history.law.what_if,
            last: self.memory.last,
            sizes,
            replicas: self.replicas,
            objective: objective(self.policy, &self.memory.learnt),
            now: self.now,
        };
        let (smaller, calm) = (grounds.smaller(), grounds.is_calm());
        let (to, why, window) = match smaller {
            None => {
                return (
                    Verdict::Hold(wait(HoldReason::AsDesired)),
                    Some(self.replicas),
                );
            }
            Some(Smaller::Gathering {
                to,
                covered,
                window,
            }) => {
                self.trail.push(Step::Evidence {
                    covered: seconds(covered),
                    window: seconds(window),
                });
                let until = later(self.now, seconds(window - covered));
                let gathering = Wait {
                    why: HoldReason::GatheringEvidence,
                    until: Some(until),
                };
                let wait = self.gates.down(self.policy.pacing.min_scale_down_interval);
                let verdict = self.unless(Some(wait.unwrap_or(gathering)), to, below);
                return (verdict, Some(to));
            }
            Some(Smaller::Holds { to, window }) => (to, below, Some(window)),
            Some(Smaller::Probe { to }) => (to, ScaleReason::ProbingCapacity, None),
        };
        self.trail.push(match window {
            Some(window) => Step::Replayed {
                replicas: to,
                window: seconds(window),
            },
            None => Step::CapacityUnknown,
        });
        let late = (!calm).then_some(wait(HoldReason::DelayTooHigh));
        let gate = self.gates.down(self.policy.pacing.min_scale_down_interval);
        let decided = self.go_down(to, why, gate.or(late));
        if matches!(decided.0, Verdict::Scale { .. }) {
            self.history.law.judgement = Judgement::Done;
            scale_down::note_down(&mut self.memory.learnt, self.replicas, self.now);
        }
        decided
    }

    /// Goes back where the last scale-up brought nothing.
    pub(in crate::scaling) fn in_vain(
        &mut self,
        estimate: &Estimate,
    ) -> Option<(Verdict, Option<i32>)> {
        if self.records_in_hand().is_some() {
            return None;
        }
        let gate = self.gates.down(self.policy.pacing.min_scale_down_interval);
        let age = self.memory.last.map_or(SignedDuration::MAX, |last| {
            self.now.duration_since(last.time)
        });
        let settled = gate.is_none() && age >= JUDGED_AFTER.max(LANDING);
        let law = &mut self.history.law;
        let learnt = &mut self.memory.learnt;
        if gate.is_some_and(|gate| gate.why != HoldReason::CoolingDown) {
            return None;
        }
        let bounds = self.bounds.as_ref()?;
        let sizes = bounds.sizes();
        let vain = ineffective::look(
            learnt,
            &mut law.judgement,
            estimate,
            settled,
            age,
            sizes,
            self.now,
        )?;
        let to = bounds.at_least(vain.to);
        if to >= self.replicas {
            return None;
        }
        self.trail.push(Step::InVain {
            gained: vain.gained,
            grown: vain.grown,
        });
        let why = ScaleReason::ScalingIneffective;
        Some(self.go_down(to, why, None))
    }
}
