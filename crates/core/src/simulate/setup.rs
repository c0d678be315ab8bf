//! Turns the user's input (manifest, load, plant, options) into a comparison that can be run.
//! Errors say what to write instead.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;

use kube::ResourceExt as _;
use regex::Regex;
use thiserror::Error;

use super::autoscaler::{Autoscaler, BadBaseline, Baseline, Bounds, Lagrange};
use super::clairvoyant;
use super::load::{Destination, Load, LoadError};
use super::number::{floor, nearest, real, replicas};
use super::plant::{InvalidParameter, Parameters};
use super::run::{Outcome, Simulation};
use crate::api::ConsumerGroup;
use crate::recording::BadLine;
use crate::scaling::SharedTuning;
use crate::scaling::limits::{self, PartitionLayout};
use crate::scaling::observation::Assignor;
use crate::text::{counted, span};

/// Share of their speed that the default replicas use at the start.
const USED_AT_START: f64 = 0.7;
/// Share of what all consumers can do that the peak of a built-in load takes.
const USED_AT_PEAK: f64 = 0.65;
/// Delay beyond which a record is late if the manifest sets no `maxDelay`, in seconds.
const OBJECTIVE: i64 = 60;
/// Partitions, and records per second of one consumer, for built-in loads.
const BUILT_IN: (u32, f64) = (24, 200.0);

/// The user's input.
#[derive(Debug)]
pub struct Setup {
    /// The group.
    pub manifest: ConsumerGroup,
    /// The load.
    pub load: Load,
    /// Whether the load is built in: a shape without a unit.
    pub built_in: bool,
    /// The plant, without what the other fields set.
    pub parameters: Parameters,
    /// Partitions of each topic without a number of its own.
    pub partitions: Option<u32>,
    /// Scales the load to this highest value, in records per second.
    pub peak: Option<f64>,
    /// Delay beyond which a record is late, in seconds.
    pub objective: Option<i64>,
    /// Interval of Lagrange's polls, in seconds.
    pub interval: i64,
    /// Interval at which the autoscalers are restarted, in seconds.
    pub restart_every: Option<i64>,
    /// Seed of the first run.
    pub seed: u64,
    /// Number of runs, each with the next seed.
    pub seeds: u64,
    /// Autoscalers to compare with.
    pub baselines: Vec<Baseline>,
    /// The parameters of Lagrange's decision.
    pub tuning: SharedTuning,
}

/// Why nothing can be run. The text says what to write instead.
#[derive(Debug, Error)]
pub enum SetupError {
    /// The operator would refuse this manifest.
    #[error("{0}")]
    Manifest(#[from] BadLine),
    /// The load cannot be used.
    #[error("load: {0}")]
    Load(#[from] LoadError),
    /// A parameter of the plant is out of range.
    #[error("plant: {0}")]
    Parameter(#[from] InvalidParameter),
    /// A baseline cannot be used.
    #[error("compare: {0}")]
    Baseline(#[from] BadBaseline),
    /// The number of partitions of a topic is missing.
    #[error(
        "how many partitions has topic {0}? write --partitions N, or --topic {0}=N (kafka-topics.sh --describe shows it)"
    )]
    Partitions(String),
    /// The load names a partition beyond those given.
    #[error(
        "the load has partition {number} of topic {topic}, which has {partitions}; write --topic {topic}={needs}"
    )]
    MorePartitions {
        /// Topic.
        topic: String,
        /// A partition of the load.
        number: u32,
        /// Partitions that were given.
        partitions: u32,
        /// Partitions that the load needs.
        needs: u32,
    },
    /// The rate of a consumer is missing.
    #[error(
        "how many records per second can one consumer do? write --consumer-rate N: its rate while it had a backlog (docs/simulate.md, \"The consumer's rate\")"
    )]
    ConsumerRate,
}

