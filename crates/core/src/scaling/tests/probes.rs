//! Probes: when a smaller size is tried, and when it is tried again.

use rstest::rstest;

use super::*;
use crate::scaling::tests::plant::Plant;

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
