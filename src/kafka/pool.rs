//! One reader and one poller per cluster, however many resources use it. Keeps track of who watches
//! what. Reads nothing itself.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{FutureExt, Stream};
use lagrange_core::api::condition::Reason;
use lagrange_core::intent::servers::InvalidConnection;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{Connection, Identity};
use super::model::interest::{Interest, Key};
use super::model::snapshot::Snapshot;
use super::observer::Observer;
use super::poller::{Clusters, Poller, Quota, Shared};
use super::reader::ReaderFactory;
use crate::clock::Clock;
use crate::sync::lock;

pub use super::poller::Settings;

/// All clusters that are watched. Clones share one pool.
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

struct Inner {
    clock: Clock,
    settings: Arc<Settings>,
    readers: Arc<dyn ReaderFactory>,
    observer: Arc<dyn Observer>,
    clusters: Clusters,
    quota: Arc<Quota>,
    wake: mpsc::UnboundedSender<Key>,
    failures: mpsc::UnboundedSender<PollerFailed>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Why a cluster is not watched.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WatchError {
    /// The connection is not allowed.
    #[error(transparent)]
    Connection(#[from] InvalidConnection),
    /// The namespace watches as many clusters as it may.
    #[error(
        "the resources of this namespace already use {limit} different Kafka connections, which is \
         the limit: share one with clusterRef, or raise --max-connections-per-namespace"
    )]
    TooManyConnections {
        /// The limit.
        limit: usize,
    },
}

impl WatchError {
    /// The reason in conditions and events.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Connection(_) => Reason::InvalidSpec,
            Self::TooManyConnections { .. } => Reason::TooManyConnections,
        }
    }
}

impl Pool {
    /// A pool without clusters, the stream of resources to wake, and the failures of pollers.
    ///
    /// Call this and its methods within a Tokio runtime.
    pub fn new(
        clock: Clock,
        settings: Settings,
        readers: Arc<dyn ReaderFactory>,
        observer: Arc<dyn Observer>,
    ) -> (Self, Wakeups, Failures) {
        let (wake, wakeups) = mpsc::unbounded_channel();
        let (failures, failed) = mpsc::unbounded_channel();
        let pool = Self(Arc::new(Inner {
            clock,
            quota: Arc::new(Quota::new(settings.max_partitions)),
            settings: Arc::new(settings),
            readers,
            observer,
            clusters: Clusters::default(),
            wake,
            failures,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }));
        (pool, Wakeups(wakeups), Failures(failed))
    }

    /// Makes every poll of the cluster read `interest` and wake `key`, until the watch is dropped.
    ///
    /// The first poll follows at once, or within [`Settings::min_gap`]. Drop an old watch before
    /// taking a new one for the same key: both count against the namespace's limit.
    pub fn watch(
        &self,
        connection: &Connection,
        key: Key,
        interest: Interest,
    ) -> Result<Watch, WatchError> {
        let inner = &self.0;
        if !inner.settings.allow_local_addresses {
            connection.refuse_local_addresses()?;
        }
        let identity = connection.identity();
        let mut clusters = lock(&inner.clusters);
        let limit = inner.settings.max_clusters_per_namespace;
        let used = clusters
            .iter()
            .filter(|(other, shared)| **other != identity && shared.serves(&key.namespace))
            .count();
        if used >= limit {
            return Err(WatchError::TooManyConnections { limit });
        }
        let shared = clusters.entry(identity.clone()).or_insert_with(|| {
            let shared = Arc::new(Shared::new(identity, connection.clone()));
            self.spawn(Arc::clone(&shared));
            shared
        });
        shared.renew(connection);
        let id = shared.join(key, interest);
        Ok(Watch {
            id,
            shared: Arc::clone(shared),
        })
    }

    /// Number of connected clusters, including those that linger without a watch.
    pub fn clusters(&self) -> usize {
        lock(&self.0.clusters).len()
    }

