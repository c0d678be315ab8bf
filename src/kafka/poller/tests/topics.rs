//! Topics and their partitions: rule 7, which topics count, log starts and ends.

use std::time::Duration;

use lagrange_core::intent::topics::{Isolation, TopicPattern, TopicSelection};

use super::double::{Double, FakeTopic};
use super::rig::{Rig, committed, ends, interest, member, t};
use crate::kafka::model::error::ReadError;
use crate::kafka::model::snapshot::{GroupState, Protocol, Snapshot, Topic};
use crate::kafka::poller::poll::describe::TOPICS_A_CALL;
use crate::kafka::pool::Settings;

fn resize(double: &Double, partitions: usize) {
    double.change(|world| {
        let topic = world.topics.get_mut("t").unwrap();
        topic.partitions.resize(partitions, (1, 0, 10));
    });
}

#[tokio::test(start_paused = true)]
async fn fewer_partitions_are_accepted_when_reported_twice_in_a_row() {
    let double = Double::new(20);
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(t());
    assert_eq!(ends(&*rig.poll(&watch).await), vec![Some(10); 20]);
    resize(&double, 4);
    let shown = ends(&*rig.poll(&watch).await);
    assert_eq!(shown.len(), 20);
    assert_eq!(shown.iter().filter(|end| end.is_none()).count(), 16);
    resize(&double, 20);
    assert_eq!(ends(&*rig.poll(&watch).await), vec![Some(10); 20]);
    resize(&double, 4);
    rig.poll(&watch).await;
    assert_eq!(ends(&*rig.poll(&watch).await), vec![Some(10); 4]);
}

#[tokio::test(start_paused = true)]
async fn more_partitions_are_accepted_at_once() {
    let double = Double::new(4);
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(t());
    rig.poll(&watch).await;
    resize(&double, 20);
    let snapshot = rig.poll(&watch).await;
    assert_eq!(ends(&snapshot), vec![Some(10); 20]);
    assert_eq!(committed(&snapshot)[4..], vec![Ok(None); 16]);
}

