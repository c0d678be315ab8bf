//! Laws: what looks at the plant and says how many replicas there should be. Lagrange's own is the
//! operator's code; the others are written from what their makers document, to be compared with.

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

/// What a law answers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// Replicas to scale to; nothing: leave them.
    pub replicas: Option<i32>,
    /// Why, where the law says so.
    pub reason: Option<Reason>,
}

/// Why Lagrange does what it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// One of a bounded set, as in the status.
    pub name: String,
    /// The steps with their numbers.
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

/// Sizes a group.
pub trait Autoscaler: Send {
    /// How often it looks, in seconds.
    fn interval(&self) -> i64;
    /// Decides on what it sees.
    fn decide(&mut self, view: GroupView) -> Answer;
    /// Its process ends, and another one goes on from what was kept.
    fn restart(&mut self) {}
}

/// What the laws are told of the group.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// `minReplicas`.
    pub min: i32,
    /// `maxReplicas`.
    pub max: Option<i32>,
    /// Partitions at the start.
    pub partitions: i32,
    /// Most replicas that can be given a partition, at the end.
    pub limit: i32,
    /// The largest count worth having that the bounds allow.
    pub largest_aligned: i32,
}

impl Bounds {
    /// Most replicas: `maxReplicas`, or what can be given a partition.
    fn most(&self) -> i32 {
        self.max.unwrap_or(self.partitions).max(self.least())
    }

    /// Fewest replicas that an HPA keeps.
    fn least(&self) -> i32 {
        self.min.max(1)
    }
}

/// A law to compare with, as it is written: `keda=lagThreshold:100`.
#[derive(Debug, Clone, PartialEq)]
pub struct Baseline {
    /// As it was written.
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

/// The laws that there are, for messages.
const KNOWN: &str =
    "keda=lagThreshold:100, hpa-cpu=70, static=6, static=max, flink, kpa, numaflow, clairvoyant";

/// A comparison that makes no sense. The text says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadBaseline {
    /// No such law.
    #[error("{0}: no such law; there are {KNOWN}")]
    Unknown(String),
    /// Options before any law.
    #[error("{0}: an option belongs after its law, as in keda=lagThreshold:100,cooldownPeriod:300")]
    NoAutoscaler(String),
    /// No such option, or a value that makes no sense.
    #[error("{autoscaler}: {problem}")]
    Option {
        /// Of which law.
        autoscaler: String,
        /// What, and what to write instead.
        problem: String,
    },
}

impl Baseline {
    /// Reads a list: `keda=lagThreshold:100,hpa-cpu=70,static=6`. What has a colon and no equals
    /// sign goes on with the options of the law before it.
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
        // Each is made once, so that a slip is told before anything runs.
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

    /// Whether it is the plan that knows the load: made for one course, not for a group.
    pub(super) fn is_clairvoyant(&self) -> bool {
        self.kind == Kind::Clairvoyant
    }

    /// The law, for a group with these bounds.
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

/// End offsets and commits of all partitions that are seen, and how many those are.
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
