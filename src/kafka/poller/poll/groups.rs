//! The coordinator, state and members of each group (KNOW-22 and KNOW-23).

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::{StreamExt, stream};

use super::calls::BrokerCalls;
use super::context::PollContext;
use super::memory::{GroupMemory, Listing, Memory};
use super::{admission, foreign};
use crate::kafka::model::error::{Bound, ReadError};
use crate::kafka::model::snapshot::{Description, GroupState, Known, NodeId, Protocol};
use crate::kafka::poller::interests::PollPlan;
use crate::kafka::reader::{DescribedGroup, ListedGroup};

/// Groups in one call to describe them: librdkafka makes a request for each, and all have to be
/// answered within one timeout.
const DESCRIBED_AT_ONCE: usize = 250;

/// Concurrent calls to describe groups.
const DESCRIBE_CALLS: usize = 8;

/// Where Kafka keeps committed offsets.
const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// What a poll has found of a group so far.
#[derive(Debug, Clone)]
pub(super) struct GroupProbe {
    /// Its entry in a broker's list; `None`: no list has it.
    listing: Option<Listing>,
    /// The brokers that may be its coordinator, the most likely first.
    pub(super) candidates: Vec<NodeId>,
    pub(super) state: Known<GroupState>,
    pub(super) protocol: Option<Protocol>,
    /// Nothing has ever been committed in this cluster, so no broker need be asked.
    pub(super) is_uncommitted: bool,
}

/// What a poll has found of all groups so far.
pub(super) type GroupProbes = BTreeMap<Arc<str>, GroupProbe>;

/// The groups that each broker listed.
pub(super) type Lists = BTreeMap<NodeId, Vec<ListedGroup>>;

/// An answer about one group.
type Answer = (NodeId, Arc<str>, Known<DescribedGroup>);

/// Finds the wanted groups in the lists of the brokers.
pub(super) fn locate(lists: &Lists, memory: &mut Memory, wanted: &PollPlan) -> GroupProbes {
    let absent = |memory: &GroupMemory| GroupProbe {
        listing: None,
        candidates: Vec::new(),
        state: Err(ReadError::NotListed),
        protocol: memory.protocol,
        is_uncommitted: false,
    };
    let mut probes = GroupProbes::new();
    for id in wanted.groups.keys() {
        let memory = memory.groups.entry(Arc::clone(id)).or_default();
        probes.insert(Arc::clone(id), absent(memory));
    }
    for (&on, listed) in lists {
        for group in listed {
            let Some(probe) = probes.get_mut(&group.id) else {
                continue;
            };
            let memory = memory.groups.entry(Arc::clone(&group.id)).or_default();
            if group.state == Some(GroupState::Dead) {
                // This alone does not mean that it is gone: its coordinator is asked, as if no list
                // had it.
                memory.coordinator.get_or_insert(on);
                continue;
            }
            // While a group moves, the old and the new coordinator may both list it.
            let moved = memory.coordinator != Some(on);
            if probe.listing.is_none() || moved {
                probe.listing = Some((group.state, group.protocol));
                probe.state = stated(group.state, group.protocol);
                probe.protocol = Some(group.protocol);
                probe.candidates.insert(0, on);
            } else {
                probe.candidates.push(on);
            }
        }
    }
    for (id, probe) in &probes {
        let memory = memory.groups.entry(Arc::clone(id)).or_default();
        if let Some(&coordinator) = probe.candidates.first() {
            memory.coordinator = Some(coordinator);
            memory.protocol = probe.protocol;
            memory.accept_alive();
        }
    }
    probes
}

/// The state that the broker reported. KIP-848's `Assigning` and `Reconciling` arrive without a
/// name.
fn stated(state: Option<GroupState>, protocol: Protocol) -> Known<GroupState> {
    match (state, protocol) {
        (Some(state), _) => Ok(state),
        (None, Protocol::Consumer) => Ok(GroupState::Reconciling),
        (None, _) => Err(ReadError::Other(
            "the broker did not report the state of the group".to_owned(),
        )),
    }
}

