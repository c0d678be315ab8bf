//! A load: records per second over time, for a whole group, a topic or a partition. It comes from
//! CSV, from the answer of a range query, or is built in. The format of a file is detected from its
//! content.

mod csv;
mod prometheus;
pub(super) mod trace;

use std::collections::BTreeMap;

use thiserror::Error;

use super::number::floor;
use crate::text::span;

/// Minimum length of a load, in seconds.
const SHORTEST: f64 = 300.0;
/// Maximum length of a load, in seconds.
const LONGEST: f64 = 100.0 * 86_400.0;
/// Gaps of more than this number of steps are reported.
const HOLE: f64 = 5.0;

/// Records per second over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// Start: seconds since 1970, or from any origin if the load has no dates.
    pub origin: f64,
    /// Length in seconds.
    pub length: i64,
    /// Its series; they add up.
    pub series: Vec<Series>,
}

/// The load of one destination.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Destination of the records.
    pub to: Destination,
    /// Seconds from the start of the load and records per second; ascending in time, never empty.
    points: Vec<(f64, f64)>,
}

/// Destination of records.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Destination {
    /// All topics, shared by their partitions.
    Everywhere,
    /// A name that is not resolved yet: a topic, `topic/partition`, or the number of a partition.
    Named(String),
    /// One topic.
    Topic(String),
    /// One partition.
    Partition(String, u32),
}

/// Why a load cannot be used. The text says what to write instead.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum LoadError {
    /// A line of a CSV file cannot be used.
    #[error("line {line}: {problem}")]
    Line {
        /// Number of the line, from 1.
        line: usize,
        /// The problem, and what to write instead.
        problem: String,
    },
    /// The answer of Prometheus cannot be used.
    #[error("{0}")]
    Answer(String),
    /// The load is empty.
    #[error(
        "no load in it; write lines of time and records per second, such as 0,1500 and 60,1800, or give the JSON of a range query"
    )]
    Empty,
    /// Too short or too long.
    #[error("it lasts {}; give a load of 5 minutes to 100 days, times in seconds", span(*.0))]
    Length(i64),
    /// A name that matches no topic or partition.
    #[error("{0}")]
    Name(String),
}

impl Load {
    /// Parses `text`: CSV or the answer of a range query.
    pub fn parse(text: &str) -> Result<Self, LoadError> {
        let text = text.trim_start_matches('\u{feff}').trim();
        let columns = if text.starts_with(['{', '[']) {
            prometheus::parse(text)?
        } else {
            csv::parse(text)?
        };
        Self::of(columns)
    }

    /// A load of several series: the destination of each, and its times (ascending) and rates.
    pub fn of(columns: Vec<(Destination, Vec<(f64, f64)>)>) -> Result<Self, LoadError> {
        let columns = columns.into_iter().filter(|(_, points)| !points.is_empty());
        let columns: Vec<_> = columns.collect();
        let times = || columns.iter().flat_map(|(_, points)| points);
        let origin = times().map(|(t, _)| *t).fold(f64::INFINITY, f64::min);
        let end = times().map(|(t, _)| *t).fold(f64::NEG_INFINITY, f64::max);
        if columns.is_empty() {
            return Err(LoadError::Empty);
        }
        let length = end - origin;
        if !(SHORTEST..=LONGEST).contains(&length) {
            return Err(LoadError::Length(floor(length)));
        }
        let series = columns.into_iter().map(|(to, points)| Series {
            to,
            points: points.into_iter().map(|(t, r)| (t - origin, r)).collect(),
        });
        Ok(Self {
            origin,
            length: floor(length),
            series: series.collect(),
        })
    }

    /// A load of all topics, with points at equal distances.
    pub fn evenly(step: f64, rates: impl IntoIterator<Item = f64>) -> Result<Self, LoadError> {
        let times = (0_u32..).map(|place| f64::from(place) * step);
        let points = times.zip(rates).collect();
        Self::of(vec![(Destination::Everywhere, points)])
    }

    /// Whether its times are dates.
    pub fn is_dated(&self) -> bool {
        // 1e9 is the year 2001; seconds from another origin stay below it.
        self.origin > 1e9
    }

    /// Records per second of all series together, at the times of the series with the most points.
    pub fn totals(&self) -> Vec<(f64, f64)> {
        let longest = self.series.iter().max_by_key(|s| s.points.len());
        let times = longest.iter().flat_map(|series| &series.points);
        let mut readers: Vec<_> = self.series.iter().map(|s| self.reader(s)).collect();
        times
            .map(|(t, _)| (*t, readers.iter_mut().map(|r| r.rate(*t)).sum()))
            .collect()
    }

    /// The load, scaled so that its highest value is `peak` records per second.
    #[must_use]
    pub fn with_peak(mut self, peak: f64) -> Self {
        let highest = self.totals().iter().map(|(_, r)| *r).fold(0.0, f64::max);
        if highest > 0.0 {
            let points = self.series.iter_mut().flat_map(|s| &mut s.points);
            points.for_each(|(_, rate)| *rate *= peak / highest);
        }
        self
    }

