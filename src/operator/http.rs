//! Probes and metrics over HTTP.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use super::Error;
use super::context::Context;
use super::heartbeats::SILENCE_MAX;
use super::metrics::Now;

/// Serves for as long as it is polled.
pub(super) async fn serve(listener: TcpListener, context: Arc<Context>) {
    let routes = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(context);
    if let Err(error) = axum::serve(listener, routes).await {
        tracing::error!(error = &error as &dyn std::error::Error, "the HTTP server failed");
    }
}

/// Listens on `address`. `[::]` means all addresses of both families. Where the kernel has no IPv6 it means
/// those of IPv4.
///
/// # Errors
/// The address is taken, or none of this machine.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    let bound = TcpListener::bind(address).await;
    let bound = match &bound {
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && error.kind() != ErrorKind::AddrInUse => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        _ => bound,
    };
    bound.map_err(|source| Error::Listen { address, source })
}

/// Alive while all loops turn.
async fn livez(State(context): State<Arc<Context>>) -> (StatusCode, String) {
    match context.heartbeats.stalled() {
        None => (StatusCode::OK, "ok".to_owned()),
        Some((name, silence)) => {
            let text = format!("nothing was heard of {name} for {} s", silence.as_secs());
            (StatusCode::INTERNAL_SERVER_ERROR, text)
        }
    }
}

/// Whether it is ready, and why not. Objects that cannot be read make nothing unready, and are named in either case.
async fn readyz(State(context): State<Arc<Context>>) -> (StatusCode, String) {
    let (code, text) = readiness(&context);
    match context.undecodable.names() {
        names if names.is_empty() => (code, text),
        names => (code, format!("{text}; objects that cannot be read, and are left alone: {names}")),
    }
}

/// Ready when the caches are full, and the API server has lately reported who leads: an operator that leads, or could
/// take over at once.
fn readiness(context: &Context) -> (StatusCode, String) {
    let unready = |why: &str| (StatusCode::SERVICE_UNAVAILABLE, why.to_owned());
    if context.is_stopping() {
        return unready("stopping");
    }
    if !context.is_ready() {
        return unready(&context.obstacle().unwrap_or_else(|| filling(&context.stores.watched.refusals())));
    }
    if context.claim.is_current() {
        return (StatusCode::OK, "ok: leader".to_owned());
    }
    match context.claim.holder(SILENCE_MAX) {
        None => unready("the API server has not reported who leads"),
        Some(holder) if holder.is_empty() => (StatusCode::OK, "ok: standby, no operator leads".to_owned()),
        Some(holder) => (StatusCode::OK, format!("ok: standby, {holder} leads")),
    }
}

fn filling(refused: &str) -> String {
    if refused.is_empty() {
        return "the caches are being filled".to_owned();
    }
    format!("the caches are being filled; the API server refuses to list {refused}: rights are missing")
}

async fn metrics(State(context): State<Arc<Context>>) -> impl IntoResponse {
    let format = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, format)], context.metrics.text(&Now::of(&context)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::operator::leader::{self, Claim};
    use crate::operator::testing::context;

    async fn probe(context: &Arc<Context>) -> (u16, String) {
        let (code, text) = readyz(State(context.clone())).await;
        (code.as_u16(), text)
    }

    #[tokio::test]
    async fn all_addresses_are_those_of_both_families() {
        let port = listen("[::]:0".parse().unwrap()).await.unwrap().local_addr().unwrap().port();
        let listener = listen(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))).await.unwrap();
        tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        drop(listener);
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_is_stuck_fails_the_liveness_probe() {
        let context = Arc::new(context(0).0);
        context.heartbeats.beat(leader::HEARTBEAT);
        assert_eq!(livez(State(context.clone())).await.0, StatusCode::OK);
        advance(Duration::from_secs(61)).await;
        let (code, text) = livez(State(context.clone())).await;
        assert_eq!(code, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(text, "nothing was heard of the Lease for 61 s");
    }

    #[tokio::test(start_paused = true)]
    async fn readiness_tells_the_truth() {
        let (claim, stop) = (Arc::new(Claim::new()), CancellationToken::new());
        let context = Arc::new(context(0).0.led_by(claim.clone(), stop.clone()));
        assert_eq!(probe(&context).await, (503, "the caches are being filled".into()));
        context.stores.watched.refused(0, "Job");
        let refused = "the caches are being filled; the API server refuses to list Job: rights are missing";
        assert_eq!(probe(&context).await, (503, refused.into()));
        context.caches_are_ready();
        assert_eq!(probe(&context).await, (503, "the API server has not reported who leads".into()));
        claim.learn("other");
        assert_eq!(probe(&context).await, (200, "ok: standby, other leads".into()));
        claim.learn("");
        assert_eq!(probe(&context).await, (200, "ok: standby, no operator leads".into()));
        claim.extend(claim.now() + Duration::from_secs(8));
        assert_eq!(probe(&context).await, (200, "ok: leader".into()));
        advance(Duration::from_secs(61)).await;
        assert_eq!(probe(&context).await, (503, "the API server has not reported who leads".into()));
        claim.learn("other");
        stop.cancel();
        assert_eq!(probe(&context).await, (503, "stopping".into()));
    }
}
