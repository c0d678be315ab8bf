//! When polls happen, and how long one may take.

use std::time::Duration;

use futures::StreamExt;
use rstest::rstest;

use super::double::{Double, Mood};
use super::rig::{Rig, committed, ends, interest, t};
use crate::kafka::model::error::ReadError;
use crate::kafka::pool::Settings;

const CALL: Duration = Duration::from_millis(1500);

/// Whole seconds, rounded.
fn seconds(duration: Duration) -> u64 {
    (duration + Duration::from_millis(500)).as_secs()
}

#[tokio::test(start_paused = true)]
async fn the_first_poll_is_at_once_and_the_next_ones_at_the_interval() {
    let double = Double::new(1);
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(t());
    let (_, took) = Rig::timed(rig.poll(&watch)).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    for _ in 0..3 {
        let (_, took) = Rig::timed(rig.poll(&watch)).await;
        assert_eq!(seconds(took), 15);
    }
}

#[rstest]
#[case::the_shortest(&[15, 7], 7)]
#[case::the_least(&[1], 5)]
#[case::the_longest(&[3600], 30)]
#[tokio::test(start_paused = true)]
async fn the_interval_is_the_shortest_of_its_users_within_bounds(
    #[case] asked: &[u64],
    #[case] expected: u64,
) {
    let double = Double::new(1);
    let mut rig = Rig::new(&double, Settings::default());
    let watches: Vec<_> = asked
        .iter()
        .map(|seconds| rig.watch_as(&seconds.to_string(), interest("g", t(), *seconds)))
        .collect();
    let number = watches[0].latest().map_or(0, |snapshot| snapshot.poll);
    assert_eq!(number, 0);
    // Each poll wakes all.
    for _ in &watches {
        rig.wakeups.next().await;
    }
    let (_, took) = Rig::timed(rig.poll(&watches[0])).await;
    assert_eq!(seconds(took), expected);
}

#[tokio::test(start_paused = true)]
async fn a_requested_poll_comes_at_once_but_not_twice_in_a_second() {
    let double = Double::new(1);
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(t());
    rig.poll(&watch).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    watch.poll_now();
    let (_, took) = Rig::timed(rig.poll(&watch)).await;
    assert!(took < Duration::from_millis(100), "{took:?}");
    for _ in 0..3 {
        watch.poll_now();
        watch.poll_now();
        let (_, took) = Rig::timed(rig.poll(&watch)).await;
        assert!((0.9..1.1).contains(&took.as_secs_f64()), "{took:?}");
    }
    let (_, took) = Rig::timed(rig.poll(&watch)).await;
    assert_eq!(seconds(took), 15, "and then as before");
}

#[tokio::test(start_paused = true)]
async fn a_new_interest_does_not_wait_for_the_interval() {
    let double = Double::new(1);
    double.group("h", 2, 1);
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(t());
    rig.poll(&watch).await;
    let _other = rig.watch_as("h", interest("h", t(), 15));
    let (snapshot, took) = Rig::timed(rig.poll(&watch)).await;
    assert!(took <= Duration::from_secs(1), "{took:?}");
    assert!(snapshot.groups.contains_key("h"));
    let _ = rig.wakeups.next().await;
    watch.update(interest("h", t(), 15));
    let (snapshot, took) = Rig::timed(rig.poll(&watch)).await;
    assert!(took <= Duration::from_secs(1), "{took:?}");
    assert!(
        !snapshot.groups.contains_key("g"),
        "no watch wants it any longer"
    );
}

