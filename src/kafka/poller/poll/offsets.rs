//! The committed offsets of each group, and the start and end of each partition's log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::{StreamExt, stream};
use jiff::Timestamp;

use super::calls::{BrokerCalls, OFFSET_FETCHES};
use super::commits::Committed;
use super::context::PollContext;
use super::describe::Described;
use super::groups::{GroupProbe, GroupProbes};
use super::memory::{Memory, TopicState};
use super::selection::Selected;
use crate::kafka::model::error::ReadError;
use crate::kafka::model::snapshot::{Known, NodeId, Offset, Partition, Topic, TopicPartition};
use crate::kafka::reader::{DescribedTopics, Position};

/// The log offsets of a partition in a poll.
#[derive(Debug, Default)]
struct Reading {
    end: Option<Known<Offset>>,
    stable_end: Option<Known<Offset>>,
}

type Readings = BTreeMap<TopicPartition, Reading>;

impl Reading {
    /// The partition, from whether the description has it, its leader, and the last known start of
    /// its log.
    fn partition(
        self,
        described: bool,
        leader: Option<NodeId>,
        start: Option<Offset>,
        at: Timestamp,
    ) -> Partition {
        // Not asked for: it does not exist, has no leader, or its leader does not answer.
        let unread = if described {
            ReadError::LeaderUnavailable
        } else {
            ReadError::UnknownTopic
        };
        Partition {
            leader,
            start: start.ok_or(ReadError::NotYetRead),
            end: self.end.unwrap_or(Err(unread)),
            stable_end: self.stable_end,
            at,
        }
    }
}

/// Asks for the committed offsets of a group, at each candidate for its coordinator.
async fn committed_of(
    ask: &BrokerCalls<'_>,
    id: &str,
    probe: &GroupProbe,
    partitions: &[TopicPartition],
) -> Known<Vec<(TopicPartition, Known<Option<Offset>>)>> {
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    if probe.is_uncommitted {
        let nothing = |partition: &TopicPartition| (partition.clone(), Ok(None));
        return Ok(partitions.iter().map(nothing).collect());
    }
    let mut answer = Err(match &probe.state {
        Ok(_) => ReadError::CoordinatorUnavailable,
        Err(error) => error.clone(),
    });
    for &on in &probe.candidates {
        answer = ask.on(on, ask.reader.committed(on, id, partitions)).await;
        if !matches!(answer, Err(ReadError::NotCoordinator)) {
            break;
        }
    }
    answer
}

/// Reads the committed offsets of each group.
pub(super) async fn committed(
    context: &PollContext<'_>,
    known: &mut Memory,
    ask: &BrokerCalls<'_>,
    probes: &GroupProbes,
    selected: &Selected,
    described: &Described,
) -> BTreeMap<Arc<str>, Committed> {
    let clock = context.clock;
    let groups = probes.iter().map(|(id, probe)| {
        let topics = selected.get(id).into_iter().flat_map(BTreeMap::values);
        let topics: BTreeSet<_> = topics.flatten().flatten().collect();
        let partitions = topics.into_iter().flat_map(|name| {
            let count = match described.topic_states.get(name) {
                Some(TopicState::Partitions(count)) => *count,
                _ => 0,
            };
            (0..).take(count).map(|partition| TopicPartition {
                topic: Arc::clone(name),
                partition,
            })
        });
        (id, probe, partitions.collect::<Vec<_>>())
    });
    let calls = groups.map(|(id, probe, partitions)| async move {
        let answer = committed_of(ask, id, probe, &partitions).await;
        let moved = matches!(answer, Err(ReadError::NotCoordinator));
        let unanswered = match &answer {
            Ok(_) => ReadError::UnknownTopic,
            Err(error) => error.clone(),
        };
        let mut all: BTreeMap<_, _> = partitions
            .into_iter()
            .map(|partition| (partition, Err(unanswered.clone())))
            .collect();
        for (partition, value) in answer.into_iter().flatten() {
            // A broker may return others as well.
            if let Some(asked) = all.get_mut(&partition) {
                *asked = value;
            }
        }
        let committed = Committed {
            at: clock.now(),
            partitions: all,
        };
        (Arc::clone(id), moved, committed)
    });
    let calls: Vec<_> = calls.collect();
    let answers = stream::iter(calls).buffer_unordered(OFFSET_FETCHES);
    let answers: Vec<_> = answers.collect().await;
    let mut all = BTreeMap::new();
    for (id, moved, committed) in answers {
        // Topics that this poll could not resolve may still be wanted.
        let all_topics = selected
            .get(&id)
            .is_none_or(|selections| selections.values().all(Result::is_ok));
        let accepted = accept(context, known, &id, moved, committed, described, all_topics);
        all.insert(id, accepted);
    }
    all
}

/// Compares the offsets with those accepted before. Those are forgotten only if `all_topics` that
/// count are known.
fn accept(
    context: &PollContext<'_>,
    known: &mut Memory,
    id: &str,
    moved: bool,
    mut committed: Committed,
    described: &Described,
    all_topics: bool,
) -> Committed {
    let Some(memory) = known.groups.get_mut(id) else {
        return committed;
    };
    if moved {
        memory.coordinator = None;
    }
    let (now, regression_grace) = (context.began, context.settings.regression_grace);
    for (partition, value) in &mut committed.partitions {
        let read = std::mem::replace(value, Err(ReadError::NotYetRead));
        *value = memory
            .commits
            .accept(partition, read, now, regression_grace);
    }
    memory.commits.retain(
        |partition| match described.topic_states.get(&partition.topic) {
            Some(TopicState::Absent) => false,
            Some(TopicState::Unknown(_)) => true,
            Some(TopicState::Partitions(_)) | None => {
                !all_topics || committed.partitions.contains_key(partition)
            }
        },
    );
    committed
}

