//! Why there is no token. The messages contain nothing of a secret, a token or the body of an
//! answer.

use std::io;

use lagrange_core::text;
use thiserror::Error;

/// Why there is no token. Cheap to clone: snapshots hold it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokenError {
    /// The endpoint answers, but gives this client no token.
    #[error("the token endpoint refused (status {status}{}): {}", .error.named(), .error.advice())]
    Refused {
        /// The status of its answer.
        status: u16,
        /// Which of the standard errors it gave.
        error: OauthError,
    },
    /// Nothing can be signed with the credentials.
    #[error(
        "no signature can be made with these AWS credentials: check the access key and the region"
    )]
    NotSigned,
    /// AWS recognises the operator's Pod, but gives it no credentials.
    #[error(
        "AWS gives the operator's pod no credentials (status {status}): check the role of its \
         service account, and who may assume that role"
    )]
    IdentityRefused {
        /// The status of its answer.
        status: u16,
    },
    /// The identity of the operator's Pod cannot be used.
    #[error("the AWS identity of the operator's pod cannot be used: {reason}")]
    Identity {
        /// One of a fixed set of reasons.
        reason: &'static str,
    },
    /// The endpoint's name has no address.
    #[error(
        "the token endpoint's host {host} has no address: check its name, and the DNS of the \
         operator's pod"
    )]
    NoAddress {
        /// The host in the endpoint's URL.
        host: String,
    },
    /// The endpoint's name resolves to the operator's own machine or link (SAFE-38).
    #[error(
        "the token endpoint's host {host} has only loopback or link-local addresses, which the \
         operator does not connect to; name another, or run the operator with \
         --allow-local-addresses"
    )]
    LocalAddress {
        /// The host in the endpoint's URL.
        host: String,
    },
    /// No connection to the endpoint.
    #[error("no connection to the token endpoint {authority}: {reason}")]
    NotConnected {
        /// Its host and port.
        authority: String,
        /// What the system says.
        reason: io::ErrorKind,
    },
    /// The endpoint's certificate is not trusted, or it does not speak TLS.
    #[error("no TLS with the token endpoint {authority}: {reason}")]
    Tls {
        /// Its host and port.
        authority: String,
        /// One of a fixed set of reasons, and what to do.
        reason: &'static str,
    },
    /// No complete answer before the deadline.
    #[error(
        "no answer from the token endpoint {authority} within {seconds} s: check that it is up, \
         and the network policies"
    )]
    TimedOut {
        /// Its host and port.
        authority: String,
        /// The deadline.
        seconds: u64,
    },
    /// Connected, but there was no answer, or none in HTTP.
    #[error(
        "the token endpoint {authority} gave no HTTP answer: check the port, and whether it \
         expects https"
    )]
    NotHttp {
        /// Its host and port.
        authority: String,
    },
    /// The answer is larger than any token.
    #[error(
        "the token endpoint's answer has more than {limit} bytes: check that the URL is that of a \
         token endpoint"
    )]
    TooLarge {
        /// Bytes that are read.
        limit: usize,
    },
    /// The endpoint redirects to another URL.
    #[error(
        "the token endpoint redirects (status {status}), which is not followed: use the URL that \
         it redirects to"
    )]
    Redirected {
        /// The status of its answer.
        status: u16,
    },
    /// A status that is neither success nor a refusal.
    #[error(
        "the token endpoint answered with status {status}: check that the URL is that of a token \
         endpoint, and check its own log"
    )]
    Status {
        /// The status of its answer.
        status: u16,
    },
    /// The status is success, but the answer has no usable token.
    #[error("the token endpoint's answer cannot be used: {reason}")]
    Unusable {
        /// One of a fixed set of reasons.
        reason: &'static str,
    },
}

impl TokenError {
    /// Whether the request was refused, rather than not answered.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Refused { .. } | Self::IdentityRefused { .. } | Self::NotSigned
        )
    }
}

/// Why the configured endpoint cannot be used. The URL is not repeated: some put keys into it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidOidc {
    /// No URL, or one with a user or a fragment.
    #[error(
        "the token endpoint is not a URL like https://sso.example.com/token, without user and \
         fragment"
    )]
    Endpoint,
    /// The secret would cross the network unencrypted (SAFE-37).
    #[error(
        "the token endpoint is http, which shows the client's secret to the network; use https, or \
         set allowInsecure"
    )]
    Plaintext,
    /// The endpoint is on the operator's own machine or link (SAFE-38).
    #[error(
        "the token endpoint's host {host} is a loopback or link-local address, which the operator \
         does not connect to; use another, or run the operator with --allow-local-addresses"
    )]
    LocalAddress {
        /// The host in the URL.
        host: String,
    },
    /// There is no client id.
    #[error("there is no client id: set the one that the token endpoint has for this client")]
    ClientId,
    /// No certificate in the bundle, or one that cannot be read.
    #[error(
        "the trusted certificates for the token endpoint cannot be read: give CA certificates in \
         PEM"
    )]
    Certificates,
    /// There are no trusted authorities.
    #[error("this system trusts no authorities: give the CA certificates for the token endpoint")]
    NoAuthorities,
    /// An extension that SASL cannot carry.
    #[error(
        "SASL extension {} cannot be sent: use letters only for its key, not \"auth\", and \
         printable ASCII for its value",
        text::quoted(.key)
    )]
    Extension {
        /// Its key.
        key: String,
    },
}

