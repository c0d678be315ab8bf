//! Built-in loads: recorded ones and simple shapes. `traces/README.md` names their sources and
//! licences.

use super::{Load, LoadError};

/// A built-in load. All of them are shapes: `--peak` sets their highest value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Trace {
    /// One day, eight to one between noon and night
    Day,
    /// Six hours, threefold for two of them
    Step,
    /// Six hours, three bursts of five minutes
    Spikes,
    /// Web requests to NASA around a launch, 12 and 13 July 1995, by the minute
    Nasa,
    /// Taxi passengers in New York in the week of a blizzard, from 24 January 2015, by the half
    /// hour
    Taxi,
    /// Tweets about a stock on the day of their largest burst, 2015, by five minutes
    Tweets,
    /// Requests to a code-completing model, 2023, an hour by 10 seconds, three times
    Completions,
}

impl Trace {
    /// All built-in loads.
    pub const ALL: [Self; 7] = [
        Self::Day,
        Self::Step,
        Self::Spikes,
        Self::Nasa,
        Self::Taxi,
        Self::Tweets,
        Self::Completions,
    ];

    /// Name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Step => "step",
            Self::Spikes => "spikes",
            Self::Nasa => "nasa",
            Self::Taxi => "taxi",
            Self::Tweets => "tweets",
            Self::Completions => "completions",
        }
    }

    /// The load, without a particular unit.
    pub fn load(self) -> Result<Load, LoadError> {
        let minutes = |n: u32| (0..=n).map(f64::from);
        match self {
            Self::Day => Load::evenly(
                60.0,
                minutes(1440).map(|minute| {
                    let angle = std::f64::consts::TAU * (minute - 180.0) / 1440.0;
                    400.0 + 3000.0 * (0.5 - 0.5 * angle.cos()).powf(1.5)
                }),
            ),
            Self::Step => Load::evenly(
                60.0,
                minutes(360).map(|minute| {
                    let is_high = (60.0..180.0).contains(&minute);
                    if is_high { 3200.0 } else { 1100.0 }
                }),
            ),
            Self::Spikes => Load::evenly(
                60.0,
                minutes(360).map(|minute| {
                    let is_high = [50.0, 150.0, 266.0]
                        .iter()
                        .any(|from| (*from..from + 5.0).contains(&minute));
                    if is_high { 3800.0 } else { 900.0 }
                }),
            ),
            Self::Nasa => recorded(60.0, include_str!("../traces/nasa.txt"), 1),
            Self::Taxi => recorded(1800.0, include_str!("../traces/taxi.txt"), 1),
            Self::Tweets => recorded(300.0, include_str!("../traces/tweets.txt"), 1),
            Self::Completions => recorded(10.0, include_str!("../traces/completions.txt"), 3),
        }
    }
}

/// Parses numbers at equal distances, from a file that begins with a comment.
fn recorded(step: f64, text: &str, times: usize) -> Result<Load, LoadError> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let numbers = lines.flat_map(str::split_whitespace);
    let numbers: Vec<f64> = numbers.filter_map(|number| number.parse().ok()).collect();
    let most = numbers.len() * times;
    Load::evenly(step, numbers.into_iter().cycle().take(most))
}
