//! Decides what is read. A selection with more partitions than one group may have, or than are
//! left, is refused before any offset is asked for, as soon as this is certain
//! (`docs/decisions/0012`).
#![allow(
    clippy::mutable_key_type,
    reason = "a compiled pattern compares by its source"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lagrange_core::intent::topics::TopicSelection;

use super::backlog_age::Earlier;
use super::calls::BrokerCalls;
use super::commits::Commits;
use super::context::PollContext;
use super::describe::{Described, TOPICS_A_CALL, describe_some};
use super::foreign::{self, number};
use super::memory::{Memory, Refused, TopicState};
use super::selection::{Selected, resolve, too_many_topics};
use crate::kafka::model::error::{Bound, ReadError};
use crate::kafka::model::snapshot::{Known, Member};
use crate::kafka::poller::interests::Wanting;
use crate::kafka::poller::quota::{ASSIGNED, Full, GROUP, NAMES, Subject};
use crate::kafka::reader::DescribedTopics;

/// The topics and partitions of one selection of a group.
struct Claim {
    id: Arc<str>,
    selection: TopicSelection,
    /// The topics that count, and those that are assigned to its members.
    topics: Vec<Arc<str>>,
    /// How many of them count.
    counting: usize,
    /// Whether it had no grant before this poll.
    is_new: bool,
    /// Partitions of its topics, as far as they have been described.
    partitions: usize,
    /// Whether all of them have been described.
    is_known: bool,
    refused: Option<ReadError>,
}

impl Claim {
    fn subject(&self) -> Subject {
        Subject::Group(Arc::clone(&self.id), self.selection.clone())
    }

    fn too_many(&self, limit: usize, bound: Bound, at_least: bool) -> ReadError {
        ReadError::TooManyPartitions {
            topics: number(self.counting),
            partitions: number(self.partitions),
            at_least,
            limit: number(limit),
            bound,
        }
    }
}

/// Keeps the names of all topics, if they fit.
pub(super) fn admit_list(
    context: &PollContext<'_>,
    names: BTreeSet<Arc<str>>,
) -> Known<BTreeSet<Arc<str>>> {
    let payers = context.wanted.matching();
    let units = names.len().div_ceil(NAMES);
    match (context.quota).request(context.cluster, &Subject::Names, &payers, units) {
        Ok(()) => Ok(names),
        Err(Full { left }) => Err(ReadError::TooManyTopics {
            topics: number(names.len()),
            limit: number(left.saturating_mul(NAMES)),
        }),
    }
}

/// The topics of every selection whose names alone are not too many: each topic has at least one
/// partition. Selections that are read already come first, then the others by size, the smallest
/// first.
pub(super) async fn admit_names(context: &PollContext<'_>, known: &mut Memory) -> Selected {
    let wanted = context.wanted;
    let mut selected = Selected::new();
    let mut order = Vec::new();
    for (id, group) in &wanted.groups {
        // Matching names takes time: let other tasks run.
        tokio::task::yield_now().await;
        let of_group = selected.entry(Arc::clone(id)).or_default();
        for (selection, wanting) in &group.selections {
            let subject = Subject::Group(Arc::clone(id), selection.clone());
            let is_new = !context.held.contains(&subject);
            let count = match known_refusal(context, known, id, &subject, wanting) {
                Some(error) => Err(error),
                None if is_new => resolve(known, id, selection, 0).map(|(_, count)| count),
                None => Ok(0),
            };
            match count {
                Ok(count) => order.push(((is_new, count), id, selection)),
                Err(error) => {
                    of_group.insert(selection.clone(), Err(error));
                }
            }
        }
    }
    order.sort_by_key(|(first, ..)| *first);
    for (_, id, selection) in order {
        let topics = admit_topics(context, known, id, selection);
        let of_group = selected.entry(Arc::clone(id)).or_default();
        of_group.insert(selection.clone(), topics);
    }
    selected
}

fn admit_topics(
    context: &PollContext<'_>,
    known: &mut Memory,
    id: &Arc<str>,
    selection: &TopicSelection,
) -> Known<Vec<Arc<str>>> {
    let most = context.settings.max_partitions_per_group;
    let subject = Subject::Group(Arc::clone(id), selection.clone());
    let (topics, count) = resolve(known, id, selection, most)?;
    let error = if count > most {
        too_many_topics(count, most)
    } else if let Err(Full { left }) = admit(context, &subject, count) {
        ReadError::TooManyPartitions {
            topics: number(count),
            partitions: number(count),
            at_least: true,
            limit: number(left.saturating_sub(GROUP)),
            bound: Bound::Namespace,
        }
    } else {
        return Ok(topics);
    };
    Err(refuse(context, known, subject, error))
}

