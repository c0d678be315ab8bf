//! Right after a start, before there is history: the broker's timestamps show how late a group has
//! been.

use super::*;
use crate::scaling::output::decision::ScaleReason;

/// Six partitions with 4,000 unread records each; 40 a second arrive and 40 are read on each, which
/// two replicas keep up with; and a process that has just started. `late`: for how many seconds the
/// group has been behind, by the timestamps of records.
fn started(late: Option<i64>) -> World {
    let mut world = World::new(6, 2);
    world.assignor = Some(Assignor::Even);
    world.policy.objective = Objective::MaxDelay(secs(60));
    for partition in &mut world.partitions {
        partition.log_end = Some(104_000);
        partition.committed = Commit::At(100_000);
    }
    if let Some(late) = late {
        let before = |seconds: i64| world.now - secs(seconds);
        let of = |partition| Earlier {
            topic: Arc::from("orders"),
            partition,
            ends: vec![
                (before(late), 100_000),
                (before(late / 2), 103_000),
                (world.now, 104_000),
            ],
        };
        world.earlier = (0..6).map(of).collect();
    }
    world
}

fn poll(world: &mut World) -> Decision {
    world.flow(240 * 15, 240 * 15);
    world.poll()
}

#[test]
fn a_group_that_the_broker_shows_to_be_late_grows_at_the_second_poll_after_a_start() {
    let mut world = started(Some(400));
    let first = poll(&mut world);
    assert_eq!(scale(&first), None, "one look is not enough to act on");
    assert!(
        first.facts.delay.unwrap() > secs(300),
        "{:?}",
        first.facts.delay
    );
    let second = poll(&mut world);
    let Verdict::Scale {
        from: 2,
        to: 3..,
        why,
    } = second.verdict
    else {
        panic!("{second:#?}")
    };
    assert_eq!(why, ScaleReason::DelayAboveTarget);
}

#[test]
fn without_the_brokers_word_it_knows_no_better_than_its_own_polls_and_waits() {
    let mut world = started(None);
    poll(&mut world);
    let second = poll(&mut world);
    // 40 records a second arrive at each: 4,000 of them are 100 s. Nothing shows that they did so
    // before.
    assert!(
        second.facts.delay.unwrap() < secs(150),
        "{:?}",
        second.facts.delay
    );
}

#[test]
fn the_brokers_word_opens_no_gate() {
    let mut world = started(Some(400));
    world.group = GroupState::Rebalancing;
    for _ in 0..4 {
        assert_eq!(scale(&poll(&mut world)), None);
    }
    world.group = GroupState::Stable;
    poll(&mut world);
    assert!(scale(&poll(&mut world)).is_some());
    let mut world = started(Some(400));
    // An action of the process before, 10 s ago.
    world.state.memory = world
        .state
        .memory
        .begin(1, 2, world.now - secs(10))
        .confirm();
    world.policy.pacing.min_interval = secs(120);
    for _ in 0..5 {
        assert_eq!(scale(&poll(&mut world)), None);
    }
}

#[test]
fn it_counts_until_the_group_has_read_what_was_there_at_the_first_poll() {
    let mut world = started(Some(400));
    world.policy.max = Some(2);
    let mut before = secs(500);
    // It reads 80 records a second from each partition: the backlog takes 100 s.
    for _ in 0..6 {
        world.flow(240 * 15, 240 * 30);
        let delay = world.poll().facts.delay.unwrap();
        assert!(delay < before, "{delay:?} after {before:?}");
        before = delay;
    }
    assert!(before < secs(60), "{before:?}");
}
