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

/// What a probe is answered with: that all is well, or what is not, in words.
pub type Answer = Result<String, String>;

/// What is served. Each is asked anew for each request.
pub struct Served {
    /// Whether the process is alive: where it is not, it is to be restarted. `/livez`, 500 where it is not.
    pub alive: Box<dyn Fn() -> Answer + Send + Sync>,
    /// Whether it is ready. `/readyz`, 503 where it is not.
    pub ready: Box<dyn Fn() -> Answer + Send + Sync>,
    /// Makes the text in the OpenMetrics format that a scrape is answered with. `/metrics`.
    pub scrape: Box<dyn Fn() -> String + Send + Sync>,
}

/// Serves for as long as it is polled.
pub async fn serve(listener: TcpListener, served: Served) {
    let routes = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(Arc::new(served));
    if let Err(error) = axum::serve(listener, routes).await {
        tracing::error!(error = &error as &dyn std::error::Error, "the HTTP server failed");
    }
}

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct CannotListen {
    address: SocketAddr,
    source: std::io::Error,
}

/// Listens on `address`. `[::]` means all addresses of both families. Where the kernel has no IPv6 it means
/// those of IPv4.
///
/// # Errors
/// The address is taken, or none of this machine.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, CannotListen> {
    let bound = TcpListener::bind(address).await;
    let bound = match &bound {
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && error.kind() != ErrorKind::AddrInUse => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        _ => bound,
    };
    bound.map_err(|source| CannotListen { address, source })
}

/// The answer with this status code where something is not well.
fn coded(answer: Answer, otherwise: StatusCode) -> (StatusCode, String) {
    answer.map_or_else(|text| (otherwise, text), |text| (StatusCode::OK, text))
}

async fn livez(State(served): State<Arc<Served>>) -> (StatusCode, String) {
    coded((served.alive)(), StatusCode::INTERNAL_SERVER_ERROR)
}

async fn readyz(State(served): State<Arc<Served>>) -> (StatusCode, String) {
    coded((served.ready)(), StatusCode::SERVICE_UNAVAILABLE)
}

async fn metrics(State(served): State<Arc<Served>>) -> impl IntoResponse {
    let format = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, format)], (served.scrape)())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_addresses_are_those_of_both_families() {
        let port = listen("[::]:0".parse().unwrap()).await.unwrap().local_addr().unwrap().port();
        let listener = listen(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))).await.unwrap();
        tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        drop(listener);
    }

    #[tokio::test]
    async fn what_is_not_well_has_a_code_of_its_own() {
        let served = Arc::new(Served {
            alive: Box::new(|| Err("stuck".to_owned())),
            ready: Box::new(|| Err("stopping".to_owned())),
            scrape: Box::new(String::new),
        });
        assert_eq!(livez(State(served.clone())).await, (StatusCode::INTERNAL_SERVER_ERROR, "stuck".into()));
        assert_eq!(readyz(State(served)).await, (StatusCode::SERVICE_UNAVAILABLE, "stopping".into()));
        assert_eq!(coded(Ok("ok".into()), StatusCode::BAD_REQUEST), (StatusCode::OK, "ok".into()));
    }
}
