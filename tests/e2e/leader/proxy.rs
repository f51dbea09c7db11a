//! A way to the API server that can hang: connections stand, new ones are taken, and nothing comes through.

use std::net::SocketAddr;
use std::path::Path;

use kube::config::Kubeconfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// The way.
pub struct Proxy {
    address: SocketAddr,
    hangs: watch::Sender<bool>,
    _task: AbortOnDropHandle<()>,
}

impl Proxy {
    /// A way to this address.
    pub async fn start(target: String) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let hangs = watch::Sender::new(false);
        let state = hangs.clone();
        let task = tokio::spawn(async move {
            let mut connections = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                let connection = tokio::spawn(connect(stream, target.clone(), state.clone()));
                connections.push(AbortOnDropHandle::new(connection));
            }
        });
        Self { address, hangs, _task: AbortOnDropHandle::new(task) }
    }

    /// From now on nothing comes through, in either direction.
    pub fn hang(&self) {
        self.hangs.send_replace(true);
    }

    /// Writes a kubeconfig that leads over this way. The certificate of the API server stays the one it is.
    pub fn write_kubeconfig(&self, original: &Kubeconfig, file: &Path) {
        let mut config = original.clone();
        for cluster in config.clusters.iter_mut().filter_map(|named| named.cluster.as_mut()) {
            let host = host_and_port(cluster.server.as_deref().unwrap()).0;
            cluster.tls_server_name.get_or_insert(host);
            cluster.server = Some(format!("https://{}", self.address));
        }
        std::fs::write(file, serde_json::to_vec(&config).unwrap()).unwrap();
    }
}

/// The host and the port of an API server's URL.
pub fn host_and_port(url: &str) -> (String, u16) {
    let url: http::Uri = url.parse().unwrap();
    (url.host().unwrap().to_owned(), url.port_u16().unwrap_or(443))
}

async fn connect(client: TcpStream, target: String, hangs: watch::Sender<bool>) {
    let _ = hangs.subscribe().wait_for(|hangs| !hangs).await;
    let Ok(server) = TcpStream::connect(target).await else { return };
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let up = copy(from_client, to_server, hangs.subscribe());
    let down = copy(from_server, to_client, hangs.subscribe());
    tokio::join!(up, down);
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut hangs: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let is_open = hangs.wait_for(|hangs| !hangs).await.is_ok();
        if !is_open || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
    let _ = hangs.wait_for(|hangs| !hangs).await;
    let _ = to.shutdown().await;
}
