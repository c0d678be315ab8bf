//! The screen of the demo: shows what Lagrange reads and does, on a terminal or as plain lines, and
//! a summary at the end. It reads with kubectl: status of the groups, events, the metrics page.
//! Changes nothing.

mod feed;
mod load;
mod model;
mod plain;
mod screen;
mod sources;
mod style;
mod summary;
mod terminal;
#[cfg(test)]
mod tests;
mod words;

use std::{
    io::{self, IsTerminal as _, Write},
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use clap::Parser;
use jiff::Timestamp;

use crate::{
    load::LoadFile, model::Model, plain::Plain, screen::Moment, sources::Sources, style::Theme,
    terminal::Terminal,
};

/// Interval of drawing when there is no news.
const TICK: Duration = Duration::from_millis(500);

/// Shows live what Lagrange reads and does, and a summary at the end. SIGINT and SIGTERM end it
/// early, with the summary.
#[derive(Debug, Parser)]
struct Args {
    /// Path of kubectl
    #[arg(long, value_name = "PROGRAM", default_value = "kubectl")]
    kubectl: PathBuf,

    /// Kubeconfig of the cluster [default: that of kubectl]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// Path of the operator's metrics page on the API server
    #[arg(
        long,
        value_name = "PATH",
        default_value = "/api/v1/namespaces/lagrange/services/lagrange:metrics/proxy/metrics"
    )]
    metrics: String,

    /// File with the output of `workload produce --output json`
    #[arg(long, value_name = "FILE")]
    load: PathBuf,

    /// How long to run, in seconds
    #[arg(long, value_name = "N")]
    seconds: u64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("demo-screen: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> io::Result<ExitCode> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [
        signal_hook::consts::SIGINT,
        signal_hook::consts::SIGTERM,
        signal_hook::consts::SIGHUP,
    ] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let (sender, news) = mpsc::channel();
    let sources = Sources::start(args, &sender);
    let mut load = LoadFile::at(args.load.clone());
    let mut model = Model::default();
    let mut output = Output::new();

    let began = Instant::now();
    let length = Duration::from_secs(args.seconds);
    let elapsed = loop {
        match news.recv_timeout(TICK) {
            Ok(heard) => {
                let changes = model.hear(heard);
                output.print(began.elapsed(), &changes)?;
                // Everything that is waiting goes into one frame.
                while let Ok(heard) = news.try_recv() {
                    let changes = model.hear(heard);
                    output.print(began.elapsed(), &changes)?;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break began.elapsed(),
        }
        for reading in load.read() {
            model.load.take(reading);
        }
        let elapsed = began.elapsed().min(length);
        output.show(
            &model,
            &Moment {
                elapsed,
                length,
                now: Timestamp::now(),
            },
        )?;
        if elapsed >= length || stop.load(Ordering::Relaxed) {
            break elapsed;
        }
    };
    drop(sources);
    drop(output);
    io::stdout().write_all(summary::of(&model, elapsed).as_bytes())?;
    if model.groups.is_empty() {
        eprintln!(
            "demo-screen: no ConsumerGroup was found; check that kubectl reaches the cluster"
        );
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// A terminal with a screen, or plain lines.
enum Output {
    Screen(Terminal),
    Plain(Plain),
}

impl Output {
    fn new() -> Self {
        if io::stdout().is_terminal() {
            Self::Screen(Terminal::enter(Theme::of_environment()))
        } else {
            Self::Plain(Plain::default())
        }
    }

    fn print(&self, elapsed: Duration, changes: &[model::Change]) -> io::Result<()> {
        match self {
            Self::Screen(_) => Ok(()),
            Self::Plain(_) => lines(&Plain::print(elapsed, changes)),
        }
    }

    fn show(&mut self, model: &Model, moment: &Moment) -> io::Result<()> {
        match self {
            Self::Screen(terminal) => {
                let size = Terminal::size();
                terminal.draw(&screen::of(model, moment, size, terminal.theme.blocks))
            }
            Self::Plain(plain) => lines(&plain.status(model, moment.elapsed)),
        }
    }
}

fn lines(lines: &[String]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in lines {
        writeln!(out, "{line}")?;
    }
    out.flush()
}
