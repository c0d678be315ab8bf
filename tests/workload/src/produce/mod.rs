//! Writing records at a given rate: the flags, and the loop that sends and reports.
//!
//! `pace` computes how many records are due, `records` makes the next record.

mod pace;
mod records;
mod report;
mod sender;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;

use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::Output;
use crate::stop::{self, Stop};
use crate::units::{self, Weights};

use self::pace::{Pace, Profile, Shape};
use self::records::Records;
use self::report::{Interval, Summary};
use self::sender::Sender;

/// Interval of the loop. At 10,000 records per second it sends 100 at a time; a shorter interval
/// would only cost CPU.
const TICK: Duration = Duration::from_millis(10);

/// How long records in flight may take after the end.
const FLUSH: Duration = Duration::from_secs(5);

/// How long the end may take after SIGTERM; Kubernetes kills after 30 seconds by default.
const DEADLINE: Duration = Duration::from_secs(10);

/// Write records to a topic at a rate that is kept precisely.
///
/// The rate is kept over time, not from record to record: delayed records are sent later, except
/// those that were due longer ago than --catch-up, so that a broker that returns does not get a
/// flood. Those count as missed. Ends after --duration, after --records, at the last row of
/// --rates, or on SIGTERM, whichever comes first; then waits up to 5 seconds for the records in
/// flight. Exit code 1 if any record was not accepted.
#[derive(Debug, Args)]
pub(crate) struct ProduceArgs {
    #[command(flatten)]
    connection: Connection,

    /// The topic; it must exist
    #[arg(long, env = "WORKLOAD_TOPIC", value_name = "NAME")]
    topic: String,

    /// Records per second, such as 100, 0.5 or 100/s; 0 sends nothing
    #[arg(long, env = "WORKLOAD_RATE", value_name = "N/s", value_parser = units::rate, required_unless_present = "rates", conflicts_with = "rates")]
    rate: Option<f64>,

    /// A CSV file with the columns seconds,rate: from which second on, how many records per second
    ///
    /// The first row is for second 0, the header line may be left out. The last row is the end; if
    /// --duration is longer, its rate continues.
    #[arg(long, env = "WORKLOAD_RATES", value_name = "FILE")]
    rates: Option<PathBuf>,

    /// How the rate changes from one row of --rates to the next
    #[arg(long, env = "WORKLOAD_SHAPE", value_enum, default_value = "linear")]
    shape: Shape,

    /// How long to produce: 60s, 1m30s
    #[arg(long, env = "WORKLOAD_DURATION", value_name = "TIME", value_parser = units::duration)]
    duration: Option<Duration>,

    /// How many records to produce at most
    #[arg(long, env = "WORKLOAD_RECORDS", value_name = "N")]
    records: Option<u64>,

    /// Number of keys: key-0, key-1 and so on, equally likely; 0 for records without a key
    #[arg(long, env = "WORKLOAD_KEYS", value_name = "K", default_value_t = 1000)]
    keys: u64,

    /// The size of a record's value
    #[arg(
        long,
        env = "WORKLOAD_RECORD_BYTES",
        value_name = "BYTES",
        default_value_t = 100
    )]
    record_bytes: usize,

    /// Each partition's share, from partition 0 on: 5,1,1 sends 5 of 7 records to partition 0
    ///
    /// Other partitions get nothing. Without this flag the key selects the partition, as in Java
    /// clients.
    #[arg(long, env = "WORKLOAD_PARTITION_WEIGHTS", value_name = "N,...", value_parser = units::weights)]
    partition_weights: Option<Weights>,

    /// Seed of keys and partitions: the same seed gives the same records
    #[arg(long, env = "WORKLOAD_SEED", value_name = "N", default_value_t = 0)]
    seed: u64,

    /// How late a record may be sent; what was due longer ago is missed
    #[arg(long, env = "WORKLOAD_CATCH_UP", value_name = "TIME", default_value = "5s", value_parser = units::interval)]
    catch_up: Duration,

    /// How long to wait at the start for the brokers and the topic
    #[arg(long, env = "WORKLOAD_WAIT", value_name = "TIME", default_value = "30s", value_parser = units::duration)]
    wait: Duration,

    /// How often to print a report
    #[arg(long, env = "WORKLOAD_REPORT_INTERVAL", value_name = "TIME", default_value = "1s", value_parser = units::interval)]
    report_interval: Duration,

    /// Format of the reports
    #[arg(long, env = "WORKLOAD_OUTPUT", value_enum, default_value = "plain")]
    output: Output,
}

/// Runs the command until its end or a signal.
pub(crate) fn run(args: ProduceArgs) -> Result<(), Failure> {
    let profile = profile(&args)?;
    stop::drive(
        DEADLINE,
        move |stop| produce(&args, profile, &stop),
        std::future::pending(),
    )
}

fn profile(args: &ProduceArgs) -> Result<Profile, Failure> {
    let Some(path) = &args.rates else {
        return Ok(Profile::constant(args.rate.unwrap_or_default()));
    };
    let text = std::fs::read_to_string(path).map_err(|error| Failure::RatesFile {
        path: path.clone(),
        error,
    })?;
    Profile::from_csv(&text, args.shape).map_err(|what| Failure::Rates {
        path: path.clone(),
        what,
    })
}

fn produce(args: &ProduceArgs, profile: Profile, stop: &Stop) -> Result<(), Failure> {
    let Some(partitions) = args.connection.await_topic(&args.topic, args.wait, stop)? else {
        return Ok(());
    };
    let weights = args.partition_weights.clone();
    if let Some(weights) = weights
        .as_ref()
        .filter(|weights| weights.len() > partitions)
    {
        return Err(Failure::TooManyWeights {
            topic: args.topic.clone(),
            weights: weights.len(),
            partitions,
        });
    }
    let sender = Sender::new(&args.connection, &args.topic)?;
    let mut records = Records::new(args.seed, args.keys, args.record_bytes, weights);
    let end = args.duration.or_else(|| profile.end());
    let mut pace = Pace::new(profile, args.catch_up);
    let mut interval = Interval::begin(args.report_interval);

    let start = Instant::now();
    let elapsed = loop {
        let elapsed = end.map_or(start.elapsed(), |end| start.elapsed().min(end));
        let left = args
            .records
            .map_or(u64::MAX, |limit| limit.saturating_sub(pace.sent()));
        for _ in 0..pace.due(elapsed).min(left) {
            if !sender.send(&records.next()) {
                break;
            }
            pace.count_sent();
        }
        if let Some(line) = interval.line(elapsed, &pace, &sender.tally()) {
            args.output.line(&line);
        }
        let complete = args.records.is_some_and(|limit| pace.sent() >= limit);
        if complete || end == Some(elapsed) || stop.requested().is_some() {
            break elapsed;
        }
        sender.serve(TICK);
    };
    sender.finish(FLUSH);
    args.output
        .line(&Summary::new(elapsed, &pace, &sender.tally()));
    sender.verdict()
}
