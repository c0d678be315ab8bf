//! The figures of an autoscaler: of one run, or mean and range of several.

use serde_json::{Map, Value};

use super::{seconds, short, thousands};
use crate::simulate::Outcome;
use crate::simulate::number::{count, nearest, real};
use crate::simulate::plant::Score;

/// A figure of the table.
pub(super) struct Figure {
    pub(super) name: String,
    of: fn(&Score) -> f64,
    show: fn(f64) -> String,
}

/// The figures, in the order of the table.
pub(super) fn figures(objective: i64) -> [Figure; 9] {
    let whole: fn(f64) -> String = |value| thousands(nearest(value));
    let tenths: fn(f64) -> String = |value| format!("{value:.1}");
    let figure = |name: &str, of, show| Figure {
        name: name.to_owned(),
        of,
        show,
    };
    [
        figure(
            &format!("s > {}", seconds(objective)),
            |s| real(s.late_seconds),
            whole,
        ),
        figure("late %", |s| s.late_percent, |value| format!("{value:.2}")),
        figure("replica h", |s| s.replica_hours, tenths),
        figure("replicas", |s| s.mean_replicas, tenths),
        figure("rescales", |s| count(s.rescales), whole),
        figure("stall s", |s| s.stall_seconds, whole),
        figure("idle h", |s| s.idle_hours, tenths),
        figure(
            "max delay",
            |s| real(s.max_delay_seconds),
            |value| seconds(nearest(value)),
        ),
        figure("J", |s| s.j, short),
    ]
}

impl Figure {
    /// The figure of one run. Of several runs the mean, with the lowest and the highest in brackets
    /// if they differ.
    pub(super) fn of(&self, outcome: &Outcome) -> String {
        let values: Vec<f64> = outcome.scores.iter().map(self.of).collect();
        let (mean, least, most) = spread(&values);
        let [mean, least, most] = [mean, least, most].map(self.show);
        if least == most {
            mean
        } else {
            format!("{mean} ({least}–{most})")
        }
    }
}

/// Mean, lowest and highest.
fn spread(values: &[f64]) -> (f64, f64, f64) {
    let mean = values.iter().sum::<f64>() / count(values.len().max(1));
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (mean, least, most)
}

/// The scores of an autoscaler as JSON: that of the first run. Of several runs also all scores, and
/// the mean, the lowest and the highest of each figure.
pub(super) fn json(outcome: &Outcome) -> Map<String, Value> {
    let scores: Vec<Map<String, Value>> = outcome
        .scores
        .iter()
        .filter_map(|score| match serde_json::to_value(score) {
            Ok(Value::Object(score)) => Some(score),
            _ => None,
        })
        .collect();
    let mut all = Map::new();
    let Some(first) = scores.first().cloned() else {
        return all;
    };
    if scores.len() > 1 {
        let mut spreads = [Map::new(), Map::new(), Map::new()];
        for name in first.keys() {
            let values = scores.iter().filter_map(|score| score.get(name)?.as_f64());
            let (mean, least, most) = spread(&values.collect::<Vec<_>>());
            for (spread, value) in spreads.iter_mut().zip([mean, least, most]) {
                spread.insert(name.clone(), value.into());
            }
        }
        for (name, spread) in ["mean", "least", "most"].into_iter().zip(spreads) {
            all.insert(name.to_owned(), spread.into());
        }
        all.insert("scores".to_owned(), scores.into());
    }
    all.insert("score".to_owned(), first.into());
    all
}
