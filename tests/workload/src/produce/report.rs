//! The output of a producer: a line per interval, and a summary. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::output::thousands;

use super::pace::Pace;
use super::sender::Tally;

/// When the next line is due, and the counts of the last one.
#[derive(Debug)]
pub(crate) struct Interval {
    every: Duration,
    next: Duration,
    acked: u64,
}

impl Interval {
    /// Starts at second 0; the first line is due after `every`.
    pub(crate) fn begin(every: Duration) -> Self {
        Self {
            every,
            next: every,
            acked: 0,
        }
    }

    /// The line for the interval that ended by `elapsed`, if one did. A long stall gives one line.
    pub(crate) fn line(&mut self, elapsed: Duration, pace: &Pace, tally: &Tally) -> Option<Line> {
        if elapsed < self.next {
            return None;
        }
        while self.next <= elapsed {
            self.next += self.every;
        }
        let acked = tally.acked - std::mem::replace(&mut self.acked, tally.acked);
        Some(Line {
            kind: "interval",
            seconds: rounded(elapsed),
            rate: pace.rate_at(elapsed),
            acked,
            acked_total: tally.acked,
            in_flight: pace.sent().saturating_sub(tally.acked + tally.failed),
            failed_total: tally.failed,
            missed_total: pace.missed(),
        })
    }
}

/// One interval. `failed_total` and `missed_total` count from the start.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    kind: &'static str,
    seconds: f64,
    rate: f64,
    acked: u64,
    acked_total: u64,
    in_flight: u64,
    failed_total: u64,
    missed_total: u64,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seconds,
            rate,
            acked,
            acked_total,
            in_flight,
            ..
        } = self;
        let (acked, total) = (thousands(*acked), thousands(*acked_total));
        write!(
            f,
            "{seconds:8.1} s  rate {rate:.1}/s  acked {acked}  total {total}  in flight {in_flight}"
        )?;
        trouble(f, self.failed_total, self.missed_total)
    }
}

/// The whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    kind: &'static str,
    seconds: f64,
    acked_total: u64,
    failed_total: u64,
    missed_total: u64,
    partitions: BTreeMap<i32, u64>,
}

impl Summary {
    /// The summary of a run of `elapsed`.
    pub(crate) fn new(elapsed: Duration, pace: &Pace, tally: &Tally) -> Self {
        Self {
            kind: "summary",
            seconds: rounded(elapsed),
            acked_total: tally.acked,
            failed_total: tally.failed,
            missed_total: pace.missed(),
            partitions: tally.partitions.clone(),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (total, partitions) = (thousands(self.acked_total), self.partitions.len());
        write!(
            f,
            "produced {total} records to {partitions} partitions in {:.1} s",
            self.seconds
        )?;
        trouble(f, self.failed_total, self.missed_total)
    }
}

fn trouble(f: &mut fmt::Formatter<'_>, failed: u64, missed: u64) -> fmt::Result {
    if failed > 0 {
        write!(f, "  not accepted {}", thousands(failed))?;
    }
    if missed > 0 {
        write!(f, "  missed {}", thousands(missed))?;
    }
    Ok(())
}

fn rounded(elapsed: Duration) -> f64 {
    (elapsed.as_secs_f64() * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::produce::pace::Profile;

    fn half_way() -> (Pace, Tally) {
        let mut pace = Pace::new(Profile::constant(1_000.0), Duration::from_secs(5));
        assert_eq!(pace.due(Duration::from_secs(12)), 5_000);
        (0..1_300).for_each(|_| pace.count_sent());
        let partitions = BTreeMap::from([(0, 700), (2, 534)]);
        (
            pace,
            Tally {
                acked: 1_234,
                partitions,
                failed: 2,
                reason: None,
            },
        )
    }

    #[test]
    fn line_for_people() {
        let (pace, tally) = half_way();
        let line = Interval::begin(Duration::from_secs(1))
            .line(Duration::from_millis(12_004), &pace, &tally)
            .unwrap();
        insta::assert_snapshot!(line, @"    12.0 s  rate 1000.0/s  acked 1,234  total 1,234  in flight 64  not accepted 2  missed 7,000");
    }

    #[test]
    fn line_for_programs() {
        let (pace, tally) = half_way();
        let line = Interval::begin(Duration::from_secs(1))
            .line(Duration::from_millis(12_004), &pace, &tally)
            .unwrap();
        insta::assert_snapshot!(serde_json::to_string(&line).unwrap(), @r#"{"kind":"interval","seconds":12.004,"rate":1000.0,"acked":1234,"acked_total":1234,"in_flight":64,"failed_total":2,"missed_total":7000}"#);
    }

    #[test]
    fn summary_for_both() {
        let (pace, tally) = half_way();
        let summary = Summary::new(Duration::from_mins(1), &pace, &tally);
        insta::assert_snapshot!(summary, @"produced 1,234 records to 2 partitions in 60.0 s  not accepted 2  missed 7,000");
        insta::assert_snapshot!(serde_json::to_string(&summary).unwrap(), @r#"{"kind":"summary","seconds":60.0,"acked_total":1234,"failed_total":2,"missed_total":7000,"partitions":{"0":700,"2":534}}"#);
    }

    #[test]
    fn each_line_counts_since_the_one_before_and_a_stall_makes_one() {
        let (pace, mut tally) = half_way();
        let mut interval = Interval::begin(Duration::from_secs(1));
        assert!(
            interval
                .line(Duration::from_millis(999), &pace, &tally)
                .is_none()
        );
        assert_eq!(
            interval
                .line(Duration::from_millis(7_500), &pace, &tally)
                .unwrap()
                .acked,
            1_234
        );
        tally.acked += 10;
        assert!(
            interval
                .line(Duration::from_millis(7_999), &pace, &tally)
                .is_none()
        );
        assert_eq!(
            interval
                .line(Duration::from_secs(8), &pace, &tally)
                .unwrap()
                .acked,
            10
        );
    }
}
