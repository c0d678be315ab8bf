//! Runs one autoscaler over one load: polls, decisions, and their effects.

use serde::Serialize;

use super::autoscaler::{Autoscaler, Reason};
use super::load::Load;
use super::plant::{Parameters, Plant, Sample, Score};

/// Seconds between two samples.
const SAMPLED_EVERY: i64 = 15;

/// What all autoscalers of a comparison share.
#[derive(Debug)]
pub(super) struct Simulation<'a> {
    /// The parameters of the plant.
    pub(super) parameters: &'a Parameters,
    /// The load.
    pub(super) load: &'a Load,
    /// Consumers in one replica.
    pub(super) threads: i32,
    /// Replicas at the start.
    pub(super) replicas: i32,
    /// The objective: seconds that no record should wait longer than.
    pub(super) objective: i64,
    /// Seed of all random numbers.
    pub(super) seed: u64,
    /// Interval, in seconds, at which the process of an autoscaler is restarted.
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
    /// The reason, if the autoscaler gives one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The steps of the decision, with their numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trail: Option<String>,
}

/// The run of one autoscaler.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Name of the autoscaler.
    pub autoscaler: String,
    /// Its score with each seed.
    pub scores: Vec<Score>,
    /// Its actions with the first seed.
    pub actions: Vec<Action>,
    /// Samples of the run with the first seed.
    pub series: Vec<Sample>,
}

impl Simulation<'_> {
    /// Runs one autoscaler. Calls `passed` with the number of seconds done since the last call.
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
