//! The pages by path. Independent of connections.

use std::fmt;
use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::get,
};

use super::connection::Peer;
use super::exposition::{Exposition, Slots};
use crate::process::readiness::{Liveness, Readiness};

/// Content type of `/metrics`.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Metrics that `/metrics` shows.
pub trait Numbers: fmt::Debug + Send + Sync {
    /// All metrics in the OpenMetrics text format. Memory for `capacity` bytes is allocated at
    /// once.
    fn encode_within(&self, capacity: usize) -> String;
}

/// The sources of the pages.
#[derive(Clone, Debug)]
pub struct Pages {
    /// Source of `/healthz`.
    pub liveness: Liveness,
    /// Source of `/readyz`.
    pub readiness: Readiness,
    /// Source of `/metrics`.
    pub metrics: Arc<dyn Numbers>,
}

#[derive(Clone)]
struct Known {
    liveness: Liveness,
    readiness: Readiness,
    exposition: Exposition,
    slots: Slots,
}

pub(super) fn router(pages: Pages) -> Router {
    let metrics = pages.metrics;
    let exposition = Exposition::new(move |capacity| metrics.encode_within(capacity));
    routes(pages.liveness, pages.readiness, exposition)
}

pub(super) fn routes(liveness: Liveness, readiness: Readiness, exposition: Exposition) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(numbers))
        .fallback(hint)
        .with_state(Known {
            liveness,
            readiness,
            exposition,
            slots: Slots::default(),
        })
}

async fn healthz(State(known): State<Known>) -> Response {
    verdict("alive", known.liveness.check())
}

async fn readyz(State(known): State<Known>) -> Response {
    verdict("ready", known.readiness.check())
}

fn verdict(good: &str, check: Result<(), impl std::fmt::Display>) -> Response {
    match check {
        Ok(()) => (StatusCode::OK, format!("{good}\n")).into_response(),
        Err(bad) => (StatusCode::SERVICE_UNAVAILABLE, format!("{bad}\n")).into_response(),
    }
}

async fn numbers(State(known): State<Known>, request: Request) -> Response {
    let peer = Peer::of(&request);
    let Some(slot) = known.slots.take(peer) else {
        let text = "other clients are reading /metrics: try again\n";
        let retry = [(header::RETRY_AFTER, "5")];
        return (StatusCode::SERVICE_UNAVAILABLE, retry, text).into_response();
    };
    let Some(text) = known.exposition.text().await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut response = ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response();
    // The connection frees it when the response is written.
    response.extensions_mut().insert(slot);
    response
}

async fn hint(uri: Uri) -> Response {
    let text = format!(
        "no page {}: the pages are /healthz, /readyz and /metrics\n",
        uri.path()
    );
    (StatusCode::NOT_FOUND, text).into_response()
}
