//! [`ClusterReader`] with librdkafka. Keeps no state but the client.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;

use super::bounds::{Bounds, LARGEST_ANSWER};
use super::errors::{described, meaning, out_of_threads, partition_meaning, trouble};
use super::native::{Code, Handle, Refused, Wanted, Why};
use super::statistics::Statistics;
use crate::kafka::connection::Connection;
use crate::kafka::connection::secret::Secret;
use crate::kafka::model::error::{ReadError, Resource};
use crate::kafka::model::snapshot::{EndAt, Known, NodeId, Offset, TopicPartition};
use crate::kafka::reader::{
    Cluster, ClusterReader, DescribedGroup, DescribedTopics, Each, LeaderedPartitions, ListedGroup,
    Position, ReaderFactory, Traffic,
};
use crate::sync::lock;

/// Deadline for bootstrapping: enough for two servers that accept the connection and stay silent
/// ([`SETUP_TIMEOUT`]) before one that answers.
const BOOTSTRAP_TIMEOUT: Duration = Duration::from_secs(7);

/// Deadline in milliseconds for a connection to be made and for a broker to report the versions
/// that it speaks. librdkafka tries one server at a time until one is connected.
const SETUP_TIMEOUT: &str = "2500";

/// Deadline in milliseconds for an answer, after which the connection is closed with all requests
/// that wait on it. Longer than the timeout of a request, which alone is no reason to reconnect.
/// With the default, a minute, a broker behind a silently cut connection would stay unreadable for
/// that time.
const SOCKET_TIMEOUT: &str = "5000";

/// How often librdkafka reports what it sent, in milliseconds.
const STATISTICS_INTERVAL: &str = "5000";

/// Opens librdkafka clients.
#[derive(Debug, Clone)]
pub struct RdkafkaFactory {
    /// Deadline for one request to one broker.
    pub call_timeout: Duration,
    /// Whether loopback and link-local addresses may be connected to (SAFE-38).
    pub allow_local_addresses: bool,
    /// What the clusters may make the process hold.
    pub bounds: Bounds,
}

impl ReaderFactory for RdkafkaFactory {
    fn open<'a>(
        &'a self,
        connection: &'a Connection,
    ) -> BoxFuture<'a, Known<Arc<dyn ClusterReader>>> {
        async {
            let reader = RdkafkaReader::open(connection, self).await?;
            Ok(Arc::new(reader) as Arc<dyn ClusterReader>)
        }
        .boxed()
    }
}

/// Reads one cluster through one librdkafka client.
#[derive(Debug)]
pub struct RdkafkaReader {
    handle: Handle,
    servers: usize,
    call_timeout: Duration,
    bounds: Bounds,
    /// How many brokers the cluster last named.
    named: AtomicUsize,
    statistics: Mutex<Statistics>,
}

impl RdkafkaReader {
    /// A reader for this connection. It connects with its first request.
    pub async fn open(connection: &Connection, factory: &RdkafkaFactory) -> Known<Self> {
        let mut properties = connection.properties();
        let of_all = properties_of_all().into_iter();
        properties.extend(of_all.map(|(name, value)| (name, Secret::new(value))));
        let local = factory.allow_local_addresses;
        let tokens = connection.security().tokens(local);
        let tokens = tokens.map_err(|detail| ReadError::Authentication { detail })?;
        match Handle::open(properties, tokens, local, factory.bounds).await {
            Ok(handle) => Ok(Self {
                handle,
                servers: connection.servers(),
                call_timeout: factory.call_timeout,
                bounds: factory.bounds,
                named: AtomicUsize::new(0),
                statistics: Mutex::default(),
            }),
            Err(failure) => Err(meaning(&failure, &Resource::Cluster)),
        }
    }

    /// The cluster, unless it has more brokers than a cluster may have.
    fn bounded(&self, mut cluster: Cluster) -> Known<Cluster> {
        cluster.brokers.dedup();
        self.named.store(cluster.brokers.len(), Ordering::Relaxed);
        self.too_many().map_or(Ok(cluster), Err)
    }

    fn too_many(&self) -> Option<ReadError> {
        let limit = self.bounds.brokers_per_cluster;
        let named = self.named.load(Ordering::Relaxed);
        if named > limit {
            let brokers = named;
            return Some(ReadError::TooManyBrokers { brokers, limit });
        }
        let Refused { why, brokers } = self.handle.refused()?;
        Some(match why {
            // The cluster has named these, though not all at once.
            Why::Cluster => ReadError::TooManyBrokers { brokers, limit },
            Why::Process => ReadError::NoRoomForBrokers {
                brokers: if named == 0 { brokers } else { named },
                limit: self.bounds.threads,
            },
            Why::NoThread => out_of_threads(),
        })
    }
}

