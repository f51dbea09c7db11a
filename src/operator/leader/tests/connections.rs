//! The clients of a candidate as they are in the operator, over TLS and real connections, in real time.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::serve::Listener;
use http::HeaderValue;
use http::header;
use kube::Config;
use rcgen::CertifiedKey;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::*;

/// How late answers are: enough for a look beside each renewal, and far from what ends a leader, since the
/// machine that runs the test has other work too.
const ANSWER: Duration = Duration::from_millis(2_500);
/// How late TLS is, where it is.
const CONNECTION: Duration = s(6);

/// How an API server takes connections.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Connections {
    /// At once, and they last.
    Last,
    /// After [`CONNECTION`], and they last.
    ComeLate,
    /// At once, and each is for one request.
    HaveOneAnswer,
}

/// An API server with one Lease that listens.
struct Listening {
    server: Server,
    config: Config,
    is_slow: Arc<AtomicBool>,
    /// How many were asked for.
    connections: Arc<AtomicU32>,
    _task: AbortOnDropHandle<()>,
}

impl Listening {
    async fn start(kind: Connections) -> Self {
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let key = signing_key.serialize_der().try_into().unwrap();
        let tls = tls.unwrap().with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();

        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (server, connections) = (Server::default(), Arc::<AtomicU32>::default());
        let is_slow = Arc::<AtomicBool>::default();
        let (sender, accepted) = mpsc::unbounded_channel();
        let (slow, count) = (is_slow.clone(), connections.clone());
        let accept = async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let is_late = kind == Connections::ComeLate && slow.load(Ordering::Relaxed);
                let late = if is_late { CONNECTION } else { Duration::ZERO };
                let (sender, tls) = (sender.clone(), TlsAcceptor::from(Arc::new(tls.clone())));
                tokio::spawn(async move {
                    sleep(late).await;
                    let _ = sender.send(tls.accept(stream).await.ok()?);
                    Some(())
                });
            }
        };
        let (of_handler, slow) = (server.clone(), is_slow.clone());
        let router = Router::new().fallback(move |request: Request| async move {
            let (head, body) = request.into_parts();
            let body = to_bytes(body, usize::MAX).await.unwrap();
            let mut answer = of_handler.carry_out(head.method.as_str(), &body).await;
            if slow.load(Ordering::Relaxed) {
                sleep(ANSWER).await;
            }
            if kind == Connections::HaveOneAnswer {
                answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            answer.map(axum::body::Body::new)
        });
        let serve = axum::serve(Accepted { accepted, address }, router).into_future();
        let task = tokio::spawn(async { drop(tokio::join!(accept, serve)) });

        let mut config = Config::new(format!("https://{address}").parse().unwrap());
        config.root_cert = Some(vec![cert.der().to_vec()]);
        config.default_retry = false;
        Self { server, config, is_slow, connections, _task: AbortOnDropHandle::new(task) }
    }

    fn ways(&self) -> Ways {
        let client = || ClientBuilder::try_from(self.config.clone()).unwrap().build();
        Ways::new(std::array::from_fn(|_| Api::namespaced(client(), "default")))
    }
}

/// Connections whose TLS is done.
struct Accepted {
    accepted: mpsc::UnboundedReceiver<TlsStream<TcpStream>>,
    address: SocketAddr,
}

impl Listener for Accepted {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.accepted.recv().await {
            Some(stream) => (stream, self.address),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        Ok(self.address)
    }
}

/// A look beside a renewal needs a connection, and is given that of the renewal when it becomes free, if both
/// are of one client. The next renewal would then be answered after the end of the claim.
#[rstest::rstest]
#[case(Connections::Last)]
#[case(Connections::ComeLate)]
#[case(Connections::HaveOneAnswer)]
#[tokio::test]
async fn a_renewal_does_not_wait_for_a_connection(#[case] kind: Connections) {
    let api_server = Listening::start(kind).await;
    let running = run_by(api_server.ways(), "me");
    running.claim.begins().await;
    api_server.is_slow.store(true, Ordering::Relaxed);
    slow::assert_stays(&running, None, s(15)).await;
    assert_eq!(api_server.server.conflicts(), 0);
    let connections = api_server.connections.load(Ordering::Relaxed);
    assert!(kind == Connections::HaveOneAnswer || connections < 8, "they are used again: {connections}");
}
