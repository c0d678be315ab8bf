//! [`ClusterReader`] over librdkafka. Says in this room's words what Kafka's errors mean; keeps no state but the client.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use rdkafka_sys::rd_kafka_resp_err_t as kafka;

use super::connection::Connection;
use super::error::ReadError;
use super::native::{Code, Failure, Handle};
use super::pool::lock;
use super::reader::{
    Cluster, ClusterReader, DescribedGroup, DescribedTopics, Each, LeaderedPartitions, ListedGroup,
    Position, ReaderFactory, Traffic,
};
use super::snapshot::{GroupState, Known, NodeId, Offset, Protocol, TopicPartition};
use super::statistics::Statistics;

/// How long bootstrapping may take: long enough for two servers that take a connection and say nothing
/// ([`SETUP_TIMEOUT`]) before one that answers.
const BOOTSTRAP_TIMEOUT: Duration = Duration::from_secs(7);

/// How long a connection may take to be made, and a broker to say which versions it speaks, in milliseconds. librdkafka
/// tries one server at a time until one is connected.
const SETUP_TIMEOUT: &str = "2500";

/// How often librdkafka counts what it sent, in milliseconds.
const STATISTICS_INTERVAL: &str = "5000";

/// Opens librdkafka clients.
#[derive(Debug, Clone)]
pub struct RdkafkaFactory {
    /// How long one question to one broker may take.
    pub call_timeout: Duration,
    /// Whether loopback and link-local addresses may be connected to (decision 38).
    pub allow_local_addresses: bool,
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
    call_timeout: Duration,
    statistics: Mutex<Statistics>,
}

impl RdkafkaReader {
    /// A reader for this connection. It connects with its first question.
    pub async fn open(connection: &Connection, factory: &RdkafkaFactory) -> Known<Self> {
        let mut properties = connection.properties();
        properties.extend(properties_of_all());
        match Handle::open(properties, factory.allow_local_addresses).await {
            Ok(handle) => Ok(Self {
                handle,
                call_timeout: factory.call_timeout,
                statistics: Mutex::default(),
            }),
            Err(failure) => Err(ReadError::Other(failure.message)),
        }
    }
}

fn properties_of_all() -> Vec<(&'static str, String)> {
    // Never joined, and never used by anybody else: a handle without one crashes (`native`).
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
        ("socket.connection.setup.timeout.ms", own(SETUP_TIMEOUT)),
        ("api.version.request.timeout.ms", own(SETUP_TIMEOUT)),
        // A broker that comes back is connected to by the next look. How often one that cannot be reached at all is tried
        // is the poller's affair: it closes the client in between.
        ("reconnect.backoff.max.ms", own("1000")),
        ("log.connection.close", own("false")),
        ("log.queue", own("true")),
        ("statistics.interval.ms", own(STATISTICS_INTERVAL)),
    ]
}

