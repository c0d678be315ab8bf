//! A wait that grows each time it proves too short, and shrinks over time.

use jiff::SignedDuration;

use crate::scaling::number::{real, whole};

/// How a wait grows. Its last value is stored, in seconds.
#[derive(Debug, Clone, Copy)]
pub(in crate::scaling) struct Backoff {
    /// The shortest wait.
    pub(in crate::scaling) initial: SignedDuration,
    /// The longest wait.
    pub(in crate::scaling) most: SignedDuration,
    /// Each wait is this many times the one before.
    pub(in crate::scaling) factor: f64,
    /// The stored wait halves each time this has passed. `None`: it stays.
    pub(in crate::scaling) halves_after: Option<SignedDuration>,
}

impl Backoff {
    /// The present wait. `stored` is the last value and `age` the time since it was stored.
    pub(in crate::scaling) fn current(
        &self,
        stored: Option<i64>,
        age: SignedDuration,
    ) -> SignedDuration {
        let halves = self.halves_after.map(|after| after.as_secs().max(1));
        let halvings = halves.map_or(0, |after| (age.as_secs() / after).clamp(0, 30));
        let left = stored.unwrap_or(0).max(0) >> halvings;
        SignedDuration::from_secs(left)
            .min(self.most)
            .max(self.initial)
    }

    /// The next wait, after the present one proved too short.
    pub(in crate::scaling) fn next(
        &self,
        stored: Option<i64>,
        age: SignedDuration,
    ) -> SignedDuration {
        let current = real(self.current(stored, age).as_secs());
        SignedDuration::from_secs(whole(self.factor * current)).min(self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SignedDuration = SignedDuration::ZERO;

    fn minutes(minutes: i64) -> SignedDuration {
        SignedDuration::from_secs(60 * minutes)
    }

    fn backoff(halves_after: Option<SignedDuration>) -> Backoff {
        Backoff {
            initial: minutes(5),
            most: minutes(60),
            factor: 2.0,
            halves_after,
        }
    }

    #[test]
    fn a_wait_doubles_up_to_the_longest() {
        let backoff = backoff(None);
        assert_eq!(backoff.current(None, NOW), minutes(5));
        let mut stored = None;
        let waits = [10, 20, 40, 60, 60].map(minutes);
        for wait in waits {
            let next = backoff.next(stored, NOW);
            assert_eq!(next, wait);
            stored = Some(next.as_secs());
        }
        let years = SignedDuration::from_hours(20_000);
        assert_eq!(backoff.current(stored, years), minutes(60), "it stays");
    }

    #[test]
    fn a_wait_halves_while_it_is_not_needed() {
        let backoff = backoff(Some(minutes(60)));
        let left = |age| backoff.current(Some(3600), minutes(age));
        let after = [0, 59, 60, 120, 6000].map(left);
        assert_eq!(after, [60, 60, 30, 15, 5].map(minutes));
    }

    #[test]
    fn what_cannot_have_been_stored_is_no_wait() {
        let backoff = backoff(None);
        assert_eq!(backoff.current(Some(-7), NOW), minutes(5));
        assert_eq!(backoff.current(Some(i64::MAX), NOW), minutes(60));
    }
}