/// Why this selection is skipped in this poll.
fn known_refusal(
    context: &PollContext<'_>,
    known: &mut Memory,
    id: &str,
    subject: &Subject,
    wanting: &Wanting,
) -> Option<ReadError> {
    if let Some(refused) = known.refused.get(subject)
        && context.began < refused.until
    {
        return Some(refused.error.clone());
    }
    let memory = known.groups.get(id)?;
    if let Some(Err(error)) = &memory.description
        && error.is_too_much()
    {
        let error = error.clone();
        return Some(refuse(context, known, subject.clone(), error));
    }
    waits(context, subject, wanting).then_some(ReadError::NotYetRead)
}

/// Whether others come first.
fn waits(context: &PollContext<'_>, subject: &Subject, wanting: &Wanting) -> bool {
    wanting.was_refused
        && !context.quota.is_settled()
        && context.quota.held(context.cluster, subject).is_none()
}

/// Asks for a grant of at least this many partitions.
fn admit(context: &PollContext<'_>, subject: &Subject, partitions: usize) -> Result<(), Full> {
    let units = partitions.saturating_add(GROUP);
    match context.quota.held(context.cluster, subject) {
        Some(held) if held >= units => Ok(()),
        _ => request(context, subject, units),
    }
}

fn request(context: &PollContext<'_>, subject: &Subject, units: usize) -> Result<(), Full> {
    let Subject::Group(id, selection) = subject else {
        return Ok(());
    };
    let group = context.wanted.groups.get(id);
    let Some(wanting) = group.and_then(|group| group.selections.get(selection)) else {
        return Ok(());
    };
    (context.quota).request(context.cluster, subject, &wanting.namespaces, units)
}

/// Accepts a description, if it fits.
pub(super) fn admit_members(
    context: &PollContext<'_>,
    id: &Arc<str>,
    members: &[Member],
) -> Result<(), ReadError> {
    let Some(group) = context.wanted.groups.get(id) else {
        return Ok(());
    };
    let partitions: usize = members.iter().map(foreign::partitions).sum();
    let units = members.len().saturating_add(partitions / ASSIGNED);
    let subject = Subject::Members(Arc::clone(id));
    let admitted = (context.quota).request(context.cluster, &subject, &group.namespaces(), units);
    admitted.map_err(|Full { left }| ReadError::TooManyMembers {
        members: number(members.len()),
        partitions: number(partitions),
        limit: number(left),
        bound: Bound::Namespace,
    })
}

/// Records that this is not read, and until when. A selection that is changed is a new one.
fn refuse(
    context: &PollContext<'_>,
    known: &mut Memory,
    subject: Subject,
    error: ReadError,
) -> ReadError {
    if let Subject::Group(id, selection) = &subject {
        let is_only = context.wanted.groups.get(id).is_some_and(|group| {
            let mut selections = group.selections.keys();
            selections.all(|other| other == selection)
        });
        if is_only && let Some(memory) = known.groups.get_mut(id) {
            // The accepted offsets of its partitions need memory that is no longer granted.
            memory.commits = Commits::default();
            memory.earlier = Earlier::default();
        }
        let cluster = context.cluster;
        context.quota.retain(cluster, |other| *other != subject);
    }
    let refused = Refused {
        error: error.clone(),
        until: context.began + context.settings.names_every,
    };
    known.refused.insert(subject, refused);
    error
}

/// Describes every topic that counts or is assigned, for groups that are not refused in the course
/// of it.
pub(super) async fn describe_topics(
    context: &PollContext<'_>,
    known: &mut Memory,
    ask: &BrokerCalls<'_>,
    selected: &mut Selected,
) -> Described {
    let mut claims = claims(context, known, selected);
    let mut described = describe_claims(context, known, ask, &mut claims).await;
    admit_partitions(context, known, &mut claims);
    let mut kept = BTreeSet::new();
    for claim in claims {
        match claim.refused {
            None => kept.extend(claim.topics),
            Some(error) => {
                let of_group = selected.entry(claim.id).or_default();
                of_group.insert(claim.selection, Err(error));
            }
        }
    }
    described.reply.retain(|name| kept.contains(name));
    described.topic_states.retain(|name, _| kept.contains(name));
    let topics = &mut known.topics;
    topics.retain(|name, _| kept.contains(name));
    for name in kept {
        let unanswered = TopicState::Unknown(ReadError::UnknownTopic);
        described.topic_states.entry(name).or_insert(unanswered);
    }
    described
}

/// The selections that are left, in the order in which they are handled.
fn claims(context: &PollContext<'_>, known: &Memory, selected: &Selected) -> Vec<Claim> {
    let wanted = &context.wanted.groups;
    let mut claims = Vec::new();
    for (id, selections) in selected {
        let memory = known.groups.get(id);
        for (selection, topics) in selections {
            if topics.as_ref().is_err_and(ReadError::is_too_much) {
                continue;
            }
            let subject = Subject::Group(Arc::clone(id), selection.clone());
            let wanting = wanted
                .get(id)
                .and_then(|group| group.selections.get(selection));
            if wanting.is_none_or(|wanting| waits(context, &subject, wanting)) {
                continue;
            }
            let counting = topics.as_deref().unwrap_or_default();
            let assigned = memory.into_iter().flat_map(|memory| &memory.assigned);
            let all: BTreeSet<_> = counting.iter().chain(assigned).cloned().collect();
            claims.push(Claim {
                id: Arc::clone(id),
                selection: selection.clone(),
                counting: counting.len(),
                is_new: !context.held.contains(&subject),
                topics: all.into_iter().collect(),
                partitions: 0,
                is_known: topics.is_ok(),
                refused: None,
            });
        }
    }
    claims.sort_by(|a, b| {
        let key = |claim: &Claim| (claim.is_new, claim.topics.len());
        key(a).cmp(&key(b)).then_with(|| a.id.cmp(&b.id))
    });
    claims
}

