//! Every observation reads back from its line unchanged.

use std::sync::Arc;

use jiff::Timestamp;
use proptest::collection::{btree_set, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::reading::Reader;
use super::super::time::time;
use super::*;
use crate::scaling::observation::{
    Assignor, Commit, Earlier, Group, GroupSnapshot, GroupState, Member, Members, Observation,
    Partition, Rebalance, Rollout, Target, Topic, TopicRole, Unreadable,
};

fn a_time() -> impl Strategy<Value = Timestamp> {
    (0i64..4_102_444_800_000).prop_map(|millis| Timestamp::from_millisecond(millis).unwrap())
}

fn a_partition(members: u32) -> impl Strategy<Value = Partition> {
    let offset = || of(0i64..i64::MAX);
    let committed = prop_oneof![
        (0i64..i64::MAX).prop_map(Commit::At),
        Just(Commit::Absent),
        Just(Commit::Unknown)
    ];
    let owner = of(0..members.max(1)).prop_map(move |owner| owner.filter(|_| members > 0));
    (offset(), offset(), committed, owner).prop_map(|(log_start, log_end, committed, owner)| {
        Partition {
            log_start,
            log_end,
            committed,
            owner,
        }
    })
}

fn topics(members: u32) -> impl Strategy<Value = Vec<Topic>> {
    let roles = vec![TopicRole::Counted, TopicRole::Delayed, TopicRole::Assigned];
    let topic = (select(roles), of(vec(a_partition(members), 0..5)));
    (btree_set("[a-z.]{1,6}", 0..4), vec(topic, 4)).prop_map(|(names, topics)| {
        let named = names.into_iter().zip(topics);
        let topic = |(name, (role, partitions)): (String, _)| Topic {
            name: name.into(),
            role,
            partitions,
        };
        named.map(topic).collect()
    })
}

fn a_group(poll: u64, members: Option<u32>) -> impl Strategy<Value = Group> {
    let state = select(vec![
        GroupState::Stable,
        GroupState::Empty,
        GroupState::Dead,
        GroupState::Rebalancing,
        GroupState::Unknown,
    ]);
    let assignor = of(select(vec![
        Assignor::Range,
        Assignor::Even,
        Assignor::Other,
    ]));
    let rebalance = of(select(vec![
        Rebalance::Eager,
        Rebalance::Cooperative,
        Rebalance::Consumer,
    ]));
    let one =
        ("[a-z-]{0,8}", 0usize..9, any::<bool>()).prop_map(|(id, partitions, is_static)| Member {
            id: Arc::from(id),
            partitions,
            is_static,
        });
    let count = usize::try_from(members.unwrap_or(0)).unwrap();
    (state, assignor, rebalance, vec(one, count), 0..=poll).prop_map(
        move |(state, assignor, rebalance, list, described)| Group {
            state,
            assignor,
            rebalance,
            members: members.map(|_| Members {
                poll: described,
                list,
            }),
        },
    )
}

/// Earlier ends of some of these partitions.
fn earlier(topics: &[Topic], ends: Vec<Vec<(Timestamp, i64)>>) -> Vec<Earlier> {
    let of = |topic: &Topic| {
        let name = Arc::clone(&topic.name);
        let count = topic.partitions.iter().flatten().count();
        (0..)
            .take(count)
            .map(move |partition| (Arc::clone(&name), partition))
    };
    let keys = topics.iter().flat_map(of);
    let said = keys.zip(ends).map(|((topic, partition), ends)| Earlier {
        topic,
        partition,
        ends,
    });
    said.filter(|earlier| !earlier.ends.is_empty()).collect()
}

fn a_poll() -> impl Strategy<Value = GroupSnapshot> {
    (any::<u64>(), of(0u32..4)).prop_flat_map(|(number, members)| {
        let topics = topics(members.unwrap_or(0));
        let group = a_group(number, members);
        let ends = vec(vec((a_time(), 0i64..i64::MAX), 0..3), 16);
        let all = (a_time(), a_time(), topics, group, ends);
        all.prop_map(move |(began, at, topics, group, ends)| GroupSnapshot {
            number,
            began,
            at,
            earlier: earlier(&topics, ends),
            topics,
            group,
        })
    })
}

fn an_observation() -> impl Strategy<Value = Observation> {
    let poll = prop_oneof![
        6 => a_poll().prop_map(Ok),
        1 => Just(Err(Unreadable::NeverPolled)),
        1 => any::<u64>().prop_map(|number| Err(Unreadable::PollFailed { number })),
    ];
    let rollout = select(vec![Rollout::None, Rollout::InProgress]);
    let target = (0..i32::MAX, 0..i32::MAX, rollout);
    (a_time(), poll, target).prop_map(|(now, poll, (replicas, ready, rollout))| Observation {
        now,
        snapshot: poll,
        target: Target {
            replicas,
            ready,
            rollout,
        },
    })
}

proptest! {
    #[test]
    fn an_observation_reads_back_from_its_line_unchanged(
        observations in vec(an_observation(), 1..5),
        state in of(select(vec!["Stable", "Assigning", "CompletingRebalance"])),
        assignor in of(select(vec!["range", "sticky", "uniform", "cooperative-sticky", "stream"])),
    ) {
        // One reader for all of them: no line may affect the next.
        let mut reader = Reader::default();
        for observation in observations {
            let line = Line::Observe(Box::new(Observe::of(&observation, Words { state, assignor })));
            let text = serde_json::to_string(&line).unwrap();
            let Line::Observe(read) = serde_json::from_str(&text).unwrap() else { panic!("{text}") };
            let now = time(read.t).unwrap();
            prop_assert_eq!(reader.observation(&read, now), observation, "{}", text);
        }
    }
}