/// Reads the end of each partition, and its start if that is due.
pub(super) async fn offsets(
    context: &PollContext<'_>,
    known: &mut Memory,
    ask: &BrokerCalls<'_>,
    reply: &DescribedTopics,
    topic_states: BTreeMap<Arc<str>, TopicState>,
    committed: &BTreeMap<Arc<str>, Committed>,
) -> BTreeMap<Arc<str>, Topic> {
    let stable = topics_read_committed(context, committed);
    let leadered = reply.leadered(|_, leader| !ask.is_down(leader));
    let stable = reply
        .leadered(|partition, leader| !ask.is_down(leader) && stable.contains(&partition.topic));
    let (ends, stable_ends) = futures::join!(
        ask.offsets(&leadered, Position::End),
        ask.offsets(&stable, Position::StableEnd),
    );
    let at = context.clock.now();
    let mut readings = Readings::new();
    for (partition, end) in ends {
        readings.entry(partition).or_default().end = Some(end);
    }
    for (partition, end) in stable_ends {
        readings.entry(partition).or_default().stable_end = Some(end);
    }
    starts(context, known, ask, reply, &readings, committed).await;
    let mut topics = BTreeMap::new();
    let layouts: BTreeMap<_, _> = reply.iter().collect();
    for (name, topic_state) in topic_states {
        let layout = layouts.get(&name).and_then(|layout| layout.as_ref().ok());
        let topic = match topic_state {
            TopicState::Absent => Topic::Absent,
            TopicState::Unknown(error) => Topic::Unknown(error),
            TopicState::Partitions(count) => {
                let memory = known.topics.get(&name);
                let partition = |index: i32| {
                    let partition = TopicPartition {
                        topic: Arc::clone(&name),
                        partition: index,
                    };
                    let leaders = layout.map(|layout| layout.leaders.as_slice());
                    let leader = leaders
                        .unwrap_or_default()
                        .get(usize::try_from(index).ok()?)
                        .copied();
                    let reading = readings.remove(&partition).unwrap_or_default();
                    let start = memory.and_then(|memory| memory.starts.get(&index)).copied();
                    Some(reading.partition(leader.is_some(), leader.flatten(), start, at))
                };
                Topic::Present((0..).take(count).map_while(partition).collect())
            }
        };
        topics.insert(name, topic);
    }
    topics
}

fn topics_read_committed(
    context: &PollContext<'_>,
    committed: &BTreeMap<Arc<str>, Committed>,
) -> BTreeSet<Arc<str>> {
    let groups = committed.iter().filter(|(id, _)| {
        let wanted = context.wanted.groups.get(*id);
        wanted.is_some_and(|group| group.read_committed)
    });
    let partitions = groups.flat_map(|(_, committed)| committed.partitions.keys());
    partitions
        .map(|partition| Arc::clone(&partition.topic))
        .collect()
}

/// Reads the starts of logs: all of them every few polls, and one at once if it is unknown or
/// contradicts what was just read.
async fn starts(
    context: &PollContext<'_>,
    known: &mut Memory,
    ask: &BrokerCalls<'_>,
    reply: &DescribedTopics,
    readings: &Readings,
    committed: &BTreeMap<Arc<str>, Committed>,
) {
    let all = known.polls % context.settings.starts_every.max(1)
        == 1 % context.settings.starts_every.max(1);
    let mut earliest: BTreeMap<&TopicPartition, Offset> = BTreeMap::new();
    for (partition, value) in committed.values().flat_map(|group| &group.partitions) {
        if let Ok(Some(offset)) = *value {
            let earlier = earliest.entry(partition).or_insert(offset);
            *earlier = offset.min(*earlier);
        }
    }
    let due = reply.leadered(|partition, leader| {
        let end = readings
            .get(partition)
            .and_then(|reading| reading.end.as_ref());
        let Some(Ok(end)) = end else { return false };
        let memory = known.topics.get(&partition.topic);
        let start = memory.and_then(|memory| memory.starts.get(&partition.partition));
        let Some(start) = start else {
            return !ask.is_down(leader);
        };
        let too_old = earliest
            .get(partition)
            .is_some_and(|committed| committed <= start && committed < end);
        (all || too_old || start > end) && !ask.is_down(leader)
    });
    if due.as_slice().is_empty() {
        return;
    }
    for (partition, start) in ask.offsets(&due, Position::Start).await {
        let Some(memory) = known.topics.get_mut(&partition.topic) else {
            continue;
        };
        let end = readings
            .get(&partition)
            .and_then(|reading| reading.end.as_ref());
        match start {
            Ok(start) => {
                memory.starts.insert(partition.partition, start);
            }
            Err(_) => {
                // This start is of an earlier log with a higher end, before the topic was created
                // again.
                if let (Some(Ok(end)), Some(start)) = (end, memory.starts.get(&partition.partition))
                    && start > end
                {
                    memory.starts.remove(&partition.partition);
                }
            }
        }
    }
}