/// Why the credentials or the region cannot be used to sign.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidAws {
    /// Not an AWS region.
    #[error("{} is not an AWS region; write it like eu-central-1", text::quoted(.region))]
    Region {
        /// What was written.
        region: String,
    },
    /// The process lacks the variables that give a Pod its identity.
    #[error(
        "the operator's pod has no AWS identity: give its service account a role (EKS Pod Identity \
         or IRSA), or set sasl.aws.credentialsSecret"
    )]
    NoIdentity,
    /// A variable is not a URL that may be asked for credentials.
    #[error(
        "{variable} of the operator's pod is not a URL for credentials: use https, or http to this \
         machine or to the agent of EKS"
    )]
    Endpoint {
        /// Which variable.
        variable: &'static str,
    },
    /// A credential is empty, or has spaces or line ends.
    #[error(
        "the {name} is empty or has characters that it cannot have: check it for spaces and line \
         ends"
    )]
    Credential {
        /// Which credential; never its value.
        name: &'static str,
    },
}

/// The errors of RFC 6749, 5.2. No other text of an endpoint is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OauthError {
    /// `invalid_request`
    InvalidRequest,
    /// `invalid_client`
    InvalidClient,
    /// `invalid_grant`
    InvalidGrant,
    /// `unauthorized_client`
    UnauthorizedClient,
    /// `unsupported_grant_type`
    UnsupportedGrantType,
    /// `invalid_scope`
    InvalidScope,
    /// None of them, or none at all.
    Other,
}

impl OauthError {
    const STANDARD: [Self; 6] = [
        Self::InvalidRequest,
        Self::InvalidClient,
        Self::InvalidGrant,
        Self::UnauthorizedClient,
        Self::UnsupportedGrantType,
        Self::InvalidScope,
    ];

    /// The error with this code.
    pub(super) fn of(code: &str) -> Self {
        Self::STANDARD
            .into_iter()
            .find(|error| error.code() == Some(code))
            .unwrap_or(Self::Other)
    }

    /// The code in the standard.
    pub fn code(self) -> Option<&'static str> {
        match self {
            Self::InvalidRequest => Some("invalid_request"),
            Self::InvalidClient => Some("invalid_client"),
            Self::InvalidGrant => Some("invalid_grant"),
            Self::UnauthorizedClient => Some("unauthorized_client"),
            Self::UnsupportedGrantType => Some("unsupported_grant_type"),
            Self::InvalidScope => Some("invalid_scope"),
            Self::Other => None,
        }
    }

    fn named(self) -> String {
        self.code()
            .map_or_else(String::new, |code| format!(", {code}"))
    }

    fn advice(self) -> &'static str {
        match self {
            Self::InvalidClient => "check the client id and the client secret",
            Self::InvalidScope => "check the scope",
            Self::UnauthorizedClient | Self::UnsupportedGrantType | Self::InvalidGrant => {
                "allow this client the client credentials grant"
            }
            Self::InvalidRequest => {
                "check whether the endpoint requires a scope, and accepts the client's secret by \
                 HTTP Basic"
            }
            Self::Other => "check the client id, the client secret and the scope",
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("invalid_client", Some("invalid_client"))]
    #[case("unauthorized_client", Some("unauthorized_client"))]
    #[case("AADSTS7000215: Invalid client secret", None)]
    #[case("", None)]
    fn only_the_standard_codes_are_repeated(#[case] given: &str, #[case] expected: Option<&str>) {
        assert_eq!(OauthError::of(given).code(), expected);
    }

    /// A refused login is tried again once a minute; other errors are tried again soon.
    #[rstest]
    #[case::wrong_secret(TokenError::Refused { status: 401, error: OauthError::InvalidClient }, true)]
    #[case::no_signature(TokenError::NotSigned, true)]
    #[case::nothing_listens(TokenError::NotConnected { authority: "sso:443".to_owned(), reason: io::ErrorKind::ConnectionRefused }, false)]
    #[case::no_answer(TokenError::TimedOut { authority: "sso:443".to_owned(), seconds: 5 }, false)]
    #[case::no_address(TokenError::NoAddress { host: "sso".to_owned() }, false)]
    #[case::server_error(TokenError::Status { status: 503 }, false)]
    #[case::too_many_requests(TokenError::Status { status: 429 }, false)]
    #[case::a_gateway_in_between(TokenError::NotHttp { authority: "sso:443".to_owned() }, false)]
    fn only_a_refusal_counts_as_one(#[case] error: TokenError, #[case] refused: bool) {
        assert_eq!(error.is_refusal(), refused);
    }

    #[test]
    fn a_refusal_names_its_code_and_what_to_check() {
        let refused = |error| TokenError::Refused { status: 401, error }.to_string();
        assert_eq!(
            refused(OauthError::InvalidClient),
            "the token endpoint refused (status 401, invalid_client): check the client id and the \
             client secret"
        );
        assert_eq!(
            refused(OauthError::Other),
            "the token endpoint refused (status 401): check the client id, the client secret and \
             the scope"
        );
    }
}
