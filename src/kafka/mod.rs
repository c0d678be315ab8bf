//! Reads Kafka. The only module that uses rdkafka. Of this crate it calls only `clock` and `sync`.
//!
//! [`pool`] is the entry: [`Pool::watch`](pool::Pool::watch) registers what one resource wants to
//! read of a cluster. One poller per cluster polls for all of them at once and leaves a
//! [`Snapshot`](model::snapshot::Snapshot).
//!
//! | module | what it does |
//! |---|---|
//! | [`model`] | plain data: what to read, what one poll found, and why it could not be read |
//! | [`connection`] | where a cluster is and who logs in |
//! | [`token`] | bearer tokens for logins |
//! | [`rdkafka`] | implements [`reader`] with librdkafka |
//! | `poller` | when a cluster is polled, and which requests one poll makes |

pub mod budget;
pub mod connection;
pub mod model;
pub mod observer;
pub mod pool;
pub mod rdkafka;
pub mod reader;
pub mod token;

mod poller;
