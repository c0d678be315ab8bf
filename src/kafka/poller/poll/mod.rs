//! One poll of a cluster, from the first request to the snapshot. The order is that of `kafka.md`:
//! groups, members, topics, committed offsets, and end offsets last, so that this order never makes
//! a lag negative.

mod admission;
mod backlog_age;
pub(super) mod calls;
mod commits;
mod context;
pub(super) mod describe;
mod earlier;
mod foreign;
mod groups;
pub(super) mod memory;
mod offsets;
mod selection;
mod topics;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::Instant;

use super::Poller;
use super::interests::PollPlan;
use crate::kafka::model::error::ReadError;
use crate::kafka::model::snapshot::{Group, Known, NodeId, Protocol, Snapshot, Topic};
use crate::kafka::reader::{Cluster, ClusterReader};
use calls::BrokerCalls;
use commits::Committed;
use context::PollContext;
use describe::Described;
use groups::{GroupProbe, GroupProbes, Lists, locate};
use memory::Memory;
use selection::Selected;

/// One poll.
pub(super) struct Poll<'a> {
    context: PollContext<'a>,
    memory: &'a mut Memory,
}

impl<'a> Poll<'a> {
    pub(super) fn new(poller: &'a Poller, memory: &'a mut Memory, wanted: &'a PollPlan) -> Self {
        let (clock, cluster) = (&poller.clock, poller.shared.identity());
        memory.polls += 1;
        let groups = &wanted.groups;
        memory.groups.retain(|id, _| groups.contains_key(id));
        memory.refused.retain(|subject, _| wanted.wants(subject));
        poller
            .quota
            .retain(cluster, |subject| wanted.wants(subject));
        let context = PollContext {
            clock,
            settings: &poller.settings,
            quota: &poller.quota,
            cluster,
            held: poller.quota.subjects(cluster),
            wanted,
            began: Instant::now(),
            started: clock.now(),
        };
        Self { context, memory }
    }

    /// The snapshot of a poll in which the cluster did not answer.
    pub(super) fn failed(self, error: ReadError) -> Snapshot {
        self.snapshot(Some(error), BTreeMap::new(), BTreeMap::new())
    }

    /// Runs the poll.
    pub(super) async fn at(mut self, reader: &dyn ClusterReader) -> Snapshot {
        let settings = self.context.settings;
        let deadline = self.context.began + settings.poll_deadline;
        let ask = BrokerCalls::new(reader, deadline, settings.call_timeout);
        let lists = match self.lists(&ask).await {
            Ok(lists) => lists,
            Err(error) => return self.failed(error),
        };
        let (context, memory) = (&self.context, &mut *self.memory);
        let mut probes = locate(&lists, memory, context.wanted);
        groups::describe_groups(context, memory, &ask, &mut probes).await;
        let mut selected = topics::select_topics(context, memory, &ask, &probes).await;
        let described = admission::describe_topics(context, memory, &ask, &mut selected).await;
        let selected = topics::without_internal(memory, selected);
        let committed =
            offsets::committed(context, memory, &ask, &probes, &selected, &described).await;
        let Described {
            reply,
            topic_states,
        } = described;
        let topics =
            offsets::offsets(context, memory, &ask, &reply, topic_states, &committed).await;
        earlier::earlier(context, memory, &ask, &reply, &committed, &topics).await;
        let groups = self.groups(probes, selected, committed, &topics);
        self.snapshot(None, topics, groups)
    }

    /// Finds the brokers and the groups that each of them lists. Fails if none answers.
    async fn lists(&mut self, ask: &BrokerCalls<'_>) -> Known<Lists> {
        if self.memory.brokers.is_empty() {
            let cluster = ask.any(ask.reader.bootstrap()).await;
            let cluster = cluster.map_err(|_| ask.reader.trouble())?;
            self.know(cluster);
        }
        let brokers = self.memory.brokers.clone();
        let mut lists = self.list(ask, &brokers).await;
        if lists.is_empty() {
            // None of the known brokers answered. The next poll begins with a new reader and the
            // bootstrap servers.
            return Err(ask.reader.trouble());
        }
        for on in ask.live(&self.memory.brokers, self.memory.polls) {
            match ask.on(on, ask.reader.cluster(on)).await {
                Ok(cluster) => {
                    self.know(cluster);
                    break;
                }
                Err(error) if error.is_too_many_brokers() => return Err(error),
                Err(_) => {}
            }
        }
        let known = &self.memory.brokers;
        let new: Vec<_> = known
            .iter()
            .filter(|id| !brokers.contains(id))
            .copied()
            .collect();
        lists.extend(self.list(ask, &new).await);
        lists.retain(|on, _| !ask.is_down(*on));
        if lists.is_empty() {
            return Err(ask.reader.trouble());
        }
        Ok(lists)
    }

    fn know(&mut self, cluster: Cluster) {
        let id = cluster.id.map(foreign::id);
        self.memory.cluster_id = id.or(self.memory.cluster_id.take());
        self.memory.brokers = cluster.brokers;
    }

    async fn list(&self, ask: &BrokerCalls<'_>, brokers: &[NodeId]) -> Lists {
        let asked = brokers.iter().map(|&on| async move {
            let list = ask.on(on, ask.reader.groups(on)).await;
            (on, list)
        });
        let answers: Vec<_> = asked.collect::<FuturesUnordered<_>>().collect().await;
        let answered = answers
            .into_iter()
            .filter_map(|(on, list)| Some((on, list.ok()?)));
        let wanted = answered.map(|(on, mut list)| {
            // A large cluster has many more groups.
            list.retain(|group| self.context.wanted.groups.contains_key(&group.id));
            list.shrink_to_fit();
            (on, list)
        });
        wanted.collect()
    }

    fn groups(
        &self,
        probes: GroupProbes,
        mut selected: Selected,
        mut committed: BTreeMap<Arc<str>, Committed>,
        topics: &BTreeMap<Arc<str>, Topic>,
    ) -> BTreeMap<Arc<str>, Group> {
        let mut groups = BTreeMap::new();
        for (
            id,
            GroupProbe {
                state, protocol, ..
            },
        ) in probes
        {
            let memory = self.memory.groups.get(&id);
            let Some(mut offsets) = committed.remove(&id) else {
                continue;
            };
            offsets.refuse_beyond_end(topics);
            let group = Group {
                state,
                protocol: protocol.unwrap_or(Protocol::Unknown),
                coordinator: memory.and_then(|memory| memory.coordinator),
                committed: offsets.partitions,
                committed_at: offsets.at,
                earlier: memory
                    .map(|memory| memory.earlier.ends())
                    .unwrap_or_default(),
                description: memory.and_then(|memory| memory.description.clone()),
                topics: selected.remove(&id).unwrap_or_default(),
            };
            groups.insert(id, group);
        }
        groups
    }

    fn snapshot(
        self,
        error: Option<ReadError>,
        topics: BTreeMap<Arc<str>, Topic>,
        groups: BTreeMap<Arc<str>, Group>,
    ) -> Snapshot {
        Snapshot {
            poll: self.memory.polls,
            started: self.context.started,
            finished: self.context.clock.now(),
            cluster_id: self.memory.cluster_id.clone(),
            brokers: self.memory.brokers.clone(),
            renewal: None,
            error,
            topics,
            groups,
        }
    }
}