/// Describes the topics of claims. It stops for a claim once it is certain to have too many
/// partitions.
async fn describe_claims(
    context: &PollContext<'_>,
    known: &mut Memory,
    ask: &BrokerCalls<'_>,
    claims: &mut [Claim],
) -> Described {
    let limit = context.settings.max_partitions_per_group;
    let mut described = Described {
        reply: DescribedTopics::default(),
        topic_states: BTreeMap::new(),
    };
    let mut asked: BTreeSet<Arc<str>> = BTreeSet::new();
    let mut waiting: Vec<(usize, Arc<str>)> = Vec::new();
    let mut queue: Vec<(usize, Arc<str>)> = claims
        .iter()
        .enumerate()
        .flat_map(|(place, claim)| {
            claim
                .topics
                .iter()
                .map(move |name| (place, Arc::clone(name)))
        })
        .collect();
    queue.reverse();
    loop {
        let mut names = Vec::new();
        while names.len() < TOPICS_A_CALL
            && let Some((place, name)) = queue.pop()
        {
            if claims
                .get(place)
                .is_none_or(|claim| claim.refused.is_some())
            {
                continue;
            }
            if asked.insert(Arc::clone(&name)) {
                names.push(Arc::clone(&name));
            }
            waiting.push((place, name));
        }
        if waiting.is_empty() {
            return described;
        }
        if !names.is_empty() {
            describe_names(known, ask, names, &mut described).await;
        }
        for (place, name) in waiting.drain(..) {
            let Some(claim) = claims.get_mut(place) else {
                continue;
            };
            match partitions(known, claim, &name, &described) {
                Some(partitions) => claim.partitions += partitions,
                None => claim.is_known = false,
            }
            if claim.partitions > limit && claim.refused.is_none() {
                let at_least = queue.last().is_some_and(|(next, _)| *next == place);
                let error = claim.too_many(limit, Bound::Group, at_least);
                claim.refused = Some(refuse(context, known, claim.subject(), error));
            }
        }
    }
}

async fn describe_names(
    known: &mut Memory,
    ask: &BrokerCalls<'_>,
    mut names: Vec<Arc<str>>,
    described: &mut Described,
) {
    names.sort_unstable();
    let mut reply = describe_some(known, ask, &names).await;
    reply.retain(|name| names.binary_search(name).is_ok());
    for (name, layout) in reply.iter() {
        let memory = known.topics.entry(Arc::clone(name)).or_default();
        let topic_state = memory.accept(layout);
        described.topic_states.insert(Arc::clone(name), topic_state);
        if layout == &Err(ReadError::UnknownTopic) {
            // The topic was deleted: a list of names that still has it is outdated.
            known.names = None;
        }
    }
    described.reply.extend(reply);
}

/// The partitions of a topic that count for a claim. Internal topics that match a pattern count
/// none.
fn partitions(
    known: &Memory,
    claim: &Claim,
    name: &Arc<str>,
    described: &Described,
) -> Option<usize> {
    let is_internal = || {
        let memory = known.topics.get(name);
        memory.is_some_and(|topic| topic.internal)
    };
    let group = known.groups.get(&claim.id);
    let is_assigned = || group.is_some_and(|group| group.assigned.contains(name));
    match (described.topic_states.get(name)?, &claim.selection) {
        (TopicState::Unknown(_), _) => None,
        (TopicState::Absent, _) => Some(0),
        (_, TopicSelection::Pattern(_)) if is_internal() && !is_assigned() => Some(0),
        (TopicState::Partitions(count), _) => Some(*count),
    }
}

/// Grants or refuses what was counted.
fn admit_partitions(context: &PollContext<'_>, known: &mut Memory, claims: &mut [Claim]) {
    for claim in claims.iter_mut().filter(|claim| claim.refused.is_none()) {
        let subject = claim.subject();
        let units = claim.partitions.saturating_add(GROUP);
        let admitted = if claim.is_known {
            request(context, &subject, units)
        } else {
            // Keep the grant if the topics could not be read for a moment.
            admit(context, &subject, claim.partitions)
        };
        if let Err(Full { left }) = admitted {
            let left = left.saturating_sub(GROUP);
            let error = claim.too_many(left, Bound::Namespace, false);
            claim.refused = Some(refuse(context, known, subject, error));
        }
    }
}
