//! The examples of the design, one test each.

use rstest::rstest;

use super::*;
use crate::scaling::input::policy::Fallback;
use crate::scaling::measure::limits::LimitedBy;
use crate::scaling::output::decision::{Notice, ScaleReason};

#[rstest]
#[case(1001, 2)]
#[case(2500, 3)]
// Never 4 or 5: the largest share would stay 2.
#[case(3500, 6)]
#[case(4900, 6)]
#[case(60_000, 6)]
fn six_partitions_are_shared_by_two_three_or_six(#[case] lag: i64, #[case] to: i32) {
    let mut world = World::new(6, 1).lag(lag + 100);
    assert_eq!(world.until_action(4), Some((1, to)));
}

#[test]
fn a_trail_reads_from_the_lag_to_the_size() {
    let mut world = World::new(6, 1).lag(3500);
    world.poll();
    let decision = world.poll();
    assert_eq!(
        decision.trail.to_string(),
        "lag 3500; 1000 a replica asks for 4; 6: with 4 the largest share would be 2 partitions, with 6 it is 1"
    );
}

/// ACT-14.
#[rstest]
#[case(12)]
#[case(24)]
#[case(64)]
fn endless_lag_reaches_exactly_the_limit_in_one_action(#[case] partitions: usize) {
    let mut world = World::new(partitions, 1).lag(10_000_000);
    let limit = i32::try_from(partitions).unwrap();
    assert_eq!(world.until_action(4), Some((1, limit)));
    for _ in 0..40 {
        let decision = world.poll();
        assert_eq!(scale(&decision), None);
        assert_eq!(decision.limited_by, Some(LimitedBy::PartitionLimit));
    }
}

/// ACT-13.
#[test]
fn twenty_consumers_on_four_partitions_report_sixteen_idle_and_come_down_to_four() {
    let mut world = World::new(4, 20).lag(10);
    let first = world.poll();
    assert_eq!(first.facts.idle_members, Some(16));
    assert_eq!(first.facts.limit, Some(4));
    assert_eq!(
        scale(&first),
        None,
        "no memory: nothing goes down before its window"
    );
    assert_eq!(world.until_action(20), Some((20, 4)));
    assert!(world.now.duration_since(first_time()) >= secs(120));

    world.partitions.resize(
        20,
        Partition {
            committed: Commit::Absent,
            owner: None,
            log_end: Some(0),
            log_start: Some(0),
        },
    );
    let added = world.poll();
    assert_eq!(added.facts.limit, Some(20));
    assert_eq!(
        added
            .notices
            .iter()
            .filter(|n| matches!(
                n,
                Notice::PartitionsAdded {
                    from: 4,
                    to: 20,
                    ..
                }
            ))
            .count(),
        1
    );
    for p in &mut world.partitions {
        p.committed = Commit::At(0);
    }
    world.set_lag(100_000);
    assert_eq!(world.until_action(10), Some((4, 20)));
}

fn first_time() -> Timestamp {
    World::new(1, 1).now
}

/// ACT-13.
#[test]
fn what_partitions_nobody_has_owned_yet_hold_is_no_demand_until_consumers_must_have_noticed() {
    let mut world = World::new(4, 4);
    world.policy.offset_reset = OffsetReset::Earliest;
    world.policy.min = 4;
    world.poll();
    let fresh = Partition {
        log_start: Some(0),
        log_end: Some(50_000),
        committed: Commit::Absent,
        owner: None,
    };
    world.partitions.resize(8, fresh);
    for _ in 0..23 {
        assert_eq!(scale(&world.poll()), None);
    }
    assert_eq!(world.until_action(4), Some((4, 8)));
}

/// ACT-4.
#[test]
fn spacing_is_kept_both_ways() {
    let mut world = World::new(6, 1).lag(3000);
    assert_eq!(world.until_action(4), Some((1, 3)));
    let up = world.now;
    world.set_lag(6000);
    let decision = world.after(5);
    assert_eq!(hold(&decision), Some(HoldReason::Settling));
    // It may be over at any poll; the time at which it is given up is known.
    let trail = decision.trail.to_string();
    assert!(trail.contains("waits until "), "{trail}");
    assert!(!trail.contains("not before"), "{trail}");
    let decision = world.after(5);
    assert_eq!(hold(&decision), Some(HoldReason::CoolingDown));
    let trail = decision.trail.to_string();
    assert!(trail.contains("next action not before "), "{trail}");
    assert_eq!(world.until_action(10), Some((3, 6)));
    assert!(world.now.duration_since(up) >= secs(30));
    let up = world.now;
    world.set_lag(0);
    assert_eq!(
        world.until_action(40),
        Some((6, 3)),
        "no backlog seen: one useful count at a time"
    );
    assert!(world.now.duration_since(up) >= secs(120));
    let down = world.now;
    assert_eq!(world.until_action(40), Some((3, 2)));
    assert!(world.now.duration_since(down) >= secs(120));
}

