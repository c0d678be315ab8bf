//! Topics that are created, deleted, extended and created again.

use lagrange::kafka::model::error::ReadError;
use lagrange::kafka::model::snapshot::{Snapshot, Topic};
use lagrange_core::intent::topics::{TopicPattern, TopicSelection};
use lagrange_testing::kafka::Kafka;
use lagrange_testing::poll_helper::{PollHelper, lag, named, settings};
use lagrange_testing::unique;

fn partitions(snapshot: &Snapshot, topic: &str) -> usize {
    match &snapshot.topics[topic] {
        Topic::Present(partitions) => partitions.len(),
        _ => 0,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn added_partitions_are_found_in_the_next_polls_and_start_empty() {
    let kafka = Kafka::shared().await;
    let (topic, group) = (unique("grow"), unique("grow"));
    kafka.create_topic(&topic, 4).await;
    kafka.produce(&topic, 20).await;
    kafka
        .commit(&group, &topic, &[(0, 5), (1, 5), (2, 5), (3, 5)].into())
        .await;
    let mut helper = PollHelper::on(&kafka.bootstrap, &group, named(&[&topic]));
    assert_eq!(partitions(&*helper.poll().await, &topic), 4);
    kafka.add_partitions(&topic, 20).await;
    let before = helper.poll().await.poll;
    let grown = |s: &Snapshot| lag(s, &group, &topic) == Some(0) && partitions(s, &topic) == 20;
    let snapshot = helper.until("20 partitions, all known", grown).await;
    // Polls are 0.3 s apart here. A busy broker takes longer to elect leaders of new partitions.
    assert!(
        snapshot.poll <= before + 20,
        "{} after {before}",
        snapshot.poll
    );
    let committed = &snapshot.groups[group.as_str()].committed;
    assert_eq!(committed.values().filter(|c| **c == Ok(None)).count(), 16);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_topic_is_unknown_at_first_and_absent_once_confirmed() {
    let kafka = Kafka::shared().await;
    let (topic, group) = (unique("gone"), unique("gone"));
    kafka.create_topic(&topic, 4).await;
    kafka.produce(&topic, 20).await;
    kafka
        .commit(&group, &topic, &[(0, 2), (1, 2), (2, 2), (3, 2)].into())
        .await;
    let mut helper = PollHelper::on(&kafka.bootstrap, &group, named(&[&topic]));
    let snapshot = helper.poll().await;
    assert_eq!(lag(&snapshot, &group, &topic), Some(12));
    kafka.delete_topic(&topic).await;
    let absent = |s: &Snapshot| matches!(s.topics[topic.as_str()], Topic::Absent);
    let never_wrong = |s: &Snapshot| assert!(matches!(lag(s, &group, &topic), None | Some(12)));
    helper.until_checked("absent", absent, never_wrong).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recreated_topic_never_has_a_negative_lag() {
    let kafka = Kafka::shared().await;
    let (topic, group) = (unique("again"), unique("again"));
    kafka.create_topic(&topic, 4).await;
    kafka.produce(&topic, 200).await;
    kafka
        .commit(&group, &topic, &[(0, 40), (1, 40), (2, 40), (3, 40)].into())
        .await;
    let mut helper = PollHelper::on(&kafka.bootstrap, &group, named(&[&topic]));
    assert_eq!(lag(&*helper.poll().await, &group, &topic), Some(40));
    kafka.delete_topic(&topic).await;
    let check = |s: &Snapshot| assert!(lag(s, &group, &topic).is_none_or(|lag| lag >= 0));
    // The deletion continues for a moment after the broker has confirmed it.
    let gone = |s: &Snapshot| lag(s, &group, &topic).is_none();
    helper.until_checked("deleted", gone, check).await;
    kafka.create_topic(&topic, 4).await;
    kafka.produce(&topic, 20).await;
    let back = |s: &Snapshot| lag(s, &group, &topic) == Some(20);
    let snapshot = helper
        .until_checked("5 records in each, none committed", back, check)
        .await;
    assert!(
        snapshot.groups[group.as_str()]
            .committed
            .values()
            .all(|c| *c == Ok(None))
    );
    // The old offsets are restored.
    kafka.commit(&group, &topic, &[(0, 40)].into()).await;
    let beyond = |s: &Snapshot| {
        let mut committed = s.groups[group.as_str()].committed.values();
        committed.any(|c| matches!(c, Err(ReadError::CommittedBeyondEnd { .. })))
    };
    helper.until_checked("beyond the end", beyond, check).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_never_existed_is_reported_as_absent() {
    let kafka = Kafka::shared().await;
    let (topic, group) = (unique("nowhere"), unique("nowhere"));
    let mut helper = PollHelper::on(&kafka.bootstrap, &group, named(&[&topic]));
    let snapshot = helper.poll().await;
    assert!(matches!(
        snapshot.topics[topic.as_str()],
        Topic::Unknown(ReadError::UnknownTopic)
    ));
    let absent = |s: &Snapshot| matches!(s.topics[topic.as_str()], Topic::Absent);
    helper.until("absent", absent).await;
    kafka.create_topic(&topic, 2).await;
    helper
        .until("there at once", |s| partitions(s, &topic) == 2)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_finds_new_topics_and_excludes_internal_ones() {
    let kafka = Kafka::shared().await;
    let (name, group) = (unique("pattern"), unique("pattern"));
    kafka.create_topic(&format!("{name}.a"), 1).await;
    // The offsets topic exists after the first commit.
    kafka
        .commit(&group, &format!("{name}.a"), &[(0, 0)].into())
        .await;
    let selection = TopicSelection::Pattern(
        TopicPattern::new(&format!("{}|__.*", name.replace('.', r"\.") + r"\..*")).unwrap(),
    );
    let mut settings = settings();
    settings.names_every = settings.min_interval;
    let mut helper = PollHelper::with(settings, &kafka.bootstrap, &group, selection.clone());
    let topics = |s: &Snapshot| -> Vec<String> {
        let group = &s.groups[group.as_str()];
        let topics = group.topics_for(&selection);
        topics.unwrap().iter().map(ToString::to_string).collect()
    };
    assert_eq!(topics(&*helper.poll().await), [format!("{name}.a")]);
    kafka.create_topic(&format!("{name}.b"), 1).await;
    let both = [format!("{name}.a"), format!("{name}.b")];
    helper.until("the new topic", |s| topics(s) == both).await;
    kafka.delete_topic(&format!("{name}.a")).await;
    helper
        .until("only the new topic", |s| topics(s) == both[1..])
        .await;
}
