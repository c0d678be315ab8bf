//! The partition limit while it is hidden or uncertain.

use rstest::rstest;

use super::*;
use crate::scaling::input::policy::Pause;

/// Adds a topic that the group is assigned and that the user did not name.
fn with_unnamed(world: &World, partitions: usize) -> Observation {
    let mut observation = world.observation();
    if let Ok(poll) = &mut observation.snapshot
        && poll.group.state == GroupState::Stable
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
        poll.topics.push(Topic {
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
fn a_limit_read_while_assignments_are_hidden_causes_no_scale_down(#[case] hidden: GroupState) {
    let mut world = World::new(4, 12);
    let mut state = State::default();
    for poll in 0..200 {
        world.now = world.now.checked_add(secs(15)).unwrap();
        world.number += 1;
        if poll == 20 {
            (world.group, world.members) = (hidden, Some(0));
        }
        world.set_lag(12_000);
        let (decision, next) = decide(&world.policy, state, &with_unnamed(&world, 20));
        assert_eq!(scale(&decision), None, "look {poll}: {decision:#?}");
        state = next;
    }
}

#[test]
fn an_uncertain_limit_lowers_neither_max_replicas_nor_a_pause() {
    let both = |world: &World| {
        let mut observation = world.observation();
        if let Ok(poll) = &mut observation.snapshot {
            let mut other = poll.topics[0].clone();
            other.name = Arc::from("payments");
            poll.topics.push(other);
        }
        observation
    };
    for pause in [false, true] {
        let mut world = World::new(6, 10);
        world.assignor = None;
        world.set_lag(1_000_000);
        let mut state = State::default();
        let mut acted = None;
        for poll in 0..30 {
            world.now = world.now.checked_add(secs(15)).unwrap();
            world.number += 1;
            if poll == 12 {
                if pause {
                    world.policy.pauses.pause = Some(Pause::At(10));
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
fn an_outdated_limit_causes_no_scale_down_during_a_rebalance() {
    let mut world = World::new(9, 17);
    world.policy.min = 17;
    world.poll();
    world.poll();
    world.group = GroupState::Rebalancing;
    let fresh = world.partitions[0];
    world.partitions.resize(17, fresh);
    for _ in 0..60 {
        assert_eq!(scale(&world.poll()), None);
    }
}