/// Describes the groups whose members are due, and all groups that no list has.
pub(super) async fn describe_groups(
    context: &PollContext<'_>,
    known: &mut Memory,
    ask: &BrokerCalls<'_>,
    probes: &mut GroupProbes,
) {
    let live = ask.live(&known.brokers, known.polls);
    let mut asked: BTreeMap<NodeId, Vec<Arc<str>>> = BTreeMap::new();
    for (id, probe) in probes.iter() {
        let memory = known.groups.get(id);
        let places = match (probe.candidates.first(), memory.and_then(|m| m.coordinator)) {
            (Some(on), _) if is_due(context, known, id, probe) => vec![*on],
            (Some(_), _) => Vec::new(),
            (None, Some(on)) if known.brokers.contains(&on) => vec![on],
            (None, _) => live.clone(),
        };
        for on in places {
            asked.entry(on).or_default().push(Arc::clone(id));
        }
    }
    let mut unlisted: BTreeMap<Arc<str>, Vec<(NodeId, Known<DescribedGroup>)>> = BTreeMap::new();
    for (on, id, answer) in describe(ask, asked).await {
        match probes.get_mut(&id) {
            Some(probe) if probe.listing.is_some() => {
                take_listed(context, known, &id, probe, answer);
            }
            _ => unlisted.entry(id).or_default().push((on, answer)),
        }
    }
    // If the group is no longer where it was, all other brokers are asked.
    let mut search: BTreeMap<NodeId, Vec<Arc<str>>> = BTreeMap::new();
    for (id, answers) in &unlisted {
        if let [(before, Err(ReadError::NotCoordinator))] = answers.as_slice() {
            for &on in live.iter().filter(|on| *on != before) {
                search.entry(on).or_default().push(Arc::clone(id));
            }
        }
    }
    for (on, id, answer) in describe(ask, search).await {
        unlisted.entry(id).or_default().push((on, answer));
    }
    let is_uncommitted = unlisted.values().any(|answers| is_nowhere(answers))
        && has_no_offsets_topic(ask, &known.brokers).await;
    let all_live = known.brokers.iter().all(|on| !ask.is_down(*on));
    for (id, probe) in probes
        .iter_mut()
        .filter(|(_, probe)| probe.listing.is_none())
    {
        let answers = unlisted.remove(id).unwrap_or_default();
        if is_uncommitted && all_live && is_nowhere(&answers) {
            take_uncommitted(context, known, id, probe);
        } else {
            take_unlisted(context, known, id, probe, answers, all_live);
        }
    }
}

/// Whether every broker that was asked answers that it does not coordinate the group.
fn is_nowhere(answers: &[(NodeId, Known<DescribedGroup>)]) -> bool {
    !answers.is_empty()
        && answers
            .iter()
            .all(|(_, answer)| matches!(answer, Err(ReadError::NotCoordinator)))
}

/// Whether every broker knows that the topic of committed offsets does not exist. Kafka makes it
/// when the first consumer asks for its coordinator; until then there is neither a coordinator nor
/// a group.
async fn has_no_offsets_topic(ask: &BrokerCalls<'_>, brokers: &[NodeId]) -> bool {
    let name = [Arc::from(OFFSETS_TOPIC)];
    for &on in brokers {
        let Ok(described) = ask.on(on, ask.reader.topics(on, &name)).await else {
            return false;
        };
        let mut topics = described.iter().filter(|(topic, _)| **topic == name[0]);
        if !matches!(topics.next(), Some((_, Err(ReadError::UnknownTopic)))) {
            return false;
        }
    }
    !brokers.is_empty()
}

/// Accepts, as for a group that its coordinator reports as dead, that the group does not exist.
fn take_uncommitted(
    context: &PollContext<'_>,
    known: &mut Memory,
    id: &Arc<str>,
    probe: &mut GroupProbe,
) {
    let Some(memory) = known.groups.get_mut(id) else {
        return;
    };
    memory.coordinator = None;
    if !memory.accept_dead(context.began, context.settings.regression_grace) {
        memory.reject(&ReadError::NotListed);
        return;
    }
    probe.state = Ok(GroupState::Dead);
    probe.is_uncommitted = true;
    let group = DescribedGroup {
        state: Some(GroupState::Dead),
        protocol: Protocol::Classic,
        assignor: None,
        members: Vec::new(),
    };
    take(context, known, id, (group.state, group.protocol), group);
}

fn is_due(context: &PollContext<'_>, known: &Memory, id: &str, probe: &GroupProbe) -> bool {
    let describes_members = context
        .wanted
        .groups
        .get(id)
        .is_some_and(|group| group.describes_members);
    let (Some(listing), Some(memory)) = (probe.listing, known.groups.get(id)) else {
        return true;
    };
    match context.began.checked_sub(context.settings.describe_every) {
        _ if describes_members => true,
        Some(oldest) => memory.description_due(listing, oldest),
        None => memory.description_due(listing, context.began - context.began.elapsed()),
    }
}

