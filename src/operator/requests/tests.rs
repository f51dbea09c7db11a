//! The layer over an API server that answers as the test says, in virtual time.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::{join_all, poll_immediate};
use tokio::sync::mpsc;
use tower::service_fn;

use crate::plan::turns::{Bounds, Turn, Turns};

use super::*;
use crate::operator::leader::{Claim, Guard};
use crate::plan::requests::pace::{FIRST, LEAST};

/// A look at an object, and where it learns that somebody waits for it.
fn look(name: &str, rank: Rank) -> (Look, watch::Sender<Rank>, mpsc::UnboundedReceiver<Turn>) {
    let mut turns = Turns::new(Bounds { at_work: 1, all: 1 });
    assert!(!turns.wake(&(Arc::from("team"), Arc::from(name)), rank));
    let (raise, changed) = watch::channel(rank);
    let (tells, telling) = mpsc::unbounded_channel();
    (Look::new(changed, tells, turns.begin().unwrap()), raise, telling)
}

/// What a namespace gets of [`FIRST`] places: a quarter is kept for others.
const OF_ONE: usize = FIRST * 3 / 4;

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// An API server that keeps what it was asked, and when.
#[derive(Clone, Default)]
struct Server {
    asked: Arc<Mutex<Vec<(String, Instant)>>>,
    under_way: Arc<AtomicUsize>,
    stop: CancellationToken,
}

impl Server {
    /// The layer over it. `answer` says what comes of a request and how long it takes, by how many are under
    /// way.
    fn behind(
        &self,
        answer: fn(&str, usize) -> (u16, Duration),
    ) -> Adapted<impl Future<Output = Answer> + Send + use<>> {
        let server = self.clone();
        let adapt = Adapt::new(&Metrics::default(), &self.stop, &Chance::of_machine());
        adapt.layer(service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let what = format!("{} {}", request.method(), request.uri());
                server.asked.lock().unwrap().push((what.clone(), Instant::now()));
                let under_way = server.under_way.fetch_add(1, Ordering::SeqCst) + 1;
                let leaves = Leaves(server.under_way.clone());
                let (code, takes) = answer(&what, under_way);
                tokio::time::sleep(takes).await;
                drop(leaves);
                let answer = Response::builder().status(code);
                let answer =
                    if matches!(code, 429 | 500) { answer.header("Retry-After", "2") } else { answer };
                Ok(answer.body(()).unwrap())
            }
        }))
    }

    fn asked(&self) -> Vec<(String, Instant)> {
        self.asked.lock().unwrap().clone()
    }

    fn count(&self, of: &str) -> usize {
        self.asked().iter().filter(|(what, _)| what.contains(of)).count()
    }

    fn under_way(&self) -> usize {
        self.under_way.load(Ordering::SeqCst)
    }
}

struct Leaves(Arc<AtomicUsize>);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

type Answer = Result<Response<()>, BoxError>;

fn path(namespace: &str, resource: &str) -> String {
    format!("/apis/daskflow.dev/v1alpha1/namespaces/{namespace}/{resource}")
}

fn request(method: &str, namespace: &str, resource: &str) -> Request<Body> {
    Request::builder().method(method).uri(path(namespace, resource)).body(Body::empty()).unwrap()
}

/// So many creations in a namespace.
fn burst<F>(service: &mut Adapted<F>, count: usize, namespace: &str) -> Vec<tokio::task::JoinHandle<Answer>>
where
    F: Future<Output = Answer> + Send + 'static,
{
    (0..count).map(|_| tokio::spawn(service.call(request("POST", namespace, "flowruns")))).collect()
}

/// How many have a place, and how many wait for one.
fn places<F>(service: &Adapted<F>) -> (usize, usize) {
    let state = service.gate.state();
    (state.line.at_work(), state.line.len())
}

/// Everything that can go on without time does.
async fn settle() {
    tokio::time::sleep(ms(1)).await;
}

#[tokio::test(start_paused = true)]
async fn slow_answers_leave_fewer_requests_under_way_and_swift_ones_more() {
    let server = Server::default();
    let mut service = server.behind(|_, under_way| (201, ms(40) * u32::try_from(under_way).unwrap()));
    join_all(burst(&mut service, 500, "busy")).await;
    let slow = service.gate.state().pace.limit();
    assert!((LEAST..=LEAST + 2).contains(&slow), "{slow}");

    let server = Server::default();
    let mut service = server.behind(|_, _| (201, ms(10)));
    join_all(burst(&mut service, 2_000, "busy")).await;
    let swift = service.gate.state().pace.limit();
    assert!(swift > 2 * FIRST, "{swift}");
}

