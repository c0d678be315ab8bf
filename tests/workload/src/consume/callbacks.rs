//! Callbacks of librdkafka for a member: assignments, commits, statistics, errors.
//!
//! Revoked partitions are committed first, so that their next member continues where this member
//! stopped.

use std::sync::Arc;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::connection::Reports;

use super::Protocol;
use super::backlog::Place;
use super::group::Group;
use super::statistics::{Membership, Statistics};

/// librdkafka's callbacks for one member.
pub(crate) struct Callbacks {
    group: Arc<Group>,
    protocol: Protocol,
    reports: Reports,
}

impl Callbacks {
    /// Callbacks that update `group`.
    pub(crate) fn new(group: Arc<Group>, protocol: Protocol) -> Self {
        Self {
            group,
            protocol,
            reports: Reports::default(),
        }
    }
}

/// Requests a commit of `offsets`. The statistics show whether it succeeded: the event queue of
/// librdkafka has no confirmation.
pub(crate) fn commit(consumer: &BaseConsumer<Callbacks>, offsets: &[(Place, i64)]) {
    if let Err(error) = committed(consumer, offsets, CommitMode::Async) {
        consumer
            .context()
            .reports
            .warn(&format!("the commit failed and will be retried: {error}"));
    }
}

/// Commits `offsets` and waits for it.
fn commit_now(consumer: &BaseConsumer<Callbacks>, offsets: &[(Place, i64)]) {
    let outcome = committed(consumer, offsets, CommitMode::Sync);
    let mut state = consumer.context().group.state();
    match outcome {
        Ok(()) => offsets
            .iter()
            .for_each(|(place, offset)| state.backlog.confirm(place, *offset)),
        Err(error) => {
            state.commit_errors += 1;
            drop(state);
            consumer.context().reports.warn(&format!(
                "the commit failed, so the records will be read again: {error}"
            ));
        }
    }
}

fn committed(
    consumer: &BaseConsumer<Callbacks>,
    offsets: &[(Place, i64)],
    mode: CommitMode,
) -> KafkaResult<()> {
    if offsets.is_empty() {
        return Ok(());
    }
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (place, offset) in offsets {
        list.add_partition_offset(&place.topic, place.partition, Offset::Offset(*offset))?;
    }
    consumer.commit(&list, mode)
}

impl ClientContext for Callbacks {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.reports.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.reports.error(error, reason);
    }

    fn stats_raw(&self, json: &[u8]) {
        match Statistics::parse(json) {
            Ok(statistics) => {
                let mut state = self.group.state();
                state.readiness.update(statistics.membership(self.protocol));
                let overdue = state
                    .backlog
                    .report(|place| statistics.committed(&place.topic, place.partition));
                state.commit_errors += u64::from(overdue > 0);
                state.statistics = statistics;
            }
            Err(error) => self.reports.warn(&format!(
                "statistics of librdkafka are not as expected: {error}"
            )),
        }
    }
}

impl ConsumerContext for Callbacks {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Revoke(partitions) = rebalance else {
            return;
        };
        if consumer.assignment_lost() {
            self.reports
                .warn("the partitions were lost; records without a commit will be read again");
            return;
        }
        let given_up = places(partitions);
        let offsets = self
            .group
            .state()
            .backlog
            .unconfirmed(|place| given_up.contains(place));
        commit_now(consumer, &offsets);
    }

    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => {
                tracing::info!("assigned: {}", names(partitions));
                let mut state = self.group.state();
                state.readiness.update(Membership::Joined);
                state.rebalances += 1;
                for place in places(partitions) {
                    state.backlog.assign(place);
                }
            }
            Rebalance::Revoke(partitions) => {
                tracing::info!("revoked: {}", names(partitions));
                let mut state = self.group.state();
                state.rebalances += 1;
                for place in places(partitions) {
                    state.backlog.revoke(&place);
                }
            }
            Rebalance::Error(error) => self.reports.warn(&error.to_string()),
        }
    }
}

fn places(partitions: &TopicPartitionList) -> Vec<Place> {
    let place = |element: rdkafka::topic_partition_list::TopicPartitionListElem<'_>| Place {
        topic: Arc::from(element.topic()),
        partition: element.partition(),
    };
    partitions.elements().into_iter().map(place).collect()
}

fn names(partitions: &TopicPartitionList) -> String {
    let names: Vec<String> = partitions
        .elements()
        .iter()
        .map(|element| format!("{}:{}", element.topic(), element.partition()))
        .collect();
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(" ")
    }
}
