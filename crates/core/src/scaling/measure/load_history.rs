//! The load of the busiest consumer at each size, for each poll. It is replayed as a queue before a
//! smaller size is taken.

use crate::scaling::measure::ring::{Limits, ThinnedRing, Timed};
use crate::scaling::number::{millis, real};
use crate::scaling::tuning::Tuning;

/// Loads of the busiest consumer over time, for each size.
#[derive(Debug, Clone, Default)]
pub(in crate::scaling) struct LoadHistory {
    sizes: Vec<i32>,
    live: Vec<(usize, i32)>,
    points: ThinnedRing<Point>,
    /// Time of the last whole poll, in milliseconds.
    last_whole: Option<i64>,
}

/// Loads from the time of the point before it to its own, in the order of the sizes.
#[derive(Debug, Clone)]
struct Point {
    at: i64,
    loads: Box<[f32]>,
}

impl Timed for Point {
    fn at(&self) -> i64 {
        self.at
    }
}

/// Merges the loads of a removed point into the point after it, so that the sum over both times
/// stays the same.
fn merge(before: &mut Point, gone: &Point, after: &mut Point) {
    #[expect(clippy::cast_possible_truncation, reason = "a share")]
    let share = (real(gone.at - before.at) / real(after.at - before.at).max(1.0)) as f32;
    for (load, earlier) in after.loads.iter_mut().zip(&gone.loads) {
        *load += share * (earlier - *load);
    }
}

/// The limits that a smaller size must stay within.
#[derive(Debug, Clone, Copy)]
pub(in crate::scaling) struct ReplayLimits {
    /// Seconds to replay.
    pub(in crate::scaling) window: f64,
    /// Records per second of one consumer.
    pub(in crate::scaling) capacity: f64,
    /// Seconds for which its own rebalance would stop the group.
    pub(in crate::scaling) stall: f64,
    /// Most seconds of work that may wait at any time ...
    pub(in crate::scaling) most: f64,
    /// ... and at the end.
    pub(in crate::scaling) left: f64,
    /// Largest mean share of the capacity.
    pub(in crate::scaling) utilisation: f64,
}

impl LoadHistory {
    pub(in crate::scaling) fn clear(&mut self) {
        self.points.clear();
    }

    /// Begins a new series if the sizes or the partitions have changed.
    pub(in crate::scaling) fn about(&mut self, sizes: &[i32], live: &[(usize, i32)]) {
        if self.sizes != sizes || self.live != live {
            self.points.clear();
            self.sizes = sizes.to_vec();
            self.live = live.to_vec();
        }
    }

    /// Drops the loads if nothing was known for longer than `gap` milliseconds.
    pub(in crate::scaling) fn note_whole(&mut self, at: i64, gap: i64) {
        if self.last_whole.is_some_and(|last| at - last > gap) {
            self.points.clear();
        }
        self.last_whole = Some(at);
    }

    /// Adds a whole poll: the load of the busiest consumer at each size.
    pub(in crate::scaling) fn push(&mut self, at: i64, load: impl Fn(i32) -> f64, tuning: &Tuning) {
        #[expect(clippy::cast_possible_truncation, reason = "seven digits are plenty")]
        let loads = self.sizes.iter().map(|size| load(*size) as f32).collect();
        let kept = &tuning.load_history;
        let limits = Limits {
            most: kept.points,
            fine: millis(kept.fine),
            oldest: millis(kept.oldest),
        };
        self.points.push(Point { at, loads }, limits, merge);
    }

    /// Seconds covered without a gap.
    pub(in crate::scaling) fn covered(&self, now: i64) -> f64 {
        self.points
            .first()
            .map_or(0.0, |point| real(now - point.at) / 1000.0)
    }

    /// The load of the busiest consumer at this size in the last poll.
    pub(in crate::scaling) fn latest(&self, size: i32) -> Option<f64> {
        let place = self.sizes.iter().position(|s| *s == size)?;
        self.points
            .last()?
            .loads
            .get(place)
            .map(|load| f64::from(*load))
    }

