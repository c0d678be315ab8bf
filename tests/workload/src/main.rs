//! Real Kafka producers and consumers for the end-to-end tests and the demo.
//!
//! Reads the command line, runs one command, and turns its outcome into an exit code: 0 success
//! (also after SIGTERM), 1 failure with one line that says what to do, 2 wrong usage.
#![deny(unsafe_code)]

mod cli;
mod connection;
mod consume;
mod failure;
mod output;
mod produce;
mod stop;
mod throttle;
mod topic;
mod units;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_env_filter(cli.log)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let outcome = match cli.command {
        Command::Produce(args) => produce::run(args),
        Command::Consume(args) => consume::run(args),
        Command::Topic(args) => topic::run(args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("workload: {failure}");
            if failure.leaves_threads() {
                signal_hook::low_level::exit(1);
            }
            ExitCode::FAILURE
        }
    }
}
