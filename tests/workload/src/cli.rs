//! The command line: the commands and their common flags. Only parses.

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::consume::ConsumeArgs;
use crate::produce::ProduceArgs;
use crate::topic::TopicArgs;

/// Real Kafka producers and consumers for tests and demonstrations.
///
/// Every flag can be given as an environment variable instead: WORKLOAD_ and its name, as in
/// WORKLOAD_RECORD_BYTES for --record-bytes. Results go to standard output, logs to standard error.
/// SIGTERM and SIGINT end a command cleanly, with exit code 0; a second signal ends it at once.
#[derive(Debug, Parser)]
#[command(
    name = "workload",
    version,
    propagate_version = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    /// What to log on standard error: a level (error, warn, info, debug), or directives by module
    #[arg(
        long,
        env = "WORKLOAD_LOG",
        global = true,
        default_value = "info",
        value_name = "FILTER"
    )]
    pub(crate) log: EnvFilter,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// A command; its arguments document it.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Produce(ProduceArgs),
    Consume(ConsumeArgs),
    Topic(TopicArgs),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn each_argument(command: &clap::Command, see: &mut impl FnMut(&clap::Command, &clap::Arg)) {
        for argument in command.get_arguments() {
            see(command, argument);
        }
        for inner in command.get_subcommands() {
            each_argument(inner, see);
        }
    }

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_has_an_environment_variable_of_its_name() {
        let mut seen = 0;
        each_argument(&Cli::command(), &mut |command, argument| {
            let name = argument.get_long().unwrap_or(argument.get_id().as_str());
            if ["help", "version"].contains(&name) {
                return;
            }
            let wanted = format!("WORKLOAD_{}", name.to_uppercase().replace('-', "_"));
            let found = argument.get_env().and_then(|name| name.to_str());
            assert_eq!(
                found,
                Some(wanted.as_str()),
                "{} {name}",
                command.get_name()
            );
            seen += 1;
        });
        assert!(seen > 30, "only {seen} flags were checked");
    }

    #[test]
    fn every_command_and_flag_is_explained() {
        for command in Cli::command().get_subcommands() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
        }
        each_argument(&Cli::command(), &mut |command, argument| {
            assert!(
                argument.get_help().is_some(),
                "{} {}",
                command.get_name(),
                argument.get_id()
            );
        });
    }
}
