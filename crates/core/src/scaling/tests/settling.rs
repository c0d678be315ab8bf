//! The waits of an action until the one before it has settled.

use rstest::rstest;

use super::*;
use crate::scaling::input::policy::Fallback;
use crate::scaling::output::decision::Notice;

#[test]
fn a_poll_that_began_before_the_action_settles_nothing() {
    let mut world = World::new(6, 6);
    assert_eq!(world.until_action(40), Some((6, 3)));
    // The workload settles before the next poll.
    let mut observation = world.observation();
    observation.now = observation.now.checked_add(secs(1)).unwrap();
    if let Ok(poll) = &mut observation.snapshot {
        poll.began = poll.began.checked_sub(secs(1)).unwrap();
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
fn the_fallback_waits_for_a_rebalance_and_for_an_unsettled_action() {
    let mut world = World::new(12, 2);
    world.policy.fallback = Some(Fallback {
        replicas: 6,
        after: secs(60),
    });
    world.poll();
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

/// KNOW-21.
#[rstest]
#[case(false)]
#[case(true)]
fn leaving_members_are_waited_for_dynamic_or_static(#[case] is_static: bool) {
    let mut world = World::new(6, 6);
    world.static_members = is_static;
    assert_eq!(world.until_action(40), Some((6, 3)));
    world.poll();
    world.members = Some(6);
    world.poll();
    world.poll();
    let settled = |world: &World| world.state.memory.last.unwrap().settled_after.is_some();
    assert!(!settled(&world));
    world.members = None;
    world.poll();
    assert!(settled(&world));
}
