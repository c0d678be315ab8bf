//! A token endpoint on loopback, over TLS with its own CA.

use std::future::ready;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Response};
use axum::serve::Listener;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A CA for one test.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A new CA with a new key.
    #[expect(
        clippy::new_without_default,
        reason = "every value is different, so there is no default"
    )]
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// Its certificate.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A TLS server with a certificate of this CA for `localhost`.
    fn acceptor(&self) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A received request.
#[derive(Clone)]
pub struct Received {
    /// Method and path.
    pub line: String,
    /// All headers, with the client's authentication.
    pub headers: HeaderMap,
    /// The form that requests a token.
    pub body: String,
}

/// A token endpoint, until it is dropped.
pub struct Server {
    url: String,
    authority: Authority,
    requests: mpsc::UnboundedReceiver<Received>,
    serving: JoinHandle<()>,
}

/// A response without headers.
pub fn answer(status: u16, body: &str) -> Response<Body> {
    let response = Response::builder().status(status);
    response.body(Body::from(body.to_owned())).unwrap()
}

impl Server {
    /// Starts a server that responds to each request with `respond`, over TLS as `localhost`.
    pub async fn start<F>(respond: F) -> Self
    where
        F: Fn(Received) -> Response<Body> + Clone + Send + Sync + 'static,
    {
        Self::start_slow(move |seen| ready(respond(seen))).await
    }

    /// The same, with asynchronous responses.
    pub async fn start_slow<F, R>(respond: F) -> Self
    where
        F: Fn(Received) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        let authority = Authority::new();
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = tcp.local_addr().unwrap().port();
        let listener = TlsListener {
            acceptor: authority.acceptor(),
            tcp,
        };
        let url = format!("https://localhost:{port}/token?realm=shop");
        Self::serve(listener, url, authority, respond)
    }

    /// The same, without TLS.
    pub async fn start_plain<F>(respond: F) -> Self
    where
        F: Fn(Received) -> Response<Body> + Clone + Send + Sync + 'static,
    {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/token", tcp.local_addr().unwrap());
        Self::serve(tcp, url, Authority::new(), move |seen| ready(respond(seen)))
    }

    fn serve<L, F, R>(listener: L, url: String, authority: Authority, respond: F) -> Self
    where
        L: Listener<Addr: std::fmt::Debug>,
        F: Fn(Received) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        let (seen, requests) = mpsc::unbounded_channel();
        let app = Router::new().fallback(async move |request: axum::extract::Request| {
            let (head, body) = request.into_parts();
            let body = to_bytes(body, 1 << 20).await.unwrap();
            let request = Received {
                line: format!("{} {}", head.method, head.uri),
                headers: head.headers,
                body: String::from_utf8(body.to_vec()).unwrap(),
            };
            seen.send(request.clone()).unwrap();
            respond(request).await
        });
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            url,
            authority,
            requests,
            serving,
        }
    }

    /// URL of the token endpoint.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The CA that a client has to trust.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Waits for the next request.
    pub async fn request(&mut self) -> Received {
        self.requests.recv().await.unwrap()
    }

    /// Whether every request so far has been taken by [`Self::request`].
    pub fn no_more_requests(&mut self) -> bool {
        self.requests.try_recv().is_err()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    /// Waits for the next client that completes its handshake.
    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = Listener::accept(&mut self.tcp).await;
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}
