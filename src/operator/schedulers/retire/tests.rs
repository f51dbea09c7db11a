use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::*;
use crate::operator::context::Context;
use crate::operator::schedulers::Membership;
use crate::operator::testing::{Scheduler, context, identity, workers};
use crate::operator::wakes::Wakes;
use crate::plan::VictimKind;
use crate::plan::cluster::Outcome;

const KEY: (&str, &str) = ("default", "demo");
/// Long enough for anything that comes at all.
const PLENTY: Duration = Duration::from_secs(20);

fn worker(name: &str) -> Victim {
    Victim { kind: VictimKind::Pod, name: name.to_owned(), uid: Some(format!("uid-{name}")) }
}

fn pod(name: &str) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": name, "uid": format!("uid-{name}")}})).unwrap()
}

/// A scheduler with the workers "a", "b" and "c" that answers so to a retirement.
async fn scheduler(retired: impl Fn(&Value) -> Option<Value> + Clone + Send + 'static) -> Scheduler {
    Scheduler::start(move |op, request| match op {
        "retire_workers" => retired(request),
        "subscribe_worker_status" | "identity" => Some(identity(&["a", "b", "c"])),
        _ => None,
    })
    .await
}

/// Follows a start of the scheduler.
fn follow(context: &Context, start: &str) {
    context.schedulers.follow(KEY, (start, "127.0.0.1"), None, Membership::Subscribed);
}

/// Begins to ask about workers.
fn begin(context: &Context, wish: Wish, names: &[&str]) {
    let workers: Vec<Victim> = names.iter().map(|name| worker(name)).collect();
    context.schedulers.begin(KEY, (wish, &workers)).unwrap();
}

fn record(context: &Context) -> Retirements {
    context.schedulers.retirements(KEY.0, KEY.1)
}

/// Waits until the scheduler is no longer being asked about this worker, being woken for the answer.
async fn until_answered(context: &Context, wakes: &mut Wakes, name: &str) -> Retirements {
    let answered = async {
        loop {
            let record = record(context);
            if !record.is_moving(&pod(name)) {
                return record;
            }
            wakes.recv(Kind::DaskCluster).await.unwrap();
        }
    };
    timeout(PLENTY, answered).await.expect("no wake came with the answer")
}

fn outcome<'r>(record: &'r Retirements, name: &str) -> Option<&'r Outcome> {
    record.outcome(&worker(name), Clock::of_machine().now())
}

#[tokio::test]
async fn workers_that_the_scheduler_let_go_are_known_and_no_others() {
    let scheduler = scheduler(|_| Some(workers(&["a", "c"]))).await;
    let (context, _server, mut wakes) = context(scheduler.port);
    follow(&context, "u");
    begin(&context, Wish::Retire, &["a", "b", "c", "unknown"]);
    let record = until_answered(&context, &mut wakes, "a").await;
    let gone: Vec<&str> = ["a", "b", "c"].into_iter().filter(|name| record.has_let_go(&pod(name))).collect();
    assert_eq!(gone, ["a", "c"]);
    assert_eq!(outcome(&record, "b"), Some(&Outcome::Kept));
    assert_eq!(outcome(&record, "unknown"), None, "who is not registered is not kept");
}

#[tokio::test]
async fn an_answer_that_comes_late_wakes_the_cluster_and_nobody_is_asked_twice_before() {
    let may_answer = Arc::new(AtomicBool::new(false));
    let gate = may_answer.clone();
    let scheduler = scheduler(move |_| {
        let answers = gate.load(Ordering::Relaxed);
        Some(if answers { workers(&["a"]) } else { json!("ask again") })
    })
    .await;
    let (context, _server, mut wakes) = context(scheduler.port);
    follow(&context, "u");
    begin(&context, Wish::Retire, &["a", "b"]);
    let asked = async {
        while scheduler.asked.count("retire_workers") == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PLENTY, asked).await.expect("it was not asked");
    let moving = record(&context);
    assert!(moving.is_moving(&pod("a")) && moving.is_moving(&pod("b")) && !moving.has_let_go(&pod("a")));
    begin(&context, Wish::Retire, &["b"]);
    may_answer.store(true, Ordering::Relaxed);
    let record = until_answered(&context, &mut wakes, "b").await;
    assert!(record.has_let_go(&pod("a")));
    assert_eq!(outcome(&record, "b"), Some(&Outcome::Kept));
    assert_eq!(scheduler.asked.count("retire_workers"), 1);
}

#[tokio::test]
async fn workers_that_are_closed_stay_and_those_that_are_kept_open_are_known() {
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = asked.clone();
    let scheduler = scheduler(move |request| {
        heard.lock().unwrap().push((request["close_workers"].clone(), request["remove"].clone()));
        Some(workers(&["a"]))
    })
    .await;
    let (context, _server, mut wakes) = context(scheduler.port);
    follow(&context, "u");
    begin(&context, Wish::CloseToTasks, &["a", "b"]);
    let closed = until_answered(&context, &mut wakes, "a").await;
    assert_eq!(*asked.lock().unwrap(), [(json!(false), json!(false))]);
    assert!(!closed.has_let_go(&pod("a")));
    assert_eq!(outcome(&closed, "b"), Some(&Outcome::Kept));
    // The same workers may be let go at any time after that.
    begin(&context, Wish::Retire, &["a"]);
    let record = until_answered(&context, &mut wakes, "a").await;
    assert_eq!(asked.lock().unwrap().last(), Some(&(json!(true), json!(true))));
    assert!(record.has_let_go(&pod("a")));
}

#[tokio::test]
async fn another_start_of_the_scheduler_drops_its_retirements() {
    let scheduler = scheduler(|_| Some(workers(&["a"]))).await;
    let (context, _server, mut wakes) = context(scheduler.port);
    follow(&context, "u/0");
    begin(&context, Wish::Retire, &["a"]);
    assert!(until_answered(&context, &mut wakes, "a").await.has_let_go(&pod("a")));
    follow(&context, "u/1");
    assert_eq!(record(&context), Retirements::default());
    context.schedulers.forget(KEY.0, KEY.1);
    let refused = context.schedulers.begin(KEY, (Wish::Retire, &[worker("a")]));
    assert!(refused.is_err(), "nobody is followed");
}

#[tokio::test]
async fn a_call_that_fails_says_why() {
    let scheduler = scheduler(|_| Some(json!("hang up"))).await;
    let (context, _server, mut wakes) = context(scheduler.port);
    follow(&context, "u");
    begin(&context, Wish::Retire, &["a"]);
    let record = until_answered(&context, &mut wakes, "a").await;
    assert!(matches!(outcome(&record, "a"), Some(Outcome::Unknown(why)) if !why.is_empty()), "{record:?}");
}
