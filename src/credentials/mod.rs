//! Makes a connection from the resource and from the values in Secrets and ConfigMaps. Pure: the
//! caller reads the objects and passes their values.

use std::sync::Arc;

use jiff::Timestamp;
use lagrange_core::api::condition::Reason;
use lagrange_core::intent::Plan;
use lagrange_core::intent::connection::Reference;
use thiserror::Error;

use crate::kafka::connection::certificates::BadCertificate;
use crate::kafka::connection::secret::Secret;
use crate::kafka::connection::security::Security;
use crate::kafka::connection::{self, Connection, Identity};

mod filling;

use filling::Filling;

/// The value of a key of an object, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// The value.
    Value(Secret),
    /// The value is longer than this number of bytes.
    TooLong(usize),
    /// All values that the namespace names are together longer than this number of bytes.
    TooMuch(usize),
    /// The object has no such key.
    NoKey,
    /// The object does not exist.
    NoObject,
    /// The object cannot be read; the text says why, and what to do.
    Unreadable(Arc<str>),
}

/// Why a connection cannot be made. The texts name objects and keys, never their values.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unusable {
    /// An object does not exist.
    #[error("{0} does not exist: create it, or correct the name")]
    NoObject(Reference),
    /// An object cannot be read.
    #[error("{0} cannot be read: {1}")]
    Unreadable(Reference, Arc<str>),
    /// An object lacks a key.
    #[error("{0} has no key {1}: add it, or name another")]
    NoKey(Reference, String),
    /// A value is too long for a credential.
    #[error("{0} has more than {2} bytes in key {1}, which is too long for credentials")]
    ValueTooLong(Reference, String, usize),
    /// A value is empty.
    #[error("{0} has an empty key {1}: write the value")]
    Empty(Reference, String),
    /// A password is not text.
    #[error("{0} has a value in key {1} that is not text: write it as UTF-8")]
    NotText(Reference, String),
    /// A password ends with a line break.
    #[error(
        "{0} has a line break at the end of key {1}: write the value without it (printf instead of \
         echo, or echo -n)"
    )]
    LineBreak(Reference, String),
    /// A value has a character that no login, certificate or key allows.
    #[error(
        "{0} has {2} in key {1}, which no password, user name, certificate or key allows: write the \
         value again, as plain text"
    )]
    Control(Reference, String, &'static str),
    /// A certificate or key cannot be used.
    #[error("{0}, key {1}: {2}")]
    Certificate(Reference, String, BadCertificate),
    /// There are too many CA certificates.
    #[error(
        "trustedCertificates have more than {0} bytes in total: name only those that the brokers \
         need"
    )]
    TooLong(usize),
    /// The namespace names too many objects.
    #[error(
        "the connections of this namespace name more than {0} Secrets and ConfigMaps: share a \
         KafkaCluster"
    )]
    TooManyObjects(usize),
    /// The objects that the namespace names are too large.
    #[error(
        "the connections of this namespace name more than {0} bytes in Secrets and ConfigMaps: name \
         only the certificates that the brokers need, or share a KafkaCluster"
    )]
    TooManyBytes(usize),
    /// The namespace may not log in as the operator itself (SAFE-36).
    #[error(
        "sasl: namespace {0} may not log in as the operator itself: name a Secret, or have it added \
         to --ambient-identity-namespaces (chart value ambientIdentity.namespaces)"
    )]
    IdentityNotAllowed(Arc<str>),
    /// No CA certificates are named, and the system has none.
    #[error("tls: the operator's system has no CA certificates: name trustedCertificates")]
    NoRoots,
}

impl Unusable {
    /// The reason for conditions and events.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::NoObject(_) | Self::Unreadable(..) => Reason::SecretNotFound,
            Self::TooManyObjects(_) | Self::TooManyBytes(_) => Reason::TooManyConnections,
            Self::IdentityNotAllowed(_) => Reason::IdentityNotAllowed,
            Self::TooLong(_)
            | Self::NoKey(..)
            | Self::ValueTooLong(..)
            | Self::Empty(..)
            | Self::NotText(..)
            | Self::LineBreak(..)
            | Self::Control(..)
            | Self::Certificate(..)
            | Self::NoRoots => Reason::SecretInvalid,
        }
    }
}

/// The identity of a client. All resources of `namespace` with the same connection share it.
pub fn identity(plan: &Plan, namespace: &str) -> Identity {
    connection::identity(plan.servers(), &plan.origin(namespace))
}

/// The connection, with the values of the objects. `system` are the CA certificates for the case
/// that none are named. `revision` grows with each change of an object.
pub fn connection(
    plan: &Plan,
    namespace: &str,
    held: impl Fn(&Reference, &str) -> Held,
    system: Option<&Secret>,
    revision: u64,
    now: Timestamp,
) -> Result<Connection, Unusable> {
    let filling = Filling {
        held: &held,
        system,
        now,
        allow_insecure: plan.allows_insecure(),
    };
    let sasl = plan.sasl().and_then(|sasl| filling.sasl(sasl).transpose());
    let security = Security {
        tls: plan.tls().map(|tls| filling.tls(tls)).transpose()?,
        sasl: sasl.transpose()?,
    };
    Ok(Connection::new(
        plan.servers().clone(),
        security,
        &plan.origin(namespace),
        revision,
    ))
}

#[cfg(test)]
mod tests;