fn properties_of_all() -> Vec<(&'static str, String)> {
    // A group id that is never joined and used nowhere else: a handle without one crashes
    // (`native`).
    let random = RandomState::new().hash_one(std::process::id());
    let own = |value: &str| value.to_owned();
    vec![
        (
            "client.id",
            concat!("lagrange/", env!("CARGO_PKG_VERSION")).to_owned(),
        ),
        ("group.id", format!("lagrange-reader-{random:016x}")),
        ("enable.auto.commit", own("false")),
        ("allow.auto.create.topics", own("false")),
        ("enable.metrics.push", own("false")),
        ("socket.keepalive.enable", own("true")),
        ("socket.nagle.disable", own("true")),
        ("socket.timeout.ms", own(SOCKET_TIMEOUT)),
        ("socket.connection.setup.timeout.ms", own(SETUP_TIMEOUT)),
        ("api.version.request.timeout.ms", own(SETUP_TIMEOUT)),
        // The largest answer that is asked for.
        ("receive.message.max.bytes", LARGEST_ANSWER.to_string()),
        // Nothing is ever fetched, but this must not exceed what may be received.
        ("fetch.max.bytes", own("1000000")),
        // Per connection, what the kernel keeps of an answer that has to wait for memory. It counts
        // as memory of the container.
        ("socket.receive.buffer.bytes", own("131072")),
        // The poller opens a new client for a cluster that cannot be reached. librdkafka would do
        // the same without end, and with more threads.
        ("metadata.recovery.strategy", own("none")),
        // The next poll connects to a broker that comes back. The poller decides how often an
        // unreachable cluster is tried: it closes the client in between.
        ("reconnect.backoff.max.ms", own("1000")),
        ("log.connection.close", own("false")),
        ("log.queue", own("true")),
        ("statistics.interval.ms", own(STATISTICS_INTERVAL)),
    ]
}

impl ClusterReader for RdkafkaReader {
    fn bootstrap(&self) -> BoxFuture<'_, Known<Cluster>> {
        async {
            let answer = self.handle.bootstrap(self.servers, BOOTSTRAP_TIMEOUT).await;
            match answer {
                Ok(cluster) => self.bounded(cluster),
                Err(_) => Err(self.trouble()),
            }
        }
        .boxed()
    }

    fn cluster(&self, on: NodeId) -> BoxFuture<'_, Known<Cluster>> {
        async move {
            let answer = self.handle.cluster(on, self.call_timeout).await;
            let cluster = answer.map_err(|failure| meaning(&failure, &Resource::Cluster))?;
            self.bounded(cluster)
        }
        .boxed()
    }

    fn groups(&self, on: NodeId) -> BoxFuture<'_, Known<Vec<ListedGroup>>> {
        async move {
            let answer = self.handle.groups(on, self.call_timeout).await;
            let (groups, errors) =
                answer.map_err(|failure| meaning(&failure, &Resource::Groups))?;
            // A dead broker gives an error beside an empty list. A broker that is loading lists
            // what it has.
            match errors.first() {
                Some(failure) if groups.is_empty() => match meaning(failure, &Resource::Groups) {
                    ReadError::CoordinatorUnavailable => Ok(groups),
                    error => Err(error),
                },
                _ => Ok(groups),
            }
        }
        .boxed()
    }

    fn describe<'a>(
        &'a self,
        on: NodeId,
        groups: &'a [Arc<str>],
    ) -> BoxFuture<'a, Known<Each<Arc<str>, DescribedGroup>>> {
        async move {
            let answer = self.handle.describe(on, groups, self.call_timeout).await;
            let answer = answer.map_err(|failure| meaning(&failure, &Resource::Groups))?;
            let mut all: Vec<_> = answer
                .into_iter()
                .map(|(id, group)| {
                    let group = group.or_else(|failure| described(&id, &failure));
                    (id, group)
                })
                .collect();
            let answered: BTreeSet<_> = all.iter().map(|(id, _)| Arc::clone(id)).collect();
            let silent = groups.iter().filter(|id| !answered.contains(*id));
            all.extend(silent.map(|id| (Arc::clone(id), Err(ReadError::TimedOut))));
            Ok(all)
        }
        .boxed()
    }

    fn topic_names(&self) -> BoxFuture<'_, Known<BTreeSet<Arc<str>>>> {
        async {
            let answer = self.handle.topic_names(self.call_timeout).await;
            answer.map_err(|failure| meaning(&failure, &Resource::Topics))
        }
        .boxed()
    }

    fn topics<'a>(
        &'a self,
        on: NodeId,
        names: &'a [Arc<str>],
    ) -> BoxFuture<'a, Known<DescribedTopics>> {
        async move {
            let answer = self.handle.topics(on, names, self.call_timeout).await;
            let topics = answer.map_err(|failure| meaning(&failure, &Resource::Topics))?;
            let topics = topics.into_iter().map(|(name, layout)| {
                let layout = layout
                    .map_err(|failure| meaning(&failure, &Resource::Topic(Arc::clone(&name))));
                (name, layout)
            });
            Ok(DescribedTopics::new(topics.collect()))
        }
        .boxed()
    }

    fn committed<'a>(
        &'a self,
        on: NodeId,
        group: &'a str,
        partitions: &'a [TopicPartition],
    ) -> BoxFuture<'a, Known<Each<TopicPartition, Option<Offset>>>> {
        async move {
            let offsets = self.group_offsets(on, group, Some(partitions)).await?;
            let offsets = offsets.into_iter().map(|(partition, offset)| {
                let offset = match offset {
                    Ok(NOTHING_COMMITTED) => Ok(None),
                    Ok(raw) => match Offset::new(raw) {
                        Some(offset) => Ok(Some(offset)),
                        None => Err(ReadError::Other(format!("the broker gave offset {raw}"))),
                    },
                    Err(code) => Err(partition_meaning(code, &partition)),
                };
                (partition, offset)
            });
            Ok(offsets.collect())
        }
        .boxed()
    }

    fn committed_topics<'a>(
        &'a self,
        on: NodeId,
        group: &'a str,
    ) -> BoxFuture<'a, Known<BTreeSet<Arc<str>>>> {
        async move {
            let offsets = self.group_offsets(on, group, None).await?;
            let committed = offsets
                .into_iter()
                .filter(|(_, offset)| offset.is_ok_and(|o| o >= 0));
            Ok(committed.map(|(partition, _)| partition.topic).collect())
        }
        .boxed()
    }

    fn offsets<'a>(
        &'a self,
        partitions: &'a LeaderedPartitions,
        position: Position,
    ) -> BoxFuture<'a, Each<TopicPartition, Offset>> {
        async move {
            let wanted = Wanted::At(position);
            // A dead leader gives no error, but offset -1001 (`kafka.md`, rule 4).
            let meant = |raw, _| Offset::new(raw).ok_or(ReadError::LeaderUnavailable);
            self.partition_offsets(partitions, wanted, meant).await
        }
        .boxed()
    }

    fn offsets_at<'a>(
        &'a self,
        partitions: &'a LeaderedPartitions,
        at: Timestamp,
    ) -> BoxFuture<'a, Each<TopicPartition, Option<EndAt>>> {
        async move {
            let wanted = Wanted::FirstSince(at);
            let meant = |raw, timestamp| match Offset::new(raw) {
                None if raw == NOTHING_SINCE => Ok(None),
                None => Err(ReadError::LeaderUnavailable),
                Some(end) => {
                    let written = Timestamp::from_millisecond(timestamp).unwrap_or(at);
                    let at = written.max(at);
                    Ok(Some(EndAt { at, end }))
                }
            };
            self.partition_offsets(partitions, wanted, meant).await
        }
        .boxed()
    }

    fn trouble(&self) -> ReadError {
        let errors = self.handle.errors();
        self.too_many()
            .unwrap_or_else(|| trouble(&errors, self.bounds.brokers_per_cluster))
    }

    fn traffic(&self) -> Traffic {
        let mut statistics = lock(&self.statistics);
        match self.handle.take_statistics() {
            Some(json) => statistics.take(&json),
            None => Traffic::default(),
        }
    }

    fn is_broken(&self) -> bool {
        self.handle.is_broken()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.handle.close().boxed()
    }
}

