//! The scenarios for the autoscalers.

mod catalogue;
mod drawn;
mod faults;
mod rates;
mod recorded;

use std::collections::BTreeMap;

use lagrange_core::api::ConsumerGroup;
use lagrange_core::scaling::SharedTuning;
use lagrange_core::simulate::plant::{Assignor, Parameters};
use lagrange_core::simulate::{Baseline, Comparison, Load, LoadError, Setup, SetupError};
use serde_json::json;

pub use catalogue::{GROUPS, names};

/// An hour, in seconds.
const HOUR: i64 = 3600;
/// Seconds between two polls of Lagrange.
const INTERVAL: i64 = 15;
/// Seconds of one consumer's work that a lag objective allows each replica.
const WORK: f64 = 10.0;

/// One scenario.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: String,
    /// What it shows.
    pub why: String,
    /// Topics, consumers, faults.
    pub parameters: Parameters,
    /// The objective: seconds that no record should wait longer than.
    pub objective: i64,
    /// Records per second.
    pub load: Load,
}

/// Objective of Lagrange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objective {
    /// `maxDelay`.
    Delay,
    /// `lagPerReplica`: ten seconds of one consumer's work.
    Lag,
}

impl Scenario {
    /// The scenario of this name: one of the catalogue, or a drawn one such as `rnd600`.
    pub fn named(name: &str) -> Result<Self, String> {
        let drawn = name
            .strip_prefix("rnd")
            .and_then(|number| number.parse().ok());
        let found = match drawn {
            Some(number) => drawn::scenario(number).map(Some),
            None => catalogue::scenario_named(name),
        };
        found
            .map_err(|error| format!("{name}: {error}"))?
            .ok_or_else(|| format!("{name}: no such scenario; there are {}", names().join(", ")))
    }

    /// The comparison for this scenario, ready to run.
    pub fn setup(
        &self,
        objective: Objective,
        baselines: Vec<Baseline>,
        seed: u64,
        restart_every: Option<i64>,
        tuning: SharedTuning,
    ) -> Result<Comparison, SetupError> {
        // Different scenarios use different random numbers, even with the same seed.
        let letters: u64 = self.name.bytes().map(u64::from).sum();
        Setup {
            manifest: self.manifest(objective),
            load: self.load.clone(),
            built_in: false,
            parameters: self.parameters.clone(),
            partitions: None,
            peak: None,
            objective: Some(self.objective),
            interval: INTERVAL,
            restart_every,
            seed: seed.wrapping_mul(104_729).wrapping_add(letters),
            seeds: 1,
            baselines,
            tuning,
        }
        .fit()
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::expect_used,
        reason = "a few thousand records, and a manifest that is written here"
    )]
    fn manifest(&self, objective: Objective) -> ConsumerGroup {
        let objective = match objective {
            Objective::Delay => json!({ "maxDelay": format!("{}s", self.objective) }),
            Objective::Lag => {
                json!({ "lagPerReplica": (WORK * self.parameters.consumer_rate).round() as i64 })
            }
        };
        let topics: Vec<&String> = self.parameters.topics.keys().collect();
        let manifest = json!({
            "apiVersion": "lagrange.dev/v1alpha1", "kind": "ConsumerGroup",
            "metadata": { "name": self.name, "namespace": "benchmark" },
            "spec": {
                "scaleTargetRef": { "name": self.name },
                "kafka": { "clusterRef": { "name": "main" } },
                "topics": topics, "minReplicas": 1, "autoOffsetReset": "Earliest",
                "objective": objective,
            },
        });
        serde_json::from_value(manifest).expect("a manifest")
    }

    /// Outages of Kafka: first second, and the second after the last.
    pub fn outages(&self) -> Vec<(f64, f64)> {
        let second = |t: i64| f64::from(i32::try_from(t).unwrap_or(i32::MAX));
        let outages = self.parameters.outages.iter();
        outages
            .map(|span| (second(span.from), second(span.to)))
            .collect()
    }

    /// Partitions at the end.
    pub fn partitions(&self) -> usize {
        self.parameters.weights.values().map(Vec::len).sum()
    }
}

/// Parameters with these partitions and weights, and consumers of 200 records per second under
/// `range`.
fn base(topics: BTreeMap<String, Vec<f64>>, replicas: i32) -> Parameters {
    let count = |weights: &Vec<f64>| u32::try_from(weights.len()).unwrap_or(u32::MAX);
    let partitions = topics
        .iter()
        .map(|(topic, weights)| (topic.clone(), count(weights)));
    Parameters {
        topics: partitions.collect(),
        weights: topics,
        noise: 0.06,
        consumer_rate: 200.0,
        initial_replicas: Some(replicas),
        assignor: Assignor::Range,
        ..Parameters::default()
    }
}

/// One topic with these weights.
fn orders(weights: Vec<f64>, replicas: i32) -> Parameters {
    base(BTreeMap::from([("orders".to_owned(), weights)]), replicas)
}

/// A scenario whose load goes to all topics.
fn scenario(
    name: &str,
    why: &str,
    parameters: Parameters,
    hours: i64,
    rate: impl Fn(f64) -> f64,
) -> Result<Scenario, LoadError> {
    Ok(Scenario {
        name: name.to_owned(),
        why: why.to_owned(),
        parameters,
        objective: 60,
        load: rates::by_the_second(hours * HOUR, rate)?,
    })
}