impl ClusterReader for RdkafkaReader {
    fn bootstrap(&self) -> BoxFuture<'_, Known<Cluster>> {
        async {
            let answer = self.handle.bootstrap(BOOTSTRAP_TIMEOUT).await;
            match answer {
                Ok(cluster) => Ok(cluster),
                Err(_) => Err(self.trouble()),
            }
        }
        .boxed()
    }

    fn cluster(&self, on: NodeId) -> BoxFuture<'_, Known<Cluster>> {
        async move {
            let answer = self.handle.cluster(on, self.call_timeout).await;
            answer.map_err(|failure| meaning(&failure, "the cluster"))
        }
        .boxed()
    }

    fn groups(&self, on: NodeId) -> BoxFuture<'_, Known<Vec<ListedGroup>>> {
        async move {
            let answer = self.handle.groups(on, self.call_timeout).await;
            let (groups, errors) = answer.map_err(|failure| meaning(&failure, "groups"))?;
            // A dead broker is an error beside an empty list. One that is loading lists what it has.
            match errors.first() {
                Some(failure) if groups.is_empty() => match meaning(failure, "groups") {
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
            let answer = answer.map_err(|failure| meaning(&failure, "groups"))?;
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
            answer.map_err(|failure| meaning(&failure, "topics"))
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
            let topics = answer.map_err(|failure| meaning(&failure, "topics"))?;
            let topics = topics.into_iter().map(|(name, layout)| {
                let layout = layout.map_err(|failure| meaning(&failure, &format!("topic {name}")));
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
            let chunks = self
                .handle
                .offsets(partitions, position, self.call_timeout)
                .await;
            let mut answers = BTreeMap::new();
            let mut unanswered = ReadError::LeaderUnavailable;
            for chunk in chunks {
                match chunk {
                    Ok(offsets) => {
                        for (partition, offset) in offsets {
                            let offset = match offset {
                                // A leader that is dead: no error, offset -1001 (`kafka.md`, rule 4).
                                Ok(raw) => Offset::new(raw).ok_or(ReadError::LeaderUnavailable),
                                Err(code) => Err(partition_meaning(code, &partition)),
                            };
                            answers.insert(partition, offset);
                        }
                    }
                    Err(failure) => unanswered = meaning(&failure, "topics"),
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
        .boxed()
    }

    fn trouble(&self) -> ReadError {
        trouble(&self.handle.errors())
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

/// What an OffsetFetch answers where nothing is committed.
const NOTHING_COMMITTED: i64 = -1001;

impl RdkafkaReader {
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
        let resource = || format!("group {group}");
        answer
            .and_then(|group| group)
            .map_err(|failure| meaning(&failure, &resource()))
    }
}

/// What a failed description says of a group.
fn described(id: &str, failure: &Failure) -> Known<DescribedGroup> {
    if failure.code.0 == kafka::RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND as i32 {
        return Ok(DescribedGroup {
            state: Some(GroupState::Dead),
            protocol: Protocol::Unknown,
            assignor: None,
            members: Vec::new(),
        });
    }
    // librdkafka's words for a group of Kafka Connect and the like: "GroupId x is not a consumer group (connect)."
    if let Some((_, rest)) = failure.message.rsplit_once("is not a consumer group (") {
        let kind = rest.trim_end_matches([')', '.']).to_owned();
        return Err(ReadError::GroupType { kind });
    }
    Err(meaning(failure, &format!("group {id}")))
}

fn partition_meaning(code: Code, partition: &TopicPartition) -> ReadError {
    let failure = Failure::new(code);
    meaning(&failure, &format!("topic {}", partition.topic))
}

/// What an error of Kafka or librdkafka means, when `resource` was asked about.
fn meaning(failure: &Failure, resource: &str) -> ReadError {
    use kafka as e;
    let Ok(code) = e::try_from(failure.code.0) else {
        return ReadError::Other(failure.message.clone());
    };
    match code {
        e::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED
        | e::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED
        | e::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED => ReadError::Authorization {
            resource: resource.to_owned(),
        },
        e::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
        | e::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_ID
        | e::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC
        | e::RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION
        | e::RD_KAFKA_RESP_ERR__NOENT => ReadError::UnknownTopic,
        e::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE
        | e::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION
        | e::RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE
        | e::RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH
        | e::RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH
        | e::RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE
        | e::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR => ReadError::LeaderUnavailable,
        e::RD_KAFKA_RESP_ERR_NOT_COORDINATOR => ReadError::NotCoordinator,
        e::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS
        | e::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE => ReadError::CoordinatorUnavailable,
        e::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT
        | e::RD_KAFKA_RESP_ERR__TIMED_OUT
        | e::RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE => ReadError::TimedOut,
        e::RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION
        | e::RD_KAFKA_RESP_ERR__TRANSPORT
        | e::RD_KAFKA_RESP_ERR__RESOLVE
        | e::RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN
        | e::RD_KAFKA_RESP_ERR__DESTROY
        | e::RD_KAFKA_RESP_ERR__DESTROY_BROKER => ReadError::Unreachable {
            detail: advice(failure),
        },
        e::RD_KAFKA_RESP_ERR__AUTHENTICATION
        | e::RD_KAFKA_RESP_ERR__SSL
        | e::RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED => ReadError::Authentication {
            detail: failure.message.clone(),
        },
        _ => ReadError::Other(failure.message.clone()),
    }
}

/// Why nothing answers, by what librdkafka told meanwhile: a refused login says more than a connection that failed.
fn trouble(errors: &[Failure]) -> ReadError {
    let meanings = errors.iter().map(|failure| meaning(failure, "the cluster"));
    let telling = |error: &ReadError| {
        matches!(
            error,
            ReadError::Authentication { .. } | ReadError::Authorization { .. }
        )
    };
    if let Some(error) = meanings.into_iter().find(telling) {
        return error;
    }
    let detail = match errors.first() {
        Some(failure) => advice(failure),
        // It says nothing when a server takes the connection and never answers, as one does that expects TLS or a login
        // first.
        None => "no answer: wrong protocol or port?".to_owned(),
    };
    ReadError::Unreachable { detail }
}

/// librdkafka's reason, and what to check.
fn advice(failure: &Failure) -> String {
    let message = &failure.message;
    let hint = if failure.code.0 == kafka::RD_KAFKA_RESP_ERR__RESOLVE as i32 {
        "; is the name right, and known where the operator runs?"
    } else if message.contains("Connection refused") {
        "; is Kafka listening there?"
    } else if message.contains("Permission denied") {
        "; loopback and link-local addresses are refused without --allow-local-addresses"
    } else {
        ""
    };
    format!("{message}{hint}")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn failure(code: kafka, message: &str) -> Failure {
        Failure {
            code: Code(code as i32),
            message: message.to_owned(),
        }
    }

    #[rstest]
    #[case::refused(
        kafka::RD_KAFKA_RESP_ERR__TRANSPORT,
        "k:1/1: Connect to ipv4#10.0.0.1:1 failed: Connection refused",
        "no broker answered: k:1/1: Connect to ipv4#10.0.0.1:1 failed: Connection refused; is Kafka listening there?"
    )]
    #[case::local(
        kafka::RD_KAFKA_RESP_ERR__TRANSPORT,
        "k:1/1: Failed to connect to broker at k:1: Permission denied",
        "no broker answered: k:1/1: Failed to connect to broker at k:1: Permission denied; \
         loopback and link-local addresses are refused without --allow-local-addresses"
    )]
    #[case::unknown_name(
        kafka::RD_KAFKA_RESP_ERR__RESOLVE,
        "k:1/bootstrap: Failed to resolve 'k:1': Name or service not known",
        "no broker answered: k:1/bootstrap: Failed to resolve 'k:1': Name or service not known; \
         is the name right, and known where the operator runs?"
    )]
    #[case::login(
        kafka::RD_KAFKA_RESP_ERR__AUTHENTICATION,
        "k:1/1: SASL authentication error: Authentication failed",
        "login refused: k:1/1: SASL authentication error: Authentication failed"
    )]
    fn trouble_says_what_to_check(#[case] code: kafka, #[case] message: &str, #[case] text: &str) {
        assert_eq!(trouble(&[failure(code, message)]).to_string(), text);
    }

    #[test]
    fn trouble_that_librdkafka_does_not_tell_is_guessed() {
        let text = "no broker answered: no answer: wrong protocol or port?";
        assert_eq!(trouble(&[]).to_string(), text);
    }

    #[rstest]
    #[case(
        kafka::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
        "AuthorizationFailed"
    )]
    #[case(kafka::RD_KAFKA_RESP_ERR_NOT_COORDINATOR, "GroupUnreadable")]
    #[case(kafka::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, "TopicNotFound")]
    #[case(kafka::RD_KAFKA_RESP_ERR__NOENT, "TopicNotFound")]
    #[case(kafka::RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH, "PartitionsUnreadable")]
    #[case(kafka::RD_KAFKA_RESP_ERR__TIMED_OUT, "KafkaUnreachable")]
    #[case(kafka::RD_KAFKA_RESP_ERR__RESOLVE, "KafkaUnreachable")]
    #[case(kafka::RD_KAFKA_RESP_ERR__AUTHENTICATION, "AuthenticationFailed")]
    #[case(kafka::RD_KAFKA_RESP_ERR_POLICY_VIOLATION, "PartitionsUnreadable")]
    fn errors_have_a_category(#[case] code: kafka, #[case] category: &str) {
        assert_eq!(meaning(&failure(code, "x"), "group g").category(), category);
    }

    #[test]
    fn an_error_that_the_bindings_do_not_know_is_an_error() {
        let new = Failure::new(Code(9_999));
        assert_eq!(
            meaning(&new, "group g"),
            ReadError::Other("error 9999".to_owned())
        );
    }

    #[test]
    fn a_group_of_another_kind_is_named() {
        let other = failure(
            kafka::RD_KAFKA_RESP_ERR__INVALID_ARG,
            "GroupId c is not a consumer group (connect).",
        );
        let kind = "connect".to_owned();
        assert_eq!(described("c", &other), Err(ReadError::GroupType { kind }));
    }
}
