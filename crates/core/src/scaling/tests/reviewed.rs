//! Holes that a review found, one test each.

use rstest::rstest;

use super::*;
use crate::scaling::input::policy::{Fallback, Pause};
use crate::scaling::output::decision::{Notice, ScaleReason};

/// A topic that the group is assigned and that the user did not name.
fn with_unnamed(world: &World, partitions: usize) -> Observation {
    let mut observation = world.observation();
    if let Ok(look) = &mut observation.look
        && look.group.state == GroupState::Stable
    {
        let all = vec![
            Partition {
                log_start: None,
                log_end: None,
                committed: Commit::Unknown,
                owner: Some(0)
            };
            partitions
        ];
        look.topics.push(Topic {
            name: Arc::from("unnamed"),
            role: TopicRole::Assigned,
            partitions: Some(all),
        });
    }
    observation
}

/// ACT-3.
#[rstest]
#[case(GroupState::Empty)]
#[case(GroupState::Rebalancing)]
fn a_limit_seen_while_assignments_are_hidden_brings_nobody_down(#[case] hidden: GroupState) {
    let mut world = World::new(4, 12);
    let mut state = State::default();
    for look in 0..200 {
        world.now = world.now.checked_add(secs(15)).unwrap();
        world.number += 1;
        if look == 20 {
            (world.group, world.members) = (hidden, Some(0));
        }
        world.set_lag(12_000);
        let (decision, next) = decide(&world.policy, state, &with_unnamed(&world, 20));
        assert_eq!(scale(&decision), None, "look {look}: {decision:#?}");
        state = next;
    }
}

