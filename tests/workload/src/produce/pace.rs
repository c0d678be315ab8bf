//! Computes how many records are due. Pure: the caller passes the time.

use std::time::Duration;

use clap::ValueEnum;

/// Tolerance for sums of rates that are slightly below a whole number: 0.1/s for 30 s is
/// 2.9999999999999996.
const ROUNDING: f64 = 1e-6;

/// How the rate changes from one point to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shape {
    /// In a straight line
    Linear,
    /// Stays until the next row, then jumps
    Step,
}

/// A point in time, its rate, and the number of records due before it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Point {
    seconds: f64,
    rate: f64,
    due_before: f64,
}

/// The intended rate over time, from second 0 on; the last rate continues without end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Profile {
    points: Vec<Point>,
    shape: Shape,
}

impl Profile {
    /// A constant rate without end.
    pub(crate) fn constant(rate: f64) -> Self {
        Self {
            points: vec![Point {
                seconds: 0.0,
                rate,
                due_before: 0.0,
            }],
            shape: Shape::Step,
        }
    }

    /// Reads the columns `seconds,rate`. The first row is for second 0, and seconds increase.
    pub(crate) fn from_csv(text: &str, shape: Shape) -> Result<Self, String> {
        let mut profile = Self {
            points: Vec::new(),
            shape,
        };
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            let is_header = profile.points.is_empty()
                && line.replace(' ', "").eq_ignore_ascii_case("seconds,rate");
            if line.is_empty() || line.starts_with('#') || is_header {
                continue;
            }
            let (seconds, rate) = row(line).ok_or_else(|| {
                format!("line {number}, {line:?}: two numbers are wanted, seconds,rate, neither below 0, such as 30,250")
            })?;
            profile
                .push(seconds, rate)
                .map_err(|what| format!("line {number}, {line:?}: {what}"))?;
        }
        if profile.points.is_empty() {
            return Err(
                "no rows; write one line seconds,rate for each change, the first for second 0"
                    .to_owned(),
            );
        }
        Ok(profile)
    }

    fn push(&mut self, seconds: f64, rate: f64) -> Result<(), &'static str> {
        let due_before = match self.points.last() {
            None if seconds > 0.0 => return Err("the first row must be for second 0"),
            None => 0.0,
            Some(last) if seconds <= last.seconds => {
                return Err("the seconds must increase from row to row");
            }
            Some(last) => {
                let reached = if self.shape == Shape::Linear {
                    rate
                } else {
                    last.rate
                };
                last.due_before + f64::midpoint(last.rate, reached) * (seconds - last.seconds)
            }
        };
        self.points.push(Point {
            seconds,
            rate,
            due_before,
        });
        Ok(())
    }

    /// Time of the last row, if there is more than one.
    pub(crate) fn end(&self) -> Option<Duration> {
        match self.points.as_slice() {
            [_, .., last] => Duration::try_from_secs_f64(last.seconds).ok(),
            _ => None,
        }
    }

    /// The intended rate, in records per second, at `elapsed`.
    pub(crate) fn rate_at(&self, elapsed: Duration) -> f64 {
        let (from, slope) = self.piece(elapsed);
        from.rate + slope * (elapsed.as_secs_f64() - from.seconds)
    }

    /// How many records are due from second 0 until `elapsed`: the integral of the rate.
    pub(crate) fn due_by(&self, elapsed: Duration) -> f64 {
        let (from, slope) = self.piece(elapsed);
        let since = elapsed.as_secs_f64() - from.seconds;
        from.due_before + (from.rate + slope * since / 2.0) * since
    }

    /// The point at or before `elapsed`, and how the rate changes after it, per second.
    fn piece(&self, elapsed: Duration) -> (Point, f64) {
        let after = self
            .points
            .partition_point(|point| point.seconds <= elapsed.as_secs_f64());
        let from = after
            .checked_sub(1)
            .and_then(|index| self.points.get(index));
        let from = from.copied().unwrap_or(Point {
            seconds: 0.0,
            rate: 0.0,
            due_before: 0.0,
        });
        let slope = match self.points.get(after) {
            Some(to) if self.shape == Shape::Linear => {
                (to.rate - from.rate) / (to.seconds - from.seconds)
            }
            _ => 0.0,
        };
        (from, slope)
    }
}

fn row(line: &str) -> Option<(f64, f64)> {
    let (seconds, rate) = line.split_once(',')?;
    let number = |text: &str| {
        text.trim()
            .parse()
            .ok()
            .filter(|number: &f64| number.is_finite() && *number >= 0.0)
    };
    Some((number(seconds)?, number(rate)?))
}

/// Compares the records sent with those due.
#[derive(Debug)]
pub(crate) struct Pace {
    profile: Profile,
    catch_up: Duration,
    sent: u64,
    missed: u64,
}

impl Pace {
    /// A pace that skips records that were due longer ago than `catch_up`.
    pub(crate) fn new(profile: Profile, catch_up: Duration) -> Self {
        Self {
            profile,
            catch_up,
            sent: 0,
            missed: 0,
        }
    }

    /// Number of records to send at `elapsed`. Skips what is too late.
    pub(crate) fn due(&mut self, elapsed: Duration) -> u64 {
        let too_late = whole(self.profile.due_by(elapsed.saturating_sub(self.catch_up)));
        self.missed += too_late.saturating_sub(self.sent + self.missed);
        whole(self.profile.due_by(elapsed)).saturating_sub(self.sent + self.missed)
    }

    /// Counts a sent record.
    pub(crate) fn count_sent(&mut self) {
        self.sent += 1;
    }

    /// Records sent so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Records skipped because they were too late.
    pub(crate) fn missed(&self) -> u64 {
        self.missed
    }

    /// The intended rate, in records per second, at `elapsed`.
    pub(crate) fn rate_at(&self, elapsed: Duration) -> f64 {
        self.profile.rate_at(elapsed)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "never negative; a cast saturates, and 2^53 records are never due"
)]
fn whole(records: f64) -> u64 {
    (records + ROUNDING).floor() as u64
}

#[cfg(test)]
#[path = "pace_tests.rs"]
mod tests;
