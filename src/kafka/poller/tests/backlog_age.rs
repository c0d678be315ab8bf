//! How late a group was before its first poll, by the timestamps of records.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rstest::rstest;

use super::double::{Double, Mood};
use super::rig::{Rig, interest, t};
use crate::kafka::model::interest::Interest;
use crate::kafka::model::snapshot::{Snapshot, TopicPartition};
use crate::kafka::pool::Settings;

/// An interest in the group `id`, sized for this delay in seconds.
fn sized(id: &str, seconds: u64) -> Interest {
    let mut interest = interest(id, t(), 15);
    interest.group.as_mut().unwrap().max_delay = Some(Duration::from_secs(seconds));
    interest
}

fn ago(seconds: i64) -> Timestamp {
    Timestamp::now() - SignedDuration::from_secs(seconds)
}

/// Ten records in each partition, one every 30 seconds, the last one 35 seconds ago. The group `g`
/// has read seven.
fn behind(partitions: i32) -> Double {
    let double = Double::new(partitions);
    let times = (0..10)
        .map(|offset| (ago(35 + 30 * (9 - offset)), offset))
        .collect();
    double.change(|world| world.times = times);
    double
}

/// Another record arrives in each partition, with this timestamp.
fn arrive(double: &Double, at: Timestamp) {
    double.change(|world| {
        for (_, _, end) in &mut world.topics.get_mut("t").unwrap().partitions {
            world.times.push((at, *end));
            *end += 1;
        }
        world.times.dedup();
        world.times.sort_by_key(|(_, offset)| *offset);
    });
}

/// The ends of a partition that are used: seconds before the first poll, and offsets.
fn earlier(snapshot: &Snapshot, partition: i32) -> Option<Vec<(i64, i64)>> {
    let key = TopicPartition {
        topic: "t".into(),
        partition,
    };
    let ends = snapshot.groups["g"].earlier.get(&key)?;
    let first = ends.last()?.at;
    let of = |end: &crate::kafka::model::snapshot::EndAt| {
        let age = first.as_millisecond() - end.at.as_millisecond();
        (age / 1000, end.end.get())
    };
    Some(ends.iter().map(of).collect())
}

/// The ends that can be known with [`behind`].
const KNOWN: [(i64, i64); 8] = [
    (480, 0),
    (305, 0),
    (120, 7),
    (95, 7),
    (60, 9),
    (35, 9),
    (30, 10),
    (0, 10),
];

#[tokio::test(start_paused = true)]
async fn earlier_ends_are_asked_for_once_for_partitions_with_lag() {
    let double = behind(3);
    // One of them has no lag.
    double.change_group(|group| *group.committed.get_mut(&("t".to_owned(), 2)).unwrap() = 10);
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch_as("g", sized("g", 60));
    let first = rig.poll(&watch).await;
    assert_eq!(earlier(&first, 0), None, "used at once");
    assert_eq!(double.take_asked("offsets_at"), 2 * 4);
    for _ in 0..3 {
        let next = rig.poll(&watch).await;
        assert_eq!(
            (earlier(&next, 0), earlier(&next, 1)),
            (Some(KNOWN.to_vec()), Some(KNOWN.to_vec()))
        );
        assert_eq!(earlier(&next, 2), None);
    }
    assert_eq!(double.take_asked("offsets_at"), 0);
}

#[tokio::test(start_paused = true)]
async fn timestamps_that_agree_with_arrivals_are_used_until_the_commit_passes_the_first_end() {
    let double = behind(1);
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch_as("g", sized("g", 60));
    rig.poll(&watch).await;
    double.take_asked("offsets_at");
    // Written halfway between two polls.
    arrive(&double, ago(-8));
    let next = rig.poll(&watch).await;
    assert_eq!(earlier(&next, 0), Some(KNOWN.to_vec()));
    assert_eq!(double.take_asked("offsets_at"), 1);
    // The commit reaches the end of the first poll.
    double.change_group(|group| *group.committed.get_mut(&("t".to_owned(), 0)).unwrap() = 10);
    let next = rig.poll(&watch).await;
    assert_eq!(earlier(&next, 0), None);
    // Behind again: now the history shows how late.
    for _ in 0..5 {
        arrive(&double, ago(0));
        rig.poll(&watch).await;
    }
    assert_eq!(double.take_asked("offsets_at"), 0);
}