#[test]
fn a_scale_down_goes_no_lower_than_the_arrivals_allow() {
    let mut world = World::new(6, 3);
    world.set_lag(60_000);
    world.policy.max = Some(3);
    // Three replicas do 100 records/s each under a backlog, while 250 arrive.
    for _ in 0..12 {
        world.poll();
        world.flow(250 * 15, 300 * 15);
    }
    let capacity = world.state.memory.model.capacity.unwrap();
    assert!(capacity.measured, "under a backlog");
    assert!((95_000..=105_000).contains(&capacity.milli), "{capacity:?}");
    // The backlog is gone, and as many are read as arrive: two replicas could not carry it.
    world.set_lag(0);
    for _ in 0..60 {
        let decision = world.poll();
        assert_eq!(scale(&decision), None);
        world.flow(240 * 15, 240 * 15);
    }
    assert_eq!(hold(&world.poll()), Some(HoldReason::ArrivalsTooHigh));
    // With 60 a second one replica is enough. It is scaled down as soon as the savings have paid
    // for a rebalance down and one up again.
    let fell = world.now;
    let mut sizes = vec![];
    for _ in 0..60 {
        let decision = world.poll();
        world.flow(60 * 15, 60 * 15);
        if let Some((_, size)) = scale(&decision) {
            world.act(&decision);
            sizes.push((size, world.now.duration_since(fell).as_secs()));
        }
    }
    assert!(matches!(sizes[..], [(1, 120..)]), "{sizes:?}");
}

#[test]
fn a_down_that_had_to_be_undone_makes_the_next_one_wait_twice_as_long() {
    let mut world = World::new(6, 2);
    assert_eq!(world.until_action(40), Some((2, 1)));
    world.set_lag(2000);
    assert_eq!(world.until_action(40), Some((1, 2)));
    let up = world.now;
    world.set_lag(0);
    assert_eq!(world.until_action(40), Some((2, 1)));
    let waited = world.now.duration_since(up);
    assert!(waited >= secs(240) && waited < secs(300), "{waited:?}");
}

/// ACT-5.
#[rstest]
#[case(HoldReason::GroupRebalancing)]
#[case(HoldReason::RolloutInProgress)]
fn no_action_while_something_is_under_way_until_its_timeout_which_is_reported(
    #[case] why: HoldReason,
) {
    let mut world = World::new(6, 1).lag(50_000);
    match why {
        HoldReason::GroupRebalancing => world.group = GroupState::Rebalancing,
        _ => world.rollout = Rollout::InProgress,
    }
    for _ in 0..20 {
        let decision = world.poll();
        assert_eq!(hold(&decision), Some(why));
        assert_eq!(decision.facts.overdue, None);
    }
    let decision = world.poll();
    assert_eq!(scale(&decision), Some((1, 6)));
    assert_eq!(decision.facts.overdue.unwrap().what, why);
}

/// ACT-5.
#[test]
fn pods_that_never_get_ready_permit_no_up() {
    let mut world = World::new(12, 1).lag(3000);
    assert_eq!(world.until_action(4), Some((1, 3)));
    (world.ready, world.members) = (1, Some(1));
    world.set_lag(100_000);
    for _ in 0..60 {
        assert_eq!(scale(&world.poll()), None);
    }
    assert_eq!(
        world.poll().up_blocked.unwrap().why,
        HoldReason::ReplicasNotReady
    );
}

#[test]
fn an_empty_group_with_ready_replicas_permits_no_up_and_is_reported() {
    let mut world = World::new(6, 2).lag(50_000);
    world.group = GroupState::Empty;
    world.members = Some(0);
    for poll in 0..30 {
        let decision = world.poll();
        assert_eq!(hold(&decision), Some(HoldReason::GroupMissing));
        assert_eq!(decision.facts.group_missing, poll >= 20);
    }
}

/// ACT-3.
#[test]
fn bounds_are_applied_without_a_need_of_lag() {
    let mut world = World::new(12, 6);
    world.poll();
    world.policy.min = 8;
    assert_eq!(
        world.until_action(4),
        Some((6, 12)),
        "8 is no useful count of 12; 12 is"
    );
    world.policy.min = 1;
    world.policy.max = Some(5);
    assert_eq!(
        world.until_action(20),
        Some((12, 4)),
        "5 of 12 shares as 4 does"
    );
    assert!(matches!(world.state.memory.last, Some(last) if last.to == 4));
}

/// ACT-3.
#[test]
fn max_is_applied_even_while_kafka_cannot_be_read() {
    let mut world = World::new(12, 12);
    for _ in 0..12 {
        world.poll();
    }
    world.policy.max = Some(4);
    world.blind = true;
    assert_eq!(world.until_action(30), Some((12, 4)));
}

