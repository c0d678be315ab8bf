//! The input of all proposals, and the questions that several parts of the policy ask.

use jiff::Timestamp;

use crate::scaling::gate::pacing::Gates;
use crate::scaling::input::observation::{GroupSnapshot, GroupState, Observation};
use crate::scaling::input::policy::{Objective, Policy};
use crate::scaling::measure::estimate::Estimate;
use crate::scaling::measure::history::{History, ReviewState};
use crate::scaling::measure::limits::Bounds;
use crate::scaling::measure::take::Measurements;
use crate::scaling::output::decision::{HoldReason, Wait};
use crate::scaling::plan::size_input::SizeInput;
use crate::scaling::state::capacity_model::CapacityModel;
use crate::scaling::state::memory::Memory;

/// The input of all proposals. It does not change while the decision is made.
pub(in crate::scaling) struct Situation<'a> {
    pub(in crate::scaling) policy: &'a Policy,
    pub(in crate::scaling) observation: &'a Observation,
    pub(in crate::scaling) memory: &'a Memory,
    pub(in crate::scaling) history: &'a History,
    pub(in crate::scaling) measured: &'a Measurements,
    pub(in crate::scaling) gates: &'a Gates,
    /// The review of the last scale-up, if there was one.
    pub(in crate::scaling) review: Option<Review>,
}

/// The result of reviewing the last scale-up, and the capacity model after it.
#[derive(Debug, Clone)]
pub(in crate::scaling) struct Review {
    pub(in crate::scaling) model: CapacityModel,
    pub(in crate::scaling) state: ReviewState,
    /// Set if it was ineffective.
    pub(in crate::scaling) found: Option<Ineffective>,
}

/// A scale-up that was ineffective.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::scaling) struct Ineffective {
    /// The size to go back to.
    pub(in crate::scaling) to: i32,
    /// The gain in throughput, in percent.
    pub(in crate::scaling) gained: i64,
    /// The growth of the members, in percent.
    pub(in crate::scaling) grown: i64,
}

impl<'a> Situation<'a> {
    /// Before the last scale-up has been reviewed.
    pub(in crate::scaling) fn new(
        policy: &'a Policy,
        memory: &'a Memory,
        history: &'a History,
        (observation, measured, gates): (&'a Observation, &'a Measurements, &'a Gates),
    ) -> Self {
        Self {
            policy,
            observation,
            memory,
            history,
            measured,
            gates,
            review: None,
        }
    }
}

impl Situation<'_> {
    pub(in crate::scaling) fn now(&self) -> Timestamp {
        self.observation.now
    }

    /// The target's `spec.replicas` now.
    pub(in crate::scaling) fn replicas(&self) -> i32 {
        self.observation.target.replicas
    }

    pub(in crate::scaling) fn snapshot(&self) -> Option<&GroupSnapshot> {
        self.observation.snapshot.as_ref().ok()
    }

    /// The capacity model, including the review of the last scale-up.
    pub(in crate::scaling) fn model(&self) -> &CapacityModel {
        self.review
            .as_ref()
            .map_or(&self.memory.model, |review| &review.model)
    }

    /// Seconds of delay that the objective allows.
    pub(in crate::scaling) fn objective(&self) -> f64 {
        objective(self.policy, self.model())
    }

    /// The sizes to choose from, ascending and never empty. `None`: no partition count has ever
    /// been known.
    pub(in crate::scaling) fn sizes(&self) -> Option<&[i32]> {
        self.measured.bounds.as_ref().map(Bounds::sizes)
    }

    /// The input of the choice of one of `sizes`.
    pub(in crate::scaling) fn size_input<'a>(
        &'a self,
        estimate: &'a Estimate,
        sizes: &'a [i32],
    ) -> SizeInput<'a> {
        SizeInput {
            estimate,
            model: self.model(),
            load_history: &self.history.consumption.load_history,
            last: self.memory.last,
            sizes,
            replicas: self.replicas(),
            objective: self.objective(),
            now: self.now(),
            tuning: &self.policy.tuning,
        }
    }

    /// `paused-scale-in` and `paused-scale-out`.
    pub(in crate::scaling) fn held_by_annotation(&self, to: i32) -> Option<Wait> {
        let pauses = &self.policy.pauses;
        let held = if to > self.replicas() {
            pauses.no_scale_out
        } else {
            pauses.no_scale_in
        };
        held.then_some(Wait::open(HoldReason::Paused))
    }

    /// What a scale-up for the objective waits for.
    pub(in crate::scaling) fn up_gate(&self, is_urgent: bool) -> Option<Wait> {
        self.gates.up(
            self.measured.knowledge,
            self.measured.live.is_stale || self.group_is_unknown(),
            self.history.polls,
            is_urgent,
        )
    }

    /// What a scale-down waits for, apart from its window.
    pub(in crate::scaling) fn down_gate(&self) -> Option<Wait> {
        self.gates.down(self.policy.pacing.min_scale_down_interval)
    }

    /// What rules out any smaller size, and the count that remains.
    pub(in crate::scaling) fn no_down(&self) -> Option<(Wait, Option<i32>)> {
        if !self.measured.is_whole || self.group_is_unknown() {
            return Some((Wait::open(HoldReason::LagUnknown), None));
        }
        let stays = Some(self.replicas());
        if self.gates.no_member_joined {
            return Some((Wait::open(HoldReason::MembersMissing), stays));
        }
        if self
            .history
            .membership
            .storm(self.now(), &self.policy.tuning)
            .is_some()
        {
            return Some((Wait::open(HoldReason::RebalancingOften), stays));
        }
        // Without members nothing is consumed, whatever the lag is.
        Some((self.gates.without_members()?, stays))
    }

    /// Whether consumers may be processing records that take long, which the next owner would have
    /// to process again.
    pub(in crate::scaling) fn has_records_in_hand(&self) -> bool {
        self.history.consumption.partitions.in_hand() > 0
    }

    /// Scaled to zero by hand, with `minReplicas` of at least 1 (ACT-8).
    pub(in crate::scaling) fn is_switched_off(&self) -> bool {
        let by_us = self.memory.last.is_some_and(|l| l.to == 0 && !l.external);
        self.replicas() == 0 && self.policy.min > 0 && !by_us
    }

    fn group_is_unknown(&self) -> bool {
        self.snapshot()
            .is_none_or(|snapshot| snapshot.group.state == GroupState::Unknown)
    }
}

/// Seconds of delay that the objective allows.
pub(in crate::scaling) fn objective(policy: &Policy, model: &CapacityModel) -> f64 {
    match policy.objective {
        Objective::MaxDelay(delay) => delay.as_secs_f64(),
        Objective::LagPerReplica(lag) => {
            let allowed = model.seconds_of(lag, policy.threads);
            let least = policy.tuning.shrink.calm_under_lag;
            allowed.unwrap_or(0.0).max(least.as_secs_f64())
        }
    }
}
