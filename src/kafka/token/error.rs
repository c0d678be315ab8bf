//! Why there is no token. Words of our own only: nothing of a secret, a token or an answer's body
//! gets in here.

use std::io;

use lagrange_core::text;
use thiserror::Error;

/// Why a token could not be had. Cheap to clone: it stands in snapshots.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokenError {
    /// The endpoint answers, and does not give this client a token.
    #[error("the token endpoint refused (status {status}{}): {}", .error.named(), .error.advice())]
    Refused {
        /// The status of its answer.
        status: u16,
        /// Which of the standard errors it gave.
        error: OauthError,
    },
    /// The credentials cannot be signed with.
    #[error(
        "no signature can be made with these AWS credentials: check the access key and the region"
    )]
    NotSigned,
    /// AWS knows the operator's Pod, and gives it no credentials.
    #[error(
        "AWS gives the operator's pod no credentials (status {status}): check the role of its service account, and who may assume that role"
    )]
    IdentityRefused {
        /// The status of its answer.
        status: u16,
    },
    /// What the operator's Pod has of its identity is of no use.
    #[error("the AWS identity of the operator's pod cannot be used: {reason}")]
    Identity {
        /// One of a few reasons.
        reason: &'static str,
    },
    /// The endpoint's name has no address.
    #[error(
        "the token endpoint's host {host} has no address: check its name, and the DNS of the operator's pod"
    )]
    NoAddress {
        /// The host in the endpoint's URL.
        host: String,
    },
    /// The endpoint's name leads to the operator's own machine or link (SAFE-38).
    #[error(
        "the token endpoint's host {host} has only loopback or link-local addresses, which the operator does not \
         connect to; name another, or run the operator with --allow-local-addresses"
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
    /// No trust in the endpoint, or no TLS there.
    #[error("no TLS with the token endpoint {authority}: {reason}")]
    Tls {
        /// Its host and port.
        authority: String,
        /// One of a few reasons, and what to do.
        reason: &'static str,
    },
    /// No whole answer in time.
    #[error(
        "no answer from the token endpoint {authority} within {seconds} s: check that it is up, and network policies"
    )]
    TimedOut {
        /// Its host and port.
        authority: String,
        /// The deadline.
        seconds: u64,
    },
    /// Connected, but the answer is none, or no HTTP.
    #[error(
        "the token endpoint {authority} gave no HTTP answer: check the port, and whether it wants https"
    )]
    NotHttp {
        /// Its host and port.
        authority: String,
    },
    /// The answer has more than a token.
    #[error(
        "the token endpoint's answer has more than {limit} bytes: check that the URL is that of a token endpoint"
    )]
    TooLarge {
        /// How much is read.
        limit: usize,
    },
    /// It answers from elsewhere.
    #[error(
        "the token endpoint redirects (status {status}), which is not followed: name the URL that it redirects to"
    )]
    Redirected {
        /// The status of its answer.
        status: u16,
    },
    /// Neither a token nor a refusal.
    #[error(
        "the token endpoint answered with status {status}: check that the URL is that of a token endpoint, and its own log"
    )]
    Status {
        /// The status of its answer.
        status: u16,
    },
    /// A good status, but nothing to log in with.
    #[error("the token endpoint's answer cannot be used: {reason}")]
    Unusable {
        /// One of a few reasons.
        reason: &'static str,
    },
}

impl TokenError {
    /// Whether somebody said no, rather than nothing.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Refused { .. } | Self::IdentityRefused { .. } | Self::NotSigned
        )
    }
}

