//! Drawn scenarios: all that the catalogue sets is drawn at random. A number always gives the same
//! scenario, because records cite the numbers.

use std::collections::BTreeMap;
use std::f64::consts::TAU;

use lagrange_core::simulate::LoadError;
use lagrange_core::simulate::plant::parameters::{Downstream, Speed, Stuck};
use lagrange_core::simulate::plant::{Assignor, Parameters};

use super::rates::{by_the_second, even, lines, zipf};
use super::{HOUR, Scenario, base};
use crate::mersenne::Random;

/// Length of each in seconds.
const LENGTH: i64 = 5 * HOUR;
/// The same, as the type that is drawn.
const END: u32 = 18_000;
/// The largest of uneven partitions takes at most this share of one consumer.
const LARGEST: f64 = 0.75;

/// A load over time.
type Rate = Box<dyn Fn(f64) -> f64>;

/// The scenario with this number. The draws and their order must not change, so that it stays the
/// same.
pub(super) fn scenario(number: u32) -> Result<Scenario, LoadError> {
    let g = &mut Random::new(number.wrapping_mul(9973).wrapping_add(41));
    let partitions = g.choice([6, 8, 12, 16, 17, 18, 20, 24, 30, 32, 36, 48_u32]);
    let consumer_rate = g.choice([40.0, 90.0, 200.0, 450.0, 1200.0]);
    let assignor = g.choice([
        Assignor::Range,
        Assignor::Range,
        Assignor::RoundRobin,
        Assignor::CooperativeSticky,
        Assignor::CooperativeSticky,
        Assignor::Uniform,
    ]);
    let objective = g.choice([30, 60, 60, 60, 120, 300]);
    let start_seconds = g.choice([
        (8.0, 12.0, 20.0),
        (20.0, 30.0, 60.0),
        (20.0, 30.0, 60.0),
        (40.0, 60.0, 110.0),
    ]);
    let peak = g.between(0.45, 0.8) * f64::from(partitions) * consumer_rate;
    let low = peak * g.between(0.08, 0.5);
    let kind = g.choice([
        "step",
        "ramp",
        "spikes",
        "sine",
        "walk",
        "square",
        "saw",
        "backlogish",
    ]);
    let rate = load(kind, peak, low, g);
    let skew = g.choice([0.0, 0.0, 0.0, 0.3, 0.6]);
    let of_u = if g.unit() < 0.2 {
        (partitions / 3).max(2)
    } else {
        0
    };
    let weights = if skew > 0.0 {
        zipf(partitions, skew, g)
    } else {
        even(partitions, g)
    };
    let sum: f64 = weights.iter().sum();
    let largest = weights.iter().copied().fold(0.0, f64::max) / sum;
    // No uneven partition gets more than a consumer can do.
    let factor = if skew > 0.0 {
        (LARGEST * consumer_rate / (peak * largest)).min(1.0)
    } else {
        1.0
    };
    let share = g.between(0.2, 0.7);
    let initial = (0..partitions).rfind(|n| f64::from(*n) <= f64::from(partitions) * share);
    let initial = i32::try_from(initial.unwrap_or(0)).unwrap_or(1).max(1);
    let mut parameters = Parameters {
        assignor,
        consumer_rate,
        start_seconds,
        leaves_group: g.unit() > 0.15,
        failed_polls: g.choice([0.0, 0.0, 0.03]),
        commit_interval_seconds: g.choice([1, 5, 5, 5, 10]),
        contention: g.choice([0.0, 0.0, 0.0, 0.01]),
        ..base(topics(weights, of_u), initial)
    };
    faults(&mut parameters, peak, g);
    parameters.noise = g.choice([0.03, 0.06, 0.15]);
    Ok(Scenario {
        name: format!("rnd{number}"),
        why: format!(
            "{kind}, {partitions} partitions under {}, {consumer_rate} records/s, {objective} s, skew {skew}",
            assignor.as_str()
        ),
        parameters,
        objective,
        load: by_the_second(LENGTH, |t| rate(t) * factor)?,
    })
}

/// Splits the weights into one or two topics.
fn topics(mut weights: Vec<f64>, of_u: u32) -> BTreeMap<String, Vec<f64>> {
    let of_u = usize::try_from(of_u).unwrap_or(0);
    let others = weights.split_off(weights.len().saturating_sub(of_u));
    let all = [("t".to_owned(), weights), ("u".to_owned(), others)];
    all.into_iter()
        .filter(|(_, weights)| !weights.is_empty())
        .collect()
}

