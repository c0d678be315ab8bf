//! Reads Kafka. The only room that knows rdkafka. May call `api` (the connection block) and nothing else of ours.

pub mod error;
pub mod snapshot;
