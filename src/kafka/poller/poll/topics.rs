//! Which topics count for a group (KNOW-19), and how many partitions they have (`kafka.md`, rule
//! 7).

use std::sync::Arc;

use futures::{StreamExt, stream};
use lagrange_core::intent::topics::TopicSelection;

use super::calls::{BrokerCalls, OFFSET_FETCHES};
use super::context::PollContext;
use super::groups::GroupProbes;
use super::memory::Memory;
use super::selection::{Selected, too_many_topics};
use super::{admission, foreign};
use crate::kafka::model::error::ReadError;

/// The topics of each group's selections, unless they are too many.
pub(super) async fn select_topics(
    context: &PollContext<'_>,
    known: &mut Memory,
    ask: &BrokerCalls<'_>,
    probes: &GroupProbes,
) -> Selected {
    list_names(context, known, ask).await;
    read_committed_topics(context, known, ask, probes).await;
    admission::admit_names(context, known).await
}

/// Lists the names of all topics from time to time, if any group has a pattern.
async fn list_names(context: &PollContext<'_>, known: &mut Memory, ask: &BrokerCalls<'_>) {
    if context.wanted.matching().is_empty() {
        known.names = None;
        return;
    }
    let fresh = known.names.as_ref().is_some_and(|(at, names)| {
        let is_reported = names.as_ref().err().is_none_or(ReadError::is_too_much);
        is_reported && context.began.duration_since(*at) < context.settings.names_every
    });
    if fresh {
        return;
    }
    let names = ask.any(ask.reader.topic_names()).await;
    let names = names.map(foreign::topic_names);
    let names = names.and_then(|names| admission::admit_list(context, names));
    match (&mut known.names, names) {
        // Keep an old list rather than none. The next poll asks again.
        (Some((_, Ok(_))), Err(error)) if !error.is_too_much() => {}
        (memory, names) => *memory = Some((context.began, names)),
    }
}

/// Reads the topics in which groups without members have committed, as often as members are read.
async fn read_committed_topics(
    context: &PollContext<'_>,
    known: &mut Memory,
    ask: &BrokerCalls<'_>,
    probes: &GroupProbes,
) {
    let due = probes.iter().filter_map(|(id, probe)| {
        let wanted = context.wanted.groups.get(id)?;
        let memory = known.groups.get(id)?;
        let described = memory.described.map(|(at, _)| at);
        let read = match &memory.committed {
            Some((at, Ok(_))) => Some(*at),
            Some((at, Err(error))) if error.is_too_much() => Some(*at),
            _ => None,
        };
        let due = wanted.selections.contains_key(&TopicSelection::OfGroup)
            && memory.has_members() == Ok(false)
            && (read.is_none() || read < described);
        let on = probe.candidates.first()?;
        due.then(|| (*on, Arc::clone(id)))
    });
    let calls = due.map(|(on, id)| async move {
        let topics = ask.on(on, ask.reader.committed_topics(on, &id)).await;
        (id, topics)
    });
    let calls: Vec<_> = calls.collect();
    let answers = stream::iter(calls).buffer_unordered(OFFSET_FETCHES);
    let answers: Vec<_> = answers.collect().await;
    let limit = context.settings.max_partitions_per_group;
    for (id, topics) in answers {
        let Some(memory) = known.groups.get_mut(&id) else {
            continue;
        };
        let topics = topics
            .map(foreign::topic_names)
            .and_then(|topics| match topics.len() {
                many if many > limit => Err(too_many_topics(many, limit)),
                _ => Ok(topics),
            });
        memory.accept_committed(context.began, topics, context.settings.regression_grace);
    }
}

/// Removes internal topics: a pattern never selects them.
pub(super) fn without_internal(known: &Memory, mut selected: Selected) -> Selected {
    let of_patterns = selected
        .values_mut()
        .flatten()
        .filter_map(|(selection, topics)| {
            matches!(selection, TopicSelection::Pattern(_)).then_some(topics)
        });
    for topics in of_patterns.flatten() {
        topics.retain(|name| !known.topics.get(name).is_some_and(|topic| topic.internal));
    }
    selected
}