fn take_listed(
    context: &PollContext<'_>,
    known: &mut Memory,
    id: &Arc<str>,
    probe: &mut GroupProbe,
    answer: Known<DescribedGroup>,
) {
    let Some(memory) = known.groups.get_mut(id) else {
        return;
    };
    match answer {
        Ok(group) if group.state != Some(GroupState::Dead) => {
            let listing = probe.listing.unwrap_or((group.state, group.protocol));
            probe.state = stated(group.state, group.protocol);
            take(context, known, id, listing, group);
        }
        // Listed a moment ago and dead now: the next poll will clear it up.
        Ok(_) => {
            probe.state = Err(ReadError::NotListed);
            memory.reject(&ReadError::NotListed);
        }
        Err(error) => memory.reject(&error),
    }
}

fn take_unlisted(
    context: &PollContext<'_>,
    known: &mut Memory,
    id: &Arc<str>,
    probe: &mut GroupProbe,
    answers: Vec<(NodeId, Known<DescribedGroup>)>,
    all_live: bool,
) {
    let Some(memory) = known.groups.get_mut(id) else {
        return;
    };
    let mut found = None;
    let mut why = if all_live {
        ReadError::NotListed
    } else {
        ReadError::CoordinatorUnavailable
    };
    for (on, answer) in answers {
        match answer {
            Ok(group) => {
                // If two brokers claim it, use the one that reports it as alive.
                let better =
                    |other: &(NodeId, DescribedGroup)| other.1.state == Some(GroupState::Dead);
                if found.as_ref().is_none_or(better) {
                    found = Some((on, group));
                }
            }
            Err(
                ReadError::NotCoordinator | ReadError::TimedOut | ReadError::Unreachable { .. },
            ) => {}
            Err(error) => why = error,
        }
    }
    let Some((on, group)) = found else {
        if all_live {
            memory.coordinator = None;
        }
        memory.dead = None;
        memory.reject(&why);
        probe.state = Err(why);
        return;
    };
    memory.coordinator = Some(on);
    memory.protocol = Some(group.protocol);
    probe.protocol = Some(group.protocol);
    probe.state = stated(group.state, group.protocol);
    if group.state != Some(GroupState::Dead) {
        memory.accept_alive();
    } else if !memory.accept_dead(context.began, context.settings.regression_grace) {
        probe.state = Err(ReadError::NotListed);
        return;
    }
    probe.candidates = vec![on];
    let listing = (group.state, group.protocol);
    take(context, known, id, listing, group);
}

/// Accepts a description, if it is not too long.
fn take(
    context: &PollContext<'_>,
    known: &mut Memory,
    id: &Arc<str>,
    listing: Listing,
    group: DescribedGroup,
) {
    let state = stated(group.state, group.protocol);
    let limit = context.settings.max_partitions_per_group;
    let admitted = foreign::group(group, limit).and_then(|group| {
        admission::admit_members(context, id, &group.members)?;
        Ok(group)
    });
    let (began, at, poll) = (context.began, context.clock.now(), known.polls);
    let Some(memory) = known.groups.get_mut(id) else {
        return;
    };
    let group = match admitted {
        Ok(group) => group,
        Err(error) => return memory.refuse(began, listing, error),
    };
    let members = foreign::number(group.members.len());
    let description = Description {
        at,
        poll,
        state,
        assignor: group.assignor,
        members: group.members,
    };
    memory.accept(began, listing, description);
    // During a rebalance, assigned topics are only added.
    if memory.assigned.len() > limit {
        let error = ReadError::TooManyMembers {
            members,
            partitions: foreign::number(memory.assigned.len()),
            limit: foreign::number(limit),
            bound: Bound::Group,
        };
        memory.refuse(began, listing, error);
    }
}

async fn describe(ask: &BrokerCalls<'_>, asked: BTreeMap<NodeId, Vec<Arc<str>>>) -> Vec<Answer> {
    let calls = asked.into_iter().flat_map(|(on, ids)| {
        let chunks = ids.chunks(DESCRIBED_AT_ONCE).map(<[_]>::to_vec);
        chunks.map(|ids| (on, ids)).collect::<Vec<_>>()
    });
    let calls = calls.map(|(on, ids)| async move {
        match ask.on(on, ask.reader.describe(on, &ids)).await {
            Ok(groups) => groups
                .into_iter()
                .filter(|(id, _)| ids.contains(id))
                .map(|(id, group)| (on, id, group))
                .collect(),
            Err(error) => {
                let failed = |id| (on, id, Err(error.clone()));
                ids.into_iter().map(failed).collect::<Vec<_>>()
            }
        }
    });
    let calls: Vec<_> = calls.collect();
    stream::iter(calls)
        .buffer_unordered(DESCRIBE_CALLS)
        .concat()
        .await
}
