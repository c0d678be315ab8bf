//! Points over time: a bounded number, sparser with age.

use std::ops::Deref;

use crate::scaling::number::real;

/// A point with a time.
pub(in crate::scaling) trait Timed {
    /// When, in milliseconds.
    fn at(&self) -> i64;
}

/// How many points are kept, and which.
#[derive(Debug, Clone, Copy)]
pub(in crate::scaling) struct Limits {
    /// Most points.
    pub(in crate::scaling) most: usize,
    /// Points younger than this, in milliseconds, are all kept while they fill less than three
    /// quarters of the ring.
    pub(in crate::scaling) fine: i64,
    /// Points that ended longer ago than this, in milliseconds, are dropped.
    pub(in crate::scaling) oldest: i64,
}

/// Points over time, oldest first. If there are too many, the one whose neighbours are closest for
/// its age is removed.
#[derive(Debug, Clone)]
pub(in crate::scaling) struct ThinnedRing<T>(Vec<T>);

impl<T> Default for ThinnedRing<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Deref for ThinnedRing<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Timed> ThinnedRing<T> {
    pub(in crate::scaling) fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds a point. `merge` puts the content of a removed point into the one before or after it.
    pub(in crate::scaling) fn push(
        &mut self,
        point: T,
        limits: Limits,
        merge: impl FnOnce(&mut T, &T, &mut T),
    ) {
        let now = point.at();
        // Exactly: growing on its own, it would hold twice as much.
        let room = (limits.most + 1).saturating_sub(self.0.len());
        self.0.reserve_exact(room);
        self.0.push(point);
        // The point that was current at the oldest time is kept.
        let later = self.0.iter().skip(1);
        let expired = later.take_while(|point| point.at() < now - limits.oldest);
        let expired = expired.count();
        if expired > 0 {
            self.0.drain(..expired);
        }
        if self.0.len() > limits.most {
            self.thin(now, limits.fine, merge);
        }
    }

    fn thin(&mut self, now: i64, fine: i64, merge: impl FnOnce(&mut T, &T, &mut T)) {
        let age = |point: &T| now - point.at();
        // Polls that are close together would fill the ring with points of the fine range. The
        // oldest quarter is always thinned, so that the others reach back as far as they can.
        let quarter = self.0.get(self.0.len() / 4).map_or(0, age);
        let fine = fine.min(quarter - 1);
        let crowding = |window: &[T]| match window {
            [before, point, after] if age(point) > fine => {
                Some(real(after.at() - before.at()) / real(age(point)))
            }
            _ => None,
        };
        let least = self
            .0
            .windows(3)
            .zip(1..)
            .filter_map(|(window, index)| Some((crowding(window)?, index)))
            .min_by(|a, b| a.0.total_cmp(&b.0));
        let Some((_, place)) = least else { return };
        let around = self.0.get_mut(place - 1..);
        if let Some([before, point, after, ..]) = around {
            merge(before, point, after);
            self.0.remove(place);
        }
    }

    /// Bytes on the heap.
    #[cfg(test)]
    pub(in crate::scaling) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<T>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Records that arrived from the point before it to its own time.
    #[derive(Debug, Clone)]
    struct Point {
        at: i64,
        records: i64,
    }

    impl Timed for Point {
        fn at(&self) -> i64 {
            self.at
        }
    }

    const LIMITS: Limits = Limits {
        most: 16,
        fine: 60,
        oldest: 100_000,
    };

    proptest! {
        /// KEEP-26.
        #[test]
        fn it_stays_bounded_and_loses_nothing_but_detail(
            steps in proptest::collection::vec((1i64..40, 0i64..100), 1..200),
        ) {
            let mut ring = ThinnedRing::default();
            let (mut now, mut all) = (0, 0);
            for (step, records) in &steps {
                now += step;
                all += records;
                let point = Point { at: now, records: *records };
                ring.push(point, LIMITS, |_, gone, after| after.records += gone.records);
                prop_assert!(ring.len() <= LIMITS.most);
                prop_assert!(ring.windows(2).all(|pair| pair[0].at < pair[1].at));
                prop_assert_eq!(ring.iter().map(|point| point.records).sum::<i64>(), all);
                prop_assert_eq!(ring.last().map(|point| point.at), Some(now));
            }
            prop_assert_eq!(ring[0].at, steps[0].0, "the first one stays");
        }
    }

    #[test]
    fn young_points_are_kept_and_old_ones_thinned_evenly_for_their_age() {
        let mut ring = ThinnedRing::default();
        for at in 0..400 {
            let limits = Limits {
                most: 100,
                ..LIMITS
            };
            ring.push(Point { at, records: 0 }, limits, |_, _, _| {});
        }
        let young = ring.iter().filter(|point| 399 - point.at <= LIMITS.fine);
        assert_eq!(young.count(), 61);
    }

    /// 160 points that are 5 s apart are all younger than 20 minutes.
    #[test]
    fn points_close_together_reach_back_to_the_oldest_time_and_not_much_further() {
        let limits = Limits {
            most: 160,
            fine: 1_200,
            oldest: 10_800,
        };
        let mut ring = ThinnedRing::default();
        for at in (0..50_000).step_by(5) {
            ring.push(Point { at, records: 0 }, limits, |_, _, _| {});
            assert!(ring.len() <= limits.most);
            let reach = at - ring[0].at;
            assert!(reach >= at.min(limits.oldest), "{ring:?}");
            assert!(reach <= limits.oldest * 5 / 4, "{reach} {ring:?}");
        }
    }

    #[test]
    fn what_is_older_than_the_oldest_time_goes_but_for_the_point_under_way() {
        let limits = Limits {
            oldest: 100,
            ..LIMITS
        };
        let mut ring = ThinnedRing::default();
        for at in [0, 50, 120, 200] {
            ring.push(Point { at, records: 1 }, limits, |_, _, _| {});
        }
        let times: Vec<i64> = ring.iter().map(|point| point.at).collect();
        assert_eq!(times, [50, 120, 200]);
    }
}
