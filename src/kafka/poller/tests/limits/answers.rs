//! Brokers that report more members, names and partitions than can be held or were asked for.

use std::collections::BTreeSet;

use lagrange_core::intent::topics::TopicSelection;

use super::{is_read, large, pattern, poll, poll_after, settings, topics, watch};
use crate::kafka::model::error::{Bound, ReadError};
use crate::kafka::model::snapshot::{Description, GroupState, Known, Snapshot, TopicPartition};
use crate::kafka::poller::tests::rig::{Rig, interest, member, t};
use crate::kafka::pool::Settings;

fn described(snapshot: &Snapshot) -> Known<&Description> {
    match snapshot.groups["g"].description.as_ref().unwrap() {
        Ok(description) => Ok(description),
        Err(error) => Err(error.clone()),
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_with_too_many_members_is_not_read_nor_described_each_time() {
    let double = large(0);
    double.change_group(|group| {
        group.state = Some(GroupState::Stable);
        group.members = (0..1_001)
            .map(|number| member(&format!("m{number}"), &[]))
            .collect();
    });
    let mut rig = Rig::new(&double, settings(1_000, 10_000));
    let _hostile = watch(&rig, "hostile", "g", t());
    let neighbour = watch(&rig, "shop", "h", t());
    let snapshot = poll(&mut rig, &neighbour).await;
    let expected = ReadError::TooManyMembers {
        members: 1_001,
        partitions: 0,
        limit: 1_000,
        bound: Bound::Group,
    };
    assert_eq!(described(&snapshot).map(|_| ()), Err(expected.clone()));
    assert_eq!(topics(&snapshot, "g", &t()), Err(expected));
    assert!(is_read(&snapshot, "h", &t(), 6));
    double.take_asked("describe");
    poll_after(&mut rig, &neighbour, 4).await;
    assert_eq!(double.take_asked("describe"), 0);
    double.change_group(|group| group.members.truncate(3));
    let snapshot = poll_after(&mut rig, &neighbour, 12).await;
    assert!(is_read(&snapshot, "g", &t(), 6));
}

#[tokio::test(start_paused = true)]
async fn members_count_whether_partitions_are_read_or_not() {
    let double = large(10);
    let all = pattern("of-all.*");
    double.change_group(|group| {
        group.state = Some(GroupState::Stable);
        group.members = (0..296)
            .map(|number| member(&format!("m{number}"), &[]))
            .collect();
    });
    // Some 300 for a namespace: 296 for members leave too few for 200 partitions.
    let mut rig = Rig::new(&double, settings(1_000, 400));
    let hostile = watch(&rig, "hostile", "g", all.clone());
    let neighbour = watch(&rig, "shop", "h", t());
    let snapshot = poll(&mut rig, &neighbour).await;
    let refused = topics(&snapshot, "g", &all);
    assert!(
        matches!(
            refused,
            Err(ReadError::TooManyPartitions {
                limit: 0,
                bound: Bound::Namespace,
                ..
            })
        ),
        "{refused:?}"
    );
    assert_eq!(
        described(&snapshot).map(|description| description.members.len()),
        Ok(296)
    );
    double.change_group(|group| {
        group
            .members
            .extend((0..9).map(|number| member(&format!("n{number}"), &[])));
    });
    hostile.describe_members(true);
    let snapshot = poll(&mut rig, &neighbour).await;
    let expected = ReadError::TooManyMembers {
        members: 305,
        partitions: 0,
        limit: 290,
        bound: Bound::Namespace,
    };
    assert_eq!(described(&snapshot).map(|_| ()), Err(expected));
    assert!(is_read(&snapshot, "h", &t(), 6));
}

#[tokio::test(start_paused = true)]
async fn the_partitions_assigned_to_members_are_limited_too() {
    let double = large(0);
    let partitions: Vec<i32> = (0..1_001).collect();
    double.change_group(|group| {
        group.state = Some(GroupState::Stable);
        group.members = vec![member("m", &partitions)];
    });
    let mut rig = Rig::new(&double, settings(1_000, 10_000));
    let _hostile = watch(&rig, "hostile", "g", t());
    let neighbour = watch(&rig, "shop", "h", t());
    let snapshot = poll(&mut rig, &neighbour).await;
    assert!(described(&snapshot).is_err_and(|error| error.is_too_much()));
    assert!(is_read(&snapshot, "h", &t(), 6));
}

#[tokio::test(start_paused = true)]
async fn assigned_topics_count_against_the_limit_too() {
    let double = large(100);
    let of = |topic: &str| {
        (0..20)
            .map(|partition| TopicPartition {
                topic: topic.into(),
                partition,
            })
            .collect::<Vec<_>>()
    };
    double.change_group(|group| {
        group.state = Some(GroupState::Stable);
        let mut all = member("m", &[]);
        all.assigned = (0..40)
            .flat_map(|number| of(&format!("of-all-{number:05}")))
            .collect();
        group.members = vec![all];
    });
    let mut rig = Rig::new(&double, settings(1_000, 2_000));
    let own = watch(&rig, "shop", "g", t());
    let snapshot = poll(&mut rig, &own).await;
    assert!(is_read(&snapshot, "g", &t(), 6));
    assert_eq!(snapshot.topics.len(), 41, "they set the partition limit");
    double.change_group(|group| {
        let foreign = (40..50).flat_map(|number| of(&format!("of-all-{number:05}")));
        group.members[0].assigned.extend(foreign);
        // The state is Empty, and yet the member has an assignment.
        group.state = Some(GroupState::Empty);
    });
    let snapshot = poll_after(&mut rig, &own, 2).await;
    let refused = topics(&snapshot, "g", &t());
    assert!(
        refused.as_ref().is_err_and(ReadError::is_too_much),
        "{refused:?}"
    );
    assert_eq!(snapshot.topics.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_asked_for_is_not_kept() {
    let double = large(0);
    double.change(|world| world.talkative = true);
    let mut rig = Rig::new(&double, Settings::default());
    let own = watch(&rig, "shop", "g", t());
    double.take_asked("describe");
    let snapshot = poll_after(&mut rig, &own, 2).await;
    assert!(is_read(&snapshot, "g", &t(), 6));
    assert_eq!((snapshot.topics.len(), snapshot.groups.len()), (1, 1));
    assert_eq!(
        double.take_asked("describe"),
        1,
        "other groups are not searched for"
    );
}

#[tokio::test(start_paused = true)]
async fn impossible_topic_names_are_left_out() {
    let forged = "t\n2026-11-30T00:00:00Z  INFO forged \u{1b}[2J";
    let double = large(1);
    let long = "x".repeat(300);
    double.change(|world| {
        let topic = world.topics["t"].clone();
        world.topics.insert(forged.to_owned(), topic.clone());
        world.topics.insert(long.clone(), topic);
        for (id, name) in [("g", forged), ("h", &long)] {
            let group = world.groups.get_mut(id).unwrap();
            group.committed.insert((name.to_owned(), 0), 7);
        }
    });
    let mut rig = Rig::new(&double, Settings::default());
    let all = pattern("(?s).*");
    let watch = watch(&rig, "shop", "g", all.clone());
    let committed = self::watch(&rig, "shop", "h", TopicSelection::OfGroup);
    let names = |snapshot: &Snapshot| {
        snapshot
            .topics
            .keys()
            .map(ToString::to_string)
            .collect::<BTreeSet<_>>()
    };
    let snapshot = poll_after(&mut rig, &committed, 2).await;
    assert_eq!(
        names(&snapshot),
        ["of-all-00000".to_owned(), "t".to_owned()].into()
    );
    assert_eq!(topics(&snapshot, "h", &TopicSelection::OfGroup), Ok(1));
    double.change_group(|group| {
        group.state = Some(GroupState::Stable);
        let mut forger = member(&format!("m{forged}"), &[0, 1, -7, 2]);
        forger.assigned.push(TopicPartition {
            topic: forged.into(),
            partition: 0,
        });
        forger.client_id = forged.into();
        forger.host = long.repeat(100).into();
        forger.instance_id = Some(forged.into());
        group.members = vec![forger];
    });
    let snapshot = poll(&mut rig, &watch).await;
    let member = &described(&snapshot).unwrap().members[0];
    assert_eq!(member.assigned.len(), 3);
    for text in [
        &member.id,
        &member.client_id,
        &member.host,
        member.instance_id.as_ref().unwrap(),
    ] {
        assert!(
            !text.contains(char::is_control) && text.chars().count() <= 255,
            "{text:?}"
        );
    }
    assert_eq!(names(&snapshot).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn topic_names_are_kept_up_to_the_limit() {
    let double = large(10_000);
    let mut rig = Rig::new(&double, settings(100, 400));
    let one = pattern("of-all-00001");
    let watching = watch(&rig, "careless", "g", one.clone());
    let neighbour = watch(&rig, "shop", "h", t());
    let snapshot = poll(&mut rig, &neighbour).await;
    let expected = ReadError::TooManyTopics {
        topics: 10_001,
        limit: 300 * 32,
    };
    assert_eq!(topics(&snapshot, "g", &one), Err(expected));
    assert!(is_read(&snapshot, "h", &t(), 6));
    double.take_asked("topic_names");
    poll_after(&mut rig, &neighbour, 3).await;
    assert_eq!(double.take_asked("topic_names"), 0, "not each time");
    let named = TopicSelection::Named(vec!["of-all-00001".into()]);
    watching.update(interest("g", named.clone(), 15));
    let snapshot = poll(&mut rig, &neighbour).await;
    assert!(is_read(&snapshot, "g", &named, 20));
}

#[tokio::test(start_paused = true)]
async fn refused_selections_use_no_memory() {
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<usize>()
            .unwrap()
    };
    let double = large(10_000);
    let mut rig = Rig::new(&double, settings(5_000, 20_000));
    let watches: Vec<_> = (0..3)
        .map(|number| {
            let id = format!("careless-{number}");
            double.group(&id, 1, 6);
            watch(&rig, "careless", &id, pattern(&format!("(?:.*|{number})")))
        })
        .collect();
    let before = resident();
    poll_after(&mut rig, &watches[0], 6).await;
    // Read whole, each of them took 200 MB. Other tests use memory at the same time.
    let grown = resident().saturating_sub(before);
    assert!(grown < 300 * 1024, "{grown} kB");
}
