//! Limits how often an event is written. One that may flap is written at most once per interval,
//! object and reason.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use super::note::EventReason;

/// The least time between two events with the same object and the same flapping reason.
const AT_MOST_EVERY: Duration = Duration::from_mins(10);

/// When events about one object were last written, by reason.
#[derive(Debug, Default)]
pub(in crate::controller) struct EventThrottle(BTreeMap<EventReason, Instant>);

impl EventThrottle {
    /// Whether an event may be written now. If so, it counts as written.
    pub(super) fn admits(&mut self, reason: EventReason) -> bool {
        if !reason.may_flap() {
            return true;
        }
        let now = Instant::now();
        let last = self.0.get(&reason);
        if last.is_some_and(|last| now.duration_since(*last) < AT_MOST_EVERY) {
            return false;
        }
        self.0.insert(reason, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flapping_event_is_written_once_in_ten_minutes() {
        let mut throttle = EventThrottle::default();
        assert!(throttle.admits(EventReason::LagUnknown));
        for _ in 0..59 {
            tokio::time::advance(Duration::from_secs(10)).await;
            assert!(!throttle.admits(EventReason::LagUnknown));
            let every = throttle.admits(EventReason::ScaledUp);
            assert!(every, "every action is written");
        }
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(throttle.admits(EventReason::LagUnknown));
    }
}
