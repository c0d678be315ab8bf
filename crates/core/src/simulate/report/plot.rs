//! Small plots in text, with eight steps per line.

use std::fmt::Write as _;

use super::axis::{Show, round_up, times};
use super::{clock, cut, short};
use crate::simulate::number::{count, nearest, place, real};
use crate::simulate::{Comparison, Outcome};

/// Blocks from empty to full.
const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Columns for names and numbers on the left.
const LEFT: usize = 18;

/// One panel of this number of lines, from 0 to `top`.
fn panel(name: &str, unit: &str, values: &[f64], top: f64, lines: usize) -> String {
    let mut text = String::new();
    for line in (0..lines).rev() {
        let label = match line {
            _ if line + 1 == lines => short(top),
            0 => "0".to_owned(),
            _ => String::new(),
        };
        let name = match lines - line {
            1 => name,
            2 => unit,
            _ => "",
        };
        let room = LEFT - 2 - label.chars().count();
        // Writing to a string cannot fail.
        let _ = write!(text, "{name:<room$}{label} ┤");
        for value in values {
            let eighths = nearest(value / top * count(lines) * 8.0).max(0);
            // A value above zero always shows.
            let eighths = if *value > 0.0 { eighths.max(1) } else { 0 };
            let here = (eighths - real_line(line)).clamp(0, 8);
            text.push(BLOCKS.get(place(here)).copied().unwrap_or(' '));
        }
        while text.ends_with(' ') {
            text.pop();
        }
        text.push('\n');
    }
    text
}

fn real_line(line: usize) -> i64 {
    i64::try_from(line).unwrap_or(0) * 8
}

/// The load, and replicas, lag and delay of each autoscaler, as text.
pub(super) fn plots(comparison: &Comparison, outcomes: &[Outcome], width: usize) -> String {
    let width = width.clamp(super::NARROWEST, 200) - LEFT;
    let mut text = String::new();
    if let Some(first) = outcomes.first() {
        let load = Show::Load.columns(first, width);
        let top = round_up(load.iter().copied().fold(0.0, f64::max));
        text.push_str(&panel("load", "records/s", &load, top, 4));
    }
    let replicas = round_up(Show::Replicas.highest(outcomes));
    let objective = real(comparison.objective);
    for outcome in outcomes {
        let _ = writeln!(text, "\n{}", cut(&outcome.autoscaler, width + LEFT));
        let columns = |show: Show| show.columns(outcome, width);
        // Each autoscaler has its own scale: next to one that fails, all others would be flat.
        let lag = round_up(Show::Lag.highest([outcome]));
        let delay = round_up(Show::Delay.highest([outcome]).max(objective));
        text.push_str(&panel(
            "replicas",
            "",
            &columns(Show::Replicas),
            replicas,
            4,
        ));
        text.push_str(&panel("lag", "records", &columns(Show::Lag), lag, 2));
        text.push_str(&panel("delay", "seconds", &columns(Show::Delay), delay, 2));
    }
    text.push_str(&axis(comparison, width));
    text
}

/// The time axis.
fn axis(comparison: &Comparison, width: usize) -> String {
    let length = comparison.load.length;
    let mut line = String::new();
    for t in times(length, 6) {
        let at = nearest(real(t) / real(length) * count(width));
        let label = clock(comparison, t);
        let at = place(at);
        let used = line.chars().count();
        let fits = at + label.chars().count() <= width;
        if fits && (used < at || used == 0) {
            line.push_str(&" ".repeat(at.saturating_sub(used)));
            line.push_str(&label);
        }
    }
    format!("{}{line}\n", " ".repeat(LEFT))
}
