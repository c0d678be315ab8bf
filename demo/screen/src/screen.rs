//! Renders the screen from the model. Pure.

use std::{fmt::Write as _, time::Duration};

use jiff::{SignedDuration, Timestamp};
use lagrange_core::api::DecisionStatus;

use crate::{
    load::Load,
    model::{Group, Happening, Model, Sizes},
    style::{Line, Style},
    terminal::Size,
    words::{clock, count, minutes, thousands},
};

/// Columns of a name.
const NAME: usize = 16;
/// Most columns of a curve.
const CURVE: usize = 100;
/// Columns beside a curve.
const BESIDE: usize = NAME + 20;
/// Reasons of waits that end with a condition; their `notBefore` is the timeout.
const UNTIL_DONE: [&str; 3] = ["Settling", "RolloutInProgress", "GroupRebalancing"];

/// Time at which a screen is drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) elapsed: Duration,
    pub(crate) length: Duration,
    pub(crate) now: Timestamp,
}

/// The lines of the screen.
pub(crate) fn of(model: &Model, moment: &Moment, size: Size, blocks: bool) -> Vec<Line> {
    let curve = size.width.saturating_sub(BESIDE).min(CURVE);
    let mut lines = vec![
        Line::default()
            .with(Style::Bold, format!("{:NAME$}", "Lagrange demo"))
            .with(
                Style::Plain,
                format!("{} of {}", minutes(moment.elapsed), minutes(moment.length)),
            )
            .with(
                Style::Dim,
                format!(
                    "    {} UTC    Ctrl-C stops and cleans up",
                    clock(moment.now)
                ),
            ),
        load(&model.load, curve, blocks),
    ];
    for (name, group) in &model.groups {
        lines.push(Line::default());
        lines.extend(of_group(name, group, moment.now, curve, blocks));
    }
    if model.groups.is_empty() {
        lines.push(Line::default().with(Style::Dim, "waiting for kubectl ..."));
    }
    lines.push(Line::default());
    let room = size.height.saturating_sub(lines.len() + 1);
    if room > 0 {
        lines.push(Line::default().with(Style::Bold, "Latest events"));
        lines.extend(model.happenings.iter().rev().take(room).map(happening));
    }
    lines
}

fn load(load: &Load, curve: usize, blocks: bool) -> Line {
    let numbers = format!("load {:>11}/s  ", thousands(load.rate));
    Line::default()
        .with(Style::Bold, format!("{:NAME$}", "order-events"))
        .with(Style::Plain, numbers)
        .with(
            Style::Good,
            curve_of(load.rates.iter().copied(), curve, blocks),
        )
}

fn of_group(name: &str, group: &Group, now: Timestamp, curve: usize, blocks: bool) -> Vec<Line> {
    let lag = group.lag().map_or("unknown".to_owned(), thousands);
    let lags = group.lags.iter().map(|lag| lag.unsigned_abs());
    let mut lines = vec![
        Line::default()
            .with(Style::Bold, format!("{name:NAME$}"))
            .with(Style::Plain, format!("lag {lag:>13}  "))
            .with(Style::Warn, curve_of(lags, curve, blocks)),
        size_of(group, blocks),
    ];
    if let Some(decision) = group.decision() {
        lines.push(decided(decision));
        lines.push(next(decision, now));
    }
    lines
}

fn size_of(group: &Group, blocks: bool) -> Line {
    let Some(sizes) = group.sizes() else {
        return Line::default().with(Style::Dim, "  replicas unknown");
    };
    let (ready, starting, free) = bar(sizes, blocks);
    let mut words = format!(
        " {} of {}, {} ready, {} desired",
        sizes.current,
        sizes
            .limit
            .map_or("?".to_owned(), |limit| limit.to_string()),
        sizes.ready,
        sizes.desired
    );
    if let Some(partitions) = group.status.partitions {
        let _ = write!(words, "  {}", count(partitions, "partition"));
    }
    if let Some(seen) = &group.status.group {
        let members = seen.members.unwrap_or(0);
        let idle = seen.idle_members.unwrap_or(0);
        let state = seen.state.as_deref().unwrap_or("unknown");
        let _ = write!(
            words,
            ", {}, {idle} idle, {state}",
            count(members, "member")
        );
    }
    Line::default()
        .with(Style::Plain, "  ")
        .with(Style::Good, ready)
        .with(Style::Warn, starting)
        .with(Style::Dim, free)
        .with(Style::Plain, words)
}

