//! What tests on real brokers are made of: brokers, somebody who fills and empties them, and somebody who looks.

#![allow(
    dead_code,
    unused_imports,
    reason = "each test program uses its own part"
)]

pub(crate) mod brokers;
pub(crate) mod consumers;
pub(crate) mod eyes;
pub(crate) mod kafka;

pub(crate) use brokers::Brokers;
pub(crate) use consumers::Consumers;
pub(crate) use eyes::{Eyes, lag};
pub(crate) use kafka::{Kafka, unique};
