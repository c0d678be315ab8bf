//! The same plots as a picture: load, replicas, lag and delay over time, one line per autoscaler.
//! It follows the light or dark scheme of the reader, and describes its content in text.

use std::fmt::Write as _;

use super::axis::{Show, round_up, times};
use super::table::wrapped;
use super::{clock, seconds, short};
use crate::simulate::number::{count, floor, place, real};
use crate::simulate::{Comparison, Outcome};

/// Sizes in pixels.
const WIDTH: f64 = 1000.0;
const LEFT: f64 = 70.0;
/// Half of the last label of the time axis extends into it.
const RIGHT: f64 = 50.0;
const PANEL: f64 = 130.0;
const GAP: f64 = 34.0;
const LINE: f64 = 18.0;
/// Maximum width of a character, in the legend and in the title.
const CHARACTER: f64 = 7.5;
const WIDE_CHARACTER: f64 = 9.5;
/// Width of a mark of the legend, and of the space after an entry.
const MARK: f64 = 24.0;
/// Maximum number of points of a line.
const POINTS: usize = 900;
/// Colours that colour-blind people can tell apart (Okabe and Ito), on white and on black. Their
/// own last one is black, and is replaced.
const COLOURS: [&str; 7] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8560c4",
];
/// Degrees of hue from one further colour to the next: the golden angle, so no hue repeats.
const GOLDEN: f64 = 137.508;

const STYLE: &str = ".back{fill:#ffffff}.ink{fill:#1f2328}.note{fill:#59636e}.grid{stroke:#d8dde3}.late{stroke:#818b96}.load{stroke:#59636e}\n\
    @media (prefers-color-scheme: dark){.back{fill:#0d1117}.ink{fill:#f0f6fc}.note{fill:#9198a1}.grid{stroke:#30363d}.load{stroke:#9198a1}}";

/// The picture of the runs with the first seed.
pub fn svg(comparison: &Comparison, outcomes: &[Outcome]) -> String {
    let panels = [
        (Show::Load, "load, records/s"),
        (Show::Replicas, "replicas"),
        (Show::Lag, "lag, records"),
        (Show::Delay, "delay, seconds"),
    ];
    let title = format!(
        "{}: {} h, {} partitions ({})",
        comparison.group,
        short(comparison.seconds() / 3600.0),
        comparison.partitions(),
        comparison.parameters.assignor.as_str()
    );
    let mut y = 4.0;
    let mut head = String::new();
    for line in in_pieces(&title, characters(WIDTH - LEFT - RIGHT, WIDE_CHARACTER)) {
        y += LINE;
        let line = escaped(&line);
        let _ = writeln!(
            head,
            "<text class=\"ink\" x=\"{LEFT}\" y=\"{y:.0}\" font-size=\"15\">{line}</text>"
        );
    }
    y = legend(&mut head, comparison, outcomes, y + LINE);
    let top = y + GAP;
    let height = top + 4.0 * (PANEL + GAP) + 10.0;
    let autoscalers: Vec<&str> = outcomes
        .iter()
        .map(|outcome| outcome.autoscaler.as_str())
        .collect();
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         role=\"img\" aria-labelledby=\"title description\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <title id=\"title\">{}</title>\n\
         <desc id=\"description\">The load, and replicas, lag and delay over time under {}. What waits longer than {} is late.</desc>\n\
         <style>{STYLE}</style>\n<rect class=\"back\" width=\"100%\" height=\"100%\"/>\n",
        escaped(&title),
        escaped(&autoscalers.join(", ")),
        seconds(comparison.objective),
    );
    text.push_str(&head);
    for (place, (show, name)) in panels.into_iter().enumerate() {
        let top = top + count(place) * (PANEL + GAP);
        panel(&mut text, comparison, outcomes, show, name, top);
    }
    text.push_str("</svg>\n");
    text
}

/// The colour of an autoscaler; no other has it.
fn colour(place: usize) -> String {
    let beyond = place.saturating_sub(COLOURS.len());
    COLOURS.get(place).map_or_else(
        || {
            format!(
                "hsl({:.1}, 60%, 50%)",
                (20.0 + count(beyond) * GOLDEN) % 360.0
            )
        },
        |colour| (*colour).to_owned(),
    )
}

