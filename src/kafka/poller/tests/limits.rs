//! More than can be held: selections that are refused, and the groups that are still read.

mod answers;

use std::sync::Arc;

use lagrange_core::intent::topics::{TopicPattern, TopicSelection};

use super::double::{Double, FakeTopic};
use super::rig::{Rig, connection, interest, t};
use crate::kafka::model::error::{Bound, ReadError};
use crate::kafka::model::interest::{Interest, Key};
use crate::kafka::model::snapshot::{Known, Snapshot, Topic};
use crate::kafka::pool::{Settings, Watch};

/// A cluster with `t`, which `h` and `g` read, and this many other topics of 20 partitions each.
fn large(topics: usize) -> Double {
    let double = Double::new(6);
    double.group("h", 2, 6);
    double.change(|world| {
        world.quick = true;
        for number in 0..topics {
            let topic = FakeTopic {
                partitions: (0..20).map(|p| (p % 3 + 1, 0, 10)).collect(),
                internal: false,
            };
            world.topics.insert(format!("of-all-{number:05}"), topic);
        }
    });
    double
}

fn settings(max_partitions_per_group: usize, max_partitions: usize) -> Settings {
    Settings {
        max_partitions,
        max_partitions_per_group,
        ..Settings::default()
    }
}

fn pattern(source: &str) -> TopicSelection {
    TopicSelection::Pattern(TopicPattern::new(source).unwrap())
}

fn watch(rig: &Rig, namespace: &str, id: &str, topics: TopicSelection) -> Watch {
    watch_with(rig, namespace, interest(id, topics, 15))
}

fn watch_with(rig: &Rig, namespace: &str, interest: Interest) -> Watch {
    let id = Arc::clone(&interest.group.as_ref().unwrap().id);
    let key = Key::consumer_group(namespace, &id);
    rig.pool
        .watch(&connection("kafka:9092"), key, interest)
        .unwrap()
}

/// The next poll. Every watch is woken after each.
async fn poll(rig: &mut Rig, watch: &Watch) -> Arc<Snapshot> {
    let before = watch.latest().map_or(0, |snapshot| snapshot.poll);
    loop {
        let snapshot = rig.poll(watch).await;
        if snapshot.poll > before {
            return snapshot;
        }
    }
}

async fn poll_after(rig: &mut Rig, watch: &Watch, polls: usize) -> Arc<Snapshot> {
    for _ in 1..polls {
        poll(rig, watch).await;
    }
    poll(rig, watch).await
}

fn topics(snapshot: &Snapshot, id: &str, selection: &TopicSelection) -> Known<usize> {
    let topics = snapshot.groups[id].topics_for(selection)?;
    Ok(topics.len())
}

/// Whether all partitions of all topics that `id` selects are known.
fn is_read(snapshot: &Snapshot, id: &str, selection: &TopicSelection, partitions: usize) -> bool {
    let group = &snapshot.groups[id];
    let ends = group.topics_for(selection).unwrap_or_default().iter();
    let ends = ends.filter_map(|topic| match &snapshot.topics[topic] {
        Topic::Present(partitions) => Some(partitions.iter().all(|p| p.end.is_ok())),
        _ => None,
    });
    ends.clone().count() > 0
        && ends.into_iter().all(|known| known)
        && group.committed.len() == partitions
        && group.committed.values().all(Result::is_ok)
}

#[tokio::test(start_paused = true)]
async fn a_pattern_on_a_large_cluster_affects_its_own_group_only() {
    let double = large(10_000);
    let mut rig = Rig::new(&double, settings(5_000, 20_000));
    let all = pattern(".*");
    let careless = watch(&rig, "careless", "g", all.clone());
    let neighbour = watch(&rig, "shop", "h", t());
    for number in 0..8 {
        let snapshot = poll(&mut rig, &neighbour).await;
        assert!(is_read(&snapshot, "h", &t(), 6), "look {number}");
        let refused = topics(&snapshot, "g", &all);
        let expected = ReadError::TooManyPartitions {
            topics: 10_001,
            partitions: 10_001,
            at_least: true,
            limit: 5_000,
            bound: Bound::Group,
        };
        assert_eq!(refused, Err(expected));
        assert!(snapshot.groups["g"].committed.is_empty());
        assert_eq!(
            snapshot
                .topics
                .keys()
                .map(|name| &**name)
                .collect::<Vec<_>>(),
            ["t"]
        );
    }
    assert_eq!(double.take_asked("committed"), 8, "for the neighbour only");
    assert_eq!(double.take_asked("topics"), 8, "for the neighbour only");
    double.change(|world| {
        assert_eq!(world.offsets_asked, 6 * (8 + 2), "ends, and starts twice");
    });
    // It is read again as soon as it asks for less.
    let few = pattern("of-all-0000[0-4]");
    careless.update(interest("g", few.clone(), 15));
    let snapshot = poll(&mut rig, &neighbour).await;
    assert!(is_read(&snapshot, "g", &few, 100));
    assert!(is_read(&snapshot, "h", &t(), 6));
}

