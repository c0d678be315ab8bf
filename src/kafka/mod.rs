//! Reads Kafka. The only room that knows rdkafka. May call `clock` and nothing else of ours.
//!
//! [`pool`] is the door: [`Pool::watch`](pool::Pool::watch) says what one resource wants to know of
//! a cluster; one poller per cluster looks for all of them at once and leaves a
//! [`Snapshot`](model::snapshot::Snapshot).
//!
//! | room | what it does |
//! |---|---|
//! | [`model`] | what is wanted of a cluster, what was seen of it, and why it could not be read: plain data |
//! | [`connection`] | where a cluster is and who logs in |
//! | [`token`] | bearer tokens for logins |
//! | [`rdkafka`] | answers a [`reader`]'s questions with librdkafka |
//! | `poller` | when a cluster is polled, and what one poll asks |

pub mod budget;
pub mod connection;
pub mod model;
pub mod observer;
pub mod pool;
pub mod rdkafka;
pub mod reader;
pub mod token;

mod poller;
