//! The only clock of the process (KNOW-24). Only code that does I/O reads it; pure code gets the
//! time with the observation.

use jiff::Timestamp;
use tokio::time::Instant;

/// Wall clock at start plus monotonic time since.
///
/// The wall clock is read only once: one that is set forward or back while the process runs would
/// shorten or stretch the time between actions. Clones show the same time. The monotonic time is
/// tokio's, so tests that pause time move this clock too.
///
/// ```
/// let clock = lagrange::clock::Clock::starting_at("2026-11-24T12:00:00Z".parse()?);
/// assert!(clock.now() >= "2026-11-24T12:00:00Z".parse()?);
/// # Ok::<(), jiff::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    wall: Timestamp,
    started: Instant,
}

impl Clock {
    /// A clock that starts now, at the system's wall time.
    pub fn start() -> Self {
        Self::starting_at(Timestamp::now())
    }

    /// A clock that starts now, at `wall`; tests use it to skew two processes.
    pub fn starting_at(wall: Timestamp) -> Self {
        Self {
            wall,
            started: Instant::now(),
        }
    }

    /// The current time; never earlier than a time that this clock has already returned.
    pub fn now(&self) -> Timestamp {
        self.wall
            .checked_add(self.started.elapsed())
            .unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn moves_with_monotonic_time_only() {
        let clock = Clock::starting_at(Timestamp::UNIX_EPOCH);
        assert_eq!(clock.now(), Timestamp::UNIX_EPOCH);
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(clock.now(), Timestamp::from_second(90).unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn clones_show_the_same_time() {
        let clock = Clock::start();
        tokio::time::advance(Duration::from_millis(1)).await;
        let clone = clock;
        tokio::time::advance(Duration::from_hours(1)).await;
        assert_eq!(clock.now(), clone.now());
    }

    #[tokio::test(start_paused = true)]
    async fn skewed_clocks_keep_their_distance() {
        let here = Clock::starting_at(Timestamp::UNIX_EPOCH);
        let there = Clock::starting_at(Timestamp::from_second(3600).unwrap());
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(there.now().duration_since(here.now()).as_secs(), 3600);
    }

    #[tokio::test(start_paused = true)]
    async fn stops_at_the_end_of_time_instead_of_panicking() {
        let clock = Clock::starting_at(Timestamp::MAX);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(clock.now(), Timestamp::MAX);
    }
}
