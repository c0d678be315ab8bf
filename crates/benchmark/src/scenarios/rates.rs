//! Shapes of a load, and weights of partitions.

use lagrange_core::simulate::{Load, LoadError};

use crate::mersenne::Random;

/// A load with a point every second.
pub(super) fn by_the_second(length: i64, rate: impl Fn(f64) -> f64) -> Result<Load, LoadError> {
    let length = u32::try_from(length).unwrap_or(0);
    Load::evenly(1.0, (0..=length).map(|t| rate(f64::from(t))))
}

/// Straight lines between points of seconds and rates; constant before and after them.
pub(super) fn lines(points: Vec<(f64, f64)>) -> impl Fn(f64) -> f64 {
    move |t| {
        let after = points.partition_point(|(at, _)| *at <= t);
        let before = after.checked_sub(1).and_then(|place| points.get(place));
        match (before, points.get(after)) {
            (Some((a, x)), Some((b, y))) => x + (y - x) * (t - a) / (b - a),
            (Some((_, rate)), None) | (None, Some((_, rate))) => *rate,
            (None, None) => 0.0,
        }
    }
}

/// About even weights.
pub(super) fn even(partitions: u32, random: &mut Random) -> Vec<f64> {
    let weight = |_| random.gauss(1.0, 0.05).max(0.2);
    (0..partitions).map(weight).collect()
}

/// Weights by Zipf's law, in a random order.
pub(super) fn zipf(partitions: u32, exponent: f64, random: &mut Random) -> Vec<f64> {
    let weight = |rank: u32| f64::from(rank).powf(-exponent);
    let mut weights: Vec<f64> = (1..=partitions).map(weight).collect();
    random.shuffle(&mut weights);
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_through_their_points_and_are_level_around_them() {
        let rate = lines(vec![(10.0, 100.0), (20.0, 200.0), (20.0, 50.0)]);
        let rates: Vec<f64> = [0.0, 10.0, 15.0, 20.0, 99.0].map(rate).into();
        assert_eq!(rates, [100.0, 100.0, 150.0, 50.0, 50.0]);
    }
}
