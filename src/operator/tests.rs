//! Two operators in one process and under one paused clock: what becomes of one is nothing to the other.

mod log;

use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use ::http::{Request, Response};
use axum::body::Body as Answer;
use jiff::{SignedDuration, Timestamp};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tower::service_fn;

use super::*;
use crate::api::{FlowRun, Phase};
use crate::daemon::clock::{Chance, Clock};
use crate::dask::connection::Stream;
use crate::dask::{Budget, Connector};
use crate::plan::lease::Loss;
use crate::plan::site::Site;
use leader::tests::Server;
use testing::stage::{Asked, Held, NAMESPACE};
use testing::{converse, refusal};

/// When the ticks of the Flow are, after the start. Pods never start here, so a run fails ten minutes after
/// its own.
const TICKS: [SignedDuration; 2] = [SignedDuration::from_mins(10), SignedDuration::from_mins(15)];

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

/// An operator, and all of its world: an API server with one Flow, one Lease, a scheduler that may be down,
/// and a time of day.
struct World {
    start: Timestamp,
    held: Arc<Mutex<Held>>,
    lease: Server,
    /// What the scheduler was asked.
    scheduler: testing::Asked,
    is_down: Arc<AtomicBool>,
    probes: SocketAddr,
    operator: JoinHandle<Result<(), Error>>,
}

impl World {
    async fn starting_at(start: &str, is_down: bool) -> Self {
        let start: Timestamp = start.parse().unwrap();
        let clock = Clock::starting_at(start);
        let held = Arc::new(Mutex::new(Held::new(clock.clone())));
        held.lock().unwrap().create("flows", flow(start));
        let (lease, scheduler) = (Server::default(), testing::Asked::default());
        let is_down = Arc::new(AtomicBool::new(is_down));
        let listener = http::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
        let probes = listener.local_addr().unwrap();
        let of_lease = lease.clone();
        let connector = connector(scheduler.clone(), is_down.clone());
        let options = Options {
            client: client_of(held.clone()),
            lease: Some(Candidature {
                lease: LeaseOptions {
                    name: "daskflow".to_owned(),
                    namespace: None,
                    identity: "me".to_owned(),
                    lease_s: 12,
                },
                client: Box::new(move || Ok(of_lease.client())),
                place: Place::Task,
            }),
            namespaces: vec![NAMESPACE.to_owned()],
            dask_kubernetes: false,
            surroundings: Surroundings {
                sites: Sites::all(Site::Kubernetes),
                clock,
                chance: Chance::seeded(1),
                schedulers: connector.clone(),
                addresses: connector,
            },
            listener,
        };
        let operator = tokio::spawn(run(options, CancellationToken::new()));
        Self { start, held, lease, scheduler, is_down, probes, operator }
    }

    /// How long after the start each run was due, in minutes.
    fn ticks(&self) -> Vec<i64> {
        let runs = self.held.lock().unwrap().all::<FlowRun>("flowruns");
        let due = |run: FlowRun| run.spec.scheduled_time.unwrap().0.duration_since(self.start).as_mins();
        runs.into_iter().map(due).collect()
    }

    /// The reason that the first run tells.
    fn reason(&self) -> Option<String> {
        let runs = self.held.lock().unwrap().all::<FlowRun>("flowruns");
        let status = runs.into_iter().next().unwrap().status.unwrap();
        assert!(matches!(status.phase, Phase::Queued | Phase::Provisioning), "{status:?}");
        status.reason
    }

    fn jobs(&self) -> usize {
        self.held.lock().unwrap().all::<Value>("jobs").len()
    }

    /// How long after the start, as its holder knows the time, the Lease was renewed last.
    fn renewed(&self) -> SignedDuration {
        self.lease.spec().renew_time.unwrap().0.duration_since(self.start)
    }

    async fn is_listening(&self) -> bool {
        tokio::net::TcpStream::connect(self.probes).await.is_ok()
    }
}

