//! Asks for topics and their partitions.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::calls::BrokerCalls;
use super::memory::{Memory, TopicState};
use crate::kafka::model::error::ReadError;
use crate::kafka::reader::DescribedTopics;

/// Brokers to ask for topics, one after the other, before the poll continues without an answer.
const DESCRIBE_TRIES: usize = 3;

/// Topics in one request: a broker that answers for thousands at once may exceed the timeout.
pub(in crate::kafka::poller) const TOPICS_A_CALL: usize = 500;

/// What a poll has found of its topics.
pub(super) struct Described {
    pub(super) reply: DescribedTopics,
    pub(super) topic_states: BTreeMap<Arc<str>, TopicState>,
}

/// Describes these topics with any broker that answers.
pub(super) async fn describe_some(
    known: &Memory,
    ask: &BrokerCalls<'_>,
    names: &[Arc<str>],
) -> DescribedTopics {
    let mut answer = Err(ReadError::TimedOut);
    for on in ask
        .live(&known.brokers, known.polls)
        .into_iter()
        .take(DESCRIBE_TRIES)
    {
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
