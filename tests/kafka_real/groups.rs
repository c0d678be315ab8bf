//! Groups with members, without members, and deleted.

use std::time::Instant;

use lagrange::kafka::model::snapshot::{Description, Group, GroupState, Protocol, Snapshot};
use lagrange_core::intent::topics::TopicSelection;
use lagrange_testing::kafka::Kafka;
use lagrange_testing::members::Members;
use lagrange_testing::poll_helper::{PollHelper, lag, named, settings};
use lagrange_testing::unique;
use rstest::rstest;

fn group<'a>(snapshot: &'a Snapshot, id: &str) -> &'a Group {
    &snapshot.groups[id]
}

fn description<'a>(snapshot: &'a Snapshot, id: &str) -> Option<&'a Description> {
    group(snapshot, id).description.as_ref()?.as_ref().ok()
}

/// KNOW-22.
#[rstest]
#[case::range("range", Protocol::Classic, "range")]
#[case::sticky("cooperative-sticky", Protocol::Classic, "cooperative-sticky")]
#[case::kip_848("consumer", Protocol::Consumer, "uniform")]
#[tokio::test(flavor = "multi_thread")]
async fn members_and_their_partitions_are_read(
    #[case] joined_by: &str,
    #[case] protocol: Protocol,
    #[case] assignor: &str,
) {
    let kafka = Kafka::shared().await;
    let (topic, id) = (unique("members"), unique("members"));
    kafka.create_topic(&topic, 6).await;
    kafka.produce(&topic, 30).await;
    let bootstrap = &kafka.bootstrap;
    let members = Members::join(bootstrap, &id, &topic, joined_by, 3);
    let mut helper = PollHelper::on(bootstrap, &id, TopicSelection::OfGroup);
    helper.watch.describe_members(true);
    let settled = |s: &Snapshot| {
        group(s, &id).state == Ok(GroupState::Stable)
            && description(s, &id).is_some_and(|d| {
                d.members.len() == 3 && d.members.iter().all(|m| m.assigned.len() == 2)
            })
            && lag(s, &id, &topic) == Some(0)
    };
    let snapshot = helper
        .until(
            "3 members with 2 partitions each, nothing left to read",
            settled,
        )
        .await;
    let described = description(&snapshot, &id).unwrap();
    assert_eq!(group(&snapshot, &id).protocol, protocol);
    assert_eq!(described.assignor.as_deref(), Some(assignor));
    assert_eq!(
        described.poll, snapshot.poll,
        "attentive: the members of this poll"
    );
    let mut names: Vec<_> = described.members.iter().map(|m| &*m.client_id).collect();
    names.sort_unstable();
    assert_eq!(names, ["member-0", "member-1", "member-2"]);
    assert!(described.members.iter().all(|m| &*m.host == "127.0.0.1"));
    assert!(described.members.iter().all(|m| m.instance_id.is_none()));
    let topics = group(&snapshot, &id).topics_for(&TopicSelection::OfGroup);
    assert_eq!(topics.unwrap(), [topic.as_str().into()]);

    // The members leave. The commits then select the topics, and the change of state in the list
    // makes a description due.
    helper.watch.describe_members(false);
    tokio::task::spawn_blocking(move || drop(members))
        .await
        .unwrap();
    let empty = |s: &Snapshot| {
        group(s, &id).state == Ok(GroupState::Empty)
            && description(s, &id).is_some_and(|d| d.members.is_empty())
            && group(s, &id).topics_for(&TopicSelection::OfGroup).is_ok()
            && lag(s, &id, &topic) == Some(0)
    };
    let snapshot = helper
        .until("empty, its topics known by its commits", empty)
        .await;
    let topics = group(&snapshot, &id).topics_for(&TopicSelection::OfGroup);
    assert_eq!(topics.unwrap(), [topic.as_str().into()]);
}

/// KNOW-22.
#[tokio::test(flavor = "multi_thread")]
async fn members_are_not_read_again_while_nothing_changes() {
    let kafka = Kafka::shared().await;
    let (topic, id) = (unique("calm"), unique("calm"));
    kafka.create_topic(&topic, 2).await;
    kafka.commit(&id, &topic, &[(0, 0)].into()).await;
    let mut helper = PollHelper::on(&kafka.bootstrap, &id, named(&[&topic]));
    let first = helper.poll().await;
    assert_eq!(description(&first, &id).unwrap().poll, 1);
    for _ in 0..3 {
        helper.poll().await;
    }
    let later = helper.poll().await;
    assert_eq!(description(&later, &id).unwrap().poll, 1);
}

/// KNOW-23.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_group_is_unknown_at_first_and_dead_once_confirmed() {
    let kafka = Kafka::shared().await;
    let (topic, id) = (unique("deleted"), unique("deleted"));
    kafka.create_topic(&topic, 2).await;
    kafka.produce(&topic, 6).await;
    kafka.commit(&id, &topic, &[(0, 1), (1, 1)].into()).await;
    let mut helper = PollHelper::on(&kafka.bootstrap, &id, named(&[&topic]));
    assert_eq!(lag(&*helper.poll().await, &id, &topic), Some(4));
    kafka.delete_group(&id).await;
    let deleted = Instant::now();
    let never_wrong = |s: &Snapshot| assert!(matches!(lag(s, &id, &topic), None | Some(4 | 6)));
    let unknown = |s: &Snapshot| group(s, &id).state.is_err();
    let first = helper.until_checked("unknown", unknown, never_wrong).await;
    assert_eq!(
        lag(&first, &id, &topic),
        None,
        "what it had committed is unknown as well"
    );
    let dead = |s: &Snapshot| group(s, &id).state == Ok(GroupState::Dead);
    let later = helper.until_checked("dead", dead, never_wrong).await;
    assert!(
        deleted.elapsed() >= settings().regression_grace,
        "accepted at once"
    );
    assert_eq!(lag(&later, &id, &topic), Some(6), "nothing is committed");
}
