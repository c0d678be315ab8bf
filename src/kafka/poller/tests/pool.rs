//! The pool: what is shared, which watches are woken, and what ends when.

use std::time::Duration;

use futures::{FutureExt, StreamExt};
use lagrange_core::api::condition::Reason;

use super::double::{Double, Mood};
use super::rig::{Rig, connection, interest, t};
use crate::kafka::model::interest::{Interest, Key};
use crate::kafka::pool::{Settings, WatchError};

#[tokio::test(start_paused = true)]
async fn many_groups_share_one_reader_and_one_poll() {
    let double = Double::new(1);
    let rig = Rig::new(&double, Settings::default());
    let watches: Vec<_> = (0..100)
        .map(|number| format!("g{number}"))
        .map(|id| rig.watch_as(&id, interest(&id, t(), 15)))
        .collect();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(double.change(|world| world.opened), 1);
    assert_eq!(rig.pool.clusters(), 1);
    assert_eq!(double.take_asked("topics"), 1);
    let first = watches[0].latest().unwrap();
    assert_eq!(first.groups.len(), 100);
    assert!(
        watches
            .iter()
            .all(|watch| watch.latest().unwrap().poll == first.poll)
    );
}

#[tokio::test(start_paused = true)]
async fn a_poll_wakes_exactly_the_watches_of_its_cluster() {
    let double = Double::new(1);
    let mut rig = Rig::new(&double, Settings::default());
    let _a = rig.watch_as("a", interest("a", t(), 15));
    let _b = rig.watch_as("b", interest("b", t(), 15));
    let key = Key::kafka_cluster("shop", "main");
    let only_brokers = Interest {
        was_refused: false,
        interval: Duration::from_secs(15),
        group: None,
    };
    let _c = rig
        .pool
        .watch(&connection("other:9092"), key.clone(), only_brokers)
        .unwrap();
    let mut woken = Vec::new();
    for _ in 0..3 {
        woken.push(rig.wakeups.next().await.unwrap());
    }
    woken.sort();
    let group = |name| Key::consumer_group("shop", name);
    assert_eq!(woken, [group("a"), group("b"), key]);
    assert!(
        rig.wakeups.next().now_or_never().is_none(),
        "no other key is woken"
    );
}

#[tokio::test(start_paused = true)]
async fn an_edit_does_not_reconnect_and_the_last_watch_closes() {
    let double = Double::new(1);
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(t());
    rig.poll(&watch).await;
    drop(watch);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let watch = rig.watch(t());
    rig.poll(&watch).await;
    assert_eq!(double.change(|world| (world.opened, world.closed)), (1, 0));
    drop(watch);
    let polls = double.take_asked("topics");
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(double.change(|world| (world.opened, world.closed)), (1, 1));
    assert_eq!(rig.pool.clusters(), 0);
    assert_eq!(
        (polls, double.take_asked("topics")),
        (2, 0),
        "there are no polls without a watch"
    );
    let watch = rig.watch(t());
    rig.poll(&watch).await;
    assert_eq!(double.change(|world| world.opened), 2);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_may_watch_a_limited_number_of_clusters() {
    let settings = Settings {
        max_clusters_per_namespace: 2,
        ..Settings::default()
    };
    let rig = Rig::new(&Double::new(1), settings);
    let watch = |namespace: &str, server: &str| {
        let key = Key::consumer_group(namespace, server);
        rig.pool
            .watch(&connection(server), key, interest("g", t(), 15))
    };
    let _a = watch("shop", "a:1").unwrap();
    let b = watch("shop", "b:1").unwrap();
    let _a_again = watch("shop", "a:1").unwrap();
    let refused = watch("shop", "c:1").unwrap_err();
    assert_eq!(refused, WatchError::TooManyConnections { limit: 2 });
    assert_eq!(refused.reason(), Reason::TooManyConnections);
    let _other = watch("bank", "c:1").unwrap();
    drop(b);
    let _c = watch("shop", "c:1").unwrap();
}

#[tokio::test(start_paused = true)]
async fn local_addresses_are_refused_unless_they_are_allowed() {
    let double = Double::new(1);
    let key = || Key::consumer_group("shop", "g");
    let strict = Rig::new(&double, Settings::default());
    let refused = strict
        .pool
        .watch(&connection("127.0.0.1:1"), key(), interest("g", t(), 15));
    assert_eq!(refused.unwrap_err().reason(), Reason::InvalidSpec);
    let settings = Settings {
        allow_local_addresses: true,
        ..Settings::default()
    };
    let lenient = Rig::new(&double, settings);
    lenient
        .pool
        .watch(&connection("127.0.0.1:1"), key(), interest("g", t(), 15))
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_poller_that_panics_is_reported_with_its_cluster() {
    let double = Double::new(1);
    let mut rig = Rig::new(&double, Settings::default());
    double.change(|world| world.panics = true);
    let _watch = rig.watch(t());
    let failure = rig.failures.next().await;
    assert_eq!(
        failure.to_string(),
        "the poller of Kafka cluster kafka:9092 failed: the test asked for it"
    );
}

#[tokio::test(start_paused = true)]
async fn shutdown_closes_readers_but_does_not_wait_for_a_hung_one() {
    let double = Double::new(1);
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(t());
    rig.poll(&watch).await;
    assert!(rig.pool.shutdown(Duration::from_secs(3)).await);
    assert_eq!(double.change(|world| world.closed), 1);

    let mut rig = Rig::new(&double, Settings::default());
    double.change(|world| world.close_hangs = true);
    let watch = rig.watch(t());
    rig.poll(&watch).await;
    let (ended, took) = Rig::timed(rig.pool.shutdown(Duration::from_secs(3))).await;
    assert!(ended, "the poller does not wait for the reader");
    assert!(took <= Duration::from_secs(2), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_a_running_poll() {
    let double = Double::new(1);
    let rig = Rig::new(&double, Settings::default());
    double.change(|world| world.bootstrap = Mood::Hangs);
    let _watch = rig.watch(t());
    tokio::time::sleep(Duration::from_millis(10)).await;
    let (ended, took) = Rig::timed(rig.pool.shutdown(Duration::from_secs(3))).await;
    assert!(
        ended && took < Duration::from_millis(10),
        "{ended} {took:?}"
    );
}
