//! Autoscalers: they poll the plant and answer with a replica count. Lagrange runs the operator's
//! code; the baselines are written from the documentation of their makers.

mod cpu;
mod fixed;
mod flink;
mod hpa;
mod keda;
mod kpa;
mod lagrange;
mod numaflow;
mod options;
mod plan;

use thiserror::Error;

pub(super) use self::lagrange::Lagrange;
use self::options::Options;
pub(super) use self::plan::Plan;
use super::plant::GroupView;

/// The answer of an autoscaler.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// Replicas to scale to; `None` leaves them.
    pub replicas: Option<i32>,
    /// The reason, if the autoscaler gives one.
    pub reason: Option<Reason>,
}

/// Why Lagrange decided so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The reason, one of a fixed set, as in the status.
    pub name: String,
    /// The steps of the decision, with their numbers.
    pub trail: String,
}

impl Answer {
    fn replicas(replicas: Option<i32>) -> Self {
        Self {
            replicas,
            reason: None,
        }
    }
}

/// Decides on the replicas of a group.
pub trait Autoscaler: Send {
    /// Seconds between two polls.
    fn interval(&self) -> i64;
    /// Decides on what a poll shows.
    fn decide(&mut self, view: GroupView) -> Answer;
    /// Restarts the process: only what is stored survives.
    fn restart(&mut self) {}
}

/// What an autoscaler knows of its group in advance.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// `minReplicas`.
    pub min: i32,
    /// `maxReplicas`.
    pub max: Option<i32>,
    /// Partitions at the start.
    pub partitions: i32,
    /// The partition limit, with the partitions at the end.
    pub limit: i32,
    /// The largest aligned size within the bounds.
    pub largest_aligned: i32,
}

impl Bounds {
    /// Maximum of the replicas: `maxReplicas`, or the number of partitions.
    fn most(&self) -> i32 {
        self.max.unwrap_or(self.partitions).max(self.least())
    }

    /// Minimum of the replicas of an HPA.
    fn least(&self) -> i32 {
        self.min.max(1)
    }
}

/// A baseline as written on the command line: `keda=lagThreshold:100`.
#[derive(Debug, Clone, PartialEq)]
pub struct Baseline {
    /// The text on the command line.
    pub name: String,
    kind: Kind,
    options: Options,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Clairvoyant,
    Keda,
    Cpu,
    Fixed,
    Flink,
    Kpa,
    Numaflow,
}

/// All baselines, for messages.
const KNOWN: &str =
    "keda=lagThreshold:100, hpa-cpu=70, static=6, static=max, flink, kpa, numaflow, clairvoyant";

/// A baseline that cannot be used. The text says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadBaseline {
    /// No such baseline.
    #[error("{0}: no such autoscaler; there are {KNOWN}")]
    Unknown(String),
    /// An option before any baseline.
    #[error(
        "{0}: an option belongs after its autoscaler, as in keda=lagThreshold:100,cooldownPeriod:300"
    )]
    NoAutoscaler(String),
    /// No such option, or a value out of range.
    #[error("{autoscaler}: {problem}")]
    Option {
        /// The baseline with the option.
        autoscaler: String,
        /// The problem, and what to write instead.
        problem: String,
    },
}

impl Baseline {
    /// Parses a list: `keda=lagThreshold:100,hpa-cpu=70,static=6`. A word with a colon and no
    /// equals sign is another option of the baseline before it.
    pub fn list(text: &str) -> Result<Vec<Self>, BadBaseline> {
        let mut baselines: Vec<Self> = Vec::new();
        for word in text.split(',').map(str::trim).filter(|w| !w.is_empty()) {
            if word.contains(':') && !word.contains('=') {
                let Some(baseline) = baselines.last_mut() else {
                    return Err(BadBaseline::NoAutoscaler(word.to_owned()));
                };
                baseline.name = format!("{},{word}", baseline.name);
                baseline.options.add(word);
                continue;
            }
            let (autoscaler, option) = word.split_once('=').unwrap_or((word, ""));
            let kind = match autoscaler {
                "clairvoyant" => Kind::Clairvoyant,
                "keda" => Kind::Keda,
                "hpa-cpu" => Kind::Cpu,
                "static" => Kind::Fixed,
                "flink" => Kind::Flink,
                "kpa" => Kind::Kpa,
                "numaflow" => Kind::Numaflow,
                _ => return Err(BadBaseline::Unknown(word.to_owned())),
            };
            let mut options = Options::default();
            if !option.is_empty() {
                options.add(option);
            }
            baselines.push(Self {
                name: word.to_owned(),
                kind,
                options,
            });
        }
        // Builds each one once, so that a mistake is reported before anything runs.
        let any = Bounds {
            min: 1,
            max: None,
            partitions: 1,
            limit: 1,
            largest_aligned: 1,
        };
        for baseline in &baselines {
            baseline.autoscaler(&any)?;
        }
        Ok(baselines)
    }

    /// Whether it is the plan that knows the load. Such a plan is made for one run, not for a
    /// group.
    pub(super) fn is_clairvoyant(&self) -> bool {
        self.kind == Kind::Clairvoyant
    }

    /// The autoscaler for a group with these bounds.
    pub fn autoscaler(&self, bounds: &Bounds) -> Result<Box<dyn Autoscaler>, BadBaseline> {
        let made = match self.kind {
            Kind::Clairvoyant => plan::new(&self.options),
            Kind::Keda => keda::new(&self.options, bounds),
            Kind::Cpu => cpu::new(&self.options, bounds),
            Kind::Fixed => fixed::new(&self.options, bounds),
            Kind::Flink => flink::new(&self.options, bounds),
            Kind::Kpa => kpa::new(&self.options, bounds),
            Kind::Numaflow => numaflow::new(&self.options, bounds),
        };
        made.map_err(|problem| BadBaseline::Option {
            autoscaler: self.name.clone(),
            problem,
        })
    }
}

/// Sums of the end offsets and commits of all observed partitions, and the number of partitions.
fn totals(view: &GroupView) -> (f64, f64, i32) {
    let topics = view.line.topics.values();
    let partitions = topics.flat_map(|topic| topic.partitions.iter().flatten());
    partitions.fold((0.0, 0.0, 0), |(ends, commits, count), partition| {
        let end = partition.log_end.unwrap_or(0);
        let commit = Option::<i64>::from(partition.committed).unwrap_or(0);
        let (end, commit) = (super::number::real(end), super::number::real(commit));
        (ends + end, commits + commit, count + 1)
    })
}

#[cfg(test)]
mod tests;
