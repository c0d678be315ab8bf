//! The decision: how many replicas, and when.
//!
//! Pure: no async, no clock, no I/O, no kube, no rdkafka, no randomness. The time is part of the
//! observation, so tests run hours of cooldown in microseconds.
//!
//! | module | what it holds |
//! |---|---|
//! | [`input`] | the policy and the observation |
//! | [`state`] | the few numbers that survive a restart |
//! | [`measure`] | the recent past and what follows from it: rates, delay, capacity, lag |
//! | [`gate`] | when an action may happen |
//! | [`plan`] | the policy: the overrides, then the objective |
//! | [`tuning`] | every number that the rules use, and the reason for its value |
//! | [`output`] | the decision, with its facts and steps |

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
