//! The lag objective on consumers with a fixed capacity: what the rules add to a threshold.

use rstest::rstest;

use super::*;
use crate::scaling::state::capacity_model::CapacityModel;
use crate::scaling::tests::plant::Plant;

/// Two seconds of work of one consumer, a common choice.
fn plant(partitions: usize, replicas: i32, arrivals: i64) -> Plant {
    let mut plant = Plant::new(partitions, replicas, arrivals);
    plant.world.policy.objective = Objective::LagPerReplica(2000);
    plant
}

/// The same, after the capacity of one consumer has been measured in a rush that is over.
fn measured(partitions: usize, arrivals: i64) -> Plant {
    let mut plant = plant(partitions, 1, 3000);
    plant.run(20);
    plant.load(arrivals);
    plant.run(16);
    assert_eq!(plant.capacity(), Some(200));
    plant
}

#[test]
fn once_a_consumer_was_measured_a_load_that_fell_takes_two_actions_and_not_seven() {
    let mut plant = measured(24, 3000);
    assert_eq!(plant.world.replicas, 24);
    plant.load(300);
    let actions = plant.run(40);
    assert_eq!(actions, [(24, 12), (12, 2)]);
}

#[test]
fn a_group_that_keeps_up_is_not_shrunk_into_its_next_backlog() {
    let mut plant = measured(24, 2000);
    let sizes: Vec<i32> = plant.run(400).into_iter().map(|(_, to)| to).collect();
    assert!(
        sizes.len() <= 1 && sizes.iter().all(|n| *n == 12),
        "{sizes:?}"
    );
    let decision = plant.poll();
    assert_eq!(hold(&decision), Some(HoldReason::ArrivalsTooHigh));
    let trail = decision.trail.to_string();
    assert!(
        trail.ends_with("1992 records/s arrive, one consumer can do 200: 11"),
        "{trail}"
    );
}

#[test]
fn what_a_rebalance_held_up_is_worked_off_and_not_grown_for() {
    let mut plant = measured(24, 1800);
    plant.run(60);
    assert_eq!(plant.world.replicas, 12);
    // The rebalance stopped the group for much longer than usual: thirty thousand records wait,
    // while twelve replicas may have 24,000.
    plant.run(20);
    let lately = plant.world.now.checked_sub(secs(60)).unwrap();
    plant.world.state.memory.last.as_mut().unwrap().time = lately;
    plant.stall = 20;
    plant.poll();
    let decision = plant.poll();
    assert!(
        decision.facts.lag.total > 26_000,
        "{}",
        decision.facts.lag.total
    );
    assert_eq!(hold(&decision), Some(HoldReason::Settling));
    assert_eq!(decision.facts.desired, Some(24));
    assert_eq!(plant.run(30), [], "twelve work it off");
    // The rest is two seconds of records that are read and not committed.
    assert!(plant.poll().facts.lag.total < 5000);
}

#[test]
fn a_backlog_that_this_size_cannot_work_off_is_grown_for_after_an_action_as_well() {
    let mut plant = measured(24, 1800);
    plant.run(60);
    assert_eq!(plant.world.replicas, 12);
    plant.world.state.memory.last.as_mut().unwrap().time = plant.world.now;
    plant.load(3500);
    assert_eq!(plant.run(12), [(12, 24)]);
}

#[test]
fn a_stuck_partition_asks_for_nothing() {
    let mut plant = plant(12, 4, 600);
    plant.run(12);
    plant.stuck = Some(7);
    let actions = plant.run(120);
    let decision = plant.poll();
    assert!(decision.facts.lag.total > 80_000);
    assert_eq!(decision.facts.stuck_partitions, [("orders".into(), 7)]);
    assert!(
        decision
            .trail
            .to_string()
            .contains("1 partition does not move"),
        "{}",
        decision.trail
    );
    assert!(plant.world.replicas <= 6, "{actions:?}");
}

#[test]
fn work_that_takes_long_on_every_partition_is_work_and_not_a_fault() {
    let mut world = World::new(12, 2);
    world.policy.objective = Objective::LagPerReplica(5);
    // No commit for a quarter of an hour: each record takes that long.
    world.set_lag(40);
    assert_eq!(world.until_action(60), Some((2, 12)));
    for _ in 0..60 {
        assert_eq!(scale(&world.poll()), None);
    }
}

