//! Results on standard output, one line each, for people or for programs.

use std::fmt::Display;
use std::io::Write as _;

use clap::ValueEnum;
use serde::Serialize;

/// Format of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// A line for people
    Plain,
    /// One JSON object a line
    Json,
}

impl Output {
    /// Writes one result. A closed standard output does not end the work.
    pub(crate) fn line<L: Display + Serialize>(self, line: &L) {
        let text = match self {
            Self::Plain => line.to_string(),
            Self::Json => serde_json::to_string(line)
                .unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}")),
        };
        let mut out = std::io::stdout().lock();
        if let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush()) {
            tracing::debug!(%error, "cannot write to standard output");
        }
    }
}

/// A count with separated thousands: `12,400`.
pub(crate) fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(0, "0")]
    #[case(999, "999")]
    #[case(1_000, "1,000")]
    #[case(12_400, "12,400")]
    #[case(1_234_567, "1,234,567")]
    fn thousands_are_separated(#[case] count: u64, #[case] text: &str) {
        assert_eq!(thousands(count), text);
    }
}
