//! /healthz, /readyz and /stats of a member. Only reads.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::failure::Failure;

use super::group::Group;
use super::status::Readiness;

/// Serves until it fails.
pub(crate) async fn serve(address: SocketAddr, group: Arc<Group>) -> Failure {
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => return Failure::Listen { address, error },
    };
    match listener.local_addr() {
        Ok(bound) => tracing::info!("listening on {bound}"),
        Err(error) => return Failure::Listen { address, error },
    }
    let router = Router::new()
        // The process ends with its reading thread, so any response means that it is healthy.
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/stats", get(stats))
        .with_state(group);
    match axum::serve(listener, router).await {
        Ok(()) => Failure::WorkDied,
        Err(error) => Failure::Listen { address, error },
    }
}

async fn readyz(State(group): State<Arc<Group>>) -> impl IntoResponse {
    match &group.state().readiness {
        Readiness::Ready => (StatusCode::OK, "ready\n".to_owned()),
        Readiness::Waiting(what) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready: {what}\n"),
        ),
    }
}

async fn stats(State(group): State<Arc<Group>>) -> impl IntoResponse {
    match serde_json::to_string(&group.status()) {
        Ok(json) => (StatusCode::OK, [(CONTENT_TYPE, "application/json")], json).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
