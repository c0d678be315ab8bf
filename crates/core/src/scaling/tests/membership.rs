//! Groups with foreign members, members that do not join, and rebalances without a known cause.

use super::*;
use crate::scaling::output::decision::ScaleReason;

/// A group with foreign members, which read the topic `orders` or another one.
struct Shared {
    world: World,
    /// Foreign members; they have the partitions of the last places.
    foreign: usize,
    /// Partitions of another topic, which the foreign members read instead of `orders`.
    elsewhere: usize,
    /// The target's own members; `None`: one for each replica.
    own: Option<usize>,
    births: u64,
}

impl Shared {
    fn new(partitions: usize, replicas: i32, foreign: usize) -> Self {
        Self {
            world: World::new(partitions, replicas),
            foreign,
            elsewhere: 0,
            own: None,
            births: 0,
        }
    }

    fn observation(&self) -> Observation {
        let own = self
            .own
            .unwrap_or(usize::try_from(self.world.replicas).unwrap());
        let mut observation = self.world.observation();
        let poll = observation.snapshot.as_mut().unwrap();
        let all = own + self.foreign;
        let member = |place: usize| -> Arc<str> {
            if place < own {
                format!("own-{place}-{}", self.births).into()
            } else {
                format!("other-{}", place - own).into()
            }
        };
        let mut list: Vec<Member> = (0..all)
            .map(|place| Member {
                id: member(place),
                partitions: 0,
                is_static: false,
            })
            .collect();
        let readers = if self.elsewhere > 0 { own } else { all };
        let mut own_to = |places: std::ops::Range<usize>, partitions: &mut [Partition]| {
            for (i, partition) in partitions.iter_mut().enumerate() {
                let place = places.start + i % places.len().max(1);
                partition.owner = (!places.is_empty()).then(|| u32::try_from(place).unwrap());
                if let Some(member) = list.get_mut(place) {
                    member.partitions += 1;
                }
            }
        };
        own_to(0..readers, poll.topics[0].partitions.as_mut().unwrap());
        if self.elsewhere > 0 {
            let mut partitions = vec![self.world.partitions[0]; self.elsewhere];
            own_to(own..all, &mut partitions);
            poll.topics.push(Topic {
                name: Arc::from("refunds"),
                role: TopicRole::Assigned,
                partitions: Some(partitions),
            });
        }
        poll.group.members.as_mut().unwrap().list = list;
        observation
    }

    fn poll(&mut self) -> Decision {
        self.world.now = self.world.now.checked_add(secs(15)).unwrap();
        self.world.number += 1;
        let observation = self.observation();
        let state = self.world.state.clone();
        let (decision, state) = decide(&self.world.policy, state, &observation);
        self.world.state = state;
        if scale(&decision).is_some() {
            self.world.act(&decision);
            self.births += 1;
        }
        decision
    }

    /// The actions in this number of polls.
    fn run(&mut self, polls: usize) -> Vec<(i32, i32)> {
        (0..polls).filter_map(|_| scale(&self.poll())).collect()
    }
}

/// KNOW-20.
#[rstest::rstest]
#[case(Assignor::Range)]
#[case(Assignor::Even)]
fn topics_that_other_members_of_the_group_read_do_not_raise_the_limit(#[case] assignor: Assignor) {
    let mut shared = Shared::new(4, 2, 3);
    shared.elsewhere = 12;
    shared.world.assignor = Some(assignor);
    shared.world.set_lag(100_000);
    assert_eq!(shared.run(40), [(2, 4)]);
    let decision = shared.poll();
    assert_eq!(decision.facts.limit, Some(4));
    assert_eq!(decision.facts.foreign_members, 0, "they take nothing away");
}

