//! Scaling to zero and back.

use super::*;

#[test]
fn a_group_that_works_on_one_long_record_is_not_scaled_to_zero() {
    let mut world = World::new(2, 1);
    world.policy.min = 0;
    world.partitions[0] = Partition {
        log_end: Some(11),
        committed: Commit::At(10),
        ..world.partitions[0]
    };
    assert_eq!(world.until_action(100), None);
}

#[test]
fn a_target_at_zero_wakes_for_new_records_without_any_commit() {
    let mut world = World::new(2, 0);
    world.policy.min = 0;
    for p in &mut world.partitions {
        *p = Partition {
            log_end: Some(70),
            committed: Commit::Absent,
            owner: None,
            ..*p
        };
    }
    assert_eq!(
        world.until_action(20),
        None,
        "consumers that begin at the end have nothing to read"
    );
    world.partitions[1].log_end = Some(71);
    assert_eq!(world.until_action(3), Some((0, 1)));
}

#[test]
fn a_topic_recreated_while_at_zero_wakes_with_its_first_record() {
    let mut world = World::new(2, 1);
    world.policy.min = 0;
    world.flow(2000, 2000);
    assert_eq!(world.until_action(60), Some((1, 0)));
    world.poll();
    for p in &mut world.partitions {
        *p = Partition {
            log_end: Some(0),
            committed: Commit::Absent,
            ..*p
        };
    }
    assert_eq!(world.until_action(10), None);
    world.partitions[0].log_end = Some(1);
    assert_eq!(world.until_action(3), Some((0, 1)));
}

#[test]
fn an_edited_objective_keeps_the_offsets_at_which_the_group_went_to_zero() {
    let mut world = World::new(2, 1);
    world.policy.min = 0;
    world.flow(20, 20);
    assert_eq!(world.until_action(60), Some((1, 0)));
    world.policy.measurement_key = 2;
    for p in &mut world.partitions {
        p.committed = Commit::Absent;
    }
    world.poll();
    world.partitions[0].log_end = Some(11);
    assert_eq!(world.until_action(3), Some((0, 1)));
}

#[test]
fn a_known_remainder_does_not_wake_the_group_while_a_partition_is_unreadable() {
    let mut world = World::with_marker();
    assert_eq!(world.until_action(60), Some((1, 0)));
    world.poll();
    world.partitions[1].log_end = None;
    assert_eq!(world.until_action(10), None);
}
