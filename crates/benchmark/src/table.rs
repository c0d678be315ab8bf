//! Tables in Markdown, one row for each autoscaler.

use std::fmt::Write as _;

use crate::autoscalers::{CLAIRVOYANT, KEDA_TUNED, LAGRANGE, STATIC_MAX};
use crate::runs::Run;
use crate::scenarios::GROUPS;
use lagrange_core::simulate::plant::{Assignor, Score};

/// A scenario is overloaded if a fixed size with all useful replicas is late for more than this
/// number of seconds.
const OVERLOADED: i64 = 60;

/// One table of all scenarios, after one of each group if `by_group` is set.
pub fn tables(runs: &[Run], names: &[&str], by_group: bool) -> String {
    let mut text = String::new();
    if by_group {
        let mut groups: Vec<&str> = Vec::new();
        for group in runs.iter().map(group) {
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        for name in groups {
            let of_it: Vec<&Run> = runs.iter().filter(|run| group(run) == name).collect();
            text.push_str(&table(&of_it, names, name));
        }
    }
    text.push_str(&table(&runs.iter().collect::<Vec<_>>(), names, "all"));
    text
}

/// The group of a scenario: from the catalogue, or a common property of drawn ones.
fn group(run: &Run) -> &'static str {
    let of_catalogue = GROUPS
        .iter()
        .find(|(_, names)| names.contains(&run.scenario.name.as_str()));
    if let Some((group, _)) = of_catalogue {
        return group;
    }
    let late = run
        .scores
        .get(STATIC_MAX)
        .map_or(0, |score| score.late_seconds);
    match run.scenario.parameters.assignor {
        _ if late > OVERLOADED => "overloaded",
        Assignor::Uniform => "KIP-848",
        Assignor::CooperativeSticky => "cooperative",
        Assignor::Range | Assignor::RoundRobin | Assignor::Sticky => "eager",
    }
}

fn table(runs: &[&Run], names: &[&str], label: &str) -> String {
    let mut text = format!("\n{label} ({} scenarios)\n\n", runs.len());
    text.push_str("| autoscaler | late s | over floor s | late % | late M | replica-h | rescales | undone | stall s | idle h | J/clairvoyant | J/keda-tuned |\n");
    text.push_str("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n");
    for name in names {
        if let Some(row) = Row::of(runs, name) {
            let _ = writeln!(text, "| {name} | {} |", row.cells().join(" | "));
        }
    }
    text
}

/// The figures of an autoscaler over some scenarios.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Seconds over the objective.
    pub late: i64,
    /// Seconds over the objective beyond those of a fixed size with all useful replicas, summed
    /// over scenarios.
    pub over_floor: i64,
    late_percent: f64,
    late_records: f64,
    /// Hours of pods.
    pub replica_hours: f64,
    /// Writes of the replica count.
    pub rescales: usize,
    undone: usize,
    /// Seconds without an owner, on average over the partitions.
    pub stall: f64,
    /// Hours of consumers without a partition.
    pub idle: f64,
    /// Geometric mean of J divided by the clairvoyant's.
    pub over_clairvoyant: Option<f64>,
    /// The same, divided by tuned KEDA's.
    pub over_keda: Option<f64>,
}

impl Row {
    /// The figures of `name`, if it was run.
    pub fn of(runs: &[&Run], name: &str) -> Option<Self> {
        let with: Vec<(&Run, &Score)> = runs
            .iter()
            .filter_map(|run| Some((*run, run.scores.get(name)?)))
            .collect();
        if with.is_empty() {
            return None;
        }
        let sum = |of: fn(&Score) -> f64| with.iter().map(|(_, score)| of(score)).sum::<f64>();
        let over_floor = with.iter().map(|(run, score)| {
            let floor = run
                .scores
                .get(STATIC_MAX)
                .map_or(0, |floor| floor.late_seconds);
            (score.late_seconds - floor).max(0)
        });
        Some(Self {
            late: with.iter().map(|(_, score)| score.late_seconds).sum(),
            over_floor: over_floor.sum(),
            late_percent: sum(|s| s.late_percent) / sum(|_| 1.0),
            late_records: sum(|s| s.late_percent / 100.0 * s.records) / 1e6,
            replica_hours: sum(|s| s.replica_hours),
            rescales: with.iter().map(|(_, score)| score.rescales).sum(),
            undone: with.iter().map(|(_, score)| score.oscillations).sum(),
            stall: sum(|s| s.stall_seconds),
            idle: sum(|s| s.idle_hours),
            over_clairvoyant: mean(&ratios(runs, name, CLAIRVOYANT)),
            over_keda: mean(&ratios(runs, name, KEDA_TUNED)),
        })
    }