#[rstest::rstest]
#[case(Assignor::Range)]
#[case(Assignor::Even)]
fn topics_that_the_target_reads_besides_raise_the_limit(#[case] assignor: Assignor) {
    let mut shared = Shared::new(4, 2, 0);
    shared.world.assignor = Some(assignor);
    shared.world.set_lag(1_000_000);
    let mut observation = shared.observation();
    let poll = observation.snapshot.as_mut().unwrap();
    let mut partition = poll.topics[0].partitions.as_ref().unwrap()[0];
    partition.owner = Some(0);
    poll.topics.push(Topic {
        name: Arc::from("refunds"),
        role: TopicRole::Assigned,
        partitions: Some(vec![partition; 12]),
    });
    let (decision, _) = decide(&shared.world.policy, State::default(), &observation);
    let limit = if assignor == Assignor::Even { 16 } else { 12 };
    assert_eq!(decision.facts.limit, Some(limit));
}

/// KNOW-20.
#[test]
fn foreign_members_take_partitions_and_are_reported() {
    let mut shared = Shared::new(12, 2, 8);
    shared.world.set_lag(100_000);
    assert_eq!(shared.run(40), [(2, 4)]);
    let decision = shared.poll();
    assert_eq!(decision.facts.foreign_members, 8);
    assert_eq!(decision.facts.limit, Some(4));
    // They leave.
    shared.foreign = 0;
    shared.world.set_lag(100_000);
    assert_eq!(
        shared.run(3),
        [],
        "what is seen for less than a minute may be a restart"
    );
    assert_eq!(shared.run(40), [(4, 12)]);
    assert_eq!(shared.poll().facts.foreign_members, 0);
}

#[test]
fn members_of_somebody_else_bring_nobody_down_and_undercut_no_min_replicas() {
    let mut shared = Shared::new(12, 6, 0);
    shared.world.policy.min = 6;
    shared.world.set_lag(6000);
    shared.run(10);
    shared.foreign = 12;
    for _ in 0..60 {
        assert_eq!(scale(&shared.poll()), None);
    }
    assert_eq!(shared.poll().facts.limit, Some(1));
    shared.world.resize(2);
    assert_eq!(shared.run(40), [(2, 6)]);
}

#[test]
fn a_size_beside_members_of_somebody_else_counts_what_they_take() {
    let mut shared = Shared::new(12, 1, 8);
    shared.world.policy.max = Some(3);
    shared.world.set_lag(100_000);
    assert_eq!(
        shared.run(40),
        [],
        "among 11 somebody has two of 12, as among 9"
    );
    shared.world.policy.max = Some(4);
    assert_eq!(shared.run(40), [(1, 4)]);
}

#[test]
fn members_of_somebody_else_are_those_beyond_replicas_times_threads() {
    let mut shared = Shared::new(12, 2, 4);
    shared.world.policy.threads = 2;
    shared.own = Some(4);
    shared.world.set_lag(100_000);
    let action = (0..4).find_map(|_| scale(&shared.poll()));
    assert_eq!(action, Some((2, 4)), "eight consumers for what four leave");
    assert_eq!(shared.poll().facts.foreign_members, 4);
}

#[test]
fn a_scale_down_beside_members_of_somebody_else_settles() {
    let mut shared = Shared::new(12, 4, 4);
    let action = (0..40).find_map(|_| scale(&shared.poll()));
    assert!(action.is_some_and(|(from, to)| to < from), "{action:?}");
    shared.run(2);
    assert!(
        shared
            .world
            .state
            .memory
            .last
            .unwrap()
            .settled_after
            .is_some()
    );
}

#[test]
fn a_topic_of_which_the_target_may_have_partitions_brings_nobody_down() {
    // Eight replicas, of which four have the four partitions of the target's topic; the owners of
    // the other twelve are unknown.
    let mut shared = Shared::new(4, 8, 8);
    shared.elsewhere = 12;
    shared.world.set_lag(100_000);
    assert_eq!(shared.run(60), []);
}

#[test]
fn members_of_somebody_else_stand_in_for_no_replica_that_does_not_come() {
    let mut shared = Shared::new(12, 2, 4);
    shared.run(6);
    shared.world.ready = 1;
    shared.own = Some(1);
    shared.world.set_lag(100_000);
    let began = shared.world.now;
    let action = (0..60).find_map(|_| scale(&shared.poll()));
    assert!(action.is_some());
    assert!(shared.world.now.duration_since(began) >= secs(285));
}

