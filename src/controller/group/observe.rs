//! The one place that turns what Kafka and the workload were seen to be into what `decide` is told.
//! Pure: no client, no clock. What a reply did not give stays unknown here.

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

/// What a look older than two intervals is late by before it counts as none.
const LATE: SignedDuration = SignedDuration::from_secs(5);

/// What there is to observe with.
#[derive(Debug, Clone, Copy)]
pub(in crate::controller) struct ObserveInput<'a> {
    /// The time.
    pub(in crate::controller) now: Timestamp,
    /// The latest look, if there was one.
    pub(in crate::controller) snapshot: Option<&'a Snapshot>,
    /// What is read for this group.
    pub(in crate::controller) reading: &'a GroupInterest,
    /// Topics whose records wait on purpose.
    pub(in crate::controller) delayed: Option<&'a TopicPattern>,
    /// How often its cluster should be looked at.
    pub(in crate::controller) interval: SignedDuration,
    /// Since when this has been read.
    pub(in crate::controller) since: Timestamp,
}

/// Puts together what is known.
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
    /// Nothing has been seen for too long. Each further interval of silence counts as another
    /// failed look; their numbers come down from the top, where no real look's number is.
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

/// Decisions rest on whole milliseconds, so that a recording holds all that they rest on.
fn to_millis(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

/// The topics that count, and those that are assigned besides: they bear on the limit alone.
fn topics(
    input: &ObserveInput<'_>,
    snapshot: &Snapshot,
    group: &snapshot::Group,
    counting: &[Arc<str>],
) -> Vec<Topic> {
    let isolation = input.reading.isolation;
    let role = |name: &Arc<str>| {
        // Sorted: a pattern may match thousands.
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

/// Where partitions of the topics that count ended before the first look.
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
        // Past the end: `decide` says so, and takes the lag for unknown.
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

/// How partitions are handed over. An assignor that is not known is taken for the dearest way.
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