/// A comparison that can be run.
#[derive(Debug)]
pub struct Comparison {
    /// Name of the group.
    pub group: String,
    /// The load.
    pub load: Load,
    /// The plant.
    pub parameters: Parameters,
    /// Consumers in one replica.
    pub threads: i32,
    /// Replicas at the start.
    pub replicas: i32,
    /// Delay beyond which a record is late, in seconds.
    pub objective: i64,
    /// Whether `objective` is the manifest's `maxDelay`.
    pub is_promised: bool,
    /// Seed of the first run.
    pub seed: u64,
    /// Number of runs, each with the next seed.
    pub seeds: u64,
    /// Notes for the user on how the input was interpreted.
    pub notes: Vec<String>,
    manifest: ConsumerGroup,
    interval: i64,
    restart_every: Option<i64>,
    baselines: Vec<Baseline>,
    tuning: SharedTuning,
}

impl Setup {
    /// Checks the input and fills in the defaults.
    pub fn fit(mut self) -> Result<Comparison, SetupError> {
        // Returns the error that the operator would report.
        Lagrange::new(&self.manifest, self.interval)?;
        let mut notes = Vec::new();
        self.name_topics(&mut notes)?;
        if self.parameters.consumer_rate <= 0.0 {
            if !self.built_in {
                return Err(SetupError::ConsumerRate);
            }
            self.parameters.consumer_rate = BUILT_IN.1;
        }
        let parameters = self.parameters.checked()?;
        let spec = &self.manifest.spec;
        let threads = spec.threads_per_replica;
        let bounds = bounds(&parameters, spec.min_replicas, spec.max_replicas, threads);
        let all = parameters.consumer_rate * f64::from(bounds.largest_aligned) * f64::from(threads);
        let natural = USED_AT_PEAK * all;
        let load = match (self.peak, self.built_in) {
            (Some(peak), _) => self.load.with_peak(peak),
            (None, true) => self.load.with_peak(natural),
            (None, false) => self.load,
        };
        notes.extend(load.holes().iter().map(|(from, length)| {
            format!(
                "the load has no points for {}, {} after its start: bridged with a straight line",
                span(floor(*length)),
                span(floor(*from))
            )
        }));
        let first = load.totals().first().map_or(0.0, |(_, rate)| *rate);
        let per_replica = parameters.consumer_rate * f64::from(threads) * USED_AT_START;
        let replicas = parameters.initial_replicas.unwrap_or_else(|| {
            replicas(first / per_replica)
                .max(spec.min_replicas.max(1))
                .min(bounds.largest_aligned)
        });
        let promised = spec.objective.max_delay;
        let promised = promised.map(|d| i64::try_from(d.as_millis() / 1000).unwrap_or(i64::MAX));
        Ok(Comparison {
            group: self.manifest.name_any(),
            threads,
            replicas,
            objective: self.objective.or(promised).unwrap_or(OBJECTIVE),
            is_promised: promised.is_some() && self.objective.is_none(),
            seed: self.seed,
            seeds: self.seeds.max(1),
            notes,
            interval: self.interval,
            restart_every: self.restart_every,
            baselines: self.baselines,
            tuning: self.tuning,
            manifest: self.manifest,
            load,
            parameters,
        })
    }

