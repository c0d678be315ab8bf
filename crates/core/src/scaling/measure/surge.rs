//! A surge: the load has just risen, so the mean of the last minute mixes two loads, and a size
//! chosen by it is too small before its Pods have started.

use crate::scaling::measure::series::Series;
use crate::scaling::tuning::Tuning;

/// A load that has risen within the last minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::scaling) struct Surge {
    /// How many of the last polls show it.
    polls: usize,
}

/// Detects a surge in the polls of the last minute, over all partitions together. `None`: the load
/// has not risen, or there are too few polls.
pub(in crate::scaling) fn of<'a>(
    series: impl Iterator<Item = &'a Series>,
    tuning: &Tuning,
) -> Option<Surge> {
    let tuning = &tuning.surge;
    if !tuning.enabled {
        return None;
    }
    // Records and seconds between polls, latest first.
    let mut polls = vec![(0.0_f64, 0.0_f64); tuning.polls];
    for series in series {
        for (snapshot, (records, seconds)) in polls.iter_mut().zip(series.arrived()) {
            snapshot.0 += records;
            snapshot.1 = snapshot.1.max(seconds);
        }
    }
    let known = polls.iter().take_while(|(_, seconds)| *seconds > 0.0);
    let known = known.count();
    // A single poll before it may have been an idle one.
    (1..known.saturating_sub(1)).find_map(|since| {
        let (after, before) = polls.get(..known)?.split_at(since);
        let most = before.iter().map(|(records, seconds)| records / seconds);
        let most = most.fold(0.0, f64::max);
        let is_more = |(records, seconds): &(f64, f64)| {
            let usual = tuning.risen * most * seconds;
            *records > usual + tuning.chance * usual.max(1.0).sqrt()
        };
        after.iter().all(is_more).then_some(Surge { polls: since })
    })
}

impl Surge {
    /// Arrivals at a partition, in records per second. `expected` is the mean of the last minute.
    pub(in crate::scaling) fn arrivals(
        self,
        series: &Series,
        expected: f64,
        tuning: &Tuning,
    ) -> f64 {
        let Some(since) = series.rate_of_polls(self.polls) else {
            return expected;
        };
        if self.polls > 1 {
            return since;
        }
        (expected + tuning.surge.first_poll * (since - expected)).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const TUNING: &Tuning = &Tuning::DEFAULT;

    /// Polls 15 s apart with these numbers of records between them.
    fn series(arrived: &[i64]) -> Series {
        let (mut at, mut end) = (0, 0);
        let mut series = Series::default();
        series.push(at, end, Some(0), 660_000, TUNING);
        for records in arrived {
            at += 15_000;
            end += records;
            series.push(at, end, Some(0), 660_000, TUNING);
        }
        series
    }

    #[rstest]
    #[case::steady(&[1500, 1500, 1500, 1500], None)]
    #[case::the_first_poll(&[1500, 1500, 1500, 9000], Some(1))]
    #[case::the_second_poll(&[1500, 1500, 9000, 9000], Some(2))]
    #[case::a_part_and_a_whole_poll(&[1500, 1500, 3500, 9000], Some(1))]
    #[case::by_a_half(&[1500, 1500, 1500, 2250], None)]
    #[case::by_chance(&[2, 1, 2, 6], None)]
    #[case::one_burst_a_minute(&[0, 0, 9000, 0, 0, 0, 9000], None)]
    #[case::from_nothing(&[0, 0, 0, 9000], Some(1))]
    #[case::over(&[1500, 9000, 9000, 1500], None)]
    #[case::too_few_polls(&[1500, 9000], None)]
    fn a_load_has_risen(#[case] arrived: &[i64], #[case] polls: Option<usize>) {
        let series = series(arrived);
        let surge = of(std::iter::once(&series), TUNING);
        assert_eq!(surge.map(|surge| surge.polls), polls);
    }

    #[test]
    fn partitions_are_summed_up() {
        let (steady, rising) = (series(&[9000; 4]), series(&[300, 300, 300, 3000]));
        assert_eq!(of([&rising].into_iter(), TUNING), Some(Surge { polls: 1 }));
        assert_eq!(of([&steady, &rising].into_iter(), TUNING), None);
    }

    #[test]
    fn the_first_poll_counts_for_more_than_it_shows() {
        let first = series(&[150, 150, 150, 1500]);
        let surge = of(std::iter::once(&first), TUNING).unwrap();
        assert!((surge.arrivals(&first, 40.0, TUNING) - 130.0).abs() < 1e-9);
        let second = series(&[150, 150, 1500, 1500]);
        let surge = of(std::iter::once(&second), TUNING).unwrap();
        assert!((surge.arrivals(&second, 40.0, TUNING) - 100.0).abs() < 1e-9);
    }
}
