//! An access key of AWS. Plain data.

use crate::kafka::connection::secret::Secret;

/// An access key, permanent or with the session token of a temporary one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsCredentials {
    /// The access key's id; no secret.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: Secret,
    /// The session token, if the key is a temporary one.
    pub session_token: Option<Secret>,
}
