//! The loop and the guard, against an API server that keeps one Lease, and time that is not waited for.

mod connections;
mod slow;

use std::sync::Mutex;

use http::Request;
use jiff::{SignedDuration, Timestamp};
use kube::client::{Body, ClientBuilder};
use kube::core::ObjectMeta;
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, advance, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;
use tower::BoxError;
use tower_test::mock;

use super::*;
use crate::operator::testing::{refusal, respond};

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// How late an API server is that is slow.
const LATE: Duration = s(4);

/// How the API server takes requests.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Mood {
    /// As it should.
    #[default]
    Well,
    /// It takes them and never answers.
    Hung,
    /// It carries writes out and never answers.
    Mute,
    /// Only what is read is answered.
    ReadsOnly,
    /// It refuses them.
    Refusing,
    /// It carries them out at once and answers late.
    AnswersLate,
    /// It carries them out late, and answers then.
    WorksLate,
    /// It gets each write twice, from something on the way, which hands on the second answer.
    Doubled,
}

/// An API server with one Lease.
#[derive(Clone, Default)]
pub(in crate::operator) struct Server(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    lease: Option<Lease>,
    version: u32,
    mood: Mood,
    /// Methods.
    asked: Vec<String>,
    /// How many writes were refused because of their version.
    conflicts: u32,
    /// How many connections were opened.
    connections: u32,
}

impl Server {
    /// The ways of one candidate to this server.
    pub(super) fn ways(&self) -> Ways {
        Ways::new(std::array::from_fn(|_| Api::namespaced(self.client(), "default")))
    }

    /// A client of this server, with connections of its own. As with hyper, whoever finds none that is free
    /// opens one, and takes the first that becomes free; it may be another one, and others may take that
    /// which was opened.
    pub(in crate::operator) fn client(&self) -> Client {
        let (server, free) = (self.clone(), Arc::new(Semaphore::new(0)));
        let service = tower::service_fn(move |request| {
            // What has arrived is carried out, whether or not somebody waits for it.
            let answer = tokio::spawn(server.clone().serve(request, free.clone()));
            async { Ok::<_, BoxError>(answer.await?) }
        });
        Client::new(service, "default")
    }

    /// A new connection, which takes the server as long as an answer.
    fn connect(&self, free: Arc<Semaphore>) {
        let mut state = self.0.lock().unwrap();
        state.connections += 1;
        let is_late = matches!(state.mood, Mood::AnswersLate | Mood::WorksLate);
        tokio::spawn(async move {
            sleep(if is_late { LATE } else { Duration::ZERO }).await;
            free.add_permits(1);
        });
    }

    async fn serve(self, request: Request<Body>, free: Arc<Semaphore>) -> http::Response<Body> {
        let method = request.method().as_str().to_owned();
        let body = request.into_body().collect_bytes().await.unwrap();
        if free.available_permits() == 0 {
            self.connect(free.clone());
        }
        let _connection = free.acquire().await.unwrap();
        self.carry_out(&method, &body).await
    }

    /// The answer to what has arrived over a connection.
    async fn carry_out(&self, method: &str, body: &[u8]) -> http::Response<Body> {
        let mood = self.0.lock().unwrap().mood;
        if mood == Mood::WorksLate {
            sleep(LATE).await;
        }
        if mood == Mood::Doubled && method != "GET" {
            self.answer(method, serde_json::from_slice(body).ok());
        }
        let answer = self.answer(method, serde_json::from_slice(body).ok());
        if mood == Mood::AnswersLate {
            sleep(LATE).await;
        }
        let Some((code, body)) = answer else { return std::future::pending().await };
        http::Response::builder().status(code).body(Body::from(body.to_string().into_bytes())).unwrap()
    }

    fn answer(&self, method: &str, sent: Option<Lease>) -> Option<(u16, serde_json::Value)> {
        let mut state = self.0.lock().unwrap();
        let version =
            |lease: &Option<Lease>| lease.as_ref().and_then(|lease| lease.metadata.resource_version.clone());
        state.asked.push(method.to_owned());
        match state.mood {
            Mood::Hung => return None,
            Mood::ReadsOnly if method != "GET" => return None,
            Mood::Refusing => {
                return Some(refusal(403, "Forbidden", "leases is forbidden: User \"x\" cannot get"));
            }
            _ => {}
        }
        let conflicts = method != "GET" && version(&sent) != version(&state.lease);
        if method != "GET" && !conflicts {
            state.put(sent.unwrap());
        }
        if state.mood == Mood::Mute {
            return None;
        }
        if conflicts {
            state.conflicts += 1;
            return Some(refusal(409, "Conflict", "the object has been modified"));
        }
        Some(match &state.lease {
            Some(lease) => (200, json!(lease)),
            None => refusal(404, "NotFound", "leases \"daskflow\" not found"),
        })
    }