/// Why no endpoint can be asked as it is configured. The URL is not repeated: some put keys into
/// it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidOidc {
    /// No URL, or one with a user or a fragment.
    #[error(
        "the token endpoint is not a URL like https://sso.example.com/token, without user and fragment"
    )]
    Endpoint,
    /// The secret would go over the network as it is (SAFE-37).
    #[error(
        "the token endpoint is http, where anybody on the way reads the client's secret; use https, or set allowInsecure"
    )]
    Plaintext,
    /// The endpoint is on the operator's own machine or link (SAFE-38).
    #[error(
        "the token endpoint's host {host} is a loopback or link-local address, which the operator does not connect to; \
         name another, or run the operator with --allow-local-addresses"
    )]
    LocalAddress {
        /// The host in the URL.
        host: String,
    },
    /// There is no client id.
    #[error("there is no client id: give the one under which the token endpoint knows this client")]
    ClientId,
    /// No certificate in the bundle, or one that cannot be read.
    #[error(
        "the trusted certificates for the token endpoint cannot be read: give certificates of authorities, in PEM"
    )]
    Certificates,
    /// Nothing to trust in.
    #[error(
        "this system trusts no authorities: give the certificates that the token endpoint is to be trusted by"
    )]
    NoAuthorities,
    /// An extension that SASL has no place for.
    #[error(
        "SASL extension {} cannot be sent: its key is letters only and not \"auth\", its value printable ASCII",
        text::quoted(.key)
    )]
    Extension {
        /// Its key.
        key: String,
    },
}

/// Why nothing can be signed with credentials or for a region as they are written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidAws {
    /// No AWS region.
    #[error("{} is not an AWS region; write it like eu-central-1", text::quoted(.region))]
    Region {
        /// What was written.
        region: String,
    },
    /// The process has none of the variables that give a Pod its identity.
    #[error(
        "the operator's pod has no AWS identity: give its service account a role (EKS Pod Identity or IRSA), or name sasl.aws.credentialsSecret"
    )]
    NoIdentity,
    /// A variable is no address that may be asked for credentials.
    #[error(
        "{variable} of the operator's pod is no URL that credentials are asked of: https, or http on this machine or of EKS's agent"
    )]
    Endpoint {
        /// Which variable.
        variable: &'static str,
    },
    /// A credential is empty, or has spaces or line ends, which none has.
    #[error(
        "the {name} is empty or has characters that none has: check it for spaces and line ends"
    )]
    Credential {
        /// Which of them; not what it is.
        name: &'static str,
    },
}

/// The errors of RFC 6749, 5.2. Any other word of an endpoint is not repeated.
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

    /// The error that an endpoint gives by this code.
    pub(super) fn of(code: &str) -> Self {
        Self::STANDARD
            .into_iter()
            .find(|error| error.code() == Some(code))
            .unwrap_or(Self::Other)
    }

    /// The standard's word for it.
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
                "check whether the endpoint wants a scope, and takes the client's secret by HTTP Basic"
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
    fn only_the_standard_codes_are_repeated(#[case] given: &str, #[case] told: Option<&str>) {
        assert_eq!(OauthError::of(given).code(), told);
    }

    /// A login that is refused is tried once a minute, and anything else soon again.
    #[rstest]
    #[case::wrong_secret(TokenError::Refused { status: 401, error: OauthError::InvalidClient }, true)]
    #[case::no_signature(TokenError::NotSigned, true)]
    #[case::nobody_listens(TokenError::NotConnected { authority: "sso:443".to_owned(), reason: io::ErrorKind::ConnectionRefused }, false)]
    #[case::no_answer(TokenError::TimedOut { authority: "sso:443".to_owned(), seconds: 5 }, false)]
    #[case::no_address(TokenError::NoAddress { host: "sso".to_owned() }, false)]
    #[case::its_fault(TokenError::Status { status: 503 }, false)]
    #[case::too_often(TokenError::Status { status: 429 }, false)]
    #[case::a_gateway_in_between(TokenError::NotHttp { authority: "sso:443".to_owned() }, false)]
    fn only_who_says_no_has_refused(#[case] error: TokenError, #[case] refused: bool) {
        assert_eq!(error.is_refusal(), refused);
    }

    #[test]
    fn a_refusal_names_its_code_and_what_to_check() {
        let refused = |error| TokenError::Refused { status: 401, error }.to_string();
        assert_eq!(
            refused(OauthError::InvalidClient),
            "the token endpoint refused (status 401, invalid_client): check the client id and the client secret"
        );
        assert_eq!(
            refused(OauthError::Other),
            "the token endpoint refused (status 401): check the client id, the client secret and the scope"
        );
    }
}
