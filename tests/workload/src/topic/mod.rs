//! Creates, changes and deletes topics for the demo and tests: the flags, and one function per
//! action.
//!
//! An action ends when each broker shows the change (`visible`), so that the next command of a
//! script can rely on it.

mod describe;
mod visible;

use std::future::Future;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use rdkafka::admin::{
    AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication, TopicResult,
};
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};

use crate::connection::{Connection, Reports, partitions};
use crate::failure::Failure;
use crate::output::Output;
use crate::stop::Stop;
use crate::units;

/// Create, delete, extend or describe a topic.
#[derive(Debug, Args)]
pub(crate) struct TopicArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create a topic and wait until each broker shows all of its partitions with their leaders
    Create(CreateArgs),
    /// Delete a topic with all its records, and wait until no broker shows it
    Delete(DeleteArgs),
    /// Give a topic more partitions and wait until each broker shows them
    ///
    /// Records with a key may then go to another partition, so their order is lost once.
    Partitions(PartitionsArgs),
    /// Print the partitions of a topic: leader, replicas, first and next offset, and a group's lag
    Describe(DescribeArgs),
}

/// The flags of each action.
#[derive(Debug, Args)]
struct Target {
    #[command(flatten)]
    connection: Connection,

    /// The topic
    #[arg(env = "WORKLOAD_TOPIC", value_name = "TOPIC")]
    topic: String,

    /// How long to wait for the brokers, before and after the change
    #[arg(long, env = "WORKLOAD_WAIT", value_name = "TIME", default_value = "30s", value_parser = units::duration)]
    wait: Duration,
}

#[derive(Debug, Args)]
struct CreateArgs {
    #[command(flatten)]
    target: Target,

    /// How many partitions
    #[arg(long, env = "WORKLOAD_PARTITIONS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    partitions: u16,

    /// Replicas of each partition [default: the setting of the brokers]
    #[arg(long, env = "WORKLOAD_REPLICATION_FACTOR", value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    replication_factor: Option<u16>,

    /// A setting of the topic, such as retention.ms=60000; repeatable, in the environment separated
    /// by semicolons
    #[arg(long, env = "WORKLOAD_CONFIG", value_name = "NAME=VALUE", value_delimiter = ';', value_parser = units::property)]
    config: Vec<(String, String)>,

    /// If it already exists, leave it as it is
    #[arg(long, env = "WORKLOAD_IF_NOT_EXISTS")]
    if_not_exists: bool,
}

#[derive(Debug, Args)]
struct DeleteArgs {
    #[command(flatten)]
    target: Target,

    /// Succeed if it does not exist
    #[arg(long, env = "WORKLOAD_IF_EXISTS")]
    if_exists: bool,
}

#[derive(Debug, Args)]
struct PartitionsArgs {
    #[command(flatten)]
    target: Target,

    /// Total number of partitions; the current number is accepted, fewer is not possible
    #[arg(long, env = "WORKLOAD_COUNT", value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    count: u16,
}

#[derive(Debug, Args)]
struct DescribeArgs {
    #[command(flatten)]
    target: Target,

    /// A consumer group; its commits and lag are printed too
    #[arg(long, env = "WORKLOAD_GROUP", value_name = "ID")]
    group: Option<String>,

    /// Format of the output
    #[arg(long, env = "WORKLOAD_OUTPUT", value_enum, default_value = "plain")]
    output: Output,
}

/// Runs the action to its end. A signal ends it at once: there is nothing to clean up.
pub(crate) fn run(args: TopicArgs) -> Result<(), Failure> {
    match args.action {
        Action::Create(args) => create(&args),
        Action::Delete(args) => delete(&args),
        Action::Partitions(args) => extend(&args),
        Action::Describe(args) => describe(&args),
    }
}

fn create(args: &CreateArgs) -> Result<(), Failure> {
    let target = &args.target;
    let factor = TopicReplication::Fixed(args.replication_factor.map_or(-1, i32::from));
    let settings = args.config.iter();
    let topic = settings.fold(
        NewTopic::new(&target.topic, i32::from(args.partitions), factor),
        |topic, (name, value)| topic.set(name, value),
    );
    let admin = target.admin()?;
    match target.ask("create", admin.create_topics([&topic], &target.options()))? {
        Ok(()) => {
            target.await_partitions(args.partitions.into())?;
            println!(
                "created topic {} with {} partitions",
                target.topic, args.partitions
            );
        }
        Err(RDKafkaErrorCode::TopicAlreadyExists) if args.if_not_exists => {
            println!("topic {} already exists", target.topic);
        }
        Err(RDKafkaErrorCode::TopicAlreadyExists) => {
            return Err(Failure::TopicExists {
                topic: target.topic.clone(),
            });
        }
        Err(code) => return Err(target.refused("create", code)),
    }
    Ok(())
}

