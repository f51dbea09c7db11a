use std::collections::VecDeque;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex};

use rstest::rstest;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::duplex;

use super::*;
use crate::api::FlowRun;
use crate::daemon::clock::{Chance, Clock};
use crate::dask::connection::Stream;
use crate::dask::{Budget, Connector};
use crate::operator::caches::Stores;
use crate::operator::certificates::issue::{self, Pem};
use crate::operator::testing::{self, converse, refusal, serve};
use crate::plan::certificates::{CA, CERTIFICATE, KEY};
use crate::plan::run::GatewayView;

const LIFE: Duration = Duration::from_hours(1);

/// What is where the proxy leads to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum There {
    /// Nothing takes connections.
    Nothing,
    /// They are taken, and nothing is said.
    Mute,
    /// The proxy hangs up.
    HangsUp,
    /// It is where the operator does not connect to.
    OutOfReach,
    /// A scheduler without TLS.
    Plain,
    /// A scheduler with the certificate of another cluster.
    Stranger,
    /// The cluster's scheduler, of one worker.
    Scheduler,
}

fn authority() -> Pem {
    issue::authority("c1", "team", LIFE, Clock::of_machine().now()).unwrap()
}

fn leaf(authority: &Pem) -> Pem {
    issue::leaf(authority, &["daskgateway-c1".to_owned()], LIFE, Clock::of_machine().now()).unwrap()
}

