//! Why a command failed, each in one line that says what to do next.

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
        "librdkafka refuses these settings: {0}; correct the flag or the --property that it names"
    )]
    Settings(KafkaError),

    #[error(
        "no answer from {servers} within {}: {}; check that Kafka runs there, that this host can reach it, and that it is a plaintext listener",
        seconds(*waited),
        reason.as_deref().unwrap_or("no error either, as from a wrong port or protocol")
    )]
    Unreachable {
        servers: String,
        waited: Duration,
        reason: Option<String>,
    },

    #[error(
        "topic {topic} is not there after {}; create it with `workload topic create {topic} --partitions N`, or wait longer with --wait",
        seconds(*waited)
    )]
    NoTopic { topic: String, waited: Duration },

    #[error("topic {topic} exists already; delete it first, or accept it with --if-not-exists")]
    TopicExists { topic: String },

    #[error("topic {topic} does not exist; see its spelling, or accept that with --if-exists")]
    NothingToDelete { topic: String },

    #[error(
        "topic {topic} has {present} partitions and cannot shrink to {wanted}; delete and create it again for fewer"
    )]
    CannotShrink {
        topic: String,
        present: usize,
        wanted: usize,
    },

    #[error(
        "Kafka refused to {action} topic {topic}: {reason}; the broker's log says more, see there and check the flags"
    )]
    Refused {
        action: &'static str,
        topic: String,
        reason: String,
    },

    #[error(
        "topic {topic} was changed, but broker {broker} does not show it after {}; look at that broker's log, or wait longer with --wait",
        seconds(*waited)
    )]
    NotVisible {
        topic: String,
        broker: String,
        waited: Duration,
    },

    #[error("could not read {topic}: {error}; try again when each partition has a leader")]
    Unreadable { topic: String, error: KafkaError },

    #[error("cannot read {}: {error}; --rates wants a CSV file with the columns seconds,rate", path.display())]
    RatesFile { path: PathBuf, error: io::Error },

    #[error("{}: {what}", path.display())]
    Rates { path: PathBuf, what: String },

    #[error(
        "{weights} weights are given but topic {topic} has {partitions} partitions; give at most one weight per partition"
    )]
    TooManyWeights {
        topic: String,
        weights: usize,
        partitions: usize,
    },

    #[error(
        "{count} records did not reach {topic}: {reason}; see the warnings above for the broker's side"
    )]
    NotDelivered {
        count: u64,
        topic: String,
        reason: String,
    },

    #[error(
        "the consumer cannot go on: {0}; an unsupported version means that the brokers do not know this --group-protocol, a fenced instance that another member has this --static-instance-id"
    )]
    Consumer(RDKafkaErrorCode),

    #[error("this --assignor is not one of --group-protocol {protocol}; choose {known}")]
    Assignor {
        protocol: &'static str,
        known: &'static str,
    },

    #[error(
        "cannot listen on {address}: {error}; choose another address with --listen, port 0 for any free one"
    )]
    Listen {
        address: SocketAddr,
        error: io::Error,
    },

    #[error("the operating system refused what this program needs: {0}")]
    System(io::Error),

    #[error("stopped in the middle by a second signal")]
    StoppedTwice,

    #[error("not ended {} after the signal, so ended at once; the brokers may be away", seconds(*.0))]
    NotStopped(Duration),

    #[error("the working thread died; this is a defect of this program")]
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
