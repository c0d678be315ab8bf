//! `decide`: policy, state and observation in; decision and state out. It owns no cache and knows no clock.

use jiff::Timestamp;

use crate::scaling::by_law;
use crate::scaling::gate::pacing::Gates;
use crate::scaling::input::observation::{Assignor, Blind, GroupState, Look, Members, Observation};
use crate::scaling::input::policy::{Objective, Policy};
use crate::scaling::measure::estimate::{Backlogged, Estimate, LiveLag};
use crate::scaling::measure::history::{self, History};
use crate::scaling::measure::lag;
use crate::scaling::measure::membership::Membership;
use crate::scaling::measure::replica_changes::{self, Sight};
use crate::scaling::number::{later, to_millis};
use crate::scaling::output::decision::{
    Decision, HoldReason, Knowledge, Lag, Notice, ScaleReason, Verdict, Wait, wait,
};
use crate::scaling::output::trail::{Step, Trail};
use crate::scaling::plan::lag_target::{self, Demand};
use crate::scaling::plan::limits::{Bounds, Shape};
use crate::scaling::state::memory::Memory;

/// What `decide` hands from one call to the next.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Survives restarts.
    pub memory: Memory,
    /// Rebuilt from looks, bounded.
    pub history: History,
}

impl State {
    /// The state of a process that has just started and found `memory` in the status.
    pub fn after_restart(memory: Memory) -> Self {
        Self {
            memory,
            history: History::default(),
        }
    }

    /// Whether nothing has been observed yet: all that is known is the memory.
    pub fn is_fresh(&self) -> bool {
        self.history.is_empty()
    }
}

/// Decides for one group.
///
/// The returned state goes into the next call, whatever becomes of the decision; an action itself is recorded by
/// [`Memory::begin`] and [`Memory::confirm`].
pub fn decide(policy: &Policy, state: State, observation: &Observation) -> (Decision, State) {
    let mut observation = Observation {
        now: to_millis(observation.now),
        ..observation.clone()
    };
    let mut state = state;
    let policy = &by_law::paced(policy);
    state.history.read_offsets(policy, &mut observation);
    let mut scene = Scene::new(policy, state, &observation);
    let (verdict, desired) = scene.verdict();
    let up_blocked = scene.up_blocked();
    let (decision, state) = scene.finish(verdict, desired, up_blocked);
    (decision, state)
}

/// Everything that one decision is made from.
pub(in crate::scaling) struct Scene<'a> {
    pub(in crate::scaling) policy: &'a Policy,
    pub(in crate::scaling) observation: &'a Observation,
    pub(in crate::scaling) now: Timestamp,
    pub(in crate::scaling) replicas: i32,
    pub(in crate::scaling) memory: Memory,
    pub(in crate::scaling) history: history::History,
    pub(in crate::scaling) sight: Sight,
    /// The partition counts, when every topic gave them.
    pub(in crate::scaling) shape: Option<Shape>,
    pub(in crate::scaling) bounds: Option<Bounds>,
    pub(in crate::scaling) knowledge: Knowledge,
    pub(in crate::scaling) is_whole: bool,
    pub(in crate::scaling) lag: Lag,
    pub(in crate::scaling) live: LiveLag,
    pub(in crate::scaling) demand: Option<Demand>,
    /// Under the time objective: what this look says.
    pub(in crate::scaling) estimate: Option<Estimate>,
    /// The time objective is about to be broken.
    pub(in crate::scaling) is_urgent: bool,
    pub(in crate::scaling) gates: Gates,
    /// Partitions whose backlog no size shortens.
    pub(in crate::scaling) backlogged: Backlogged,
    pub(in crate::scaling) notices: Vec<Notice>,
    pub(in crate::scaling) trail: Trail,
}

