//! Reduces samples to columns, and finds round numbers for axes.

use crate::simulate::Outcome;
use crate::simulate::number::{count, place};
use crate::simulate::plant::Sample;

/// A quantity of a run to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Show {
    Load,
    Replicas,
    Lag,
    Delay,
}

impl Show {
    fn of(self, sample: &Sample) -> f64 {
        match self {
            Self::Load => sample.load,
            Self::Replicas => sample.replicas.into(),
            Self::Lag => sample.lag,
            #[expect(clippy::cast_precision_loss, reason = "seconds of a run")]
            Self::Delay => sample.delay as f64,
        }
    }

    /// A run in `width` columns: the worst lag and delay of each, the mean of the rest.
    pub(super) fn columns(self, outcome: &Outcome, width: usize) -> Vec<f64> {
        let mut columns = vec![(0.0_f64, 0.0_f64, 0_usize); width.max(1)];
        let samples = outcome.series.len().max(1);
        for (at, sample) in outcome.series.iter().enumerate() {
            let column = at * width / samples;
            if let Some((sum, worst, n)) = columns.get_mut(column) {
                let value = self.of(sample);
                *sum += value;
                *worst = worst.max(value);
                *n += 1;
            }
        }
        let mut last = 0.0;
        let value = |(sum, worst, n): (f64, f64, usize)| {
            // Columns without a sample repeat the one before.
            if n > 0 {
                last = match self {
                    Self::Load | Self::Replicas => sum / count(n),
                    Self::Lag | Self::Delay => worst,
                };
            }
            last
        };
        columns.into_iter().map(value).collect()
    }

    /// The highest value of several runs.
    pub(super) fn highest<'a>(self, outcomes: impl IntoIterator<Item = &'a Outcome>) -> f64 {
        let samples = outcomes.into_iter().flat_map(|outcome| &outcome.series);
        samples.map(|sample| self.of(sample)).fold(0.0, f64::max)
    }
}

/// The next round number of at least `highest`.
pub(super) fn round_up(highest: f64) -> f64 {
    if highest <= 0.0 || !highest.is_finite() {
        return 1.0;
    }
    let power = 10_f64.powf(highest.log10().floor());
    let steps = [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    let fits = |step: &&f64| **step * power >= highest * 0.999_999;
    steps
        .iter()
        .find(fits)
        .map_or(10.0 * power, |step| step * power)
}

/// Times for an axis: at most about `about` of them, at round distances in seconds.
pub(super) fn times(length: i64, about: i64) -> Vec<i64> {
    let steps = [
        60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 172_800,
        604_800,
    ];
    let fits = |step: &&i64| length / **step <= about;
    let step = steps.iter().find(fits).copied().unwrap_or(1_209_600);
    let ticks = place(length / step);
    (0..=i64::try_from(ticks).unwrap_or(0))
        .map(|n| n * step)
        .collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(0.0, 1.0)]
    #[case(0.7, 0.8)]
    #[case(24.0, 25.0)]
    #[case(3170.0, 4000.0)]
    #[case(1000.0, 1000.0)]
    fn axes_end_at_round_numbers(#[case] highest: f64, #[case] end: f64) {
        assert!((round_up(highest) - end).abs() < 1e-9);
    }

    #[test]
    fn a_day_is_marked_every_six_hours() {
        assert_eq!(times(86_400, 5), [0, 21_600, 43_200, 64_800, 86_400]);
    }
}
