//! Which topics count for a group (decision 19), and how many partitions they have (`kafka.md`, rule 7).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::error::ReadError;
use super::super::interest::TopicSelection;
use super::super::reader::DescribedTopics;
use super::super::snapshot::Known;
use super::ask::Asker;
use super::groups::Sights;
use super::look::{Look, Selected};
use super::memory::Belief;
use super::offsets::OFFSET_FETCHES;
use futures::{StreamExt, stream};

/// Brokers that are asked for topics, one after the other, before the look goes on without.
const DESCRIBE_TRIES: usize = 3;

/// Topics in one question: a broker that answers for thousands at once may take longer than it is given.
pub(super) const TOPICS_A_CALL: usize = 500;

/// What a look has seen of its topics.
pub(super) struct Described {
    pub(super) reply: DescribedTopics,
    pub(super) beliefs: BTreeMap<Arc<str>, Belief>,
}

impl Look<'_> {
    /// The topics that each group's selections come to.
    pub(super) async fn select_topics(&mut self, ask: &Asker<'_>, sights: &Sights) -> Selected {
        self.list_names(ask).await;
        self.read_committed_topics(ask, sights).await;
        let mut selected = Selected::new();
        for (id, group) in &self.wanted.groups {
            let of_group = group.selections.iter().map(|selection| {
                let topics = match selection {
                    TopicSelection::Named(names) => Ok(names.iter().cloned().collect()),
                    TopicSelection::Pattern(pattern) => self.names().map(|names| {
                        let matching = names.iter().filter(|name| pattern.matches(name));
                        matching.cloned().collect()
                    }),
                    TopicSelection::OfGroup => self.of_group(id),
                };
                let sorted = topics.map(|topics: BTreeSet<Arc<str>>| Vec::from_iter(topics));
                (selection.clone(), sorted)
            });
            selected.insert(Arc::clone(id), of_group.collect());
        }
        selected
    }

    fn names(&self) -> Known<&BTreeSet<Arc<str>>> {
        match &self.memory.names {
            Some((_, Ok(names))) => Ok(names),
            Some((_, Err(error))) => Err(error.clone()),
            None => Err(ReadError::NotYetRead),
        }
    }

    /// The topics that a group's members are assigned; without members, those in which it has committed.
    fn of_group(&self, id: &str) -> Known<BTreeSet<Arc<str>>> {
        let memory = self.memory.groups.get(id).ok_or(ReadError::NotYetRead)?;
        if memory.has_members()? {
            if memory.assigned.is_empty() {
                return Err(ReadError::AssignmentUnknown);
            }
            return Ok(memory.assigned.clone());
        }
        match &memory.committed {
            Some((_, topics)) => topics.clone(),
            None => Err(ReadError::NotYetRead),
        }
    }

    /// Lists the names of all topics, now and then, if somebody has a pattern.
    async fn list_names(&mut self, ask: &Asker<'_>) {
        let selections = self
            .wanted
            .groups
            .values()
            .flat_map(|group| &group.selections);
        if !selections
            .into_iter()
            .any(|s| matches!(s, TopicSelection::Pattern(_)))
        {
            self.memory.names = None;
            return;
        }
        let fresh = self.memory.names.as_ref().is_some_and(|(at, names)| {
            names.is_ok() && self.began.duration_since(*at) < self.settings.names_every
        });
        if fresh {
            return;
        }
        let names = ask.any(ask.reader.topic_names()).await;
        match (&mut self.memory.names, names) {
            // An old list is better than none; it is asked for again in the next look.
            (Some((_, Ok(_))), Err(_)) => {}
            (memory, names) => *memory = Some((self.began, names)),
        }
    }

    /// Reads in which topics groups without members have committed, as often as members are read.
    async fn read_committed_topics(&mut self, ask: &Asker<'_>, sights: &Sights) {
        let due = sights.iter().filter_map(|(id, sight)| {
            let wanted = self.wanted.groups.get(id)?;
            let memory = self.memory.groups.get(id)?;
            let described = memory.described.map(|(at, _)| at);
            let read = match &memory.committed {
                Some((at, Ok(_))) => Some(*at),
                _ => None,
            };
            let due = wanted.selections.contains(&TopicSelection::OfGroup)
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
        for (id, topics) in answers {
            let Some(memory) = self.memory.groups.get_mut(&id) else {
                continue;
            };
            memory.accept_committed(self.began, topics, self.settings.doubt);
        }
    }

    /// Describes every topic that counts, and every one that is assigned.
    pub(super) async fn describe_topics(
        &mut self,
        ask: &Asker<'_>,
        selected: &Selected,
    ) -> Described {
        let counting = selected
            .values()
            .flat_map(BTreeMap::values)
            .flatten()
            .flatten();
        let assigned = self
            .memory
            .groups
            .values()
            .flat_map(|group| &group.assigned);
        let names: BTreeSet<Arc<str>> = counting.chain(assigned).cloned().collect();
        let names = Vec::from_iter(names);
        self.memory
            .topics
            .retain(|name, _| names.binary_search(name).is_ok());
        let mut reply = DescribedTopics::default();
        for some in names.chunks(TOPICS_A_CALL) {
            reply.extend(self.describe_some(ask, some).await);
        }
        let mut beliefs = BTreeMap::new();
        for (name, layout) in reply.iter() {
            let memory = self.memory.topics.entry(Arc::clone(name)).or_default();
            beliefs.insert(Arc::clone(name), memory.accept(layout));
            if layout == &Err(ReadError::UnknownTopic) {
                // Deleted: a list of names that still has it is too old.
                self.memory.names = None;
            }
        }
        for name in names {
            let unanswered = Belief::Unknown(ReadError::UnknownTopic);
            beliefs.entry(name).or_insert(unanswered);
        }
        Described { reply, beliefs }
    }

    async fn describe_some(&self, ask: &Asker<'_>, names: &[Arc<str>]) -> DescribedTopics {
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

    /// A pattern never means Kafka's own topics.
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
