//! Shapes of real groups: records that take long, state that is restored, records that wait on
//! purpose, backlogs that no size could work off.

use rstest::rstest;

use super::*;
use crate::scaling::state::capacity_model::Seconds;
use crate::scaling::tests::plant::Plant;

/// Jobs of 20 minutes in four of twelve partitions: one in hand in each, and more behind it.
fn jobs(replicas: i32, objective: Objective) -> Plant {
    let mut plant = Plant::new(12, replicas, 0);
    plant.world.policy.objective = objective;
    for partition in plant.world.partitions.iter_mut().take(4) {
        partition.log_end = Some(6);
    }
    plant
}

#[rstest]
#[case(Objective::LagPerReplica(10))]
#[case(Objective::MaxDelay(secs(14_400)))]
fn records_that_take_long_are_work_and_no_poison(#[case] objective: Objective) {
    let mut plant = jobs(12, objective);
    plant.rate = 0;
    assert_eq!(plant.run(76), []);
    let decision = plant.poll();
    assert_eq!(
        hold(&decision),
        Some(HoldReason::RecordsInHand),
        "{decision:#?}"
    );
    // The first jobs end after 20 minutes; a restart loses no more than necessary.
    let done = |plant: &mut Plant, jobs: i64| {
        for (read, partition) in plant
            .read
            .iter_mut()
            .zip(&mut plant.world.partitions)
            .take(4)
        {
            *read = jobs;
            partition.committed = Commit::At(jobs);
        }
    };
    done(&mut plant, 1);
    plant.run(70);
    assert!(
        plant.world.replicas >= 6,
        "it has paid for the jobs that are begun anew"
    );
    done(&mut plant, 2);
    plant.world.restart();
    assert_eq!(plant.run(70), []);
    let named = plant.poll().facts.stuck_partitions;
    assert_eq!(named, [], "it is known how long they may take");
    let longest = plant.world.state.memory.model.longest;
    assert!(
        longest.is_some_and(|longest| longest.seconds >= 1000),
        "{longest:?}"
    );
}

#[test]
fn idle_is_idle_whatever_consumers_have_been_seen_to_do() {
    // Each of twelve consumers has been measured at 12.5 records a second, and its capacity is
    // unknown. Then arrivals stop.
    let mut plant = Plant::new(12, 12, 150);
    assert_eq!(plant.run(16), []);
    assert_eq!(plant.capacity(), None);
    plant.load(0);
    let began = plant.world.now;
    let actions = plant.run(40);
    assert_eq!(actions.last().map(|(_, to)| *to), Some(1), "{actions:?}");
    assert!(actions.len() <= 2, "{actions:?}");
    assert!(plant.world.now.duration_since(began) <= secs(600));
}

#[test]
fn a_load_that_jumps_is_met_by_one_action() {
    // From 12 records a second to 155, with 40 for one consumer: eight are needed to work off what
    // arrives until they have started.
    let mut plant = Plant::new(8, 1, 8);
    plant.rate = 40;
    plant.run(20);
    plant.load(155);
    let actions = plant.run(12);
    assert_eq!(actions.first(), Some(&(1, 8)), "{actions:?}");
}

#[test]
fn what_a_scale_down_held_up_does_not_undo_it() {
    // Leaving members stay for 45 s, and the capacity of a consumer is unknown.
    let mut plant = Plant::new(12, 6, 0);
    plant.arrivals = [vec![100], vec![10; 11]].concat();
    plant.restores = 45;
    let actions = plant.run(25);
    assert_eq!(actions, [(6, 4)]);
}

#[test]
fn what_the_loser_of_a_stuck_partition_commits_does_not_make_it_move() {
    let mut plant = Plant::new(12, 6, 900);
    plant.run(10);
    plant.stuck = Some(3);
    plant.run(20);
    plant.load(60);
    // The operator's own action moves the partition; its former owner commits one more record.
    let mut handed = false;
    for _ in 0..120 {
        let decision = plant.poll();
        if let Some((from, to)) = scale(&decision) {
            assert!(to < from, "{decision:#?}");
            plant.read[3] += 1;
            handed = true;
        }
    }
    assert!(handed);
    assert!(plant.world.replicas <= 2);
}

