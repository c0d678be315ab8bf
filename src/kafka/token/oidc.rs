//! Tokens from an OAuth 2.0 or OpenID Connect server, by the client credentials grant (RFC 6749,
//! 4.4).

use std::fmt;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::HeaderValue;
use zeroize::Zeroizing;

use super::endpoint::{Endpoint, Rules};
use super::{InvalidOidc, Token, TokenError, TokenSource, answer};
use crate::kafka::connection::secret::Secret;

/// The token endpoint, and the client to log in as.
#[derive(Clone, PartialEq, Eq)]
pub struct OidcConfig {
    /// URL of the token endpoint.
    pub token_endpoint: String,
    /// The client's id.
    pub client_id: String,
    /// The client's secret.
    pub client_secret: Secret,
    /// Scopes to ask for, separated by spaces; `None`: the server's default.
    pub scope: Option<String>,
    /// SASL extensions (RFC 7628, 3.1) to send to the broker with each token: key and value.
    pub extensions: Vec<(String, String)>,
    /// CA certificates for the endpoint, as a PEM bundle; `None`: the system's.
    pub trusted_certificates: Option<Vec<u8>>,
    /// Whether the endpoint may be http (SAFE-37).
    pub allow_insecure: bool,
    /// Whether the endpoint may be on loopback or link-local addresses (SAFE-38).
    pub allow_local_addresses: bool,
}

impl fmt::Debug for OidcConfig {
    /// Shows the client only: URLs and extensions may hold keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OidcConfig")
            .field("client_id", &self.client_id)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// Asks a token endpoint for each token.
pub struct ClientCredentials {
    endpoint: Endpoint,
    client_id: String,
    /// Marked as sensitive, so that it is never shown.
    authorization: HeaderValue,
    form: String,
    extensions: Vec<(String, String)>,
}

impl ClientCredentials {
    /// Checks the configuration. Connects to nothing yet.
    ///
    /// If no authorities are given, it reads the system's from disk.
    pub fn new(config: OidcConfig) -> Result<Self, InvalidOidc> {
        if let Some((key, _)) = config.extensions.iter().find(|entry| !may_extend(entry)) {
            return Err(InvalidOidc::Extension { key: key.clone() });
        }
        let rules = Rules {
            trusted_certificates: config.trusted_certificates.as_deref(),
            allow_insecure: config.allow_insecure,
            allow_local_addresses: config.allow_local_addresses,
        };
        Ok(Self {
            endpoint: Endpoint::new(&config.token_endpoint, &rules)?,
            authorization: basic(&config.client_id, &config.client_secret)?,
            form: form(config.scope.as_deref()),
            client_id: config.client_id,
            extensions: config.extensions,
        })
    }

    async fn ask(&self) -> Result<Token, TokenError> {
        let asked = SystemTime::now();
        let answer = self
            .endpoint
            .post(Some(self.authorization.clone()), self.form.clone())
            .await?;
        let mut token = answer::read(answer.status, &answer.body, asked, &self.client_id)?;
        token.extensions.clone_from(&self.extensions);
        Ok(token)
    }
}

impl TokenSource for ClientCredentials {
    fn token(&self) -> BoxFuture<'_, Result<Token, TokenError>> {
        self.ask().boxed()
    }
}

impl fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCredentials")
            .field("endpoint", &self.endpoint)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// Id and secret as in RFC 6749, 2.3.1: form-encoded first, then as in HTTP Basic.
fn basic(client_id: &str, secret: &Secret) -> Result<HeaderValue, InvalidOidc> {
    if client_id.is_empty() {
        return Err(InvalidOidc::ClientId);
    }
    let mut pair = Zeroizing::new(String::new());
    pair.extend(form_urlencoded::byte_serialize(client_id.as_bytes()));
    pair.push(':');
    pair.extend(form_urlencoded::byte_serialize(secret.bytes()));
    let value = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
    let mut header = HeaderValue::from_str(&value).map_err(|_| InvalidOidc::ClientId)?;
    header.set_sensitive(true);
    Ok(header)
}

fn form(scope: Option<&str>) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    if let Some(scope) = scope {
        form.append_pair("scope", scope);
    }
    form.finish()
}

/// Whether key and value have the form of RFC 7628, 3.1, and the key is not the reserved one.
fn may_extend((key, value): &(String, String)) -> bool {
    let letters = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphabetic());
    let printable = |byte: u8| matches!(byte, b' '..=b'~' | b'\t' | b'\r' | b'\n');
    letters && key != "auth" && !value.is_empty() && value.bytes().all(printable)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn id_and_secret_are_form_encoded_and_then_base64_encoded() {
        let header = basic("shop orders", &Secret::new("a+b:c%ä")).unwrap();
        let encoded = header.to_str().unwrap().strip_prefix("Basic ").unwrap();
        let pair = String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap();
        assert_eq!(pair, "shop+orders:a%2Bb%3Ac%25%C3%A4");
        assert_eq!(format!("{header:?}"), "Sensitive");
    }

    #[test]
    fn a_client_without_id_is_refused() {
        assert_eq!(
            basic("", &Secret::new("x")).unwrap_err(),
            InvalidOidc::ClientId
        );
    }

    #[rstest]
    #[case(None, "grant_type=client_credentials")]
    #[case(
        Some("kafka api://x/.default"),
        "grant_type=client_credentials&scope=kafka+api%3A%2F%2Fx%2F.default"
    )]
    fn the_scope_is_sent_if_it_is_set(#[case] scope: Option<&str>, #[case] sent: &str) {
        assert_eq!(form(scope), sent);
    }

    #[rstest]
    #[case("logicalCluster", "lkc-1", true)]
    #[case("auth", "x", false)]
    #[case("logical_cluster", "x", false)]
    #[case("", "x", false)]
    #[case("logicalCluster", "", false)]
    #[case("logicalCluster", "a\u{1}auth=b", false)]
    fn extensions_that_would_end_the_message_are_refused(
        #[case] key: &str,
        #[case] value: &str,
        #[case] sent: bool,
    ) {
        assert_eq!(may_extend(&(key.to_owned(), value.to_owned())), sent);
    }
}
