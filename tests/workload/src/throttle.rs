//! Keeps a log readable while a broker is away: logs the same text at most once per period. Pure
//! except for its lock.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// librdkafka repeats an error on each attempt to connect, several times a second.
const PERIOD: Duration = Duration::from_secs(10);

/// Number of different texts to remember; the oldest is dropped first.
const REMEMBERED: usize = 16;

/// The texts that were logged recently.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<Vec<(Instant, String)>>);

impl Throttle {
    /// Whether `text` was not logged within the period before `now`; if so, it counts as logged.
    pub(crate) fn is_news(&self, now: Instant, text: &str) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.retain(|(at, _)| now.saturating_duration_since(*at) < PERIOD);
        if said.iter().any(|(_, known)| known == text) {
            return false;
        }
        if said.len() == REMEMBERED {
            said.remove(0);
        }
        said.push((now, text.to_owned()));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_is_logged_once_per_period() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        assert!(throttle.is_news(start, "refused"));
        assert!(!throttle.is_news(start + PERIOD / 2, "refused"));
        assert!(throttle.is_news(start + PERIOD / 2, "timed out"));
        assert!(throttle.is_news(start + PERIOD, "refused"));
    }

    #[test]
    fn memory_is_bounded() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for number in 0..100 {
            assert!(throttle.is_news(now, &number.to_string()));
        }
        assert_eq!(throttle.0.lock().unwrap().len(), REMEMBERED);
    }
}