    /// Determines the topics and their partitions: from options and plant file, else from the
    /// manifest, else from the load.
    fn name_topics(&mut self, notes: &mut Vec<String>) -> Result<(), SetupError> {
        let given: Vec<String> = self.parameters.topics.keys().cloned().collect();
        let listed = self.manifest.spec.topics.clone().unwrap_or_default();
        let known = [given, listed].into_iter().find(|names| !names.is_empty());
        let load = std::mem::replace(
            &mut self.load,
            Load {
                origin: 0.0,
                length: 0,
                series: Vec::new(),
            },
        );
        let pattern = self.manifest.spec.topic_pattern.as_deref();
        let pattern = pattern.and_then(|pattern| Regex::new(&format!("^(?:{pattern})$")).ok());
        let only = load.only_name().map(ToOwned::to_owned);
        let mut load = load.named(known.as_deref())?;
        let is_read = |topic: &str| match (&known, &pattern) {
            (Some(known), _) => known.iter().any(|name| name == topic),
            (None, Some(pattern)) => pattern.is_match(topic),
            (None, None) => true,
        };
        let is_for_all =
            matches!(load.series.as_slice(), [one] if one.to == Destination::Everywhere);
        if let Some(name) = only.filter(|name| is_for_all && !is_read(name) && !is_measure(name)) {
            notes.push(format!(
                "the load's only column is called {name}, which is no topic of the group: taken for the load of all its topics"
            ));
        }
        let left_out = load.keep(is_read);
        if left_out > 0 {
            let series = counted(left_out, "series is of a topic", "series are of topics");
            notes.push(format!("{series} that the group does not read: left out"));
        }
        if load.series.is_empty() {
            return Err(LoadError::Name(
                "all of it is of topics that the group does not read; name the topics of the manifest in the query".to_owned(),
            )
            .into());
        }
        let loaded = load.topics();
        self.load = load;
        let names = known.unwrap_or_else(|| {
            let named: Vec<String> = loaded.keys().cloned().collect();
            if named.is_empty() {
                vec![self.manifest.name_any()]
            } else {
                named
            }
        });
        let mut topics = BTreeMap::new();
        for name in names {
            let in_load = loaded.get(&name).copied().unwrap_or(0);
            let given = self.parameters.topics.get(&name).copied();
            let fallback = self.built_in.then_some(BUILT_IN.0);
            let count = given
                .or(self.partitions)
                .or((in_load > 0).then_some(in_load))
                .or(fallback)
                .ok_or_else(|| SetupError::Partitions(name.clone()))?;
            let added = self.parameters.expansions.iter();
            let added = added.filter(|e| e.topic == name).map(|e| e.partitions);
            let most = added.fold(count, u32::max);
            if in_load > most {
                return Err(SetupError::MorePartitions {
                    number: in_load - 1,
                    partitions: most,
                    needs: in_load,
                    topic: name,
                });
            }
            topics.insert(name, count);
        }
        self.parameters.topics = topics;
        Ok(())
    }
}

/// Whether the name of a column says what is measured, and not which topic.
fn is_measure(name: &str) -> bool {
    const WORDS: [&str; 7] = [
        "rate",
        "load",
        "value",
        "records",
        "messages",
        "throughput",
        "total",
    ];
    let name = name.to_lowercase();
    let word = name.split(|c: char| !c.is_ascii_alphanumeric()).next();
    word.is_some_and(|word| WORDS.contains(&word))
}

fn bounds(parameters: &Parameters, min: i32, max: Option<i32>, threads: i32) -> Bounds {
    let whole = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    let topics = parameters.topics.keys();
    let at_the_end = topics.map(|topic| whole(parameters.partitions_of(topic)));
    let assignor = Assignor::named(parameters.assignor.as_str());
    let layout = PartitionLayout::new(at_the_end, Some(assignor), threads);
    let sizes = limits::Bounds::new(&layout, min, max);
    Bounds {
        min,
        max,
        partitions: whole(parameters.topics.values().sum()),
        limit: layout.limit(),
        largest_aligned: sizes.map_or(1, |sizes| sizes.ceiling),
    }
}

