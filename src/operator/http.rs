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
use super::caches::Watched;
use super::heartbeats::SILENCE_MAX;
use super::pulse::Pulse;
use super::undecodable::Register;

/// What is served.
pub(super) struct Served {
    /// What the probes show.
    pub(super) pulse: Arc<Pulse>,
    /// What the caches still wait for.
    pub(super) watched: Arc<Watched>,
    /// The objects that cannot be read.
    pub(super) undecodable: Arc<Register>,
    /// Makes the text that a scrape is answered with.
    pub(super) scrape: Box<dyn Fn() -> String + Send + Sync>,
}

/// Serves for as long as it is polled.
pub(super) async fn serve(listener: TcpListener, served: Served) {
    let routes = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(Arc::new(served));
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
async fn livez(State(served): State<Arc<Served>>) -> (StatusCode, String) {
    match served.pulse.heartbeats.stalled() {
        None => (StatusCode::OK, "ok".to_owned()),
        Some((name, silence)) => {
            let text = format!("nothing was heard of {name} for {} s", silence.as_secs());
            (StatusCode::INTERNAL_SERVER_ERROR, text)
        }
    }
}

/// Whether it is ready, and why not. Objects that cannot be read make nothing unready, and are named in
/// either case.
async fn readyz(State(served): State<Arc<Served>>) -> (StatusCode, String) {
    let (code, text) = readiness(&served.pulse, &served.watched);
    match served.undecodable.names() {
        names if names.is_empty() => (code, text),
        names => (code, format!("{text}; objects that cannot be read, and are left alone: {names}")),
    }
}

/// Ready when the caches are full, and the API server has lately reported who leads: an operator that leads,
/// or could take over at once.
fn readiness(pulse: &Pulse, watched: &Watched) -> (StatusCode, String) {
    let unready = |why: &str| (StatusCode::SERVICE_UNAVAILABLE, why.to_owned());
    if pulse.is_stopping() {
        return unready("stopping");
    }
    if !pulse.is_ready() {
        return unready(&pulse.obstacle().unwrap_or_else(|| filling(&watched.refusals())));
    }
    if pulse.claim.is_current() {
        return (StatusCode::OK, "ok: leader".to_owned());
    }
    match pulse.claim.holder(SILENCE_MAX) {
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

async fn metrics(State(served): State<Arc<Served>>) -> impl IntoResponse {
    let format = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, format)], (served.scrape)())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::operator::leader::{self, Claim};

    /// Of an operator that watches all namespaces for two kinds.
    fn served(claim: Arc<Claim>, stop: CancellationToken) -> Arc<Served> {
        Arc::new(Served {
            pulse: Arc::new(Pulse::new(claim, stop)),
            watched: Arc::new(Watched::new(&[], 2)),
            undecodable: Arc::default(),
            scrape: Box::new(String::new),
        })
    }

    async fn probe(served: &Arc<Served>) -> (u16, String) {
        let (code, text) = readyz(State(served.clone())).await;
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
        let served = served(Arc::new(Claim::forever()), CancellationToken::new());
        served.pulse.heartbeats.beat(leader::HEARTBEAT);
        assert_eq!(livez(State(served.clone())).await.0, StatusCode::OK);
        advance(Duration::from_secs(61)).await;
        let (code, text) = livez(State(served.clone())).await;
        assert_eq!(code, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(text, "nothing was heard of the Lease for 61 s");
    }

    #[tokio::test(start_paused = true)]
    async fn readiness_tells_the_truth() {
        let (claim, stop) = (Arc::new(Claim::new()), CancellationToken::new());
        let served = served(claim.clone(), stop.clone());
        assert_eq!(probe(&served).await, (503, "the caches are being filled".into()));
        served.watched.refused(0, "Job");
        let refused = "the caches are being filled; the API server refuses to list Job: rights are missing";
        assert_eq!(probe(&served).await, (503, refused.into()));
        served.pulse.caches_are_ready();
        assert_eq!(probe(&served).await, (503, "the API server has not reported who leads".into()));
        claim.learn("other");
        assert_eq!(probe(&served).await, (200, "ok: standby, other leads".into()));
        claim.learn("");
        assert_eq!(probe(&served).await, (200, "ok: standby, no operator leads".into()));
        claim.extend(claim.now() + Duration::from_secs(8));
        assert_eq!(probe(&served).await, (200, "ok: leader".into()));
        advance(Duration::from_secs(61)).await;
        assert_eq!(probe(&served).await, (503, "the API server has not reported who leads".into()));
        claim.learn("other");
        stop.cancel();
        assert_eq!(probe(&served).await, (503, "stopping".into()));
    }
}
