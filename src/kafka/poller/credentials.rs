//! The client of a poller, and how newer credentials replace the earlier ones: once a client with
//! them has got an answer and may read at least as much (`docs/decisions/0006`).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Poller;
use super::interests::PollPlan;
use super::poll::Poll;
use super::poll::calls::BrokerCalls;
use super::poll::memory::Memory;
use super::rights::Rights;
use super::schedule::{LOGIN_PAUSE, LONGEST_PAUSE, scattered};
use crate::kafka::connection::Connection;
use crate::kafka::connection::security::Sasl;
use crate::kafka::model::error::ReadError;
use crate::kafka::model::snapshot::{Known, NodeId, Snapshot};
use crate::kafka::reader::{ClusterReader, ReaderFactory};

/// How long the poller waits for a client to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Refused logins in a row after which credentials that worked are forgotten. A broker that starts
/// refuses known users for a moment.
const REFUSALS: u32 = 2;

/// The client of a poller.
#[derive(Default)]
pub(super) struct Client {
    pub(super) reading: Option<Reading>,
    good: Option<Good>,
    /// Newer credentials that did not work.
    pub(super) refused: Option<Refused>,
}

/// The last connection that read something.
struct Good {
    connection: Connection,
    rights: Rights,
    /// Refused logins in a row since then.
    refusals: u32,
}

/// A reader and the connection that it was opened with.
pub(super) struct Reading {
    connection: Connection,
    pub(super) reader: Arc<dyn ClusterReader>,
}

impl Reading {
    pub(super) fn is_broken(&self) -> bool {
        self.reader.is_broken()
    }
}

/// Credentials that did not work.
#[derive(Clone)]
pub(super) struct Refused {
    connection: Connection,
    pub(super) error: ReadError,
    /// They are not tried again before this time.
    until: Instant,
}

impl Refused {
    fn new(connection: Connection, error: ReadError) -> Self {
        // An attempt that got no answer cannot cause a lock-out, but each attempt delays a poll.
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

    /// Whether brokers refused them, rather than not answered.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self.error, ReadError::Authentication { .. })
    }

    /// Whether a login with them works.
    pub(super) fn logs_in(&self) -> bool {
        matches!(self.error, ReadError::FewerRights { .. })
    }
}

impl Client {
    /// The connection to read with: the newest, or the previous one while the newest does not work.
    pub(super) fn best(&self, newest: &Connection) -> Connection {
        match (&self.refused, &self.good) {
            (Some(_), Some(good)) => good.connection.clone(),
            _ => newest.clone(),
        }
    }

    pub(super) async fn reader(
        &mut self,
        readers: &dyn ReaderFactory,
        connection: Connection,
    ) -> Known<Arc<dyn ClusterReader>> {
        if let Some(reading) = &self.reading {
            return Ok(Arc::clone(&reading.reader));
        }
        let reader = readers.open(&connection).await?;
        self.reading = Some(Reading {
            connection,
            reader: Arc::clone(&reader),
        });
        Ok(reader)
    }

    /// Records the result of a poll.
    pub(super) fn note(&mut self, snapshot: &Snapshot) {
        let Some(reading) = &self.reading else {
            return;
        };
        let mut rights = match self.good.take() {
            Some(good) if good.connection == reading.connection => good.rights,
            _ => Rights::default(),
        };
        rights.note(snapshot);
        self.good = Some(Good {
            connection: reading.connection.clone(),
            rights,
            refusals: 0,
        });
    }

    /// Whether the token of the connections may have expired: everything that could be read with it
    /// a moment ago is refused at once. Some authorizers check the token that a connection has
    /// presented, and not every broker asks for a newer one (`connections.max.reauth.ms`).
    pub(super) fn may_be_outlived(&self, snapshot: &Snapshot) -> bool {
        let (Some(reading), Some(good)) = (&self.reading, &self.good) else {
            return false;
        };
        let sasl = &reading.connection.security().sasl;
        sasl.as_ref().is_some_and(Sasl::is_by_token)
            && good.connection == reading.connection
            && good.rights.is_all_denied_in(snapshot)
    }

