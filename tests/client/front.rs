//! The API on a port, and before it what the API in this process refuses: ports of pods, over `WebSockets`,
//! as an API server forwards them; and changes of objects that are called `untouchable`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use futures::{SinkExt, StreamExt};
use http::{Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::{Message, protocol::Role};
use tokio_util::task::AbortOnDropHandle;

/// The subprotocol in which each message begins with the number of a channel.
const PROTOCOL: &str = "v4.channel.k8s.io";

/// Where the ports of pods are: a pod, and its port.
#[derive(Clone, Default)]
pub struct Ports(Arc<Mutex<HashMap<(String, u16), SocketAddr>>>);

impl Ports {
    /// A pod listens there.
    pub fn put(&self, pod: &str, port: u16, address: SocketAddr) {
        self.0.lock().unwrap().insert((pod.to_owned(), port), address);
    }

    fn get(&self, pod: &str, port: u16) -> Option<SocketAddr> {
        self.0.lock().unwrap().get(&(pod.to_owned(), port)).copied()
    }
}

/// A port of this machine that is listened on for as long as this lives.
pub struct Front {
    pub address: SocketAddr,
    _server: AbortOnDropHandle<()>,
}

impl Front {
    /// Listens for an API, of which this is a client.
    pub async fn new(client: kube::Client, ports: Ports) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router =
            Router::new().fallback(move |request: Request| answer(client.clone(), ports.clone(), request));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, _server: AbortOnDropHandle::new(server) }
    }
}

async fn answer(client: kube::Client, ports: Ports, request: Request) -> Response<Body> {
    let path = request.uri().path().to_owned();
    if let Some(path) = path.strip_suffix("/portforward") {
        return forward(path.rsplit('/').next().unwrap(), &ports, request);
    }
    // As a webhook does.
    if request.method() == "PATCH" && path.ends_with("/untouchable") {
        let text = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403,
            "reason": "Forbidden", "message": "admission webhook denied the request: it is frozen"});
        return Response::builder().status(403).body(Body::from(text.to_string())).unwrap();
    }
    let (head, body) = request.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    let request = http::Request::from_parts(head, kube::client::Body::from(bytes.to_vec()));
    client.send(request).await.unwrap().map(Body::new)
}

/// Answers as an API server does, and goes on with the connection by itself.
fn forward(pod: &str, ports: &Ports, mut request: Request) -> Response<Body> {
    let query = request.uri().query().unwrap_or_default();
    let port: u16 = query.split('&').find_map(|pair| pair.strip_prefix("ports=")).unwrap().parse().unwrap();
    let address = ports.get(pod, port);
    let key = request.headers()[header::SEC_WEBSOCKET_KEY].to_str().unwrap();
    let accept = derive_accept_key(key.as_bytes());
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let upgraded = TokioIo::new(upgrade.await.unwrap());
        let mut socket = WebSocketStream::from_raw_socket(upgraded, Role::Server, None).await;
        let [low, high] = port.to_le_bytes();
        for channel in [0, 1] {
            // Whoever has seen enough may be away.
            let _ = socket.send(Message::binary(vec![channel, low, high])).await;
        }
        match address {
            Some(address) => carry(socket, TcpStream::connect(address).await.unwrap()).await,
            None => {
                let _ = socket.send(Message::binary(b"\x01connection refused".to_vec())).await;
            }
        }
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, accept)
        .header(header::SEC_WEBSOCKET_PROTOCOL, PROTOCOL)
        .body(Body::empty())
        .unwrap()
}

/// Both ways, until one of them ends.
async fn carry<S>(mut socket: WebSocketStream<S>, mut pod: TcpStream)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut buffer = vec![0; 4096];
    loop {
        tokio::select! {
            read = pod.read(&mut buffer) => match read {
                Ok(count) if count > 0 => {
                    let message = [&[0], &buffer[..count]].concat();
                    if socket.send(Message::binary(message)).await.is_err() {
                        return;
                    }
                }
                _ => {
                    let _ = socket.close(None).await;
                    return;
                }
            },
            message = socket.next() => match message {
                Some(Ok(Message::Binary(bytes))) => pod.write_all(&bytes[1..]).await.unwrap(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return,
            },
        }
    }
}