#[test]
fn after_the_first_scale_up_that_brings_no_member_it_stops_and_asks() {
    let mut shared = Shared::new(12, 1, 2);
    shared.own = Some(0);
    shared.world.set_lag(3000);
    assert_eq!(shared.run(2), [(1, 3)]);
    shared.world.set_lag(100_000);
    let mut decision = shared.poll();
    for _ in 0..19 {
        assert_eq!(hold(&decision), Some(HoldReason::Settling));
        decision = shared.poll();
    }
    for _ in 0..100 {
        assert_eq!(hold(&decision), Some(HoldReason::MembersMissing));
        assert!(decision.facts.members_missing);
        assert_eq!(decision.up_blocked.unwrap().why, HoldReason::MembersMissing);
        decision = shared.poll();
    }
    // The group id was corrected: they join.
    shared.own = None;
    assert_eq!(
        shared.run(40),
        [(3, 11)],
        "one of the two was taken for the target's until now"
    );
    let decision = shared.poll();
    assert!(!decision.facts.members_missing);
    assert_eq!(decision.facts.foreign_members, 2);
}

#[test]
fn a_restart_forgets_nothing_of_a_scale_up_that_brought_no_member() {
    let mut shared = Shared::new(12, 1, 2);
    shared.own = Some(0);
    shared.world.set_lag(3000);
    assert_eq!(shared.run(2), [(1, 3)]);
    shared.world.set_lag(100_000);
    shared.world.restart();
    assert_eq!(shared.run(100), []);
    assert_eq!(hold(&shared.poll()), Some(HoldReason::MembersMissing));
}

#[test]
fn a_size_that_somebody_else_made_and_that_brought_no_member_is_asked_about_too() {
    let mut shared = Shared::new(6, 1, 2);
    shared.own = Some(0);
    shared.run(1);
    shared.world.resize(6);
    shared.world.set_lag(100_000);
    shared.run(24);
    let decision = shared.poll();
    assert_eq!(
        hold(&decision),
        Some(HoldReason::MembersMissing),
        "{decision:#?}"
    );
}

/// ACT-4.
#[test]
fn pods_that_work_count_whatever_they_say_of_themselves() {
    let mut world = World::new(12, 1).lag(3000);
    assert_eq!(world.until_action(4), Some((1, 3)));
    world.ready = 0;
    world.set_lag(100_000);
    assert_eq!(world.until_action(8), Some((3, 12)));
}

/// ACT-5.
#[test]
fn one_pod_that_never_comes_slows_growth_and_does_not_end_it() {
    let mut world = World::new(24, 4);
    world.run(8);
    (world.ready, world.members) = (3, Some(3));
    world.set_lag(8000);
    let began = world.now;
    assert_eq!(world.until_action(60), Some((4, 8)));
    let waited = world.now.duration_since(began);
    assert!(waited >= secs(285) && waited <= secs(315), "{waited:?}");
    (world.ready, world.members) = (7, Some(7));
    world.set_lag(100_000);
    let began = world.now;
    assert_eq!(world.until_action(60), Some((8, 24)));
    assert!(
        world.now.duration_since(began) >= secs(285),
        "one action in each settleTimeout"
    );
}

#[test]
fn pods_that_came_and_went_slow_growth_and_do_not_end_it() {
    let mut world = World::new(24, 4).lag(8000);
    assert_eq!(world.until_action(4), Some((4, 8)));
    world.run(8);
    assert!(world.state.memory.last.unwrap().settled_after.is_some());
    // A node is gone, and with it as many replicas as had been added.
    (world.ready, world.members) = (4, Some(4));
    world.set_lag(100_000);
    assert_eq!(world.until_action(60), Some((8, 24)));
}

/// ACT-4.
#[test]
fn a_scale_down_has_settled_when_the_leavers_have_left() {
    let mut world = World::new(12, 12);
    assert_eq!(world.until_action(40), Some((12, 6)));
    world.members = Some(12);
    for _ in 0..19 {
        assert_eq!(hold(&world.poll()), Some(HoldReason::Settling));
    }
    world.members = None;
    world.poll();
    assert!(world.state.memory.last.unwrap().settled_after.is_some());
}

