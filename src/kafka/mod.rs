//! Reads Kafka. The only room that knows rdkafka. May call `clock` and `text` and nothing else of ours.
//!
//! [`pool`] is the door: [`Pool::watch`](pool::Pool::watch) says what one resource wants to know of a cluster; one poller per
//! cluster looks for all of them at once and leaves a [`Snapshot`](snapshot::Snapshot).

pub mod bounds;
pub mod certificates;
pub mod connection;
pub mod error;
pub mod foreign;
pub mod interest;
pub mod pool;
pub mod rdkafka_reader;
pub mod reader;
pub mod secret;
pub mod security;
pub mod snapshot;
pub mod stats;
pub mod token;

mod meaning;
mod native;
mod poller;
mod quota;
mod statistics;
