//! What is not read stays unknown.
#![allow(
    clippy::mutable_key_type,
    reason = "a compiled pattern compares by its source"
)]

use std::collections::BTreeMap;

use lagrange_core::intent::topics::{TopicPattern, TopicSelection};
use lagrange_core::scaling::observation::Rollout;
use rstest::rstest;

use super::*;
use crate::kafka::model::error::Resource;
use crate::kafka::model::snapshot::{Description, NodeId, Protocol};

const TARGET: Target = Target {
    replicas: 2,
    ready: 2,
    rollout: Rollout::None,
};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn offset(n: i64) -> Offset {
    Offset::new(n).unwrap()
}

fn key(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition {
        topic: topic.into(),
        partition,
    }
}

fn reading() -> GroupInterest {
    GroupInterest {
        id: "fulfillment".into(),
        topics: TopicSelection::Named(vec!["orders".into()]),
        isolation: Isolation::ReadUncommitted,
        max_delay: None,
    }
}

fn partition(end: Known<Offset>) -> snapshot::Partition {
    snapshot::Partition {
        leader: Some(NodeId(1)),
        start: Ok(offset(5)),
        end,
        stable_end: None,
        at: at(100),
    }
}

fn member(assigned: Vec<TopicPartition>) -> snapshot::Member {
    snapshot::Member {
        id: "m".into(),
        client_id: "c".into(),
        host: "10.0.0.1".into(),
        instance_id: Some("pod-0".into()),
        assigned,
        target: None,
    }
}

/// Two partitions of `orders`, the first one owned; `audit` is assigned too.
fn seen() -> Snapshot {
    let description = Description {
        at: at(90),
        poll: 6,
        state: Ok(snapshot::GroupState::Stable),
        assignor: Some("range".into()),
        members: vec![member(vec![key("orders", 0), key("audit", 0)])],
    };
    let group = snapshot::Group {
        state: Ok(snapshot::GroupState::Stable),
        protocol: Protocol::Classic,
        coordinator: Some(NodeId(1)),
        committed: BTreeMap::from([
            (key("orders", 0), Ok(Some(offset(40)))),
            (key("orders", 1), Ok(None)),
        ]),
        committed_at: at(99),
        earlier: BTreeMap::new(),
        description: Some(Ok(description)),
        topics: BTreeMap::from([(reading().topics, Ok(vec!["orders".into()]))]),
    };
    Snapshot {
        renewal: None,
        poll: 7,
        started: at(99),
        finished: at(100),
        cluster_id: None,
        brokers: vec![NodeId(1)],
        error: None,
        topics: BTreeMap::from([
            (
                "orders".into(),
                snapshot::Topic::Present(vec![
                    partition(Ok(offset(100))),
                    partition(Ok(offset(50))),
                ]),
            ),
            (
                "audit".into(),
                snapshot::Topic::Present(vec![partition(Ok(offset(9)))]),
            ),
        ]),
        groups: BTreeMap::from([("fulfillment".into(), group)]),
    }
}

fn observe_at(now: i64, snapshot: Option<&Snapshot>, reading: &GroupInterest) -> Observation {
    let input = ObserveInput {
        now: at(now),
        snapshot,
        reading,
        delayed: None,
        interval: SignedDuration::from_secs(15),
        since: at(95),
    };
    observation(&input, TARGET)
}

#[test]
fn a_topic_is_delayed_if_the_pattern_matches_it_and_it_is_one_of_those_that_count() {
    let pattern = TopicPattern::new("orders|audit").unwrap();
    let snapshot = seen();
    let input = ObserveInput {
        now: at(101),
        snapshot: Some(&snapshot),
        reading: &reading(),
        delayed: Some(&pattern),
        interval: SignedDuration::from_secs(15),
        since: at(95),
    };
    let poll = observation(&input, TARGET).snapshot.unwrap();
    let roles: Vec<_> = poll.topics.iter().map(|topic| topic.role).collect();
    assert_eq!(roles, [TopicRole::Assigned, TopicRole::Delayed]);
}

fn snapshot_of(snapshot: &Snapshot) -> GroupSnapshot {
    observe_at(101, Some(snapshot), &reading())
        .snapshot
        .unwrap()
}

fn group(snapshot: &mut Snapshot) -> &mut snapshot::Group {
    snapshot.groups.get_mut("fulfillment").unwrap()
}

