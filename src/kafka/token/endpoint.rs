//! One request to one token endpoint: checked addresses, TLS, a deadline and a limit for the
//! answer. It follows no redirect, uses no proxy and keeps no connection: a token lasts for
//! minutes.

use std::convert::Infallible;
use std::fmt;
use std::future::pending;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Request, Uri, request};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use lagrange_core::intent::servers::is_local_address;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::{InvalidOidc, TokenError};

/// Deadline, from the look-up of the name to the last byte of the answer.
pub(super) const DEADLINE: Duration = Duration::from_secs(5);
/// Deadline for one of several addresses, so that a dead one leaves time for the next.
const ATTEMPT: Duration = Duration::from_secs(2);
/// Most bytes of an answer that are read. Tokens have a few kB.
pub(super) const LARGEST_ANSWER: usize = 1 << 20;

/// A token endpoint that the operator may connect to.
pub(super) struct Endpoint {
    host: String,
    port: u16,
    /// Host and port as in the URL.
    authority: String,
    path: PathAndQuery,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    allow_local_addresses: bool,
}

/// Status and body of an answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Zeroizing<Vec<u8>>,
}

/// Which endpoints the operator may connect to, and which certificates it accepts.
pub(super) struct Rules<'a> {
    pub(super) trusted_certificates: Option<&'a [u8]>,
    pub(super) allow_insecure: bool,
    pub(super) allow_local_addresses: bool,
}

