//! What a scale-down may be based on: the peak demand and the arrivals over a window that whole looks cover without a
//! gap. A fixed number of points, thinned with age by merging, and merging only ever makes the peak higher.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use super::history::milli_rate;

/// Most points kept; older ones are merged in pairs.
const MOST: usize = 32;
/// Nothing waits for longer than this, so nothing older is kept.
const OLDEST: SignedDuration = SignedDuration::from_secs(2 * 3600);

/// Demand and arrivals since the last action, gap or change of shape.
#[derive(Debug, Clone, Default)]
pub(super) struct Evidence {
    points: VecDeque<Point>,
    latest: Option<(Timestamp, i64)>,
}

/// From its time until the next point's.
#[derive(Debug, Clone, Copy)]
struct Point {
    at: Timestamp,
    peak: i32,
    produced: i64,
}

/// What a window shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// How much of the window is covered: at most its length.
    pub(super) covered: SignedDuration,
    /// Most replicas that the lag asked for in it.
    pub(super) peak: i32,
    /// Mean arrivals in it, in thousandths of a record per second.
    pub(super) produced: i64,
}

impl Evidence {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes in what a whole look showed: replicas that the lag asks for, and records that have arrived so far.
    pub(super) fn push(&mut self, at: Timestamp, asked: i32, produced: i64) {
        self.latest = Some((at, produced));
        self.points.push_back(Point {
            at,
            peak: asked,
            produced,
        });
        while self
            .points
            .get(1)
            .is_some_and(|second| at.duration_since(second.at) >= OLDEST)
        {
            self.points.pop_front();
        }
        if self.points.len() > MOST {
            self.thin();
        }
    }

    /// Merges the older half in pairs.
    fn thin(&mut self) {
        let newer = self.points.split_off(MOST / 2);
        let mut merged = VecDeque::with_capacity(MOST);
        let mut older = self.points.iter().copied();
        while let Some(first) = older.next() {
            let peak = older
                .next()
                .map_or(first.peak, |second| first.peak.max(second.peak));
            merged.push_back(Point { peak, ..first });
        }
        merged.extend(newer);
        self.points = merged;
    }

    /// What the last `length` shows, as of the latest look.
    pub(super) fn window(&self, length: SignedDuration) -> Option<Window> {
        let (now, produced) = self.latest?;
        let oldest = self.points.front()?;
        // The point under way when the window began belongs to it.
        let first = self
            .points
            .iter()
            .rposition(|p| now.duration_since(p.at) >= length)
            .unwrap_or(0);
        let inside = || self.points.iter().skip(first);
        let start = inside().next()?;
        Some(Window {
            covered: now.duration_since(oldest.at).min(length),
            peak: inside().map(|p| p.peak).max()?,
            produced: milli_rate(produced - start.produced, now.duration_since(start.at)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn secs(seconds: i64) -> SignedDuration {
        SignedDuration::from_secs(seconds)
    }

    #[test]
    fn a_window_shows_its_own_peak_and_not_an_older_one() {
        let mut evidence = Evidence::default();
        for (t, asked) in [(0, 9), (15, 2), (30, 3), (45, 1), (60, 1)] {
            evidence.push(at(t), asked, t * 100);
        }
        assert_eq!(
            evidence.window(secs(30)),
            Some(Window {
                covered: secs(30),
                peak: 3,
                produced: 100_000
            })
        );
        assert_eq!(evidence.window(secs(60)).unwrap().peak, 9);
        assert_eq!(evidence.window(secs(600)).unwrap().covered, secs(60));
    }

    #[test]
    fn hours_of_looks_stay_bounded_and_no_peak_is_lost() {
        let mut evidence = Evidence::default();
        evidence.push(at(0), 1, 0);
        evidence.push(at(15), 40, 0);
        for look in 2..240 {
            evidence.push(at(look * 15), 1, 0);
            assert!(evidence.points.len() <= MOST);
        }
        assert_eq!(evidence.window(secs(3600)).unwrap().peak, 40);
        assert_eq!(evidence.window(secs(120)).unwrap().peak, 1);
    }
}
