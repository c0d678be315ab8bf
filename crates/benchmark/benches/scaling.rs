//! Compares Lagrange with other autoscalers on the simulator: `make bench-scaling`, or
//! `cargo bench --package lagrange-benchmark --bench scaling -- --help`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use lagrange_benchmark::autoscalers::{self, LAGRANGE, STATIC_MAX};
use lagrange_benchmark::runs::{self, Options, Run};
use lagrange_benchmark::scenarios::{self, Scenario};
use lagrange_benchmark::{limits, page, table};
use lagrange_core::scaling::SharedTuning;
use serde_json::json;

/// Lagrange beside other autoscalers, on the simulator
///
/// Runs each autoscaler over each scenario: the catalogue of 27, some of it, or scenarios that are
/// drawn at random. Prints tables of what each cost. Each decision of Lagrange is held against what
/// it promises, and the whole catalogue against the figures to reach: what is not kept is named,
/// and the exit status is 1. The same seed gives the same output.
#[derive(Debug, Parser)]
#[command(name = "scaling")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of the command line"
)]
struct Arguments {
    /// Scenarios of the catalogue, or drawn ones (rnd600), apart by commas [default: the catalogue]
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        conflicts_with = "random"
    )]
    scenarios: Vec<String>,
    /// Scenarios that are drawn: numbers from A to B
    #[arg(long, value_name = "A-B", value_parser = numbers)]
    random: Option<(u32, u32)>,
    /// Autoscalers, apart by commas [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',',
        value_parser = clap::builder::PossibleValuesParser::new(autoscalers::ALL))]
    autoscalers: Vec<String>,
    /// What Lagrange is asked for: maxDelay, or lagPerReplica of ten seconds of one consumer's work
    #[arg(long, value_enum, default_value = "delay")]
    objective: Objective,
    /// Replaces Lagrange's process by a new one every so many seconds; it goes on from the status
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(i64).range(1..))]
    restart_every: Option<i64>,
    /// With --restart-every: fails if J is above this share of what it is without
    #[arg(long, value_name = "SHARE", requires = "restart_every")]
    cost_at_most: Option<f64>,
    /// Pauses of rebalances as measured on real brokers, instead of rules of thumb
    #[arg(long)]
    measured: bool,
    /// Seed of arrivals, pods and faults
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Overrides a parameter of Lagrange's decision, such as surge.enabled=false; repeatable.
    /// docs/reference/tuning.md lists them
    #[arg(long, value_name = "FIELD=VALUE")]
    tuning: Vec<String>,
    /// Threads [default: one a core]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// A table for each group of scenarios as well
    #[arg(long)]
    groups: bool,
    /// Prints every figure of every run as JSON, instead of tables
    #[arg(long)]
    json: bool,
    /// Fails where the rows of a page are not what the catalogue comes to; UPDATE=1 writes them
    #[arg(long, value_name = "FILE", conflicts_with_all = ["scenarios", "random", "seed", "measured", "tuning", "restart_every"])]
    page: Option<PathBuf>,
    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Objective {
    Delay,
    Lag,
}