#[tokio::test(start_paused = true)]
async fn another_namespace_does_not_wait_behind_a_burst_of_a_thousand() {
    let server = Server::default();
    let mut service = server.behind(|_, _| (201, ms(100)));
    let busy = burst(&mut service, 1_000, "busy");
    tokio::time::sleep(ms(1_000)).await;
    assert!(server.count("busy") < 400, "most of it waits");
    let asked = Instant::now();
    for _ in 0..5 {
        // One after the other, as a run comes to its Job.
        service.call(request("GET", "team", "flowruns/a")).await.unwrap();
    }
    assert!(asked.elapsed() <= ms(600), "{:?}", asked.elapsed());
    join_all(busy).await;
    assert_eq!(server.count("busy"), 1_000);
}

#[tokio::test(start_paused = true)]
async fn what_hangs_in_one_namespace_leaves_places_to_others() {
    let server = Server::default();
    let answer = |what: &str, _| if what.contains("busy") { (201, ms(30_000)) } else { (201, ms(10)) };
    let mut service = server.behind(answer);
    let busy = burst(&mut service, 100, "busy");
    settle().await;
    assert_eq!(server.under_way(), OF_ONE);
    let asked = Instant::now();
    service.call(request("POST", "team", "jobs")).await.unwrap();
    assert_eq!(asked.elapsed(), ms(10));
    busy.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn creations_go_before_statuses_and_events_that_have_waited_longer() {
    let server = Server::default();
    let mut service = server.behind(|_, _| (201, ms(50)));
    let mut all = Vec::new();
    for (method, resource) in [("POST", "events"), ("PATCH", "flowruns/a/status"), ("POST", "jobs")] {
        for _ in 0..200 {
            all.push(tokio::spawn(service.call(request(method, "team", resource))));
        }
    }
    settle().await;
    join_all(all).await;
    // The first had no competition; of what had, a quarter are others.
    let asked = server.asked();
    let place = |of: &str| {
        asked.iter().enumerate().filter(|(_, (what, _))| what.contains(of)).map(|(place, _)| place).max()
    };
    let last_creation = place("jobs").unwrap();
    assert!(last_creation <= OF_ONE + 200 * 4 / 3 + 1, "{last_creation}");
    assert!(server.asked()[OF_ONE..last_creation].iter().any(|(what, _)| what.contains("events")), "starved");
    assert_eq!(place("events"), Some(599));
}

#[tokio::test(start_paused = true)]
async fn the_status_that_lets_a_run_through_goes_with_what_is_created_after_it() {
    let server = Server::default();
    let mut service = server.behind(|_, _| (200, ms(50)));
    let busy = burst(&mut service, OF_ONE, "team");
    settle().await;
    let told = tokio::spawn(service.call(request("PATCH", "team", "flowruns/told/status")));
    settle().await;
    let commit =
        tokio::spawn(as_commit(true, service.call(request("PATCH", "team", "flowruns/commit/status"))));
    join_all(busy).await;
    commit.await.unwrap().unwrap();
    told.await.unwrap().unwrap();
    let asked = server.asked();
    let place = |of: &str| asked.iter().position(|(what, _)| what.contains(of));
    assert!(place("commit") < place("told"), "{asked:?}");
}

/// One refusal, and nothing of it once it is over.
fn refuses_once(what: &str, _: usize) -> (u16, Duration) {
    static REFUSED: AtomicUsize = AtomicUsize::new(0);
    let refuses = what.contains("refused") && REFUSED.fetch_add(1, Ordering::SeqCst) == 0;
    (if refuses { 429 } else { 201 }, ms(10))
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_obeyed_by_all_and_the_refused_request_is_made_again() {
    let server = Server::default();
    let mut service = server.behind(refuses_once);
    let refused = tokio::spawn(service.call(request("POST", "refused", "flowruns")));
    tokio::time::sleep(ms(11)).await;
    let others = burst(&mut service, 50, "team");
    let begun = Instant::now();
    assert_eq!(refused.await.unwrap().unwrap().status(), 201);
    join_all(others).await;
    assert_eq!((server.count("refused"), server.count("team")), (2, 50));
    let first = server.asked()[1].1;
    assert!(first - begun >= ms(1_999), "{:?}", first - begun);
    assert!(begun.elapsed() < ms(3_000), "it goes on when the time is over: {:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_does_not_end_is_the_answer_in_the_end() {
    let server = Server::default();
    let mut service = server.behind(|_, _| (429, ms(10)));
    let begun = Instant::now();
    let answer = service.call(request("POST", "team", "flowruns")).await.unwrap();
    assert_eq!(answer.status(), 429);
    assert!(begun.elapsed() <= ms(31_000), "{:?}", begun.elapsed());
    assert!(server.count("team") <= 16, "{}", server.count("team"));
    assert_eq!(service.gate.state().pace.limit(), LEAST);
}

#[tokio::test(start_paused = true)]
async fn a_creation_that_may_have_been_carried_out_is_not_asked_for_twice() {
    let server = Server::default();
    let mut service = server.behind(|_, _| (504, ms(10)));
    for (method, resource) in [("POST", "jobs"), ("PATCH", "flowruns/a/status")] {
        let answer = service.call(request(method, "team", resource)).await.unwrap();
        assert_eq!(answer.status(), 504);
    }
    assert_eq!(server.count("jobs"), 1);
    assert!(server.count("status") > 5, "{}", server.count("status"));
    let answer = |code: u16, header: Option<&str>| {
        let answer = Response::builder().status(code);
        header
            .map_or(answer, |value| Response::builder().status(code).header("Retry-After", value))
            .body(())
            .unwrap()
    };
    let of = |code, header| retries::may_be_made_again(&http::Method::POST, &answer(code, header));
    assert!(of(429, None) && of(503, Some("1")) && !of(503, None));
}

#[tokio::test(start_paused = true)]
async fn what_would_have_to_wait_ends_when_the_operator_stops_and_what_is_under_way_goes_on() {
    let server = Server::default();
    let mut service = server.behind(|_, _| (201, ms(500)));
    let all = burst(&mut service, 1_000, "team");
    settle().await;
    server.stop.cancel();
    let stopped = Instant::now();
    let ends = join_all(all).await;
    assert!(stopped.elapsed() <= ms(500), "{:?}", stopped.elapsed());
    let (answered, left): (Vec<_>, Vec<_>) = ends.into_iter().partition(|end| end.as_ref().unwrap().is_ok());
    assert_eq!(answered.len(), OF_ONE);
    assert!(left.into_iter().all(|end| end.unwrap().unwrap_err().is::<Stopped>()));
    // What has a place at once goes.
    assert_eq!(places(&service), (0, 0));
    service.call(request("POST", "team", "jobs")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_is_not_made_again_when_the_operator_stops() {
    let server = Server::default();
    let mut service = server.behind(|_, _| (429, ms(10)));
    let refused = tokio::spawn(service.call(request("POST", "team", "jobs")));
    tokio::time::sleep(ms(100)).await;
    server.stop.cancel();
    let stopped = Instant::now();
    assert!(refused.await.unwrap().unwrap_err().is::<Stopped>());
    assert_eq!((stopped.elapsed(), server.count("jobs")), (ms(0), 1));
}

#[tokio::test(start_paused = true)]
async fn whoever_no_longer_waits_gives_its_place_back() {
    let server = Server::default();
    let mut service = server.behind(|_, _| (201, ms(60_000)));
    let under_way = burst(&mut service, OF_ONE, "team");
    settle().await;
    assert_eq!(server.under_way(), OF_ONE);

    // Queued, and given up: also one whose turn has come and who has not noticed.
    let mut waits = service.call(request("POST", "team", "flowruns"));
    assert!(poll_immediate(&mut waits).await.is_none());
    let mut unaware = service.call(request("POST", "team", "flowruns"));
    assert!(poll_immediate(&mut unaware).await.is_none());
    drop(waits);
    under_way[0].abort();
    settle().await;
    assert_eq!(server.under_way(), OF_ONE - 1, "its turn has come, and it has not asked");
    assert_eq!(places(&service), (OF_ONE, 0));
    drop(unaware);
    assert_eq!(places(&service), (OF_ONE - 1, 0));

    let last = burst(&mut service, 1, "team");
    settle().await;
    assert_eq!(server.under_way(), OF_ONE);
    under_way.iter().chain(&last).for_each(tokio::task::JoinHandle::abort);
    settle().await;
    assert_eq!((places(&service), server.under_way()), ((0, 0), 0));
}

#[tokio::test(start_paused = true)]
async fn watches_wait_for_nothing_and_take_no_place() {
    let server = Server::default();
    let mut service = server.behind(|_, _| (200, ms(60_000)));
    let busy = burst(&mut service, 100, "team");
    settle().await;
    let watch = service.call(request("GET", "team", "flowruns?watch=true"));
    let watch = tokio::spawn(watch);
    settle().await;
    assert_eq!(server.count("watch=true"), 1);
    assert_eq!(places(&service).0, OF_ONE);
    busy.iter().chain([&watch]).for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn a_watch_begins_when_the_api_server_no_longer_wishes_to_be_left_alone() {
    let server = Server::default();
    let mut service =
        server.behind(|what, _| if what.contains("watch") { (200, ms(10)) } else { (429, ms(10)) });
    let refused = tokio::spawn(service.call(request("PATCH", "team", "flows/a/status")));
    tokio::time::sleep(ms(100)).await;
    let begun = Instant::now();
    service.call(request("GET", "team", "flows?watch=true")).await.unwrap();
    assert!(begun.elapsed() >= ms(1_800), "{:?}", begun.elapsed());
    refused.abort();
}

#[tokio::test(start_paused = true)]
async fn an_etcd_that_does_not_answer_closes_the_line_and_a_creation_is_left_to_whoever_asked() {
    let server = Server::default();
    let mut service =
        server.behind(|what, _| if what.starts_with("POST") { (500, ms(1)) } else { (200, ms(1)) });
    let answer = service.call(request("POST", "team", "jobs")).await.unwrap();
    assert_eq!((answer.status().as_u16(), server.count("POST")), (500, 1));
    let begun = Instant::now();
    service.call(request("GET", "team", "flowruns/a")).await.unwrap();
    assert!(begun.elapsed() >= ms(1_900), "{:?}", begun.elapsed());
    assert_eq!(service.gate.state().pace.limit(), FIRST / 2);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_does_not_lead_when_its_turn_comes_writes_nothing() {
    let nobody = service_fn(|_: Request<Body>| async { Ok::<_, BoxError>(Response::new(())) });
    let guarded = Guard(Arc::new(Claim::new())).layer(nobody);
    let mut service =
        Adapt::new(&Metrics::default(), &CancellationToken::new(), &Chance::of_machine()).layer(guarded);
    let error = service.call(request("POST", "team", "flowruns")).await.unwrap_err();
    assert!(error.is::<DoesNotLead>(), "{error}");
    assert_eq!(service.gate.state().pace.limit(), FIRST, "that is not for the API server");
    service.call(request("GET", "team", "flowruns/a")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_look_gives_its_place_back_with_the_first_request_that_only_tells() {
    let server = Server::default();
    let mut service = server.behind(|_, _| (200, ms(10)));
    let (look, _raise, mut telling) = look("a", Rank::Usual);
    let creation = service.call(request("POST", "team", "jobs"));
    let status = service.call(request("PATCH", "team", "flowruns/a/status"));
    let event = service.call(request("POST", "team", "events"));
    look.at(async {
        creation.await.unwrap();
        assert!(telling.try_recv().is_err());
        status.await.unwrap();
        event.await.unwrap();
    })
    .await;
    assert_eq!(telling.try_recv().unwrap().key.1.as_ref(), "a");
    assert!(telling.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn run_now_goes_before_the_burst_of_its_own_namespace() {
    let server = Server::default();
    let mut service = server.behind(|_, _| (201, ms(100)));
    let busy = burst(&mut service, 500, "team");
    settle().await;
    let (look, _raise, _telling) = look("now", Rank::Urgent);
    let begun = Instant::now();
    look.at(service.call(request("POST", "team", "jobs"))).await.unwrap();
    assert!(begun.elapsed() <= ms(200), "{:?}", begun.elapsed());
    join_all(busy).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_goes_first_once_somebody_waits_for_its_look() {
    let server = Server::default();
    let mut service = server.behind(|_, _| (201, ms(100)));
    let busy = burst(&mut service, 500, "team");
    settle().await;
    let (look, raise, _telling) = look("flow", Rank::Usual);
    let request = look.at(service.call(request("PATCH", "team", "flows/flow/status")));
    let begun = Instant::now();
    let raises = async {
        tokio::time::sleep(ms(500)).await;
        raise.send_replace(Rank::Urgent);
    };
    futures::future::join(request, raises).await.0.unwrap();
    assert!(begun.elapsed() > ms(500) && begun.elapsed() <= ms(700), "{:?}", begun.elapsed());
    join_all(busy).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_request_waits_for_its_turn_does_not_count_as_the_time_of_a_reconcile() {
    let server = Server::default();
    let mut service = server.behind(|_, _| (201, ms(500)));
    let busy = burst(&mut service, 150, "team");
    settle().await;
    let begun = Instant::now();
    let answer = within(ms(1_000), service.call(request("POST", "team", "jobs"))).await;
    assert!(answer.is_some() && begun.elapsed() > ms(3_000), "{:?}", begun.elapsed());
    join_all(busy).await;

    let begun = Instant::now();
    assert!(within(ms(1_000), std::future::pending::<()>()).await.is_none());
    assert!(begun.elapsed() <= ms(1_100), "{:?}", begun.elapsed());
}
