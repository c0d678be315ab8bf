//! The text of a decision in the status: the steps of its trail, with rounded numbers that stay the
//! same while nothing changes (KEEP-29). Pure.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use lagrange_core::scaling::Decision;
use lagrange_core::scaling::trail::{Step, Trail};

/// `n` with two significant digits.
pub(super) fn two_digits(n: i64) -> i64 {
    let mut unit = 1_i64;
    while n / unit >= 100 {
        unit = unit.saturating_mul(10);
    }
    (n.saturating_add(unit / 2) / unit).saturating_mul(unit)
}

/// The decision's steps in one line.
pub(in crate::controller) fn message(decision: &Decision, now: Timestamp) -> String {
    let rounded = decision.trail.0.iter().map(|step| match step.clone() {
        Step::Lag { total, unknown } => Step::Lag {
            total: two_digits(total),
            unknown,
        }
        .to_string(),
        Step::Delay {
            delay,
            predicted,
            unknown,
        } => Step::Delay {
            delay: SignedDuration::from_secs(two_digits(delay.as_secs())),
            predicted: SignedDuration::from_secs(two_digits(predicted.as_secs().max(0))),
            unknown,
        }
        .to_string(),
        Step::Load {
            arrivals_milli,
            capacity_milli,
            is_measured,
            replicas,
        } => Step::Load {
            arrivals_milli: two_digits(arrivals_milli),
            capacity_milli: two_digits(capacity_milli),
            is_measured,
            replicas,
        }
        .to_string(),
        Step::Window { covered, window } => Step::Window {
            covered: SignedDuration::from_secs(covered.as_secs() / 30 * 30),
            window,
        }
        .to_string(),
        Step::Overdue { what, waited } => {
            let since = now.checked_sub(waited).unwrap_or(now);
            format!("{what} since {}, longer than settleTimeout", clock(since))
        }
        step => step.to_string(),
    });
    let steps: Vec<String> = rounded.collect();
    steps.join("; ")
}

/// The whole trail with every number, for the log.
pub(in crate::controller) fn detail(trail: &Trail) -> String {
    trail.to_string()
}

/// Time of day, UTC, to the second.
pub(in crate::controller) fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%SZ").to_string()
}

/// Date and time, UTC, to the second, as Kubernetes writes it.
pub(in crate::controller) fn instant(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A partition as users read it.
pub(in crate::controller) fn partition((topic, partition): &(Arc<str>, i32)) -> String {
    format!("{topic}-{partition}")
}

/// Seconds as Kubernetes users write durations: `42s`, `3m5s`.
pub(super) fn duration(seconds: i64) -> String {
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    match (minutes, seconds) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, 0) => format!("{minutes}m"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(0, 0)]
    #[case(7, 7)]
    #[case(99, 99)]
    #[case(104, 100)]
    #[case(105, 110)]
    #[case(12_437, 12_000)]
    #[case(999, 1_000)]
    #[case(i64::MAX, 9_200_000_000_000_000_000)]
    fn two_digits_are_enough(#[case] exact: i64, #[case] events: i64) {
        assert_eq!(two_digits(exact), events);
    }

    #[rstest]
    #[case(0, "0s")]
    #[case(42, "42s")]
    #[case(120, "2m")]
    #[case(185, "3m5s")]
    fn durations_read_as_users_write_them(#[case] seconds: i64, #[case] text: &str) {
        assert_eq!(duration(seconds), text);
    }

    proptest! {
        #[test]
        fn rounding_is_within_a_twentieth(n in 0..i64::MAX / 2) {
            prop_assert!(two_digits(n).abs_diff(n) <= n.unsigned_abs() / 20);
        }
    }
}
