//! The text of each condition.

use lagrange_core::intent::topics::TopicPattern;

use super::*;

type Change = fn(&mut Decision);

#[rstest]
#[case::no_member_joined("Healthy", |d: &mut Decision| { d.facts.members_missing = true; (d.facts.ready, d.facts.members) = (12, Some(3)); },
    "False/MembersMissing: 12 replicas are ready, the group has 3 members, and the last scale-up brought none: are these Pods in this group? Check spec.groupId and the consumers' logs")]
#[case::no_member_joined_blocks("AbleToScale", |d: &mut Decision| { d.up_blocked = Some(hold(HoldReason::MembersMissing, None)); (d.facts.ready, d.facts.members) = (2, Some(1)); },
    "False/MembersMissing: 2 replicas are ready, the group has 1 member, and")]
#[case::foreign("Healthy", |d: &mut Decision| { d.facts.foreign_members = 8; (d.facts.current, d.facts.members, d.facts.limit) = (4, Some(12), Some(4)); },
    "False/MembersForeign: 8 of the group's 12 members are not of this target's 4 replicas, and take partitions, which leaves room for 4 replicas: another workload")]
#[case::thrown_about("Healthy", |d: &mut Decision| d.facts.rebalances = Some(7),
    "False/RebalancingOften: 7 rebalances in ten minutes that no scaling and no rollout explains")]
#[case::one_partition_behind("Healthy", |d: &mut Decision| d.facts.backlogged = Backlogged { partitions: vec![("order-events".into(), 3)], percent: 83 },
    "False/HotPartition: 83% of the records that wait are in order-events-3: a partition has one consumer")]
#[case::nothing_committed("LagKnown", |d: &mut Decision| {
        (d.facts.knowledge, d.facts.nothing_committed, d.facts.uncommitted) = (LASTING, Some(Timestamp::UNIX_EPOCH), 6);
        d.facts.lag.unknown = 6;
    }, "False/NothingCommitted: records are read since")]
#[case::some_uncommitted("LagKnown", |d: &mut Decision| {
        (d.facts.knowledge, d.facts.uncommitted, d.facts.lag.unknown) = (LASTING, 1, 1);
        d.facts.lag.unknown_partitions = vec![("order-events".into(), 3)];
    }, "False/PartitionsUnreadable: 1 partition read since")]
#[case::one_pod_is_not_ready("AbleToScale", |d: &mut Decision| { d.up_blocked = Some(hold(HoldReason::ReplicasNotReady, Some("12:05:00"))); (d.facts.ready, d.facts.current) = (7, 8); },
    "False/ReplicasNotReady: 7 of 8 replicas are ready; until")]
#[case::none_that_came("AbleToScale", |d: &mut Decision| { d.up_blocked = Some(hold(HoldReason::ReplicasNotReady, None)); (d.facts.ready, d.facts.current) = (4, 8); },
    "False/ReplicasNotReady: 4 of 8 replicas are ready, and none that the last scale-up added: check the target's Pods")]
fn a_condition_says_who_works_and_what_to_do(
    #[case] kind: &str,
    #[case] change: Change,
    #[case] says: &str,
) {
    let mut decision = decision();
    change(&mut decision);
    let status = first(found(&decision));
    let conditions = status.conditions.iter();
    let events = conditions.filter(|condition| condition.type_ == kind);
    let events: Vec<String> = events
        .map(|c| format!("{}/{}: {}", c.status, c.reason, c.message))
        .collect();
    assert!(
        events.iter().any(|events| events.starts_with(says)),
        "{events:?}"
    );
    let shown: Vec<&String> = events
        .iter()
        .filter(|events| events.ends_with("..."))
        .collect();
    assert!(shown.is_empty(), "cut: {shown:?}");
}

#[test]
fn instances_that_never_come_back_read_as_what_to_do_about_them() {
    let decision = decision();
    let fleeting = ConditionInput {
        fleeting_instances: true,
        ..found(&decision)
    };
    let status = first(fleeting);
    let healthy = find(&status.conditions, Type::Healthy).unwrap();
    assert_eq!(
        (&*healthy.status, &*healthy.reason),
        ("False", "StaticMembership")
    );
    assert!(
        healthy.message.chars().count() < MAX_MESSAGE,
        "not cut: {}",
        healthy.message
    );
}

/// A pattern of delayed topics that matched none was once ignored without a message.
#[test]
fn a_pattern_of_delayed_topics_that_matches_none_is_reported() {
    let (decision, pattern) = (decision(), TopicPattern::new(".*-retry").unwrap());
    let status = first(ConditionInput {
        unmatched: Some(&pattern),
        ..found(&decision)
    });
    let ready = find(&status.conditions, Type::Ready).unwrap();
    assert_eq!((&*ready.status, &*ready.reason), ("True", "Managed"));
    assert!(
        (ready.message).starts_with("delayedTopicPattern matches none of topics"),
        "{}",
        ready.message
    );
}
