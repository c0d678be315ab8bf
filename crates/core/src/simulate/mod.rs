//! Simulates a load: a model of topics, consumers and rebalances on which the operator's own code,
//! and other autoscalers for comparison, decide. Pure: no client, no clock, no I/O; the same input
//! gives the same output.
//!
//! [`Setup`] holds the input of the user, [`Comparison`] is the checked input, [`Outcome`] is the
//! run of one autoscaler, and [`report`] renders outcomes.

mod autoscaler;
mod clairvoyant;
mod load;
mod number;
pub mod plant;
mod random;
pub mod report;
mod run;
mod setup;

pub use autoscaler::{Answer, Autoscaler, BadBaseline, Baseline};
pub use load::{Destination, Load, LoadError, trace::Trace};
pub use run::{Action, Outcome};
pub use setup::{Comparison, Setup, SetupError};

#[cfg(test)]
mod tests;