/// The bar of replicas: ready ones, those that start or end, and free ones up to the limit.
fn bar(sizes: Sizes, blocks: bool) -> (String, String, String) {
    let (full, part, none) = if blocks {
        ("██ ", "▒▒ ", "·· ")
    } else {
        ("## ", "++ ", ".. ")
    };
    let cells = |n: i32| usize::try_from(n).unwrap_or(0).min(20);
    let (current, ready) = (cells(sizes.current), cells(sizes.ready));
    let most = cells(sizes.limit.unwrap_or(sizes.current))
        .max(current)
        .max(ready);
    let sure = ready.min(current);
    let unsure = ready.max(current) - sure;
    (
        full.repeat(sure),
        part.repeat(unsure),
        none.repeat(most - sure - unsure),
    )
}

fn decided(decision: &DecisionStatus) -> Line {
    let style = match decision.action.as_str() {
        "Hold" => Style::Plain,
        _ => Style::Good,
    };
    let mut what = decision.action.clone();
    if let (Some(from), Some(to)) = (decision.from, decision.to)
        && from != to
    {
        what = format!("{what} {from} -> {to}");
    }
    // The next line shows the time.
    let why = ["; next action not before", "; waits until"]
        .iter()
        .fold(decision.message.as_str(), |why, end| {
            why.split(end).next().unwrap_or_default()
        });
    Line::default()
        .with(style, format!("  {what}, {}", decision.reason))
        .with(Style::Dim, format!(": {why}"))
}

fn next(decision: &DecisionStatus, now: Timestamp) -> Line {
    let until = decision
        .not_before
        .as_ref()
        .and_then(|text| text.parse::<Timestamp>().ok())
        .filter(|until| *until > now);
    let words = match until {
        None => "next action: when needed".to_owned(),
        Some(until) if UNTIL_DONE.contains(&decision.reason.as_str()) => {
            format!(
                "next action: when that is done; timeout at {}",
                clock(until)
            )
        }
        Some(until) => {
            let left = until.duration_since(now) + SignedDuration::from_millis(999);
            format!(
                "next action: not before {}, in {} s",
                clock(until),
                left.as_secs()
            )
        }
    };
    Line::default().with(Style::Dim, format!("  {words}"))
}

fn happening(happening: &Happening) -> Line {
    let style = if happening.warning {
        Style::Warn
    } else if happening.reason.starts_with("Scaled") {
        Style::Good
    } else {
        Style::Plain
    };
    Line::default()
        .with(Style::Dim, format!("  {}  ", clock(happening.time)))
        .with(Style::Plain, format!("{:NAME$}", happening.about))
        .with(style, happening.reason.clone())
        .with(Style::Plain, format!("  {}", happening.note))
}

/// The last `width` numbers as a curve of one line, scaled to the highest of all numbers.
pub(crate) fn curve_of(numbers: impl Iterator<Item = u64>, width: usize, blocks: bool) -> String {
    let steps: &[char] = if blocks {
        &['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']
    } else {
        &['_', '.', '-', '=', '+', '*', '%', '#']
    };
    let numbers: Vec<u64> = numbers.collect();
    let shown = numbers
        .get(numbers.len().saturating_sub(width)..)
        .unwrap_or(&[]);
    let highest = numbers.iter().copied().max().unwrap_or(0).max(1);
    let step = |n: u64| {
        let top = steps.len() as u64 - 1;
        // Round up, so that any number above 0 is visible.
        let height = (n.saturating_mul(top)).div_ceil(highest);
        usize::try_from(height).unwrap_or(0)
    };
    shown.iter().filter_map(|n| steps.get(step(*n))).collect()
}