#[tokio::test(start_paused = true)]
async fn describing_stops_as_soon_as_there_are_too_many() {
    let double = large(10_000);
    let mut rig = Rig::new(&double, settings(15_000, 60_000));
    let all = pattern(".*");
    let _careless = watch(&rig, "careless", "g", all.clone());
    let neighbour = watch(&rig, "shop", "h", t());
    let snapshot = poll(&mut rig, &neighbour).await;
    let Err(ReadError::TooManyPartitions {
        topics: 10_001,
        partitions,
        at_least: true,
        limit: 15_000,
        bound: Bound::Group,
    }) = topics(&snapshot, "g", &all)
    else {
        panic!("{:?}", topics(&snapshot, "g", &all));
    };
    assert!((15_001..=15_020).contains(&partitions), "{partitions}");
    assert_eq!(double.take_asked("topics"), 2, "a thousand topics at most");
    assert!(is_read(&snapshot, "h", &t(), 6));
    // The refusal stands for a minute.
    for _ in 0..3 {
        assert!(is_read(&*poll(&mut rig, &neighbour).await, "h", &t(), 6));
    }
    assert_eq!(double.take_asked("topics"), 3, "for the neighbour only");
    // Then it is checked again: topics may be gone.
    double.change(|world| {
        world
            .topics
            .retain(|name, _| name == "t" || name.starts_with("of-all-000"));
    });
    let snapshot = poll_after(&mut rig, &neighbour, 2).await;
    assert!(
        is_read(&snapshot, "g", &all, 100 * 20 + 6),
        "{:?}",
        topics(&snapshot, "g", &all)
    );
}

#[tokio::test(start_paused = true)]
async fn a_topic_with_too_many_partitions_is_refused() {
    let double = large(0);
    double.change(|world| {
        let partitions = vec![(1, 0, 10); 200_000];
        world.topics.insert(
            "huge".to_owned(),
            FakeTopic {
                partitions,
                internal: false,
            },
        );
    });
    let mut rig = Rig::new(&double, settings(5_000, 20_000));
    let huge = TopicSelection::Named(vec!["huge".into()]);
    let _careless = watch(&rig, "careless", "g", huge.clone());
    let neighbour = watch(&rig, "shop", "h", t());
    let snapshot = poll(&mut rig, &neighbour).await;
    let expected = ReadError::TooManyPartitions {
        topics: 1,
        partitions: 200_000,
        at_least: false,
        limit: 5_000,
        bound: Bound::Group,
    };
    assert_eq!(topics(&snapshot, "g", &huge), Err(expected));
    assert!(!snapshot.topics.contains_key("huge"));
    assert!(is_read(&snapshot, "h", &t(), 6));
}

#[tokio::test(start_paused = true)]
async fn the_last_to_come_is_refused_when_nothing_is_left() {
    let double = large(100);
    for id in ["i", "j"] {
        double.group(id, 3, 0);
    }
    // 999 for one namespace, with 4 for each group and 4 for the names of topics.
    let mut rig = Rig::new(&double, settings(1_000, 1_332));
    let (tens, ones) = (pattern("of-all-000[0-4].*"), pattern("of-all-0000."));
    let _first = watch(&rig, "shop", "g", ones.clone());
    let second = watch(&rig, "shop", "h", pattern("of-all-0002.|of-all-0001."));
    poll(&mut rig, &second).await;
    // 200 and 400 are read; 1,000 more are refused, and 200 more are read.
    let large = watch(&rig, "shop", "i", tens.clone());
    let small = watch(&rig, "shop", "j", ones.clone());
    let snapshot = poll(&mut rig, &small).await;
    let too_many = |limit| ReadError::TooManyPartitions {
        topics: 50,
        partitions: 1_000,
        at_least: false,
        limit,
        bound: Bound::Namespace,
    };
    assert!(is_read(&snapshot, "g", &ones, 200));
    assert!(
        is_read(&snapshot, "j", &ones, 200),
        "{:?}",
        topics(&snapshot, "j", &ones)
    );
    let left = 999 - 4 - (200 + 4) - (400 + 4) - (200 + 4) - 4;
    assert_eq!(topics(&snapshot, "i", &tens), Err(too_many(left)));
    // This stays so, in whatever order they are asked for.
    let snapshot = poll_after(&mut rig, &small, 8).await;
    assert!(is_read(&snapshot, "g", &ones, 200) && is_read(&snapshot, "j", &ones, 200));
    topics(&snapshot, "i", &tens).unwrap_err();
    // Another namespace has its own share.
    let other = watch(&rig, "elsewhere", "k", ones.clone());
    let snapshot = poll(&mut rig, &other).await;
    assert_eq!(topics(&snapshot, "k", &ones), Ok(10));
    drop((second, small, large));
    let large = watch(&rig, "shop", "i", pattern("of-all-000[0-2].*"));
    let snapshot = poll(&mut rig, &large).await;
    assert!(is_read(&snapshot, "i", &pattern("of-all-000[0-2].*"), 600));
}

