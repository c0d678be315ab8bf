//! The pages without a socket; `tests/process` tests the whole process.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use http::{Request, StatusCode};
use rstest::rstest;
use tower::ServiceExt as _;

use super::*;
use crate::metrics::Metrics;
use crate::process::readiness::{Liveness, ReadinessBuilder};

mod crowds;

fn pages(gates: ReadinessBuilder) -> Pages {
    Pages {
        liveness: Liveness::default(),
        readiness: gates.build(),
        metrics: Arc::new(Metrics::new()),
    }
}

async fn get(pages: Pages, path: &str) -> (StatusCode, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = pages::router(pages).oneshot(request).await.unwrap();
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
async fn healthz_checks_heartbeats_and_not_gates() {
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
            "no heartbeat from: controller for 90 s (limit 60 s)\n".to_owned()
        )
    );
}

#[tokio::test]
async fn metrics_are_complete_openmetrics() {
    let (status, text) = get(pages(ReadinessBuilder::default()), "/metrics").await;
    assert_eq!(status, StatusCode::OK);
    assert!(text.ends_with("# EOF\n"), "{text}");
}

#[tokio::test]
async fn an_unknown_path_returns_the_known_paths() {
    assert_eq!(
        get(pages(ReadinessBuilder::default()), "/health?x=1").await,
        (
            StatusCode::NOT_FOUND,
            "no page /health: the pages are /healthz, /readyz and /metrics\n".to_owned()
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
