//! The one port of the process: `/healthz`, `/readyz`, `/metrics`. Serves what others have written down; asks nobody.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener},
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio_util::sync::CancellationToken;

use super::{
    metrics::{self, Metrics},
    readiness::{Liveness, Readiness},
};

/// What a stopping server gives to answers that are under way; a client that holds its connection must not hold us.
const DRAIN: Duration = Duration::from_secs(2);

/// What the pages are made of.
#[derive(Clone, Debug)]
pub struct Pages {
    /// Behind `/healthz`.
    pub liveness: Liveness,
    /// Behind `/readyz`.
    pub readiness: Readiness,
    /// Behind `/metrics`.
    pub metrics: Metrics,
}

/// Why there is no port.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address} for /healthz, /readyz and /metrics ({error}): give another --listen-address"
)]
pub struct ListenError {
    address: SocketAddr,
    error: io::Error,
}

/// Takes the port, so that a taken one is known before anything else begins.
pub fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).map_err(|error| ListenError { address, error })
}

/// Serves until `stop`, then lets answers under way finish for at most two seconds.
pub async fn serve(listener: TcpListener, pages: Pages, stop: CancellationToken) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let serving =
        axum::serve(listener, router(pages)).with_graceful_shutdown(stop.clone().cancelled_owned());
    let overdue = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        ended = serving => ended,
        () = overdue => Ok(()),
    }
}

/// The address that a person on this machine can open: `0.0.0.0` and `::` are none.
pub fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn router(pages: Pages) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(exposition))
        .fallback(hint)
        .with_state(pages)
}

async fn healthz(State(pages): State<Pages>) -> Response {
    verdict("alive", pages.liveness.check())
}

async fn readyz(State(pages): State<Pages>) -> Response {
    verdict("ready", pages.readiness.check())
}

fn verdict(good: &str, check: Result<(), impl std::fmt::Display>) -> Response {
    match check {
        Ok(()) => (StatusCode::OK, format!("{good}\n")).into_response(),
        Err(bad) => (StatusCode::SERVICE_UNAVAILABLE, format!("{bad}\n")).into_response(),
    }
}

async fn exposition(State(pages): State<Pages>) -> Response {
    (
        [(header::CONTENT_TYPE, metrics::CONTENT_TYPE)],
        pages.metrics.encode(),
    )
        .into_response()
}

async fn hint(uri: Uri) -> Response {
    let text = format!(
        "nothing at {}: there are /healthz, /readyz and /metrics\n",
        uri.path()
    );
    (StatusCode::NOT_FOUND, text).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use http::Request;
    use rstest::rstest;
    use tower::ServiceExt as _;

    use super::*;
    use crate::process::readiness::ReadinessBuilder;

    fn pages(gates: ReadinessBuilder) -> Pages {
        Pages {
            liveness: Liveness::default(),
            readiness: gates.build(),
            metrics: Metrics::new(),
        }
    }

    async fn get(pages: Pages, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router(pages).oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readyz_names_what_is_missing_until_it_is_there() {
        let mut gates = ReadinessBuilder::default();
        let watch = gates.gate("watch of ConsumerGroups");
        let pages = pages(gates);
        assert_eq!(
            get(pages.clone(), "/readyz").await,
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "waiting for: watch of ConsumerGroups\n".to_owned()
            )
        );
        watch.open();
        assert_eq!(
            get(pages, "/readyz").await,
            (StatusCode::OK, "ready\n".to_owned())
        );
    }

    #[tokio::test(start_paused = true)]
    async fn healthz_looks_at_heartbeats_and_not_at_gates() {
        let mut gates = ReadinessBuilder::default();
        gates.gate("watch of ConsumerGroups");
        let pages = pages(gates);
        assert_eq!(
            get(pages.clone(), "/healthz").await,
            (StatusCode::OK, "alive\n".to_owned())
        );

        let _heart = pages
            .liveness
            .heartbeat("controller", Duration::from_mins(1));
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(
            get(pages, "/healthz").await,
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "no sign of life from: controller for 90 s (limit 60 s)\n".to_owned()
            )
        );
    }

    #[tokio::test]
    async fn metrics_are_openmetrics_and_end_as_such() {
        let (status, text) = get(pages(ReadinessBuilder::default()), "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(text.ends_with("# EOF\n"), "{text}");
    }

    #[tokio::test]
    async fn an_unknown_path_is_answered_with_the_known_ones() {
        assert_eq!(
            get(pages(ReadinessBuilder::default()), "/health?x=1").await,
            (
                StatusCode::NOT_FOUND,
                "nothing at /health: there are /healthz, /readyz and /metrics\n".to_owned()
            )
        );
    }

    #[rstest]
    #[case("0.0.0.0:8080", "127.0.0.1:8080")]
    #[case("[::]:8080", "[::1]:8080")]
    #[case("10.0.0.7:8080", "10.0.0.7:8080")]
    fn a_wildcard_address_is_shown_as_one_that_opens(#[case] bound: &str, #[case] shown: &str) {
        assert_eq!(reachable(bound.parse().unwrap()).to_string(), shown);
    }
}
