//! `pods/portforward` over a WebSocket, as `kr8s` and kube ask for it: one port, with a channel for its data
//! and one for a fault (Kubernetes, `staging/src/k8s.io/apimachinery/pkg/util/portforward`).
//!
//! Each message begins with the number of its channel: 0 has the data of both ways, 1 says why there are
//! none. The first message of a channel has the number of the port, in two bytes. `kubectl` tunnels another
//! protocol, which is refused.
//!
//! All pods may share one address of this machine, so only ports that a pod says it has are reached, and only
//! while it runs: what else listens here is no part of it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::body::Body;
use futures::{SinkExt, StreamExt};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::{CancellationToken, DropGuard};

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
/// How many connections a listener has at the same time. More are refused.
const CONNECTIONS_MAX: usize = 128;

/// The connections to ports of pods that have come by one listener.
#[derive(Clone)]
pub(super) struct Forwards {
    free: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Forwards {
    /// None yet. They end when what is given beside it is dropped.
    pub(super) fn new() -> (Self, DropGuard) {
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        (Self { free: Arc::new(Semaphore::new(CONNECTIONS_MAX)), stop }, guard)
    }
}

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

/// Where a port of a pod is, or why it cannot be reached.
fn place(pod: &Value, address: IpAddr, port: u16) -> Result<Result<SocketAddr, String>, Refusal> {
    let text = |path: &str| pod.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let name = text("/metadata/name");
    if text("/spec/nodeName").is_empty() {
        return Err(Refusal::bad_request(format!("pod {name} does not have a host assigned")));
    }
    let phase = text("/status/phase");
    let containers = pod.pointer("/spec/containers").and_then(Value::as_array);
    let ports = containers.into_iter().flatten().filter_map(|one| one.get("ports")?.as_array()).flatten();
    let has_port =
        { ports }.any(|one| one.get("containerPort").and_then(Value::as_u64) == Some(u64::from(port)));
    let fault = |why: String| Ok(Err(fault(pod, port, &why)));
    if phase != "Running" {
        return fault(format!("the pod is not running: its phase is {phase}"));
    }
    if !has_port {
        return fault("no container of the pod has it in its ports".to_owned());
    }
    Ok(Ok(SocketAddr::new(address, port)))
}

/// A fault in the words of the kubelet.
fn fault(pod: &Value, port: u16, why: &str) -> String {
    let text = |field: &str| pod.get("metadata").and_then(|all| all.get(field)?.as_str()).unwrap_or_default();
    format!("error forwarding port {port} to pod {}, uid {}: {why}", text("name"), text("uid"))
}

/// Answers it. What follows goes on by itself, until one of both sides or the listener ends it.
pub(super) fn answer(
    api: &ClusterApi,
    forwards: &Forwards,
    parts: &mut Parts,
) -> Result<Response<Body>, Refusal> {
    let refused = || Refusal::not_done_here("pods/portforward", path::CONNECT);
    let (Some(target), Some(&address)) = (target(parts), api.shared.pods.get()) else {
        return Err(refused());
    };
    let pod = read::get(&api.lock(), &target)?;
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let Some(Ok(port)) = query.get("ports").map(str::parse) else {
        return Err(Refusal::bad_request("ports: write one port, such as ports=8786"));
    };
    let place = place(&pod, address, port)?;
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
    let Ok(turn) = forwards.free.clone().try_acquire_owned() else {
        let message = format!("{CONNECTIONS_MAX} connections to ports of pods are open: close some");
        return Err(Refusal::too_many(message));
    };
    let stop = forwards.stop.clone();
    let work = async move {
        let _turn = turn;
        let Ok(upgraded) = upgrade.await else { return };
        let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        // Either side may end at any moment, and nothing is left to say then.
        let _ = forward(socket, port, (place, &*pod)).await;
    };
    tokio::spawn(async move { stop.run_until_cancelled(work).await });
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

async fn forward<S>(
    mut socket: WebSocketStream<S>,
    port: u16,
    (place, pod): (Result<SocketAddr, String>, &Value),
) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let [low, high] = port.to_le_bytes();
    for channel in [DATA, FAULT] {
        socket.send(Message::binary(vec![channel, low, high])).await?;
    }
    let connected = match place {
        Ok(place) => TcpStream::connect(place).await.map_err(|error| fault(pod, port, &error.to_string())),
        Err(fault) => Err(fault),
    };
    match connected {
        Ok(pod) => carry(socket, pod).await,
        Err(fault) => {
            socket.send(Message::binary([&[FAULT][..], fault.as_bytes()].concat())).await?;
            socket.close(None).await
        }
    }
}

/// Carries both ways, until one of them ends. Neither waits for the other, so that who does not read does not
/// keep the other side from ending it.
async fn carry<S>(socket: WebSocketStream<S>, pod: TcpStream) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let ((mut to_client, mut from_client), (mut from_pod, mut to_pod)) = (socket.split(), pod.into_split());
    let there = async {
        loop {
            match from_client.next().await.transpose()? {
                Some(Message::Binary(bytes)) => {
                    if let Some((&DATA, bytes)) = bytes.split_first() {
                        to_pod.write_all(bytes).await?;
                    }
                }
                Some(Message::Ping(_) | Message::Pong(_)) => {}
                _ => return Ok(()),
            }
        }
    };
    let back = async {
        let mut block = vec![0; BLOCK];
        loop {
            let read = from_pod.read(&mut block).await?;
            match block.get(..read) {
                Some(bytes) if !bytes.is_empty() => {
                    to_client.send(Message::binary([&[DATA][..], bytes].concat())).await?;
                }
                _ => return Ok(()),
            }
        }
    };
    let ended: Result<(), Error> = tokio::select! {
        ended = there => ended,
        ended = back => ended,
    };
    ended?;
    to_client.close().await
}
