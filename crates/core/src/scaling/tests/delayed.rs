//! Topics whose records wait on purpose, by `delayedTopicPattern`.

use rstest::rstest;

use super::*;
use crate::scaling::output::decision::ScaleReason;
use crate::scaling::tests::plant::Plant;

/// Twelve partitions that are read at once, and twelve whose records are read ten minutes after
/// they were written.
fn retries(replicas: i32) -> Plant {
    let mut plant = Plant::new(24, replicas, 0);
    plant.world.second = Some((12, TopicRole::Delayed));
    plant.arrivals = [vec![30; 12], vec![5; 12]].concat();
    for partition in plant.world.partitions.iter_mut().skip(12) {
        partition.log_end = Some(3000);
    }
    plant.held_back = vec![(12..24, 3000)];
    plant
}

#[rstest]
#[case(Objective::MaxDelay(secs(60)))]
#[case(Objective::LagPerReplica(10_000))]
fn they_ask_for_nothing_from_the_first_poll_on(#[case] objective: Objective) {
    let mut plant = retries(3);
    plant.world.policy.objective = objective;
    for _ in 0..160 {
        let decision = plant.poll();
        assert!(decision.facts.current <= 3, "{decision:#?}");
        // 36,000 records wait on purpose.
        assert!(decision.facts.lag.total < 30_000, "{decision:#?}");
    }
}

#[test]
fn they_count_for_the_limit() {
    let mut plant = retries(3);
    assert_eq!(plant.poll().facts.limit, Some(24));
    plant.world.assignor = Some(Assignor::Range);
    assert_eq!(plant.poll().facts.limit, Some(12));
}

/// A group with `minReplicas: 0` and one record that waits on purpose.
fn sleepy(replicas: i32) -> World {
    let mut world = World::new(4, replicas);
    world.policy.min = 0;
    world.second = Some((2, TopicRole::Delayed));
    world
}

#[rstest]
#[case(Objective::MaxDelay(secs(60)))]
#[case(Objective::LagPerReplica(10))]
fn a_record_in_them_wakes_one_replica(#[case] objective: Objective) {
    let mut world = sleepy(1);
    world.policy.objective = objective;
    assert_eq!(world.until_action(60), Some((1, 0)));
    world.run(10);
    world.partitions[3].log_end = Some(500);
    let decision = world.poll();
    assert!(
        matches!(
            decision.verdict,
            Verdict::Scale {
                from: 0,
                to: 1,
                why: ScaleReason::WakeUp
            }
        ),
        "{decision:#?}"
    );
}

#[rstest]
#[case(false)]
#[case(true)]
fn a_record_in_them_keeps_the_group_awake(#[case] transactions: bool) {
    let mut world = sleepy(1);
    world.policy.may_hold_markers = transactions;
    world.partitions[3].log_end = Some(1);
    world.run(120);
    world.partitions[3].committed = Commit::At(1);
    assert_eq!(world.until_action(60), Some((1, 0)));
}

/// A retry of a few seconds: at each poll it has been read.
#[rstest]
#[case(Objective::MaxDelay(secs(60)))]
#[case(Objective::LagPerReplica(10))]
fn one_that_is_read_between_two_polls_keeps_the_group_awake_too(#[case] objective: Objective) {
    let mut world = sleepy(1);
    world.policy.objective = objective;
    for record in 1..60 {
        world.partitions[3].log_end = Some(record);
        world.partitions[3].committed = Commit::At(record);
        world.run(1);
    }
    assert_eq!(world.until_action(30), Some((1, 0)));
}

#[test]
fn what_nobody_can_read_of_them_keeps_nobody_awake_for_more_than_an_hour() {
    let mut world = sleepy(1);
    world.policy.may_hold_markers = true;
    world.partitions[3].log_end = Some(1);
    world.run(240);
    assert_eq!(world.until_action(30), Some((1, 0)));
    for _ in 0..60 {
        assert_eq!(scale(&world.poll()), None);
    }
}

/// Members of a settled group are not described at every poll: the last description stays valid.
#[rstest]
#[case(TopicRole::Delayed)]
#[case(TopicRole::Assigned)]
fn a_topic_of_the_members_that_begins_to_count_does_so_at_once(#[case] before: TopicRole) {
    let mut world = World::new(6, 1);
    world.second = Some((4, before));
    for partition in world.partitions.iter_mut().skip(4) {
        partition.log_end = Some(1000);
    }
    world.run(10);
    world.described = Some(world.number);
    world.run(3);
    world.second = Some((4, TopicRole::Counted));
    let decision = world.poll();
    assert_eq!(scale(&decision), Some((1, 2)), "{decision:#?}");
}
