//! The command line: one file per subcommand. Parses the arguments, runs the subcommand, and turns
//! its outcome into an exit code and one line.

pub mod crd;
mod decide;
#[cfg(feature = "operator")]
mod leader_options;
mod manifest;
mod progress;
#[cfg(feature = "operator")]
mod ready;
#[cfg(feature = "operator")]
mod run;
#[cfg(feature = "operator")]
mod run_options;
#[cfg(feature = "operator")]
mod run_values;
mod simulate;
mod values;
mod version;

use std::{
    ffi::OsString,
    fmt,
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand, error::ErrorKind};
use lagrange_core::text;

/// Autoscales Kafka consumer groups.
///
/// Lagrange is a Kubernetes operator. Add one ConsumerGroup resource beside a consumer Deployment.
/// Lagrange reads the group's lag, partitions and state from Kafka and sets the number of replicas
/// that the group needs, never more than can be given a partition. It spaces its actions, because
/// each one makes the group rebalance.
#[derive(Debug, Parser)]
#[command(
    name = "lagrange",
    version,
    arg_required_else_help = true,
    subcommand_required = true,
    max_term_width = 100
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the operator until SIGTERM or Ctrl-C
    #[cfg(feature = "operator")]
    Run(Box<run::Run>),
    /// Print the CustomResourceDefinitions, for kubectl apply -f -
    Crd(crd::Crd),
    #[cfg(feature = "operator")]
    Ready(ready::Ready),
    /// Replay recorded observations offline
    Decide(decide::Decide),
    Simulate(Box<simulate::Simulate>),
}

/// Runs the command that the arguments name. Exit codes: 0 success, 1 failure, 2 invalid command
/// line.
pub fn main() -> ExitCode {
    match parse(std::env::args_os()) {
        Ok(cli) => match cli.command {
            #[cfg(feature = "operator")]
            Command::Run(run) => run.run(),
            Command::Crd(crd) => outcome(crd.run()),
            #[cfg(feature = "operator")]
            Command::Ready(ready) => outcome(ready.run()),
            Command::Decide(decide) => outcome(decide.run()),
            Command::Simulate(simulate) => outcome(simulate.run()),
        },
        Err(error) => refuse(&error),
    }
}

/// Help names the environment variables without their values, so that its text does not depend on
/// the environment. A value that begins with a minus is treated as a value, and rejected as one.
fn command() -> clap::Command {
    let mut command = Cli::command().long_version(version::LONG.as_str());
    let names: Vec<String> = command
        .get_subcommands()
        .map(|one| one.get_name().to_owned())
        .collect();
    for name in names {
        command = command.mut_subcommand(name, |command| {
            command.mut_args(|arg| {
                let names = arg.get_value_names().unwrap_or_default();
                let is_any = names
                    .iter()
                    .any(|name| matches!(name.as_str(), "DURATION" | "S,S,S"));
                let is_option = !arg.is_positional() && arg.get_action().takes_values();
                arg.hide_env_values(true)
                    .allow_negative_numbers(is_option && !is_any)
                    .allow_hyphen_values(is_any)
            })
        });
    }
    command
}

fn parse(args: impl IntoIterator<Item: Into<OsString> + Clone>) -> Result<Cli, clap::Error> {
    Cli::from_arg_matches(&command().try_get_matches_from(args)?)
}

/// Prints help and version as they are, and any other error in one line, so that the last line of a
/// pod's log has all of it.
fn refuse(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A reader that closed the pipe needs no message.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(2)
        }
        _ => {
            complain(&one_line(error));
            ExitCode::from(2)
        }
    }
}

fn outcome(result: Result<(), impl fmt::Display>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Writes the reason for the end of the process to standard error, and ignores a closed one.
fn complain(reason: &str) {
    let _ = writeln!(io::stderr(), "lagrange: {}", in_a_line(reason));
}

/// Longest message, in characters.
const LONGEST: usize = 2_000;

/// A message as one line that is safe to print on a terminal: it may quote input, and YAML's errors
/// draw the place.
fn in_a_line(reason: &str) -> String {
    let words: Vec<&str> = reason.split_whitespace().collect();
    text::clean_to(&words.join(" "), LONGEST)
}

/// clap's message without its usage, with a pointer to the help if it gives no advice itself.
fn one_line(error: &clap::Error) -> String {
    let rendered = error.render().to_string();
    let lines = rendered
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let said =
        lines.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let line = said.collect::<Vec<_>>().join(" ").replace(" tip: ", "; ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    match error.kind() {
        ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand => {
            format!("{line}; see lagrange --help")
        }
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[rstest]
    #[case::top("top", &[])]
    #[case::run("run", &["run"])]
    #[case::crd("crd", &["crd"])]
    #[case::ready("ready", &["ready"])]
    #[case::decide("decide", &["decide"])]
    #[case::simulate("simulate", &["simulate"])]
    fn help_reads_well(#[case] name: &str, #[case] path: &[&str]) {
        let words = ["lagrange"].iter().chain(path).chain(&["--help"]);
        let help = command()
            .term_width(100)
            .try_get_matches_from(words)
            .unwrap_err();
        insta::assert_snapshot!(format!("help_{name}"), help.render());
    }

    #[rstest]
    #[case(&["run", "--api-timeout=soon"])]
    #[case(&["run", "--log-format=xml"])]
    #[case(&["run", "--concurrency=0"])]
    #[case(&["run", "--pollinterval=3s"])]
    #[case(&["run", "--inline-connections=maybe"])]
    #[case(&["run", "--api-timeout", "-5s"])]
    #[case(&["ready", "lagrange"])]
    #[case(&["ready", "--timeout", "-1s"])]
    #[case(&["simulate", "--skew", "lots"])]
    #[case(&["simulate", "--commit-interval", "-5"])]
    #[case(&["simulate", "--initial-replicas", "-1"])]
    #[case(&["simulate", "--consumer-rate", "-200"])]
    #[case(&["simulate", "--start-seconds", "-1,2,3"])]
    #[case(&["simulate", "--seed", "-1"])]
    #[case(&["simulate", "--seeds", "0"])]
    #[case(&["simulate", "--partitions", "many"])]
    #[case(&["simulate", "--late-after", "-1m"])]
    #[case(&["walk"])]
    #[case(&["run", "extra"])]
    fn a_mistake_is_reported_in_one_line(#[case] args: &[&str]) {
        let error = parse(["lagrange"].iter().chain(args)).unwrap_err();
        let line = one_line(&error);
        assert!(!line.contains('\n'));
        insta::with_settings!({ description => args.join(" ") }, {
            insta::assert_snapshot!(format!("mistake_{}", args.join("_").replace(['-', '='], "_")), line);
        });
    }
}