#[test]
fn one_record_that_takes_long_is_not_slept_through() {
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
fn a_target_found_asleep_wakes_for_what_comes_though_nothing_was_ever_committed() {
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
fn a_topic_recreated_while_asleep_wakes_with_its_first_record() {
    let mut world = World::new(2, 1);
    world.policy.min = 0;
    world.flow(2000, 2000);
    assert_eq!(world.until_action(60), Some((1, 0)));
    world.look();
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
fn an_edited_objective_does_not_make_a_sleeper_forget_where_it_fell_asleep() {
    let mut world = World::new(2, 1);
    world.policy.min = 0;
    world.flow(20, 20);
    assert_eq!(world.until_action(60), Some((1, 0)));
    world.policy.subject = 2;
    for p in &mut world.partitions {
        p.committed = Commit::Absent;
    }
    world.look();
    world.partitions[0].log_end = Some(11);
    assert_eq!(world.until_action(3), Some((0, 1)));
}

#[test]
fn a_lasting_remainder_wakes_nobody_when_a_partition_cannot_be_read() {
    let mut world = World::new(2, 1);
    world.policy.min = 0;
    world.policy.may_hold_markers = true;
    world.partitions[0] = Partition {
        log_end: Some(11),
        committed: Commit::At(10),
        ..world.partitions[0]
    };
    assert_eq!(world.until_action(60), Some((1, 0)));
    world.look();
    world.partitions[1].log_end = None;
    assert_eq!(world.until_action(10), None);
}

#[test]
fn a_limit_that_is_not_certain_takes_nothing_from_max_or_from_a_pause() {
    let both = |world: &World| {
        let mut observation = world.observation();
        if let Ok(look) = &mut observation.look {
            let mut other = look.topics[0].clone();
            other.name = Arc::from("payments");
            look.topics.push(other);
        }
        observation
    };
    for pause in [false, true] {
        let mut world = World::new(6, 10);
        world.assignor = None;
        world.set_lag(1_000_000);
        let mut state = State::default();
        let mut acted = None;
        for look in 0..30 {
            world.now = world.now.checked_add(secs(15)).unwrap();
            world.number += 1;
            if look == 12 {
                if pause {
                    world.policy.brake.pause = Some(Pause::At(10));
                } else {
                    world.policy.max = Some(8);
                }
            }
            let (decision, next) = decide(&world.policy, state, &both(&world));
            acted = acted.or(scale(&decision));
            state = next;
        }
        assert_eq!(acted, if pause { None } else { Some((10, 8)) });
    }
}

#[test]
fn a_look_from_before_the_action_shows_nothing_settled() {
    let mut world = World::new(6, 6);
    assert_eq!(world.until_action(40), Some((6, 3)));
    // The workload is quicker than the next look.
    let mut observation = world.observation();
    observation.now = observation.now.checked_add(secs(1)).unwrap();
    if let Ok(look) = &mut observation.look {
        look.began = look.began.checked_sub(secs(1)).unwrap();
    }
    let (decision, _) = decide(&world.policy, world.state.clone(), &observation);
    assert!(
        !decision
            .notices
            .iter()
            .any(|n| matches!(n, Notice::Settled { .. })),
        "{:?}",
        decision.notices
    );
}

#[test]
fn a_dry_run_beside_an_autoscaler_is_no_contest() {
    let mut world = World::new(24, 4).lag(4000);
    world.policy.dry_run = true;
    world.look();
    for size in [5, 6, 7, 8] {
        world.resize(size);
        assert_ne!(hold(&world.after(5)), Some(HoldReason::TargetContested));
    }
}

#[test]
fn the_fallback_waits_for_a_rebalance_that_is_seen_and_for_what_is_in_flight() {
    let mut world = World::new(12, 2);
    world.policy.fallback = Some(Fallback {
        replicas: 6,
        after: secs(60),
    });
    world.look();
    world.partitions[0].log_end = None;
    world.group = GroupState::Rebalancing;
    let began = world.now;
    assert_eq!(world.until_action(40), Some((2, 6)));
    assert!(world.now.duration_since(began) >= secs(300));

    let mut world = World::new(12, 2).lag(3000);
    world.policy.fallback = Some(Fallback {
        replicas: 12,
        after: secs(60),
    });
    assert_eq!(world.until_action(4), Some((2, 3)));
    let acted = world.now;
    world.blind = true;
    assert_eq!(world.until_action(40), Some((3, 12)));
    assert!(
        world.now.duration_since(acted) >= secs(300),
        "the action before it never settled"
    );
}

#[test]
fn another_target_of_another_size_is_nobodys_change() {
    let mut world = World::new(6, 5);
    world.look();
    world.policy.subject = 2;
    world.resize(2);
    assert_eq!(world.look().notices, []);
    assert_eq!(world.state.memory.external, []);
}

#[test]
fn a_pause_that_comes_and_goes_does_not_switch_on_what_is_off_by_hand() {
    let mut world = World::new(6, 2);
    world.look();
    world.resize(0);
    world.look();
    world.policy.brake.pause = Some(Pause::At(3));
    world.look();
    world.policy.brake.pause = None;
    for _ in 0..60 {
        assert_eq!(hold(&world.look()), Some(HoldReason::ScalingDisabled));
    }
}

#[test]
fn evidence_from_before_an_edited_objective_brings_nobody_down() {
    let mut world = World::new(6, 6);
    for _ in 0..7 {
        world.look();
    }
    world.policy.subject = 2;
    let edited = world.now;
    let why = loop {
        let decision = world.look();
        if let Verdict::Scale { why, .. } = decision.verdict {
            break why;
        }
        assert!(world.now.duration_since(edited) < secs(600));
    };
    assert_eq!(why, ScaleReason::LagBelowTarget);
    assert!(world.now.duration_since(edited) >= secs(120));
}

#[test]
fn a_new_resource_takes_over_what_was_really_there() {
    let mut world = World::new(6, 1).lag(50_000);
    world.look();
    let decision = world.look();
    let Verdict::Scale { from, to, .. } = decision.verdict else {
        panic!("{decision:#?}")
    };
    world.state.memory = world.state.memory.begin(from, to, world.now).unknown();
    // It was never done, and that is known by now.
    world.after(11);
    world.state = State::after_restart(world.state.memory.inherit());
    assert_eq!(world.look().notices, []);
}

/// KNOW-21.
#[rstest]
#[case(false)]
#[case(true)]
fn members_that_leave_are_waited_for_whether_they_say_so_or_their_session_ends(
    #[case] is_static: bool,
) {
    let mut world = World::new(6, 6);
    world.static_members = is_static;
    assert_eq!(world.until_action(40), Some((6, 3)));
    world.look();
    world.members = Some(6);
    world.look();
    world.look();
    let settled = |world: &World| world.state.memory.last.unwrap().settled_after.is_some();
    assert!(!settled(&world));
    world.members = None;
    world.look();
    assert!(settled(&world));
}

#[test]
fn a_limit_of_before_brings_nobody_down_while_the_present_one_is_hidden_by_a_rebalance() {
    let mut world = World::new(9, 17);
    world.policy.min = 17;
    world.look();
    world.look();
    world.group = GroupState::Rebalancing;
    let fresh = world.partitions[0];
    world.partitions.resize(17, fresh);
    for _ in 0..60 {
        assert_eq!(scale(&world.look()), None);
    }
}
