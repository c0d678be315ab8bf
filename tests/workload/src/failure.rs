//! Failures of a command. Each message is one line that says what to do next.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use thiserror::Error;

/// Why a command failed.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    #[error(
        "librdkafka refused these settings: {0}; correct the flag or the --property that it names"
    )]
    Settings(KafkaError),

    #[error(
        "no answer from {servers} within {}: {}; check that Kafka runs there, that this host can \
         reach it, and that it is a plaintext listener",
        seconds(*waited),
        reason.as_deref().unwrap_or("and no error, as from a wrong port or protocol")
    )]
    Unreachable {
        servers: String,
        waited: Duration,
        reason: Option<String>,
    },

    #[error(
        "topic {topic} does not exist after {}; create it with `workload topic create {topic} \
         --partitions N`, or wait longer with --wait",
        seconds(*waited)
    )]
    NoTopic { topic: String, waited: Duration },

    #[error("topic {topic} already exists; delete it first, or accept it with --if-not-exists")]
    TopicExists { topic: String },

    #[error("topic {topic} does not exist; check its name, or accept that with --if-exists")]
    NothingToDelete { topic: String },

    #[error(
        "topic {topic} has {present} partitions and cannot shrink to {wanted}; for fewer, delete \
         the topic and create it again"
    )]
    CannotShrink {
        topic: String,
        present: usize,
        wanted: usize,
    },

    #[error(
        "Kafka refused to {action} topic {topic}: {reason}; check the flags and the log of the \
         broker"
    )]
    Refused {
        action: &'static str,
        topic: String,
        reason: String,
    },

    #[error(
        "topic {topic} was changed, but broker {broker} does not show it after {}; check the log \
         of that broker, or wait longer with --wait",
        seconds(*waited)
    )]
    NotVisible {
        topic: String,
        broker: String,
        waited: Duration,
    },

    #[error("could not read {topic}: {error}; try again when each partition has a leader")]
    Unreadable { topic: String, error: KafkaError },

    #[error("cannot read {}: {error}; --rates takes a CSV file with the columns seconds,rate", path.display())]
    RatesFile { path: PathBuf, error: io::Error },

    #[error("{}: {what}", path.display())]
    Rates { path: PathBuf, what: String },

    #[error(
        "{weights} weights are given but topic {topic} has {partitions} partitions; give at most \
         one weight per partition"
    )]
    TooManyWeights {
        topic: String,
        weights: usize,
        partitions: usize,
    },

    #[error(
        "{count} records did not reach {topic}: {reason}; the warnings above have the errors of \
         the broker"
    )]
    NotDelivered {
        count: u64,
        topic: String,
        reason: String,
    },

    #[error(
        "the consumer cannot continue: {0}; an unsupported version means that the brokers do not \
         support this --group-protocol, a fenced instance that another member has this \
         --static-instance-id"
    )]
    Consumer(RDKafkaErrorCode),

    #[error("this --assignor is not one of --group-protocol {protocol}; choose {known}")]
    Assignor {
        protocol: &'static str,
        known: &'static str,
    },

    #[error(
        "cannot listen on {address}: {error}; choose another address with --listen, with port 0 \
         for any free port"
    )]
    Listen {
        address: SocketAddr,
        error: io::Error,
    },

    #[error("the operating system refused a resource: {0}")]
    System(io::Error),

    #[error("stopped by a second signal before the end")]
    StoppedTwice,

    #[error("still running {} after the signal, so stopped; the brokers may be away", seconds(*.0))]
    NotStopped(Duration),

    #[error("the worker thread panicked; this is a bug of this program")]
    WorkDied,
}

impl Failure {
    /// Whether threads of librdkafka may still run.
    pub(crate) fn leaves_threads(&self) -> bool {
        matches!(self, Self::StoppedTwice | Self::NotStopped(_))
    }
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}