/// The dashes of the line of an autoscaler: none for the first colours, dashes where there are more
/// lines than colours that are easily told apart.
fn dashes(place: usize) -> &'static str {
    match place / COLOURS.len() % 3 {
        0 => "",
        1 => " stroke-dasharray=\"7 3\"",
        _ => " stroke-dasharray=\"2 3\"",
    }
}

/// Draws a mark and a name for each autoscaler, and for the line of the objective, in as many lines
/// as needed. Returns where the legend ends.
fn legend(text: &mut String, comparison: &Comparison, outcomes: &[Outcome], first: f64) -> f64 {
    let late = if comparison.is_promised {
        "maxDelay"
    } else {
        "late after"
    };
    let late = format!("{late} {}", seconds(comparison.objective));
    let autoscalers = outcomes.iter().enumerate().map(|(place, outcome)| {
        let stroke = format!(
            "stroke=\"{}\" stroke-width=\"3\"{}",
            colour(place),
            dashes(place)
        );
        (stroke, outcome.autoscaler.clone())
    });
    let late = ("class=\"late\" stroke-dasharray=\"5 4\"".to_owned(), late);
    let (mut x, mut y) = (LEFT, first);
    for (stroke, name) in autoscalers.chain([late]) {
        let most = characters(WIDTH - LEFT - RIGHT - MARK, CHARACTER);
        let lines = wrapped(&name, most).into_iter();
        let lines: Vec<String> = lines.flat_map(|line| in_pieces(&line, most)).collect();
        let widest = lines.iter().map(|line| line.chars().count()).max();
        let width = MARK + CHARACTER * count(widest.unwrap_or(0));
        if x > LEFT && x + width > WIDTH - RIGHT {
            (x, y) = (LEFT, y + LINE);
        }
        let _ = writeln!(
            text,
            "<line x1=\"{x:.0}\" y1=\"{at:.0}\" x2=\"{:.0}\" y2=\"{at:.0}\" {stroke}/>",
            x + 18.0,
            at = y - 4.0
        );
        for (place, line) in lines.iter().enumerate() {
            y += if place > 0 { LINE } else { 0.0 };
            let _ = writeln!(
                text,
                "<text class=\"ink\" x=\"{:.0}\" y=\"{y:.0}\">{}</text>",
                x + MARK,
                escaped(line)
            );
        }
        x += width + MARK;
    }
    y
}

/// Number of characters that fit.
fn characters(room: f64, each: f64) -> usize {
    place(floor(room / each))
}

/// Splits a text into pieces of at most this number of characters.
fn in_pieces(text: &str, most: usize) -> Vec<String> {
    let all: Vec<char> = text.chars().collect();
    all.chunks(most.max(1)).map(String::from_iter).collect()
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
        "<text class=\"note\" x=\"{LEFT}\" y=\"{:.0}\">{name}</text>",
        top - 5.0
    );
    for share in [0.0, 0.5, 1.0] {
        let y = bottom - share * PANEL;
        let _ = writeln!(
            text,
            "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{:.0}\" y2=\"{y:.1}\" class=\"grid\"/><text class=\"note\" x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
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
            "<line x1=\"{x:.1}\" y1=\"{top:.0}\" x2=\"{x:.1}\" y2=\"{bottom:.0}\" class=\"grid\"/><text class=\"note\" x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{}</text>",
            bottom + 14.0,
            clock(comparison, t)
        );
    }
    if show == Show::Delay {
        let y = bottom - objective / highest * PANEL;
        let _ = writeln!(
            text,
            "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{:.0}\" y2=\"{y:.1}\" class=\"late\" stroke-dasharray=\"5 4\"/>",
            LEFT + width
        );
    }
    // The load is the same for all autoscalers.
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
                // Replicas change in steps.
                (Some(last), Show::Replicas) => {
                    let _ = write!(path, "L{x:.1} {last:.1}L");
                }
                (Some(_), _) => path.push('L'),
            }
            let _ = write!(path, "{x:.1} {y:.1}");
            last = Some(y);
        }
        let stroke = if show == Show::Load {
            "class=\"load\"".to_owned()
        } else {
            format!("stroke=\"{}\"{}", colour(place), dashes(place))
        };
        let _ = writeln!(
            text,
            "<path d=\"{path}\" fill=\"none\" {stroke} stroke-width=\"1.3\" stroke-linejoin=\"round\"/>"
        );
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_autoscalers_share_a_colour() {
        let colours: BTreeSet<String> = (0..300).map(colour).collect();
        assert_eq!(colours.len(), 300);
    }
}
