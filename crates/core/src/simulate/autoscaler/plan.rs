//! A plan that was made before: at which time how many replicas.

use super::options::Options;
use super::{Answer, Autoscaler};
use crate::simulate::plant::GroupView;

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