#[test]
fn a_scale_up_that_brings_nothing_is_taken_back_under_a_lag_too() {
    let mut plant = plant(24, 4, 700);
    plant.run(12);
    plant.shared = Some(900);
    plant.load(2000);
    let actions = plant.run(40);
    let back = actions.iter().find(|(from, to)| to < from);
    assert!(back.is_some(), "{actions:?}");
    let bottleneck = plant.world.state.memory.model.bottleneck.unwrap();
    assert!(
        plant
            .run(20)
            .iter()
            .all(|(_, to)| *to <= bottleneck.replicas)
    );
    let decision = plant.poll();
    assert!(
        decision.trail.to_string().contains("brought nothing"),
        "{}",
        decision.trail
    );
}

#[test]
fn after_a_restart_the_capacity_is_known_and_the_window_begins_anew() {
    let mut plant = measured(24, 2000);
    let model = plant.world.state.memory.model.capacity;
    plant.load(300);
    plant.poll();
    plant.world.restart();
    let restarted = plant.world.now;
    assert_eq!(plant.world.state.memory.model.capacity, model);
    let down = (0..60).find_map(|_| scale(&plant.poll())).unwrap();
    assert_eq!(down.1, 2);
    assert!(plant.world.now.duration_since(restarted) >= secs(120));
}

#[test]
fn another_group_inherits_nothing_that_was_measured() {
    let mut plant = measured(24, 2000);
    plant.world.policy.measurement_key = 2;
    plant.world.blind = true;
    plant.poll();
    assert_eq!(plant.world.state.memory.model, CapacityModel::default());
}

#[rstest]
#[case(5)]
#[case(20)]
fn lag_that_goes_up_and_down_with_each_commit_makes_nobody_flap(#[case] commits: i64) {
    let mut plant = plant(24, 1, 3000);
    plant.world.policy.objective = Objective::LagPerReplica(1000);
    plant.commits = commits;
    plant.run(40);
    plant.load(1500);
    plant.run(40);
    let actions = plant.run(960);
    assert!(
        actions.len() <= 8,
        "{} in four hours: {actions:?}",
        actions.len()
    );
}

#[test]
fn more_replicas_than_partitions_with_work_are_not_bought() {
    // 1,000 records wait in one partition of twelve, none in the others, and nothing arrives.
    let mut world = World::new(12, 1);
    world.policy.objective = Objective::LagPerReplica(50);
    world.poll();
    world.partitions[3].log_end = Some(1000);
    for _ in 0..10 {
        let decision = world.poll();
        assert_eq!(scale(&decision), None, "{decision:#?}");
    }
    let backlogged = world.poll().facts.backlogged;
    assert_eq!(backlogged.partitions, [(Arc::from("orders"), 3)]);
    assert_eq!(backlogged.percent, 100);
    for (index, partition) in (0..).zip(&mut world.partitions) {
        partition.log_end = Some(if index == 3 { 1000 } else { 5 });
    }
    // A minute later nothing arrives any more.
    for _ in 0..5 {
        world.poll();
    }
    assert_eq!(world.poll().facts.backlogged.percent, 95);

    // Two such partitions: two consumers have work.
    let mut world = World::new(12, 1);
    world.policy.objective = Objective::LagPerReplica(50);
    world.poll();
    for partition in [0, 6] {
        world.partitions[partition].log_end = Some(500);
    }
    assert_eq!(world.until_action(10), Some((1, 2)));
}

#[test]
fn a_hot_partition_is_freed_of_its_neighbours() {
    use crate::scaling::tests::plant::Plant;
    let mut plant = Plant::new(12, 3, 0);
    plant.world.policy.objective = Objective::LagPerReplica(1000);
    plant.arrivals = [vec![150], vec![20; 11]].concat();
    plant.run(80);
    assert!(plant.world.replicas >= 6, "{}", plant.world.replicas);
    assert!(plant.poll().facts.lag.total < 6000);
}

#[test]
fn what_an_aborted_transaction_leaves_keeps_nobody_awake_and_is_no_alarm() {
    let mut world = World::new(3, 1);
    world.policy.min = 0;
    world.policy.may_hold_markers = true;
    for _ in 0..20 {
        world.flow(900, 900);
        world.poll();
    }
    // Two offsets and a marker that no consumer can read.
    world.partitions[1].log_end = world.partitions[1].log_end.map(|end| end + 3);
    let began = world.now;
    let at_zero = loop {
        let decision = world.poll();
        assert_eq!(decision.facts.stuck_partitions, [], "{decision:#?}");
        if let Some(to) = scale(&decision) {
            break to;
        }
        assert!(world.now.duration_since(began) < secs(1200));
    };
    assert_eq!(at_zero, (1, 0));
    assert!(
        world.now.duration_since(began) >= secs(900),
        "ten minutes, and five of quiet"
    );
    // Without the isolation level they may be records.
    let mut world = World::new(3, 1);
    world.policy.min = 0;
    world.flow(900, 900);
    world.poll();
    world.partitions[1].log_end = world.partitions[1].log_end.map(|end| end + 3);
    world.run(100);
}