impl Endpoint {
    pub(super) fn new(url: &str, rules: &Rules<'_>) -> Result<Self, InvalidOidc> {
        let uri: Uri = url.trim().parse().map_err(|_| InvalidOidc::Endpoint)?;
        let authority = uri.authority().ok_or(InvalidOidc::Endpoint)?.as_str();
        // Messages would show a password in the URL, and a fragment is forbidden (RFC 6749, 3.2).
        if authority.contains('@') || url.contains('#') {
            return Err(InvalidOidc::Endpoint);
        }
        let secure = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(InvalidOidc::Endpoint),
        };
        let (host, port) =
            host_and_port(authority, if secure { 443 } else { 80 }).ok_or(InvalidOidc::Endpoint)?;
        if !secure && !rules.allow_insecure {
            return Err(InvalidOidc::Plaintext);
        }
        if !rules.allow_local_addresses && host.parse::<IpAddr>().is_ok_and(is_local_address) {
            return Err(InvalidOidc::LocalAddress { host });
        }
        let tls = if secure {
            let name = ServerName::try_from(host.clone()).map_err(|_| InvalidOidc::Endpoint)?;
            Some((connector(rules.trusted_certificates)?, name))
        } else {
            None
        };
        Ok(Self {
            port,
            authority: authority.to_owned(),
            path: uri
                .path_and_query()
                .cloned()
                .unwrap_or_else(|| PathAndQuery::from_static("/")),
            host,
            tls,
            allow_local_addresses: rules.allow_local_addresses,
        })
    }

    /// Sends a form. Returns the answer, whatever its status.
    pub(super) async fn post(
        &self,
        authorization: Option<HeaderValue>,
        form: String,
    ) -> Result<Answer, TokenError> {
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        let request = Request::post(self.path.as_str()).header(CONTENT_TYPE, form_type);
        self.ask(request, authorization, form).await
    }

    /// Sends a GET request. Returns the answer, whatever its status.
    pub(super) async fn get(&self, authorization: HeaderValue) -> Result<Answer, TokenError> {
        let request = Request::get(self.path.as_str());
        self.ask(request, Some(authorization), String::new()).await
    }

    async fn ask(
        &self,
        request: request::Builder,
        authorization: Option<HeaderValue>,
        body: String,
    ) -> Result<Answer, TokenError> {
        let mut request = request
            .header(HOST, &self.authority)
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!("lagrange/", env!("CARGO_PKG_VERSION")))
            .body(body)
            .map_err(|_| self.not_http())?;
        if let Some(authorization) = authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization);
        }
        timeout(DEADLINE, self.exchange(request))
            .await
            .unwrap_or_else(|_| Err(self.timed_out()))
    }

    async fn exchange(&self, request: Request<String>) -> Result<Answer, TokenError> {
        let stream = self.connect().await?;
        match &self.tls {
            None => self.converse(stream, request).await,
            Some((connector, name)) => {
                let stream = connector
                    .connect(name.clone(), stream)
                    .await
                    .map_err(|error| TokenError::Tls {
                        authority: self.authority.clone(),
                        reason: tls_reason(&error),
                    })?;
                self.converse(stream, request).await
            }
        }
    }

    /// Connects to the first of the host's addresses that answers and that the operator may connect
    /// to.
    async fn connect(&self) -> Result<TcpStream, TokenError> {
        let (mut addresses, local): (Vec<SocketAddr>, Vec<_>) =
            lookup_host((self.host.as_str(), self.port))
                .await
                .map_err(|_| TokenError::NoAddress {
                    host: self.host.clone(),
                })?
                .partition(|address| !is_local_address(address.ip()));
        if self.allow_local_addresses {
            addresses.extend(&local);
        }
        if addresses.is_empty() && !local.is_empty() {
            return Err(TokenError::LocalAddress {
                host: self.host.clone(),
            });
        }
        let mut reason = io::ErrorKind::AddrNotAvailable;
        for address in addresses {
            match timeout(ATTEMPT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => reason = error.kind(),
                Err(_) => reason = io::ErrorKind::TimedOut,
            }
        }
        Err(TokenError::NotConnected {
            authority: self.authority.clone(),
            reason,
        })
    }

    async fn converse<S>(&self, stream: S, request: Request<String>) -> Result<Answer, TokenError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|_| self.not_http())?;
        let exchange = async {
            let response = sender
                .send_request(request)
                .await
                .map_err(|_| self.not_http())?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), LARGEST_ANSWER)
                .collect()
                .await
                .map_err(|error| match error.downcast::<LengthLimitError>() {
                    Ok(_) => TokenError::TooLarge {
                        limit: LARGEST_ANSWER,
                    },
                    Err(_) => self.not_http(),
                })?;
            Ok(Answer {
                status,
                body: Zeroizing::new(body.to_bytes().to_vec()),
            })
        };
        // The connection only moves bytes; the exchange reports its own result.
        let bytes_moved = async {
            drop(connection.await);
            pending::<Infallible>().await
        };
        tokio::select! {
            answer = exchange => answer,
            never = bytes_moved => match never {},
        }
    }

    fn timed_out(&self) -> TokenError {
        TokenError::TimedOut {
            authority: self.authority.clone(),
            seconds: DEADLINE.as_secs(),
        }
    }

    fn not_http(&self) -> TokenError {
        TokenError::NotHttp {
            authority: self.authority.clone(),
        }
    }
}

impl fmt::Debug for Endpoint {
    /// Host and port only: some put keys into a path or query.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.authority)
    }
}

/// The host, without the brackets of an IPv6 address, and the port.
fn host_and_port(authority: &str, default: u16) -> Option<(String, u16)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            (
                host,
                port.strip_prefix(':').or(port.is_empty().then_some("")),
            )
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, Some("")),
        },
    };
    let port = match port? {
        "" => default,
        port => port.parse().ok().filter(|port| *port > 0)?,
    };
    Some((host.to_ascii_lowercase(), port)).filter(|_| !host.is_empty())
}

