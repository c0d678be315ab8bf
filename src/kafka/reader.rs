//! The requests that one poll makes to a cluster, as a trait, so that the poller can be tested with
//! a scripted reader. No policy here: the poller decides which broker is asked for what, and what
//! an answer means for the next poll.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;

use super::connection::Connection;
use super::model::error::ReadError;
use super::model::snapshot::{
    EndAt, GroupState, Known, Member, NodeId, Offset, Protocol, TopicPartition,
};

/// Opens readers. The pool keeps one reader per cluster identity.
pub trait ReaderFactory: fmt::Debug + Send + Sync + 'static {
    /// A reader for this connection. It need not have connected yet.
    fn open<'a>(
        &'a self,
        connection: &'a Connection,
    ) -> BoxFuture<'a, Known<Arc<dyn ClusterReader>>>;
}

/// One answer for each thing that was asked for.
pub type Each<K, T> = Vec<(K, Known<T>)>;

/// Asks one cluster. Every call ends by itself within a few seconds, and may be dropped at any
/// time.
///
/// Calls that take a [`NodeId`] ask that broker and no other (`kafka.md`, rule 2).
pub trait ClusterReader: fmt::Debug + Send + Sync + 'static {
    /// The brokers, from the bootstrap server that answers first. Only for a reader that has made
    /// no other request yet.
    fn bootstrap(&self) -> BoxFuture<'_, Known<Cluster>>;

    /// The brokers that the broker `on` knows.
    fn cluster(&self, on: NodeId) -> BoxFuture<'_, Known<Cluster>>;

    /// The groups that the broker `on` coordinates and that may be described. A broker that is
    /// loading lists fewer without an error, and so does every broker while a group moves: a group
    /// that is not listed may still exist (`kafka.md`, rule 7).
    fn groups(&self, on: NodeId) -> BoxFuture<'_, Known<Vec<ListedGroup>>>;

    /// Members and assignor of groups that the broker `on` coordinates. One entry for each group
    /// asked for.
    fn describe<'a>(
        &'a self,
        on: NodeId,
        groups: &'a [Arc<str>],
    ) -> BoxFuture<'a, Known<Each<Arc<str>, DescribedGroup>>>;

    /// Names of all topics that may be described, internal ones included.
    fn topic_names(&self) -> BoxFuture<'_, Known<BTreeSet<Arc<str>>>>;

    /// Partitions and leaders of these topics, as the broker `on` knows them.
    fn topics<'a>(
        &'a self,
        on: NodeId,
        names: &'a [Arc<str>],
    ) -> BoxFuture<'a, Known<DescribedTopics>>;

    /// The offsets that `group` has committed for these partitions. One entry for each partition
    /// asked for.
    fn committed<'a>(
        &'a self,
        on: NodeId,
        group: &'a str,
        partitions: &'a [TopicPartition],
    ) -> BoxFuture<'a, Known<Each<TopicPartition, Option<Offset>>>>;

    /// The topics in which `group` has committed anything. Topics that may not be described are
    /// left out without an error (`kafka.md`, rule 6), so this finds names of topics, but not
    /// offsets.
    fn committed_topics<'a>(
        &'a self,
        on: NodeId,
        group: &'a str,
    ) -> BoxFuture<'a, Known<BTreeSet<Arc<str>>>>;

    /// Offsets from the leaders of these partitions. One entry for each partition asked for.
    fn offsets<'a>(
        &'a self,
        partitions: &'a LeaderedPartitions,
        position: Position,
    ) -> BoxFuture<'a, Each<TopicPartition, Offset>>;

    /// The first record whose timestamp is `at` or later, and that timestamp; `None`: there is no
    /// such record. One entry for each partition asked for.
    fn offsets_at<'a>(
        &'a self,
        partitions: &'a LeaderedPartitions,
        at: Timestamp,
    ) -> BoxFuture<'a, Each<TopicPartition, Option<EndAt>>>;

    /// Why nothing answers: the last reason since the last answer.
    fn trouble(&self) -> ReadError;

    /// What was sent since the last call of this.
    fn traffic(&self) -> Traffic;

    /// Whether it can never answer again, so that it has to be opened again.
    fn is_broken(&self) -> bool;

    /// Closes it. Returns when its connections are closed, or after a few seconds.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// A cluster as one of its brokers knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// `cluster.id`.
    pub id: Option<Arc<str>>,
    /// Its live brokers, sorted.
    pub brokers: Vec<NodeId>,
}

/// A group in a broker's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedGroup {
    /// `group.id`.
    pub id: Arc<str>,
    /// Its state; `None` if the broker did not report it.
    pub state: Option<GroupState>,
    /// Its protocol.
    pub protocol: Protocol,
}

/// A group as its coordinator describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedGroup {
    /// Its state; `None` if the broker did not report it.
    pub state: Option<GroupState>,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its assignor, when it has one.
    pub assignor: Option<Arc<str>>,
    /// Its members.
    pub members: Vec<Member>,
}

/// A topic's partitions, by index, each with its leader if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicLayout {
    /// The leader of each partition.
    pub leaders: Vec<Option<NodeId>>,
    /// Whether it is an internal topic of Kafka.
    pub internal: bool,
}

/// The reply to [`ClusterReader::topics`].
#[derive(Debug, Clone, Default)]
pub struct DescribedTopics {
    topics: Vec<(Arc<str>, Known<TopicLayout>)>,
}

impl DescribedTopics {
    /// For readers only: what a broker has just reported.
    pub(super) fn new(topics: Vec<(Arc<str>, Known<TopicLayout>)>) -> Self {
        Self { topics }
    }

    /// Adds the other topics of another reply.
    pub(super) fn extend(&mut self, other: Self) {
        self.topics.extend(other.topics);
    }

    /// Keeps only the wanted topics.
    pub(super) fn retain(&mut self, wanted: impl Fn(&Arc<str>) -> bool) {
        self.topics.retain(|(name, _)| wanted(name));
    }

    /// The topics, in the order of the replies.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Known<TopicLayout>)> {
        self.topics.iter().map(|(name, layout)| (name, layout))
    }

    /// The partitions that have a leader and that `wanted` accepts.
    pub fn leadered(
        &self,
        mut wanted: impl FnMut(&TopicPartition, NodeId) -> bool,
    ) -> LeaderedPartitions {
        let mut partitions = Vec::new();
        for (topic, layout) in self.iter() {
            let Ok(layout) = layout else { continue };
            for (partition, leader) in (0..).zip(&layout.leaders) {
                let Some(leader) = *leader else { continue };
                let partition = TopicPartition {
                    topic: Arc::clone(topic),
                    partition,
                };
                if wanted(&partition, leader) {
                    partitions.push(partition);
                }
            }
        }
        LeaderedPartitions(partitions)
    }
}

/// Partitions whose leaders a broker has just named. Only [`DescribedTopics`] makes them: by then
/// librdkafka has refreshed the cache that it needs to find leaders (`kafka.md`, rule 3).
#[derive(Debug, Clone)]
pub struct LeaderedPartitions(Vec<TopicPartition>);

impl LeaderedPartitions {
    /// The partitions.
    pub fn as_slice(&self) -> &[TopicPartition] {
        &self.0
    }
}

/// Which offset of a partition to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Position {
    /// The first that is still kept.
    Start,
    /// The one after the last record.
    End,
    /// The last stable offset.
    StableEnd,
}

/// What a reader has sent, and over how many connections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests since the last call, by Kafka's name of their kind.
    pub requests: Vec<(Arc<str>, u64)>,
    /// Open connections, if they are known.
    pub connections: Option<u64>,
}
