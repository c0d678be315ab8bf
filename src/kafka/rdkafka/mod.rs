//! Reads one cluster with librdkafka. No other module calls it.

pub mod bounds;
pub mod reader;

mod errors;
mod native;
mod statistics;
