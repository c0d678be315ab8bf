//! Turns, pauses, poison and commits of a backlog.

use super::*;
use proptest::prelude::*;

fn place(partition: i32) -> Place {
    Place {
        topic: Arc::from("orders"),
        partition,
    }
}

/// A backlog whose partitions 0, 1, ... have `counts` records, from offset 0.
fn backlog(counts: &[i64]) -> Backlog {
    let mut backlog = Backlog::default();
    for (partition, count) in (0..).zip(counts) {
        backlog.assign(place(partition));
        for offset in 0..*count {
            backlog.put(
                "orders",
                partition,
                Fetched {
                    offset,
                    poison: false,
                },
            );
        }
    }
    backlog
}

/// Does up to `count` records; returns their partitions in order.
fn work(backlog: &mut Backlog, now: Instant, count: usize) -> Vec<i32> {
    let mut order = Vec::new();
    while order.len() < count {
        let Some((place, record)) = backlog.next(now) else {
            break;
        };
        order.push(place.partition);
        if record.poison {
            backlog.failed(&place, now);
        } else {
            backlog.done(&place);
        }
    }
    order
}

fn offsets(list: Vec<(Place, i64)>) -> Vec<(i32, i64)> {
    list.into_iter()
        .map(|(place, offset)| (place.partition, offset))
        .collect()
}

fn unconfirmed(backlog: &Backlog) -> Vec<(i32, i64)> {
    offsets(backlog.unconfirmed(|_| true))
}

#[test]
fn partitions_take_turns() {
    let mut backlog = backlog(&[100, 2, 3]);
    assert_eq!(
        work(&mut backlog, Instant::now(), 10),
        [0, 1, 2, 0, 1, 2, 0, 2, 0, 0]
    );
}

#[test]
fn lane_takes_a_bounded_number_of_records() {
    let mut backlog = backlog(&[3, 0]);
    assert_eq!(backlog.room(&place(0)), LANE - 3);
    assert_eq!(backlog.room(&place(1)), LANE);
    assert_eq!(backlog.room(&place(2)), 0, "not assigned");
    for offset in 3..=i64::try_from(LANE).unwrap() {
        backlog.put(
            "orders",
            0,
            Fetched {
                offset,
                poison: false,
            },
        );
    }
    assert_eq!(backlog.room(&place(0)), 0);
}

#[test]
fn lanes_of_several_topics_are_distinct() {
    let mut backlog = Backlog::default();
    for (topic, partition) in [("b", 0), ("a", 1), ("a", 0), ("a.b", 0)] {
        backlog.assign(Place {
            topic: Arc::from(topic),
            partition,
        });
    }
    for (topic, partition) in [("a", 0), ("a", 1), ("a.b", 0), ("b", 0)] {
        backlog.put(
            topic,
            partition,
            Fetched {
                offset: 7,
                poison: false,
            },
        );
        let (place, _) = backlog.next(Instant::now()).unwrap();
        assert_eq!((&*place.topic, place.partition), (topic, partition));
        backlog.done(&place);
    }
}

#[test]
fn poison_blocks_only_its_partition_and_is_retried() {
    let now = Instant::now();
    let mut backlog = backlog(&[1, 3]);
    backlog.put(
        "orders",
        0,
        Fetched {
            offset: 1,
            poison: true,
        },
    );
    backlog.put(
        "orders",
        0,
        Fetched {
            offset: 2,
            poison: false,
        },
    );
    assert_eq!(work(&mut backlog, now, 99), [0, 1, 0, 1, 1]);
    assert_eq!(unconfirmed(&backlog), [(0, 1), (1, 3)]);
    assert_eq!(backlog.lanes()[0].stuck_at(), Some(1));
    assert_eq!(backlog.ready_at(now), Some(now + RETRY));
    assert_eq!(work(&mut backlog, now + RETRY, 99), [0]);
    assert_eq!(backlog.lanes()[0].retries, 2);
    assert_eq!(unconfirmed(&backlog), [(0, 1), (1, 3)], "never past it");
}

