//! Committed offsets, ends and starts.

use lagrange::kafka::model::error::ReadError;
use lagrange::kafka::model::snapshot::{GroupState, Offset, Topic, TopicPartition};
use lagrange_testing::kafka::Kafka;
use lagrange_testing::poll_helper::{PollHelper, lag, named};
use lagrange_testing::unique;

fn partition(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition {
        topic: topic.into(),
        partition,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_never_committed_has_nothing_committed_anywhere() {
    let kafka = Kafka::shared().await;
    let (topic, group) = (unique("never"), unique("never"));
    kafka.create_topic(&topic, 3).await;
    kafka.produce(&topic, 12).await;
    let mut helper = PollHelper::on(&kafka.bootstrap, &group, named(&[&topic]));
    let dead = |state: GroupState| move |s: &_| state_of(s, &group) == Some(Ok(state));
    let snapshot = helper
        .until("the group is known not to exist", dead(GroupState::Dead))
        .await;
    let group = snapshot.groups.values().next().unwrap();
    assert_eq!(group.committed.len(), 3);
    assert!(
        group
            .committed
            .values()
            .all(|committed| *committed == Ok(None))
    );
    assert!(snapshot.poll >= 2, "not accepted at first sight");
}

/// No consumer has ever asked for a coordinator, so the broker has no topic of offsets yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_in_a_cluster_without_any_commit_has_nothing_committed_anywhere() {
    let kafka = Kafka::start(3).await;
    kafka.create_topic("orders", 3).await;
    kafka.produce("orders", 12).await;
    let mut helper = PollHelper::on(&kafka.bootstrap, "orders", named(&["orders"]));
    let dead = |snapshot: &_| state_of(snapshot, "orders") == Some(Ok(GroupState::Dead));
    let snapshot = helper.until("the group is known not to exist", dead).await;
    let committed = &snapshot.groups["orders"].committed;
    assert_eq!(committed.len(), 3);
    assert!(committed.values().all(|committed| *committed == Ok(None)));
}

fn state_of(
    snapshot: &lagrange::kafka::model::snapshot::Snapshot,
    group: &str,
) -> Option<Result<GroupState, ReadError>> {
    Some(snapshot.groups.get(group)?.state.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_without_a_commit_differ_from_those_at_zero() {
    let kafka = Kafka::shared().await;
    let (topic, group) = (unique("partly"), unique("partly"));
    kafka.create_topic(&topic, 3).await;
    kafka.produce(&topic, 30).await;
    kafka.commit(&group, &topic, &[(0, 0), (2, 7)].into()).await;
    let mut helper = PollHelper::on(&kafka.bootstrap, &group, named(&[&topic]));
    let snapshot = helper.poll().await;
    let committed = &snapshot.groups[group.as_str()].committed;
    assert_eq!(committed[&partition(&topic, 0)], Ok(Offset::new(0)));
    assert_eq!(committed[&partition(&topic, 1)], Ok(None));
    assert_eq!(committed[&partition(&topic, 2)], Ok(Offset::new(7)));
    assert_eq!(lag(&snapshot, &group, &topic), Some(23));
    assert_eq!(snapshot.groups[group.as_str()].state, Ok(GroupState::Empty));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_beyond_the_end_is_unknown_and_not_a_negative_lag() {
    let kafka = Kafka::shared().await;
    let (topic, group) = (unique("beyond"), unique("beyond"));
    kafka.create_topic(&topic, 2).await;
    kafka.produce(&topic, 20).await;
    kafka
        .commit(&group, &topic, &[(0, 4), (1, 999)].into())
        .await;
    let mut helper = PollHelper::on(&kafka.bootstrap, &group, named(&[&topic]));
    let snapshot = helper.poll().await;
    let committed = &snapshot.groups[group.as_str()].committed;
    assert_eq!(committed[&partition(&topic, 0)], Ok(Offset::new(4)));
    assert_eq!(
        committed[&partition(&topic, 1)],
        Err(ReadError::CommittedBeyondEnd {
            committed: 999,
            end: 10
        })
    );
    assert_eq!(lag(&snapshot, &group, &topic), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_records_show_as_a_start_beyond_the_commit() {
    let kafka = Kafka::shared().await;
    let (topic, group) = (unique("expired"), unique("expired"));
    kafka.create_topic(&topic, 1).await;
    kafka.produce(&topic, 10).await;
    kafka.commit(&group, &topic, &[(0, 0)].into()).await;
    let mut helper = PollHelper::on(&kafka.bootstrap, &group, named(&[&topic]));
    let start = |topic: String, offset| {
        move |snapshot: &lagrange::kafka::model::snapshot::Snapshot| match &snapshot.topics
            [topic.as_str()]
        {
            Topic::Present(partitions) => partitions[0].start == Ok(Offset::new(offset).unwrap()),
            _ => false,
        }
    };
    let first = helper.poll().await;
    assert!(
        start(topic.clone(), 0)(&first),
        "read in the first poll: {first:#?}"
    );
    kafka.delete_records(&topic, 0, 6).await;
    // At once, not only when all starts are due: the commit was at the start of the log.
    let before = helper.poll().await.poll;
    let snapshot = helper.until("the new start", start(topic.clone(), 6)).await;
    assert!(
        snapshot.poll <= before + 1,
        "{} polls later",
        snapshot.poll - before
    );
}
