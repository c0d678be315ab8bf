//! The series of one partition: end offsets and commits over time. A fixed number of points, dense
//! for the last minute and thinned with age, so that the time of a past end offset stays known to
//! within a sixth of its age.

use crate::scaling::measure::ring::{Limits, ThinnedRing, Timed};
use crate::scaling::number::{in_seconds, millis, real};
use crate::scaling::tuning::Tuning;

/// Stands for a commit that does not exist.
const ABSENT: i64 = -1;

/// A point: offsets at a time in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Point {
    at: i64,
    end: i64,
    committed: i64,
}

impl Timed for Point {
    fn at(&self) -> i64 {
        self.at
    }
}

/// Offsets of one partition over time, oldest first.
#[derive(Debug, Clone, Default)]
pub(in crate::scaling) struct Series {
    points: ThinnedRing<Point>,
    /// Times in milliseconds and end offsets from before the first point, from the broker's
    /// timestamps: used for the delay only.
    earlier: Vec<(i64, i64)>,
}

/// Which of the two offsets.
#[derive(Debug, Clone, Copy)]
pub(in crate::scaling) enum Of {
    Arrivals,
    Consumption,
}

impl Series {
    /// Adds the offsets of a poll. An end that went back once is from a poll that crossed another.
    pub(in crate::scaling) fn push(
        &mut self,
        at: i64,
        end: i64,
        committed: Option<i64>,
        keep: i64,
        tuning: &Tuning,
    ) {
        let before = self.points.last().copied();
        let point = Point {
            at,
            end: before.map_or(end, |before| before.end.max(end)),
            committed: committed.unwrap_or(ABSENT),
        };
        if before.is_some_and(|before| before.at >= at) {
            return;
        }
        let series = &tuning.series;
        let limits = Limits {
            most: series.points,
            fine: millis(series.dense),
            oldest: keep,
        };
        self.points.push(point, limits, |_, _, _| {});
    }

    #[cfg(test)]
    pub(in crate::scaling) fn bytes(&self) -> usize {
        self.points.bytes() + self.earlier.capacity() * size_of::<(i64, i64)>()
    }

    pub(in crate::scaling) fn clear(&mut self) {
        self.points.clear();
        self.earlier = Vec::new();
    }

    /// Sets the ends from before the first point, oldest first, replacing earlier ones.
    pub(in crate::scaling) fn set_earlier(
        &mut self,
        ends: impl DoubleEndedIterator<Item = (i64, i64)>,
        tuning: &Tuning,
    ) {
        let first = self.points.first().map_or((0, 0), |p| (p.at, p.end));
        let before = ends.filter(|(at, end)| *at < first.0 && *end <= first.1);
        let mut latest: Vec<_> = before.rev().take(tuning.series.earlier_points).collect();
        latest.reverse();
        latest.shrink_to_fit();
        self.earlier = latest;
    }

    /// When the last point was added, in milliseconds.
    pub(in crate::scaling) fn latest(&self) -> Option<i64> {
        self.points.last().map(|point| point.at)
    }

    /// The last commit.
    pub(in crate::scaling) fn committed(&self) -> Option<i64> {
        self.points
            .last()
            .map(|point| point.committed)
            .filter(|committed| *committed != ABSENT)
    }

    /// The last end offset.
    pub(in crate::scaling) fn end(&self) -> Option<i64> {
        self.points.last().map(|point| point.end)
    }

    /// Records not consumed, as of the last point.
    pub(in crate::scaling) fn lag(&self) -> f64 {
        self.points.last().map_or(0.0, Point::lag)
    }

    /// Records not consumed at about `when`; `None`: the series does not reach back to it.
    pub(in crate::scaling) fn lag_at(&self, when: i64, tuning: &Tuning) -> Option<f64> {
        let until = when + millis(tuning.series.slack);
        let point = self.points.iter().rev().find(|p| p.at <= until)?;
        Some(point.lag())
    }

    /// Records per second over about the last `window` milliseconds. `None`: there are too few
    /// points.
    pub(in crate::scaling) fn rate(&self, of: Of, window: i64, tuning: &Tuning) -> Option<f64> {
        let (last, before) = self.points.split_last()?;
        let from = last.at - window + millis(tuning.series.slack);
        let first = before.iter().rev().find(|p| p.at <= from);
        let first = first.or(before.first())?;
        let over = last.at - first.at;
        if over < window.min(millis(tuning.series.rate_least)) {
            return None;
        }
        let value = |point: &Point| match of {
            Of::Arrivals => point.end,
            Of::Consumption => point.committed.max(0),
        };
        if matches!(of, Of::Consumption) && first.committed == ABSENT {
            return None;
        }
        Some(real((value(last) - value(first)).max(0)) * 1000.0 / real(over))
    }

