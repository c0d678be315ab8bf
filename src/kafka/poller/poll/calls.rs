//! All requests of a poll go through here. None outlives the poll, and a broker that failed to
//! answer once is not asked again in the same poll.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};

use crate::kafka::model::error::ReadError;
use crate::kafka::model::snapshot::{EndAt, Known, NodeId, Offset, TopicPartition};
use crate::kafka::reader::{ClusterReader, LeaderedPartitions, Position};
use crate::sync::lock;

/// How long past its own timeout the reader may take, before it counts as failed.
const GRACE: Duration = Duration::from_millis(500);

/// Bootstrapping may take this many timeouts of the reader, because it tries one server after the
/// other.
const BOOTSTRAP_CALLS: u32 = 5;

/// Concurrent requests for committed offsets. More gain nothing, fewer take longer.
pub(super) const OFFSET_FETCHES: usize = 200;

/// A reader for the time of one poll.
pub(in crate::kafka::poller) struct BrokerCalls<'a> {
    pub(super) reader: &'a dyn ClusterReader,
    deadline: Instant,
    call_timeout: Duration,
    down: Mutex<BTreeMap<NodeId, ReadError>>,
}

impl<'a> BrokerCalls<'a> {
    pub(in crate::kafka::poller) fn new(
        reader: &'a dyn ClusterReader,
        deadline: Instant,
        call_timeout: Duration,
    ) -> Self {
        Self {
            reader,
            deadline,
            call_timeout,
            down: Mutex::default(),
        }
    }

    /// The answer of the broker `on` to `call`, unless it has failed to answer before.
    pub(in crate::kafka::poller) async fn on<T>(
        &self,
        on: NodeId,
        call: impl Future<Output = Known<T>>,
    ) -> Known<T> {
        if let Some(error) = lock(&self.down).get(&on) {
            return Err(error.clone());
        }
        let answer = self.within(1, call).await;
        if let Err(error @ (ReadError::TimedOut | ReadError::Unreachable { .. })) = &answer {
            lock(&self.down).insert(on, error.clone());
        }
        answer
    }

    /// The answer of any broker that the reader finds.
    pub(in crate::kafka::poller) async fn any<T>(
        &self,
        call: impl Future<Output = Known<T>>,
    ) -> Known<T> {
        self.within(BOOTSTRAP_CALLS, call).await
    }

    /// The offsets from the leaders of these partitions.
    pub(super) async fn offsets(
        &self,
        partitions: &LeaderedPartitions,
        position: Position,
    ) -> Vec<(TopicPartition, Known<Offset>)> {
        let call = async { Ok(self.reader.offsets(partitions, position).await) };
        self.within(1, call).await.unwrap_or_else(|error| {
            let unknown = |partition: &TopicPartition| (partition.clone(), Err(error.clone()));
            partitions.as_slice().iter().map(unknown).collect()
        })
    }

    /// The first record at or after `at` in each of these partitions.
    pub(super) async fn offsets_at(
        &self,
        partitions: &LeaderedPartitions,
        at: Timestamp,
    ) -> Vec<(TopicPartition, Known<Option<EndAt>>)> {
        let call = async { Ok(self.reader.offsets_at(partitions, at).await) };
        self.within(1, call).await.unwrap_or_else(|error| {
            let unknown = |partition: &TopicPartition| (partition.clone(), Err(error.clone()));
            partitions.as_slice().iter().map(unknown).collect()
        })
    }

    /// Whether this broker has failed to answer.
    pub(super) fn is_down(&self, broker: NodeId) -> bool {
        lock(&self.down).contains_key(&broker)
    }

    /// The brokers that have answered every request of this poll. Each poll begins with another
    /// one.
    pub(super) fn live(&self, brokers: &[NodeId], poll: u64) -> Vec<NodeId> {
        let brokers = brokers.iter().copied();
        let mut live: Vec<_> = brokers.filter(|on| !self.is_down(*on)).collect();
        if let Ok(poll) = usize::try_from(poll)
            && let Some(first) = poll.checked_rem(live.len())
        {
            live.rotate_left(first);
        }
        live
    }

    async fn within<T>(&self, calls: u32, call: impl Future<Output = Known<T>>) -> Known<T> {
        let limit = Instant::now() + self.call_timeout * calls + GRACE;
        timeout_at(limit.min(self.deadline), call)
            .await
            .unwrap_or(Err(ReadError::TimedOut))
    }
}
