//! What the trail tells a user to check.

use super::*;

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
