//! Lagrange sizes Kafka consumer groups.
//!
//! One way through the house: observe, decide, act, report.

pub mod api;
pub mod cli;
pub mod clock;
pub mod intent;
pub mod kafka;
pub mod process;
pub mod scaling;
