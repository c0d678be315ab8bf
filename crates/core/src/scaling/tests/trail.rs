//! The advice that the trail gives to users.

use super::*;

#[test]
fn the_trail_names_the_setting_that_tells_markers_from_records() {
    let mut world = World::new(6, 2);
    world.policy.objective = Objective::MaxDelay(secs(60));
    world.flow(600, 600);
    world.poll();
    for partition in &mut world.partitions {
        partition.log_end = partition.log_end.map(|end| end + 1);
    }
    let stated = (0..60).map(|_| world.poll().trail.to_string()).last();
    let stated = stated.unwrap();
    assert!(stated.contains("isolationLevel: ReadCommitted"), "{stated}");
}

#[test]
fn the_trail_reports_a_late_group_without_commits() {
    let mut world = World::new(6, 2);
    world.policy.objective = Objective::MaxDelay(secs(60));
    let stated = (0..8).map(|_| {
        world.flow(600, 0);
        world.poll().trail.to_string()
    });
    let stated = stated.last().unwrap();
    assert!(
        stated.contains("nothing has been committed yet"),
        "{stated}"
    );
}