    /// Records that arrived between consecutive polls, latest first, and the seconds between these
    /// polls.
    pub(in crate::scaling) fn arrived(&self) -> impl Iterator<Item = (f64, f64)> {
        self.points.windows(2).rev().map(|pair| match pair {
            [before, after] => (
                real(after.end - before.end),
                real(after.at - before.at) / 1000.0,
            ),
            _ => (0.0, 0.0),
        })
    }

    /// Arrivals in records per second over the last `polls` polls. `None`: there are too few.
    pub(in crate::scaling) fn rate_of_polls(&self, polls: usize) -> Option<f64> {
        let last = self.points.last()?;
        let first = self.points.iter().rev().nth(polls)?;
        let over = last.at - first.at;
        (over > 0).then(|| real(last.end - first.end) * 1000.0 / real(over))
    }

    /// Records per second between the last move of the commit and one about `window` milliseconds
    /// before it, and the time of the earlier one. Consumers that commit once a minute show no rate
    /// between two commits. `None`: the commit has not moved twice.
    pub(in crate::scaling) fn pace(&self, window: i64, tuning: &Tuning) -> Option<(f64, i64)> {
        let moves = || {
            let pairs = self.points.windows(2).rev();
            pairs.filter_map(|pair| match pair {
                [before, after]
                    if after.committed > before.committed && before.committed != ABSENT =>
                {
                    Some(*after)
                }
                _ => None,
            })
        };
        let last = moves().next()?;
        let from = last.at - window + millis(tuning.series.slack);
        let first = moves().skip(1).find(|p| p.at <= from);
        let first = first.or(moves().skip(1).last())?;
        let over = real(last.at - first.at) / 1000.0;
        Some((real(last.committed - first.committed) / over, first.at))
    }

    /// Age in seconds of the oldest record that is not consumed: the time since the end offset
    /// passed the commit.
    ///
    /// Between two polls arrivals are taken to be even. Before the first known offset the mean rate
    /// since is assumed; without arrivals since, the age is that of the first known offset, which
    /// is a lower bound.
    pub(in crate::scaling) fn delay(&self, now: i64, tuning: &Tuning) -> f64 {
        let oldest = in_seconds(tuning.series.oldest);
        let Some(last) = self.points.last() else {
            return 0.0;
        };
        let is_short = self.points.len() + self.earlier.len() < 2;
        if is_short || last.committed == ABSENT || last.end <= last.committed {
            return 0.0;
        }
        let committed = last.committed;
        let earlier = self.earlier.iter().copied();
        let known = || {
            earlier
                .clone()
                .chain(self.points.iter().map(|p| (p.at, p.end)))
        };
        let Some(first) = known().next() else {
            return 0.0;
        };
        let (mut before, mut after) = (None, (last.at, last.end));
        for point in known() {
            if point.1 > committed {
                after = point;
                break;
            }
            before = Some(point);
        }
        let seconds = |millis: i64| real(millis) / 1000.0;
        let Some(before) = before else {
            let rate = real(last.end - first.1) / seconds(last.at - first.0).max(1.0);
            let older = if rate > 0.0 {
                real(first.1 - committed) / rate
            } else {
                0.0
            };
            return (seconds(now - first.0) + older).min(oldest);
        };
        let share = real(committed - before.1) / real((after.1 - before.1).max(1));
        let arrived = seconds(before.0) + seconds(after.0 - before.0) * share;
        (seconds(now) - arrived).clamp(0.0, oldest)
    }
}

