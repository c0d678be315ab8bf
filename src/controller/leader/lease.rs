//! When a candidate may take the Lease. Pure: it gets the time.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use tokio::time::Instant;

/// The longest lease that a process can be started with. A longer one in the Lease counts as this.
const LONGEST: Duration = Duration::from_mins(10);

/// The duration that a Lease is given when its holder ends in order.
const RELEASED: Duration = Duration::from_secs(1);

/// How long the Lease is valid, and how often it is renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Time after the last change of the Lease at which another process may take it.
    pub lease_duration: Duration,
    /// Time after its last renewal at which the leader gives up.
    pub renew_deadline: Duration,
    /// Time between two tries to take or to renew it.
    pub retry_period: Duration,
}

impl Default for Timing {
    /// The values of client-go.
    fn default() -> Self {
        Self {
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

/// The Lease as a candidate last saw it change.
#[derive(Debug, Clone)]
pub(super) struct Observed {
    spec: LeaseSpec,
    at: Instant,
    /// Whether it was seen to change at that time. What was read first may be of any age.
    is_fresh: bool,
}

/// Clocks that differ by less are taken for equal; as in KNOW-24.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(60);

/// How far this process's wall clock is ahead of the last holder's, if that is more than clocks
/// usually differ. The holder wrote its time into the Lease at most about `retry_period` before
/// this process saw it.
pub(super) fn ahead_of_holder(
    observed: Option<&Observed>,
    retry_period: Duration,
    (wall, now): (Timestamp, Instant),
) -> Option<SignedDuration> {
    let seen = observed.filter(|seen| seen.is_fresh)?;
    let theirs = seen.spec.renew_time.as_ref()?.0;
    let since = SignedDuration::try_from(now.duration_since(seen.at)).ok()?;
    let ahead = wall.duration_since(theirs).saturating_sub(since);
    let usual = CLOCK_SKEW.saturating_add(SignedDuration::try_from(retry_period).ok()?);
    (ahead > usual).then_some(ahead)
}

/// What a candidate may do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Write its own name into the Lease.
    Take,
    /// Wait: the Lease is held, or was until a moment ago.
    Wait {
        /// The holder, if there is one.
        holder: Option<String>,
    },
}

/// What a candidate may do with a Lease that it read, or that does not exist. Notes in `observed`
/// what it read.
pub(super) fn step(
    observed: &mut Option<Observed>,
    read: Option<&LeaseSpec>,
    own_duration: Duration,
    now: Instant,
) -> Step {
    if let Some(spec) = read
        && observed.as_ref().is_none_or(|seen| seen.spec != *spec)
    {
        *observed = Some(Observed {
            spec: spec.clone(),
            at: now,
            is_fresh: observed.is_some(),
        });
    }
    // A Lease that never existed has no holder that could still work.
    let Some(seen) = observed else {
        return Step::Take;
    };
    let holder = holder(&seen.spec);
    let valid = match (duration(&seen.spec), holder) {
        (stated, None) if stated <= RELEASED => Duration::ZERO,
        // A holder that was started with a longer lease is given that time.
        (stated, _) => stated.clamp(own_duration.min(LONGEST), LONGEST),
    };
    if now.duration_since(seen.at) >= valid {
        Step::Take
    } else {
        let holder = read.and(holder).map(ToOwned::to_owned);
        Step::Wait { holder }
    }
}

/// Who holds the Lease.
pub(super) fn holder(spec: &LeaseSpec) -> Option<&str> {
    let holder = spec.holder_identity.as_deref();
    holder.filter(|holder| !holder.is_empty())
}

fn duration(spec: &LeaseSpec) -> Duration {
    let seconds = spec.lease_duration_seconds.unwrap_or_default();
    Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

/// The Lease with `me` as its new holder. What others keep in it stays.
pub(super) fn taken(before: LeaseSpec, me: &str, lease: Duration, now: Timestamp) -> LeaseSpec {
    let transitions = before.lease_transitions.unwrap_or_default();
    let is_new = before.acquire_time.is_none() && holder(&before).is_none();
    LeaseSpec {
        holder_identity: Some(me.to_owned()),
        acquire_time: Some(MicroTime(now)),
        // As in client-go, the first holder is no transition.
        lease_transitions: Some(transitions.saturating_add(i32::from(!is_new))),
        ..renewed(before, lease, now)
    }
}

/// The Lease, renewed.
pub(super) fn renewed(before: LeaseSpec, lease: Duration, now: Timestamp) -> LeaseSpec {
    let seconds = lease.as_secs() + u64::from(lease.subsec_nanos() > 0);
    LeaseSpec {
        renew_time: Some(MicroTime(now)),
        lease_duration_seconds: Some(i32::try_from(seconds).unwrap_or(i32::MAX)),
        ..before
    }
}

/// The Lease without a holder, to be taken at once.
pub(super) fn released(before: LeaseSpec, now: Timestamp) -> LeaseSpec {
    LeaseSpec {
        holder_identity: None,
        ..renewed(before, RELEASED, now)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const OWN: Duration = Duration::from_secs(15);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn held(seconds: i32, renewed: i64) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some("other".to_owned()),
            lease_duration_seconds: Some(seconds),
            renew_time: Some(MicroTime(at(renewed))),
            ..LeaseSpec::default()
        }
    }

    fn unheld(seconds: i32) -> LeaseSpec {
        LeaseSpec {
            holder_identity: None,
            ..held(seconds, 0)
        }
    }

    /// Milliseconds after the first sight of the Lease at which it may be taken.
    fn taken_after(read: Option<&LeaseSpec>, observed: Option<Observed>) -> u64 {
        let start = Instant::now();
        let mut observed = observed;
        let is_free = |ms: &u64| {
            let now = start + Duration::from_millis(*ms);
            step(&mut observed, read, OWN, now) == Step::Take
        };
        (0..700_000).step_by(500).find(is_free).unwrap()
    }

    #[rstest]
    #[case::never_there(None, 0)]
    #[case::held(Some(held(15, 0)), 15_000)]
    #[case::a_holder_with_a_longer_lease(Some(held(60, 0)), 60_000)]
    #[case::a_holder_with_a_shorter_lease(Some(held(2, 0)), 15_000)]
    #[case::an_absurd_duration(Some(held(i32::MAX, 0)), 600_000)]
    #[case::no_duration(Some(held(-1, 0)), 15_000)]
    #[case::a_clock_of_the_future(Some(held(15, 4_000_000_000)), 15_000)]
    #[case::released(Some(unheld(1)), 0)]
    #[case::holder_removed_by_hand(Some(unheld(15)), 15_000)]
    fn a_lease_is_taken_when_its_holder_must_have_given_up(
        #[case] read: Option<LeaseSpec>,
        #[case] after: u64,
    ) {
        assert_eq!(taken_after(read.as_ref(), None), after);
    }

    #[test]
    fn each_change_begins_a_new_wait_and_a_lease_read_again_does_not() {
        let start = Instant::now();
        let mut observed = None;
        let mut step = |seconds: u64, spec: &LeaseSpec| {
            let now = start + Duration::from_secs(seconds);
            step(&mut observed, Some(spec), OWN, now) == Step::Take
        };
        assert!(!step(0, &held(15, 0)));
        assert!(!step(14, &held(15, 14)), "renewed");
        assert!(!step(28, &held(15, 14)));
        assert!(step(29, &held(15, 14)));
    }

    /// The holder renewed at 997 by its own clock, and this process saw that 4 s ago.
    #[rstest]
    #[case::the_same_clock(1_000, true, None)]
    #[case::clocks_differ_by_little(1_060, true, None)]
    #[case::an_hour_ahead(4_600, true, Some(3_600))]
    #[case::an_hour_behind(-2_600, true, None)]
    #[case::of_unknown_age(4_600, false, None)]
    fn the_lease_shows_that_this_clock_is_ahead_of_the_holders(
        #[case] wall: i64,
        #[case] is_fresh: bool,
        #[case] expected: Option<i64>,
    ) {
        let start = Instant::now();
        let mut observed = None;
        if is_fresh {
            step(&mut observed, Some(&held(15, 995)), OWN, start);
        }
        step(&mut observed, Some(&held(15, 997)), OWN, start);
        let clocks = (at(wall + 1), start + Duration::from_secs(4));
        let ahead = ahead_of_holder(observed.as_ref(), Duration::from_secs(2), clocks);
        assert_eq!(ahead.map(|ahead| ahead.as_secs()), expected);
    }

    #[test]
    fn a_deleted_lease_is_left_to_its_last_holder_for_its_duration() {
        let start = Instant::now();
        let mut observed = None;
        let mut step = |seconds: u64, read: Option<&LeaseSpec>| {
            step(
                &mut observed,
                read,
                OWN,
                start + Duration::from_secs(seconds),
            )
        };
        let other = Some("other".to_owned());
        assert_eq!(step(0, Some(&held(15, 0))), Step::Wait { holder: other });
        assert_eq!(step(14, None), Step::Wait { holder: None });
        assert_eq!(step(15, None), Step::Take);
    }

    #[test]
    fn taking_counts_and_renewing_does_not() {
        let first = taken(LeaseSpec::default(), "me", OWN, at(5));
        assert_eq!(first.lease_transitions, Some(0));
        assert_eq!(first.acquire_time, Some(MicroTime(at(5))));
        assert_eq!(first.lease_duration_seconds, Some(15));
        let renewed = renewed(first.clone(), OWN, at(7));
        assert_eq!(renewed.renew_time, Some(MicroTime(at(7))));
        assert_eq!(
            LeaseSpec {
                renew_time: first.renew_time.clone(),
                ..renewed.clone()
            },
            first
        );
        let released = released(renewed, at(8));
        assert_eq!(holder(&released), None);
        let next = taken(released, "other", OWN, at(9));
        assert_eq!(
            (holder(&next), next.lease_transitions),
            (Some("other"), Some(1))
        );
    }
}
