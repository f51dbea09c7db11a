//! `pods/portforward` over a WebSocket, as `kr8s` and kube ask for it: one port, with a channel for its data
//! and one for a fault (Kubernetes, `staging/src/k8s.io/apimachinery/pkg/util/portforward`).
//!
//! Each message begins with the number of its channel: 0 has the data of both ways, 1 says why there are
//! none. The first message of a channel has the number of the port, in two bytes. `kubectl` tunnels another
//! protocol, which is refused.

use std::net::{IpAddr, SocketAddr};

use axum::body::Body;
use futures::{SinkExt, StreamExt};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::api::ClusterApi;
use super::path::{self, Part, Path, Query, Target};
use super::read;
use super::status::Refusal;

/// The form of messages that is spoken, for clients that name any.
const PROTOCOL: &str = "v4.channel.k8s.io";
/// The channel of data.
const DATA: u8 = 0;
/// The channel of a fault.
const FAULT: u8 = 1;
/// How much is read at once.
const BLOCK: usize = 64 * 1024;

/// Whether a request is for the port of a pod, and for a connection that is no HTTP from then on.
pub(super) fn is_asked_for(parts: &Parts) -> bool {
    let upgrade = parts.headers.get(header::UPGRADE).and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket"))
        && matches!(target(parts), Some(Target { part: Some(Part::PortForward), .. }))
}

fn target(parts: &Parts) -> Option<Target> {
    match path::parse(parts.uri.path()) {
        Ok(Path::Objects(target)) => Some(target),
        _ => None,
    }
}

/// Answers it. What follows goes on by itself, until one of both sides ends it.
pub(super) fn answer(api: &ClusterApi, parts: &mut Parts) -> Result<Response<Body>, Refusal> {
    let refused = || Refusal::not_done_here("pods/portforward", path::CONNECT);
    let (Some(target), Some(&address)) = (target(parts), api.shared.pods.get()) else {
        return Err(refused());
    };
    read::get(&api.lock(), &target)?;
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let Some(Ok(port)) = query.get("ports").map(str::parse) else {
        return Err(Refusal::bad_request("ports: write one port, such as ports=8786"));
    };
    let protocols = parts.headers.get(header::SEC_WEBSOCKET_PROTOCOL).and_then(|value| value.to_str().ok());
    let is_spoken = |protocols: &str| protocols.split(',').any(|one| one.trim() == PROTOCOL);
    if !protocols.is_none_or(is_spoken) {
        return Err(refused());
    }
    let key = parts.headers.get(header::SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()));
    let accept = key.and_then(|key| HeaderValue::from_str(&key).ok());
    let (Some(accept), Some(upgrade)) = (accept, parts.extensions.remove::<OnUpgrade>()) else {
        return Err(Refusal::bad_request("this is no handshake of a WebSocket"));
    };
    tokio::spawn(async move {
        if let Ok(upgraded) = upgrade.await {
            let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
            // Either side may end at any moment, and nothing is left to say then.
            let _ = forward(socket, address, port).await;
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if protocols.is_some() {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    }
    Ok(response)
}

async fn forward<S>(mut socket: WebSocketStream<S>, address: IpAddr, port: u16) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let [low, high] = port.to_le_bytes();
    for channel in [DATA, FAULT] {
        socket.send(Message::binary(vec![channel, low, high])).await?;
    }
    match TcpStream::connect(SocketAddr::new(address, port)).await {
        Ok(pod) => carry(&mut socket, pod).await?,
        Err(error) => {
            let fault = [&[FAULT][..], format!("port {port} of the pod: {error}").as_bytes()].concat();
            socket.send(Message::binary(fault)).await?;
        }
    }
    socket.close(None).await
}

/// Carries both ways, until one of them ends.
async fn carry<S>(socket: &mut WebSocketStream<S>, mut pod: TcpStream) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut block = vec![0; BLOCK];
    loop {
        tokio::select! {
            read = pod.read(&mut block) => match block.get(..read?) {
                Some(bytes) if !bytes.is_empty() => {
                    socket.send(Message::binary([&[DATA][..], bytes].concat())).await?;
                }
                _ => return Ok(()),
            },
            message = socket.next() => match message.transpose()? {
                Some(Message::Binary(bytes)) => {
                    if let Some((&DATA, bytes)) = bytes.split_first() {
                        pod.write_all(bytes).await?;
                    }
                }
                Some(Message::Ping(_) | Message::Pong(_)) => {}
                _ => return Ok(()),
            },
        }
    }
}