fn commit_of(poll: &GroupSnapshot, index: usize) -> Commit {
    let orders = poll.topics.iter().find(|topic| topic.is_counted()).unwrap();
    orders.partitions.as_ref().unwrap()[index].committed
}

#[test]
fn a_poll_becomes_the_observation_of_decide() {
    let poll = snapshot_of(&seen());
    assert_eq!((poll.number, poll.at), (7, at(100)));
    let [audit, orders] = poll.topics.as_slice() else {
        panic!("{poll:?}")
    };
    assert_eq!(
        (audit.role, orders.role),
        (TopicRole::Assigned, TopicRole::Counted)
    );
    let first = Partition {
        log_start: Some(5),
        log_end: Some(100),
        committed: Commit::At(40),
        owner: Some(0),
    };
    let second = Partition {
        log_end: Some(50),
        committed: Commit::Absent,
        owner: None,
        ..first
    };
    assert_eq!(orders.partitions.as_deref(), Some(&[first, second][..]));
    assert_eq!(poll.group.state, GroupState::Stable);
    assert_eq!(poll.group.assignor, Some(Assignor::Range));
    let members = poll.group.members.unwrap();
    assert_eq!(members.poll, 6, "described in an earlier look");
    assert_eq!(members.list[0].partitions, 2);
    assert!(members.list[0].is_static);
}

#[rstest]
#[case::leaderless(ReadError::LeaderUnavailable)]
#[case::silent(ReadError::TimedOut)]
#[case::hidden(ReadError::Authorization { resource: Resource::Topic("orders".into()) })]
fn an_end_that_was_not_read_is_unknown_and_not_zero(#[case] error: ReadError) {
    let mut seen = seen();
    let partitions = vec![partition(Err(error)), partition(Ok(offset(50)))];
    let topic = snapshot::Topic::Present(partitions);
    seen.topics.insert("orders".into(), topic);
    let poll = snapshot_of(&seen);
    let orders = poll.topics.iter().find(|topic| topic.is_counted()).unwrap();
    assert_eq!(orders.partitions.as_ref().unwrap()[0].log_end, None);
}

#[rstest]
#[case::failed(Some(Err(ReadError::CoordinatorUnavailable)), Commit::Unknown)]
#[case::not_asked(None, Commit::Unknown)]
#[case::nothing_committed(Some(Ok(None)), Commit::Absent)]
#[case::past_the_end(
    Some(Err(ReadError::CommittedBeyondEnd { committed: 900, end: 100 })),
    Commit::At(900)
)]
fn a_commit_that_was_not_read_is_unknown_and_not_absent(
    #[case] known: Option<Known<Option<Offset>>>,
    #[case] expected: Commit,
) {
    let mut seen = seen();
    let committed = &mut group(&mut seen).committed;
    committed.remove(&key("orders", 0));
    if let Some(known) = known {
        committed.insert(key("orders", 0), known);
    }
    assert_eq!(commit_of(&snapshot_of(&seen), 0), expected);
}

#[rstest]
#[case::gone(Some(snapshot::Topic::Absent))]
#[case::hidden(Some(snapshot::Topic::Unknown(ReadError::TimedOut)))]
#[case::missing_from_the_reply(None)]
fn a_topic_that_was_not_read_is_unknown_as_a_whole(#[case] topic: Option<snapshot::Topic>) {
    let mut seen = seen();
    seen.topics.remove("orders");
    if let Some(topic) = topic {
        seen.topics.insert("orders".into(), topic);
    }
    let poll = snapshot_of(&seen);
    let orders = poll.topics.iter().find(|topic| topic.is_counted()).unwrap();
    assert_eq!(orders.partitions, None);
}

#[test]
fn members_that_were_not_described_are_unknown_and_own_nothing_that_is_known() {
    let mut seen = seen();
    group(&mut seen).description = Some(Err(ReadError::TimedOut));
    let poll = snapshot_of(&seen);
    assert!(poll.group.members.is_none());
    assert_eq!(poll.group.assignor, None);
    assert_eq!(poll.topics.len(), 1);
}

