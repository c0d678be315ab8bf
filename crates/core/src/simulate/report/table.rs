//! The table for people: what each autoscaler cost, what Lagrange did and why. No line is wider
//! than the terminal.

use std::fmt::Write as _;

use super::{clock, cut, figures, plot, seconds, short, thousands};
use crate::simulate::number::{nearest, real};
use crate::simulate::{Comparison, Outcome};
use crate::text::counted;

/// Maximum of listed actions; the JSON has all of them.
const LISTED: usize = 30;
/// Columns between two autoscalers.
const GAP: usize = 2;
/// Columns of the name of an autoscaler before it wraps.
const HEAD: usize = 24;

/// The text for a terminal, in lines of at most `width` columns.
pub fn text(comparison: &Comparison, outcomes: &[Outcome], width: usize) -> String {
    let width = width.max(super::NARROWEST);
    let mut text = heading(comparison, width);
    text.push('\n');
    text.push_str(&scores(comparison, outcomes, width));
    text.push('\n');
    text.push_str(&plot::plots(comparison, outcomes, width));
    if let Some(first) = outcomes.first() {
        text.push('\n');
        text.push_str(&actions(comparison, first, width));
    }
    text
}

fn heading(comparison: &Comparison, width: usize) -> String {
    let parameters = &comparison.parameters;
    let topics = parameters.topics.iter();
    let topics: Vec<String> = topics.map(|(name, n)| format!("{name} {n}")).collect();
    let length = comparison.load.length;
    let length = match length {
        l if l >= 2 * 86_400 => format!("{} days", short(real(l) / 86_400.0)),
        l => format!("{} h", short(real(l) / 3600.0)),
    };
    let from = if comparison.load.is_dated() {
        format!(" from {}", super::date(comparison, 0))
    } else {
        String::new()
    };
    let threads = match comparison.threads {
        1 => String::new(),
        n => format!(" × {n} a replica"),
    };
    let objective = seconds(comparison.objective);
    let late = if comparison.is_promised {
        format!("maxDelay {objective}")
    } else {
        format!("late after {objective}")
    };
    let seeds = match comparison.seeds {
        1 => format!("seed {}", comparison.seed),
        runs => format!(
            "mean and range of {runs} runs, seeds {} to {}",
            comparison.seed,
            comparison.seed.wrapping_add(runs - 1)
        ),
    };
    let load = [
        format!("{}: {length} of load{from}", comparison.group),
        format!("at most {} records/s", thousands(comparison.peak())),
        late,
    ];
    let plant = [
        format!(
            "partitions: {} ({})",
            topics.join(", "),
            parameters.assignor.as_str()
        ),
        format!(
            "consumers: {} records/s each{threads}",
            short(parameters.consumer_rate)
        ),
        format!(
            "{} at the start",
            counted(comparison.replicas, "replica", "replicas")
        ),
        seeds,
    ];
    filled(&load, width) + &filled(&plant, width)
}

/// Joins parts with semicolons, in as few lines as they fit into.
fn filled(parts: &[String], width: usize) -> String {
    let mut lines = vec![String::new()];
    for (place, part) in parts.iter().enumerate() {
        let end = if place + 1 < parts.len() { ";" } else { "" };
        for word in format!("{part}{end}").split(' ') {
            let used = lines.last().map_or(0, |line| line.chars().count());
            let fits = used + 1 + word.chars().count() <= width;
            match lines.last_mut() {
                Some(line) if used == 0 => line.push_str(word),
                Some(line) if fits => {
                    line.push(' ');
                    line.push_str(word);
                }
                _ => lines.push(word.to_owned()),
            }
        }
    }
    let lines: Vec<String> = lines.iter().map(|line| cut(line, width)).collect();
    lines.join("\n") + "\n"
}

/// A column of the table.
struct Column {
    /// Name of the autoscaler, in lines.
    head: Vec<String>,
    values: Vec<String>,
}

impl Column {
    fn width(&self) -> usize {
        let lines = self.head.iter().chain(&self.values);
        lines.map(|line| line.chars().count()).max().unwrap_or(0)
    }
}

