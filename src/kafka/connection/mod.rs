//! How to connect to Kafka: checked, normalised, and never shown whole in a log. Reads nothing,
//! connects to nothing.

pub mod certificates;
pub mod secret;
pub mod security;

use std::fmt;
use std::sync::Arc;

use lagrange_core::intent::fingerprint::Fingerprint;
use lagrange_core::intent::servers::{InvalidConnection, Servers};

use secret::Secret;
use security::Security;

/// How to reach a Kafka cluster. Two connections with equal [`Identity`] share one client.
#[derive(Clone, PartialEq, Eq)]
pub struct Connection {
    servers: Servers,
    security: Security,
    origin: Arc<str>,
    revision: u64,
}

/// What makes two connections the same: their servers, in any order, case and repetition, and where
/// their credentials come from. The credentials themselves are not part of it: they may change
/// while the client keeps reading (`docs/decisions/0006`). Stable, and free of secrets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    shown: Arc<str>,
    origin: Arc<str>,
}

impl Identity {
    /// The servers, sorted, separated by commas. With credentials, also a short number for their
    /// origin.
    pub fn as_str(&self) -> &str {
        &self.shown
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Connection {
    /// A plaintext connection.
    ///
    /// ```
    /// use lagrange::kafka::connection::Connection;
    /// let one = Connection::plaintext(["Kafka-1:9092", "kafka-0"])?;
    /// let other = Connection::plaintext(["kafka-0:9092", "kafka-1:9092", "kafka-1:9092"])?;
    /// assert_eq!(one.identity(), other.identity());
    /// # Ok::<(), lagrange_core::intent::servers::InvalidConnection>(())
    /// ```
    pub fn plaintext<I>(bootstrap_servers: I) -> Result<Self, InvalidConnection>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let servers = Servers::parse(bootstrap_servers)?;
        Ok(Self::new(servers, Security::default(), "", 0))
    }

    /// A connection with credentials. `origin` names where they come from: namespace, objects,
    /// keys, and everything about the login that is not secret. Connections of one origin share a
    /// client. Of two connections with the same identity, the one with the higher `revision` has
    /// the newer credentials.
    pub fn new(servers: Servers, security: Security, origin: &str, revision: u64) -> Self {
        Self {
            servers,
            security,
            origin: origin.into(),
            revision,
        }
    }

    /// The name under which a client for this connection is shared.
    pub fn identity(&self) -> Identity {
        identity(&self.servers, &self.origin)
    }

    /// Number of bootstrap servers, at least 1.
    pub(super) fn servers(&self) -> usize {
        self.servers.count()
    }

    /// Encryption and login.
    pub fn security(&self) -> &Security {
        &self.security
    }

    /// Whether it has newer credentials than `other`, which must have the same identity.
    pub(super) fn renews(&self, other: &Self) -> bool {
        self.revision > other.revision && self.security != other.security
    }

    /// Refuses servers that are loopback or link-local by their literal address or by the name
    /// `localhost`.
    ///
    /// Names that resolve to such addresses, and brokers that advertise them, are refused when the
    /// socket connects (`kafka::rdkafka::native`).
    pub fn refuse_local_addresses(&self) -> Result<(), InvalidConnection> {
        self.servers.refuse_local_addresses()
    }

    /// The properties of librdkafka for this connection.
    pub(super) fn properties(&self) -> Vec<(&'static str, Secret)> {
        let servers = Secret::new(self.servers.to_string());
        let mut properties = vec![("bootstrap.servers", servers)];
        properties.extend(self.security.properties());
        properties
    }
}

/// The identity of connections to these servers with credentials of this origin.
pub fn identity(servers: &Servers, origin: &str) -> Identity {
    let shown = if origin.is_empty() {
        servers.to_string()
    } else {
        let number = Fingerprint::new().with("origin", origin).number();
        format!("{servers}#{:08x}", number & 0xffff_ffff)
    };
    Identity {
        shown: shown.into(),
        origin: origin.into(),
    }
}

impl fmt::Debug for Connection {
    /// Servers and the kind of protection, without credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({}, {:?})", self.servers, self.security)
    }
}
