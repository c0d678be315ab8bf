//! A fixed plan of replicas over time.

use super::options::Options;
use super::{Answer, Autoscaler};
use crate::simulate::plant::GroupView;

/// Carries out a plan.
#[derive(Debug, Default)]
pub(in crate::simulate) struct Plan {
    /// Time on the clock of the load, and the replicas from then on; ascending.
    steps: Vec<(f64, i32)>,
}

impl Plan {
    /// A plan of times, on the clock of the load, and the replicas from each on.
    pub(in crate::simulate) fn of(steps: Vec<(f64, i32)>) -> Self {
        Self { steps }
    }
}

/// `clairvoyant`, which has no options. The plan is empty here and does nothing; the real one is
/// made where the load is known.
pub(super) fn new(options: &Options) -> Result<Box<dyn Autoscaler>, String> {
    options.read().done()?;
    Ok(Box::new(Plan::default()))
}

impl Autoscaler for Plan {
    fn interval(&self) -> i64 {
        5
    }

    fn decide(&mut self, view: GroupView) -> Answer {
        let begun = self.steps.iter().rfind(|(at, _)| view.line.t >= *at);
        Answer::replicas(begun.map(|(_, replicas)| *replicas))
    }
}
