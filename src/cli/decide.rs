//! `lagrange decide`: observations in, decisions out, as JSON lines. Uses the same code as the
//! operator.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;

use clap::Args;
use lagrange_core::recording::{Answer, BadLine, Line, Session};
use lagrange_core::scaling::SharedTuning;
use lagrange_core::scaling::tuning::InvalidTuning;
use lagrange_core::text;
use serde_json::Value;
use thiserror::Error;

use super::manifest::{self, Unusable};

/// How often another program should send an observation, in seconds: the interval that the windows
/// of the autoscaling rules are made for.
const INTERVAL: u64 = 15;

/// Replay recorded observations offline
///
/// Reads JSON lines: one init line with the settings (or --manifest), then one line for each
/// observation. Writes one line for each observation: what the operator would do, why, until when,
/// and every step that led to it. docs/decide.md describes the format. Each decision counts as
/// done, so the next observation should show it.
#[derive(Debug, Args)]
pub(super) struct Decide {
    /// Observations as JSON lines; - reads standard input
    #[arg(value_name = "FILE", default_value = "-")]
    input: PathBuf,
    /// ConsumerGroup to decide for, as YAML or JSON, instead of an init line
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Answer each line at once, including the init line, so that another program can drive the
    /// decision
    #[arg(long)]
    stream: bool,
    /// Compare each decision with the recorded one after its observation and stop at the first that
    /// differs; report how many there were, and fail if there are none
    #[arg(long)]
    check: bool,
    /// Overrides one of the numbers that Lagrange decides with, such as surge.enabled=false; they
    /// are in docs/reference/tuning.md
    #[arg(long, value_name = "FIELD=VALUE", hide = true)]
    tuning: Vec<String>,
}

/// Why no further decision is possible.
#[derive(Debug, Error)]
pub(super) enum Failed {
    /// A file that cannot be used.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// A line that cannot be used.
    #[error("line {number}: {source}")]
    Line {
        /// Number of the line, from 1.
        number: usize,
        /// The cause.
        source: BadLine,
    },
    /// The decision differs from the operator's.
    #[error("line {number}: {field} was recorded as {recorded}, and is {here} here")]
    Differs {
        /// Number of the line that recorded it, from 1.
        number: usize,
        /// The first field that differs.
        field: String,
        /// The recorded value.
        recorded: Value,
        /// The value of the replay.
        here: Value,
    },
    /// The recording has no decisions.
    #[error(
        "nothing to check: no line of the type decided after an observation; lagrange run --record writes one for each decision"
    )]
    NothingToCheck,
    /// The manifest cannot be managed.
    #[error(transparent)]
    Spec(#[from] BadLine),
    /// Parameters that contradict each other.
    #[error("--tuning: {0}")]
    Tuning(#[from] InvalidTuning),
    /// The output cannot be written.
    #[error("cannot write: {0}")]
    Write(io::Error),
}

impl Decide {
    pub(super) fn run(&self) -> Result<(), Failed> {
        let output = io::BufWriter::new(io::stdout().lock());
        let result = if self.input.as_os_str() == "-" {
            self.answer(io::stdin().lock(), output)
        } else {
            let file = File::open(&self.input).map_err(|source| self.unreadable(source))?;
            self.answer(BufReader::new(file), output)
        };
        match result {
            // A reader that closed the pipe needs no message.
            Err(Failed::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result,
        }
    }

    fn answer(&self, input: impl BufRead, mut output: impl Write) -> Result<(), Failed> {
        let mut session = self.session()?;
        let mut last = None;
        let mut checked = 0_u64;
        for (line, number) in input.lines().zip(1..) {
            let line = line.map_err(|source| self.unreadable(source))?;
            if line.trim().is_empty() {
                continue;
            }
            let bad = |source| Failed::Line { number, source };
            let line = Line::read(&line).map_err(bad)?;
            let is_init = matches!(line, Line::Init(_));
            let is_end = matches!(line, Line::End);
            if let (true, Line::Decided(recorded), Some(here)) = (self.check, &line, &last) {
                same(number, recorded, here)?;
                checked += 1;
            }
            let answer = session.take(line).map_err(bad)?;
            if let Some(answer) = answer {
                write(&mut output, &answer)?;
                last = Some(answer);
            } else if is_init && self.stream {
                let ready = serde_json::json!({ "ok": true, "interval_s": INTERVAL });
                write(&mut output, &ready)?;
            }
            if self.stream {
                output.flush().map_err(Failed::Write)?;
            }
            if is_end {
                break;
            }
        }
        output.flush().map_err(Failed::Write)?;
        match checked {
            _ if !self.check => Ok(()),
            0 => Err(Failed::NothingToCheck),
            n => {
                let decisions = text::counted(n, "decision", "decisions");
                super::complain(&format!("{decisions} checked, none differs"));
                Ok(())
            }
        }
    }

    fn session(&self) -> Result<Session, Failed> {
        let mut session = match &self.manifest {
            Some(path) => Session::of_manifest(manifest::parsed(path, manifest::group)?)?,
            None => Session::default(),
        };
        session.tune(SharedTuning::with(self.tuning.iter().map(String::as_str))?);
        Ok(session)
    }

    fn unreadable(&self, source: io::Error) -> Failed {
        Failed::Unusable(Unusable::Read {
            path: self.input.clone(),
            source,
        })
    }
}

/// Compares a decision with the recorded one.
fn same(number: usize, recorded: &Answer, here: &Answer) -> Result<(), Failed> {
    let Some((field, recorded, here)) = recorded.difference(here) else {
        return Ok(());
    };
    Err(Failed::Differs {
        number,
        field,
        recorded,
        here,
    })
}

fn write(output: &mut impl Write, line: &impl serde::Serialize) -> Result<(), Failed> {
    serde_json::to_writer(&mut *output, line).map_err(|error| Failed::Write(error.into()))?;
    output.write_all(b"\n").map_err(Failed::Write)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lagrange_fuzz::{assert_is_one_line, file, fuzz};

    #[test]
    fn a_mangled_recording_fails_with_one_line() {
        let recorded = file("tests/recordings/morning.jsonl");
        let some: Vec<&str> = recorded.lines().take(6).collect();
        let decide = Decide {
            input: "-".into(),
            manifest: None,
            stream: false,
            check: false,
            tuning: Vec::new(),
        };
        fuzz(&[some.join("\n")], |bytes| {
            if let Err(error) = decide.answer(bytes, io::sink()) {
                assert_is_one_line(&super::super::in_a_line(&error.to_string()));
            }
        });
    }
}