    /// Whether `size` would have kept the delay calm over the whole window, its own rebalance
    /// included: a fluid queue at the busiest consumer. Also `false` if the window is not covered.
    pub(in crate::scaling) fn holds(&self, size: i32, now: i64, limits: ReplayLimits) -> bool {
        let Some(place) = self.sizes.iter().position(|s| *s == size) else {
            return false;
        };
        #[expect(clippy::cast_possible_truncation, reason = "hours in milliseconds")]
        let begin = now - (limits.window * 1000.0) as i64;
        let Some(before) = self.points.iter().rposition(|p| p.at <= begin) else {
            return false;
        };
        let mut points = self.points.iter().skip(before);
        let Some(mut previous) = points.next().map(|point| point.at) else {
            return false;
        };
        let mut waiting: Option<f64> = None;
        let mut carried = 0.0;
        for point in points {
            let load = f64::from(point.loads.get(place).copied().unwrap_or(f32::MAX));
            let seconds = real(point.at - previous) / 1000.0;
            previous = point.at;
            let queue = waiting.unwrap_or(limits.stall * load);
            let queue = (queue + (load - limits.capacity) * seconds).max(0.0);
            if queue > limits.most * limits.capacity {
                return false;
            }
            carried += load * seconds;
            waiting = Some(queue);
        }
        waiting.is_some_and(|queue| queue <= limits.left * limits.capacity)
            && carried <= limits.utilisation * limits.capacity * limits.window
    }

    /// Bytes on the heap.
    #[cfg(test)]
    pub(in crate::scaling) fn bytes(&self) -> usize {
        let loads = self.points.len() * self.sizes.len() * size_of::<f32>();
        let live = self.live.capacity() * size_of::<(usize, i32)>();
        self.points.bytes() + loads + live
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIAL: ReplayLimits = ReplayLimits {
        window: 120.0,
        capacity: 100.0,
        stall: 0.0,
        most: 30.0,
        left: 15.0,
        utilisation: 0.96,
    };

    fn series(loads: impl IntoIterator<Item = f64>) -> (LoadHistory, i64) {
        let mut series = LoadHistory::default();
        series.about(&[2], &[]);
        let mut now = 0;
        for (poll, load) in (0i64..).zip(loads) {
            now = poll * 15_000;
            series.push(now, |_| load, &Tuning::DEFAULT);
        }
        (series, now)
    }

    #[test]
    fn a_size_that_would_have_carried_the_window_holds() {
        let (series, now) = series([90.0; 9]);
        assert!(series.holds(2, now, TRIAL));
        assert!(!series.holds(3, now, TRIAL), "a size that is not in it");
    }

    #[test]
    fn a_window_that_is_not_covered_proves_nothing() {
        let (series, now) = series([10.0; 8]);
        assert!(!series.holds(2, now, TRIAL));
    }

    #[test]
    fn a_burst_that_would_have_queued_for_too_long_refuses_the_size() {
        let mut loads = vec![10.0; 9];
        loads[3] = 250.0;
        let (calm, now) = series(loads.clone());
        assert!(calm.holds(2, now, TRIAL), "22 seconds of work at most");
        loads[4] = 250.0;
        let (busy, now) = series(loads);
        assert!(!busy.holds(2, now, TRIAL), "45 seconds of work");
    }

    #[test]
    fn its_own_rebalance_is_part_of_the_trial() {
        let (series, now) = series([60.0; 9]);
        let stalls = |stall| series.holds(2, now, ReplayLimits { stall, ..TRIAL });
        assert!(stalls(20.0));
        assert!(!stalls(70.0));
    }

    /// KEEP-26.
    #[test]
    fn merging_keeps_what_was_carried_and_stays_bounded() {
        let loads = (0..720).map(|poll| if poll % 3 == 0 { 120.0 } else { 60.0 });
        let (series, now) = series(loads);
        assert!(series.points.len() <= Tuning::DEFAULT.load_history.points);
        let hours = ReplayLimits {
            window: 3.0 * 3600.0 - 30.0,
            utilisation: 0.81,
            ..TRIAL
        };
        assert!(
            series.holds(2, now, hours),
            "80 records a second at the mean"
        );
        let less = ReplayLimits {
            utilisation: 0.79,
            ..hours
        };
        assert!(!series.holds(2, now, less));
    }
}
