//! The decision: how many replicas, and when.
//!
//! Pure: no async, no clock, no I/O, no kube, no rdkafka, no randomness. It is told the time inside the observation,
//! so hours of cooldown are tested in microseconds.

mod adopt;
mod by_delay;
mod by_lag;
mod by_law;
mod decide;
pub mod decision;
mod demand;
mod evidence;
mod given;
pub mod history;
pub mod lag;
pub mod law;
pub mod limit;
mod membership;
pub mod memory;
pub mod observation;
mod offsets;
mod pacing;
pub mod policy;
mod regret;
mod told;
pub mod trail;

pub use decide::decide;
pub use decision::{Decision, Verdict};
pub use memory::{Memory, State};
pub use observation::Observation;
pub use policy::Policy;

#[cfg(test)]
mod tests;
