//! Reading as a member of a group: the flags, and the endpoint.
//!
//! `member` reads, `backlog` selects the next record, `status` is what the endpoint shows.

mod backlog;
mod callbacks;
mod endpoint;
mod group;
mod member;
mod poison;
mod statistics;
mod status;
mod workbench;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::Output;
use crate::{stop, units};

use self::group::Group;
use self::poison::Poison;

/// How long leaving the group may take after SIGTERM if the brokers do not respond.
const DEADLINE: Duration = Duration::from_secs(5);

/// Read topics as a member of a consumer group, one record after the other.
///
/// Each record takes --millis-per-record; partitions take turns. Offsets are committed after the
/// work: every --commit-interval, when partitions are revoked, and at the end. On SIGTERM the
/// current record gets one more second; then what is done is committed and the member leaves the
/// group. The next member of the partition reads the rest.
#[derive(Debug, Args)]
pub(crate) struct ConsumeArgs {
    #[command(flatten)]
    connection: Connection,

    /// The consumer group to join
    #[arg(long, env = "WORKLOAD_GROUP", value_name = "ID")]
    group: String,

    /// A topic to read, or ^PATTERN for all whose names match; repeatable or separated by commas
    #[arg(
        long = "topic",
        env = "WORKLOAD_TOPIC",
        value_name = "NAME",
        value_delimiter = ',',
        required = true
    )]
    topics: Vec<String>,

    /// How long one record takes, in milliseconds; fractions are kept on average, 0 is as fast as
    /// possible
    #[arg(long, env = "WORKLOAD_MILLIS_PER_RECORD", value_name = "MS", default_value = "0", value_parser = units::milliseconds)]
    millis_per_record: Duration,

    /// How often to commit; 0 commits after each record, or after each 10 ms of shorter ones
    #[arg(long, env = "WORKLOAD_COMMIT_INTERVAL", value_name = "TIME", default_value = "1s", value_parser = units::duration)]
    commit_interval: Duration,

    /// How the group is coordinated
    #[arg(
        long,
        env = "WORKLOAD_GROUP_PROTOCOL",
        value_enum,
        default_value = "classic"
    )]
    group_protocol: Protocol,

    /// How partitions are assigned [default: range with classic, the broker's choice with consumer]
    #[arg(long, env = "WORKLOAD_ASSIGNOR", value_enum)]
    assignor: Option<Assignor>,

    /// Static membership: the group.instance.id, which stays the same after a restart
    #[arg(long, env = "WORKLOAD_STATIC_INSTANCE_ID", value_name = "NAME")]
    static_instance_id: Option<String>,

    /// A record that always fails: PARTITION:OFFSET, TOPIC:PARTITION:OFFSET, or key=KEY for each
    /// with that key
    ///
    /// Its partition stops there, and the record is tried again every second; other partitions
    /// continue. Repeatable or separated by commas.
    #[arg(
        long,
        env = "WORKLOAD_POISON",
        value_name = "RECORD",
        value_delimiter = ','
    )]
    poison: Vec<Poison>,

    /// Serve /healthz, /readyz and /stats at this address, such as 0.0.0.0:8080; port 0 takes any
    /// free port
    ///
    /// Ready means that it is a member of the group, with or without a partition. It then stays
    /// ready.
    #[arg(long, env = "WORKLOAD_LISTEN", value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,

    /// How often to print a report
    #[arg(long, env = "WORKLOAD_REPORT_INTERVAL", value_name = "TIME", default_value = "10s", value_parser = units::interval)]
    report_interval: Duration,

    /// Format of the reports
    #[arg(long, env = "WORKLOAD_OUTPUT", value_enum, default_value = "plain")]
    output: Output,
}

/// The group protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// One of the members assigns partitions
    Classic,
    /// The broker assigns partitions (KIP-848, Kafka 4.0 and later)
    Consumer,
}

/// How partitions are assigned to members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Assignor {
    /// Topic by topic, in ranges: members beyond the largest topic's partitions get nothing (both
    /// protocols)
    Range,
    /// All partitions in turn (classic)
    Roundrobin,
    /// Evenly, with few moves, without stopping the others (classic)
    CooperativeSticky,
    /// Evenly, with few moves (consumer)
    Uniform,
}

/// Runs the command until a signal.
pub(crate) fn run(args: ConsumeArgs) -> Result<(), Failure> {
    let group = Arc::new(Group::new(&args));
    let config = member::config(&args)?;
    let (listen, seen) = (args.listen, Arc::clone(&group));
    let beside = async move {
        match listen {
            Some(address) => endpoint::serve(address, seen).await,
            None => std::future::pending().await,
        }
    };
    stop::drive(
        DEADLINE,
        move |stop| member::run(&args, &config, group, &stop),
        beside,
    )
}