fn faults(parameters: &mut Parameters, peak: f64, g: &mut Random) {
    if g.unit() < 0.12 {
        let at = g.whole(3000, 9000);
        let change = |at, rate| Downstream { at, rate };
        parameters.downstream = vec![change(at, Some(peak * 0.4)), change(at + 3000, None)];
    }
    if g.unit() < 0.12 {
        parameters.speed = vec![Speed {
            at: g.whole(3000, 9000),
            factor: g.between(0.6, 1.4),
        }];
    }
    if g.unit() < 0.1 {
        let all = parameters.topics.values().sum();
        let place = g.below(all);
        let first = parameters.topics.get("t").copied().unwrap_or(all);
        let (topic, partition) = match place.checked_sub(first) {
            None => ("t", place),
            Some(partition) => ("u", partition),
        };
        parameters.stuck = vec![Stuck {
            topic: topic.to_owned(),
            partition,
            from: 4000,
            to: 12_000,
        }];
    }
}

fn load(kind: &str, peak: f64, low: f64, g: &mut Random) -> Rate {
    match kind {
        "step" => Box::new(lines(steps(peak, low, g))),
        "ramp" => Box::new(lines(ramps(peak, low, g))),
        "spikes" => {
            let spikes = g.whole(2, 8);
            let mut starts: Vec<i64> = (0..spikes).map(|_| g.whole(600, END - 600)).collect();
            starts.sort_unstable();
            let spikes: Vec<(f64, f64)> = starts
                .into_iter()
                .map(|start| (seconds(start), seconds(start + g.whole(60, 700))))
                .collect();
            Box::new(move |t| {
                let is_high = spikes.iter().any(|(from, to)| (*from..*to).contains(&t));
                if is_high { peak } else { low }
            })
        }
        "sine" => {
            let (period, phase) = (g.between(2400.0, 10_800.0), g.between(0.0, 6.0));
            Box::new(move |t| low + (peak - low) * (0.5 + 0.5 * (phase + TAU * t / period).sin()))
        }
        "square" => {
            let half = seconds(g.whole(500, 5000));
            Box::new(move |t| if t % (2.0 * half) >= half { peak } else { low })
        }
        "saw" => {
            let period = seconds(g.whole(1200, 5000));
            Box::new(move |t| low + (peak - low) * (t % period / period))
        }
        "backlogish" => {
            let from = seconds(g.whole(1800, 7000));
            Box::new(move |t| {
                let is_high = (from..from + 900.0).contains(&t);
                if is_high { peak * 1.6 } else { low }
            })
        }
        _ => Box::new(lines(walk(peak, low, g))),
    }
}

/// A drawn time as a float; drawn numbers are small.
fn seconds(t: i64) -> f64 {
    f64::from(i32::try_from(t).unwrap_or(i32::MAX))
}

fn level(is_high: bool, peak: f64, low: f64, g: &mut Random) -> f64 {
    if is_high {
        peak * g.between(0.7, 1.0)
    } else {
        low * g.between(0.8, 1.3)
    }
}

fn steps(peak: f64, low: f64, g: &mut Random) -> Vec<(f64, f64)> {
    let (mut points, mut t, mut is_high, mut rate) = (vec![(0.0, low)], 0, false, low);
    while t < LENGTH {
        t += g.whole(1500, 6000);
        is_high = !is_high;
        points.push((seconds(t), rate));
        rate = level(is_high, peak, low, g);
        points.push((seconds(t + 1), rate));
    }
    points
}

fn ramps(peak: f64, low: f64, g: &mut Random) -> Vec<(f64, f64)> {
    let (mut points, mut t, mut is_high, mut rate) = (vec![(0.0, low)], 0, false, low);
    while t < LENGTH {
        let takes = g.whole(600, 3600);
        t += g.whole(900, 3600);
        points.push((seconds(t), rate));
        is_high = !is_high;
        t += takes;
        rate = level(is_high, peak, low, g);
        points.push((seconds(t), rate));
    }
    points
}

fn walk(peak: f64, low: f64, g: &mut Random) -> Vec<(f64, f64)> {
    let (mut points, mut t, mut rate) = (Vec::new(), 0, low);
    while t <= LENGTH {
        points.push((seconds(t), rate));
        rate = (rate * g.gauss(0.0, 0.35).exp()).max(low * 0.5).min(peak);
        t += g.whole(200, 900);
    }
    points
}
