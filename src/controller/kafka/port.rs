//! The part of the Kafka reader that the controller uses, as traits, so that tests can supply
//! snapshots of their own.

use std::{fmt, sync::Arc};

use crate::kafka::connection::{Connection, Identity};
use crate::kafka::model::interest::{Interest, Key};
use crate::kafka::model::snapshot::Snapshot;
use crate::kafka::pool::{Pool, Watch, WatchError};

/// All clusters that can be watched.
pub trait Clusters: fmt::Debug + Send + Sync + 'static {
    /// Adds `interest` to every poll of the cluster and wakes `key` after each, until the returned
    /// value is dropped.
    fn watch(
        &self,
        connection: &Connection,
        key: Key,
        interest: Interest,
    ) -> Result<Box<dyn Watching>, WatchError>;
}

/// One resource's interest in one cluster.
pub trait Watching: fmt::Debug + Send + Sync {
    /// The snapshot of the latest poll. It may be from before this interest was added.
    fn latest(&self) -> Option<Arc<Snapshot>>;
    /// Changes what is read.
    fn update(&self, interest: Interest);
    /// Replaces the connection by one of the same identity with newer credentials.
    fn renew(&self, connection: &Connection);
    /// Whether each poll describes the members.
    fn describe_members(&self, attentive: bool);
    /// Brings the next poll forward.
    fn poll_now(&self);
    /// The identity of the cluster.
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
