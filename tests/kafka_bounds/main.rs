//! Brokers that would make the operator start a thread for each of thousands of brokers, or hold
//! more of their answers than it has memory. The tests check the error, the threads and memory that
//! are used, and that other clusters are still read.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the helpers of a test say what they expect by unwrapping it"
)]

mod brokers;
mod frames;
mod taken;

use std::sync::Arc;
use std::time::Duration;

use lagrange::clock::Clock;
use lagrange::kafka::connection::Connection;
use lagrange::kafka::model::interest::Key;
use lagrange::kafka::observer::Unobserved;
use lagrange::kafka::pool::{Failures, Pool, Wakeups, Watch};
use lagrange::kafka::rdkafka::bounds::Bounds;
use lagrange::kafka::rdkafka::reader::{RdkafkaFactory, RdkafkaReader};
use lagrange_fakes::broker::Brokers;
use lagrange_testing::poll_helper::{interest, named, settings};

/// The limits are those of the process, so tests run one at a time.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// An operator's pool of clusters with these limits.
fn pool(bounds: Bounds) -> (Pool, Wakeups, Failures) {
    let settings = settings();
    let readers = RdkafkaFactory {
        call_timeout: settings.call_timeout,
        allow_local_addresses: true,
        bounds,
    };
    Pool::new(
        Clock::start(),
        settings,
        Arc::new(readers),
        Arc::new(Unobserved),
    )
}

/// Watches the group `g` with topic `t` in a cluster.
fn watch(pool: &Pool, name: &str, brokers: &Brokers) -> Watch {
    let connection = Connection::plaintext([&brokers.bootstrap]).unwrap();
    let key = Key::consumer_group("test", name);
    pool.watch(&connection, key, interest("g", named(&["t"])))
        .unwrap()
}

/// This many brokers, a topic `t` of 6 partitions, and a group `g` with a lag of 60.
async fn brokers(count: i32) -> Brokers {
    let brokers = Brokers::start(count).await;
    brokers.topic("t", 6);
    brokers.group("g", 1);
    brokers
}

async fn reader(brokers: &Brokers, bounds: Bounds) -> RdkafkaReader {
    let connection = Connection::plaintext([&brokers.bootstrap]).unwrap();
    let factory = RdkafkaFactory {
        // Long enough for the largest answer in a test build.
        call_timeout: Duration::from_secs(10),
        allow_local_addresses: true,
        bounds,
    };
    RdkafkaReader::open(&connection, &factory).await.unwrap()
}