#[rstest]
#[case::copied_with_the_timestamps_of_another_cluster(3600)]
#[case::from_a_slow_clock(20)]
#[tokio::test(start_paused = true)]
async fn timestamps_older_than_the_arrivals_are_not_used(#[case] late: i64) {
    let double = behind(1);
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch_as("g", sized("g", 60));
    for poll in 1..=3 {
        let snapshot = rig.poll(&watch).await;
        assert_eq!(earlier(&snapshot, 0), None);
        // Just before the next poll.
        arrive(&double, ago(late - 15 * poll + 1));
    }
    // Nothing more is asked, whatever arrives.
    double.take_asked("offsets_at");
    for poll in 4..8 {
        let snapshot = rig.poll(&watch).await;
        assert_eq!(earlier(&snapshot, 0), None);
        arrive(&double, ago(-15 * poll + 1));
    }
    assert_eq!(double.take_asked("offsets_at"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_record_in_transit_delays_the_confirmation_by_a_poll() {
    let double = behind(1);
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch_as("g", sized("g", 60));
    rig.poll(&watch).await;
    arrive(&double, ago(1));
    let second = rig.poll(&watch).await;
    assert_eq!(earlier(&second, 0), None);
    // A poll without arrivals does not confirm the timestamps, a record with its true time does.
    let third = rig.poll(&watch).await;
    assert_eq!(earlier(&third, 0), None);
    arrive(&double, ago(-40));
    let fourth = rig.poll(&watch).await;
    assert_eq!(earlier(&fourth, 0), Some(KNOWN.to_vec()));
}

#[tokio::test(start_paused = true)]
async fn no_earlier_ends_are_asked_for_under_a_lag_objective() {
    let double = behind(3);
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(t());
    for _ in 0..3 {
        rig.poll(&watch).await;
    }
    assert_eq!(double.take_asked("offsets_at"), 0);
    // Once it is sized by delay.
    watch.update(sized("g", 60));
    rig.poll(&watch).await;
    let next = rig.poll(&watch).await;
    assert!(earlier(&next, 0).is_some());
    // Another objective starts another history.
    watch.update(sized("g", 30));
    let next = rig.poll(&watch).await;
    assert_eq!(earlier(&next, 0), None);
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_request_is_repeated_and_then_given_up() {
    let double = behind(3);
    let mut rig = Rig::new(&double, Settings::default());
    // Partition 1 is led by broker 2.
    double.mood(2, Mood::Silent);
    let watch = rig.watch_as("g", sized("g", 60));
    rig.poll(&watch).await;
    let next = rig.poll(&watch).await;
    assert!(earlier(&next, 0).is_some());
    assert_eq!(earlier(&next, 1), None);
    double.mood(2, Mood::Answers);
    rig.poll(&watch).await;
    let next = rig.poll(&watch).await;
    // First found when it first answered.
    assert!(earlier(&next, 1).is_some());
}

#[tokio::test(start_paused = true)]
async fn one_poll_asks_for_a_limited_number_of_times() {
    let double = behind(1);
    let mut rig = Rig::new(&double, Settings::default());
    let watches: Vec<_> = (0..10)
        .map(|number| {
            let id = format!("g{number}");
            double.group(&id, 1, 1);
            rig.watch_as(&id, sized(&id, 100 + number))
        })
        .collect();
    let mut all = 0;
    for _ in 0..4 {
        for watch in &watches {
            rig.poll(watch).await;
        }
        let asked = double.take_asked("offsets_at");
        assert!(asked <= 16, "{asked}");
        all += asked;
    }
    assert_eq!(all, 40);
    let snapshot = watches[0].latest().unwrap();
    let known = |id: &str| snapshot.groups[id].earlier.len();
    assert!((0..10).all(|number| known(&format!("g{number}")) == 1));
}
