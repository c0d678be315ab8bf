//! The watches, the pool that they use, and its password.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use lagrange::kafka::connection::Connection;
use lagrange::kafka::connection::security::{PasswordMechanism, Security};
use lagrange::kafka::model::interest::Key;
use lagrange::kafka::pool::{Pool, Watch};
use lagrange_testing::scene::{connection, login, trusting};

use super::cast::Cast;

/// The watches, by group.
pub(crate) type Watches = Arc<Mutex<BTreeMap<String, Watch>>>;

/// A pool, and the watches in it.
pub(crate) struct Eyes {
    pub(crate) pool: Pool,
    pub(crate) bootstrap: String,
    pub(crate) authorities: String,
    pub(crate) password: String,
    pub(crate) revision: u64,
    pub(crate) cast: Arc<Cast>,
    pub(crate) watches: Watches,
}

impl Eyes {
    fn connection(&self, password: &str) -> Connection {
        let security = Security {
            tls: trusting(&self.authorities),
            sasl: login(PasswordMechanism::ScramSha512, password),
        };
        connection(&self.bootstrap, security, self.revision)
    }

    /// Watches every group that is not watched yet.
    pub(crate) fn watch_all(&mut self) {
        let connection = self.connection(&self.password);
        let mut watches = self.watches.lock().unwrap();
        for id in self.cast.groups.keys() {
            if !watches.contains_key(id) {
                let key = Key::consumer_group("test", id);
                let interest = self.cast.interest(id);
                let watch = self.pool.watch(&connection, key, interest).unwrap();
                watches.insert(id.clone(), watch);
            }
        }
    }

    pub(crate) fn stop_watching(&self, group: &str) {
        self.watches.lock().unwrap().remove(group);
    }

    /// Passes on a password.
    pub(crate) fn renew(&mut self, password: &str) {
        self.revision += 1;
        let connection = self.connection(password);
        if let Some(watch) = self.watches.lock().unwrap().values().next() {
            watch.renew(&connection);
        }
    }

    /// Passes on the password that the brokers accept.
    pub(crate) fn renew_rightly(&mut self) {
        let password = self.password.clone();
        self.renew(&password);
    }
}
