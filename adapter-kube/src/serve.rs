//! The two small HTTP servers: metrics, and probes.

use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header::CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::health::Health;
use crate::metrics::Metrics;

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
#[error("{flag}={address}: {source}")]
pub struct ServeError {
    flag: &'static str,
    address: String,
    source: std::io::Error,
}

/// Serves `/metrics` on `address`, unless that is empty or `0`.
///
/// # Errors
/// When the address cannot be used.
pub async fn metrics(address: &str, metrics: Arc<Metrics>) -> Result<(), ServeError> {
    const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let show = move || async move { ([(CONTENT_TYPE, TYPE)], metrics.text()) };
    start("--metrics-bind-address", address, Router::new().route("/metrics", get(show))).await
}

/// Serves `/healthz` and `/readyz` on `address`, unless that is empty or `0`.
///
/// # Errors
/// When the address cannot be used.
pub async fn probes(address: &str, health: Arc<Health>, clock: Clock) -> Result<(), ServeError> {
    let ready = health.clone();
    let routes = Router::new()
        .route("/healthz", get(move || async move { probe(health.live(clock.mono())) }))
        .route("/readyz", get(move || async move { probe(ready.ready()) }));
    start("--health-probe-bind-address", address, routes).await
}

fn probe(verdict: Result<&'static str, String>) -> impl IntoResponse {
    match verdict {
        Ok(word) => (StatusCode::OK, word.to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason),
    }
}

async fn start(flag: &'static str, address: &str, routes: Router) -> Result<(), ServeError> {
    if matches!(address, "" | "0") {
        return Ok(());
    }
    let listener =
        bind(address).await.map_err(|source| ServeError { flag, address: address.to_owned(), source })?;
    info!(flag, address, "serving");
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            warn!(flag, %error, "the server has ended");
        }
    });
    Ok(())
}

/// Listens on `host:port`, or on every interface for `:port`, as Go does.
async fn bind(address: &str) -> std::io::Result<TcpListener> {
    let Some(port) = address.strip_prefix(':') else { return TcpListener::bind(address).await };
    match TcpListener::bind(format!("[::]:{port}")).await {
        Err(error) if error.kind() != std::io::ErrorKind::AddrInUse => {
            // A host without IPv6.
            TcpListener::bind(format!("0.0.0.0:{port}")).await
        }
        bound => bound,
    }
}
