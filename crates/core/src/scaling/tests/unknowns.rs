//! Unknown is not zero.

use rstest::rstest;

use super::*;
use crate::scaling::output::decision::Knowledge;
use crate::scaling::state::capacity_model::CapacityModel;
use crate::scaling::tests::plant::Plant;

/// KNOW-15.
#[rstest]
#[case::leader_gone(|w: &mut World| w.partitions[2].log_end = None)]
#[case::coordinator_gone(|w: &mut World| { for p in &mut w.partitions { p.committed = Commit::Unknown; } w.group = GroupState::Unknown; })]
#[case::commit_past_the_end(|w: &mut World| w.partitions[2].committed = Commit::At(1_000_000))]
#[case::all_brokers_gone(|w: &mut World| w.blind = true)]
#[case::topic_gone(|w: &mut World| w.partitions.clear())]
fn what_is_missing_never_scales_down_and_recovers_by_itself(#[case] lose: fn(&mut World)) {
    let mut world = World::new(6, 6);
    world.flow(600, 600);
    for _ in 0..4 {
        world.poll();
    }
    let whole = world.clone();
    lose(&mut world);
    for _ in 0..100 {
        let decision = world.poll();
        assert_eq!(
            hold(&decision),
            Some(HoldReason::LagUnknown),
            "{decision:#?}"
        );
    }
    world.partitions = whole.partitions;
    (world.blind, world.group) = (false, GroupState::Stable);
    assert_eq!(
        hold(&world.poll()),
        Some(HoldReason::GatheringEvidence),
        "the window begins anew"
    );
    assert_eq!(world.until_action(10), Some((6, 3)));
}

/// KNOW-16.
#[test]
fn a_gap_of_one_poll_holds_at_once_and_is_not_reported() {
    let mut world = World::new(6, 6);
    world.poll();
    world.partitions[0].log_end = None;
    let decision = world.poll();
    assert_eq!(hold(&decision), Some(HoldReason::LagUnknown));
    assert!(matches!(
        decision.facts.knowledge,
        Knowledge::Missing { lasting: false, .. }
    ));
    assert_eq!(
        decision.facts.lag.unknown_partitions,
        [(Arc::from("orders"), 0)]
    );
    world.partitions[0].log_end = Some(0);
    assert_eq!(world.poll().facts.knowledge, Knowledge::Complete);
}

/// KNOW-16.
#[test]
fn a_gap_of_two_polls_and_twenty_seconds_is_reported() {
    let mut world = World::new(6, 6);
    world.poll();
    world.blind = true;
    assert!(matches!(
        world.after(15).facts.knowledge,
        Knowledge::Missing { lasting: false, .. }
    ));
    assert!(matches!(
        world.after(15).facts.knowledge,
        Knowledge::Missing { lasting: false, .. }
    ));
    assert!(matches!(
        world.after(15).facts.knowledge,
        Knowledge::Missing { lasting: true, .. }
    ));
}

/// KNOW-15.
#[test]
fn an_up_uses_a_last_value_for_a_minute_and_the_other_partitions_after_that() {
    let mut world = World::new(6, 1).lag(500);
    world.poll();
    world.poll();
    world.set_lag(12_000);
    world.group = GroupState::Rebalancing;
    world.poll();
    world.group = GroupState::Stable;
    let mut late = world.clone();
    world.partitions[5].log_end = None;
    assert_eq!(scale(&world.poll()), Some((1, 6)));

    late.group = GroupState::Rebalancing;
    late.partitions[5].log_end = None;
    for _ in 0..6 {
        assert_eq!(scale(&late.poll()), None);
    }
    late.group = GroupState::Stable;
    let mut dark = late.clone();
    let decision = late.poll();
    assert_eq!(scale(&decision), Some((1, 6)), "{decision:#?}");
    assert!(
        decision
            .trail
            .to_string()
            .starts_with("lag 10000 and 1 partition unknown")
    );

    for partition in &mut dark.partitions {
        partition.log_end = None;
    }
    dark.group = GroupState::Rebalancing;
    for _ in 0..5 {
        dark.poll();
    }
    dark.group = GroupState::Stable;
    let decision = dark.poll();
    assert_eq!(hold(&decision), Some(HoldReason::LagUnknown));
    assert_eq!(decision.up_blocked.unwrap().why, HoldReason::LagUnknown);
}

#[test]
fn a_topic_recreated_with_lower_offsets_scales_nothing_down_on_nonsense() {
    let mut world = World::new(6, 6);
    world.flow(60_000, 60_000);
    for _ in 0..7 {
        world.poll();
    }
    for p in &mut world.partitions {
        *p = Partition {
            log_start: Some(0),
            log_end: Some(5),
            committed: Commit::At(10_000),
            owner: Some(0),
        };
    }
    for _ in 0..20 {
        let decision = world.poll();
        assert_eq!(hold(&decision), Some(HoldReason::LagUnknown));
        assert!(decision.facts.lag.total >= 0);
        let trail = decision.trail.to_string();
        assert!(
            trail.contains("the commit of orders/0 lies past its end: was the topic recreated?"),
            "{trail}"
        );
    }
    for p in &mut world.partitions {
        p.committed = Commit::At(5);
    }
    assert_eq!(hold(&world.poll()), Some(HoldReason::GatheringEvidence));
}

#[test]
fn a_restart_begins_its_evidence_anew_and_keeps_its_spacing() {
    let mut world = World::new(6, 3);
    for _ in 0..7 {
        world.poll();
    }
    world.restart();
    let restarted = world.now;
    assert_eq!(world.until_action(20), Some((3, 2)));
    assert!(world.now.duration_since(restarted) >= secs(120));
}

/// KEEP-28.
#[test]
fn a_changed_subject_forgets_what_was_measured_and_keeps_the_last_action() {
    let mut world = World::new(6, 1).lag(3000);
    assert!(world.until_action(4).is_some());
    world.poll();
    let last = world.state.memory.last;
    world.policy.measurement_key = 2;
    world.poll();
    assert_eq!(
        world.state.memory.last.map(|l| l.time),
        last.map(|l| l.time)
    );
    assert_eq!(world.state.memory.model, CapacityModel::default());
}

#[test]
fn an_unreadable_partition_adds_no_delay() {
    let mut plant = Plant::new(24, 8, 1200);
    plant.run(20);
    let known = plant.world.partitions[7].log_end;
    plant.world.partitions[7].log_end = None;
    for _ in 0..20 {
        // Consumers cannot read it either.
        let decision = plant.poll();
        assert!(decision.facts.delay.unwrap() <= secs(15), "{decision:#?}");
        assert!(decision.facts.stuck_partitions.is_empty());
    }
    plant.world.partitions[7].log_end = known;
}
