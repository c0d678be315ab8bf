//! A plan that was made before: at which time how many replicas.

use super::options::Options;
use super::{Answer, Law};
use crate::simulate::plant::Seen;

/// Carries out a plan.
#[derive(Debug, Default)]
pub(in crate::simulate) struct Plan {
    /// When, by the clock of the load, and how many from then on; ascending.
    steps: Vec<(f64, i32)>,
}

impl Plan {
    /// Of times, by the clock of the load, and the replicas from each on.
    pub(in crate::simulate) fn of(steps: Vec<(f64, i32)>) -> Self {
        Self { steps }
    }
}

/// `clairvoyant`, which has no options. Here it is an empty plan, which does nothing: whoever has
/// the load makes one.
pub(super) fn new(options: &Options) -> Result<Box<dyn Law>, String> {
    options.read().done()?;
    Ok(Box::new(Plan::default()))
}

impl Law for Plan {
    fn interval(&self) -> i64 {
        5
    }

    fn decide(&mut self, seen: Seen) -> Answer {
        let begun = self.steps.iter().rfind(|(at, _)| seen.line.t >= *at);
        Answer::replicas(begun.map(|(_, replicas)| *replicas))
    }
}