#[tokio::test(start_paused = true)]
async fn groups_that_are_read_come_before_newcomers_in_a_poll() {
    let double = large(100);
    let mut rig = Rig::new(&double, settings(1_000, 1_000));
    let (few, all) = (pattern("of-all-0000[1-6]"), pattern("of-all-000[0-2].*"));
    let read = watch(&rig, "shop", "h", all.clone());
    assert!(is_read(&*poll(&mut rig, &read).await, "h", &all, 600));
    // A topic gets more partitions, and a newcomer wants as much as is left.
    double.change(|world| {
        world
            .topics
            .get_mut("of-all-00000")
            .unwrap()
            .partitions
            .resize(60, (1, 0, 10));
    });
    let newcomer = watch(&rig, "shop", "g", few.clone());
    let snapshot = poll(&mut rig, &newcomer).await;
    assert!(
        is_read(&snapshot, "h", &all, 640),
        "{:?}",
        topics(&snapshot, "h", &all)
    );
    assert!(topics(&snapshot, "g", &few).is_err_and(|error| error.is_too_much()));
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_groups_that_were_read_come_first() {
    let double = large(100);
    let mut rig = Rig::new(&double, settings(1_000, 1_000));
    let all = pattern("of-all-000[0-2].*");
    let refused = Interest {
        was_refused: true,
        ..interest("g", all.clone(), 15)
    };
    let refused = watch_with(&rig, "shop", refused);
    let snapshot = poll(&mut rig, &refused).await;
    assert_eq!(topics(&snapshot, "g", &all), Err(ReadError::NotYetRead));
    let read = watch(&rig, "shop", "h", all.clone());
    let snapshot = poll(&mut rig, &read).await;
    assert!(is_read(&snapshot, "h", &all, 600));
    assert_eq!(topics(&snapshot, "g", &all), Err(ReadError::NotYetRead));
    let snapshot = poll_after(&mut rig, &read, 6).await;
    assert!(is_read(&snapshot, "h", &all, 600));
    assert!(topics(&snapshot, "g", &all).is_err_and(|error| error.is_too_much()));
    // Another restart, after which there is enough.
    drop(read);
    let snapshot = poll_after(&mut rig, &refused, 6).await;
    assert!(is_read(&snapshot, "g", &all, 600));
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_unreadable_for_a_moment_keeps_its_grant() {
    let double = large(100);
    let mut rig = Rig::new(&double, settings(1_000, 1_000));
    let all = pattern("of-all-000[0-2].*");
    let read = watch(&rig, "shop", "g", all.clone());
    assert!(is_read(&*poll(&mut rig, &read).await, "g", &all, 600));
    // No broker describes its topics for a while, and others want to be read.
    double.change(|world| {
        let topics = world
            .topics
            .keys()
            .filter(|name| name.as_str() < "of-all-00030");
        world.undescribed = topics.cloned().collect();
    });
    let others = pattern("of-all-0003.");
    let newcomer = watch(&rig, "shop", "h", others.clone());
    let snapshot = poll(&mut rig, &newcomer).await;
    assert!(!is_read(&snapshot, "g", &all, 600));
    assert!(topics(&snapshot, "h", &others).is_err_and(|error| error.is_too_much()));
    double.change(|world| world.undescribed.clear());
    let snapshot = poll_after(&mut rig, &newcomer, 6).await;
    assert!(is_read(&snapshot, "g", &all, 600));
    assert!(topics(&snapshot, "h", &others).is_err_and(|error| error.is_too_much()));
}

#[tokio::test(start_paused = true)]
async fn a_namespace_cannot_get_a_group_of_another_refused() {
    let double = large(1_000);
    let mut rig = Rig::new(&double, settings(1_000, 10_000));
    let own = watch(&rig, "shop", "g", t());
    let _attacker = watch(&rig, "attacker", "g", pattern(".*"));
    for _ in 0..3 {
        let snapshot = poll(&mut rig, &own).await;
        assert!(is_read(&snapshot, "g", &t(), 6));
        assert!(topics(&snapshot, "g", &pattern(".*")).is_err_and(|error| error.is_too_much()));
    }
}
