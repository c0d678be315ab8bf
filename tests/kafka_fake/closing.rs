//! Readers that are opened, closed, and dropped during a request leave nothing behind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kafka_protocol::messages::ApiKey;
use lagrange::kafka::connection::Connection;
use lagrange::kafka::model::interest::Key;
use lagrange::kafka::model::snapshot::NodeId;
use lagrange::kafka::rdkafka::bounds::Bounds;
use lagrange::kafka::rdkafka::reader::{RdkafkaFactory, RdkafkaReader};
use lagrange::kafka::reader::ClusterReader;
use lagrange_fakes::broker::{Brokers, Mischief};
use lagrange_testing::poll_helper::{interest, named, pool, settings};

use crate::brokers;

async fn reader(brokers: &Brokers) -> Arc<RdkafkaReader> {
    let connection = Connection::plaintext([&brokers.bootstrap]).unwrap();
    let factory = RdkafkaFactory {
        call_timeout: settings().call_timeout,
        allow_local_addresses: true,
        bounds: Bounds::default(),
    };
    Arc::new(RdkafkaReader::open(&connection, &factory).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_request_affects_no_other() {
    let brokers = brokers(30).await;
    let reader = reader(&brokers).await;
    reader.bootstrap().await.unwrap();
    let delay = Mischief::Delay(Duration::from_millis(20));
    brokers
        .world()
        .mischief
        .insert(ApiKey::ListGroups as i16, delay);
    for _ in 0..50 {
        let asked = tokio::time::timeout(Duration::from_millis(3), reader.groups(NodeId(1)));
        assert!(asked.await.is_err(), "answered too early for the test");
    }
    brokers.world().mischief.clear();
    let listed = reader.groups(NodeId(1)).await.unwrap();
    assert_eq!(listed.len(), 10);
    reader.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_ends_pending_requests_quickly() {
    let brokers = brokers(3).await;
    let reader = reader(&brokers).await;
    reader.bootstrap().await.unwrap();
    brokers
        .world()
        .mischief
        .insert(ApiKey::ListGroups as i16, Mischief::Silence);
    let waiting = tokio::spawn({
        let reader = Arc::clone(&reader);
        async move { reader.groups(NodeId(1)).await }
    });
    while brokers.take_asked(ApiKey::ListGroups) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let began = Instant::now();
    reader.close().await;
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    assert!(waiting.await.unwrap().is_err());
    assert!(reader.is_broken());
    assert!(reader.groups(NodeId(1)).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn opening_and_closing_leaks_no_thread_and_no_descriptor() {
    let brokers = brokers(1).await;
    let count = |what: &str| {
        std::fs::read_dir(format!("/proc/self/{what}"))
            .unwrap()
            .count()
    };
    let open_and_close = async || {
        let (pool, mut wakeups, _failures) = pool(settings());
        let connection = Connection::plaintext([&brokers.bootstrap]).unwrap();
        let key = Key::consumer_group("test", "g0");
        let watch = pool
            .watch(&connection, key, interest("g0", named(&["t"])))
            .unwrap();
        futures::StreamExt::next(&mut wakeups).await.unwrap();
        assert!(watch.latest().unwrap().error.is_none());
        assert!(pool.shutdown(Duration::from_secs(3)).await);
    };
    open_and_close().await;
    // Other tests of this program open clients at the same time. A leak of one client, 6 threads,
    // would show 20 times.
    let (threads, descriptors) = (count("task"), count("fd"));
    for _ in 0..20 {
        open_and_close().await;
    }
    let (threads_now, descriptors_now) = (count("task"), count("fd"));
    assert!(
        threads_now < threads + 100,
        "{threads} threads, then {threads_now}"
    );
    assert!(
        descriptors_now < descriptors + 300,
        "{descriptors} descriptors, then {descriptors_now}"
    );
}
