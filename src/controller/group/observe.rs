//! The only place that turns the state of Kafka and of the workload into the input of `decide`.
//! Pure: no client, no clock. What a reply did not contain stays unknown here.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use lagrange_core::intent::topics::{GroupInterest, Isolation, TopicPattern};
use lagrange_core::scaling::observation::{
    Assignor, Commit, Earlier, Group, GroupSnapshot, GroupState, Member, Members, Observation,
    Partition, Rebalance, Target, Topic, TopicRole, Unreadable,
};

use crate::kafka::model::error::ReadError;
use crate::kafka::model::snapshot::{self, EndAt, Known, Offset, Snapshot, TopicPartition};

/// A snapshot is ignored once it is older than two intervals plus this.
const LATE: SignedDuration = SignedDuration::from_secs(5);

/// The input of an observation.
#[derive(Debug, Clone, Copy)]
pub(in crate::controller) struct ObserveInput<'a> {
    pub(in crate::controller) now: Timestamp,
    /// The latest snapshot, if there is one.
    pub(in crate::controller) snapshot: Option<&'a Snapshot>,
    /// What is read for this group.
    pub(in crate::controller) reading: &'a GroupInterest,
    /// Topics whose records wait on purpose.
    pub(in crate::controller) delayed: Option<&'a TopicPattern>,
    /// The poll interval of the cluster.
    pub(in crate::controller) interval: SignedDuration,
    /// Since when this group has been read.
    pub(in crate::controller) since: Timestamp,
}

/// Makes the observation.
pub(in crate::controller) fn observation(input: &ObserveInput<'_>, target: Target) -> Observation {
    Observation {
        now: to_millis(input.now),
        snapshot: poll(input),
        target,
    }
}

fn poll(input: &ObserveInput<'_>) -> Result<GroupSnapshot, Unreadable> {
    let Some(snapshot) = input.snapshot else {
        return Err(input
            .silence(input.since)
            .unwrap_or(Unreadable::NeverPolled));
    };
    if let Some(blind) = input.silence(snapshot.finished) {
        return Err(blind);
    }
    let failed = Unreadable::PollFailed {
        number: snapshot.poll,
    };
    if snapshot.error.is_some() {
        return Err(failed);
    }
    let asked = |group: &&snapshot::Group| group.topics.contains_key(&input.reading.topics);
    let Some(group) = snapshot.groups.get(&input.reading.id).filter(asked) else {
        return Err(input
            .silence(input.since)
            .unwrap_or(Unreadable::NeverPolled));
    };
    let counting = group
        .topics_for(&input.reading.topics)
        .map_err(|_| failed)?;
    Ok(GroupSnapshot {
        number: snapshot.poll,
        began: to_millis(snapshot.started),
        at: to_millis(snapshot.finished),
        topics: topics(input, snapshot, group, counting),
        group: observed_group(group),
        earlier: earlier(group, counting),
    })
}

impl ObserveInput<'_> {
    /// A failed poll if the last one is too old. Each further interval of silence counts as another
    /// failed poll. These numbers count down from the maximum, which no real poll reaches.
    fn silence(&self, last: Timestamp) -> Option<Unreadable> {
        let age = self.now.duration_since(last);
        let allowed = self.interval.saturating_mul(2).saturating_add(LATE);
        if age <= allowed {
            return None;
        }
        let intervals = age.as_millis() / self.interval.as_millis().max(1);
        let intervals = u64::try_from(intervals).unwrap_or(0);
        Some(Unreadable::PollFailed {
            number: u64::MAX - intervals,
        })
    }
}

