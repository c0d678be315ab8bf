//! Reads one real broker: what each case of `docs/kafka.md` looks like to a user of the pool.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the helpers of a test say what they expect by unwrapping it"
)]

#[path = "../kafka_support/mod.rs"]
mod support;

mod groups;
mod offsets;
mod topics;

use std::sync::OnceLock;

use support::{Brokers, Kafka};

/// The broker of this test program.
fn broker() -> &'static Brokers {
    static BROKERS: OnceLock<Brokers> = OnceLock::new();
    BROKERS.get_or_init(|| Brokers::start(1, &[]))
}

/// A user of it.
async fn kafka() -> Kafka {
    let brokers = tokio::task::spawn_blocking(broker).await.unwrap();
    Kafka::new(&brokers.bootstrap)
}
