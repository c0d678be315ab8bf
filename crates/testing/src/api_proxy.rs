//! A proxy in front of the API server that misbehaves as real ones do: it refuses, takes its time,
//! ends watches, and says that their version is gone. It speaks HTTP and calls the API server with
//! the rights of an administrator, so it shows nothing about rights and TLS.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse as _;
use futures::{StreamExt as _, stream};
use kube::Client;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::kubernetes::{Kubernetes, Space};

/// The longest request; those of an operator are small.
const LONGEST: usize = 4 << 20;

/// How the API server behaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// As it is.
    #[default]
    Normal,
    /// Every request is refused with this status.
    Refuses(u16),
    /// Every answer comes after this time.
    IsSlow(Duration),
    /// No request is answered.
    IsSilent,
    /// Every watch ends after this time.
    EndsWatches(Duration),
    /// Every watch is refused with 410 when it starts.
    RefusesVersions,
    /// Every watch reports after this time that its version is gone.
    ForgetsVersions(Duration),
}

/// The proxy. It ends when this is dropped.
#[derive(Debug)]
pub struct ApiProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    behaviour: watch::Sender<Behaviour>,
    affected: AtomicUsize,
}

#[derive(Clone)]
struct Handler {
    shared: Arc<Shared>,
    client: Client,
}

impl ApiProxy {
    /// A proxy that behaves normally.
    pub async fn start(kubernetes: &Kubernetes) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let handler = Handler {
            shared: Arc::clone(&shared),
            client: kubernetes.client().await,
        };
        let router = Router::new().fallback(handle).with_state(handler);
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            shared,
            serving,
        }
    }

    /// A kubeconfig that leads to it.
    pub fn kubeconfig(&self, kubernetes: &Kubernetes, space: &Space) -> PathBuf {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
            "clusters": [{ "name": "proxy", "cluster": { "server": format!("http://{}", self.address) } }],
            "users": [{ "name": "proxy", "user": {} }],
            "contexts": [{ "name": "proxy", "context": { "cluster": "proxy", "user": "proxy" } }],
        });
        let name = format!("{}-proxy.kubeconfig", space.name);
        kubernetes.file(&name, &config.to_string())
    }

    /// From now on it behaves like this. Watches that are open end; other requests that are under
    /// way are not affected.
    pub fn behave(&self, behaviour: Behaviour) {
        self.shared.behaviour.send_replace(behaviour);
    }

    /// The number of requests that met anything but normal behaviour.
    pub fn affected(&self) -> usize {
        self.shared.affected.load(Ordering::Relaxed)
    }
}

impl Drop for ApiProxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn handle(State(handler): State<Handler>, request: Request) -> Response<Body> {
    let query = request.uri().query().unwrap_or_default();
    let is_watch = query
        .split('&')
        .any(|pair| matches!(pair, "watch=true" | "watch=1"));
    let mut current = handler.shared.behaviour.subscribe();
    let behaviour = *current.borrow_and_update();
    let concerns_watches = matches!(
        behaviour,
        Behaviour::EndsWatches(_) | Behaviour::RefusesVersions | Behaviour::ForgetsVersions(_)
    );
    if behaviour != Behaviour::Normal && (is_watch || !concerns_watches) {
        handler.shared.affected.fetch_add(1, Ordering::Relaxed);
    }
    match behaviour {
        Behaviour::Refuses(code) => return refusal(code, "the proxy refuses"),
        Behaviour::IsSlow(by) => tokio::time::sleep(by).await,
        Behaviour::IsSilent => std::future::pending().await,
        Behaviour::RefusesVersions if is_watch => {
            return refusal(410, "too old resource version");
        }
        _ => {}
    }
    let answer = forward(&handler.client, request).await;
    if !is_watch {
        return answer;
    }
    let (after, last) = match behaviour {
        Behaviour::EndsWatches(after) => (Some(after), None),
        Behaviour::ForgetsVersions(after) => {
            let gone =
                json!({ "type": "ERROR", "object": status(410, "too old resource version") });
            (Some(after), Some(format!("{gone}\n")))
        }
        _ => (None, None),
    };
    let end = async move {
        let timer = async {
            match after {
                Some(after) => tokio::time::sleep(after).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = timer => {}
            _ = current.changed() => {}
        }
    };
    answer.map(|body| {
        let last = stream::iter(last.map(|text| Ok(Bytes::from(text))));
        Body::from_stream(
            body.into_data_stream()
                .take_until(Box::pin(end))
                .chain(last),
        )
    })
}

async fn forward(client: &Client, request: Request) -> Response<Body> {
    let (mut parts, body) = request.into_parts();
    // The client adds its own.
    parts.headers.remove("host");
    parts.headers.remove("authorization");
    let body = to_bytes(body, LONGEST).await.unwrap();
    let request = Request::from_parts(parts, kube::client::Body::from(body.to_vec()));
    match client.send(request).await {
        Ok(answer) => answer.map(Body::new),
        Err(error) => refusal(502, &error.to_string()),
    }
}

fn refusal(code: u16, message: &str) -> Response<Body> {
    let code = StatusCode::from_u16(code).unwrap();
    let headers = [("content-type", "application/json"), ("retry-after", "1")];
    (code, headers, status(code.as_u16(), message).to_string()).into_response()
}

fn status(code: u16, message: &str) -> serde_json::Value {
    let reason = if code == 410 { "Expired" } else { "" };
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": code })
}