impl Comparison {
    /// Runs Lagrange and all baselines, independently, with each seed. Calls `passed`, from any
    /// thread, with the number of seconds of [`Self::work`] done since the last call.
    pub fn run(&self, passed: &(dyn Fn(i64) + Sync)) -> Result<Vec<Outcome>, SetupError> {
        let autoscalers = 1 + self.baselines.len();
        // Errors show up before anything runs, so no run can fail.
        for autoscaler in 0..autoscalers {
            self.autoscaler(autoscaler)?;
        }
        let jobs: Vec<(usize, u64)> = (0..self.seeds)
            .flat_map(|run| {
                (0..autoscalers).map(move |autoscaler| (autoscaler, self.seed.wrapping_add(run)))
            })
            .collect();
        let next = AtomicUsize::new(0);
        let work = || {
            let mut done = Vec::new();
            while let Some(&(autoscaler, seed)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                let mut outcome = self.outcome(autoscaler, seed, passed)?;
                if seed != self.seed {
                    outcome.actions = Vec::new();
                    outcome.series = Vec::new();
                }
                done.push((autoscaler, seed, outcome));
            }
            Ok::<_, SetupError>(done)
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let done: Result<Vec<_>, SetupError> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads.min(jobs.len()))
                .map(|_| scope.spawn(work))
                .collect();
            let ended = workers.into_iter().map(ScopedJoinHandle::join);
            ended
                .map(|run| run.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        let mut done: Vec<_> = done?.into_iter().flatten().collect();
        done.sort_by_key(|(autoscaler, seed, _)| (seed.wrapping_sub(self.seed), *autoscaler));
        let mut outcomes: Vec<Outcome> = Vec::new();
        for (autoscaler, _, outcome) in done {
            match outcomes.get_mut(autoscaler) {
                Some(first) => first.scores.extend(outcome.scores),
                None => outcomes.push(outcome),
            }
        }
        Ok(outcomes)
    }

    /// Seconds of load of all runs together.
    pub fn work(&self) -> i64 {
        let runs = u64::try_from(1 + self.baselines.len()).unwrap_or(u64::MAX);
        let runs = i64::try_from(runs.saturating_mul(self.seeds)).unwrap_or(i64::MAX);
        self.load.length.saturating_mul(runs)
    }

    /// The run of one autoscaler with one seed.
    fn outcome(
        &self,
        autoscaler: usize,
        seed: u64,
        passed: &(dyn Fn(i64) + Sync),
    ) -> Result<Outcome, SetupError> {
        let baseline = autoscaler
            .checked_sub(1)
            .and_then(|place| self.baselines.get(place));
        if let Some(baseline) = baseline.filter(|baseline| baseline.is_clairvoyant()) {
            let best = clairvoyant::best(&self.simulation(seed), &self.bounds(), &baseline.name);
            passed(self.load.length);
            return Ok(best);
        }
        let (name, mut made) = self.autoscaler(autoscaler)?;
        Ok(self.simulation(seed).run(&name, made.as_mut(), passed))
    }

    /// Runs one of the baselines, with the first seed.
    pub fn run_baseline(&self, place: usize) -> Result<Outcome, SetupError> {
        self.outcome(place + 1, self.seed, &|_| ())
    }

    /// Lagrange with the settings of the manifest.
    pub fn lagrange(&self) -> Result<Box<dyn Autoscaler>, SetupError> {
        Ok(self.autoscaler(0)?.1)
    }

    /// Runs an autoscaler of the caller, with the first seed.
    pub fn run_autoscaler(&self, name: &str, autoscaler: &mut dyn Autoscaler) -> Outcome {
        self.simulation(self.seed).run(name, autoscaler, &|_| ())
    }

    /// An autoscaler and its name: Lagrange is at place 0, the baselines follow.
    fn autoscaler(&self, place: usize) -> Result<(String, Box<dyn Autoscaler>), SetupError> {
        let Some(baseline) = place
            .checked_sub(1)
            .and_then(|place| self.baselines.get(place))
        else {
            let lagrange = Lagrange::new(&self.manifest, self.interval)?.tuned(&self.tuning);
            return Ok(("lagrange".to_owned(), Box::new(lagrange)));
        };
        Ok((baseline.name.clone(), baseline.autoscaler(&self.bounds())?))
    }

    fn bounds(&self) -> Bounds {
        let spec = &self.manifest.spec;
        let (min, max) = (spec.min_replicas, spec.max_replicas);
        bounds(&self.parameters, min, max, self.threads)
    }

    fn simulation(&self, seed: u64) -> Simulation<'_> {
        Simulation {
            parameters: &self.parameters,
            load: &self.load,
            threads: self.threads,
            replicas: self.replicas,
            objective: self.objective,
            seed,
            restart_every: self.restart_every,
        }
    }

    /// Length of the load in seconds.
    pub fn seconds(&self) -> f64 {
        real(self.load.length)
    }

    /// Partitions at the start.
    pub fn partitions(&self) -> u32 {
        self.parameters.topics.values().sum()
    }

    /// The load's highest value.
    pub fn peak(&self) -> i64 {
        let totals = self.load.totals();
        nearest(totals.iter().map(|(_, rate)| *rate).fold(0.0, f64::max))
    }
}
