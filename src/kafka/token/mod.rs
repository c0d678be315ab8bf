//! Bearer tokens for logins by SASL/OAUTHBEARER. Independent of librdkafka, which gets the tokens,
//! and of where secrets are stored.
//!
//! Times are those of the system, not of `clock`: servers and librdkafka compare them with theirs.

pub mod aws;
pub mod credentials;
pub mod identity;
pub mod oidc;

mod answer;
mod endpoint;
mod error;

use std::fmt;
use std::time::SystemTime;

use futures::future::BoxFuture;
use zeroize::Zeroizing;

pub use error::{InvalidAws, InvalidOidc, OauthError, TokenError};

/// Where bearer tokens come from.
pub trait TokenSource: Send + Sync + fmt::Debug {
    /// A fresh token.
    fn token(&self) -> BoxFuture<'_, Result<Token, TokenError>>;
}

/// A bearer token and its properties.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    value: Zeroizing<String>,
    /// When it stops being accepted.
    pub expires: SystemTime,
    /// The principal that it authenticates.
    pub principal: String,
    /// SASL extensions (RFC 7628, 3.1) to send to the broker with it: key and value.
    pub extensions: Vec<(String, String)>,
}

impl Token {
    /// A token without extensions.
    pub fn new(value: String, expires: SystemTime, principal: String) -> Self {
        Self {
            value: Zeroizing::new(value),
            expires,
            principal,
            extensions: Vec::new(),
        }
    }

    /// The text for the broker. A secret.
    pub fn value(&self) -> &str {
        &self.value
    }
}

impl fmt::Debug for Token {
    /// Shows everything but the token itself and the values of extensions.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extensions: Vec<_> = self.extensions.iter().map(|(key, _)| key).collect();
        f.debug_struct("Token")
            .field("expires", &self.expires)
            .field("principal", &self.principal)
            .field("extensions", &extensions)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