impl Point {
    fn lag(&self) -> f64 {
        if self.committed == ABSENT {
            return 0.0;
        }
        real((self.end - self.committed).max(0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEEP: i64 = 660_000;
    const TUNING: &Tuning = &Tuning::DEFAULT;

    fn series(points: &[(i64, i64, i64)]) -> Series {
        let mut series = Series::default();
        for (at, end, committed) in points {
            series.push(at * 1000, *end, Some(*committed), KEEP, TUNING);
        }
        series
    }

    #[test]
    fn the_delay_is_the_age_of_the_oldest_record_that_is_not_consumed() {
        let series = series(&[(0, 0, 0), (15, 1500, 0), (30, 3000, 0), (45, 4500, 2000)]);
        // Record 2000 arrived at 20 s.
        assert!((series.delay(45_000, TUNING) - 25.0).abs() < 1e-9);
        assert!((series.delay(50_000, TUNING) - 30.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_older_than_the_history_is_as_old_as_its_arrivals_say() {
        let series = series(&[(0, 1000, 0), (15, 2500, 0)]);
        // 100 records a second, 1000 of them before the first poll.
        assert!((series.delay(15_000, TUNING) - 25.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_older_than_the_history_is_as_old_as_the_broker_says() {
        // 40 records had arrived by 600 s before the first poll, 900 by 60 s before it, and none
        // since.
        let mut series = series(&[(1000, 900, 470), (1015, 900, 470)]);
        series.set_earlier([(400_000, 40), (940_000, 900)].into_iter(), TUNING);
        // Half of what came between 400 s and 940 s has been read.
        assert!((series.delay(1_015_000, TUNING) - 345.0).abs() < 1e-9);
        // One poll is enough.
        let mut one = super::Series::default();
        one.push(1_000_000, 900, Some(40), KEEP, TUNING);
        one.set_earlier([(400_000, 40), (940_000, 900)].into_iter(), TUNING);
        assert!((one.delay(1_000_000, TUNING) - 600.0).abs() < 1e-9);
        // Older than the whole series: extrapolated over all of it.
        let mut old = super::Series::default();
        old.push(1_000_000, 1_240, Some(0), KEEP, TUNING);
        old.set_earlier([(400_000, 40)].into_iter(), TUNING);
        assert!((old.delay(1_000_000, TUNING) - 620.0).abs() < 1e-9);
    }

    #[test]
    fn what_the_broker_says_is_for_the_time_before_the_first_poll_alone() {
        let mut series = series(&[(1000, 900, 850), (1015, 1900, 950)]);
        series.set_earlier(
            [(0, 10), (999_000, 2_000), (1_001_000, 890)].into_iter(),
            TUNING,
        );
        assert_eq!(series.earlier, [(0, 10)]);
        // Within the series only the series counts.
        assert!((series.delay(1_015_000, TUNING) - 14.25).abs() < 1e-9);
        assert!(
            series.rate(Of::Arrivals, 60_000, TUNING).unwrap() > 60.0,
            "it says nothing of rates"
        );
        series.clear();
        assert!(series.earlier.is_empty());
    }

    #[test]
    fn a_single_poll_and_a_group_without_commits_tell_no_delay() {
        assert!(series(&[(0, 1000, 0)]).delay(0, TUNING).abs() < 1e-9);
        let mut none = Series::default();
        none.push(0, 10, None, KEEP, TUNING);
        none.push(15_000, 20, None, KEEP, TUNING);
        assert!(none.delay(15_000, TUNING).abs() < 1e-9);
        assert_eq!(none.rate(Of::Consumption, 15_000, TUNING), None);
    }

    #[test]
    fn rates_are_taken_over_their_window() {
        let series = series(&[(0, 0, 0), (15, 1500, 100), (30, 3000, 200), (45, 9000, 300)]);
        assert_eq!(series.rate(Of::Arrivals, 15_000, TUNING), Some(400.0));
        assert_eq!(series.rate(Of::Arrivals, 60_000, TUNING), Some(200.0));
        assert_eq!(series.lag_at(30_000, TUNING), Some(2800.0));
    }

    proptest! {
        /// Thinning keeps the delay of a steadily fed partition exact, and of an unsteady one
        /// within a sixth and one poll.
        #[test]
        fn thinning_keeps_the_delay(rates in proptest::collection::vec(0i64..400, 60..300), behind in 1i64..40) {
            let mut series = Series::default();
            let mut all: Vec<(i64, i64)> = Vec::new();
            let mut end = 0;
            for (poll, rate) in (0i64..).zip(&rates) {
                end += rate * 15;
                let at = poll * 15_000;
                all.push((at, end));
                let back = usize::try_from((poll - behind).max(0)).unwrap();
                series.push(at, end, Some(all[back].1), KEEP, TUNING);
                prop_assert!(series.points.len() <= TUNING.series.points);
            }
            let now = all.last().unwrap().0;
            let committed = series.committed().unwrap();
            if committed < end {
                // The last poll at which the end was no more than the commit.
                let passed = all.iter().rposition(|(_, e)| *e <= committed).unwrap();
                let truth = real(now - all[passed].0) / 1000.0;
                let stated = series.delay(now, TUNING);
                prop_assert!((stated - truth).abs() <= truth / 6.0 + 15.0, "told {stated}, is {truth}");
            }
        }
    }
}
