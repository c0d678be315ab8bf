//! A model of topics, consumers and rebalances that runs a load through the very code that decides,
//! and through other laws beside it: what would have happened with these settings? Pure: no client,
//! no clock, no I/O; the same input gives the same output.
//!
//! [`Setup`] is what the user gives, [`Comparison`] is that fitted together, [`Outcome`] what one
//! law made of it, and [`report`] shows outcomes.

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
