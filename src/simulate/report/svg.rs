//! The same plots as a picture: load, replicas, lag and delay over time, one line for each law.

use std::fmt::Write as _;

use super::axis::{Show, round_up, times};
use super::{clock, short};
use crate::simulate::number::{count, real};
use crate::simulate::{Comparison, Outcome};

/// Sizes in pixels.
const WIDTH: f64 = 1000.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 64.0;
const PANEL: f64 = 130.0;
const GAP: f64 = 34.0;
/// Points of a line at most.
const POINTS: usize = 900;
/// Colours that people tell apart who see few of them (Okabe and Ito).
const COLOURS: [&str; 7] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000",
];

/// The picture.
pub fn svg(comparison: &Comparison, outcomes: &[Outcome]) -> String {
    let panels = [
        (Show::Load, "load, records/s"),
        (Show::Replicas, "replicas"),
        (Show::Lag, "lag, records"),
        (Show::Delay, "delay, seconds"),
    ];
    let height = TOP + 4.0 * (PANEL + GAP) + 10.0;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    let title = format!(
        "{}: {} h, {} partitions ({})",
        comparison.group,
        short(comparison.seconds() / 3600.0),
        comparison.partitions(),
        comparison.parameters.assignor.as_str()
    );
    let _ = writeln!(
        text,
        "<text x=\"{LEFT}\" y=\"22\" font-size=\"15\">{}</text>",
        escaped(&title)
    );
    legend(&mut text, outcomes);
    for (place, (show, name)) in panels.into_iter().enumerate() {
        let top = TOP + count(place) * (PANEL + GAP);
        panel(&mut text, comparison, outcomes, show, name, top);
    }
    text.push_str("</svg>\n");
    text
}

fn colour(place: usize) -> &'static str {
    COLOURS
        .get(place % COLOURS.len())
        .copied()
        .unwrap_or("#000000")
}

fn legend(text: &mut String, outcomes: &[Outcome]) {
    let mut x = LEFT;
    for (place, outcome) in outcomes.iter().enumerate() {
        let colour = colour(place);
        let _ = writeln!(
            text,
            "<rect x=\"{x:.0}\" y=\"34\" width=\"18\" height=\"4\" fill=\"{colour}\"/><text x=\"{:.0}\" y=\"41\">{}</text>",
            x + 24.0,
            escaped(&outcome.law)
        );
        x += 48.0 + 7.0 * count(outcome.law.chars().count());
    }
}

fn panel(
    text: &mut String,
    comparison: &Comparison,
    outcomes: &[Outcome],
    show: Show,
    name: &str,
    top: f64,
) {
    let (width, bottom) = (WIDTH - LEFT - RIGHT, top + PANEL);
    let objective = real(comparison.objective);
    let highest = show.highest(outcomes);
    let highest = match show {
        Show::Delay => round_up(highest.max(objective)),
        _ => round_up(highest),
    };
    let _ = writeln!(
        text,
        "<text x=\"{LEFT}\" y=\"{:.0}\" fill=\"#555555\">{name}</text>",
        top - 5.0
    );
    for share in [0.0, 0.5, 1.0] {
        let y = bottom - share * PANEL;
        let _ = writeln!(
            text,
            "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{:.0}\" y2=\"{y:.1}\" stroke=\"#dddddd\"/><text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555555\">{}</text>",
            LEFT + width,
            LEFT - 6.0,
            y + 4.0,
            short(share * highest)
        );
    }
    for t in times(comparison.load.length, 8) {
        let x = LEFT + width * real(t) / comparison.seconds();
        let _ = writeln!(
            text,
            "<line x1=\"{x:.1}\" y1=\"{top:.0}\" x2=\"{x:.1}\" y2=\"{bottom:.0}\" stroke=\"#eeeeee\"/><text x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\" fill=\"#555555\">{}</text>",
            bottom + 14.0,
            clock(comparison, t)
        );
    }
    if show == Show::Delay {
        let y = bottom - objective / highest * PANEL;
        let _ = writeln!(
            text,
            "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{:.0}\" y2=\"{y:.1}\" stroke=\"#888888\" stroke-dasharray=\"5 4\"/>",
            LEFT + width
        );
    }
    // The load is the same for all.
    let shown = if show == Show::Load {
        1
    } else {
        outcomes.len()
    };
    for (place, outcome) in outcomes.iter().take(shown).enumerate().rev() {
        let points = POINTS.min(outcome.series.len().max(1));
        let values = show.columns(outcome, points);
        let mut path = String::new();
        let mut last: Option<f64> = None;
        for (at, value) in values.iter().enumerate() {
            let x = LEFT + width * count(at) / count(points);
            let y = bottom - (value / highest).min(1.0) * PANEL;
            match (last, show) {
                (None, _) => path.push('M'),
                // Replicas go in steps.
                (Some(last), Show::Replicas) => {
                    let _ = write!(path, "L{x:.1} {last:.1}L");
                }
                (Some(_), _) => path.push('L'),
            }
            let _ = write!(path, "{x:.1} {y:.1}");
            last = Some(y);
        }
        let colour = if show == Show::Load {
            "#555555"
        } else {
            colour(place)
        };
        let _ = writeln!(
            text,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.3\" stroke-linejoin=\"round\"/>"
        );
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
