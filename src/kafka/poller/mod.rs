//! One task per cluster: when to look, and what to do about a cluster that cannot be reached. What one look does is
//! [`look`]'s.

mod ask;
mod commits;
mod groups;
mod look;
mod memory;
mod offsets;
mod shared;
#[cfg(test)]
mod tests;
mod topics;

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;

use super::connection::Connection;
use super::error::ReadError;
use super::interest::Key;
use super::pool::{Clusters, Settings, lock};
use super::reader::{ClusterReader, ReaderFactory};
use super::snapshot::{Known, Snapshot, Topic};
use super::stats::Observer;

use ask::Asker;
use look::Look;
use memory::Memory;
pub(super) use shared::Shared;
use shared::Wanted;

/// First pause after a look that read nothing; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(2);

/// Longest pause between looks at a cluster that cannot be reached.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Least pause after a login that was refused, however many groups wait for it: brokers lock out whoever knocks too often. New
/// credentials are tried at once.
const LOGIN_PAUSE: Duration = Duration::from_secs(60);

/// How long a client may take to close before it is left to itself.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The poller of one cluster.
pub(super) struct Poller {
    pub(super) clock: Clock,
    pub(super) settings: Arc<Settings>,
    pub(super) readers: Arc<dyn ReaderFactory>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) clusters: Clusters,
    pub(super) wake: mpsc::UnboundedSender<Key>,
    pub(super) stop: CancellationToken,
    pub(super) shared: Arc<Shared>,
}

/// When the last look began, and how the looks have gone.
#[derive(Default)]
struct Pace {
    last: Option<Instant>,
    /// Looks in a row that read nothing.
    failures: u32,
    /// The last look could not log in.
    login_refused: bool,
    /// When the last user left.
    unused_since: Option<Instant>,
}

impl Poller {
    /// Looks until it is told to stop, or until nobody has watched for [`Settings::linger`].
    pub(super) async fn run(self) {
        let mut client = Client::default();
        let mut memory = Memory::default();
        let mut pace = Pace::default();
        loop {
            let due = self.due(&mut pace);
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                () = self.shared.changed() => continue,
                () = sleep_until(due) => {}
            }
            if pace.unused_since.is_some() {
                if self.retire() {
                    break;
                }
                continue;
            }
            pace.last = Some(Instant::now());
            let snapshot = tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                snapshot = self.look(&mut client, &mut memory) => snapshot,
            };
            pace.login_refused = matches!(snapshot.error, Some(ReadError::Authentication { .. }));
            pace.failures = match snapshot.error {
                None => 0,
                Some(_) => pace.failures.saturating_add(1),
            };
            self.publish(snapshot);
        }
        close(client.reading).await;
        self.observer.forgotten(self.shared.identity());
    }

    /// When something is to be done next: a look, or retiring when nobody watches.
    fn due(&self, pace: &mut Pace) -> Instant {
        let now = Instant::now();
        let Some(interval) = self.shared.interval() else {
            return *pace.unused_since.get_or_insert(now) + self.settings.linger;
        };
        pace.unused_since = None;
        let Some(last) = pace.last else { return now };
        let interval = interval.clamp(self.settings.min_interval, self.settings.max_interval);
        match pace.failures {
            0 if self.shared.is_urgent() || self.shared.is_renewed() => {
                last + self.settings.min_gap.min(interval)
            }
            0 => last + interval,
            _ if self.shared.is_renewed() => last + self.settings.min_gap,
            _ if pace.login_refused => last + scattered(LOGIN_PAUSE),
            failures => last + pause(failures).max(self.settings.min_gap),
        }
    }

    /// Ends the cluster's membership in the pool, unless somebody has begun to watch it.
    fn retire(&self) -> bool {
        let mut clusters = lock(&self.clusters);
        let unused = self.shared.is_unused();
        if unused {
            clusters.remove(self.shared.identity());
        }
        unused
    }

    async fn look(&self, client: &mut Client, memory: &mut Memory) -> Snapshot {
        let wanted = self.shared.begin();
        let connection = self.shared.connection();
        if client.reading.as_ref().is_some_and(Reading::is_broken) {
            close(client.reading.take()).await;
            memory.brokers.clear();
        }
        self.renew(client, &connection).await;
        let started = Instant::now();
        let mut snapshot = self
            .look_with(client, connection.clone(), memory, &wanted)
            .await;
        if let (Some(error @ ReadError::Authentication { .. }), Some(good)) =
            (&snapshot.error, client.good.clone())
            && connection.renews(&good)
        {
            // The newest credentials do not work, and there are some that did.
            let refused = Refused::new(connection, error.clone());
            close(client.reading.take()).await;
            memory.brokers.clear();
            let again = self.look_with(client, good, memory, &wanted).await;
            match again.error {
                None => {
                    client.refused = Some(refused);
                    snapshot = again;
                }
                // Those are of no use any more either.
                Some(ReadError::Authentication { .. }) => client.good = None,
                Some(_) => {}
            }
        }
        snapshot.renewal = client.refused.as_ref().map(|refused| refused.error.clone());
        let identity = self.shared.identity();
        self.observer.looked(identity, started.elapsed());
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
            // Nothing answered. The next try is with a new client, in whatever state this one was stuck and wherever the
            // names of its servers lead by then; in between nobody knocks at the brokers' doors.
            close(client.reading.take()).await;
            client.refused = None;
            memory.brokers.clear();
        } else if let Some(reading) = &client.reading {
            client.good = Some(reading.connection.clone());
        }
        snapshot
    }

    async fn look_with(
        &self,
        client: &mut Client,
        connection: Connection,
        memory: &mut Memory,
        wanted: &Wanted,
    ) -> Snapshot {
        let open = self.reader(client, connection).await;
        let look = Look::new(&self.clock, &self.settings, memory, wanted);
        match open {
            Ok(reader) => look.at(&*reader).await,
            Err(error) => look.failed(error),
        }
    }

    async fn reader(
        &self,
        client: &mut Client,
        connection: Connection,
    ) -> Known<Arc<dyn ClusterReader>> {
        if let Some(reading) = &client.reading {
            return Ok(Arc::clone(&reading.reader));
        }
        let reader = self.readers.open(&connection).await?;
        client.reading = Some(Reading {
            connection,
            reader: Arc::clone(&reader),
        });
        Ok(reader)
    }

    /// Replaces the reader where there are newer credentials and they work. Until they do, the reader that works stays.
    async fn renew(&self, client: &mut Client, connection: &Connection) {
        let Some(reading) = &client.reading else {
            return;
        };
        if !connection.renews(&reading.connection) {
            client.refused = None;
            return;
        }
        let waits =
            |refused: &Refused| refused.connection == *connection && Instant::now() < refused.until;
        if client.refused.as_ref().is_some_and(waits) {
            return;
        }
        match self.try_out(connection).await {
            Ok(renewed) => {
                tracing::info!(cluster = %self.shared.identity(), "reads with new credentials");
                close(client.reading.replace(renewed)).await;
                client.refused = None;
            }
            Err(error) => {
                tracing::warn!(cluster = %self.shared.identity(), "keeps the old credentials: the new ones do not work: {error}");
                client.refused = Some(Refused::new(connection.clone(), error));
            }
        }
    }

    /// A reader that has been answered.
    async fn try_out(&self, connection: &Connection) -> Known<Reading> {
        let reader = self.readers.open(connection).await?;
        let reading = Reading {
            connection: connection.clone(),
            reader: Arc::clone(&reader),
        };
        let ask = Asker::new(
            &*reader,
            Instant::now() + self.settings.look_deadline,
            self.settings.call_timeout,
        );
        let error = match ask.any(reader.bootstrap()).await {
            Err(_) => reader.trouble(),
            Ok(cluster) => {
                // Not every broker may know them yet. One that does not answer at all is no reason against them.
                let asked = cluster
                    .brokers
                    .iter()
                    .map(|on| ask.on(*on, reader.groups(*on)));
                let answers = futures::future::join_all(asked).await;
                let refused = answers.iter().any(Result::is_err).then(|| reader.trouble());
                match refused {
                    Some(error @ ReadError::Authentication { .. }) => error,
                    _ => return Ok(reading),
                }
            }
        };
        close(Some(reading)).await;
        Err(error)
    }

    fn publish(&self, snapshot: Snapshot) {
        for category in categories(&snapshot) {
            self.observer.failed(self.shared.identity(), category);
        }
        for key in self.shared.finish(snapshot) {
            // Nobody listens only when the process is ending.
            let _ = self.wake.send(key);
        }
    }
}