/// A Flow on an address.
fn flow(start: Timestamp) -> Value {
    let after = |duration| start.checked_add(duration).unwrap().to_string();
    json!({
        "apiVersion": "daskflow.dev/v1alpha1", "kind": "Flow", "metadata": {"name": "etl"},
        "spec": {
            "image": "flows:1", "command": ["true"], "cluster": {"address": "tcp://dask:8786"},
            "concurrency": "Allow", "schedule": {"clocks": [{"name": "c", "dates": TICKS.map(after)}]},
        },
    })
}

/// A client of an API server whose watches stay silent.
fn client_of(held: Arc<Mutex<Held>>) -> Client {
    let service = service_fn(move |request: Request<Body>| {
        let held = held.clone();
        async move {
            let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
            if query.contains("watch=") {
                let nothing = futures::stream::pending::<Result<&str, Infallible>>();
                return Ok(Response::new(Answer::from_stream(nothing)));
            }
            let (code, answer) = if path.starts_with("/openapi/") {
                refusal(403, "Forbidden", "this account may not read it")
            } else {
                let asked = Asked::of(request).await;
                held.lock().unwrap().answer(&asked)
            };
            let body = Answer::from(serde_json::to_vec(&answer).unwrap());
            Ok::<_, Infallible>(Response::builder().status(code).body(body).unwrap())
        }
    });
    Client::new(service, NAMESPACE)
}

/// The way to a scheduler in this process.
fn connector(asked: testing::Asked, is_down: Arc<AtomicBool>) -> Connector {
    let dial = move |_: &crate::dask::Address| -> crate::dask::connector::Opening {
        if is_down.load(Ordering::Relaxed) {
            let refused = crate::dask::Error::Unreachable(ErrorKind::ConnectionRefused.into());
            return Box::pin(async { Err(refused) });
        }
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let answer = |op: &str, _: &Value| (op == "ncores").then(|| json!({"tcp://10.0.0.1:1": 1}));
        tokio::spawn(converse(theirs, asked.clone(), answer));
        Box::pin(async { Ok(Box::new(ours) as Box<dyn Stream>) })
    };
    Connector::by(dial, &Budget::default())
}

#[tokio::test(start_paused = true)]
async fn two_operators_share_nothing() {
    // Days of the past and of the future: neither is the machine's.
    let one = World::starting_at("2021-03-04T05:06:07Z", false).await;
    let other = World::starting_at("2042-03-04T05:06:07Z", true).await;
    sleep(minutes(11)).await;
    assert_eq!((one.ticks(), other.ticks()), (vec![10], vec![10]), "each has its own time of day");
    assert_eq!((one.jobs(), other.jobs()), (1, 0));
    assert_eq!(one.scheduler.count("ncores"), one.scheduler.all().len());
    assert_eq!(other.scheduler.all(), Vec::<String>::new(), "each has its own way to schedulers");
    assert_eq!(other.reason().as_deref(), Some("SchedulerUnreachable"));
    for world in [&one, &other] {
        let (renewed, now) = (world.renewed(), SignedDuration::from_mins(11));
        assert!(renewed > now - SignedDuration::from_secs(12) && renewed <= now, "{renewed:?}");
    }

    // One ends, and the other goes on.
    one.lease.put("another", Timestamp::UNIX_EPOCH);
    other.is_down.store(false, Ordering::Relaxed);
    sleep(minutes(5)).await;
    assert!(one.operator.is_finished() && !one.is_listening().await);
    assert!(!other.operator.is_finished() && other.is_listening().await);
    assert_eq!((one.ticks(), other.ticks()), (vec![10], vec![10, 15]));
    assert_eq!((one.jobs(), other.jobs()), (1, 2));
    assert!(other.renewed() > SignedDuration::from_mins(15));
    let ended = one.operator.await.unwrap();
    assert!(matches!(ended, Err(Error::Lost(Loss::Taken(holder))) if holder == "another"));
}
