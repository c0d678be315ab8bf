//! The limits of the figures: over the whole catalogue, and in the scenarios that show one promise
//! each.

use crate::autoscalers::{CLAIRVOYANT, KEDA_TUNED, LAGRANGE};
use crate::runs::Run;
use crate::scenarios::Objective;
use crate::table::{self, Row};

/// The figures above their limit in single scenarios, with the catalogue's own seed.
pub fn single(run: &Run, objective: Objective) -> Vec<String> {
    let Some(score) = run.scores.get(LAGRANGE) else {
        return Vec::new();
    };
    let name = run.scenario.name.as_str();
    let mut faults = Vec::new();
    let mut at_most = |what: &str, value: f64, limit: f64| {
        if value > limit {
            faults.push(format!("{name}: {what} {value:.1} is above {limit}"));
        }
    };
    match (name, objective) {
        ("flat", Objective::Delay) => at_most("rescales", count(score.rescales), 12.0),
        ("downstream", Objective::Delay) => at_most("replica-hours", score.replica_hours, 75.0),
        ("hot", Objective::Delay) => at_most("replica-hours", score.replica_hours, 110.0),
        // At most 12 replicas can be given a partition.
        ("multitopic", _) => at_most("replicas", f64::from(run.largest), 12.0),
        ("expansion", Objective::Delay) => {
            at_most(
                "late seconds",
                count(usize::try_from(score.late_seconds).unwrap_or(0)),
                0.0,
            );
            if run.largest <= 12 {
                faults.push("expansion: the new partitions were never used".to_owned());
            }
        }
        _ => {}
    }
    faults
}

/// The figures above their limit over the whole catalogue. A figure that needs an autoscaler that
/// was not run has no limit.
pub fn totals(runs: &[Run], objective: Objective) -> Vec<String> {
    let all: Vec<&Run> = runs.iter().collect();
    let Some(row) = Row::of(&all, LAGRANGE) else {
        return Vec::new();
    };
    let worst = table::ratios(&all, LAGRANGE, CLAIRVOYANT);
    let worst = worst.into_iter().max_by(f64::total_cmp);
    let keda = table::ratios(&all, LAGRANGE, KEDA_TUNED);
    let worse = keda.iter().filter(|ratio| **ratio > 1.0).count();
    let over_floor = count(usize::try_from(row.over_floor).unwrap_or(usize::MAX));
    let figures = match objective {
        Objective::Delay => vec![
            ("J over the clairvoyant's", row.over_clairvoyant, 1.15),
            ("J over tuned KEDA's", row.over_keda, 0.70),
            ("seconds over the floor", Some(over_floor), 3500.0),
            ("replica-hours", Some(row.replica_hours), 2750.0),
            ("rescales", Some(count(row.rescales)), 850.0),
            ("stall seconds", Some(row.stall), 6000.0),
            ("idle hours", Some(row.idle), 0.5),
            ("the worst J over the clairvoyant's", worst, 1.55),
            ("scenarios worse than tuned KEDA's", Some(count(worse)), 0.0),
        ],
        Objective::Lag => vec![
            ("J over tuned KEDA's", row.over_keda, 0.77),
            ("rescales", Some(count(row.rescales)), 1000.0),
            ("idle hours", Some(row.idle), 0.5),
        ],
    };
    let above = figures
        .into_iter()
        .filter_map(|(what, value, limit)| Some((what, value.filter(|v| *v > limit)?, limit)));
    above
        .map(|(what, value, limit)| format!("{what}: {value:.3} is above {limit}"))
        .collect()
}

fn count(n: usize) -> f64 {
    u32::try_from(n).map_or(f64::INFINITY, f64::from)
}