/// What a poller reads with.
#[derive(Default)]
struct Client {
    reading: Option<Reading>,
    /// The last connection over which was read.
    good: Option<Connection>,
    /// Newer credentials that did not work.
    refused: Option<Refused>,
}

/// A reader, and what it was opened with.
struct Reading {
    connection: Connection,
    reader: Arc<dyn ClusterReader>,
}

impl Reading {
    fn is_broken(&self) -> bool {
        self.reader.is_broken()
    }
}

/// Credentials that did not work.
struct Refused {
    connection: Connection,
    error: ReadError,
    /// They are not tried again before this.
    until: Instant,
}

impl Refused {
    fn new(connection: Connection, error: ReadError) -> Self {
        // Nobody locks out whom nobody heard; but every try keeps a look waiting.
        let pause = match error {
            ReadError::Authentication { .. } => LOGIN_PAUSE,
            _ => LONGEST_PAUSE,
        };
        Self {
            connection,
            error,
            until: Instant::now() + scattered(pause),
        }
    }
}

async fn close(reading: Option<Reading>) {
    if let Some(Reading { reader, .. }) = reading {
        // A client that does not close in time is left to end on a thread of its own.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, reader.close()).await;
    }
}

/// The time, or up to a quarter more, so that the operators and clusters of a fleet do not knock in step.
fn scattered(pause: Duration) -> Duration {
    let random = RandomState::new().hash_one(0) % 250;
    pause.mul_f64(1.0 + random_share(random))
}

/// The pause after so many looks in a row that read nothing: doubling, give or take a fifth, so that the operators and
/// clusters of a fleet do not knock in step.
fn pause(failures: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1_u32 << failures.saturating_sub(1).min(16));
    let random = RandomState::new().hash_one(failures) % 400;
    doubled
        .min(LONGEST_PAUSE)
        .mul_f64(0.8 + random_share(random))
}

/// `thousandths` of one.
fn random_share(thousandths: u64) -> f64 {
    f64::from(u16::try_from(thousandths).unwrap_or(0)) / 1000.0
}

/// The kinds of failure that a look met, each once.
fn categories(snapshot: &Snapshot) -> BTreeSet<&'static str> {
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
        committed.chain(group.state.as_ref().err())
    });
    let whole = snapshot.error.iter().chain(&snapshot.renewal);
    let all = whole.chain(topics).chain(groups);
    all.map(super::error::ReadError::category).collect()
}
