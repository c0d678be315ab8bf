//! Probes: when a smaller size is tried, and when it is tried again.

use rstest::rstest;

use crate::scaling::tests::plant::Plant;

#[rstest]
#[case(12)]
#[case(24)]
fn an_undone_probe_is_not_repeated_every_ten_minutes(#[case] replicas: i32) {
    let mut plant = Plant::new(24, replicas, 1500);
    plant.commits = 60;
    let actions = plant.run(960);
    assert!(actions.len() <= 20, "{actions:?}");
    assert!(plant.world.replicas <= 12, "{actions:?}");
}

#[test]
fn a_smaller_size_is_tried_the_next_day_although_nothing_shows_faster_consumers() {
    let mut plant = Plant::new(24, 4, 1300);
    plant.rate = 100;
    plant.run(60);
    assert_eq!((plant.capacity(), plant.world.replicas), (Some(100), 24));
    plant.rate = 200;
    let soon = plant.run(1200);
    assert_eq!(soon, [], "it is believed for hours");
    plant.run(1200);
    assert!(plant.world.replicas <= 12, "{}", plant.world.replicas);
}

/// Someone else chose seven, at which a consumer has as many partitions as at six.
#[test]
fn an_undone_probe_ends_at_an_aligned_size() {
    let mut plant = Plant::new(30, 7, 1140);
    while plant.world.replicas == 7 {
        plant.poll();
    }
    assert_eq!(plant.world.replicas, 6, "a probe");
    plant.arrivals.fill(120);
    assert_eq!(plant.run(20).first(), Some(&(6, 8)));
}