/// Decisions use whole milliseconds, so that a recording holds exactly what they used.
fn to_millis(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

/// The counted topics, and those that are assigned too but not counted: these only affect the
/// partition limit.
fn topics(
    input: &ObserveInput<'_>,
    snapshot: &Snapshot,
    group: &snapshot::Group,
    counting: &[Arc<str>],
) -> Vec<Topic> {
    let isolation = input.reading.isolation;
    let role = |name: &Arc<str>| {
        // `counting` is sorted: a pattern may match thousands of topics.
        if counting.binary_search(name).is_err() {
            TopicRole::Assigned
        } else if input.delayed.is_some_and(|pattern| pattern.matches(name)) {
            TopicRole::Delayed
        } else {
            TopicRole::Counted
        }
    };
    let members = described(group).map_or(&[][..], |description| &description.members);
    let assigned: BTreeMap<&TopicPartition, u32> = (0..)
        .zip(members)
        .flat_map(|(place, member)| member.assigned.iter().map(move |key| (key, place)))
        .collect();
    let names: BTreeSet<&Arc<str>> = counting
        .iter()
        .chain(assigned.keys().map(|partition| &partition.topic))
        .collect();
    let topic = |name: &Arc<str>| Topic {
        name: Arc::clone(name),
        role: role(name),
        partitions: match snapshot.topics.get(name) {
            Some(snapshot::Topic::Present(partitions)) => Some(
                (0..)
                    .zip(partitions)
                    .map(|(index, partition)| {
                        let key = TopicPartition {
                            topic: Arc::clone(name),
                            partition: index,
                        };
                        Partition {
                            owner: assigned.get(&key).copied(),
                            ..offsets(partition, group.committed.get(&key), isolation)
                        }
                    })
                    .collect(),
            ),
            Some(snapshot::Topic::Absent | snapshot::Topic::Unknown(_)) | None => None,
        },
    };
    names.into_iter().map(topic).collect()
}

/// The log ends of the counted topics' partitions before the first poll.
fn earlier(group: &snapshot::Group, counting: &[Arc<str>]) -> Vec<Earlier> {
    let counts = |key: &TopicPartition| counting.binary_search(&key.topic).is_ok();
    let of = |(key, ends): (&TopicPartition, &Arc<[EndAt]>)| Earlier {
        topic: Arc::clone(&key.topic),
        partition: u32::try_from(key.partition).unwrap_or(0),
        ends: ends
            .iter()
            .map(|end| (to_millis(end.at), end.end.get()))
            .collect(),
    };
    let ends = group.earlier.iter().filter(|(key, _)| counts(key));
    ends.map(of).collect()
}

fn offsets(
    partition: &snapshot::Partition,
    committed: Option<&Known<Option<Offset>>>,
    isolation: Isolation,
) -> Partition {
    let known = |offset: &Known<Offset>| offset.as_ref().ok().map(|offset| offset.get());
    let log_end = match (isolation, &partition.stable_end) {
        (Isolation::ReadUncommitted, _) => known(&partition.end),
        (Isolation::ReadCommitted, Some(stable_end)) => known(stable_end),
        (Isolation::ReadCommitted, None) => None,
    };
    let committed = match committed {
        Some(Ok(Some(offset))) => Commit::At(offset.get()),
        Some(Ok(None)) => Commit::Absent,
        // Past the end: `decide` reports it and treats the lag as unknown.
        Some(Err(ReadError::CommittedBeyondEnd { committed, .. })) => Commit::At(*committed),
        Some(Err(_)) | None => Commit::Unknown,
    };
    Partition {
        log_start: known(&partition.start),
        log_end,
        committed,
        owner: None,
    }
}

fn observed_group(group: &snapshot::Group) -> Group {
    use snapshot::GroupState as Seen;
    let state = match &group.state {
        Ok(Seen::Stable) => GroupState::Stable,
        Ok(Seen::Empty) => GroupState::Empty,
        Ok(Seen::Dead) => GroupState::Dead,
        Ok(
            Seen::PreparingRebalance
            | Seen::CompletingRebalance
            | Seen::Assigning
            | Seen::Reconciling,
        ) => GroupState::Rebalancing,
        Err(_) => GroupState::Unknown,
    };
    let description = described(group);
    Group {
        state,
        assignor: assignor(group).map(Assignor::named),
        rebalance: rebalance(group),
        members: description.map(|description| Members {
            poll: description.poll,
            list: description.members.iter().map(member).collect(),
        }),
    }
}

fn member(member: &snapshot::Member) -> Member {
    Member {
        id: Arc::clone(&member.id),
        partitions: member.assigned.len(),
        is_static: member.instance_id.is_some(),
    }
}

/// The name of the assignor.
pub(in crate::controller) fn assignor(group: &snapshot::Group) -> Option<&str> {
    described(group)?.assignor.as_deref()
}

fn described(group: &snapshot::Group) -> Option<&snapshot::Description> {
    group.description.as_ref()?.as_ref().ok()
}

/// How partitions are handed over. An unknown assignor is treated as the most expensive way.
fn rebalance(group: &snapshot::Group) -> Option<Rebalance> {
    match group.protocol {
        snapshot::Protocol::Consumer => Some(Rebalance::Consumer),
        snapshot::Protocol::Classic | snapshot::Protocol::Unknown => match assignor(group)? {
            "cooperative-sticky" => Some(Rebalance::Cooperative),
            _ => Some(Rebalance::Eager),
        },
    }
}

#[cfg(test)]
mod tests;
