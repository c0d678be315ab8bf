//! The table for people: what each law cost, what Lagrange did and why.

use std::fmt::Write as _;

use super::{clock, plot, seconds, short, thousands};
use crate::simulate::number::{nearest, real};
use crate::simulate::{Comparison, Outcome};

/// Actions that are listed; the JSON has all of them.
const LISTED: usize = 30;

/// What is shown on a terminal, in lines of at most about `width` columns.
pub fn text(comparison: &Comparison, outcomes: &[Outcome], width: usize) -> String {
    let mut text = heading(comparison);
    text.push('\n');
    text.push_str(&scores(comparison, outcomes));
    text.push('\n');
    text.push_str(&plot::plots(comparison, outcomes, width));
    if let Some(first) = outcomes.first() {
        text.push('\n');
        text.push_str(&actions(comparison, first, width));
    }
    text
}

fn heading(comparison: &Comparison) -> String {
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
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{}: {length} of load{from}, at most {} records/s; {late}",
        comparison.group,
        thousands(comparison.peak())
    );
    let _ = writeln!(
        text,
        "partitions: {} ({}); consumers: {} records/s each{threads}; {} replicas at the start; seed {}",
        topics.join(", "),
        parameters.assignor.as_str(),
        short(parameters.consumer_rate),
        comparison.replicas,
        comparison.seed,
    );
    text
}

fn scores(comparison: &Comparison, outcomes: &[Outcome]) -> String {
    let names = outcomes.iter().map(|outcome| outcome.law.chars().count());
    let room = names.max().unwrap_or(0).max(8);
    let late = format!("s > {}", seconds(comparison.objective));
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{:<room$} {late:>8} {:>7} {:>10} {:>9} {:>9} {:>8} {:>7} {:>10} {:>10}",
        "law", "late %", "replica h", "replicas", "rescales", "stall s", "idle h", "max delay", "J"
    );
    for outcome in outcomes {
        let score = &outcome.score;
        let _ = writeln!(
            text,
            "{:<room$} {:>8} {:>7.2} {:>10.1} {:>9.1} {:>9} {:>8} {:>7.1} {:>10} {:>10}",
            outcome.law,
            thousands(score.late_seconds),
            score.late_percent,
            score.replica_hours,
            score.mean_replicas,
            score.rescales,
            thousands(nearest(score.stall_seconds)),
            score.idle_hours,
            seconds(score.max_delay_seconds),
            thousands(nearest(score.j)),
        );
    }
    let left = outcomes
        .iter()
        .filter(|outcome| outcome.score.left_over >= 1.0);
    for outcome in left {
        let over = outcome.score.left_over / comparison.parameters.consumer_rate;
        // A second of work is always on its way.
        if over > 60.0 {
            let _ = writeln!(
                text,
                "{}: {} records were unread at the end",
                outcome.law,
                thousands(nearest(outcome.score.left_over))
            );
        }
    }
    text
}

fn actions(comparison: &Comparison, outcome: &Outcome, width: usize) -> String {
    let mut text = String::new();
    if outcome.actions.is_empty() {
        let _ = writeln!(text, "{} did nothing", outcome.law);
        return text;
    }
    let _ = writeln!(text, "what {} did", outcome.law);
    for action in outcome.actions.iter().take(LISTED) {
        let change = format!("{} → {}", action.from, action.to);
        let reason = action.reason.as_deref().unwrap_or_default();
        let trail = action.trail.as_deref().unwrap_or_default();
        let when = clock(comparison, action.t);
        let line = format!("{when:>11}  {change:<8} {reason:<18} {trail}");
        let _ = writeln!(text, "{}", cut(&line, width.max(100)));
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

/// A line that fits, or its beginning.
fn cut(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.trim_end().to_owned();
    }
    let mut kept: String = line.chars().take(width - 1).collect();
    kept.push('…');
    kept
}
