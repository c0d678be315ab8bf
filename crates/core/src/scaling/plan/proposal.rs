//! What a part of the policy proposes, as a value.

use crate::scaling::measure::demand::Demand;
use crate::scaling::measure::estimate::Backlogged;
use crate::scaling::output::decision::{HoldReason, ScaleReason, Verdict, Wait};
use crate::scaling::output::trail::Step;

/// What to do, how it came about, and what it will have taught.
#[derive(Debug, Clone)]
pub(in crate::scaling) struct Proposal {
    pub(in crate::scaling) verdict: Verdict,
    /// The count that the group would have if nothing were in the way. `None`: cannot be said.
    pub(in crate::scaling) desired: Option<i32>,
    pub(in crate::scaling) steps: Vec<Step>,
    /// What is learnt if this is decided.
    pub(in crate::scaling) learnings: Vec<Learning>,
    /// What the objective asks for, where it is not what the lag asks for.
    pub(in crate::scaling) demand: Option<Demand>,
    /// Partitions whose backlog no size shortens.
    pub(in crate::scaling) backlogged: Backlogged,
    /// The objective is about to be broken.
    pub(in crate::scaling) is_urgent: bool,
}

/// What a decision teaches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::scaling) enum Learning {
    /// The group grows: whether the scale-down before it paid, and what it did before, will be
    /// known by it.
    Grows,
    /// The group shrinks because fewer replicas will do.
    Shrinks,
    /// The group falls asleep when this much has been written.
    Sleeps(Option<i64>),
    /// Partitions are handed out so unevenly that a size did not do.
    Skewed(f64),
    /// It is no longer believed that more replicas bring nothing.
    BottleneckExpired,
}

impl Proposal {
    /// Nothing is done. `desired`: the count without what is waited for.
    pub(in crate::scaling) fn hold(wait: Wait, desired: Option<i32>) -> Self {
        Self {
            verdict: Verdict::Hold(wait),
            desired,
            steps: Vec::new(),
            learnings: Vec::new(),
            demand: None,
            backlogged: Backlogged::default(),
            is_urgent: false,
        }
    }

    /// From `from` to `to`, unless that waits for something.
    pub(in crate::scaling) fn scale(
        (from, to): (i32, i32),
        why: ScaleReason,
        wait: Option<Wait>,
    ) -> Self {
        let Some(wait) = wait else {
            let held = Self::hold(Wait::open(HoldReason::AsDesired), Some(to));
            return Self {
                verdict: Verdict::Scale { from, to, why },
                ..held
            };
        };
        let until = wait.until.map(|until| match wait.why {
            HoldReason::Settling | HoldReason::GroupRebalancing | HoldReason::RolloutInProgress => {
                Step::AtMostUntil(until)
            }
            _ => Step::NotBefore(until),
        });
        Self {
            steps: until.into_iter().collect(),
            ..Self::hold(wait, Some(to))
        }
    }

    /// Whether it changes the replicas.
    pub(in crate::scaling) fn is_action(&self) -> bool {
        matches!(self.verdict, Verdict::Scale { .. })
    }

    /// With steps that come before its own.
    #[must_use]
    pub(in crate::scaling) fn after(mut self, mut steps: Vec<Step>) -> Self {
        steps.append(&mut self.steps);
        Self { steps, ..self }
    }

    /// With a lesson, if it is an action.
    #[must_use]
    pub(in crate::scaling) fn teaching(mut self, learning: Learning) -> Self {
        if self.is_action() {
            self.learnings.push(learning);
        }
        self
    }

    /// With the lesson that a plateau is over, whether it is an action or not.
    #[must_use]
    pub(in crate::scaling) fn noting_bottleneck(mut self, is_over: bool) -> Self {
        if is_over {
            self.learnings.push(Learning::BottleneckExpired);
        }
        self
    }
}