/// A column for each autoscaler; those that do not fit next to the others go below them.
fn scores(comparison: &Comparison, outcomes: &[Outcome], width: usize) -> String {
    let figures = figures::figures(comparison.objective);
    let names: Vec<String> = figures.iter().map(|figure| figure.name.clone()).collect();
    let room = names.iter().map(|name| name.chars().count()).max();
    let room = room.unwrap_or(0);
    let columns = outcomes.iter().map(|outcome| Column {
        head: head(&outcome.autoscaler, width - room - GAP),
        values: figures.iter().map(|figure| figure.of(outcome)).collect(),
    });
    let columns: Vec<Column> = columns.collect();
    let mut text = String::new();
    let mut rest = columns.as_slice();
    while !rest.is_empty() {
        let mut used = room;
        let fitting = rest.iter().take_while(|column| {
            used += GAP + column.width();
            used <= width
        });
        let (beside, below) = rest.split_at(fitting.count().clamp(1, rest.len()));
        rest = below;
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&beside_each_other(&names, room, beside));
    }
    text.push_str(&left_over(comparison, outcomes, width));
    text
}

/// The name of an autoscaler in lines: one, unless it has many options.
fn head(autoscaler: &str, room: usize) -> Vec<String> {
    let lines = wrapped(autoscaler, HEAD.min(room));
    lines.iter().map(|line| cut(line, room)).collect()
}

/// Wraps a text to lines of at most `most` characters, after commas only.
pub(super) fn wrapped(text: &str, most: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for part in text.split_inclusive(',') {
        let used = lines.last().map_or(0, |line| line.chars().count());
        let fits = used + part.chars().count() <= most;
        match lines.last_mut() {
            Some(line) if fits || used == 0 => line.push_str(part),
            _ => lines.push(part.to_owned()),
        }
    }
    lines
}

fn beside_each_other(names: &[String], room: usize, columns: &[Column]) -> String {
    let heads = columns.iter().map(|column| column.head.len()).max();
    let heads = heads.unwrap_or(0);
    let mut text = String::new();
    for line in 0..heads + names.len() {
        let name = line.checked_sub(heads).and_then(|place| names.get(place));
        let name = name.map_or("autoscaler", |name| name.as_str());
        // The names of the autoscalers end just above the figures.
        let name = if line + 1 < heads { "" } else { name };
        let mut row = format!("{name:<room$}");
        for column in columns {
            let above = heads - column.head.len();
            let mut cells = column.head.iter().chain(&column.values);
            let cell = line.checked_sub(above).and_then(|place| cells.nth(place));
            let cell = cell.map_or("", |cell| cell.as_str());
            let space = GAP + column.width();
            let _ = write!(row, "{cell:>space$}");
        }
        let _ = writeln!(text, "{}", row.trim_end());
    }
    text
}

/// Unread records at the end, with the first seed.
fn left_over(comparison: &Comparison, outcomes: &[Outcome], width: usize) -> String {
    let mut text = String::new();
    for outcome in outcomes {
        let records = outcome.scores.first().map_or(0.0, |score| score.left_over);
        // A minute of work is always in progress.
        if records / comparison.parameters.consumer_rate > 60.0 {
            let (autoscaler, records) = (&outcome.autoscaler, thousands(nearest(records)));
            let line = format!("{autoscaler}: {records} records were unread at the end");
            text.push_str(&filled(&[line], width));
        }
    }
    text
}

fn actions(comparison: &Comparison, outcome: &Outcome, width: usize) -> String {
    let mut text = String::new();
    let seed = match comparison.seeds {
        1 => String::new(),
        _ => format!(" with seed {}", comparison.seed),
    };
    if outcome.actions.is_empty() {
        let _ = writeln!(text, "{} did nothing{seed}", outcome.autoscaler);
        return text;
    }
    let _ = writeln!(text, "what {} did{seed}", outcome.autoscaler);
    for action in outcome.actions.iter().take(LISTED) {
        let change = format!("{} → {}", action.from, action.to);
        let reason = action.reason.as_deref().unwrap_or_default();
        let trail = action.trail.as_deref().unwrap_or_default();
        let when = clock(comparison, action.t);
        let line = format!("{when:>11}  {change:<8} {reason:<18} {trail}");
        let _ = writeln!(text, "{}", cut(&line, width));
    }
    let more = outcome.actions.len().saturating_sub(LISTED);
    if more > 0 {
        let _ = writeln!(
            text,
            "{:>11}  {more} more; --output json has all of them",
            ""
        );
    }
    text
}
