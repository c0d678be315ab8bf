//! The catalogue: recorded loads that are built into the simulator.

use lagrange_core::simulate::plant::Parameters;
use lagrange_core::simulate::{LoadError, Trace};

use super::Scenario;
use super::catalogue::{about_even, cooperative};
use super::rates::{by_the_second, lines};

/// Number of half hours in two days.
const TWO_DAYS: usize = 96;
/// Share of the values of the bursty load that do not exceed its peak.
const QUANTILE: f64 = 0.995;

/// How a recording becomes a load.
struct Recorded {
    trace: Trace,
    /// Seconds between two of its values.
    step: f64,
    /// Number of values to skip, and number to take.
    part: (usize, usize),
    peak: f64,
    least: f64,
}

/// The scenario of this name, if there is one.
pub(super) fn scenario_named(name: &str) -> Result<Option<Scenario>, LoadError> {
    let noise = |noise, parameters| Parameters {
        noise,
        ..parameters
    };
    let (why, recorded, parameters) = match name {
        "nasa" => (
            "requests to a web server around a launch, by the minute",
            Recorded {
                trace: Trace::Nasa,
                step: 60.0,
                part: (0, usize::MAX),
                peak: 3900.0,
                least: 20.0,
            },
            noise(0.03, cooperative(4)),
        ),
        "taxi" => (
            "taxi passengers in a blizzard, by the half hour",
            Recorded {
                trace: Trace::Taxi,
                step: 1800.0,
                part: (TWO_DAYS, TWO_DAYS),
                peak: 3600.0,
                least: 10.0,
            },
            noise(0.04, about_even(6)),
        ),
        "aapl" => (
            "tweets about a stock around their largest burst, by five minutes",
            Recorded {
                trace: Trace::Tweets,
                step: 300.0,
                part: (0, usize::MAX),
                peak: 4000.0,
                least: 10.0,
            },
            noise(0.05, cooperative(3)),
        ),
        "azurellm" => return bursts(name, noise(0.02, cooperative(6))).map(Some),
        _ => return Ok(None),
    };
    let (skipped, taken) = recorded.part;
    let values = recorded.trace.load()?.totals().into_iter();
    let values: Vec<f64> = values
        .skip(skipped)
        .take(taken)
        .map(|(_, value)| value)
        .collect();
    let highest = values.iter().copied().fold(0.0, f64::max);
    let rate = |value: &f64| (value * recorded.peak / highest).max(recorded.least);
    let points: Vec<(f64, f64)> = (0_u32..)
        .zip(&values)
        .map(|(place, value)| (f64::from(place) * recorded.step, rate(value)))
        .collect();
    let end = points.last().map_or(0.0, |(t, _)| t + recorded.step);
    found(name, why, parameters, 60, end, lines(points)).map(Some)
}

/// The bursty load: steps of ten seconds; an hour, three times.
fn bursts(name: &str, parameters: Parameters) -> Result<Scenario, LoadError> {
    let values = Trace::Completions.load()?.totals().into_iter();
    let values: Vec<f64> = values.map(|(_, value)| value).collect();
    let mut sorted = values.clone();
    sorted.sort_by(f64::total_cmp);
    // The load repeats the recording three times, so each of its values occurs three times.
    let length = u32::try_from(values.len()).unwrap_or(0);
    let below = (0..length).take_while(|n| f64::from(*n) + 1.0 <= QUANTILE * f64::from(length));
    let peak = sorted.get(below.count()).copied().unwrap_or(1.0);
    let rate = |t: f64| {
        let place = (0..length).rfind(|place| f64::from(*place) * 10.0 <= t);
        let place = usize::try_from(place.unwrap_or(0)).unwrap_or(0);
        values.get(place).copied().unwrap_or(0.0) * 4000.0 / peak
    };
    let end = f64::from(length) * 10.0;
    found(
        name,
        "requests to a code-completing model, in bursts of ten seconds, and 120 s",
        parameters,
        120,
        end,
        rate,
    )
}

fn found(
    name: &str,
    why: &str,
    parameters: Parameters,
    objective: i64,
    end: f64,
    rate: impl Fn(f64) -> f64,
) -> Result<Scenario, LoadError> {
    let seconds = (0_i64..)
        .zip((0_u32..).map(f64::from))
        .take_while(|(_, t)| *t < end);
    let length = seconds.last().map_or(0, |(t, _)| t + 1);
    Ok(Scenario {
        name: name.to_owned(),
        why: why.to_owned(),
        parameters,
        objective,
        load: by_the_second(length, rate)?,
    })
}