#[rstest]
#[case::silent(Mood::Silent)]
#[case::hung(Mood::Hangs)]
#[tokio::test(start_paused = true)]
async fn a_dead_broker_costs_one_timeout_per_poll(#[case] mood: Mood) {
    let double = Double::new(30);
    for number in 0..50 {
        double.group(&format!("more-{number}"), number % 3 + 1, 30);
    }
    let rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(t());
    let _more: Vec<_> = (0..50)
        .map(|number| format!("more-{number}"))
        .map(|id| rig.watch_as(&id, interest(&id, t(), 15)))
        .collect();
    tokio::time::sleep(Duration::from_secs(40)).await;
    double.mood(2, mood);
    double.change(|world| world.asked.clear());
    let before = watch.latest().unwrap().poll;
    tokio::time::sleep(Duration::from_secs(15)).await;
    let snapshot = watch.latest().unwrap();
    assert_eq!(snapshot.poll, before + 1);
    let asked = double.change(|world| world.asked.iter().filter(|(_, on)| *on == 2).count());
    assert_eq!(asked, 1, "and is not asked again");
    let took = snapshot.finished.duration_since(snapshot.started);
    let took = Duration::try_from(took).unwrap();
    assert!(took < CALL + Duration::from_millis(700), "{took:?}");
    // What the other brokers have is known.
    assert_eq!(committed(&snapshot), vec![Ok(Some(7)); 30]);
    assert_eq!(
        ends(&snapshot).iter().filter(|end| end.is_some()).count(),
        20
    );
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_dies_during_a_poll_is_not_asked_for_every_group() {
    let double = Double::new(3);
    for number in 0..500 {
        double.group(&format!("more-{number}"), 1, 3);
    }
    let rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(t());
    let _more: Vec<_> = (0..500)
        .map(|number| format!("more-{number}"))
        .map(|id| rig.watch_as(&id, interest(&id, t(), 15)))
        .collect();
    tokio::time::sleep(Duration::from_secs(20)).await;
    double.change(|world| world.asked.clear());
    // After the lists and the topics, while the offsets are read.
    let before = watch.latest().unwrap().poll;
    while double.take_asked("topics") == 0 {
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    double.mood(1, Mood::Silent);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let snapshot = watch.latest().unwrap();
    assert_eq!(snapshot.poll, before + 1);
    let asked = double.take_asked("committed");
    assert!(asked <= 200, "{asked} of 501 groups");
    let took = Duration::try_from(snapshot.finished.duration_since(snapshot.started)).unwrap();
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_poll_ends_at_its_deadline() {
    let double = Double::new(3);
    let settings = Settings {
        poll_deadline: Duration::from_secs(4),
        ..Settings::default()
    };
    let mut rig = Rig::new(&double, settings);
    double.change(|world| world.bootstrap = Mood::Hangs);
    let watch = rig.watch(t());
    let (snapshot, took) = Rig::timed(rig.poll(&watch)).await;
    assert_eq!(seconds(took), 4);
    assert!(matches!(
        snapshot.error,
        Some(ReadError::Unreachable { .. })
    ));
    assert!(snapshot.groups.is_empty() && snapshot.topics.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_cluster_is_tried_with_a_back_off_and_a_new_client() {
    let double = Double::new(3);
    double.change(|world| world.bootstrap = Mood::Silent);
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(t());
    let mut pauses = Vec::new();
    for poll in 1..=8 {
        let (snapshot, took) = Rig::timed(rig.poll(&watch)).await;
        assert!(snapshot.error.is_some());
        assert_eq!(
            double.change(|world| (world.opened, world.closed)),
            (poll, poll)
        );
        // Asking for a poll does not bring it forward.
        watch.poll_now();
        pauses.push(took.as_secs_f64());
    }
    for (pause, expected) in pauses[1..]
        .iter()
        .zip([2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0])
    {
        assert!(
            (0.8 * expected..1.2 * expected + 1.6).contains(pause),
            "{pauses:?}"
        );
    }
    double.change(|world| world.bootstrap = Mood::Answers);
    assert!(rig.poll(&watch).await.error.is_none());
    let (_, took) = Rig::timed(rig.poll(&watch)).await;
    assert!(
        took < Duration::from_secs(16),
        "the back-off is forgotten: {took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn after_losing_all_brokers_the_next_poll_bootstraps_again() {
    let double = Double::new(3);
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(t());
    rig.poll(&watch).await;
    double.change(|world| {
        world.brokers = [(1, Mood::Silent), (2, Mood::Silent), (3, Mood::Silent)].into();
    });
    let snapshot = rig.poll(&watch).await;
    assert!(snapshot.error.is_some());
    assert!(
        snapshot.groups.is_empty(),
        "old values are not shown as current"
    );
    // Others took their place.
    double.change(|world| world.brokers = [(7, Mood::Answers), (8, Mood::Answers)].into());
    double.change_group(|group| {
        group.coordinator = 8;
        group.listed = vec![8];
    });
    let snapshot = rig.poll(&watch).await;
    assert_eq!(snapshot.error, None);
    assert_eq!(committed(&snapshot), vec![Ok(Some(7)); 3]);
}

#[tokio::test(start_paused = true)]
async fn a_broken_reader_is_opened_again() {
    let double = Double::new(1);
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(t());
    rig.poll(&watch).await;
    double.change(|world| world.broken = true);
    let snapshot = rig.poll(&watch).await;
    assert_eq!(snapshot.error, None);
    assert_eq!(double.change(|world| (world.opened, world.closed)), (2, 1));
}