    /// A reader of one series, from its start.
    pub(super) fn reader<'a>(&self, series: &'a Series) -> Reader<'a> {
        let step = series.step();
        Reader {
            points: &series.points,
            edge: if self.series.len() > 1 {
                step
            } else {
                f64::INFINITY
            },
        }
    }

    /// Resolves names with the given topics; `None`: with any topic that the load names.
    pub fn named(mut self, topics: Option<&[String]>) -> Result<Self, LoadError> {
        let many = self.series.len() > 1;
        for series in &mut self.series {
            series.to = match std::mem::replace(&mut series.to, Destination::Everywhere) {
                Destination::Named(name) => destination(&name, topics, many)?,
                known => known,
            };
        }
        Ok(self)
    }

    /// The name of the only column, if it may be that of a topic.
    pub fn only_name(&self) -> Option<&str> {
        match self.series.as_slice() {
            [
                Series {
                    to: Destination::Named(name),
                    ..
                },
            ] => Some(name),
            _ => None,
        }
    }

    /// Topics that the load names, and the number of partitions that it names of each.
    pub fn topics(&self) -> BTreeMap<String, u32> {
        let mut topics = BTreeMap::new();
        for series in &self.series {
            let (topic, partitions) = match &series.to {
                Destination::Topic(topic) => (topic, 0),
                Destination::Partition(topic, number) => (topic, number.saturating_add(1)),
                Destination::Everywhere | Destination::Named(_) => continue,
            };
            let most: &mut u32 = topics.entry(topic.clone()).or_default();
            *most = partitions.max(*most);
        }
        topics
    }

    /// Removes series of topics that are not `read`, and returns their number.
    pub fn keep(&mut self, read: impl Fn(&str) -> bool) -> usize {
        let before = self.series.len();
        self.series.retain(|series| match &series.to {
            Destination::Topic(topic) | Destination::Partition(topic, _) => read(topic),
            Destination::Everywhere | Destination::Named(_) => true,
        });
        before - self.series.len()
    }

    /// Start and length, in seconds, of each gap that was bridged.
    pub fn holes(&self) -> Vec<(f64, f64)> {
        let [series] = self.series.as_slice() else {
            return Vec::new();
        };
        let step = series.step();
        let pairs = series.points.iter().zip(series.points.iter().skip(1));
        pairs
            .map(|((a, _), (b, _))| (*a, b - a))
            .filter(|(_, length)| *length > HOLE * step)
            .collect()
    }
}

impl Series {
    /// The usual distance between two points.
    fn step(&self) -> f64 {
        let pairs = self.points.iter().zip(self.points.iter().skip(1));
        let mut steps: Vec<f64> = pairs.map(|((a, _), (b, _))| b - a).collect();
        steps.sort_by(f64::total_cmp);
        steps.get(steps.len() / 2).copied().unwrap_or(0.0)
    }
}

/// Reads a series in order.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    points: &'a [(f64, f64)],
    /// Seconds beyond its first and last point for which the series still counts.
    edge: f64,
}

impl Reader<'_> {
    /// Records per second at `t`, interpolated between two points. `t` never goes back.
    pub(super) fn rate(&mut self, t: f64) -> f64 {
        while let [_, next, ..] = self.points
            && next.0 <= t
        {
            self.points = self.points.get(1..).unwrap_or_default();
        }
        match self.points {
            [(from, rate), ..] if t < *from => on(from - t <= self.edge, *rate),
            [before, after, ..] => {
                let passed = (t - before.0) / (after.0 - before.0);
                before.1 + (after.1 - before.1) * passed
            }
            [(last, rate)] => on(t - last <= self.edge, *rate),
            [] => 0.0,
        }
    }
}

fn on(is_on: bool, rate: f64) -> f64 {
    if is_on { rate } else { 0.0 }
}

/// The destination that a column name refers to.
fn destination(
    name: &str,
    topics: Option<&[String]>,
    many: bool,
) -> Result<Destination, LoadError> {
    let is_topic = |name: &str| topics.is_none_or(|topics| topics.iter().any(|t| t == name));
    if let Some((topic, number)) = name.rsplit_once('/')
        && let Ok(number) = number.parse()
        && is_topic(topic)
    {
        return Ok(Destination::Partition(topic.to_owned(), number));
    }
    if let (Some([topic]), Ok(number)) = (topics, name.parse()) {
        return Ok(Destination::Partition(topic.clone(), number));
    }
    if topics.is_some() && is_topic(name) {
        return Ok(Destination::Topic(name.to_owned()));
    }
    let is_partition = name
        .rsplit_once('/')
        .is_some_and(|(topic, number)| !topic.is_empty() && number.parse::<u32>().is_ok());
    match topics {
        // The only column is the load of all topics, whatever its name, unless it names a partition
        // of another topic.
        _ if !many && !is_partition => Ok(Destination::Everywhere),
        None => Ok(Destination::Topic(name.to_owned())),
        Some(topics) => Err(LoadError::Name(format!(
            "column {name}: name it after a topic ({}), or a partition ({}/0); or give --topic {name}=PARTITIONS",
            topics.join(", "),
            topics.first().map_or("topic", String::as_str),
        ))),
    }
}

#[cfg(test)]
mod tests;
