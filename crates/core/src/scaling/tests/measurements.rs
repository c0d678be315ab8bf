//! Which readings count as measurements.

use super::*;
use crate::scaling::output::decision::ScaleReason;
use crate::scaling::tests::plant::Plant;

#[test]
fn assignments_from_before_an_action_measure_no_capacity() {
    let mut plant = Plant::new(24, 4, 700);
    plant.world.policy.max = Some(12);
    plant.run(40);
    plant.load(2600);
    while plant.world.replicas < 12 {
        plant.poll();
        plant.world.hides_members = plant.world.replicas == 12;
    }
    plant.run(30);
    let each = plant.capacity();
    assert!(each.is_none_or(|each| each <= 210), "{each:?}");
}

#[test]
fn records_between_two_commits_do_not_grow_the_delay() {
    let mut plant = Plant::new(24, 8, 0);
    plant.world.policy.objective = Objective::MaxDelay(secs(20));
    plant.commits = 7;
    let mut sizes = 0;
    for poll in 0..480 {
        plant.load(if poll % 2 == 0 { 48 } else { 96 });
        plant.poll();
        sizes += plant.world.replicas;
    }
    assert!(sizes <= 480 * 4, "{} at the mean", sizes / 480);
}

#[test]
fn a_window_from_before_an_edited_objective_causes_no_scale_down() {
    let mut world = World::new(6, 6);
    for _ in 0..7 {
        world.poll();
    }
    world.policy.measurement_key = 2;
    let edited = world.now;
    let why = loop {
        let decision = world.poll();
        if let Verdict::Scale { why, .. } = decision.verdict {
            break why;
        }
        assert!(world.now.duration_since(edited) < secs(600));
    };
    assert_eq!(why, ScaleReason::LagBelowTarget);
    assert!(world.now.duration_since(edited) >= secs(120));
}