#[test]
fn nothing_to_do_when_nothing_is_fetched() {
    let mut backlog = backlog(&[0, 0]);
    assert_eq!(backlog.next(Instant::now()), None);
    assert_eq!(backlog.ready_at(Instant::now()), None);
    assert_eq!(Backlog::default().next(Instant::now()), None);
}

#[test]
fn a_commit_is_requested_once() {
    let mut backlog = backlog(&[5]);
    work(&mut backlog, Instant::now(), 2);
    assert_eq!(offsets(backlog.ask_commits()), [(0, 2)]);
    assert_eq!(offsets(backlog.ask_commits()), []);
    assert_eq!(
        unconfirmed(&backlog),
        [(0, 2)],
        "at the end there is no time to wait for the confirmation"
    );
    assert_eq!(backlog.report(|_| Some(2)), 0);
    assert_eq!(unconfirmed(&backlog), []);
    assert_eq!(backlog.lanes()[0].committed, Some(2));
}

#[test]
fn an_unconfirmed_commit_is_requested_again() {
    let mut backlog = backlog(&[5]);
    work(&mut backlog, Instant::now(), 2);
    backlog.ask_commits();
    for _ in 0..PATIENCE {
        assert_eq!(backlog.report(|_| None), 0);
        assert_eq!(offsets(backlog.ask_commits()), []);
    }
    assert_eq!(backlog.report(|_| None), 1);
    assert_eq!(offsets(backlog.ask_commits()), [(0, 2)]);
}

#[test]
fn late_confirmations_are_waited_for() {
    let mut backlog = backlog(&[200]);
    for second in 0..100 {
        work(&mut backlog, Instant::now(), 2);
        backlog.ask_commits();
        assert_eq!(backlog.report(|_| Some(second)), 0);
    }
}

#[test]
fn an_older_commit_is_not_a_confirmation() {
    let mut backlog = backlog(&[5]);
    backlog.report(|_| Some(2));
    assert_eq!(backlog.lanes()[0].committed, None);
    work(&mut backlog, Instant::now(), 2);
    assert_eq!(offsets(backlog.ask_commits()), [(0, 2)]);
}

#[test]
fn a_revocation_commits_only_the_revoked_partitions() {
    let mut backlog = backlog(&[5, 5]);
    work(&mut backlog, Instant::now(), 4);
    assert_eq!(
        offsets(backlog.unconfirmed(|lane| *lane == place(1))),
        [(1, 2)]
    );
}

#[test]
fn records_fetched_before_a_rebalance_are_dropped() {
    let mut backlog = backlog(&[3, 3]);
    backlog.revoke(&place(0));
    backlog.put(
        "orders",
        0,
        Fetched {
            offset: 3,
            poison: false,
        },
    );
    assert_eq!(work(&mut backlog, Instant::now(), 99), [1, 1, 1]);
    backlog.assign(place(0));
    assert_eq!(backlog.next(Instant::now()), None);
    assert_eq!(unconfirmed(&backlog), [(1, 3)]);
}

#[test]
fn offsets_of_a_recreated_topic_start_over() {
    let mut backlog = backlog(&[5]);
    work(&mut backlog, Instant::now(), 5);
    backlog.ask_commits();
    backlog.confirm(&place(0), 5);
    backlog.put(
        "orders",
        0,
        Fetched {
            offset: 0,
            poison: false,
        },
    );
    work(&mut backlog, Instant::now(), 1);
    assert_eq!(unconfirmed(&backlog), [(0, 1)]);
}

proptest! {
    #[test]
    fn no_partition_is_ahead_of_another_that_has_work(counts in prop::collection::vec(0_i64..30, 1..8)) {
        let mut backlog = backlog(&counts);
        let mut done = vec![0_i64; counts.len()];
        for partition in work(&mut backlog, Instant::now(), usize::MAX) {
            let index = usize::try_from(partition).unwrap();
            done[index] += 1;
            for (other, count) in counts.iter().enumerate() {
                prop_assert!(done[index] - done[other] <= 1 || done[other] == *count);
            }
        }
        prop_assert_eq!(done, counts);
    }
}