/// ACT-12.
#[test]
fn a_group_asleep_wakes_for_one_record_and_sleeps_after_its_delay() {
    let mut world = World::new(6, 1);
    world.policy.min = 0;
    let started = world.now;
    assert_eq!(world.until_action(60), Some((1, 0)));
    assert!(world.now.duration_since(started) >= secs(300));
    for _ in 0..60 {
        assert_eq!(hold(&world.poll()), Some(HoldReason::AsDesired));
    }
    world.partitions[3].log_end = Some(1);
    let decision = world.poll();
    assert!(matches!(
        decision.verdict,
        Verdict::Scale {
            from: 0,
            to: 1,
            why: ScaleReason::WakeUp
        }
    ));
}

#[test]
fn a_transaction_marker_keeps_nobody_awake_and_wakes_nobody() {
    let mut world = World::with_marker();
    assert_eq!(world.until_action(60), Some((1, 0)));
    for _ in 0..10 {
        assert_eq!(hold(&world.poll()), Some(HoldReason::AsDesired));
    }
}

/// ACT-12.
#[test]
fn a_commit_that_expires_while_asleep_hides_nothing() {
    let mut world = World::new(2, 1);
    world.policy.min = 0;
    world.flow(20, 20);
    assert_eq!(world.until_action(60), Some((1, 0)));
    world.poll();
    for p in &mut world.partitions {
        p.committed = Commit::Absent;
    }
    world.restart();
    assert_eq!(hold(&world.poll()), Some(HoldReason::AsDesired));
    world.flow(2, 0);
    world.partitions[0].log_end = Some(11);
    assert_eq!(scale(&world.poll()), Some((0, 1)));
}

#[test]
fn without_a_commit_at_every_end_nobody_sleeps() {
    let mut world = World::new(2, 1);
    world.policy.min = 0;
    world.flow(20, 20);
    world.partitions[1].committed = Commit::Absent;
    assert_eq!(world.until_action(60), None);
}

/// ACT-11.
#[test]
fn fallback_raises_once_and_never_lowers() {
    let mut world = World::new(12, 2);
    world.policy.fallback = Some(Fallback {
        replicas: 6,
        after: secs(300),
    });
    world.poll();
    world.blind = true;
    let blind = world.now;
    assert_eq!(world.until_action(40), Some((2, 6)));
    assert!(world.now.duration_since(blind) >= secs(300));
    world.resize(3);
    assert_eq!(
        world.until_action(60),
        None,
        "a hand that scaled it back is not overruled"
    );
}

/// ACT-11.
#[test]
fn fallback_without_a_known_limit_holds() {
    let mut world = World::new(12, 2);
    world.policy.fallback = Some(Fallback {
        replicas: 6,
        after: secs(60),
    });
    world.blind = true;
    assert_eq!(world.until_action(40), None);
}

/// KNOW-18.
#[test]
fn threads_share_the_partitions_of_a_replica() {
    let mut world = World::new(20, 1).lag(1_000_000);
    world.policy.threads = 4;
    assert_eq!(world.until_action(4), Some((1, 5)));
}

/// KNOW-17.
#[test]
fn an_unknown_assignor_bounds_ups_at_the_largest_topic_and_causes_no_down() {
    let mut world = World::new(12, 14).lag(1_000_000);
    world.assignor = None;
    let mut observation = world.observation();
    let small = observation.snapshot.as_ref().unwrap().topics[0].clone();
    let other = Topic {
        name: Arc::from("payments"),
        partitions: small.partitions.map(|p| p[..6].to_vec()),
        role: TopicRole::Counted,
    };
    let mut state = State::default();
    for poll in 1..60 {
        observation.now = observation.now.checked_add(secs(15)).unwrap();
        let seen = observation.snapshot.as_mut().unwrap();
        (seen.number, seen.at) = (poll, observation.now);
        seen.topics.truncate(1);
        seen.topics.push(other.clone());
        let (decision, next) = decide(&world.policy, state, &observation);
        assert_eq!((scale(&decision), decision.facts.limit), (None, Some(12)));
        state = next;
    }
}

/// KNOW-24.
#[test]
fn a_time_in_memory_that_lies_in_the_future_is_read_as_now() {
    let mut world = World::new(6, 1).lag(50_000);
    world.poll();
    world.state.memory = world
        .state
        .memory
        .begin(1, 1, world.now.checked_add(secs(86_400)).unwrap())
        .confirm();
    world.restart();
    world.poll();
    let until = match world.poll().verdict {
        Verdict::Hold(wait) => wait.until.unwrap(),
        Verdict::Scale { .. } => panic!("its spacing is kept, from now"),
    };
    assert!(until.duration_since(world.now) <= secs(300));
    assert_eq!(world.until_action(30), Some((1, 6)));
}
