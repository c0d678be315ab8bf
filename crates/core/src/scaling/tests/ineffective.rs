//! Scale-ups that raise the throughput too little are taken back, and no others.

use rstest::rstest;

use super::*;
use crate::scaling::output::decision::ScaleReason;
use crate::scaling::tests::plant::Plant;

/// The actions of this many polls that undo an ineffective scale-up.
fn is_ineffective(plant: &mut Plant, polls: usize) -> Vec<(i32, i32)> {
    let decisions = (0..polls).map(|_| plant.poll().verdict);
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
fn only_the_scale_ups_that_did_not_help_are_undone() {
    let mut plant = Plant::new(24, 2, 300);
    plant.run(40);
    plant.shared = Some(700);
    plant.load(2400);
    let vain = is_ineffective(&mut plant, 60);
    // Four consumers of 200 have a throughput of 700, as 24 have; the first two have 400.
    assert!(vain.iter().all(|(_, to)| *to == 4), "{vain:?}");
    assert_eq!(plant.world.replicas, 4);
}

#[rstest]
#[case::and_was_followed_by_a_scale_down(8, 1300, 1300)]
#[case::and_was_the_last_action(6, 900, 1900)]
fn a_scale_up_that_worked_is_not_called_ineffective_an_hour_later(
    #[case] replicas: i32,
    #[case] before: i64,
    #[case] after: i64,
) {
    let mut plant = Plant::new(24, replicas, before);
    plant.run(40);
    plant.load(after);
    let grown = plant.run(200);
    assert!(plant.world.replicas > 6, "{grown:?}");
    plant.rate = 100;
    assert_eq!(is_ineffective(&mut plant, 60), []);
    assert_eq!(plant.world.replicas, 24);
}

#[test]
fn consumers_without_a_backlog_do_not_make_a_scale_up_ineffective() {
    let mut plant = Plant::new(8, 4, 0);
    plant.world.policy.max = Some(4);
    // Each of four consumers has a heavy and a light partition and does not keep up. Of eight,
    // those with a light one have no backlog and do a fifth of what they can: a fifth more
    // throughput for twice as many consumers.
    plant.arrivals = vec![170, 170, 170, 170, 40, 40, 40, 40];
    plant.run(50);
    plant.world.policy.max = Some(8);
    assert_eq!(plant.run(2), [(4, 8)]);
    assert_eq!(is_ineffective(&mut plant, 30), []);
}
