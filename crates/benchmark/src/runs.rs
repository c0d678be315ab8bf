//! Runs autoscalers over scenarios, on all cores.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;

use lagrange_core::scaling::SharedTuning;
use lagrange_core::simulate::plant::Score;

use crate::autoscalers::{self, CLAIRVOYANT, LAGRANGE};
use crate::judge::Judged;
use crate::scenarios::{Objective, Scenario};
use crate::table::mean;

/// Options of all runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Objective of Lagrange.
    pub objective: Objective,
    /// Seed of the random numbers within a scenario.
    pub seed: u64,
    /// Interval, in seconds, at which Lagrange's process is restarted.
    pub restart_every: Option<i64>,
    /// Parameters of Lagrange's decision.
    pub tuning: SharedTuning,
    /// Number of threads.
    pub jobs: usize,
}

/// The runs of one scenario.
#[derive(Debug)]
pub struct Run {
    /// The scenario.
    pub scenario: Scenario,
    /// Score of each autoscaler.
    pub scores: BTreeMap<String, Score>,
    /// The largest size that Lagrange asked for.
    pub largest: i32,
    /// The promises that Lagrange broke.
    pub broken: Vec<String>,
}

/// The result of one autoscaler in one scenario.
struct Done {
    scenario: usize,
    name: String,
    score: Option<Score>,
    largest: i32,
    broken: Vec<String>,
}

/// Runs each of `names` over each scenario. The result does not depend on the order in which
/// threads run them.
pub fn run(
    scenarios: Vec<Scenario>,
    names: &[&str],
    options: &Options,
) -> Result<Vec<Run>, String> {
    let mut jobs: Vec<(usize, &str)> = Vec::new();
    for place in 0..scenarios.len() {
        jobs.extend(names.iter().map(|name| (place, *name)));
    }
    // The longest first, so that no thread is left with a long one at the end.
    let work = |(place, name): &(usize, &str)| {
        let length = scenarios.get(*place).map_or(0, |s| s.load.length);
        let runs = if *name == CLAIRVOYANT { 40 } else { 1 };
        std::cmp::Reverse(length * runs)
    };
    jobs.sort_by_key(work);
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        while let Some((place, name)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Some(scenario) = scenarios.get(*place) {
                done.push(one(scenario, *place, name, options)?);
            }
        }
        Ok::<_, String>(done)
    };
    let all: Result<Vec<_>, String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..options.jobs.max(1))
            .map(|_| scope.spawn(worker))
            .collect();
        let ended = workers.into_iter().map(ScopedJoinHandle::join);
        ended
            .map(|run| run.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let empty = |scenario| Run {
        scenario,
        scores: BTreeMap::new(),
        largest: 0,
        broken: Vec::new(),
    };
    let mut runs: Vec<Run> = scenarios.into_iter().map(empty).collect();
    for done in all?.into_iter().flatten() {
        if let (Some(run), Some(score)) = (runs.get_mut(done.scenario), done.score) {
            run.largest = run.largest.max(done.largest);
            run.broken.extend(done.broken);
            run.scores.insert(done.name, score);
        }
    }
    Ok(runs)
}

/// The geometric mean of Lagrange's J, divided by that in other runs of the same scenarios.
pub fn share(runs: &[Run], others: &[Run]) -> f64 {
    let j = |run: &Run| run.scores.get(LAGRANGE).map(|score| score.j);
    let pairs = runs.iter().zip(others);
    let ratios: Vec<f64> = pairs.filter_map(|(a, b)| Some(j(a)? / j(b)?)).collect();
    mean(&ratios).unwrap_or(1.0)
}

fn one(scenario: &Scenario, place: usize, name: &str, options: &Options) -> Result<Done, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}, {name}: {error}", scenario.name);
    let baselines = autoscalers::baselines(name, scenario).map_err(|error| failed(&error))?;
    let is_restarted = name == LAGRANGE;
    let restart_every = options.restart_every.filter(|_| is_restarted);
    let comparison = scenario
        .setup(
            options.objective,
            baselines,
            options.seed,
            restart_every,
            options.tuning.clone(),
        )
        .map_err(|error| failed(&error))?;
    if name != LAGRANGE {
        let outcome = comparison.run_baseline(0).map_err(|error| failed(&error))?;
        return Ok(Done {
            scenario: place,
            name: name.to_owned(),
            score: outcome.scores.into_iter().next(),
            largest: 0,
            broken: Vec::new(),
        });
    }
    let lagrange = comparison.lagrange().map_err(|error| failed(&error))?;
    let mut judged = Judged::new(lagrange, scenario.outages());
    let outcome = comparison.run_autoscaler(name, &mut judged);
    Ok(Done {
        scenario: place,
        name: name.to_owned(),
        score: outcome.scores.into_iter().next(),
        largest: judged.largest(),
        broken: judged.broken(),
    })
}