/// TLS that trusts the given authorities only, or the system's if none are given.
fn connector(trusted: Option<&[u8]>) -> Result<TlsConnector, InvalidOidc> {
    let mut roots = RootCertStore::empty();
    if let Some(pem) = trusted {
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let added = certificate.map(|certificate| roots.add(certificate));
            if !matches!(added, Ok(Ok(()))) {
                return Err(InvalidOidc::Certificates);
            }
        }
        if roots.is_empty() {
            return Err(InvalidOidc::Certificates);
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(InvalidOidc::NoAuthorities);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| InvalidOidc::NoAuthorities)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn tls_reason(error: &io::Error) -> &'static str {
    let Some(error) = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    else {
        return "it closed the connection; check the port, and whether it expects http";
    };
    match error {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            // The latter: the authority was created again under its old name.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "its certificate is from an authority that is not trusted; add that authority's \
                 certificate"
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired; renew it"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its certificate is for other names; use one of those in the URL"
            }
            _ => "its certificate is not valid; let the trusted authority issue a new one",
        },
        rustls::Error::InvalidMessage(_) => {
            "the answer is not TLS; check the port, and whether it expects http"
        }
        rustls::Error::AlertReceived(_) => {
            "it refuses; check that it accepts TLS 1.2 or later without a client certificate"
        }
        _ => "the handshake failed; check that it accepts TLS 1.2 or later",
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn endpoint(url: &str, insecure: bool, local: bool) -> Result<Endpoint, InvalidOidc> {
        Endpoint::new(
            url,
            &Rules {
                trusted_certificates: None,
                allow_insecure: insecure,
                allow_local_addresses: local,
            },
        )
    }

    #[rstest]
    #[case("http://sso.example.com/token", "sso.example.com", 80, "/token")]
    #[case("http://SSO.example.com:8080", "sso.example.com", 8080, "/")]
    #[case("http://[fd00::1]/a?b=c", "fd00::1", 80, "/a?b=c")]
    fn a_url_is_split_into_host_port_and_path(
        #[case] url: &str,
        #[case] host: &str,
        #[case] port: u16,
        #[case] path: &str,
    ) {
        let endpoint = endpoint(url, true, false).unwrap();
        assert_eq!((&*endpoint.host, endpoint.port), (host, port));
        assert_eq!(endpoint.path.as_str(), path);
    }

    #[rstest]
    #[case("")]
    #[case("sso.example.com")]
    #[case("/token")]
    #[case("ftp://sso.example.com/token")]
    #[case("https://")]
    #[case("https://:443/token")]
    #[case("https://me:marker@sso.example.com/token")]
    #[case("https://sso.example.com/token#here")]
    #[case("https://sso.example.com/a b")]
    #[case("https://sso.example.com:65536/")]
    #[case("https://sso.example.com:0/")]
    fn any_other_url_is_refused_and_not_repeated(#[case] url: &str) {
        let error = endpoint(url, true, true).unwrap_err();
        assert_eq!(error, InvalidOidc::Endpoint);
        assert!(!error.to_string().contains("marker"), "{error}");
    }

    #[test]
    fn http_is_refused_unless_allowed() {
        let url = "http://sso.example.com/token";
        assert_eq!(
            endpoint(url, false, false).unwrap_err(),
            InvalidOidc::Plaintext
        );
        assert!(endpoint(url, true, false).is_ok());
    }

    #[rstest]
    #[case("http://127.0.0.1/token")]
    #[case("http://169.254.169.254/token")]
    #[case("http://[::1]:8080/token")]
    #[case("http://[::ffff:127.0.0.1]/token")]
    fn a_local_address_is_refused_unless_allowed(#[case] url: &str) {
        let error = endpoint(url, true, false).unwrap_err();
        assert!(matches!(error, InvalidOidc::LocalAddress { .. }), "{error}");
        assert!(endpoint(url, true, true).is_ok());
    }

    #[rstest]
    #[case::nothing("")]
    #[case::not_pem("marker")]
    #[case::no_certificate("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")]
    #[case::cut_off("-----BEGIN CERTIFICATE-----\nAAAA\n")]
    #[case::not_base64("-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n")]
    #[case::not_x509("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")]
    fn authorities_that_cannot_be_read_are_refused(#[case] pem: &str) {
        let rules = Rules {
            trusted_certificates: Some(pem.as_bytes()),
            allow_insecure: false,
            allow_local_addresses: false,
        };
        let error = Endpoint::new("https://sso.example.com/token", &rules).unwrap_err();
        assert_eq!(error, InvalidOidc::Certificates);
    }
}
