//! Probes and metrics over HTTP.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use super::Error;
use super::context::Context;
use super::metrics::Now;

/// Listens on `address`; the future that is returned serves for as long as it is polled.
pub(super) async fn serve(
    address: SocketAddr,
    context: Arc<Context>,
) -> Result<impl Future<Output = ()>, Error> {
    let listener = TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })?;
    let routes = Router::new()
        .route("/livez", get(|| std::future::ready("ok")))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(context);
    Ok(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::error!(error = &error as &dyn std::error::Error, "the HTTP server failed");
        }
    })
}

/// Ready when the caches are full: before, the operator does nothing.
async fn readyz(State(context): State<Arc<Context>>) -> (StatusCode, &'static str) {
    if context.is_ready() {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the caches are being filled")
    }
}

async fn metrics(State(context): State<Arc<Context>>) -> impl IntoResponse {
    let format = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, format)], context.metrics.text(&Now::of(&context)))
}
