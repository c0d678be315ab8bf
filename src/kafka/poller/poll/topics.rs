//! Which topics count for a group (KNOW-19), and how many partitions they have (`kafka.md`, rule
//! 7).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::{StreamExt, stream};
use lagrange_core::intent::topics::TopicSelection;

use super::admission::too_many_topics;
use super::calls::Asker;
use super::groups::Sights;
use super::memory::Belief;
use super::offsets::OFFSET_FETCHES;
use super::{Look, Selected, foreign};
use crate::kafka::model::error::ReadError;
use crate::kafka::model::snapshot::Known;
use crate::kafka::reader::DescribedTopics;

/// Brokers to ask for topics, one after the other, before the poll continues without an answer.
const DESCRIBE_TRIES: usize = 3;

/// Topics in one request: a broker that answers for thousands at once may exceed the timeout.
pub(in crate::kafka::poller) const TOPICS_A_CALL: usize = 500;

/// What a poll has found of its topics.
pub(super) struct Described {
    pub(super) reply: DescribedTopics,
    pub(super) beliefs: BTreeMap<Arc<str>, Belief>,
}

impl Look<'_> {
    /// The topics of each group's selections, unless they are too many.
    pub(super) async fn select_topics(&mut self, ask: &Asker<'_>, sights: &Sights) -> Selected {
        self.list_names(ask).await;
        self.read_committed_topics(ask, sights).await;
        self.admit_names().await
    }

    /// The topics of a selection, sorted and at most `most` of them, and their total number.
    pub(super) fn resolve(
        &self,
        id: &str,
        selection: &TopicSelection,
        most: usize,
    ) -> Known<(Vec<Arc<str>>, usize)> {
        let first = |topics: &BTreeSet<Arc<str>>| {
            let names = topics.iter().take(most).cloned().collect();
            (names, topics.len())
        };
        match selection {
            TopicSelection::Named(names) => Ok(first(&names.iter().cloned().collect())),
            TopicSelection::OfGroup => self.of_group(id).map(first),
            TopicSelection::Pattern(pattern) => {
                let (mut names, mut count) = (Vec::new(), 0);
                for name in self.names()?.iter().filter(|name| pattern.matches(name)) {
                    count += 1;
                    if names.len() < most {
                        names.push(Arc::clone(name));
                    }
                }
                Ok((names, count))
            }
        }
    }

    fn names(&self) -> Known<&BTreeSet<Arc<str>>> {
        match &self.memory.names {
            Some((_, Ok(names))) => Ok(names),
            Some((_, Err(error))) => Err(error.clone()),
            None => Err(ReadError::NotYetRead),
        }
    }

    /// The topics that are assigned to a group's members; without members, those in which it has
    /// committed.
    fn of_group(&self, id: &str) -> Known<&BTreeSet<Arc<str>>> {
        let memory = self.memory.groups.get(id).ok_or(ReadError::NotYetRead)?;
        if memory.has_members()? {
            if memory.assigned.is_empty() {
                return Err(ReadError::AssignmentUnknown);
            }
            return Ok(&memory.assigned);
        }
        match &memory.committed {
            Some((_, Ok(topics))) => Ok(topics),
            Some((_, Err(error))) => Err(error.clone()),
            None => Err(ReadError::NotYetRead),
        }
    }

    /// Lists the names of all topics from time to time, if any group has a pattern.
    async fn list_names(&mut self, ask: &Asker<'_>) {
        if self.wanted.matching().is_empty() {
            self.memory.names = None;
            return;
        }
        let fresh = self.memory.names.as_ref().is_some_and(|(at, names)| {
            let is_told = names.as_ref().err().is_none_or(ReadError::is_too_much);
            is_told && self.began.duration_since(*at) < self.settings.names_every
        });
        if fresh {
            return;
        }
        let names = ask.any(ask.reader.topic_names()).await;
        let names = names.map(foreign::topic_names);
        let names = names.and_then(|names| self.admit_list(names));
        match (&mut self.memory.names, names) {
            // Keep an old list rather than none. The next poll asks again.
            (Some((_, Ok(_))), Err(error)) if !error.is_too_much() => {}
            (memory, names) => *memory = Some((self.began, names)),
        }
    }

    /// Reads the topics in which groups without members have committed, as often as members are
    /// read.
    async fn read_committed_topics(&mut self, ask: &Asker<'_>, sights: &Sights) {
        let due = sights.iter().filter_map(|(id, sight)| {
            let wanted = self.wanted.groups.get(id)?;
            let memory = self.memory.groups.get(id)?;
            let described = memory.described.map(|(at, _)| at);
            let read = match &memory.committed {
                Some((at, Ok(_))) => Some(*at),
                Some((at, Err(error))) if error.is_too_much() => Some(*at),
                _ => None,
            };
            let due = wanted.selections.contains_key(&TopicSelection::OfGroup)
                && memory.has_members() == Ok(false)
                && (read.is_none() || read < described);
            let on = sight.candidates.first()?;
            due.then(|| (*on, Arc::clone(id)))
        });
        let calls = due.map(|(on, id)| async move {
            let topics = ask.on(on, ask.reader.committed_topics(on, &id)).await;
            (id, topics)
        });
        let calls: Vec<_> = calls.collect();
        let answers = stream::iter(calls).buffer_unordered(OFFSET_FETCHES);
        let answers: Vec<_> = answers.collect().await;
        let limit = self.settings.max_partitions_per_group;
        for (id, topics) in answers {
            let Some(memory) = self.memory.groups.get_mut(&id) else {
                continue;
            };
            let topics = topics
                .map(foreign::topic_names)
                .and_then(|topics| match topics.len() {
                    many if many > limit => Err(too_many_topics(many, limit)),
                    _ => Ok(topics),
                });
            memory.accept_committed(self.began, topics, self.settings.doubt);
        }
    }

    pub(super) async fn describe_some(
        &self,
        ask: &Asker<'_>,
        names: &[Arc<str>],
    ) -> DescribedTopics {
        let mut answer = Err(ReadError::TimedOut);
        for on in self.live(ask).into_iter().take(DESCRIBE_TRIES) {
            answer = ask.on(on, ask.reader.topics(on, names)).await;
            if answer.is_ok() {
                break;
            }
        }
        answer.unwrap_or_else(|error| {
            let unknown = |name: &Arc<str>| (Arc::clone(name), Err(error.clone()));
            DescribedTopics::new(names.iter().map(unknown).collect())
        })
    }

    /// Removes internal topics: a pattern never selects them.
    pub(super) fn without_internal(&self, mut selected: Selected) -> Selected {
        let of_patterns = selected
            .values_mut()
            .flatten()
            .filter_map(|(selection, topics)| {
                matches!(selection, TopicSelection::Pattern(_)).then_some(topics)
            });
        for topics in of_patterns.flatten() {
            topics.retain(|name| {
                !self
                    .memory
                    .topics
                    .get(name)
                    .is_some_and(|topic| topic.internal)
            });
        }
        selected
    }
}