#[test]
fn a_group_that_keeps_rebalancing_is_reported_and_not_scaled_down() {
    let mut world = World::new(12, 12).lag(12_000);
    let mut stated = 0;
    for poll in 0..200 {
        if poll == 40 {
            world.set_lag(0);
        }
        world.group = if poll % 9 == 0 {
            GroupState::Rebalancing
        } else {
            GroupState::Stable
        };
        let decision = world.poll();
        assert_eq!(scale(&decision), None);
        stated += usize::from(decision.facts.rebalances.is_some_and(|times| times >= 4));
    }
    assert!(stated > 150, "{stated}");
    assert_eq!(hold(&world.poll()), Some(HoldReason::RebalancingOften));
    world.group = GroupState::Stable;
    assert_eq!(world.until_action(80), Some((12, 6)));
}

#[rstest::rstest]
#[case::releases(true)]
#[case::actions(false)]
fn rebalances_whose_cause_is_known_are_no_storm(#[case] releases: bool) {
    let mut world = World::new(12, 6);
    world.run(4);
    for times in 0..6 {
        if releases {
            world.rollout = Rollout::InProgress;
        } else {
            let (from, to) = if times % 2 == 0 { (6, 12) } else { (12, 6) };
            world.state.memory = world.state.memory.begin(from, to, world.now).confirm();
            world.resize(to);
        }
        world.group = GroupState::Rebalancing;
        assert_eq!(world.poll().facts.rebalances, None);
        (world.group, world.rollout) = (GroupState::Stable, Rollout::None);
        for _ in 0..5 {
            assert_eq!(world.poll().facts.rebalances, None);
        }
    }
}

#[rstest::rstest]
#[case::a_release(Rollout::InProgress, GroupState::Stable, 4)]
#[case::a_slow_release(Rollout::InProgress, GroupState::Stable, 8)]
#[case::a_member_that_was_thrown_out(Rollout::None, GroupState::Rebalancing, 4)]
fn a_disturbance_is_no_reason_to_grow_where_the_same_size_works_its_backlog_off(
    #[case] rollout: Rollout,
    #[case] group: GroupState,
    #[case] polls: i64,
) {
    use crate::scaling::tests::plant::Plant;
    let mut plant = Plant::new(12, 6, 780);
    plant.world.policy.objective = Objective::LagPerReplica(2000);
    // A backlog shows the capacity of a consumer.
    plant.stall = 60;
    plant.run(80);
    assert_eq!(plant.capacity(), Some(200));
    assert_eq!(plant.world.replicas, 6);
    for _ in 0..4 {
        plant.world.rollout = rollout;
        plant.world.group = group;
        plant.stall = 15 * polls;
        for _ in 0..polls {
            assert_eq!(scale(&plant.poll()), None);
        }
        plant.world.rollout = Rollout::None;
        plant.world.resize(6);
        for _ in 0..56 {
            let decision = plant.poll();
            assert_eq!(scale(&decision), None, "{decision:#?}");
        }
    }
}

#[test]
fn a_release_that_does_not_end_excuses_no_backlog_for_ever() {
    use crate::scaling::tests::plant::Plant;
    let mut plant = Plant::new(12, 6, 780);
    plant.world.policy.objective = Objective::LagPerReplica(2000);
    plant.stall = 60;
    plant.run(80);
    assert_eq!(plant.capacity(), Some(200));
    plant.world.rollout = Rollout::InProgress;
    plant.run(18);
    plant.stall = 60;
    assert_eq!(plant.run(6), [(6, 12)], "longer than settleTimeout");
}

#[test]
fn the_last_action_is_no_scale_up_for_ever() {
    let mut shared = Shared::new(6, 6, 0);
    let decision = (0..60).map(|_| shared.poll()).find(|d| scale(d).is_some());
    let Some(Verdict::Scale { why, .. }) = decision.map(|d| d.verdict) else {
        panic!("it goes down")
    };
    assert_eq!(why, ScaleReason::LagBelowTarget);
    assert!(!shared.poll().facts.members_missing);
}
