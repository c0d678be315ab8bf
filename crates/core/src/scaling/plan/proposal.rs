//! A proposal of one part of the policy, as a value.

use crate::scaling::measure::demand::Demand;
use crate::scaling::measure::estimate::Backlogged;
use crate::scaling::output::decision::{HoldReason, ScaleReason, Verdict, Wait};
use crate::scaling::output::trail::Step;

/// The action, the steps that led to it, and what it changes in the memory.
#[derive(Debug, Clone)]
pub(in crate::scaling) struct Proposal {
    pub(in crate::scaling) verdict: Verdict,
    /// The replica count without what blocks it. `None`: unknown.
    pub(in crate::scaling) desired: Option<i32>,
    pub(in crate::scaling) steps: Vec<Step>,
    /// Applied if this proposal is decided.
    pub(in crate::scaling) learnings: Vec<Learning>,
    /// The demand of the objective, if it is not that of the lag.
    pub(in crate::scaling) demand: Option<Demand>,
    /// Partitions whose backlog no size shortens.
    pub(in crate::scaling) backlogged: Backlogged,
    /// The objective is about to be broken.
    pub(in crate::scaling) is_urgent: bool,
}

/// A change of the memory that a decision causes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::scaling) enum Learning {
    /// The group grows. This shows whether the scale-down before it paid, and the throughput before
    /// it is noted.
    Grows,
    /// The group shrinks because fewer replicas are enough.
    Shrinks,
    /// The group goes to zero replicas; the sum of its end offsets at that time.
    Sleeps(Option<i64>),
    /// A size was too small because partitions were handed out with this skew.
    Skewed(f64),
    /// The bottleneck has expired: more replicas may help again.
    BottleneckExpired,
}

impl Proposal {
    /// A hold. `desired`: the count without what is waited for.
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

    /// From `from` to `to`, or a hold if `wait` is set.
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

    /// Puts steps before its own.
    #[must_use]
    pub(in crate::scaling) fn after(mut self, mut steps: Vec<Step>) -> Self {
        steps.append(&mut self.steps);
        Self { steps, ..self }
    }

    /// Adds a learning, if it is an action.
    #[must_use]
    pub(in crate::scaling) fn teaching(mut self, learning: Learning) -> Self {
        if self.is_action() {
            self.learnings.push(learning);
        }
        self
    }

    /// Adds that the bottleneck has expired, whether or not it is an action.
    #[must_use]
    pub(in crate::scaling) fn noting_bottleneck(mut self, is_over: bool) -> Self {
        if is_over {
            self.learnings.push(Learning::BottleneckExpired);
        }
        self
    }
}