    /// Somebody else writes the Lease.
    pub(in crate::operator) fn put(&self, holder: &str, renewed: Timestamp) {
        let spec = LeaseSpec {
            holder_identity: Some(holder.into()),
            lease_duration_seconds: Some(12),
            lease_transitions: Some(4),
            renew_time: Some(MicroTime(renewed)),
            ..LeaseSpec::default()
        };
        let metadata = ObjectMeta { name: Some("daskflow".into()), ..ObjectMeta::default() };
        self.0.lock().unwrap().put(Lease { metadata, spec: Some(spec) });
    }

    fn mood(&self, mood: Mood) {
        self.0.lock().unwrap().mood = mood;
    }

    pub(in crate::operator) fn spec(&self) -> LeaseSpec {
        self.0.lock().unwrap().lease.clone().and_then(|lease| lease.spec).unwrap_or_default()
    }

    fn holder(&self) -> String {
        holder(self.0.lock().unwrap().lease.as_ref())
    }

    fn methods(&self) -> Vec<String> {
        self.0.lock().unwrap().asked.clone()
    }

    fn conflicts(&self) -> u32 {
        self.0.lock().unwrap().conflicts
    }

    fn connections(&self) -> u32 {
        self.0.lock().unwrap().connections
    }
}

impl State {
    fn put(&mut self, mut lease: Lease) {
        self.version += 1;
        lease.metadata.resource_version = Some(self.version.to_string());
        self.lease = Some(lease);
    }
}

fn holder(lease: Option<&Lease>) -> String {
    lease.and_then(|lease| lease.spec.as_ref()?.holder_identity.clone()).unwrap_or_default()
}

/// A candidate that asks for a Lease of so many seconds.
pub(super) fn candidate(identity: &str, lease_s: u16) -> Candidate {
    let (name, identity) = ("daskflow".to_owned(), identity.to_owned());
    LeaseOptions { name, namespace: None, identity, lease_s }.candidate()
}

/// A candidate at work.
struct Running {
    claim: Arc<Claim>,
    heartbeats: Arc<Heartbeats>,
    able: CancellationToken,
    release: CancellationToken,
    task: JoinHandle<Result<(), Loss>>,
}

fn run(server: &Server, identity: &str) -> Running {
    run_by(server.ways(), identity)
}

/// One that cannot work yet.
fn observe(server: &Server, identity: &str) -> Running {
    observe_by(server.ways(), identity)
}

/// A candidate with these ways.
fn run_by(ways: Ways, identity: &str) -> Running {
    let running = observe_by(ways, identity);
    running.able.cancel();
    running
}