#[test]
fn asleep_a_commit_at_the_end_is_nothing_to_do() {
    let mut world = World::new(3, 0);
    world.policy.min = 0;
    world.run(4);
    // Something else moves the commits.
    world.flow(900, 900);
    world.run(20);
    world.flow(3, 0);
    assert_eq!(scale(&world.poll()), Some((0, 1)));
}

#[test]
fn what_is_read_and_never_committed_is_unknown() {
    for reset in [OffsetReset::Latest, OffsetReset::Earliest] {
        let mut world = World::new(4, 4);
        world.policy.offset_reset = reset;
        let mut end = 0;
        for poll in 0..60 {
            end += 1500;
            for partition in &mut world.partitions {
                partition.log_end = Some(end);
                partition.committed = Commit::Absent;
            }
            let decision = world.poll();
            assert_eq!(scale(&decision), None, "{decision:#?}");
            if reset == OffsetReset::Earliest && poll < 10 {
                // Batches are committed when they are full.
                assert_eq!(decision.facts.uncommitted, 0);
            }
            if poll > 14 {
                assert_eq!(decision.facts.uncommitted, 4);
                assert_eq!(hold(&decision), Some(HoldReason::LagUnknown));
                assert!(decision.facts.nothing_committed.is_some());
            }
        }
        // After the first commits it is known again.
        for partition in &mut world.partitions {
            partition.committed = Commit::At(end);
        }
        assert_eq!(world.poll().facts.uncommitted, 0);
    }
}

#[test]
fn a_commit_past_the_end_of_an_empty_partition_holds_nobody() {
    let mut world = World::new(8, 2).lag(8000);
    world.partitions[5] = Partition {
        log_start: Some(0),
        log_end: Some(0),
        committed: Commit::At(51_234),
        owner: Some(0),
    };
    assert_eq!(world.until_action(4), Some((2, 8)));
}

#[rstest]
#[case::never_written(0)]
#[case::all_expired(700)]
fn a_commit_past_the_end_of_an_empty_partition_keeps_nobody_from_going_down(#[case] end: i64) {
    let mut world = World::new(8, 8);
    world.partitions[5] = Partition {
        log_start: Some(end),
        log_end: Some(end),
        committed: Commit::At(51_234),
        owner: Some(0),
    };
    assert_eq!(world.poll().facts.lag.unknown, 0);
    assert_eq!(world.until_action(40), Some((8, 4)));
}

#[rstest]
#[case(OffsetReset::Latest, 3)]
#[case(OffsetReset::Earliest, 0)]
fn a_group_that_commits_somewhere_is_not_one_that_commits_nothing(
    #[case] reset: OffsetReset,
    #[case] unknown: usize,
) {
    let mut world = World::new(4, 4);
    world.policy.offset_reset = reset;
    for poll in 1..60 {
        for partition in &mut world.partitions {
            partition.log_end = Some(1500 * poll);
            partition.committed = Commit::Absent;
        }
        world.partitions[0].committed = Commit::At(1500 * poll);
        let facts = world.poll().facts;
        assert_eq!(facts.nothing_committed, None, "look {poll}");
        assert!(
            poll < 2 || facts.uncommitted == unknown,
            "look {poll}: {facts:#?}"
        );
    }
}

#[rstest]
#[case::more_than_a_transaction_leaves(1001, true, false)]
#[case::nobody_has_it(3, false, false)]
#[case::it_is_taken_from_whoever_has_it(3, true, true)]
fn offsets_that_may_be_records_keep_the_group_awake(
    #[case] left: i64,
    #[case] is_owned: bool,
    #[case] rebalances: bool,
) {
    let mut world = World::new(3, 1);
    world.policy.min = 0;
    world.policy.may_hold_markers = true;
    world.flow(9000, 9000);
    world.poll();
    world.partitions[1].log_end = world.partitions[1].log_end.map(|end| end + left);
    world.partitions[1].owner = is_owned.then_some(0);
    for poll in 0..160 {
        world.group = if rebalances && poll % 20 == 0 {
            GroupState::Rebalancing
        } else {
            GroupState::Stable
        };
        assert_ne!(scale(&world.poll()), Some((1, 0)), "look {poll}");
    }
}