#[test]
fn an_outage_is_no_record_that_takes_long() {
    let mut plant = Plant::new(12, 6, 600);
    // No consumer is added or removed: the same ones continue where they stopped.
    (plant.world.policy.min, plant.world.policy.max) = (6, Some(6));
    plant.run(20);
    plant.rate = 0;
    plant.run(40);
    plant.rate = 200;
    plant.run(40);
    assert_eq!(plant.world.state.memory.model.longest, None);
}

#[test]
fn a_group_that_restores_state_learns_what_its_rebalances_cost_and_avoids_them() {
    let moves = |restores: i64| {
        let mut plant = Plant::new(12, 3, 900);
        plant.restores = restores;
        let mut actions = 0;
        for poll in 0..480 {
            // A load between two sizes.
            plant.load(if (poll / 60) % 2 == 0 { 450 } else { 1150 });
            actions += usize::from(scale(&plant.poll()).is_some());
        }
        let pause = plant.world.state.memory.model.pause;
        let stated = plant.poll().trail.to_string();
        (actions, pause, plant.capacity(), stated)
    };
    let (usual, pause, _, stated) = moves(10);
    assert!(!stated.contains("moved partitions pause"), "{stated}");
    assert!(pause.is_none_or(|pause| pause.seconds <= 60), "{pause:?}");
    let (dear, pause, capacity, stated) = moves(240);
    assert!(stated.contains("moved partitions pause for"), "{stated}");
    assert!(
        pause.is_some_and(|pause| (150..=400).contains(&pause.seconds)),
        "{pause:?}"
    );
    assert!(dear * 2 <= usual, "{dear} against {usual}");
    assert!(
        capacity.is_none_or(|capacity| capacity >= 150),
        "{capacity:?}"
    );
}

#[test]
fn what_is_late_and_would_be_read_soon_by_more_asks_for_more() {
    // 17,000 records wait, nothing arrives, one consumer does 50 a second: 340 s with one, 57 s
    // with six.
    let mut plant = Plant::new(6, 1, 0);
    plant.rate = 50;
    plant.world.assignor = Some(Assignor::Range);
    for partition in &mut plant.world.partitions {
        partition.log_end = Some(17_000 / 6);
    }
    let grown = (0..10).any(|_| plant.poll().facts.current == 6);
    assert!(grown, "not within ten looks");
}

#[test]
fn a_backlog_that_no_size_could_work_off_is_not_let_build() {
    // Two topics of six and two partitions under range: the first two of six consumers have two
    // each, and almost no spare capacity.
    let mut plant = Plant::new(6, 3, 0);
    plant.world.assignor = Some(Assignor::Range);
    plant.world.policy.objective = Objective::MaxDelay(secs(300));
    plant.world.hands_out = HandsOut::InBlocks;
    plant.arrivals = vec![110; 6];
    plant.run(60);
    let before = plant.world.replicas;
    // Each of six can do 200: at 195 there are 5 a second left to work off a backlog.
    plant.arrivals = vec![195; 6];
    let mut worst = secs(0);
    for _ in 0..240 {
        worst = worst.max(plant.poll().facts.delay.unwrap_or_default());
    }
    assert!(before < 6);
    assert_eq!(plant.world.replicas, 6);
    assert!(worst < secs(200), "{worst:?}");
}

#[rstest]
#[case(Objective::MaxDelay(secs(60)))]
#[case(Objective::LagPerReplica(1000))]
fn records_that_wait_on_purpose_ask_for_nothing(#[case] objective: Objective) {
    // Twelve retry partitions, which are read ten minutes after they were written, next to twelve
    // others.
    let mut plant = Plant::new(24, 3, 0);
    plant.world.second = Some((12, TopicRole::Counted));
    plant.world.policy.objective = objective;
    plant.arrivals = [vec![30; 12], vec![5; 12]].concat();
    for partition in plant.world.partitions.iter_mut().skip(12) {
        partition.log_end = Some(3000);
    }
    plant.held_back = vec![(12..24, 3000)];
    plant.run(160);
    let mut sizes = 0;
    for _ in 0..160 {
        plant.poll();
        sizes += plant.world.replicas;
    }
    assert!(sizes <= 160 * 5, "{} at the mean", sizes / 160);
}

