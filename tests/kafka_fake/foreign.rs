//! Brokers that report more than can be held, or text that is meant to mislead when it is shown.

use lagrange::kafka::connection::Connection;
use lagrange::kafka::model::error::ReadError;
use lagrange::kafka::model::interest::Key;
use lagrange::kafka::pool::Settings;
use lagrange_core::intent::topics::{TopicPattern, TopicSelection};
use lagrange_fakes::broker::FakeTopic;
use lagrange_testing::poll_helper::{PollHelper, interest, lag, named, settings};

const FORGED: &str = "no\n2026-11-30T00:00:00Z  INFO lagrange: forged \u{1b}[2J\u{9b}31m\r";

fn pattern(source: &str) -> TopicSelection {
    TopicSelection::Pattern(TopicPattern::new(source).unwrap())
}

fn is_clean(text: &str) -> bool {
    !text.contains(lagrange_core::text::is_disruptive) && text.chars().count() < 800
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_error_of_a_broker_cannot_forge_a_line() {
    let brokers = super::brokers(1).await;
    brokers.world().refusing.extend([1, 2, 3]);
    brokers.world().words = Some(format!("{FORGED}{}", "x".repeat(10_000)));
    let mut helper = super::logins::poll_helper(&brokers, &[1]);
    let error = helper.poll().await.error.clone().unwrap();
    assert!(
        matches!(error, ReadError::Authentication { .. }),
        "{error:?}"
    );
    let text = error.to_string();
    assert!(is_clean(&text) && text.contains(r"no\n2026"), "{text:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_description_of_a_broker_cannot_forge_a_line() {
    let brokers = super::brokers(1).await;
    brokers.world().groups.get_mut("g0").unwrap().kind = FORGED;
    let mut helper = super::poll_helper(&brokers);
    let error = helper.poll().await.groups["g0"].state.clone().unwrap_err();
    assert!(matches!(error, ReadError::GroupType { .. }), "{error:?}");
    assert!(is_clean(&error.to_string()), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_with_impossible_names_are_not_read() {
    let brokers = super::brokers(1).await;
    for name in [FORGED, "a b", "x\u{2028}y", &"x".repeat(300)] {
        brokers.topic(name, 1);
    }
    let mut helper = PollHelper::on(&brokers.bootstrap, "g0", pattern("(?s).*"));
    let snapshot = helper
        .until("known", |s| lag(s, "g0", "t") == Some(60))
        .await;
    let names: Vec<_> = snapshot.topics.keys().map(|name| &**name).collect();
    assert_eq!(names, ["t"]);
}

/// Regression: without limits on topics and partitions this took half a gigabyte.
#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_on_ten_thousand_topics_does_not_affect_other_groups() {
    let brokers = super::brokers(2).await;
    for number in 0..10_000 {
        let topic = FakeTopic {
            leaders: [1, 2, 3].into_iter().cycle().take(20).collect(),
            end: 100,
            error: 0,
        };
        brokers
            .world()
            .topics
            .insert(format!("of-all-{number:05}"), topic);
    }
    let settings = Settings {
        max_partitions_per_group: 5_033,
        max_partitions: 20_132,
        ..settings()
    };
    let mut helper = PollHelper::with(settings, &brokers.bootstrap, "g0", named(&["t"]));
    helper
        .until("known", |s| lag(s, "g0", "t") == Some(60))
        .await;
    let connection = Connection::plaintext([&brokers.bootstrap]).unwrap();
    let all = pattern(".*");
    let _careless = helper
        .pool
        .watch(
            &connection,
            Key::consumer_group("careless", "g1"),
            interest("g1", all.clone()),
        )
        .unwrap();
    let before = resident();
    let refused = |s: &lagrange::kafka::model::snapshot::Snapshot| {
        let topics = s.groups.get("g1").and_then(|group| group.topics.get(&all));
        matches!(
            topics,
            Some(Err(ReadError::TooManyPartitions { topics: 10_001, .. }))
        )
    };
    let known =
        |s: &lagrange::kafka::model::snapshot::Snapshot| assert_eq!(lag(s, "g0", "t"), Some(60));
    helper.until_checked("refused", refused, known).await;
    for _ in 0..20 {
        let snapshot = helper.poll().await;
        known(&snapshot);
        assert!(refused(&snapshot));
        assert!(snapshot.groups["g1"].committed.is_empty());
    }
    // Names and partitions of all topics are in one answer, which librdkafka unpacks.
    let grown = resident().saturating_sub(before);
    println!("{grown} kB");
    assert!(grown < 160 * 1024, "{grown} kB");
}

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
