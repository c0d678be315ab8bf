//! `lagrange simulate`: runs a load through the operator's own code and other autoscalers. Reads
//! files and prints; the model itself is in [`lagrange_core::simulate`].

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, ValueEnum};
use jiff::SignedDuration;
use lagrange_core::scaling::SharedTuning;
use lagrange_core::scaling::tuning::InvalidTuning;
use lagrange_core::simulate::plant::{Assignor, Parameters};
use lagrange_core::simulate::{
    BadBaseline, Baseline, Load, LoadError, Setup, SetupError, Trace, report,
};
use thiserror::Error;

use super::manifest::{self, Unusable};
use super::progress::Progress;
use super::values::whole;

/// Columns if the output is not a terminal.
const WIDTH: usize = 100;

/// Simulate a load with these settings, and with other autoscalers
///
/// Runs a load through a model of topics, consumers and rebalances, second by second. The
/// operator's own code decides every 15 seconds, as it would in a cluster. --compare runs other
/// autoscalers over the same load. Prints what each one cost: time over the objective, replica
/// hours, rescales. docs/simulate.md describes what is modelled and what is not.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("input").required(true))]
pub(super) struct Simulate {
    /// ConsumerGroup to simulate, as YAML or JSON; other objects in the file are ignored
    #[arg(long, value_name = "FILE")]
    manifest: PathBuf,
    /// Load: CSV of time and records per second, or the JSON of a Prometheus range query; - reads
    /// standard input
    #[arg(long, value_name = "FILE", group = "input")]
    load: Option<PathBuf>,
    /// Built-in load
    #[arg(long, value_name = "NAME", value_enum, group = "input")]
    trace: Option<Trace>,
    /// Scales the load to this highest value, in records per second [built-in loads: 65 % of what
    /// all consumers can do]
    #[arg(long, value_name = "RATE", value_parser = above_zero)]
    peak: Option<f64>,
    /// Records per second that one consumer can do [built-in loads: 200]
    #[arg(long, value_name = "RATE", value_parser = above_zero, help_heading = PLANT)]
    consumer_rate: Option<f64>,
    /// Partitions of each topic of the manifest [default: as many as the load names; built-in
    /// loads: 24]
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=10_000), help_heading = PLANT)]
    partitions: Option<u32>,
    /// A topic and its partitions, instead of the manifest's topics; repeat for each topic
    #[arg(long, value_name = "NAME=N", value_parser = topic, help_heading = PLANT)]
    topic: Vec<(String, u32)>,
    /// Assignor of the consumers, which also decides how they rebalance [default: range]
    #[arg(long, value_enum, value_name = "NAME", hide_possible_values = true, help_heading = PLANT,
        long_help = "Assignor of the consumers, which also decides how they rebalance: range, roundrobin, sticky (all stop), cooperative-sticky, or uniform (KIP-848) [default: range]")]
    assignor: Option<Assignor>,
    /// Skew of the load over the partitions: exponent of Zipf's law; 0 is about even [default: 0]
    #[arg(long, value_name = "EXPONENT", value_parser = number, help_heading = PLANT)]
    skew: Option<f64>,
    /// Seconds from a pod's creation until it consumes: shortest, most likely, longest [default:
    /// 20,30,60]
    #[arg(long, value_name = "S,S,S", value_parser = three, help_heading = PLANT)]
    start_seconds: Option<(f64, f64, f64)>,
    /// Seconds between two commits of a consumer [default: 5]
    #[arg(long, value_name = "SECONDS", value_parser = whole::<i64>(1..=3_600), help_heading = PLANT)]
    commit_interval: Option<i64>,
    /// Replicas at the start [default: what the load at the start needs at 70 % of their speed]
    #[arg(long, value_name = "N", value_parser = whole::<i32>(0..=10_000), help_heading = PLANT)]
    initial_replicas: Option<i32>,
    /// Plant file, YAML or JSON, with any parameter of the model: faults, pauses, noise. Options
    /// take precedence over it
    #[arg(long, value_name = "FILE", help_heading = PLANT)]
    plant: Option<PathBuf>,
    /// Other autoscalers to run over the same load, such as
    /// keda=lagThreshold:100,hpa-cpu=70,static=6; also flink, kpa, numaflow, and clairvoyant, a
    /// plan that knows the load
    #[arg(long, value_name = "AUTOSCALERS", value_parser = baselines)]
    compare: Vec<Baselines>,
    /// Delay beyond which a record is late [default: the manifest's maxDelay, or 60s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    late_after: Option<Duration>,
    /// Time between two polls: the pollInterval of the cluster
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "15s")]
    poll_interval: Duration,
    /// Restarts the operator's process at this interval; it continues from the status
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    restart_every: Option<Duration>,
    /// Seed of all random numbers; the same seed gives the same output
    #[arg(long, value_name = "N", value_parser = whole::<u64>(0..=u64::MAX), default_value_t = 1)]
    seed: u64,
    /// Number of runs, each with the next seed: figures are their mean and range, everything else
    /// is of the first run
    #[arg(long, value_name = "N", value_parser = whole::<u64>(1..=1_000), default_value_t = 1)]
    seeds: u64,
    /// Overrides a parameter of the decision, such as surge.enabled=false; docs/reference/tuning.md
    /// lists them
    #[arg(long, value_name = "FIELD=VALUE", hide = true)]
    tuning: Vec<String>,
    /// Output format: a table with plots, JSON, CSV of every 15 seconds, or a picture
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

const PLANT: &str = "Model";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Csv,
    Svg,
}

/// The value of one `--compare`.
#[derive(Debug, Clone)]
struct Baselines(Vec<Baseline>);