fn observe_by(ways: Ways, identity: &str) -> Running {
    let (claim, heartbeats) = (Arc::new(Claim::new()), Arc::<Heartbeats>::default());
    let candidate = candidate(identity, 12);
    let (tells, given) = ((claim.clone(), heartbeats.clone()), (Clock::of_machine(), Chance::of_machine()));
    let election = Election::new(ways, "daskflow", candidate, tells, given);
    let (able, release) = (CancellationToken::new(), CancellationToken::new());
    Running {
        claim,
        heartbeats,
        task: tokio::spawn(election.run(able.clone(), release.clone())),
        able,
        release,
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_gets_no_answer_is_lost_within_its_deadline() {
    let server = Server::default();
    let running = run(&server, "me");
    running.claim.begins().await;
    sleep(s(31)).await;
    assert!(running.claim.is_current(), "it renews");
    server.mood(Mood::Hung);
    let hung = Instant::now();
    let loss = timeout(s(3600), running.task).await.expect("it notices").unwrap();
    assert_eq!(loss, Err(Loss::Deadline));
    assert!(hung.elapsed() <= s(9), "{:?}", hung.elapsed());
    assert!(!running.claim.is_current());
    assert!(!running.claim.flag().load(std::sync::atomic::Ordering::Relaxed));
}

#[tokio::test(start_paused = true)]
async fn answers_that_get_lost_end_a_claim_too() {
    let server = Server::default();
    let running = run(&server, "me");
    running.claim.begins().await;
    server.mood(Mood::Mute);
    let loss = timeout(Duration::from_millis(9_100), running.task).await.expect("it notices").unwrap();
    assert_eq!(loss, Err(Loss::Deadline));
}

#[tokio::test(start_paused = true)]
async fn a_short_hang_is_survived() {
    let server = Server::default();
    let running = run(&server, "me");
    running.claim.begins().await;
    sleep(s(2)).await;
    server.mood(Mood::Mute);
    sleep(s(4)).await;
    server.mood(Mood::Well);
    sleep(s(60)).await;
    assert!(running.claim.is_current());
    assert!(!running.task.is_finished());
}

#[tokio::test(start_paused = true)]
async fn whoever_is_overwritten_is_lost_at_once() {
    let server = Server::default();
    let running = run(&server, "me");
    running.claim.begins().await;
    server.put("other", Timestamp::UNIX_EPOCH);
    let loss = timeout(s(4), running.task).await.expect("the next renewal tells").unwrap();
    assert_eq!(loss, Err(Loss::Taken("other".into())));
    assert_eq!(server.holder(), "other", "nothing was written over it");
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_taken_when_it_was_unchanged_for_its_duration_whatever_its_times_say() {
    let now = Clock::of_machine().now();
    let hour = SignedDuration::from_hours(1);
    for renewed in [now - hour * 10, now, now + hour * 10] {
        let server = Server::default();
        server.put("other", renewed);
        let begin = Instant::now();
        let running = run(&server, "me");
        running.claim.begins().await;
        assert!(begin.elapsed() >= s(12) && begin.elapsed() < s(13), "{:?}", begin.elapsed());
        let spec = server.spec();
        assert_eq!((server.holder().as_str(), spec.lease_transitions), ("me", Some(5)));
        assert_eq!(spec.lease_duration_seconds, Some(12));
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_renews_is_never_taken_over() {
    let server = Server::default();
    server.put("other", Timestamp::UNIX_EPOCH);
    let running = run(&server, "me");
    for _ in 0..100 {
        sleep(s(11)).await;
        server.put("other", Timestamp::UNIX_EPOCH);
    }
    assert!(!running.claim.is_current());
    assert!(server.methods().iter().all(|method| method == "GET"), "it only reads");
    assert_eq!(running.claim.holder(s(2)).as_deref(), Some("other"));
}

#[tokio::test(start_paused = true)]
async fn a_stopped_leader_gives_the_lease_to_the_other_within_two_seconds() {
    let server = Server::default();
    let first = run(&server, "first");
    first.claim.begins().await;
    let second = run(&server, "second");
    sleep(s(30)).await;
    assert!(!second.claim.is_current());
    let stopped = Instant::now();
    first.release.cancel();
    second.claim.begins().await;
    assert!(stopped.elapsed() <= s(2), "{:?}", stopped.elapsed());
    assert!(!first.claim.is_current());
    assert_eq!(first.task.await.unwrap(), Ok(()));
    assert_eq!(server.spec().lease_transitions, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_release_says_that_nobody_holds_the_lease() {
    let server = Server::default();
    let running = run(&server, "me");
    running.claim.begins().await;
    // The version that the leader knows is not the last one.
    server.mood(Mood::Mute);
    sleep(s(4)).await;
    server.mood(Mood::Well);
    running.release.cancel();
    assert_eq!(running.task.await.unwrap(), Ok(()));
    let spec = server.spec();
    assert_eq!((spec.holder_identity.as_deref(), spec.lease_duration_seconds), (Some(""), Some(1)));
}

#[tokio::test(start_paused = true)]
async fn a_standby_that_stops_leaves_the_lease_alone() {
    let server = Server::default();
    server.put("other", Timestamp::UNIX_EPOCH);
    let running = run(&server, "me");
    sleep(s(5)).await;
    running.release.cancel();
    assert_eq!(running.task.await.unwrap(), Ok(()));
    assert_eq!(server.holder(), "other");
    assert!(server.methods().iter().all(|method| method == "GET"));
}

#[tokio::test(start_paused = true)]
async fn a_candidate_without_rights_asks_on_and_knows_nothing() {
    let server = Server::default();
    server.mood(Mood::Refusing);
    let running = run(&server, "me");
    sleep(s(300)).await;
    assert_eq!(running.claim.holder(s(60)), None);
    assert_eq!(running.heartbeats.stalled(), None);
    assert!(server.methods().len() < 500, "not more than its share");
    server.mood(Mood::Well);
    timeout(s(2), running.claim.begins()).await.expect("rights were given");
}

#[tokio::test(start_paused = true)]
async fn whoever_cannot_work_yet_leaves_the_lease_to_others() {
    let server = Server::default();
    let running = observe(&server, "me");
    sleep(s(60)).await;
    assert!(server.methods().iter().all(|method| method == "GET"));
    assert!(server.methods().len() < 100, "it does not ask without a pause");
    assert_eq!(running.claim.holder(s(2)).as_deref(), Some(""), "it knows who leads");
    running.able.cancel();
    timeout(Duration::from_millis(100), running.claim.begins()).await.expect("it is able to now");
}

/// A client behind the guard, of an API server that answers after a second.
fn guarded(claim: &Arc<Claim>) -> (Client, Arc<Mutex<Vec<String>>>, AbortOnDropHandle<()>) {
    let (service, mut handle) = mock::pair::<Request<Body>, http::Response<Body>>();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    let task = tokio::spawn(async move {
        while let Some((request, reply)) = handle.next_request().await {
            log.lock().unwrap().push(request.method().to_string());
            sleep(s(1)).await;
            respond(reply, (200, json!({"metadata": {"name": "daskflow"}, "spec": {}})));
        }
    });
    let client = ClientBuilder::new(service, "default").with_layer(&Guard(claim.clone())).build();
    (client, asked, AbortOnDropHandle::new(task))
}

fn is_refused<T: std::fmt::Debug>(answer: Result<T, kube::Error>) -> bool {
    matches!(answer, Err(kube::Error::Service(error)) if error.downcast_ref::<DoesNotLead>().is_some())
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_without_a_claim_and_everything_can_be_read() {
    let claim = Arc::new(Claim::new());
    let (client, asked, _task) = guarded(&claim);
    let api: Api<Lease> = Api::default_namespaced(client);
    assert!(is_refused(api.create(&PostParams::default(), &Lease::default()).await));
    assert!(is_refused(api.delete("daskflow", &kube::api::DeleteParams::default()).await));
    assert!(asked.lock().unwrap().is_empty(), "nothing got through");
    api.get("daskflow").await.unwrap();
    claim.extend(claim.now() + s(5));
    api.create(&PostParams::default(), &Lease::default()).await.unwrap();
    assert_eq!(*asked.lock().unwrap(), ["GET", "POST"]);
}

#[tokio::test(start_paused = true)]
async fn a_write_under_way_ends_with_the_claim_unless_that_goes_on() {
    let claim = Arc::new(Claim::new());
    let (client, _asked, _task) = guarded(&claim);
    let (api, params, lease) = (Api::default_namespaced(client), PostParams::default(), Lease::default());
    claim.extend(claim.now() + Duration::from_millis(500));
    let begin = Instant::now();
    assert!(is_refused(api.create(&params, &lease).await));
    assert_eq!(begin.elapsed().as_millis() / 10, 50);

    sleep(s(5)).await;
    claim.extend(claim.now() + Duration::from_millis(500));
    let create = api.create(&params, &lease);
    let renew = async {
        sleep(Duration::from_millis(300)).await;
        claim.extend(claim.now() + s(8));
    };
    let (created, ()) = tokio::join!(create, renew);
    created.unwrap();

    let create = api.create(&params, &lease);
    let end = async {
        sleep(Duration::from_millis(300)).await;
        claim.end();
    };
    let (created, ()) = tokio::join!(create, end);
    assert!(is_refused(created), "a claim that is given up ends at once");
}

#[tokio::test(start_paused = true)]
async fn a_claim_is_over_when_its_time_has_come_though_no_timer_went_off() {
    let claim = Claim::new();
    claim.extend(claim.now() + s(8));
    assert!(claim.is_current());
    // What a stopped process finds when it goes on.
    advance(s(9)).await;
    assert!(!claim.is_current());
    assert!(claim.flag().load(std::sync::atomic::Ordering::Relaxed), "nobody has looked yet");
}

#[tokio::test(start_paused = true)]
async fn a_claim_for_ever_has_no_end() {
    let claim = Claim::forever();
    claim.begins().await;
    assert!(timeout(s(1 << 25), claim.ends()).await.is_err());
    assert!(claim.is_current());
}
