//! Runs a few scenarios of the benchmark: the promises are kept, and the cost has not grown.
//! `make bench-scaling` runs all of them.

// clippy.toml allows these in tests, but counts only code inside test functions.
#![allow(clippy::expect_used)]

use lagrange_benchmark::autoscalers::{KEDA_TUNED, LAGRANGE};
use lagrange_benchmark::limits;
use lagrange_benchmark::runs::{self, Options, Run};
use lagrange_benchmark::scenarios::{Objective, Scenario};
use lagrange_benchmark::table::Row;
use lagrange_core::scaling::SharedTuning;
use rstest::rstest;

/// Factor by which J may exceed the recorded value. Relevant changes of the rules exceed it; a
/// single choice that falls the other way does not.
const MARGIN: f64 = 1.05;

fn options(objective: Objective, restart_every: Option<i64>) -> Options {
    Options {
        objective,
        seed: 1,
        restart_every,
        tuning: SharedTuning::default(),
        jobs: std::thread::available_parallelism().map_or(1, usize::from),
    }
}

/// Runs the scenarios, and fails if a decision breaks a promise.
#[track_caller]
fn run(names: &[&str], autoscalers: &[&str], options: &Options) -> Vec<Run> {
    let scenarios = names.iter().map(|name| Scenario::named(name));
    let scenarios = scenarios.collect::<Result<_, String>>().expect("scenarios");
    let runs = runs::run(scenarios, autoscalers, options).expect("runs");
    for run in &runs {
        let name = &run.scenario.name;
        assert!(run.broken.is_empty(), "{name}: {:?}", run.broken);
        assert_eq!(limits::single(run, options.objective), [""; 0]);
    }
    runs
}

/// The recorded value of J divided by that of a tuned KEDA; [`MARGIN`] limits the present one.
#[rstest]
#[case::sizes_and_spacing(Objective::Delay, &["step", "multitopic", "prime17", "expansion", "azurellm"], 0.518)]
#[case::what_replicas_cannot_help(Objective::Delay, &["downstream", "flat", "hot"], 0.673)]
#[case::polls_that_fail(Objective::Delay, &["obsfault"], 0.697)]
#[case::lag_per_replica(Objective::Lag, &["step", "obsfault", "kill"], 0.716)]
fn promises_are_kept_and_cost_no_more_than_they_did(
    #[case] objective: Objective,
    #[case] names: &[&str],
    #[case] was: f64,
) {
    let runs = run(names, &[KEDA_TUNED, LAGRANGE], &options(objective, None));
    let row = Row::of(&runs.iter().collect::<Vec<_>>(), LAGRANGE).expect("it was run");
    let is = row.over_keda.expect("so was KEDA");
    println!("J over a tuned KEDA's in {names:?}: {is:.3}");
    assert!(is <= was * MARGIN, "{is:.3}, and it was {was}");
}

#[rstest]
#[case::every_half_hour(&["step", "tight848"], 1800)]
#[case::every_five_minutes_of_a_day(&["diurnal"], 300)]
fn a_process_that_is_started_anew_keeps_every_promise_and_costs_hardly_more(
    #[case] names: &[&str],
    #[case] seconds: i64,
) {
    let restarted = options(Objective::Delay, Some(seconds));
    let restarted = run(names, &[LAGRANGE], &restarted);
    let undisturbed = run(names, &[LAGRANGE], &options(Objective::Delay, None));
    let share = runs::share(&restarted, &undisturbed);
    assert!(share <= MARGIN, "{share:.3}");
}