#[rstest]
#[case(Ok(snapshot::GroupState::Stable), GroupState::Stable)]
#[case(Ok(snapshot::GroupState::Empty), GroupState::Empty)]
#[case(Ok(snapshot::GroupState::Dead), GroupState::Dead)]
#[case(Ok(snapshot::GroupState::PreparingRebalance), GroupState::Rebalancing)]
#[case(Ok(snapshot::GroupState::CompletingRebalance), GroupState::Rebalancing)]
#[case(Ok(snapshot::GroupState::Assigning), GroupState::Rebalancing)]
#[case(Ok(snapshot::GroupState::Reconciling), GroupState::Rebalancing)]
#[case(Err(ReadError::NotListed), GroupState::Unknown)]
fn states_are_what_they_mean_for_acting(
    #[case] state: Known<snapshot::GroupState>,
    #[case] expected: GroupState,
) {
    let mut seen = seen();
    group(&mut seen).state = state;
    assert_eq!(snapshot_of(&seen).group.state, expected);
}

#[rstest]
#[case("range", Assignor::Range)]
#[case("roundrobin", Assignor::Even)]
#[case("sticky", Assignor::Even)]
#[case("cooperative-sticky", Assignor::Even)]
#[case("uniform", Assignor::Even)]
#[case("stream", Assignor::Other)]
fn assignors_are_what_they_mean_for_the_limit(#[case] name: &str, #[case] expected: Assignor) {
    assert_eq!(Assignor::named(name), expected);
}

#[test]
fn a_group_that_reads_committed_records_ends_at_the_last_stable_one() {
    let mut seen = seen();
    let stable = |end| snapshot::Partition {
        stable_end: end,
        ..partition(Ok(offset(100)))
    };
    let partitions = vec![stable(Some(Ok(offset(60)))), stable(None)];
    let topic = snapshot::Topic::Present(partitions);
    seen.topics.insert("orders".into(), topic);
    let reading = GroupInterest {
        isolation: Isolation::ReadCommitted,
        ..reading()
    };
    let poll = observe_at(101, Some(&seen), &reading).snapshot.unwrap();
    let orders = poll.topics.iter().find(|topic| topic.is_counted()).unwrap();
    let ends: Vec<_> = orders
        .partitions
        .iter()
        .flatten()
        .map(|p| p.log_end)
        .collect();
    assert_eq!(ends, [Some(60), None]);
}

#[test]
fn a_poll_that_failed_is_a_failed_poll_of_its_number() {
    let mut seen = seen();
    seen.error = Some(ReadError::TimedOut);
    let blind = observe_at(101, Some(&seen), &reading()).snapshot;
    assert_eq!(blind, Err(Unreadable::PollFailed { number: 7 }));
}

#[test]
fn topics_that_could_not_be_resolved_are_a_failed_poll() {
    let mut seen = seen();
    let topics = &mut group(&mut seen).topics;
    topics.insert(reading().topics, Err(ReadError::AssignmentUnknown));
    let blind = observe_at(101, Some(&seen), &reading()).snapshot;
    assert_eq!(blind, Err(Unreadable::PollFailed { number: 7 }));
}

#[test]
fn a_poll_from_before_this_was_asked_for_is_none_yet() {
    let other = GroupInterest {
        topics: TopicSelection::OfGroup,
        ..reading()
    };
    assert_eq!(
        observe_at(101, Some(&seen()), &other).snapshot,
        Err(Unreadable::NeverPolled)
    );
    let mut without = seen();
    without.groups.clear();
    assert_eq!(
        observe_at(101, Some(&without), &reading()).snapshot,
        Err(Unreadable::NeverPolled)
    );
    assert_eq!(
        observe_at(101, None, &reading()).snapshot,
        Err(Unreadable::NeverPolled)
    );
}

#[rstest]
#[case::two_intervals_and_a_bit(135, true)]
#[case::too_old(136, false)]
fn an_old_poll_is_none(#[case] now: i64, #[case] known: bool) {
    assert_eq!(
        observe_at(now, Some(&seen()), &reading()).snapshot.is_ok(),
        known
    );
}

#[test]
fn silence_counts_as_failed_polls_with_numbers_that_no_poll_has() {
    let numbers: Vec<_> = [131, 140, 150, 165, 180]
        .into_iter()
        .map(|now| match observe_at(now, None, &reading()).snapshot {
            Err(Unreadable::PollFailed { number }) => u64::MAX - number,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(numbers, [2, 3, 3, 4, 5], "one for each interval");
}
