//! One task per cluster: when to poll is in [`schedule`], one poll in [`poll`]; here is what to do
//! about a cluster that cannot be reached.

mod credentials;
mod interests;
mod poll;
mod quota;
mod rights;
mod schedule;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::connection::Connection;
use super::model::error::{Category, ReadError};
use super::model::interest::Key;
use super::model::snapshot::{Snapshot, Topic};
use super::observer::Observer;
use super::reader::ReaderFactory;
use crate::clock::Clock;
use crate::sync::lock;
use credentials::{Client, Reading, close};
use interests::PollPlan;
use poll::Poll;
use poll::memory::Memory;
use schedule::Schedule;

pub(super) use interests::{Clusters, Shared};
pub(in crate::kafka) use quota::Quota;
pub use settings::Settings;

/// The poller of one cluster.
pub(super) struct Poller {
    pub(super) clock: Clock,
    pub(super) settings: Arc<Settings>,
    pub(super) readers: Arc<dyn ReaderFactory>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) clusters: Clusters,
    pub(super) quota: Arc<Quota>,
    pub(super) wake: mpsc::UnboundedSender<Key>,
    pub(super) stop: CancellationToken,
    pub(super) shared: Arc<Shared>,
}

impl Poller {
    /// Polls until it is cancelled, or until no watch was left for [`Settings::linger`].
    pub(super) async fn run(self) {
        let mut client = Client::default();
        let mut memory = Memory::default();
        let mut schedule = Schedule::default();
        loop {
            let due = schedule.due(&self.settings, &self.shared);
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                () = self.shared.changed() => continue,
                () = sleep_until(due) => {}
            }
            if schedule.is_unused() {
                if self.retire() {
                    break;
                }
                continue;
            }
            schedule.begin();
            let snapshot = tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                snapshot = self.poll(&mut client, &mut memory) => snapshot,
            };
            schedule.end(snapshot.error.as_ref());
            self.publish(snapshot);
        }
        self.quota.retain(self.shared.identity(), |_| false);
        close(client.reading).await;
        self.observer.forgotten(self.shared.identity());
    }

    /// Removes the cluster from the pool, unless a watch was added.
    fn retire(&self) -> bool {
        let mut clusters = lock(&self.clusters);
        let unused = self.shared.is_unused();
        if unused {
            clusters.remove(self.shared.identity());
        }
        unused
    }

    async fn poll(&self, client: &mut Client, memory: &mut Memory) -> Snapshot {
        let wanted = self.shared.begin();
        let newest = self.shared.connection();
        if client.reading.as_ref().is_some_and(Reading::is_broken) {
            self.disconnect(client, memory).await;
        }
        self.renew(client, &newest, memory, &wanted).await;
        let started = Instant::now();
        let connection = client.best(&newest);
        let mut snapshot = self
            .poll_with(client, connection.clone(), memory, &wanted)
            .await;
        if snapshot.error.is_none() && client.may_be_outlived(&snapshot) {
            tracing::info!(
                cluster = %self.shared.identity(),
                "reconnects: everything that could be read is refused; the token may have expired"
            );
            self.disconnect(client, memory).await;
            // Listed with credentials that may not see all topics.
            memory.names = None;
            snapshot = self.poll_with(client, connection, memory, &wanted).await;
        }
        if let Some(ReadError::Authentication { .. }) = snapshot.error
            && let Some(refused) = client.note_refusal()
        {
            if refused.is_refusal() {
                // The reason why the current credentials fail says more.
                snapshot.error = Some(refused.error);
            } else {
                // They read less than the previous credentials, or got no answer so far. But the
                // previous ones have expired.
                self.disconnect(client, memory).await;
                snapshot = self.poll_with(client, newest, memory, &wanted).await;
                if snapshot.error.is_none() {
                    client.refused = None;
                }
            }
        }
        snapshot.renewal = client.refused.as_ref().map(|refused| refused.error.clone());
        let identity = self.shared.identity();
        self.observer.polled(identity, started.elapsed());
        if let Some(reading) = &client.reading {
            let traffic = reading.reader.traffic();
            for (api, count) in traffic.requests {
                self.observer.requested(identity, &api, count);
            }
            if let Some(connections) = traffic.connections {
                self.observer.connected(identity, connections);
            }
        }
        if snapshot.error.is_some() {
            // Nothing answered. The next attempt opens a new client, whatever state this one was
            // stuck in and wherever the names of its servers resolve by then. In between nothing
            // connects to the brokers.
            self.disconnect(client, memory).await;
        } else {
            client.note(&snapshot);
        }
        snapshot
    }

    async fn disconnect(&self, client: &mut Client, memory: &mut Memory) {
        close(client.reading.take()).await;
        memory.brokers.clear();
    }

    async fn poll_with(
        &self,
        client: &mut Client,
        connection: Connection,
        memory: &mut Memory,
        wanted: &PollPlan,
    ) -> Snapshot {
        let open = client.reader(&*self.readers, connection).await;
        let poll = Poll::new(self, memory, wanted);
        match open {
            Ok(reader) => poll.at(&*reader).await,
            Err(error) => poll.failed(error),
        }
    }

    fn publish(&self, snapshot: Snapshot) {
        for category in categories(&snapshot) {
            self.observer.failed(self.shared.identity(), category);
        }
        for key in self.shared.finish(snapshot) {
            // The receiver is only gone when the process ends.
            let _ = self.wake.send(key);
        }
    }
}

/// The kinds of failure in a poll, each once.
fn categories(snapshot: &Snapshot) -> BTreeSet<Category> {
    let topics = snapshot.topics.values().flat_map(|topic| match topic {
        Topic::Present(partitions) => partitions
            .iter()
            .filter_map(|partition| partition.end.as_ref().err())
            .collect(),
        Topic::Absent => Vec::new(),
        Topic::Unknown(error) => vec![error],
    });
    let groups = snapshot.groups.values().flat_map(|group| {
        let committed = group
            .committed
            .values()
            .filter_map(|value| value.as_ref().err());
        let selections = group.topics.values();
        let too_much = selections.filter_map(|topics| topics.as_ref().err());
        let too_much = too_much.filter(|error| error.is_too_much());
        committed.chain(group.state.as_ref().err()).chain(too_much)
    });
    let whole = snapshot.error.iter().chain(&snapshot.renewal);
    let all = whole.chain(topics).chain(groups);
    all.map(ReadError::category).collect()
}
