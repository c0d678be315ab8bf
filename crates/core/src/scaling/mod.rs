//! The decision: how many replicas, and when.
//!
//! Pure: no async, no clock, no I/O, no kube, no rdkafka, no randomness. It is told the time inside
//! the observation, so hours of cooldown are tested in microseconds.
//!
//! | room | what it holds |
//! |---|---|
//! | [`input`] | what is decided on: the policy, and what was observed |
//! | [`state`] | the few numbers that survive a restart |
//! | [`measure`] | what was seen lately, and what follows from it: rates, delay, capacity, lag |
//! | [`gate`] | when an action may happen |
//! | [`plan`] | the policy: what goes before the objective, and what the objective asks for |
//! | [`tuning`] | every number that is decided by, and why it is what it is |
//! | [`output`] | the decision, with its numbers and steps |

mod decide;
mod facts;
mod gate;
pub mod input;
pub mod measure;
mod number;
pub mod output;
pub mod plan;
pub mod state;
pub mod tuning;

pub use decide::{State, decide};
pub use input::observation::{self, Observation};
pub use input::policy::{self, Policy};
pub use measure::estimate::Backlogged;
pub use measure::limits;
pub use output::decision::{self, Decision, Verdict};
pub use output::trail;
pub use state::capacity_model::{
    Bottleneck, Capacity, CapacityModel, Down, Rate, Seconds, Throughput,
};
pub use state::memory::{self, Memory};
pub use tuning::{SharedTuning, Tuning};

#[cfg(test)]
mod tests;
