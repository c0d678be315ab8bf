//! Where partitions ended before the first poll, by the timestamps of their records.

use std::time::Duration;

use jiff::Timestamp;
use lagrange::kafka::connection::Connection;
use lagrange::kafka::model::interest::{Interest, Key};
use lagrange::kafka::model::snapshot::{Snapshot, TopicPartition};
use lagrange::kafka::pool::Settings;
use lagrange_testing::kafka::Kafka;
use lagrange_testing::poll_helper::{PollHelper, interest, named, pool, settings};
use lagrange_testing::unique;

/// An interest that is sized for a delay of one minute.
fn sized(topic: &str, group: &str) -> Interest {
    let mut interest = interest(group, named(&[topic]));
    interest.group.as_mut().unwrap().max_delay = Some(Duration::from_mins(1));
    interest
}

/// Polls every five seconds: timestamps are compared with the arrivals of at least four.
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

/// Timestamps of records every two seconds for this many seconds, the last one a second ago.
fn timestamps(seconds: i64) -> Vec<i64> {
    let last = now() - 1000;
    (0..=seconds / 2)
        .rev()
        .map(|age| last - 2000 * age)
        .collect()
}

/// The earlier ends of a partition that are used: times in milliseconds, and offsets.
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
async fn the_broker_reports_the_end_at_each_time() {
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
    helper.poll().await;
    let snapshot = helper.poll().await;
    assert_eq!(earlier(&snapshot, &group, &topic, 1), None, "it has no lag");
    for partition in [0, 2] {
        let ends = earlier(&snapshot, &group, &topic, partition).unwrap();
        let seen = ends.last().unwrap().0;
        let ages: Vec<i64> = ends.iter().map(|(at, _)| (seen - at) / 1000).collect();
        // Each time that was asked for, and the time of the first record after it.
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
async fn new_records_confirm_or_disprove_the_timestamps() {
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
    let first = helper.poll().await;
    assert!(
        first.groups[group.as_str()].earlier.is_empty(),
        "nothing is used at once"
    );
    kafka.produce_at(&topic, 0, &[now()]).await;
    kafka.produce_at(&topic, 1, &[now() - 3_600_000]).await;
    for poll in 0..3 {
        let next = helper.poll().await;
        assert!(
            earlier(&next, &group, &topic, 0).is_some(),
            "its new record has the current time"
        );
        assert_eq!(
            earlier(&next, &group, &topic, 1),
            None,
            "its new record has a time an hour ago"
        );
        assert!(
            earlier(&next, &group, &topic, 2).is_some(),
            "it has no new record"
        );
        // It may have been in transit, so one such record proves nothing.
        if poll == 0 {
            kafka.produce_at(&topic, 1, &[now() - 3_600_000]).await;
        }
    }
    // Everything from the first poll has been read: from here on the history is more exact.
    kafka
        .commit(&group, &topic, &[(0, 301), (2, 300)].into())
        .await;
    let next = helper.poll().await;
    assert_eq!(earlier(&next, &group, &topic, 0), None);
    assert!(
        earlier(&next, &group, &topic, 2).is_some(),
        "one partition is left"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_with_append_times_shows_when_records_arrived() {
    let kafka = Kafka::shared().await;
    let (topic, group) = (unique("appended"), unique("appended"));
    kafka
        .create_set(&topic, 1, 1, &[("message.timestamp.type", "LogAppendTime")])
        .await;
    // Whatever the producer says.
    kafka.produce_at(&topic, 0, &timestamps(600)).await;
    kafka.commit(&group, &topic, &[(0, 10)].into()).await;
    let mut helper = poll_helper(kafka, &topic, &group);
    helper.poll().await;
    let snapshot = helper.poll().await;
    let ends = earlier(&snapshot, &group, &topic, 0).unwrap();
    // No records until the first one, which was written well within half a minute before the first
    // poll.
    let reported: Vec<i64> = ends.iter().map(|(_, end)| *end).collect();
    assert_eq!(reported, [0, 0, 301]);
}