/// The offset in an OffsetFetch response where nothing is committed.
const NOTHING_COMMITTED: i64 = -1001;

/// The offset in a ListOffsets response by timestamp where no record is that recent.
const NOTHING_SINCE: i64 = -1;

impl RdkafkaReader {
    /// Asks the leaders, and converts each number with `meant`.
    async fn partition_offsets<T>(
        &self,
        partitions: &LeaderedPartitions,
        wanted: Wanted,
        meant: impl Fn(i64, i64) -> Known<T>,
    ) -> Each<TopicPartition, T> {
        let chunks = self
            .handle
            .offsets(partitions, wanted, self.call_timeout)
            .await;
        let mut answers = BTreeMap::new();
        let mut unanswered = ReadError::LeaderUnavailable;
        for chunk in chunks {
            match chunk {
                Ok(offsets) => {
                    for (partition, offset) in offsets {
                        let offset = match offset {
                            Ok((raw, timestamp)) => meant(raw, timestamp),
                            Err(code) => Err(partition_meaning(code, &partition)),
                        };
                        answers.insert(partition, offset);
                    }
                }
                Err(failure) => unanswered = meaning(&failure, &Resource::Topics),
            }
        }
        let asked = partitions.as_slice().iter().cloned();
        asked
            .map(|partition| {
                let answer = answers.remove(&partition);
                (partition, answer.unwrap_or_else(|| Err(unanswered.clone())))
            })
            .collect()
    }

    async fn group_offsets(
        &self,
        on: NodeId,
        group: &str,
        partitions: Option<&[TopicPartition]>,
    ) -> Known<Vec<(TopicPartition, Result<i64, Code>)>> {
        let answer = self
            .handle
            .committed(on, group, partitions, self.call_timeout)
            .await;
        answer
            .and_then(|group| group)
            .map_err(|failure| meaning(&failure, &Resource::Group(group.into())))
    }
}