    /// Ends all pollers and closes their connections. Returns after `within` at the latest,
    /// whatever librdkafka does. The result says whether all have ended.
    pub async fn shutdown(&self, within: Duration) -> bool {
        self.0.stop.cancel();
        self.0.tasks.close();
        tokio::time::timeout(within, self.0.tasks.wait())
            .await
            .is_ok()
    }

    fn spawn(&self, shared: Arc<Shared>) {
        let inner = &self.0;
        let identity = shared.identity().clone();
        let failures = inner.failures.clone();
        let poller = Poller {
            clock: inner.clock,
            settings: Arc::clone(&inner.settings),
            readers: Arc::clone(&inner.readers),
            observer: Arc::clone(&inner.observer),
            clusters: Arc::clone(&inner.clusters),
            quota: Arc::clone(&inner.quota),
            wake: inner.wake.clone(),
            stop: inner.stop.child_token(),
            shared,
        };
        inner.tasks.spawn(async move {
            // A poller ends when it is cancelled or has no watch left. After a panic its users
            // would keep an old snapshot and never notice.
            if let Err(panic) = AssertUnwindSafe(poller.run()).catch_unwind().await {
                let reason = panic
                    .downcast_ref::<&str>()
                    .map(|text| (*text).to_owned())
                    .or_else(|| panic.downcast_ref::<String>().cloned())
                    .unwrap_or_else(|| "panic".to_owned());
                // The receiver is only gone when the process ends.
                let _ = failures.send(PollerFailed { identity, reason });
            }
        });
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("clusters", &self.clusters())
            .finish_non_exhaustive()
    }
}

/// Keeps one resource's interest alive. Dropping it ends the interest; the last one of a cluster
/// also ends the connection.
#[derive(Debug)]
pub struct Watch {
    id: u64,
    shared: Arc<Shared>,
}

impl Watch {
    /// What the last poll found; `None` before the first. That poll may have begun before this
    /// interest was added.
    pub fn latest(&self) -> Option<Arc<Snapshot>> {
        self.shared.latest()
    }

    /// Changes what is read. A change brings the next poll forward.
    pub fn update(&self, interest: Interest) {
        self.shared.update(self.id, interest);
    }

    /// Passes on a connection of the same identity with newer credentials. The client that reads is
    /// replaced once a new client has connected with them.
    pub fn renew(&self, connection: &Connection) {
        self.shared.renew(connection);
    }

    /// Whether each poll describes the group's members (KNOW-22), instead of one every two minutes.
    pub fn describe_members(&self, describes_members: bool) {
        self.shared.describe_members(self.id, describes_members);
    }

    /// Brings the next poll forward, right after an action or before one. It never comes sooner
    /// than [`Settings::min_gap`] after the last poll, nor while the cluster cannot be reached.
    pub fn poll_now(&self) {
        self.shared.poll_now();
    }

    /// The watched cluster.
    pub fn identity(&self) -> &Identity {
        self.shared.identity()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.leave(self.id);
    }
}

/// The resources to wake: after each poll, exactly those that watch its cluster.
#[derive(Debug)]
pub struct Wakeups(mpsc::UnboundedReceiver<Key>);

impl Stream for Wakeups {
    type Item = Key;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Key>> {
        self.0.poll_recv(cx)
    }
}

/// Pollers that ended without being cancelled.
#[derive(Debug)]
pub struct Failures(mpsc::UnboundedReceiver<PollerFailed>);

impl Failures {
    /// The next failure. The process should end with it. Pending as long as there is none.
    pub async fn next(&mut self) -> PollerFailed {
        match self.0.recv().await {
            Some(failure) => failure,
            None => std::future::pending().await,
        }
    }
}

/// A poller ended without being cancelled.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the poller of Kafka cluster {identity} failed: {reason}")]
pub struct PollerFailed {
    /// Its cluster.
    pub identity: Identity,
    /// The message of its panic.
    pub reason: String,
}
