//! Renders outcomes: a table with plots for people, JSON and CSV for programs, SVG for documents.
//! Computes only what a picture needs.

mod axis;
mod figures;
mod plot;
mod svg;
mod table;

use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::json;

use super::number::{nearest, real};
use super::{Comparison, Outcome};

pub use svg::svg;
pub use table::text;

/// Width of the narrowest terminal that is supported, in columns.
const NARROWEST: usize = 40;

/// All outcomes as JSON, for programs.
pub fn json(comparison: &Comparison, outcomes: &[Outcome]) -> serde_json::Value {
    let autoscalers = outcomes.iter().map(|outcome| {
        let mut autoscaler = figures::json(outcome);
        autoscaler.insert("autoscaler".to_owned(), outcome.autoscaler.clone().into());
        autoscaler.insert("actions".to_owned(), json!(outcome.actions));
        autoscaler.insert("series".to_owned(), json!(outcome.series));
        autoscaler
    });
    let autoscalers: Vec<_> = autoscalers.collect();
    json!({
        "group": comparison.group,
        "start": comparison.load.is_dated().then(|| date(comparison, 0)),
        "seconds": comparison.load.length,
        "objectiveSeconds": comparison.objective,
        "initialReplicas": comparison.replicas,
        "threadsPerReplica": comparison.threads,
        "seed": comparison.seed,
        "seeds": comparison.seeds,
        "plant": comparison.parameters,
        "notes": comparison.notes,
        "autoscalers": autoscalers,
    })
}

/// Every sample of every autoscaler as CSV, with the first seed.
pub fn csv(comparison: &Comparison, outcomes: &[Outcome]) -> String {
    let mut text = String::from("autoscaler,time,load,replicas,ready,lag,delay\n");
    for outcome in outcomes {
        // The name of an autoscaler may contain a comma.
        let autoscaler = format!("\"{}\"", outcome.autoscaler.replace('"', "\"\""));
        for sample in &outcome.series {
            let time = if comparison.load.is_dated() {
                date(comparison, sample.t)
            } else {
                sample.t.to_string()
            };
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{autoscaler},{time},{:.1},{},{},{},{}",
                sample.load,
                sample.replicas,
                sample.ready,
                nearest(sample.lag),
                sample.delay
            );
        }
    }
    text
}

/// A time of the load as a date.
fn date(comparison: &Comparison, t: i64) -> String {
    let at = nearest(comparison.load.origin) + t;
    Timestamp::from_second(at).map_or_else(|_| at.to_string(), |at| at.to_string())
}

/// A time of the load in short form: `1d03:20`, or date and time of day.
fn clock(comparison: &Comparison, t: i64) -> String {
    if comparison.load.is_dated() {
        let date = date(comparison, t);
        // 2026-03-01T14:05:00Z -> 03-01 14:05
        let short = date.get(5..16).unwrap_or(&date);
        return short.replace('T', " ");
    }
    let (days, rest) = (t / 86_400, t % 86_400);
    let (hours, minutes, seconds) = (rest / 3600, rest / 60 % 60, rest % 60);
    match (days, seconds) {
        (0, 0) => format!("{hours:02}:{minutes:02}"),
        (0, _) => format!("{hours:02}:{minutes:02}:{seconds:02}"),
        _ => format!("{days}d{hours:02}:{minutes:02}"),
    }
}

/// Formats a number for people: 1,234 or 12.3k.
fn short(value: f64) -> String {
    match value {
        v if v >= 9_999_500.0 => format!("{:.0}M", v / 1e6),
        v if v >= 999_500.0 => format!("{:.1}M", v / 1e6),
        v if v >= 9_999.5 => format!("{:.0}k", v / 1e3),
        v if v >= 100.0 || v.fract().abs() < 0.05 => format!("{v:.0}"),
        v => format!("{v:.1}"),
    }
}

/// Formats seconds for people.
fn seconds(value: i64) -> String {
    match value {
        v if v < 120 => format!("{v}s"),
        v if v < 3_600 => format!("{}m{:02}s", v / 60, v % 60),
        v => format!("{:.1}h", real(v) / 3600.0),
    }
}

/// Formats an integer with thousands separators.
fn thousands(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0 { format!("-{text}") } else { text }
}

/// Cuts a line to the width.
fn cut(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.trim_end().to_owned();
    }
    let mut kept: String = line.chars().take(width.saturating_sub(1)).collect();
    kept.push('…');
    kept
}