    /// The figures for a page.
    pub(crate) fn shown(&self) -> String {
        let cells = [
            thousands(self.over_floor),
            whole(self.replica_hours),
            thousands(i64::try_from(self.rescales).unwrap_or(i64::MAX)),
            whole(self.stall),
            ratio(self.over_clairvoyant),
            ratio(self.over_keda),
        ];
        cells.join(" | ")
    }

    fn cells(&self) -> Vec<String> {
        vec![
            thousands(self.late),
            thousands(self.over_floor),
            format!("{:.2}", self.late_percent),
            format!("{:.2}", self.late_records),
            whole(self.replica_hours),
            self.rescales.to_string(),
            self.undone.to_string(),
            whole(self.stall),
            format!("{:.1}", self.idle),
            ratio(self.over_clairvoyant),
            ratio(self.over_keda),
        ]
    }
}

fn ratio(ratio: Option<f64>) -> String {
    ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.3}"))
}

/// J of one autoscaler divided by that of another, in each scenario that both ran.
pub(crate) fn ratios(runs: &[&Run], name: &str, other: &str) -> Vec<f64> {
    let j = |run: &Run, name: &str| run.scores.get(name).map(|score| score.j);
    let ratio = |run: &&Run| Some(j(run, name)? / j(run, other)?);
    runs.iter().filter_map(ratio).collect()
}

/// The geometric mean.
pub fn mean(values: &[f64]) -> Option<f64> {
    let count = u32::try_from(values.len())
        .ok()
        .filter(|count| *count > 0)?;
    let sum: f64 = values.iter().map(|value| value.ln()).sum();
    Some((sum / f64::from(count)).exp())
}

/// The figures of Lagrange, scenario by scenario.
pub fn scenarios(runs: &[Run]) -> String {
    let mut text = format!(
        "{:12} {:>7} {:>9} {:>8} {:>7} {:>9} {:>6} {:>6}\n",
        "scenario", "late s", "replica-h", "rescales", "stall s", "J", "/clv", "/keda"
    );
    for run in runs {
        let Some(score) = run.scores.get(LAGRANGE) else {
            continue;
        };
        let over = |other: &str| {
            let other = run.scores.get(other);
            other.map_or("-".to_owned(), |other| format!("{:.3}", score.j / other.j))
        };
        let _ = writeln!(
            text,
            "{:12} {:>7} {:>9.2} {:>8} {:>7.0} {:>9.0} {:>6} {:>6}",
            run.scenario.name,
            score.late_seconds,
            score.replica_hours,
            score.rescales,
            score.stall_seconds,
            score.j,
            over(CLAIRVOYANT),
            over(KEDA_TUNED)
        );
    }
    text
}

/// Formats an integer with thousands separators.
fn whole(value: f64) -> String {
    format!("{value:.0}")
        .parse()
        .map_or_else(|_| value.to_string(), thousands)
}

fn thousands(value: i64) -> String {
    let digits = value.to_string();
    let places = digits.len();
    let apart = digits.chars().enumerate().flat_map(|(place, digit)| {
        let is_apart = place > 0 && (places - place).is_multiple_of(3);
        is_apart.then_some(',').into_iter().chain([digit])
    });
    apart.collect()
}