    /// Records that no broker accepted credentials that worked before. Returns the newer ones that
    /// had not worked, if there are any.
    pub(super) fn note_refusal(&mut self) -> Option<Refused> {
        let refused = self.refused.clone()?;
        let good = self.good.as_mut()?;
        good.refusals += 1;
        if good.refusals >= REFUSALS || refused.logs_in() {
            self.good = None;
            self.refused = None;
        }
        Some(refused)
    }
}

impl Poller {
    /// Replaces the reader if there are newer credentials and they work. Until then the working
    /// reader stays.
    pub(super) async fn renew(
        &self,
        client: &mut Client,
        newest: &Connection,
        memory: &mut Memory,
        wanted: &PollPlan,
    ) {
        let Some(good) = &client.good else {
            return;
        };
        if !newest.renews(&good.connection) {
            client.refused = None;
            return;
        }
        let waits =
            |refused: &Refused| refused.connection == *newest && Instant::now() < refused.until;
        if client.refused.as_ref().is_some_and(waits) {
            return;
        }
        match self.try_out(newest, &good.rights, memory, wanted).await {
            Ok((renewed, brokers)) => {
                // It has asked for topics already, so it must not bootstrap again.
                memory.brokers = brokers;
                tracing::info!(cluster = %self.shared.identity(), "reads with new credentials");
                close(client.reading.replace(renewed)).await;
                client.refused = None;
            }
            Err(error) => {
                tracing::warn!(
                    cluster = %self.shared.identity(),
                    "keeps the old credentials, because the new ones do not work: {error}"
                );
                client.refused = Some(Refused::new(newest.clone(), error));
            }
        }
    }

    /// Opens a reader that gets an answer and may read what could be read before.
    async fn try_out(
        &self,
        connection: &Connection,
        rights: &Rights,
        memory: &Memory,
        wanted: &PollPlan,
    ) -> Known<(Reading, Vec<NodeId>)> {
        let reader = self.readers.open(connection).await?;
        let reading = Reading {
            connection: connection.clone(),
            reader: Arc::clone(&reader),
        };
        match self.trial_poll(&*reader, rights, memory, wanted).await {
            Ok(brokers) => Ok((reading, brokers)),
            Err(error) => {
                close(Some(reading)).await;
                Err(error)
            }
        }
    }

    /// Runs a trial poll with the reader. Returns the brokers that it knows, or why the reader
    /// cannot be used.
    async fn trial_poll(
        &self,
        reader: &dyn ClusterReader,
        rights: &Rights,
        memory: &Memory,
        wanted: &PollPlan,
    ) -> Known<Vec<NodeId>> {
        let now = Instant::now();
        let deadline = now + self.settings.poll_deadline;
        let ask = BrokerCalls::new(reader, deadline, self.settings.call_timeout);
        let Ok(cluster) = ask.any(reader.bootstrap()).await else {
            return Err(reader.trouble());
        };
        // Not every broker may know the new credentials yet. A broker that gives no answer at all
        // says nothing about them.
        let asked = cluster
            .brokers
            .iter()
            .map(|on| ask.on(*on, reader.groups(*on)));
        let answers = futures::future::join_all(asked).await;
        if answers.iter().any(Result::is_err)
            && let error @ ReadError::Authentication { .. } = reader.trouble()
        {
            return Err(error);
        }
        let mut memory = memory.for_rehearsal(cluster.brokers, now);
        let poll = Poll::new(self, &mut memory, wanted);
        let snapshot = poll.at(reader).await;
        let lost = rights.lost_in(&snapshot);
        snapshot.error.or(lost).map_or(Ok(memory.brokers), Err)
    }
}

pub(super) async fn close(reading: Option<Reading>) {
    if let Some(Reading { reader, .. }) = reading {
        // A client that does not close in time ends on its own thread.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, reader.close()).await;
    }
}
