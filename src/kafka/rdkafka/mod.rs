//! Reads one cluster with librdkafka. No other module calls it.

pub mod bounds;
pub mod reader;

mod errors;
mod native;
mod statistics;

/// The version of librdkafka, such as 2.12.1.
pub fn version() -> String {
    rdkafka::util::get_rdkafka_version().1
}
