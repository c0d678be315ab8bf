//! Log lines for people or for machines, on standard error; standard output belongs to what a command prints.
//! Knows no credential and formats none: who logs a value answers for it.

use std::io::{IsTerminal as _, Write as _};

use clap::ValueEnum;
use tracing::error;
use tracing_subscriber::{
    EnvFilter, Registry, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Time, level, module, message and fields, in colour on a terminal
    Human,
    /// One JSON object a line with timestamp, level, target, message and the fields beside them
    Json,
}

/// Which lines are written: a level, or `module=level` pairs, separated by commas.
#[derive(Clone, Debug)]
pub struct LogFilter(String);

impl std::str::FromStr for LogFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Asked of the very parser that will be used; without this a typo would silently log nothing.
        let known = |directive: &str| {
            let level = directive
                .rsplit_once('=')
                .map_or(directive, |(_, level)| level);
            ["trace", "debug", "info", "warn", "error", "off"]
                .iter()
                .any(|word| word.eq_ignore_ascii_case(level))
        };
        match EnvFilter::try_new(text) {
            Ok(_) if text.split(',').all(known) => Ok(Self(text.to_owned())),
            _ => Err("write a level (trace, debug, info, warn, error, off) or pairs such as info,lagrange=debug".to_owned()),
        }
    }
}

impl std::fmt::Display for LogFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The first logs an error for each connection that fails, without saying to whom or why; who called does that. The second logs
/// whole answers that it cannot read, and those may be Secrets.
const NOISE: &str = "kube_client::client::builder=off,kube_client::client=error";

/// Installs the process's only subscriber, and turns panics into log lines. Does nothing when there is one already.
pub fn init(format: LogFormat, filter: &LogFilter) {
    let registry = Registry::default().with(EnvFilter::new(format!("{NOISE},{filter}")));
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let installed = match format {
        LogFormat::Human => registry
            .with(layer.with_ansi(std::io::stderr().is_terminal()))
            .try_init(),
        LogFormat::Json => registry
            .with(layer.json().flatten_event(true).with_span_list(false))
            .try_init(),
    };
    if installed.is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            let place = panic
                .location()
                .map(ToString::to_string)
                .unwrap_or_default();
            let text = panic.payload_as_str().unwrap_or("no message");
            if tracing::enabled!(tracing::Level::ERROR) {
                error!(place, "panic: {text}");
            } else {
                // A silenced log does not silence an end. Nobody may be there to read it.
                let _ = writeln!(std::io::stderr(), "lagrange: panic at {place}: {text}");
            }
        }));
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("info")]
    #[case("WARN")]
    #[case("info,lagrange=debug")]
    #[case("off,lagrange::kafka=trace")]
    fn a_filter_is_a_level_or_pairs(#[case] text: &str) {
        assert_eq!(text.parse::<LogFilter>().unwrap().to_string(), text);
    }

    #[rstest]
    #[case("loud")]
    #[case("")]
    #[case("lagrange")]
    #[case("lagrange=loud")]
    #[case("info,")]
    fn a_filter_that_would_log_nothing_by_mistake_is_refused(#[case] text: &str) {
        let error = text.parse::<LogFilter>().unwrap_err();
        assert!(error.starts_with("write a level"), "{error}");
    }
}