impl<'a> Scene<'a> {
    fn new(policy: &'a Policy, state: State, observation: &'a Observation) -> Self {
        let State {
            mut memory,
            mut history,
        } = state;
        let now = observation.now;
        let target = observation.target;
        let mut notices = Vec::new();
        if memory
            .subject
            .is_some_and(|subject| subject != policy.subject)
        {
            history.evidence.clear();
            history.law = history::Law::default();
        }
        let (sight, acted) =
            replica_changes::adopt(policy, &mut memory, target.replicas, now, &mut notices);
        if acted && let Some(last) = memory.last.filter(|last| last.to > last.from) {
            memory.before_up = history.membership.before_up(last.from);
        }
        if acted || history.action_changed(memory.last.map(|l| l.time)) {
            history.note_action();
        }
        let taken = history.take(policy, &memory, observation);
        notices.extend(taken.notices.iter().cloned());
        let look = observation.look.as_ref().ok();

        memory.assignor = look.and_then(|l| l.group.assignor).or(memory.assignor);
        let shape = look
            .filter(|l| history::limit_is_known(l))
            .map(|l| shape_of(l, &history.membership, memory.assignor, policy.threads));
        if let Some(shape) = &shape {
            memory.limit = Some(shape.limit());
        }
        let bounds = bounds_of(policy, shape.as_ref(), memory.limit);

        let lag = look
            .map(|l| lag::of_look(l, policy.offset_reset))
            .unwrap_or_default();
        let estimate = by_law::take(
            policy,
            &mut memory,
            &mut history,
            observation,
            bounds.as_ref(),
            &taken,
        );
        let live = estimate
            .as_ref()
            .map_or(LiveLag::UNKNOWN, Estimate::live_lag);
        if taken.is_other || history.bounds_changed(bounds.as_ref()) {
            history.evidence.clear();
        }
        let demand = look.zip(bounds.as_ref()).map(|(look, bounds)| {
            let (replicas, ends) = (target.replicas, history.sum_of_ends(look));
            lag_target::of(policy, &memory, bounds, replicas, live.total, ends, look)
        });
        if taken.is_new
            && taken.is_whole
            && let Some(look) = look
        {
            if let Some(demand) = demand {
                history.evidence.push(look.at, demand.asked);
            }
            if target.replicas == 0 && memory.slept_at.is_none() {
                // Asleep, and not by us: from now on what comes is told by the ends, whatever becomes of the commits.
                memory.slept_at = lag_target::read_so_far(&history, look, policy.offset_reset);
            }
            if assignments_are_shown(look) {
                history.note_certain_limit(shape.as_ref().map(Shape::certain_limit));
            }
            lag_target::note_quiet(&mut history, look, policy.may_hold_markers);
        }
        let gates = Gates::new(policy, &mut memory, &mut history, observation, &mut notices);
        by_law::judge(policy, &mut memory, estimate.as_ref(), now);
        Self {
            policy,
            observation,
            now,
            replicas: target.replicas,
            knowledge: history.knowledge(now),
            is_whole: taken.is_whole,
            memory,
            history,
            sight,
            shape,
            bounds,
            lag,
            live,
            demand,
            estimate,
            is_urgent: false,
            gates,
            backlogged: Backlogged::default(),
            notices,
            trail: Trail::default(),
        }
    }

    /// What to do, and the count that this decision would have if nothing were in the way.
    fn verdict(&mut self) -> (Verdict, Option<i32>) {
        let held = |why| (Verdict::Hold(wait(why)), None);
        if self.sight == Sight::NotLanded {
            return (
                Verdict::Hold(wait(HoldReason::Settling)),
                self.memory.expected,
            );
        }
        if self.is_switched_off() {
            self.trail.push(Step::Said(
                "scaled to 0 by hand; scale it to 1 or more to hand it back",
            ));
            return held(HoldReason::ScalingDisabled);
        }
        if let Some(paused) = self.paused() {
            return paused;
        }
        if let Some(until) = self.memory.contested_until {
            self.trail.push(Step::Said(
                "somebody else changed the replicas three times within ten minutes",
            ));
            return (
                Verdict::Hold(Wait {
                    why: HoldReason::TargetContested,
                    until: Some(until),
                }),
                None,
            );
        }
        if let Some((to, why)) = self.out_of_bounds() {
            return (self.move_to_bound(to, why), Some(to));
        }
        if let Some((to, why)) = self.fallback() {
            let wait = self.brake(to).or(self.gates.fallback());
            return (self.unless(wait, to, why), Some(to));
        }
        if self.observation.look == Err(Blind::NotYet) {
            return held(HoldReason::NotYetObserved);
        }
        let Some(demand) = self.demand else {
            return held(HoldReason::LagUnknown);
        };
        let estimate = self.estimate.take();
        let decided = match (self.policy.objective, &estimate) {
            (Objective::MaxDelay(_), Some(estimate)) if self.replicas > 0 => {
                self.by_delay(estimate)
            }
            (_, estimate) => self.by_lag(estimate.as_ref(), demand),
        };
        self.estimate = estimate;
        decided
    }

    /// What rules out any smaller size.
    pub(in crate::scaling) fn no_down(&self) -> Option<(Verdict, Option<i32>)> {
        if !self.is_whole || self.group_unknown() {
            return Some((Verdict::Hold(wait(HoldReason::LagUnknown)), None));
        }
        if self.gates.nobody_joined {
            let held = Verdict::Hold(wait(HoldReason::MembersMissing));
            return Some((held, Some(self.replicas)));
        }
        if self.history.membership.storm(self.now).is_some() {
            return Some((
                Verdict::Hold(wait(HoldReason::RebalancingOften)),
                Some(self.replicas),
            ));
        }
        // Without members nothing is consumed, whatever the lag says.
        let wait = self.gates.without_members()?;
        Some((Verdict::Hold(wait), Some(self.replicas)))
    }