#[test]
fn a_partition_that_never_moves_is_taken_for_a_long_record_no_longer_than_an_hour() {
    let mut plant = Plant::new(12, 6, 60);
    plant.world.policy.max = Some(6);
    plant.stuck = Some(3);
    assert_eq!(plant.run(230), []);
    assert_eq!(hold(&plant.poll()), Some(HoldReason::RecordsInHand));
    plant.run(60);
    assert!(plant.world.replicas < 6);
}

/// A measured pause of moved partitions, in seconds.
fn stands_for(seconds: i64, world: &World) -> Seconds {
    let time = world.now;
    Seconds { seconds, time }
}

#[test]
fn a_group_whose_rebalances_are_dear_grows_sooner() {
    let delay_at_growth = |pause: i64| {
        let mut plant = Plant::new(12, 3, 540);
        plant.world.policy.objective = Objective::MaxDelay(secs(300));
        plant.run(10);
        plant.world.state.memory.model.pause = Some(stands_for(pause, &plant.world));
        plant.load(720);
        for _ in 0..240 {
            let decision = plant.poll();
            if let Some((from, to)) = scale(&decision) {
                assert!(to > from, "{decision:#?}");
                return decision.facts.delay.unwrap();
            }
        }
        panic!("it does not grow")
    };
    let (dear, usual) = (delay_at_growth(200), delay_at_growth(10));
    assert!(dear < secs(150) && usual > secs(180), "{dear:?}, {usual:?}");
}

#[rstest]
#[case(Objective::LagPerReplica(1000), 1200)]
#[case(Objective::MaxDelay(secs(60)), 1900)]
fn where_rebalances_are_dear_what_one_has_done_is_waited_for(
    #[case] objective: Objective,
    #[case] read: i64,
) {
    let spaced = |pause: i64| {
        let mut world = World::new(12, 1);
        world.policy.objective = objective;
        world.poll();
        world.state.memory.model.pause = Some(stands_for(pause, &world));
        let mut acted = Vec::new();
        for _ in 0..120 {
            // More arrives as soon as it has grown.
            world.flow(if acted.is_empty() { 2400 } else { 24_000 }, read);
            let decision = world.poll();
            if scale(&decision).is_some() {
                world.act(&decision);
                acted.push(world.now);
            }
        }
        acted[1].duration_since(acted[0])
    };
    assert!(spaced(10) <= secs(60));
    assert!(spaced(240) >= secs(90));
}

#[test]
fn where_rebalances_are_dear_the_next_one_waits_for_a_commit() {
    let mut world = World::new(12, 1).lag(3000);
    world.poll();
    world.state.memory.model.pause = Some(stands_for(240, &world));
    assert_eq!(world.until_action(4), Some((1, 3)));
    world.set_lag(100_000);
    let acted = world.now;
    assert_eq!(world.until_action(90), Some((3, 12)));
    let waited = world.now.duration_since(acted);
    assert!(waited >= secs(900) && waited <= secs(930), "{waited:?}");
}

#[test]
fn what_a_rebalance_costs_is_bounded() {
    // The new owner of a partition does not commit for longer than a quarter of an hour.
    let mut plant = Plant::new(12, 3, 540);
    plant.run(10);
    plant.restores = 3000;
    plant.load(1000);
    assert!((0..20).any(|_| scale(&plant.poll()).is_some()));
    plant.run(70);
    let pause = plant.world.state.memory.model.pause;
    assert_eq!(pause.map(|pause| pause.seconds), Some(900));
    // A value that no version could have written is clamped.
    plant.world.state.memory.model.pause = Some(stands_for(1_000_000, &plant.world));
    plant.poll();
    let pause = plant.world.state.memory.model.pause;
    assert!(pause.is_some_and(|pause| pause.seconds <= 900), "{pause:?}");
}

#[test]
fn a_topic_that_is_late_alone_does_not_wait_on_purpose() {
    // Three consumers that barely carry the load, with a backlog of 100 s.
    let mut plant = Plant::new(6, 3, 600);
    plant.world.policy.max = Some(3);
    for partition in &mut plant.world.partitions {
        partition.log_end = Some(10_000);
    }
    assert_eq!(plant.run(80), []);
    let delay = plant.poll().facts.delay;
    assert!(delay.is_some_and(|delay| delay >= secs(90)), "{delay:?}");
}
