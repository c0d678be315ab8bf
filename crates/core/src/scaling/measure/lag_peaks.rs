//! The basis of a scale-down while the capacity is unknown: the peak of what the lag asked for,
//! over a window that whole polls cover without a gap. Thinned points are merged, and merging can
//! only raise the peak.

use jiff::{SignedDuration, Timestamp};

use crate::scaling::measure::ring::{Limits, ThinnedRing, Timed};
use crate::scaling::number::millis;
use crate::scaling::tuning::Tuning;

/// Demand since the last action, gap or change of the bounds.
#[derive(Debug, Clone, Default)]
pub(in crate::scaling) struct LagPeaks {
    points: ThinnedRing<Point>,
    latest: Option<Timestamp>,
    /// Something could not be read since the latest point.
    has_hole: bool,
}

/// From its time until the next point's.
#[derive(Debug, Clone, Copy)]
struct Point {
    at: Timestamp,
    peak: i32,
    /// How long the lag was unknown before it.
    blind: SignedDuration,
}

impl Timed for Point {
    fn at(&self) -> i64 {
        self.at.as_millisecond()
    }
}

/// Merges the peak of a removed point into the one before it, which then lasts until the next one.
/// Points before a hole stay before it.
fn merge(before: &mut Point, gone: &Point, _: &mut Point) {
    let peak = before.peak.max(gone.peak);
    let begins = if gone.blind > before.blind {
        *gone
    } else {
        *before
    };
    *before = Point { peak, ..begins };
}

/// The demand within a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::scaling) struct Window {
    /// How much of the window is covered, at most its length.
    pub(in crate::scaling) covered: SignedDuration,
    /// The most replicas that the lag asked for in it.
    pub(in crate::scaling) peak: i32,
}

impl LagPeaks {
    pub(in crate::scaling) fn clear(&mut self) {
        *self = Self::default();
    }

    /// A poll in which something was unknown, or that failed.
    pub(in crate::scaling) fn note_hole(&mut self) {
        self.has_hole = true;
    }

    /// Adds a whole poll: the replicas that the lag asks for.
    pub(in crate::scaling) fn push(&mut self, at: Timestamp, asked: i32, tuning: &Tuning) {
        let tuning = &tuning.lag_peaks;
        let before = self.latest.replace(at);
        let blind = match before.filter(|_| self.has_hole) {
            Some(before) => at.duration_since(before),
            None => SignedDuration::ZERO,
        };
        self.has_hole = false;
        let point = Point {
            at,
            peak: asked,
            blind,
        };
        let limits = Limits {
            most: tuning.points,
            fine: 0,
            oldest: millis(tuning.oldest),
        };
        self.points.push(point, limits, merge);
    }

    /// The last `length` up to the latest poll.
    pub(in crate::scaling) fn window(
        &self,
        length: SignedDuration,
        tuning: &Tuning,
    ) -> Option<Window> {
        let now = self.latest?;
        // A hole of more than half the window leaves too little to judge by.
        let seen = self
            .points
            .iter()
            .rposition(|p| p.blind > length / 2)
            .unwrap_or(0);
        let oldest = self.points.get(seen)?;
        // The point that was current when the window began belongs to it.
        let first = self
            .points
            .iter()
            .rposition(|p| now.duration_since(p.at) >= length)
            .unwrap_or(0)
            .max(seen);
        let first = if tuning.lag_peaks.enabled {
            first
        } else {
            self.points.len() - 1
        };
        let inside = self.points.iter().skip(first);
        Some(Window {
            covered: now.duration_since(oldest.at).min(length),
            peak: inside.map(|p| p.peak).max()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TUNING: &Tuning = &Tuning::DEFAULT;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn secs(seconds: i64) -> SignedDuration {
        SignedDuration::from_secs(seconds)
    }

    #[test]
    fn a_window_shows_its_own_peak_and_not_an_older_one() {
        let mut peaks = LagPeaks::default();
        for (t, asked) in [(0, 9), (15, 2), (30, 3), (45, 1), (60, 1)] {
            peaks.push(at(t), asked, TUNING);
        }
        assert_eq!(
            peaks.window(secs(30), TUNING),
            Some(Window {
                covered: secs(30),
                peak: 3
            })
        );
        assert_eq!(peaks.window(secs(60), TUNING).unwrap().peak, 9);
        assert_eq!(peaks.window(secs(600), TUNING).unwrap().covered, secs(60));
    }

    #[test]
    fn a_hole_of_more_than_half_the_window_begins_it_anew() {
        let mut peaks = LagPeaks::default();
        for t in [0, 5, 10, 15, 20, 25] {
            peaks.push(at(t), 1, TUNING);
        }
        assert_eq!(peaks.window(secs(20), TUNING).unwrap().covered, secs(20));
        peaks.note_hole();
        peaks.push(at(40), 1, TUNING);
        assert_eq!(peaks.window(secs(20), TUNING).unwrap().covered, secs(0));
        assert_eq!(
            peaks.window(secs(30), TUNING).unwrap().covered,
            secs(30),
            "exactly half of it is not more than half"
        );
        peaks.push(at(60), 1, TUNING);
        assert_eq!(
            peaks.window(secs(20), TUNING).unwrap().covered,
            secs(20),
            "looks that are far apart are no hole"
        );
    }

    /// KEEP-26.
    #[test]
    fn hours_of_polls_stay_bounded_and_no_peak_is_lost() {
        let mut peaks = LagPeaks::default();
        peaks.push(at(0), 1, TUNING);
        peaks.push(at(15), 40, TUNING);
        for poll in 2..240 {
            peaks.push(at(poll * 15), 1, TUNING);
            assert!(peaks.points.len() <= TUNING.lag_peaks.points);
        }
        assert_eq!(peaks.window(secs(3600), TUNING).unwrap().peak, 40);
        assert_eq!(peaks.window(secs(120), TUNING).unwrap().peak, 1);
    }
}
