//! Where partitions ended before the first look, by the timestamps of their records.

use std::time::Duration;

use jiff::Timestamp;
use lagrange::kafka::connection::Connection;
use lagrange::kafka::model::interest::{Interest, Key};
use lagrange::kafka::model::snapshot::{Snapshot, TopicPartition};
use lagrange::kafka::pool::Settings;
use lagrange_testing::kafka::Kafka;
use lagrange_testing::poll_helper::{PollHelper, interest, named, pool, settings};
use lagrange_testing::unique;

/// Sized for a minute of delay.
fn sized(topic: &str, group: &str) -> Interest {
    let mut interest = interest(group, named(&[topic]));
    interest.group.as_mut().unwrap().max_delay = Some(Duration::from_mins(1));
    interest
}

/// Looks every five seconds: timestamps are held against what comes in four at least.
fn poll_helper(kafka: &Kafka, topic: &str, group: &str) -> PollHelper {
    let (pool, wakeups, failures) = pool(Settings {
        min_interval: Duration::from_secs(5),
        ..settings()
    });
    let connection = Connection::plaintext(kafka.bootstrap.split(',')).unwrap();
    let key = Key::consumer_group("test", group);
    let watch = pool.watch(&connection, key, sized(topic, group)).unwrap();
    PollHelper {
        pool,
        watch,
        wakeups,
        failures,
        group: group.to_owned(),
    }
}

fn now() -> i64 {
    Timestamp::now().as_millisecond()
}

/// Records that were written every two seconds for so many seconds, the last one a second ago.
fn timestamps(seconds: i64) -> Vec<i64> {
    let last = now() - 1000;
    (0..=seconds / 2)
        .rev()
        .map(|age| last - 2000 * age)
        .collect()
}

/// What is believed of a partition: times in milliseconds, and ends.
fn earlier(
    snapshot: &Snapshot,
    group: &str,
    topic: &str,
    partition: i32,
) -> Option<Vec<(i64, i64)>> {
    let key = TopicPartition {
        topic: topic.into(),
        partition,
    };
    let ends = snapshot.groups[group].earlier.get(&key)?;
    Some(
        ends.iter()
            .map(|end| (end.at.as_millisecond(), end.end.get()))
            .collect(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_says_how_many_records_there_were_at_each_time() {
    let kafka = Kafka::shared().await;
    let (topic, group) = (unique("earlier"), unique("earlier"));
    kafka.create_topic(&topic, 3).await;
    let written = timestamps(600);
    let count = i64::try_from(written.len()).unwrap();
    for partition in 0..3 {
        kafka.produce_at(&topic, partition, &written).await;
    }
    // In the middle, at the end, and nothing.
    kafka
        .commit(&group, &topic, &[(0, count / 2), (1, count)].into())
        .await;
    let mut helper = poll_helper(kafka, &topic, &group);
    helper.look().await;
    let snapshot = helper.look().await;
    assert_eq!(earlier(&snapshot, &group, &topic, 1), None, "it has no lag");
    for partition in [0, 2] {
        let ends = earlier(&snapshot, &group, &topic, partition).unwrap();
        let seen = ends.last().unwrap().0;
        let ages: Vec<i64> = ends.iter().map(|(at, _)| (seen - at) / 1000).collect();
        // Each time that was asked for, and that of the first record since.
        assert_eq!(ages.len(), 9, "{ages:?}");
        assert!(
            [480, 120, 60, 30, 0].iter().all(|age| ages.contains(age)),
            "{ages:?}"
        );
        for (at, end) in ends {
            let truth = written.iter().filter(|written| **written < at).count();
            assert_eq!(
                end,
                i64::try_from(truth).unwrap(),
                "{} s before",
                (seen - at) / 1000
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_records_confirm_the_timestamps_or_disprove_them() {
    let kafka = Kafka::shared().await;
    let (topic, group) = (unique("believed"), unique("believed"));
    kafka.create_topic(&topic, 3).await;
    for partition in 0..3 {
        kafka.produce_at(&topic, partition, &timestamps(600)).await;
    }
    kafka
        .commit(&group, &topic, &[(0, 10), (1, 10), (2, 10)].into())
        .await;
    let mut helper = poll_helper(kafka, &topic, &group);
    let first = helper.look().await;
    assert!(
        first.groups[group.as_str()].earlier.is_empty(),
        "nothing is believed at once"
    );
    kafka.produce_at(&topic, 0, &[now()]).await;
    kafka.produce_at(&topic, 1, &[now() - 3_600_000]).await;
    for look in 0..3 {
        let next = helper.look().await;
        assert!(
            earlier(&next, &group, &topic, 0).is_some(),
            "it has a record of now"
        );
        assert_eq!(
            earlier(&next, &group, &topic, 1),
            None,
            "it has a record of an hour ago"
        );
        assert!(
            earlier(&next, &group, &topic, 2).is_some(),
            "it has no new record"
        );
        // It may have been under way, so that one alone does not disprove it.
        if look == 0 {
            kafka.produce_at(&topic, 1, &[now() - 3_600_000]).await;
        }
    }
    // What was there at the first look has been read: from here on the history knows better.
    kafka
        .commit(&group, &topic, &[(0, 301), (2, 300)].into())
        .await;
    let next = helper.look().await;
    assert_eq!(earlier(&next, &group, &topic, 0), None);
    assert!(earlier(&next, &group, &topic, 2).is_some(), "one is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_with_the_brokers_own_times_says_when_records_arrived() {
    let kafka = Kafka::shared().await;
    let (topic, group) = (unique("appended"), unique("appended"));
    kafka
        .create_set(&topic, 1, 1, &[("message.timestamp.type", "LogAppendTime")])
        .await;
    // Whatever the producer says.
    kafka.produce_at(&topic, 0, &timestamps(600)).await;
    kafka.commit(&group, &topic, &[(0, 10)].into()).await;
    let mut helper = poll_helper(kafka, &topic, &group);
    helper.look().await;
    let snapshot = helper.look().await;
    let ends = earlier(&snapshot, &group, &topic, 0).unwrap();
    // Nothing until the first record came, well within half a minute before the first look.
    let told: Vec<i64> = ends.iter().map(|(_, end)| *end).collect();
    assert_eq!(told, [0, 0, 301]);
}
