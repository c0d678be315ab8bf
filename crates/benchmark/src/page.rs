//! Updates the rows of docs/max-delay.md to those of a run.

use crate::autoscalers::{CLAIRVOYANT, KEDA_TUNED, LAGRANGE, STATIC_MAX};
use crate::runs::Run;
use crate::scenarios::Objective;
use crate::table::Row;

/// Labels of the autoscalers on the page.
const LABELS: [(&str, &str); 11] = [
    (CLAIRVOYANT, "the best plan that knew the future"),
    (STATIC_MAX, "always the largest useful size"),
    ("keda-default", "KEDA, `lagThreshold: 10`"),
    (KEDA_TUNED, "KEDA, tuned with the true capacity"),
    ("hpa-cpu-70", "HPA, 70 % CPU"),
    ("hpa-cpu-50", "HPA, 50 % CPU"),
    ("flink-default", "Flink's autoscaler, defaults"),
    (
        "flink-docs",
        "Flink's autoscaler, the values of its documentation",
    ),
    ("brandwatch-kpa", "Brandwatch's kafka-pod-autoscaler"),
    ("numaflow", "Numaflow"),
    (LAGRANGE, "**Lagrange, `maxDelay`**"),
];
/// Label of Lagrange with the lag objective.
const BY_LAG: &str = "Lagrange, `lagPerReplica` (ten seconds of one consumer's work)";

/// The page with the rows of these runs. `None` if a row is missing.
pub fn renewed(page: &str, runs: &[Run], objective: Objective) -> Option<String> {
    let mut rows = Vec::new();
    for (name, label) in LABELS {
        let label = match (name, objective) {
            (LAGRANGE, Objective::Lag) => BY_LAG,
            (_, Objective::Lag) => continue,
            (_, Objective::Delay) => label,
        };
        let row = Row::of(&runs.iter().collect::<Vec<_>>(), name)?;
        rows.push((format!("| {label} | "), row.shown()));
    }
    let renew = |line: &str| {
        let row = rows
            .iter()
            .find(|(begin, _)| line.starts_with(begin.as_str()));
        row.map_or(line.to_owned(), |(begin, cells)| {
            format!("{begin}{cells} |")
        })
    };
    let has = |begin: &str| page.lines().any(|line| line.starts_with(begin));
    let lines: Vec<String> = page.lines().map(renew).collect();
    rows.iter()
        .all(|(begin, _)| has(begin))
        .then(|| lines.join("\n") + "\n")
}