/// Why the simulation could not run.
#[derive(Debug, Error)]
pub(super) enum Failed {
    /// A file that cannot be used.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// A load that cannot be used.
    #[error("{}: {source}", path.display())]
    Load {
        /// Path of the file.
        path: PathBuf,
        /// The cause.
        source: LoadError,
    },
    /// Parts that do not fit together.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// Parameters that contradict each other.
    #[error("--tuning: {0}")]
    Tuning(#[from] InvalidTuning),
    /// The output cannot be written.
    #[error("cannot write: {0}")]
    Write(io::Error),
}

impl Simulate {
    pub(super) fn run(&self) -> Result<(), Failed> {
        let comparison = self.setup()?.fit()?;
        for note in &comparison.notes {
            super::complain(note);
        }
        let progress = Progress::over(comparison.work());
        let outcomes = comparison.run(&|seconds| progress.passed(seconds))?;
        drop(progress);
        let text = match self.output {
            Format::Text => report::text(&comparison, &outcomes, width()),
            Format::Json => format!("{:#}\n", report::json(&comparison, &outcomes)),
            Format::Csv => report::csv(&comparison, &outcomes),
            Format::Svg => report::svg(&comparison, &outcomes),
        };
        match io::stdout().lock().write_all(text.as_bytes()) {
            // A reader that closed the pipe needs no message.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result.map_err(Failed::Write),
        }
    }

    fn setup(&self) -> Result<Setup, Failed> {
        let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        Ok(Setup {
            manifest: manifest::parsed(&self.manifest, manifest::group)?,
            load: self.load()?,
            built_in: self.trace.is_some(),
            parameters: self.parameters()?,
            partitions: self.partitions,
            peak: self.peak,
            objective: self.late_after.map(seconds),
            interval: seconds(self.poll_interval),
            restart_every: self.restart_every.map(seconds),
            seed: self.seed,
            seeds: self.seeds,
            baselines: self.compare.iter().flat_map(|r| r.0.clone()).collect(),
            tuning: SharedTuning::with(self.tuning.iter().map(String::as_str))?,
        })
    }

    fn load(&self) -> Result<Load, Failed> {
        let (path, load) = match (&self.load, self.trace) {
            (Some(path), _) if path.as_os_str() == "-" => {
                let text = io::read_to_string(io::stdin().lock());
                let path = PathBuf::from("standard input");
                let text = text.map_err(|source| Unusable::Read {
                    path: path.clone(),
                    source,
                })?;
                (path, Load::parse(&text))
            }
            (Some(path), _) => (path.clone(), Load::parse(&manifest::read(path)?)),
            (None, Some(trace)) => (PathBuf::from(trace.as_str()), trace.load()),
            (None, None) => (PathBuf::from("load"), Err(LoadError::Empty)),
        };
        load.map_err(|source| Failed::Load { path, source })
    }

    /// The plant file, overridden by the options.
    fn parameters(&self) -> Result<Parameters, Failed> {
        let mut parameters = match &self.plant {
            None => Parameters::default(),
            Some(path) => manifest::parsed(path, |text| {
                manifest::document(text).map_err(|problem| format!("not a plant: {problem}"))
            })?,
        };
        if !self.topic.is_empty() {
            parameters.topics = self.topic.iter().cloned().collect();
        }
        let p = &mut parameters;
        p.consumer_rate = self.consumer_rate.unwrap_or(p.consumer_rate);
        p.assignor = self.assignor.unwrap_or(p.assignor);
        p.skew = self.skew.unwrap_or(p.skew);
        p.start_seconds = self.start_seconds.unwrap_or(p.start_seconds);
        p.commit_interval_seconds = self.commit_interval.unwrap_or(p.commit_interval_seconds);
        p.initial_replicas = self.initial_replicas.or(p.initial_replicas);
        Ok(parameters)
    }
}

/// Width of the terminal.
fn width() -> usize {
    let is_terminal = io::stdout().is_terminal();
    let size = is_terminal.then(terminal_size::terminal_size).flatten();
    size.map_or(WIDTH, |(width, _)| width.0.into())
}

fn above_zero(text: &str) -> Result<f64, String> {
    let number = text.parse().ok();
    let number = number.filter(|n: &f64| *n > 0.0 && n.is_finite());
    number.ok_or_else(|| "write a number above 0, such as 200".to_owned())
}

fn number(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|n: &f64| n.is_finite());
    number.ok_or_else(|| "write a number such as 0.8".to_owned())
}

fn topic(text: &str) -> Result<(String, u32), String> {
    let pair = text.rsplit_once('=').and_then(|(name, partitions)| {
        let partitions: u32 = partitions.parse().ok()?;
        (!name.is_empty() && (1..=10_000).contains(&partitions))
            .then(|| (name.to_owned(), partitions))
    });
    pair.ok_or_else(|| "write a topic and its partitions, such as orders=24".to_owned())
}

fn three(text: &str) -> Result<(f64, f64, f64), String> {
    let seconds = |part: &str| part.trim().parse().ok().filter(|n: &f64| *n >= 0.0);
    let numbers: Option<Vec<f64>> = text.split(',').map(seconds).collect();
    match numbers.as_deref() {
        Some([least, mode, most]) => Ok((*least, *mode, *most)),
        _ => Err("write three numbers of seconds, 0 or more, such as 20,30,60".to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let read = text.parse::<SignedDuration>().ok();
    let read = read.and_then(|d| Duration::try_from(d).ok());
    read.filter(|d| (1..=86_400).contains(&d.as_secs()))
        .ok_or_else(|| "write a duration from 1s to 24h, such as 90s or 30m".to_owned())
}

fn baselines(text: &str) -> Result<Baselines, BadBaseline> {
    Baseline::list(text).map(Baselines)
}
