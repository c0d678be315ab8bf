//! Asks where partitions ended before they were first found, for groups that are sized by delay.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;

use super::backlog_age::{Answers, Earlier};
use super::calls::BrokerCalls;
use super::commits::Committed;
use super::context::PollContext;
use super::memory::Memory;
use crate::kafka::model::snapshot::{Topic, TopicPartition};
use crate::kafka::reader::DescribedTopics;

/// Points in time that one poll asks for at most, each once per broker. The next poll asks for the
/// rest.
const TIMES_A_POLL: usize = 16;

/// Which partitions to ask for which times.
type Questions = BTreeMap<Timestamp, BTreeSet<TopicPartition>>;

/// Asks where partitions ended before they were first found, for groups that are sized by delay.
pub(super) async fn earlier(
    context: &PollContext<'_>,
    known: &mut Memory,
    ask: &BrokerCalls<'_>,
    reply: &DescribedTopics,
    committed: &BTreeMap<Arc<str>, Committed>,
    topics: &BTreeMap<Arc<str>, Topic>,
) {
    let mut questions = Questions::new();
    for (id, wanted) in &context.wanted.groups {
        let Some(memory) = known.groups.get_mut(id) else {
            continue;
        };
        let (Some(objective), Some(committed)) = (wanted.max_delay, committed.get(id)) else {
            memory.earlier = Earlier::default();
            continue;
        };
        memory.earlier.note(objective, committed, topics);
        for (time, key) in memory.earlier.questions(topics) {
            if questions.len() < TIMES_A_POLL || questions.contains_key(&time) {
                questions.entry(time).or_default().insert(key.clone());
            }
        }
    }
    let asked = questions.iter().map(|(time, keys)| async move {
        let partitions =
            reply.leadered(|partition, leader| keys.contains(partition) && !ask.is_down(leader));
        let answers = ask.offsets_at(&partitions, *time).await;
        (*time, answers.into_iter().collect())
    });
    let answers: Answers = asked.collect::<FuturesUnordered<_>>().collect().await;
    for memory in known.groups.values_mut() {
        memory.earlier.take(topics, &answers);
    }
}
