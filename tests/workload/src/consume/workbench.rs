//! When the record in hand is done. Pure: it is told the time.
//!
//! A thread cannot sleep for 0.2 ms: it wakes some 0.06 ms late, every time. So each record's end
//! is reckoned from the end of the one before, and the average comes out right.

use std::time::{Duration, Instant};

/// Lateness that is made up for: sleeping too long, polling, committing. Anything longer was a
/// pause without work.
const LATE: Duration = Duration::from_millis(20);

/// The time that each record takes.
#[derive(Debug)]
pub(crate) struct Workbench {
    per_record: Duration,
    free: Option<Instant>,
}

impl Workbench {
    /// Nothing in hand yet.
    pub(crate) fn new(per_record: Duration) -> Self {
        Self {
            per_record,
            free: None,
        }
    }

    /// Takes a record in hand at `now`; tells when it is done.
    pub(crate) fn take(&mut self, now: Instant) -> Instant {
        let begun = self.free.filter(|free| now <= *free + LATE).unwrap_or(now);
        let done = begun + self.per_record;
        self.free = Some(done);
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(200, 60, 5_000)]
    #[case(200, 0, 5_000)]
    #[case(10_000, 900, 100)]
    fn late_wakes_do_not_slow_it(#[case] micros: u64, #[case] late: u64, #[case] wanted: u32) {
        let (per_record, late) = (Duration::from_micros(micros), Duration::from_micros(late));
        let start = Instant::now();
        let (mut bench, mut now) = (Workbench::new(per_record), start);
        let mut records: u32 = 0;
        loop {
            let done = bench.take(now);
            if done > start + Duration::from_secs(1) {
                break;
            }
            records += 1;
            now = now.max(done + late);
        }
        assert!(records.abs_diff(wanted) <= 1, "{records}");
    }

    #[test]
    fn pause_without_work_is_not_made_up_for() {
        let start = Instant::now();
        let mut bench = Workbench::new(Duration::from_millis(100));
        assert_eq!(bench.take(start), start + Duration::from_millis(100));
        let later = start + Duration::from_mins(1);
        assert_eq!(bench.take(later), later + Duration::from_millis(100));
    }

    #[test]
    fn record_that_takes_no_time_is_done_at_once() {
        let now = Instant::now();
        assert_eq!(Workbench::new(Duration::ZERO).take(now), now);
    }
}
