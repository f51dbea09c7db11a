//! The API on a port of this machine, for `kubectl` and other programs of the same user.
//!
//! It takes every command, so it listens on loopback alone, and answers only those that call it so, and no
//! web page: neither one that has its own name resolved to this machine, nor one that sends a form here, of
//! which a browser says where it comes from (`Origin`). In tests it speaks plain HTTP and asks for no
//! password; where other users of the machine are to be kept out, it is given an [`Access`].

use std::io;
use std::net::{IpAddr, SocketAddr};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use http::{HeaderMap, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::DropGuard;
use tokio_util::task::AbortOnDropHandle;

use super::access::{Access, Guard};
use super::api::ClusterApi;
use super::forward::{self, Forwards};
use super::response::json_response;
use super::status::Refusal;

/// The largest body that is read, as with Kubernetes.
const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;

/// A port that is listened on for as long as this lives.
pub struct Listening {
    address: SocketAddr,
    _server: AbortOnDropHandle<io::Result<()>>,
    _forwards: DropGuard,
}

impl Listening {
    /// The address, with the port that was free if none was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl ClusterApi {
    /// Listens on an address, which must be one of loopback. Port 0 is any that is free. Whoever reaches it
    /// may do everything.
    pub async fn listen(&self, address: SocketAddr) -> io::Result<Listening> {
        let (listener, address) = bind(address).await?;
        let (forwards, guard) = Forwards::new();
        let router = self.router(None, forwards);
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Listening { address, _server: AbortOnDropHandle::new(server), _forwards: guard })
    }

    /// The same with TLS, for those alone who have the token.
    pub async fn listen_with(&self, address: SocketAddr, access: &Access) -> io::Result<Listening> {
        let (listener, address) = bind(address).await?;
        let (forwards, guard) = Forwards::new();
        let router = self.router(Some(access.guard()), forwards);
        let connections = access.connections(listener, address);
        let server = tokio::spawn(async move { axum::serve(connections, router).await });
        Ok(Listening { address, _server: AbortOnDropHandle::new(server), _forwards: guard })
    }

    fn router(&self, guard: Option<Guard>, forwards: Forwards) -> Router {
        let api = self.clone();
        Router::new().fallback(move |request: Request| {
            let (api, forwards) = (api.clone(), forwards.clone());
            async move { api.answer_http(request, guard, &forwards).await }
        })
    }

    async fn answer_http(
        &self,
        request: Request,
        guard: Option<Guard>,
        forwards: &Forwards,
    ) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        let refused = |refusal: Refusal| json_response(refusal.code, &refusal.body(), &[]);
        if !is_local(&parts.headers) {
            return refused(Refusal {
                code: 403,
                reason: "Forbidden",
                message: "requests must name this machine by its loopback address, and come from no web page"
                    .to_owned(),
                details: Value::Null,
            });
        }
        if guard.is_some_and(|guard| !guard.admits(&parts.headers)) {
            return refused(Refusal {
                code: 401,
                reason: "Unauthorized",
                message: "the token of the kubeconfig is needed that was written for this API".to_owned(),
                details: Value::Null,
            });
        }
        if forward::is_asked_for(&parts) {
            return forward::answer(self, forwards, &mut parts).unwrap_or_else(refused);
        }
        match to_bytes(body, BODY_BYTES_MAX).await {
            Ok(bytes) => self.answer(&parts, &bytes).await,
            Err(_) => refused(Refusal::too_large(format!(
                "the body of the request has more than {BODY_BYTES_MAX} bytes, or ends early"
            ))),
        }
    }
}

async fn bind(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    if !address.ip().is_loopback() {
        let why = format!("{address} is reached from elsewhere; only loopback addresses are listened on");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Whether the client has called this machine by an address of loopback, and is no web page.
fn is_local(headers: &HeaderMap) -> bool {
    if headers.contains_key(http::header::ORIGIN) {
        return false;
    }
    let Some(host) = headers.get(http::header::HOST).and_then(|host| host.to_str().ok()) else {
        return false;
    };
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_meant() {
        for (host, expected) in [
            ("127.0.0.1:8001", true),
            ("[::1]:8001", true),
            ("localhost:1", true),
            ("localhost", true),
            ("127.0.0.1", true),
            ("example.com:8001", false),
            ("192.168.0.1:80", false),
            ("localhost.example.com", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(http::header::HOST, host.parse().unwrap());
            assert_eq!(is_local(&headers), expected, "{host}");
            headers.insert(http::header::ORIGIN, http::HeaderValue::from_static("null"));
            assert!(!is_local(&headers), "a page that calls {host}");
        }
        assert!(!is_local(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn other_addresses_are_not_listened_on() {
        let api = ClusterApi::new(|| jiff::Timestamp::UNIX_EPOCH, 1);
        assert!(api.listen("0.0.0.0:0".parse().unwrap()).await.is_err());
        let listening = api.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        assert_ne!(listening.address().port(), 0);
    }
}
