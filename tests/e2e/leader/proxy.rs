//! A way to the API server that can hang: connections stand, new ones are taken, and nothing comes through.
//! Or all that comes back is late.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use kube::config::Kubeconfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

/// The way.
pub struct Proxy {
    address: SocketAddr,
    hangs: watch::Sender<bool>,
    late: watch::Sender<Duration>,
    _task: AbortOnDropHandle<()>,
}

impl Proxy {
    /// A way to the API server of the tests. The kubeconfig that leads over it is written into this file.
    pub async fn to_the_api_server(kubeconfig: &Path) -> Self {
        let original = Kubeconfig::read().unwrap();
        let server = original.clusters.iter().find_map(|named| named.cluster.as_ref()?.server.clone());
        let (host, port) = host_and_port(&server.expect("the kubeconfig names a server"));
        let proxy = Self::start(format!("{host}:{port}")).await;
        proxy.write_kubeconfig(&original, kubeconfig);
        proxy
    }

    async fn start(target: String) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (hangs, late) = (watch::Sender::new(false), watch::Sender::new(Duration::ZERO));
        let state = (hangs.clone(), late.clone());
        let task = tokio::spawn(async move {
            let mut connections = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                let connection = tokio::spawn(connect(stream, target.clone(), state.clone()));
                connections.push(AbortOnDropHandle::new(connection));
            }
        });
        Self { address, hangs, late, _task: AbortOnDropHandle::new(task) }
    }

    /// From now on nothing comes through, in either direction.
    pub fn hang(&self) {
        self.hangs.send_replace(true);
    }

    /// From now on whatever the API server says is on its way for so long, its part in the TLS of a new
    /// connection too.
    pub fn delay(&self, late: Duration) {
        self.late.send_replace(late);
    }

    /// The certificate of the API server stays the one it is.
    fn write_kubeconfig(&self, original: &Kubeconfig, file: &Path) {
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
fn host_and_port(url: &str) -> (String, u16) {
    let url: http::Uri = url.parse().unwrap();
    (url.host().unwrap().to_owned(), url.port_u16().unwrap_or(443))
}

type State = (watch::Sender<bool>, watch::Sender<Duration>);

async fn connect(client: TcpStream, target: String, (hangs, late): State) {
    let _ = hangs.subscribe().wait_for(|hangs| !hangs).await;
    let Ok(server) = TcpStream::connect(target).await else { return };
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let at_once = watch::Sender::new(Duration::ZERO);
    let up = copy(from_client, to_server, hangs.subscribe(), at_once.subscribe());
    let down = copy(from_server, to_client, hangs.subscribe(), late.subscribe());
    tokio::join!(up, down);
}

/// What is read is written when its time has come; meanwhile the next is read.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut hangs: watch::Receiver<bool>,
    late: watch::Receiver<Duration>,
) {
    let (sender, mut underway) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let read = async move {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            let due = Instant::now() + *late.borrow();
            if sender.send((due, buffer[..count].to_vec())).is_err() {
                return;
            }
        }
    };
    let write = async move {
        while let Some((due, bytes)) = underway.recv().await {
            sleep_until(due).await;
            let is_open = hangs.wait_for(|hangs| !hangs).await.is_ok();
            if !is_open || to.write_all(&bytes).await.is_err() {
                return;
            }
        }
        let _ = hangs.wait_for(|hangs| !hangs).await;
        let _ = to.shutdown().await;
    };
    tokio::join!(read, write);
}
