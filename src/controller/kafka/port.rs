//! What the controller needs of the room that reads Kafka, so that tests can hand it the looks they
//! like.

use std::{fmt, sync::Arc};

use crate::kafka::connection::{Connection, Identity};
use crate::kafka::model::interest::{Interest, Key};
use crate::kafka::model::snapshot::Snapshot;
use crate::kafka::pool::{Pool, Watch, WatchError};

/// All clusters that can be watched.
pub trait Clusters: fmt::Debug + Send + Sync + 'static {
    /// Has every look at the cluster read `interest` too, and `key` woken after each, until what is
    /// returned is dropped.
    fn watch(
        &self,
        connection: &Connection,
        key: Key,
        interest: Interest,
    ) -> Result<Box<dyn Watching>, WatchError>;
}

/// One resource's interest in one cluster.
pub trait Watching: fmt::Debug + Send + Sync {
    /// What the last look saw. It may be from before this interest was known.
    fn latest(&self) -> Option<Arc<Snapshot>>;
    /// Changes what is read.
    fn update(&self, interest: Interest);
    /// Hands over a connection of the same identity with newer credentials.
    fn renew(&self, connection: &Connection);
    /// Whether each look shall describe the members.
    fn describe_members(&self, attentive: bool);
    /// Brings the next look forward.
    fn poll_now(&self);
    /// The cluster.
    fn identity(&self) -> &Identity;
}

impl Clusters for Pool {
    fn watch(
        &self,
        connection: &Connection,
        key: Key,
        interest: Interest,
    ) -> Result<Box<dyn Watching>, WatchError> {
        Ok(Box::new(Self::watch(self, connection, key, interest)?))
    }
}

impl Watching for Watch {
    fn latest(&self) -> Option<Arc<Snapshot>> {
        Self::latest(self)
    }

    fn update(&self, interest: Interest) {
        Self::update(self, interest);
    }

    fn renew(&self, connection: &Connection) {
        Self::renew(self, connection);
    }

    fn describe_members(&self, attentive: bool) {
        Self::describe_members(self, attentive);
    }

    fn poll_now(&self) {
        Self::poll_now(self);
    }

    fn identity(&self) -> &Identity {
        Self::identity(self)
    }
}
