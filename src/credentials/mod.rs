//! Makes a connection of what the user wrote and of what Secrets and ConfigMaps hold. Pure: whoever
//! has read the objects hands over what they hold.

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

/// What a key of an object holds, as far as it can be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// This.
    Value(Secret),
    /// More than these bytes.
    TooLong(usize),
    /// Together with what else the namespace names, more than these bytes.
    TooMuch(usize),
    /// The object has no such key.
    NoKey,
    /// There is no such object.
    NoObject,
    /// The object cannot be read; why, and what to do.
    Unreadable(Arc<str>),
}

/// Why a connection cannot be made of what there is. The texts name objects and keys, and never
/// what they hold.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unusable {
    /// An object is not there.
    #[error("{0} does not exist: create it, or correct the name")]
    NoObject(Reference),
    /// An object may not be read.
    #[error("{0} cannot be read: {1}")]
    Unreadable(Reference, Arc<str>),
    /// An object lacks a key.
    #[error("{0} has no key {1}: add it, or name another")]
    NoKey(Reference, String),
    /// A value is no credential.
    #[error("{0} has more than {2} bytes in key {1}: no credentials are so long")]
    ValueTooLong(Reference, String, usize),
    /// A value is empty.
    #[error("{0} has nothing in key {1}")]
    Empty(Reference, String),
    /// A password is no text.
    #[error("{0} has something other than text in key {1}")]
    NotText(Reference, String),
    /// A password ends with a line break.
    #[error(
        "{0} has a line break at the end of key {1}, which no login has: write the value without it (printf instead of echo, or echo -n)"
    )]
    LineBreak(Reference, String),
    /// A value has a character that no login, certificate or key has.
    #[error(
        "{0} has {2} in key {1}, which no password, user name, certificate or key has: write the value anew, as plain text"
    )]
    Control(Reference, String, &'static str),
    /// A certificate or key is of no use.
    #[error("{0}, key {1}: {2}")]
    Certificate(Reference, String, BadCertificate),
    /// The authorities are too many.
    #[error(
        "trustedCertificates: all together have more than {0} bytes: name those that the brokers need"
    )]
    TooLong(usize),
    /// The namespace names too many objects.
    #[error(
        "the connections of this namespace name more than {0} Secrets and ConfigMaps: share a KafkaCluster"
    )]
    TooManyObjects(usize),
    /// What the namespace names is too large.
    #[error(
        "the connections of this namespace name more than {0} bytes in Secrets and ConfigMaps: name the certificates that the brokers need, or share a KafkaCluster"
    )]
    TooManyBytes(usize),
    /// The namespace may not log in as the operator itself (SAFE-36).
    #[error(
        "sasl: namespace {0} may not log in as the operator itself: name a Secret, or have it added to --ambient-identity-namespaces (chart value ambientIdentity.namespaces)"
    )]
    IdentityNotAllowed(Arc<str>),
    /// Nobody vouches for the brokers.
    #[error("tls: the operator's system trusts nobody: name trustedCertificates")]
    NoRoots,
}

impl Unusable {
    /// The reason that conditions and events give.
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

/// The name under which a client is shared by all resources of `namespace` that write the same.
pub fn identity(plan: &Plan, namespace: &str) -> Identity {
    connection::identity(plan.servers(), &plan.origin(namespace))
}

/// The connection, with what the objects hold. `system` are the authorities that count where none
/// are named. `revision` grows with each change of an object.
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
