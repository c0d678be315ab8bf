//! Reads one cluster with librdkafka. Nothing outside of this room calls it.

pub mod bounds;
pub mod reader;

mod errors;
mod native;
mod statistics;