/// A scheduler behind TLS.
async fn serve_tls(stream: impl Stream + 'static, authority: Pem, asked: testing::Asked) {
    let shown = leaf(&authority);
    let chain = vec![CertificateDer::from_pem_slice(shown.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(shown.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let tls = tls.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap();
    if let Ok(stream) = tokio_rustls::TlsAcceptor::from(Arc::new(tls)).accept(stream).await {
        scheduler(stream, asked).await;
    }
}

async fn scheduler(stream: impl Stream, asked: testing::Asked) {
    let answer = |op: &str, _: &Value| (op == "ncores").then(|| json!({"tcp://10.0.0.1:1": 1}));
    converse(stream, asked, answer).await;
}

/// The way to schedulers, whose connections are these in turn, and the last one for ever. That to the gateway
/// leads to nothing.
fn connector(there: &[There], authority: &Pem, asked: &testing::Asked) -> Connector {
    let (there, authority, asked) =
        (Mutex::new(VecDeque::from(there.to_vec())), authority.clone(), asked.clone());
    let dial = move |address: &Address| -> crate::dask::connector::Opening {
        if address.scheme() == Scheme::Tcp {
            return Box::pin(async { Err(dask::Error::Unreachable(ErrorKind::ConnectionRefused.into())) });
        }
        let mut there = there.lock().unwrap();
        let now = if there.len() > 1 { there.pop_front().unwrap() } else { there[0] };
        asked.add(format!("{now:?}"));
        let (ours, theirs) = duplex(1 << 16);
        let opened = Box::pin(async { Ok(Box::new(ours) as Box<dyn Stream>) });
        match now {
            There::Nothing => {
                return Box::pin(async {
                    Err(dask::Error::Unreachable(ErrorKind::ConnectionRefused.into()))
                });
            }
            There::OutOfReach => {
                return Box::pin(async { Err(dask::Error::OutOfReach { host: "gw".to_owned() }) });
            }
            There::HangsUp => drop(theirs),
            There::Mute => {
                tokio::spawn(async move {
                    tokio::time::sleep(LIFE).await;
                    drop(theirs);
                });
            }
            There::Plain => drop(tokio::spawn(scheduler(theirs, asked.clone()))),
            There::Stranger => drop(tokio::spawn(serve_tls(theirs, self::authority(), asked.clone()))),
            There::Scheduler => drop(tokio::spawn(serve_tls(theirs, authority.clone(), asked.clone()))),
        }
        opened
    };
    Connector::by(dial, &Budget::default())
}

fn run(job: Option<&str>) -> FlowRun {
    let run = json!({
        "metadata": {"name": "etl-1", "namespace": "team", "uid": "run-uid"}, "spec": {"flow": "etl"},
        "status": {"phase": "Running", "job": job, "gateway": {
            "access": access(), "attempt": 1, "askedAt": "2026-12-01T09:00:00Z", "by": "a", "cluster": "c1", "secretName": "cert",
        }},
    });
    serde_json::from_value(run).unwrap()
}

fn access() -> GatewayAccess {
    let access = json!({
        "address": "http://gw:8000", "proxyAddress": "gw:8786", "auth": {"type": "Basic", "secretName": "login"},
    });
    serde_json::from_value(access).unwrap()
}

/// The Secret of this name, with what it should have.
fn secret(name: &str, authority: &Pem) -> (u16, Value) {
    let shown = leaf(authority);
    let text = |text: &str| serde_json::to_value(k8s_openapi::ByteString(text.into())).unwrap();
    let data = match name {
        "login" => json!({"username": text("alice"), "password": text("pw")}),
        _ => {
            json!({CA: text(&authority.certificate), CERTIFICATE: text(&shown.certificate), KEY: text(&shown.key)})
        }
    };
    (200, json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}))
}

/// What is observed of the workers of a run whose gateway takes no connection, and what was asked: `cert` is
/// answered so in turn, where it is not read, and then it is.
async fn looks(unread: &[(u16, Value)], there: &[There]) -> (Workers, testing::Asked, testing::Asked) {
    let (context, server, _wakes) = testing::context(0);
    let (authority, connections) = (authority(), testing::Asked::default());
    let answers = Mutex::new(VecDeque::from(unread.to_vec()));
    let of_cluster = authority.clone();
    let (reads, _serving) = serve(server, move |what| match what {
        "GET cert" => answers.lock().unwrap().pop_front().unwrap_or_else(|| secret("cert", &of_cluster)),
        "GET login" => secret("login", &of_cluster),
        other => panic!("{other}"),
    });
    let connector = connector(there, &authority, &connections);
    let gateways = Gateways::new(context.client.clone(), connector, Chance::seeded(1));
    let (run, access) = (run(Some("etl-1-1")), access());
    let asked = Asked { run: &run, access: &access, with_workers: true, now: Clock::of_machine().now() };
    match gateways.view(&Stores::new(&[]), asked).await {
        GatewayView::Silent { workers, reason: Reason::GatewayUnreachable, .. } => {
            (workers, reads, connections)
        }
        other => panic!("{other:?}"),
    }
}

fn trouble() -> (u16, Value) {
    refusal(500, "InternalError", "etcd is away")
}

#[rstest]
#[case::at_once(0)]
#[case::the_second_time(1)]
#[case::the_third_time(2)]
#[tokio::test(start_paused = true)]
async fn a_certificate_that_cannot_be_read_is_read_again(#[case] failures: usize) {
    let (workers, reads, connections) = looks(&vec![trouble(); failures], &[There::Scheduler]).await;
    assert_eq!(workers, Workers::Registered(1));
    assert_eq!(reads.count("GET cert"), failures + 1);
    assert_eq!(connections.count("Scheduler"), 1);
}

#[rstest]
#[case::in_trouble(vec![trouble(); 9], 3, "the Secret cert with its certificate could not be read")]
#[case::deleted(vec![refusal(404, "NotFound", "no")], 1, "there is no Secret cert with its certificate")]
#[case::emptied(vec![(200, json!({"metadata": {"name": "cert"}}))], 1, "the certificate in the Secret cert is of no use")]
#[tokio::test(start_paused = true)]
async fn without_a_certificate_nothing_is_known_of_the_cluster(
    #[case] unread: Vec<(u16, Value)>,
    #[case] reads: usize,
    #[case] why: &str,
) {
    let (workers, asked, connections) = looks(&unread, &[There::Scheduler]).await;
    let Workers::Unknown { message, .. } = &workers else { panic!("{workers:?}") };
    let start = "the scheduler of the gateway's cluster c1 could not be asked: ";
    assert!(message.starts_with(&format!("{start}{why}")), "{message}");
    assert_eq!((asked.count("GET cert"), connections.all().len()), (reads, 0));
}

#[rstest]
#[case::nothing(There::Nothing)]
#[case::hangs_up(There::HangsUp)]
#[case::mute(There::Mute)]
#[tokio::test(start_paused = true)]
async fn a_scheduler_that_does_not_answer_is_asked_again(#[case] fault: There) {
    let (workers, ..) = looks(&[], &[fault, There::Scheduler]).await;
    assert_eq!(workers, Workers::Registered(1));
    let start = Instant::now();
    let (workers, _, connections) = looks(&[], &[fault]).await;
    assert!(matches!(workers, Workers::Silent { .. }), "{workers:?}");
    assert_eq!(connections.all().len(), 3);
    assert!(start.elapsed() < LAST_TRY + 2 * SCHEDULER, "{:?}", start.elapsed());
}

/// Traefik does so, the proxy of a gateway on Kubernetes, for a cluster that it does not know any more.
#[tokio::test(start_paused = true)]
async fn another_certificate_is_none_of_the_cluster() {
    let (workers, ..) = looks(&[], &[There::Stranger]).await;
    let Workers::Silent { reason, .. } = &workers else { panic!("{workers:?}") };
    assert_eq!(*reason, Reason::CertificateUntrusted);
}

/// By the kind of the fault: each of these may be there while the cluster is.
#[rstest]
#[case::out_of_reach(There::OutOfReach, Reason::SchedulerUnreachable, "gw is not in the networks")]
#[case::plain(There::Plain, Reason::WrongScheme, "does not speak TLS")]
#[tokio::test(start_paused = true)]
async fn what_answers_otherwise_says_nothing_of_the_cluster(
    #[case] fault: There,
    #[case] word: Reason,
    #[case] part: &str,
) {
    let (workers, ..) = looks(&[], &[fault]).await;
    let Workers::Unknown { reason, message } = &workers else { panic!("{workers:?}") };
    assert_eq!(*reason, word);
    assert!(message.contains(part), "{message}");
}

/// A run that waits for its cluster looks again by itself.
#[tokio::test(start_paused = true)]
async fn before_a_runner_is_there_a_scheduler_is_asked_once() {
    let (context, _server, _wakes) = testing::context(0);
    let (authority, connections) = (authority(), testing::Asked::default());
    let connector = connector(&[There::Nothing], &authority, &connections);
    let gateways = Gateways::new(context.client.clone(), connector, Chance::seeded(1));
    let shown = leaf(&authority);
    let credentials = Credentials::from_pem(
        authority.certificate.as_bytes(),
        shown.certificate.as_bytes(),
        shown.key.as_bytes(),
    );
    let (run, access) = (run(None), access());
    let asked = Asked { run: &run, access: &access, with_workers: true, now: Clock::of_machine().now() };
    let workers = gateways.workers(&asked, "c1", Ok(credentials.unwrap())).await;
    assert!(matches!(workers, Workers::Silent { .. }), "{workers:?}");
    assert_eq!(connections.all().len(), 1);
}