    /// Consumers may have records in hand that take long, and that whoever loses them leaves to be done again.
    pub(in crate::scaling) fn records_in_hand(&self) -> Option<(Verdict, Option<i32>)> {
        let is_any = self.history.law.partitions.in_hand() > 0;
        is_any.then_some((
            Verdict::Hold(wait(HoldReason::RecordsInHand)),
            Some(self.replicas),
        ))
    }

    pub(in crate::scaling) fn go_down(
        &mut self,
        to: i32,
        why: ScaleReason,
        wait: Option<Wait>,
    ) -> (Verdict, Option<i32>) {
        let wait = self.brake(to).or(wait);
        if wait.is_none() && to == 0 {
            self.memory.slept_at = self
                .observation
                .look
                .as_ref()
                .ok()
                .and_then(|look| self.history.sum_of_ends(look));
        }
        (self.unless(wait, to, why), Some(to))
    }

    /// To sleep, and what that waits for. `None`: there is something to do, or the user wants somebody awake.
    pub(in crate::scaling) fn to_zero(&self) -> Option<(i32, ScaleReason, Option<Wait>)> {
        let pacing = self.policy.pacing;
        if self.policy.min == 0
            && self.replicas > 0
            && let Some(since) = self.history.quiet_since
        {
            let until = later(since, pacing.scale_to_zero_delay);
            if until <= self.now {
                return Some((
                    0,
                    ScaleReason::ScaleToZero,
                    self.gates.down(pacing.min_scale_down_interval),
                ));
            }
            if self.bounds.as_ref()?.below(self.replicas).next().is_none() {
                let wait = Wait {
                    why: HoldReason::GatheringEvidence,
                    until: Some(until),
                };
                return Some((0, ScaleReason::ScaleToZero, Some(wait)));
            }
        }
        None
    }

    /// What a scale-up that the lag asks for waits for.
    pub(in crate::scaling) fn up_gate(&self) -> Option<Wait> {
        self.gates.up(
            self.knowledge,
            self.live.is_stale || self.group_unknown(),
            self.history.looks,
            self.is_urgent,
        )
    }

    pub(in crate::scaling) fn group_unknown(&self) -> bool {
        self.observation
            .look
            .as_ref()
            .map_or(true, |l| l.group.state == GroupState::Unknown)
    }

    pub(in crate::scaling) fn unless(
        &mut self,
        wait: Option<Wait>,
        to: i32,
        why: ScaleReason,
    ) -> Verdict {
        match wait {
            Some(wait) => {
                if let Some(until) = wait.until {
                    self.trail.push(match wait.why {
                        HoldReason::Settling
                        | HoldReason::GroupRebalancing
                        | HoldReason::RolloutInProgress => Step::AtMostUntil(until),
                        _ => Step::NotBefore(until),
                    });
                }
                Verdict::Hold(wait)
            }
            None => Verdict::Scale {
                from: self.replicas,
                to,
                why,
            },
        }
    }
}

/// Whether a look shows which topics the members have: they hide that while a classic group rebalances, and a group
/// without members has none. The limit seen then may lack topics that are merely not named.
fn assignments_are_shown(look: &Look) -> bool {
    let assigned = |members: &Members| members.list.iter().any(|member| member.partitions > 0);
    look.group.state == GroupState::Stable && look.group.members.as_ref().is_some_and(assigned)
}

/// The bounds of the group. Where the partitions cannot be read: those of the limit last known, one consumer a replica.
fn bounds_of(policy: &Policy, shape: Option<&Shape>, known: Option<i32>) -> Option<Bounds> {
    let last = known.map(|limit| Shape::new([limit], Some(Assignor::Even), 1));
    Bounds::new(shape.or(last.as_ref())?, policy.min, policy.max)
}

fn shape_of(
    look: &Look,
    membership: &Membership,
    assignor: Option<Assignor>,
    threads: i32,
) -> Shape {
    let counts = |is_read: bool| {
        let topics = look.topics.iter();
        let topics = topics.filter(move |t| (t.is_own() || membership.reads(&t.name)) == is_read);
        let partitions = topics.filter_map(|t| t.partitions.as_ref());
        partitions.map(|p| i32::try_from(p.len()).unwrap_or(i32::MAX))
    };
    Shape::new(counts(true), assignor, threads).beside(counts(false), membership.foreign())
}
