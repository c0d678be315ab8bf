//! Loads that could make the size flap.

use super::*;
use crate::scaling::tests::plant::Plant;

#[test]
fn heavy_partitions_on_one_consumer_are_relieved_with_few_actions() {
    let mut plant = Plant::new(24, 6, 0);
    plant.world.hands_out = HandsOut::InBlocks;
    // Handed out in turn, three consumers would be enough; in blocks the first one has all three.
    plant.arrivals = vec![5; 24];
    plant.arrivals[..3].fill(80);
    let mut late = 0;
    let mut actions = 0;
    for _ in 0..960 {
        let decision = plant.poll();
        actions += i32::from(scale(&decision).is_some());
        late += i32::from(decision.facts.delay.unwrap() > secs(60));
    }
    assert!(late <= 4, "{late} looks");
    assert!(actions <= 16, "{actions} in four hours");
}

#[test]
fn a_swinging_load_makes_scale_downs_rarer() {
    let mut plant = Plant::new(24, 12, 1800);
    plant.world.assignor = Some(Assignor::Range);
    let mut actions = Vec::new();
    for half in 0..120 {
        plant.load(if half % 2 == 0 { 3200 } else { 400 });
        actions.extend(plant.run(8));
    }
    assert!(actions.len() <= 50, "{} in four hours", actions.len());
}
