//! What a poller reads with, and how newer credentials take the place of those before: once a
//! client that was opened with them has been answered, and may read at least as much
//! (`docs/decisions/0006`).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Poller;
use super::interests::Wanted;
use super::poll::Look;
use super::poll::calls::Asker;
use super::poll::memory::Memory;
use super::rights::Rights;
use super::schedule::{LOGIN_PAUSE, LONGEST_PAUSE, scattered};
use crate::kafka::connection::Connection;
use crate::kafka::connection::security::Sasl;
use crate::kafka::model::error::ReadError;
use crate::kafka::model::snapshot::{Known, NodeId, Snapshot};
use crate::kafka::reader::{ClusterReader, ReaderFactory};

/// How long a client may take to close before it is left to itself.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// How often in a row credentials that worked are refused before they are forgotten: a broker that
/// starts refuses for a moment whom it knows.
const REFUSALS: u32 = 2;

/// What a poller reads with.
#[derive(Default)]
pub(super) struct Client {
    pub(super) reading: Option<Reading>,
    good: Option<Good>,
    /// Newer credentials that did not work.
    pub(super) refused: Option<Refused>,
}

/// The last connection over which was read.
struct Good {
    connection: Connection,
    rights: Rights,
    /// Logins in a row that were refused since.
    refusals: u32,
}

/// A reader, and what it was opened with.
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

    /// Whether brokers said no to them, and not nothing.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self.error, ReadError::Authentication { .. })
    }

    /// Whether they are good for something.
    pub(super) fn logs_in(&self) -> bool {
        matches!(self.error, ReadError::FewerRights { .. })
    }
}

impl Client {
    /// What to read with: the newest credentials, or those before while those are of no use.
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

    /// A look has been answered.
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

    /// Whether the token of the connections may have ended: all that could be read with them a
    /// moment ago is refused at once. Some authorizers look at the token that a connection has
    /// shown, and not every broker asks for a newer one (`connections.max.reauth.ms`).
    pub(super) fn may_be_outlived(&self, snapshot: &Snapshot) -> bool {
        let (Some(reading), Some(good)) = (&self.reading, &self.good) else {
            return false;
        };
        let sasl = &reading.connection.security().sasl;
        sasl.as_ref().is_some_and(Sasl::is_by_token)
            && good.connection == reading.connection
            && good.rights.is_all_denied_in(snapshot)
    }

    /// Nobody has let us in with credentials that worked before. Gives the newer ones, for want of
    /// which they were used.
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
    /// Replaces the reader where there are newer credentials and they work. Until they do, the
    /// reader that works stays.
    pub(super) async fn renew(
        &self,
        client: &mut Client,
        newest: &Connection,
        memory: &mut Memory,
        wanted: &Wanted,
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
                // It has asked for topics, and is not to bootstrap again.
                memory.brokers = brokers;
                tracing::info!(cluster = %self.shared.identity(), "reads with new credentials");
                close(client.reading.replace(renewed)).await;
                client.refused = None;
            }
            Err(error) => {
                tracing::warn!(cluster = %self.shared.identity(), "keeps the old credentials: the new ones do not work: {error}");
                client.refused = Some(Refused::new(newest.clone(), error));
            }
        }
    }

    /// A reader that has been answered, and that may read what could be read before.
    async fn try_out(
        &self,
        connection: &Connection,
        rights: &Rights,
        memory: &Memory,
        wanted: &Wanted,
    ) -> Known<(Reading, Vec<NodeId>)> {
        let reader = self.readers.open(connection).await?;
        let reading = Reading {
            connection: connection.clone(),
            reader: Arc::clone(&reader),
        };
        match self.rehearse(&*reader, rights, memory, wanted).await {
            Ok(brokers) => Ok((reading, brokers)),
            Err(error) => {
                close(Some(reading)).await;
                Err(error)
            }
        }
    }

    /// Has the reader make a look that does not count; gives the brokers that it knows then, or
    /// what is in the way of reading with it.
    async fn rehearse(
        &self,
        reader: &dyn ClusterReader,
        rights: &Rights,
        memory: &Memory,
        wanted: &Wanted,
    ) -> Known<Vec<NodeId>> {
        let now = Instant::now();
        let deadline = now + self.settings.look_deadline;
        let ask = Asker::new(reader, deadline, self.settings.call_timeout);
        let Ok(cluster) = ask.any(reader.bootstrap()).await else {
            return Err(reader.trouble());
        };
        // Not every broker may know them yet. One that does not answer at all is no reason against
        // them.
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
        let look = Look::new(self, &mut memory, wanted);
        let snapshot = look.at(reader).await;
        let lost = rights.lost_in(&snapshot);
        snapshot.error.or(lost).map_or(Ok(memory.brokers), Err)
    }
}

pub(super) async fn close(reading: Option<Reading>) {
    if let Some(Reading { reader, .. }) = reading {
        // A client that does not close in time is left to end on a thread of its own.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, reader.close()).await;
    }
}