#[tokio::test(start_paused = true)]
async fn a_topic_is_absent_when_it_was_missing_twice_in_a_row() {
    let double = Double::new(2);
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(t());
    rig.poll(&watch).await;
    let topic = double.change(|world| world.topics.remove("t")).unwrap();
    assert_eq!(ends(&*rig.poll(&watch).await), [None, None]);
    double.change(|world| world.topics.insert("t".to_owned(), topic.clone()));
    assert_eq!(ends(&*rig.poll(&watch).await), [Some(10), Some(10)]);
    double.change(|world| world.topics.remove("t"));
    rig.poll(&watch).await;
    assert!(matches!(rig.poll(&watch).await.topics["t"], Topic::Absent));
    double.change(|world| world.topics.insert("t".to_owned(), topic));
    assert_eq!(ends(&*rig.poll(&watch).await), [Some(10), Some(10)]);
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_never_existed_is_unknown_before_it_is_absent() {
    let double = Double::new(2);
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(t());
    double.change(|world| world.topics.clear());
    let snapshot = rig.poll(&watch).await;
    assert!(matches!(
        snapshot.topics["t"],
        Topic::Unknown(ReadError::UnknownTopic)
    ));
    assert!(matches!(rig.poll(&watch).await.topics["t"], Topic::Absent));
}

#[tokio::test(start_paused = true)]
async fn a_partition_without_a_leader_is_unknown_and_the_others_are_not() {
    let double = Double::new(3);
    double.change(|world| world.topics.get_mut("t").unwrap().partitions[1].0 = 0);
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(t());
    let snapshot = rig.poll(&watch).await;
    assert_eq!(ends(&snapshot), [Some(10), None, Some(10)]);
    let Topic::Present(partitions) = &snapshot.topics["t"] else {
        panic!("{:?}", snapshot.topics);
    };
    assert_eq!(partitions[1].end, Err(ReadError::LeaderUnavailable));
    assert_eq!(partitions[1].leader, None);
}

#[tokio::test(start_paused = true)]
async fn committed_offsets_are_read_before_the_ends() {
    let double = Double::new(3);
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(t());
    rig.poll(&watch).await;
    let asked = double.change(|world| world.asked.clone());
    let last = |what| asked.iter().rposition(|(asked, _)| *asked == what).unwrap();
    let first = |what| asked.iter().position(|(asked, _)| *asked == what).unwrap();
    assert!(last("topics") < first("committed"));
    assert!(last("committed") < first("end"));
}

#[tokio::test(start_paused = true)]
async fn starts_are_read_every_few_polls_and_when_a_commit_seems_older() {
    let double = Double::new(3);
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(t());
    let mut read = Vec::new();
    for _ in 0..6 {
        rig.poll(&watch).await;
        read.push(double.take_asked("start"));
    }
    assert_eq!(read, [3, 0, 0, 0, 3, 0]);
    double.change(|world| world.topics.get_mut("t").unwrap().partitions[0] = (1, 8, 10));
    double.change_group(|group| {
        group.committed.insert(("t".to_owned(), 1), 7);
    });
    // Partition 0 has 7 committed and now starts at 8, which shows once all starts are due.
    for _ in 0..3 {
        rig.poll(&watch).await;
    }
    double.take_asked("start");
    rig.poll(&watch).await;
    assert_eq!(
        double.take_asked("start"),
        1,
        "from then on it is read at once"
    );
}

#[tokio::test(start_paused = true)]
async fn a_start_beyond_the_end_is_read_again_at_once() {
    let double = Double::new(1);
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(t());
    double.change(|world| world.topics.get_mut("t").unwrap().partitions[0] = (1, 50, 60));
    rig.poll(&watch).await;
    // Created again.
    double.change(|world| world.topics.get_mut("t").unwrap().partitions[0] = (1, 0, 5));
    let snapshot = rig.poll(&watch).await;
    let Topic::Present(partitions) = &snapshot.topics["t"] else {
        panic!("{:?}", snapshot.topics);
    };
    assert_eq!(partitions[0].start.as_ref().unwrap().get(), 0);
    let beyond = ReadError::CommittedBeyondEnd {
        committed: 7,
        end: 5,
    };
    assert_eq!(committed(&snapshot), [Err(beyond)]);
}

#[tokio::test(start_paused = true)]
async fn stable_ends_are_read_for_groups_that_read_committed_records_only() {
    let double = Double::new(2);
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(t());
    let stable = |snapshot: &Snapshot| match &snapshot.topics["t"] {
        Topic::Present(partitions) => partitions[0].stable_end.clone(),
        _ => None,
    };
    assert_eq!(stable(&*rig.poll(&watch).await), None);
    let mut wanted = interest("g", t(), 15);
    wanted.group.as_mut().unwrap().isolation = Isolation::ReadCommitted;
    watch.update(wanted);
    let snapshot = rig.poll(&watch).await;
    assert_eq!(stable(&snapshot).unwrap().unwrap().get(), 9);
}

#[tokio::test(start_paused = true)]
async fn a_pattern_takes_topics_that_match_whole_and_are_not_kafkas_own() {
    let double = Double::new(1);
    double.change(|world| {
        for (name, internal) in [("t2", false), ("xt", false), ("t-offsets", true)] {
            let partitions = vec![(1, 0, 10)];
            let topic = FakeTopic {
                partitions,
                internal,
            };
            world.topics.insert(name.to_owned(), topic);
        }
    });
    let pattern = TopicSelection::Pattern(TopicPattern::new("t.*").unwrap());
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(pattern.clone());
    let snapshot = rig.poll(&watch).await;
    let topics = snapshot.groups["g"].topics_for(&pattern).unwrap();
    assert_eq!(topics, ["t".into(), "t2".into()]);
    for _ in 0..3 {
        rig.poll(&watch).await;
    }
    assert_eq!(double.take_asked("topic_names"), 1, "in the first 45 s");
    rig.poll(&watch).await;
    assert_eq!(double.take_asked("topic_names"), 1, "once a minute");
}

#[tokio::test(start_paused = true)]
async fn names_are_not_listed_without_a_pattern() {
    let double = Double::new(1);
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(t());
    rig.poll(&watch).await;
    assert_eq!(double.take_asked("topic_names"), 0);
}

#[tokio::test(start_paused = true)]
async fn the_topics_of_a_group_are_the_assigned_or_else_the_committed_ones() {
    let double = Double::new(2);
    let of_group = TopicSelection::OfGroup;
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(of_group.clone());
    let topics = |snapshot: &Snapshot| {
        let topics = snapshot.groups["g"].topics_for(&of_group);
        topics.map(<[_]>::to_vec)
    };
    assert_eq!(topics(&*rig.poll(&watch).await), Ok(vec!["t".into()]));
    // Members join with another topic than the one that was committed long ago.
    let mut one = member("m", &[0]);
    one.assigned[0].topic = "u".into();
    double.change_group(|group| {
        group.state = Some(GroupState::PreparingRebalance);
        group.members = vec![member("m", &[])];
    });
    let joining = topics(&*rig.poll(&watch).await);
    assert_eq!(
        joining,
        Err(ReadError::AssignmentUnknown),
        "not the old ones, and not none"
    );
    double.change_group(|group| {
        group.state = Some(GroupState::Stable);
        group.members = vec![one];
    });
    let snapshot = rig.poll(&watch).await;
    assert_eq!(topics(&snapshot), Ok(vec!["u".into()]));
    assert!(matches!(
        snapshot.topics["u"],
        Topic::Unknown(ReadError::UnknownTopic)
    ));
    // A rebalance hides what is assigned.
    double.change_group(|group| {
        group.state = Some(GroupState::CompletingRebalance);
        group.members = vec![member("m", &[])];
    });
    assert_eq!(topics(&*rig.poll(&watch).await), Ok(vec!["u".into()]));
}

#[tokio::test(start_paused = true)]
async fn thousands_of_topics_are_asked_for_in_several_requests() {
    let double = Double::new(1);
    double.change(|world| {
        let topic = world.topics["t"].clone();
        let more = (1..=2 * TOPICS_A_CALL).map(|n| (format!("t{n}"), topic.clone()));
        world.topics.extend(more);
    });
    let mut rig = Rig::new(&double, Settings::default());
    let all = TopicPattern::new("t.*").unwrap();
    let watch = rig.watch(TopicSelection::Pattern(all));
    let snapshot = rig.poll(&watch).await;
    assert_eq!(double.take_asked("topics"), 3);
    let present = |topic: &&Topic| matches!(topic, Topic::Present(_));
    assert_eq!(
        snapshot.topics.values().filter(present).count(),
        2 * TOPICS_A_CALL + 1
    );
    assert!(ends(&snapshot)[0].is_some());
}

#[tokio::test(start_paused = true)]
async fn assigned_topics_are_read_beside_the_named_ones() {
    let double = Double::new(2);
    double.change_group(|group| {
        group.state = Some(GroupState::Stable);
        group.protocol = Protocol::Consumer;
        let mut one = member("m", &[0]);
        one.assigned[0].topic = "u".into();
        group.members = vec![one];
    });
    double.change(|world| {
        let partitions = vec![(1, 0, 10); 3];
        let internal = false;
        world.topics.insert(
            "u".to_owned(),
            FakeTopic {
                partitions,
                internal,
            },
        )
    });
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(t());
    let snapshot = rig.poll(&watch).await;
    assert!(matches!(&snapshot.topics["u"], Topic::Present(partitions) if partitions.len() == 3));
    assert_eq!(
        committed(&snapshot).len(),
        2,
        "offsets of the named topic only"
    );
}

#[tokio::test(start_paused = true)]
async fn committed_topics_of_a_group_without_members_stay_for_a_while() {
    let double = Double::new(2);
    let of_group = TopicSelection::OfGroup;
    let settings = Settings {
        describe_every: Duration::from_secs(1),
        ..Settings::default()
    };
    let mut rig = Rig::new(&double, settings);
    let watch = rig.watch(of_group.clone());
    rig.poll(&watch).await;
    let before = double.change(|world| world.groups["g"].committed.clone());
    double.change_group(|group| group.committed.clear());
    let snapshot = rig.poll(&watch).await;
    let topics = snapshot.groups["g"].topics_for(&of_group).unwrap();
    assert_eq!(topics, ["t".into()]);
    assert!(committed(&snapshot).iter().all(Result::is_err));
    double.change_group(|group| group.committed = before);
    assert_eq!(committed(&*rig.poll(&watch).await), vec![Ok(Some(7)); 2]);
}