fn numbers(text: &str) -> Result<(u32, u32), String> {
    let pair = text.split_once('-');
    let pair = pair.and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    pair.filter(|(a, b)| a <= b)
        .ok_or_else(|| "write two numbers, such as 600-659".to_owned())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match report(&arguments) {
        Ok(faults) if faults.is_empty() => ExitCode::SUCCESS,
        Ok(faults) => {
            for fault in faults {
                eprintln!("FAILED {fault}");
            }
            ExitCode::FAILURE
        }
        Err(problem) => {
            eprintln!("scaling: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Runs everything and prints it. Returns the faults: broken promises, figures above their limits,
/// and a page that is out of date.
fn report(arguments: &Arguments) -> Result<Vec<String>, String> {
    let options = options(arguments)?;
    let names = names(arguments);
    let is_catalogue = arguments.scenarios.is_empty() && arguments.random.is_none();
    let runs = runs::run(chosen(arguments)?, &names, &options)?;
    if arguments.json {
        println!("{:#}", json(&runs));
    } else {
        print!("{}", table::tables(&runs, &names, arguments.groups));
        println!("\n{}", table::scenarios(&runs));
    }
    let mut faults: Vec<String> = Vec::new();
    // Another seed, plant or tuning is an experiment.
    let has_limits = arguments.seed == 1 && !arguments.measured && arguments.tuning.is_empty();
    for run in &runs {
        let name = &run.scenario.name;
        faults.extend(run.broken.iter().map(|fault| format!("{name}: {fault}")));
        if has_limits {
            faults.extend(limits::single(run, options.objective));
        }
    }
    if is_catalogue && has_limits && options.restart_every.is_none() {
        faults.extend(limits::totals(&runs, options.objective));
    }
    if let Some(path) = &arguments.page {
        faults.extend(out_of_date(path, &runs, options.objective)?);
    }
    if let Some(most) = arguments.cost_at_most {
        let undisturbed = Options {
            restart_every: None,
            ..options.clone()
        };
        let undisturbed = runs::run(chosen(arguments)?, &[LAGRANGE], &undisturbed)?;
        let share = runs::share(&runs, &undisturbed);
        println!("J with restarts over J without: {share:.3}");
        if share > most {
            faults.push(format!("restarts cost {share:.3} of J, above {most}"));
        }
    }
    Ok(faults)
}

/// The fault of a page that is out of date, unless it was updated.
fn out_of_date(
    path: &Path,
    runs: &[Run],
    objective: scenarios::Objective,
) -> Result<Option<String>, String> {
    let shown = path.display();
    let failed = |error| format!("{shown}: {error}");
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let renewed = page::renewed(&text, runs, objective)
        .ok_or_else(|| format!("{shown}: an autoscaler that was not run, or no row for it"))?;
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, renewed).map_err(failed)?;
        return Ok(None);
    }
    let is_same = renewed == text;
    Ok((!is_same).then(|| format!("{shown} is out of date: UPDATE=1 make bench-scaling")))
}

fn options(arguments: &Arguments) -> Result<Options, String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let tuning = SharedTuning::with(arguments.tuning.iter().map(String::as_str))
        .map_err(|error| format!("--tuning: {error}"))?;
    Ok(Options {
        objective: match arguments.objective {
            Objective::Delay => scenarios::Objective::Delay,
            Objective::Lag => scenarios::Objective::Lag,
        },
        seed: arguments.seed,
        restart_every: arguments.restart_every,
        tuning,
        jobs: arguments.jobs.unwrap_or(cores),
    })
}

/// The autoscalers to run, in the order of the table: those that were asked for, and the one that
/// sets the floor of late seconds.
fn names(arguments: &Arguments) -> Vec<&'static str> {
    let is_asked = |name: &&str| {
        let asked = &arguments.autoscalers;
        asked.is_empty() || *name == STATIC_MAX || asked.iter().any(|asked| asked == name)
    };
    autoscalers::ALL.into_iter().filter(is_asked).collect()
}

fn chosen(arguments: &Arguments) -> Result<Vec<Scenario>, String> {
    let names: Vec<String> = match arguments.random {
        Some((first, last)) => (first..=last)
            .map(|number| format!("rnd{number}"))
            .collect(),
        None if arguments.scenarios.is_empty() => scenarios::names()
            .into_iter()
            .map(ToOwned::to_owned)
            .collect(),
        None => arguments.scenarios.clone(),
    };
    let mut scenarios: Vec<Scenario> = names
        .iter()
        .map(|name| Scenario::named(name))
        .collect::<Result<_, String>>()?;
    for scenario in &mut scenarios {
        scenario.parameters.measured = arguments.measured;
    }
    Ok(scenarios)
}

fn json(runs: &[Run]) -> serde_json::Value {
    let runs = runs.iter().map(|run| {
        json!({
            "scenario": run.scenario.name,
            "why": run.scenario.why,
            "scores": run.scores,
            "broken": run.broken,
        })
    });
    runs.collect()
}
