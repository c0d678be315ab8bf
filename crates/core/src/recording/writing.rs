//! Converts observations to lines that read back as the same observations. Decides nothing.

use std::collections::BTreeMap;

use super::line::{Committed, GroupLine, MemberLine, Observe, PartitionLine, TopicLine, Workload};
use super::reading::rebalance;
use super::time::seconds;
use crate::scaling::observation::{
    Assignor, Commit, Earlier, Group, GroupSnapshot, GroupState, Observation, Partition, Rebalance,
    Rollout, Topic, TopicRole, Unreadable,
};

/// Kafka's own names, of which an observation keeps only the meaning.
#[derive(Debug, Clone, Copy, Default)]
pub struct Words<'a> {
    /// The group's state, by Kafka's name.
    pub state: Option<&'a str>,
    /// The assignor's name.
    pub assignor: Option<&'a str>,
}

impl Observe {
    /// The line for an observation whose times are whole milliseconds.
    pub fn of(observation: &Observation, words: Words<'_>) -> Self {
        let target = observation.target;
        let line = Self {
            t: seconds(observation.now),
            poll: None,
            began: None,
            at: None,
            whole: true,
            status: None,
            workload: Workload {
                spec_replicas: target.replicas,
                ready_replicas: target.ready,
                rollout: target.rollout == Rollout::InProgress,
            },
            kafka_ok: false,
            not_yet: false,
            topics: BTreeMap::new(),
            group: None,
        };
        match &observation.snapshot {
            Ok(poll) => Self {
                poll: Some(poll.number),
                began: Some(seconds(poll.began)),
                at: Some(seconds(poll.at)),
                kafka_ok: true,
                topics: topics(poll),
                group: Some(group(poll, words)),
                ..line
            },
            Err(Unreadable::NeverPolled) => Self {
                not_yet: true,
                ..line
            },
            Err(Unreadable::PollFailed { number }) => Self {
                poll: Some(*number),
                ..line
            },
        }
    }
}

fn topics(poll: &GroupSnapshot) -> BTreeMap<String, TopicLine> {
    let mut topics: BTreeMap<_, _> = poll.topics.iter().map(topic).collect();
    for Earlier {
        topic,
        partition,
        ends,
    } in &poll.earlier
    {
        let lines = topics
            .get_mut(&**topic)
            .and_then(|topic| topic.partitions.as_mut());
        // Partition lines are sorted by number, without gaps.
        let place = usize::try_from(*partition).unwrap_or(usize::MAX);
        if let Some(line) = lines.and_then(|lines| lines.get_mut(place)) {
            line.earlier = ends.iter().map(|(at, end)| (seconds(*at), *end)).collect();
        }
    }
    topics
}

fn topic(topic: &Topic) -> (String, TopicLine) {
    let partitions = topic.partitions.as_deref();
    let line = TopicLine {
        partitions: partitions.map(|all| (0..).zip(all).map(partition).collect()),
        count: None,
        only_assigned: topic.role == TopicRole::Assigned,
        delayed: topic.role == TopicRole::Delayed,
    };
    (topic.name.to_string(), line)
}

fn partition((p, partition): (u32, &Partition)) -> PartitionLine {
    PartitionLine {
        p,
        log_start: partition.log_start,
        log_end: partition.log_end,
        earlier: Vec::new(),
        committed: match partition.committed {
            Commit::At(offset) => Committed::At(offset),
            Commit::Absent => Committed::Nothing,
            Commit::Unknown => Committed::Unknown,
        },
    }
}

fn group(poll: &GroupSnapshot, words: Words<'_>) -> GroupLine {
    let group = &poll.group;
    let mut assignments: BTreeMap<u32, Vec<(String, u32)>> = BTreeMap::new();
    for topic in &poll.topics {
        for (p, partition) in (0..).zip(topic.partitions.iter().flatten()) {
            if let Some(owner) = partition.owner {
                let assignment = assignments.entry(owner).or_default();
                assignment.push((topic.name.to_string(), p));
            }
        }
    }
    let members = group.members.as_ref().map(|members| {
        let line = |(place, member): (u32, &crate::scaling::observation::Member)| {
            let assignment = assignments.remove(&place).unwrap_or_default();
            MemberLine {
                id: member.id.to_string(),
                partitions: (member.partitions != assignment.len()).then_some(member.partitions),
                assignment,
                is_static: member.is_static,
            }
        };
        (0..).zip(&members.list).map(line).collect()
    });
    let described = group.members.as_ref().map_or(poll.number, |m| m.poll);
    let line = GroupLine {
        state: state(group, words).to_owned(),
        protocol: assignor(group, words).map(ToOwned::to_owned),
        kind: (group.rebalance == Some(Rebalance::Consumer)).then(|| "Consumer".to_owned()),
        rebalance: None,
        members,
        described_before: poll.number.saturating_sub(described),
    };
    if rebalance(&line) == group.rebalance {
        return line;
    }
    let said = match group.rebalance {
        Some(Rebalance::Eager) => "Eager",
        Some(Rebalance::Cooperative) => "Cooperative",
        Some(Rebalance::Consumer) => "Consumer",
        None => "",
    };
    GroupLine {
        rebalance: Some(said.to_owned()),
        ..line
    }
}

/// Kafka's name for the state, or another name with the same meaning.
fn state<'a>(group: &Group, words: Words<'a>) -> &'a str {
    match (group.state, group.rebalance) {
        (GroupState::Stable, _) => "Stable",
        (GroupState::Empty, _) => "Empty",
        (GroupState::Dead, _) => "Dead",
        (GroupState::Unknown, _) => "Unknown",
        (GroupState::Rebalancing, rebalance) => match words.state {
            Some(
                word @ ("PreparingRebalance" | "CompletingRebalance" | "Assigning" | "Reconciling"),
            ) => word,
            _ if rebalance == Some(Rebalance::Consumer) => "Reconciling",
            _ => "PreparingRebalance",
        },
    }
}

/// The assignor's name, or another name with the same meaning.
fn assignor<'a>(group: &Group, words: Words<'a>) -> Option<&'a str> {
    let meant = group.assignor?;
    let known = words.assignor.filter(|name| Assignor::named(name) == meant);
    Some(known.unwrap_or(match (meant, group.rebalance) {
        (Assignor::Range, _) => "range",
        (Assignor::Even, Some(Rebalance::Cooperative)) => "cooperative-sticky",
        (Assignor::Even, Some(Rebalance::Consumer)) => "uniform",
        (Assignor::Even, _) => "roundrobin",
        (Assignor::Other, _) => "other",
    }))
}
