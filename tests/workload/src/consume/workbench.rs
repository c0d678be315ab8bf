//! Computes when the current record is done. Pure: the caller passes the time.
//!
//! A thread that sleeps for 0.2 ms wakes about 0.06 ms late, every time. Therefore the end of each
//! record is computed from the end of the previous one, and the average is right.

use std::time::{Duration, Instant};

/// Most lateness that is compensated: long sleeps, polls, commits. A longer one was a pause without
/// work.
const LATE: Duration = Duration::from_millis(20);

/// The time that each record takes.
#[derive(Debug)]
pub(crate) struct Workbench {
    per_record: Duration,
    free: Option<Instant>,
}

impl Workbench {
    /// A workbench without a record.
    pub(crate) fn new(per_record: Duration) -> Self {
        Self {
            per_record,
            free: None,
        }
    }

    /// Starts a record at `now`; returns when it is done.
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
    fn late_wake_ups_do_not_lower_the_rate(
        #[case] micros: u64,
        #[case] late: u64,
        #[case] wanted: u32,
    ) {
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
    fn a_pause_without_work_is_not_compensated() {
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
