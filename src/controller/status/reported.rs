//! The values that a report is made from. The session keeps those of the last written report, so
//! that the next one is compared by value and not by text. Pure.

use std::sync::Arc;

use lagrange_core::scaling::decision::{Facts, HoldReason, Knowledge};
use lagrange_core::scaling::trail::Trail;

use super::conditions::ConditionInput;
use super::format::two_digits;
use crate::controller::kube::error::Problem;

/// The values that a status contains only as text.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::controller) struct Reported {
    pub(super) numbers: Numbers,
    /// The steps of the decision.
    pub(super) trail: Trail,
    /// What a scale-up has to wait for, and whether its end is known.
    pub(super) up_blocked: Option<(HoldReason, bool)>,
    /// Partitions that a message names.
    pub(super) partitions: Vec<(Arc<str>, i32)>,
    /// Why the group cannot be read, scaled or managed.
    pub(super) problems: Vec<Problem>,
    /// Why it is read with the previous credentials.
    pub(super) stale: Option<String>,
    /// A ConsumerGroup of another namespace manages the same group.
    pub(super) is_shared: bool,
}

/// Numbers that a status contains with their unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::controller) struct Numbers {
    /// Seconds.
    pub(super) delay: Option<i64>,
    /// Thousandths of a record per second, as the next two.
    pub(super) produced: Option<i64>,
    pub(super) consumed: Option<i64>,
    pub(super) per_replica: Option<i64>,
}

impl Numbers {
    /// Rounded to two digits, as in a status.
    pub(in crate::controller) fn of(facts: &Facts, threads: i32) -> Self {
        let shown = |number: Option<i64>| number.map(two_digits);
        Self {
            delay: shown(facts.delay.map(|delay| delay.as_secs())),
            produced: shown(facts.produced),
            consumed: shown(facts.consumed),
            per_replica: shown(facts.capacity_of_replica(threads)),
        }
    }
}

impl Reported {
    /// The values of a managed group whose replicas have this many threads. A short gap leaves the
    /// numbers as they were.
    pub(in crate::controller) fn of(
        found: &ConditionInput<'_>,
        threads: i32,
        before: Option<&Self>,
    ) -> Self {
        let decision = found.decision;
        let facts = &decision.facts;
        let passes = matches!(facts.knowledge, Knowledge::Missing { lasting: false, .. });
        let named = [
            &facts.lag.unknown_partitions,
            &facts.hot_partitions,
            &facts.backlogged.partitions,
        ];
        let problems = [found.trouble, found.refusal];
        Self {
            numbers: match before.filter(|_| passes) {
                Some(before) => before.numbers,
                None => Numbers::of(facts, threads),
            },
            trail: decision.trail.clone(),
            up_blocked: decision
                .up_blocked
                .map(|wait| (wait.why, wait.until.is_some())),
            partitions: named.into_iter().flatten().cloned().collect(),
            problems: problems.into_iter().flatten().cloned().collect(),
            stale: found.stale.map(ToOwned::to_owned),
            is_shared: found.beside.is_some(),
        }
    }

    /// The values of a group that is not managed at present.
    pub(in crate::controller) fn of_problem(problem: &Problem) -> Self {
        Self {
            problems: vec![problem.clone()],
            ..Self::default()
        }
    }

    /// Whether both are the same except for numbers and times.
    pub(super) fn is_alike(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.trail.0, &other.trail.0);
        let is_same_trail = ours.len() == theirs.len()
            && (ours.iter().zip(theirs)).all(|(one, other)| one.is_alike(other));
        let apart = |reported: &Self| Self {
            numbers: Numbers::default(),
            trail: Trail::default(),
            ..reported.clone()
        };
        is_same_trail && apart(self) == apart(other)
    }
}

#[cfg(test)]
mod tests {
    use lagrange_core::api::condition::Reason;
    use lagrange_core::scaling::trail::Step;
    use rstest::rstest;

    use super::*;

    fn reported() -> Reported {
        Reported {
            trail: Trail(vec![
                Step::Lag {
                    total: 1200,
                    unknown: 0,
                },
                Step::Said("as it is"),
            ]),
            up_blocked: Some((HoldReason::CoolingDown, true)),
            partitions: vec![("orders".into(), 1)],
            problems: vec![Problem::new(Reason::TopicNotFound, "a topic")],
            ..Reported::default()
        }
    }

    type Change = fn(&mut Reported);

    #[rstest]
    #[case::other_numbers(|r: &mut Reported| r.trail.0[0] = Step::Lag { total: 9, unknown: 0 }, true)]
    #[case::numbers_apart(|r: &mut Reported| r.numbers.delay = Some(9), true)]
    #[case::other_words(|r: &mut Reported| r.trail.0[1] = Step::Said("otherwise"), false)]
    #[case::a_step_less(|r: &mut Reported| r.trail.0.truncate(1), false)]
    #[case::another_step(|r: &mut Reported| r.trail.0[0] = Step::CapacityUnknown, false)]
    #[case::another_wait(|r: &mut Reported| r.up_blocked = Some((HoldReason::Settling, true)), false)]
    // The name differs only in a digit; digits were once left out of the comparison.
    #[case::another_partition(|r: &mut Reported| r.partitions[0].1 = 2, false)]
    #[case::another_problem(|r: &mut Reported| r.problems[0].message = "two topics".to_owned(), false)]
    #[case::stale(|r: &mut Reported| r.stale = Some("expired".to_owned()), false)]
    #[case::shared(|r: &mut Reported| r.is_shared = true, false)]
    fn reports_with_other_numbers_read_the_same(#[case] change: Change, #[case] same: bool) {
        let mut other = reported();
        change(&mut other);
        assert_eq!(reported().is_alike(&other), same);
    }
}
