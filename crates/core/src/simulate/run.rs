//! One law over one load: looks, decisions, and what they led to.

use serde::Serialize;

use super::autoscaler::{Autoscaler, Reason};
use super::load::Load;
use super::plant::{Parameters, Plant, Sample, Score};

/// A sample is taken every so many seconds.
const SAMPLED_EVERY: i64 = 15;

/// What is the same for every law of a comparison.
#[derive(Debug)]
pub(super) struct Simulation<'a> {
    /// The plant's numbers.
    pub(super) parameters: &'a Parameters,
    /// The load.
    pub(super) load: &'a Load,
    /// Consumers in one replica.
    pub(super) threads: i32,
    /// Replicas at the start.
    pub(super) replicas: i32,
    /// Seconds that no record should wait longer than.
    pub(super) objective: i64,
    /// Seed of everything that is drawn.
    pub(super) seed: u64,
    /// Each law's process is replaced by a new one every so many seconds.
    pub(super) restart_every: Option<i64>,
}

/// A change of the replica count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Action {
    /// Seconds from the start of the load.
    pub t: i64,
    /// Replicas before.
    pub from: i32,
    /// Replicas after.
    pub to: i32,
    /// Why, where the law says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The steps with their numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trail: Option<String>,
}

/// What became of one law.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The law.
    pub autoscaler: String,
    /// What it cost, with each seed.
    pub scores: Vec<Score>,
    /// What it did with the first.
    pub actions: Vec<Action>,
    /// What happened meanwhile.
    pub series: Vec<Sample>,
}

impl Simulation<'_> {
    /// Runs one law. `passed` is told how many more seconds are done.
    pub(super) fn run(
        &self,
        name: &str,
        autoscaler: &mut dyn Autoscaler,
        passed: &(dyn Fn(i64) + Sync),
    ) -> Outcome {
        let mut plant = Plant::new(
            self.parameters,
            self.load,
            self.threads,
            self.replicas,
            self.objective,
            self.seed,
        );
        let end = self.load.length;
        let mut series = Vec::new();
        let mut actions = Vec::new();
        let begin = self.parameters.consumers_from_seconds;
        let mut next = begin + 1;
        let mut restarts = 0;
        let mut sampled = 0;
        while plant.now() < end {
            let before = plant.now();
            plant.run_to(next.min(sampled).min(end));
            passed(plant.now() - before);
            if plant.now() >= sampled {
                series.push(plant.sample());
                sampled += SAMPLED_EVERY;
            }
            if plant.now() < next || plant.now() >= end {
                continue;
            }
            next = plant.now() + autoscaler.interval().max(1);
            if let Some(every) = self.restart_every
                && plant.now() / every > restarts
            {
                restarts = plant.now() / every;
                autoscaler.restart();
            }
            let t = plant.now();
            let from = plant.replicas();
            let answer = autoscaler.decide(plant.poll(self.load.origin));
            if let Some(to) = answer.replicas.filter(|to| *to != from) {
                plant.scale(to);
                let Reason { name, trail } = answer.reason.unwrap_or(Reason {
                    name: String::new(),
                    trail: String::new(),
                });
                let said = |text: String| Some(text).filter(|text| !text.is_empty());
                actions.push(Action {
                    t,
                    from,
                    to,
                    reason: said(name),
                    trail: said(trail),
                });
            }
        }
        Outcome {
            autoscaler: name.to_owned(),
            scores: vec![plant.score()],
            actions,
            series,
        }
    }
}
