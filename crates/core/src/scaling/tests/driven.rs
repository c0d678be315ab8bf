//! Holes that were found by driving the law against consumers, one test each.

use rstest::rstest;

use super::*;
use crate::scaling::output::decision::ScaleReason;
use crate::scaling::tests::plant::Plant;

/// The scale-ups that were found to have brought nothing, in so many looks.
fn in_vain(plant: &mut Plant, looks: usize) -> Vec<(i32, i32)> {
    let decisions = (0..looks).map(|_| plant.look().verdict);
    let vain = decisions.filter_map(|verdict| match verdict {
        Verdict::Scale {
            from,
            to,
            why: ScaleReason::ScalingIneffective,
        } => Some((from, to)),
        _ => None,
    });
    vain.collect()
}

#[test]
fn rises_of_which_the_first_ones_helped_are_taken_back_no_further_than_that() {
    let mut plant = Plant::new(24, 2, 300);
    plant.run(40);
    plant.shared = Some(700);
    plant.load(2400);
    let vain = in_vain(&mut plant, 60);
    // Four consumers of 200 get through 700 as well as 24 do; the two it had at first do 400.
    assert!(vain.iter().all(|(_, to)| *to == 4), "{vain:?}");
    assert_eq!(plant.world.replicas, 4);
}

#[rstest]
#[case::and_was_followed_by_a_fall(8, 1300, 1300)]
#[case::and_that_nothing_followed(6, 900, 1900)]
fn a_rise_that_worked_is_not_found_in_vain_an_hour_later(
    #[case] replicas: i32,
    #[case] before: i64,
    #[case] after: i64,
) {
    let mut plant = Plant::new(24, replicas, before);
    plant.run(40);
    plant.load(after);
    let grown = plant.run(200);
    assert!(plant.world.replicas > 6, "{grown:?}");
    plant.able = 100;
    assert_eq!(in_vain(&mut plant, 60), []);
    assert_eq!(plant.world.replicas, 24);
}

#[test]
fn heavy_partitions_that_an_assignor_put_together_are_helped_and_not_once_an_hour_more() {
    let mut plant = Plant::new(24, 6, 0);
    plant.world.hands_out = HandsOut::InBlocks;
    // By turns three consumers would do; in blocks the first one has all three.
    plant.arrivals = vec![5; 24];
    plant.arrivals[..3].fill(80);
    let mut late = 0;
    let mut actions = 0;
    for _ in 0..960 {
        let decision = plant.look();
        actions += i32::from(scale(&decision).is_some());
        late += i32::from(decision.facts.delay.unwrap() > secs(60));
    }
    assert!(late <= 4, "{late} looks");
    assert!(actions <= 16, "{actions} in four hours");
}

#[rstest]
#[case(12)]
#[case(24)]
fn a_probe_that_is_undone_before_it_could_be_judged_is_not_made_again_each_ten_minutes(
    #[case] replicas: i32,
) {
    let mut plant = Plant::new(24, replicas, 1500);
    plant.commits = 60;
    let actions = plant.run(960);
    assert!(actions.len() <= 20, "{actions:?}");
    assert!(plant.world.replicas <= 12, "{actions:?}");
}

#[test]
fn consumers_that_have_become_faster_unseen_are_tried_the_next_day() {
    let mut plant = Plant::new(24, 4, 1300);
    plant.able = 100;
    plant.run(60);
    assert_eq!((plant.capacity(), plant.world.replicas), (Some(100), 24));
    plant.able = 200;
    let soon = plant.run(1200);
    assert_eq!(soon, [], "it is believed for hours");
    plant.run(1200);
    assert!(plant.world.replicas <= 12, "{}", plant.world.replicas);
}

#[test]
fn owners_from_before_an_action_show_no_capacity() {
    let mut plant = Plant::new(24, 4, 700);
    plant.world.policy.max = Some(12);
    plant.run(40);
    plant.load(2600);
    while plant.world.replicas < 12 {
        plant.look();
        plant.world.hides_members = plant.world.replicas == 12;
    }
    plant.run(30);
    let each = plant.capacity();
    assert!(each.is_none_or(|each| each <= 210), "{each:?}");
}

#[test]
fn consumers_that_have_worked_their_part_off_do_not_make_a_rise_look_vain() {
    let mut plant = Plant::new(8, 4, 0);
    plant.world.policy.max = Some(4);
    // Four consumers have a heavy and a light partition each, and do not keep up. Of eight, those
    // with a light one have nothing waiting and do a fifth of what they can: a fifth more
    // throughput for twice as many.
    plant.arrivals = vec![170, 170, 170, 170, 40, 40, 40, 40];
    plant.run(50);
    plant.world.policy.max = Some(8);
    assert_eq!(plant.run(2), [(4, 8)]);
    assert_eq!(in_vain(&mut plant, 30), []);
}

#[test]
fn a_load_that_swings_makes_the_next_falls_dearer() {
    let mut plant = Plant::new(24, 12, 1800);
    plant.world.assignor = Some(Assignor::Range);
    let mut actions = Vec::new();
    for half in 0..120 {
        plant.load(if half % 2 == 0 { 3200 } else { 400 });
        actions.extend(plant.run(8));
    }
    assert!(actions.len() <= 50, "{} in four hours", actions.len());
}

#[test]
fn what_lies_between_two_commits_is_no_growth_of_the_delay() {
    let mut plant = Plant::new(24, 8, 0);
    plant.world.policy.objective = Objective::MaxDelay(secs(20));
    plant.commits = 7;
    let mut sizes = 0;
    for look in 0..480 {
        plant.load(if look % 2 == 0 { 48 } else { 96 });
        plant.look();
        sizes += plant.world.replicas;
    }
    assert!(sizes <= 480 * 4, "{} at the mean", sizes / 480);
}

#[test]
fn what_is_not_read_has_not_grown_late_by_that() {
    let mut plant = Plant::new(24, 8, 1200);
    plant.run(20);
    let known = plant.world.partitions[7].log_end;
    plant.world.partitions[7].log_end = None;
    for _ in 0..20 {
        // Consumers cannot read it either.
        let decision = plant.look();
        assert!(decision.facts.delay.unwrap() <= secs(15), "{decision:#?}");
        assert!(decision.facts.stuck_partitions.is_empty());
    }
    plant.world.partitions[7].log_end = known;
}

#[test]
fn markers_that_are_taken_for_work_say_which_setting_tells_them_apart() {
    let mut world = World::new(6, 2);
    world.policy.objective = Objective::MaxDelay(secs(60));
    world.flow(600, 600);
    world.look();
    for partition in &mut world.partitions {
        partition.log_end = partition.log_end.map(|end| end + 1);
    }
    let told = (0..60).map(|_| world.look().trail.to_string()).last();
    let told = told.unwrap();
    assert!(told.contains("isolationLevel: ReadCommitted"), "{told}");
}

#[test]
fn a_late_group_that_has_committed_nothing_says_so() {
    let mut world = World::new(6, 2);
    world.policy.objective = Objective::MaxDelay(secs(60));
    let told = (0..8).map(|_| {
        world.flow(600, 0);
        world.look().trail.to_string()
    });
    let told = told.last().unwrap();
    assert!(told.contains("nothing has been committed yet"), "{told}");
}