fn delete(args: &DeleteArgs) -> Result<(), Failure> {
    let target = &args.target;
    let admin = target.admin()?;
    match target.ask(
        "delete",
        admin.delete_topics(&[&target.topic], &target.options()),
    )? {
        Ok(()) => {
            visible::everywhere(&target.connection, &target.topic, target.wait, |found| {
                found.is_none()
            })?;
            println!("deleted topic {}", target.topic);
        }
        Err(RDKafkaErrorCode::UnknownTopicOrPartition) if args.if_exists => {
            println!("topic {} does not exist", target.topic);
        }
        Err(RDKafkaErrorCode::UnknownTopicOrPartition) => {
            return Err(Failure::NothingToDelete {
                topic: target.topic.clone(),
            });
        }
        Err(code) => return Err(target.refused("delete", code)),
    }
    Ok(())
}

fn extend(args: &PartitionsArgs) -> Result<(), Failure> {
    let (target, wanted) = (&args.target, usize::from(args.count));
    let present = target.present()?;
    if wanted < present {
        return Err(Failure::CannotShrink {
            topic: target.topic.clone(),
            present,
            wanted,
        });
    }
    if wanted > present {
        let admin = target.admin()?;
        let more = NewPartitions::new(&target.topic, wanted);
        let answer = target.ask(
            "extend",
            admin.create_partitions([&more], &target.options()),
        )?;
        answer.map_err(|code| target.refused("extend", code))?;
    }
    target.await_partitions(wanted)?;
    println!(
        "topic {} has {wanted} partitions, {present} before",
        target.topic
    );
    Ok(())
}

fn describe(args: &DescribeArgs) -> Result<(), Failure> {
    let target = &args.target;
    target.present()?;
    let description = describe::describe(
        &target.connection,
        &target.topic,
        args.group.as_deref(),
        target.wait,
    )?;
    args.output.line(&description);
    Ok(())
}

impl Target {
    fn admin(&self) -> Result<AdminClient<Reports>, Failure> {
        AdminClient::from_config_and_context(&self.connection.config([]), Reports::default())
            .map_err(Failure::Settings)
    }

    /// Timeouts of the request and of the controller's work on it: each is the wait.
    fn options(&self) -> AdminOptions {
        AdminOptions::new()
            .request_timeout(Some(self.wait))
            .operation_timeout(Some(self.wait))
    }

    /// Waits for the response about one topic: the broker's result, or why there is none.
    fn ask(
        &self,
        action: &'static str,
        request: impl Future<Output = KafkaResult<Vec<TopicResult>>>,
    ) -> Result<Result<(), RDKafkaErrorCode>, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(Failure::System)?;
        let started = Instant::now();
        match runtime.block_on(request) {
            Ok(results) => Ok(results
                .into_iter()
                .find_map(Result::err)
                .map_or(Ok(()), |(_, code)| Err(code))),
            Err(_) if started.elapsed() >= self.wait => {
                let enquirer = self.connection.enquirer(None)?;
                // Logs the reason if the connection fails; the admin client does not report it.
                let _ = partitions(&enquirer, &self.topic);
                Err(self.connection.unreachable(&enquirer, self.wait))
            }
            Err(error) => Err(Failure::Refused {
                action,
                topic: self.topic.clone(),
                reason: error.to_string(),
            }),
        }
    }

    fn refused(&self, action: &'static str, code: RDKafkaErrorCode) -> Failure {
        Failure::Refused {
            action,
            topic: self.topic.clone(),
            reason: code.to_string(),
        }
    }

    /// Its current number of partitions.
    fn present(&self) -> Result<usize, Failure> {
        let found = self
            .connection
            .await_topic(&self.topic, self.wait, &Stop::default())?;
        Ok(found.unwrap_or_default())
    }

    fn await_partitions(&self, wanted: usize) -> Result<(), Failure> {
        visible::everywhere(&self.connection, &self.topic, self.wait, |found| {
            found.is_some_and(|topic| {
                topic.partitions().len() == wanted
                    && topic
                        .partitions()
                        .iter()
                        .all(|partition| partition.leader() >= 0)
            })
        })
    }
}
