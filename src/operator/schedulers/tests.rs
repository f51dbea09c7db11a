use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use super::*;
use crate::api::Kind;
use crate::operator::testing::{Scheduler, identity};
use crate::operator::wakes::{self, Wakes};

const KEY: (&str, &str) = ("ns", "demo");

/// Long enough for anything that comes at all.
const PLENTY: Duration = Duration::from_secs(20);

fn questions() -> Questions {
    Questions {
        every: Duration::from_millis(100),
        target: Some(Duration::from_secs(5)),
        resources: false,
        activity: true,
        memory: Duration::from_secs(60),
    }
}

/// An old scheduler without work, which wants `target` workers.
async fn scheduler(target: impl Fn() -> u64 + Clone + Send + 'static) -> Scheduler {
    Scheduler::start(move |op, _| answer(op, target())).await
}

fn answer(op: &str, target: u64) -> Option<Value> {
    Some(match op {
        "subscribe_worker_status" | "identity" => identity(&["b", "a"]),
        "versions" => json!({"host": {}, "packages": {"distributed": "2021.6.0"}}),
        "adaptive_target" => json!(target),
        "processing" => json!({"tcp://a:1": [], "tcp://b:1": ["x"]}),
        "get_task_prefix_states" => json!({}),
        "workers_to_close" => json!(["a", "b"]),
        _ => return None,
    })
}

/// A way to an API server that never answers.
fn nobody() -> Client {
    Client::new(
        tower_test::mock::pair::<http::Request<kube::client::Body>, http::Response<kube::client::Body>>().0,
        "ns",
    )
}

fn followed(port: u16) -> (Schedulers, Wakes) {
    let (triggers, wakes) = wakes::channels();
    let schedulers = Schedulers::on_port(nobody(), triggers, port);
    schedulers.follow(("ns", "demo"), ("uid", "127.0.0.1"), None, Membership::Subscribed);
    (schedulers, wakes)
}

/// Waits until the record is as wanted, being woken for each news.
async fn until(schedulers: &Schedulers, wakes: &mut Wakes, wanted: impl Fn(&Load) -> bool) -> Load {
    let seen = async {
        loop {
            let load = schedulers.poll("ns", "demo", Some(&questions()));
            if wanted(&load) {
                return load;
            }
            wakes.recv(Kind::DaskCluster).await.unwrap();
        }
    };
    timeout(PLENTY, seen).await.expect("no wake told of it")
}

/// Waits until the scheduler was asked this so often.
async fn asked(scheduler: &Scheduler, what: &str, times: usize) {
    let seen = async {
        while scheduler.asked.count(what) < times {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PLENTY, seen).await.expect("it was not asked");
}

#[tokio::test]
async fn one_connection_serves_all_questions_and_only_news_wakes() {
    let scheduler = scheduler(|| 3).await;
    let (schedulers, mut wakes) = followed(scheduler.port);
    let load = until(&schedulers, &mut wakes, |load| !load.targets.is_empty()).await;
    assert_eq!(load.targets.last().unwrap().workers, 3);
    assert!(load.idle_since.is_none(), "a task lies with a worker");
    asked(&scheduler, "subscribe_worker_status", 1).await;
    // The subscription's own news comes whenever it comes.
    asked(&scheduler, "adaptive_target", 3).await;
    while wakes.try_recv(Kind::DaskCluster).is_some() {}
    let (before, line) = (scheduler.asked.count("adaptive_target"), schedulers.line("ns", "demo").unwrap());
    asked(&scheduler, "adaptive_target", before + 5).await;
    assert!(wakes.try_recv(Kind::DaskCluster).is_none(), "a wake without news");
    let look = look(&line, Asks { busy: true, activity: true }, KEY).await;
    assert_eq!(look.closing_order.unwrap(), ["a", "b"]);
    assert_eq!(
        look.busy.unwrap().into_iter().collect::<Vec<_>>(),
        [("a".to_owned(), 0), ("b".to_owned(), 1)]
    );
    assert_eq!(scheduler.asked.count("connect"), 2, "the subscription, and one for all questions");
}

/// A client of dask-kubernetes subscribes to its scheduler, and hears nothing more once another has done so.
#[tokio::test]
async fn a_scheduler_with_a_subscriber_of_its_own_is_asked_for_its_workers() {
    let names = Arc::new(Mutex::new(vec!["a"]));
    let answered = names.clone();
    let scheduler =
        Scheduler::start(move |op, _| (op == "identity").then(|| identity(&lock(&answered)))).await;
    let (triggers, mut wakes) = wakes::channels();
    let schedulers = Schedulers::on_port(nobody(), triggers, scheduler.port);
    let registered = async |wakes: &mut Wakes, wanted: &[&str]| {
        let seen = async {
            loop {
                let view = schedulers.follow(KEY, ("uid", "127.0.0.1"), None, Membership::Asked);
                if view.registered().is_some_and(|names| names.iter().eq(wanted)) {
                    return;
                }
                wakes.recv(Kind::DaskCluster).await.unwrap();
            }
        };
        timeout(PLENTY, seen).await.expect("no wake told of it");
    };
    registered(&mut wakes, &["a"]).await;
    lock(&names).push("b");
    registered(&mut wakes, &["a", "b"]).await;
    // What a look asks beside it leaves the connection as it is.
    schedulers.poll("ns", "demo", None);
    schedulers.hang_up_if_idle("ns", "demo");
    lock(&names).remove(0);
    registered(&mut wakes, &["b"]).await;
    assert_eq!(scheduler.asked.count("subscribe_worker_status"), 0);
    assert_eq!(scheduler.asked.count("connect"), 1);
}

#[tokio::test]
async fn other_questions_keep_the_record_and_none_end_it() {
    let scheduler = scheduler(|| 3).await;
    let (schedulers, mut wakes) = followed(scheduler.port);
    let first = until(&schedulers, &mut wakes, |load| !load.targets.is_empty()).await;
    let seldom = Questions { every: Duration::from_secs(3600), activity: false, ..questions() };
    let kept = schedulers.poll("ns", "demo", Some(&seldom));
    assert_eq!((kept.targets, kept.since), (first.targets, first.since));
    assert_eq!(schedulers.poll("ns", "demo", None), Load::default());
    let line = schedulers.line("ns", "demo").unwrap();
    assert!(!line.is_open().await);
    let asked = scheduler.asked.count("adaptive_target");
    look(&line, Asks::default(), KEY).await;
    schedulers.hang_up_if_idle("ns", "demo");
    assert!(!line.is_open().await);
    assert_eq!(scheduler.asked.count("adaptive_target"), asked);
}

#[tokio::test]
async fn another_pod_begins_another_record() {
    let scheduler = scheduler(|| 3).await;
    let (schedulers, mut wakes) = followed(scheduler.port);
    until(&schedulers, &mut wakes, |load| !load.targets.is_empty()).await;
    schedulers.follow(("ns", "demo"), ("another", "127.0.0.1"), None, Membership::Subscribed);
    let none = schedulers.poll("ns", "demo", None);
    assert_eq!(none, Load::default());
    until(&schedulers, &mut wakes, |load| !load.targets.is_empty()).await;
}

#[tokio::test]
async fn a_scheduler_that_hangs_up_is_asked_over_a_new_connection() {
    let turn = Arc::new(Mutex::new(0));
    let scheduler = Scheduler::start(move |op, _| {
        if op == "adaptive_target" {
            *lock(&turn) += 1;
            if *lock(&turn) % 2 == 0 {
                return Some(json!("hang up"));
            }
        }
        answer(op, 3)
    })
    .await;
    let (schedulers, mut wakes) = followed(scheduler.port);
    let first = until(&schedulers, &mut wakes, |load| !load.targets.is_empty()).await;
    asked(&scheduler, "adaptive_target", 6).await;
    let load = schedulers.poll("ns", "demo", Some(&questions()));
    assert_eq!((load.since, load.failure), (first.since, None), "no gap");
    assert!(scheduler.asked.count("connect") >= 4);
}

#[tokio::test]
async fn a_scheduler_that_fails_is_told_once() {
    let scheduler = Scheduler::start(|op, _| match op {
        "adaptive_target" => {
            Some(json!({"status": "uncaught-error", "text": "no", "exception": null, "traceback": null}))
        }
        _ => answer(op, 0),
    })
    .await;
    let (schedulers, mut wakes) = followed(scheduler.port);
    let load = until(&schedulers, &mut wakes, |load| load.failure.is_some()).await;
    assert!(load.failure.unwrap().contains("no"));
    asked(&scheduler, "subscribe_worker_status", 1).await;
    asked(&scheduler, "adaptive_target", 3).await;
    while wakes.try_recv(Kind::DaskCluster).is_some() {}
    let before = scheduler.asked.count("adaptive_target");
    asked(&scheduler, "adaptive_target", before + 3).await;
    assert!(wakes.try_recv(Kind::DaskCluster).is_none());
}

#[tokio::test]
async fn a_scheduler_that_cannot_write_its_state_is_asked_for_less() {
    let scheduler = Scheduler::start(|op, _| match op {
        "versions" => Some(json!({"host": {}, "packages": {"distributed": "2024.3.1"}})),
        "dump_state" => Some(json!("hang up")),
        "check_idle" => Some(json!(1.5)),
        _ => answer(op, 0),
    })
    .await;
    let (schedulers, mut wakes) = followed(scheduler.port);
    let load = until(&schedulers, &mut wakes, |load| load.idle_since.is_some()).await;
    assert_eq!((load.failure, load.clients), (None, None));
    asked(&scheduler, "check_idle", 3).await;
    assert!(scheduler.asked.count("dump_state") <= 2, "it is not asked again for what it cannot tell");
}

#[tokio::test]
async fn nothing_is_taken_from_another_scheduler_at_the_address() {
    let id = Arc::new(Mutex::new("Scheduler-1"));
    let known = id.clone();
    let scheduler = Scheduler::start(move |op, _| match op {
        "identity" | "subscribe_worker_status" => Some(json!({"id": *lock(&known), "workers": {}})),
        _ => answer(op, 0),
    })
    .await;
    let (schedulers, mut wakes) = followed(scheduler.port);
    until(&schedulers, &mut wakes, |load| load.since.is_some()).await;
    schedulers.poll("ns", "demo", None);
    *lock(&id) = "Scheduler-2";
    let line = schedulers.line("ns", "demo").unwrap();
    let look = look(&line, Asks { busy: true, activity: true }, KEY).await;
    let SchedulerView::Unreachable { message: why, .. } = &look.view else { panic!("{look:?}") };
    assert!(why.contains("another scheduler answers at tcp://127.0.0.1:"), "{why}");
    assert_eq!((look.closing_order, look.busy, look.activity), (None, None, None));
    // Another start of the container is another scheduler, and that is as it should be.
    schedulers.follow(("ns", "demo"), ("uid/1", "127.0.0.1"), None, Membership::Subscribed);
    let line = schedulers.line("ns", "demo").unwrap();
    let look = super::look(&line, Asks::default(), KEY).await;
    assert!(look.view.registered().is_some(), "{look:?}");
}

#[tokio::test]
async fn a_look_asks_anew_whether_the_scheduler_is_idle() {
    let tasks = Arc::new(Mutex::new(0));
    let lying = tasks.clone();
    let scheduler = Scheduler::start(move |op, _| match op {
        "processing" => Some(json!({"tcp://a:1": vec!["x"; *lock(&lying)]})),
        _ => answer(op, 0),
    })
    .await;
    let (schedulers, _wakes) = followed(scheduler.port);
    let line = schedulers.line("ns", "demo").unwrap();
    let asks = Asks { activity: true, ..Asks::default() };
    assert_eq!(look(&line, asks, KEY).await.activity.unwrap().idle, Some(true));
    *lock(&tasks) = 2;
    assert_eq!(look(&line, asks, KEY).await.activity.unwrap().idle, Some(false));
    assert_eq!(look(&line, Asks::default(), KEY).await.activity, None);
}

#[tokio::test]
async fn one_that_tells_its_state_to_nobody_is_not_said_to_be_idle() {
    let scheduler = Scheduler::start(|op, _| match op {
        "versions" => Some(json!({"host": {}, "packages": {"distributed": "2022.9.0"}})),
        "processing" => Some(json!({"tcp://a:1": []})),
        "dump_state" => Some(Value::Null),
        _ => answer(op, 0),
    })
    .await;
    let (schedulers, _wakes) = followed(scheduler.port);
    let line = schedulers.line("ns", "demo").unwrap();
    let asks = Asks { activity: true, ..Asks::default() };
    assert_eq!(look(&line, asks, KEY).await.activity.unwrap().idle, None, "tasks may be queued");
}

#[tokio::test]
async fn tasks_that_never_begin_at_a_closed_worker_do_not_keep_it() {
    let beats = Arc::new(Mutex::new(0));
    let told = beats.clone();
    let release = Arc::new(Mutex::new("2026.8.0"));
    let known = release.clone();
    let scheduler = Scheduler::start(move |op, _| match op {
        "versions" => Some(json!({"host": {}, "packages": {"distributed": *lock(&known)}})),
        "processing" => Some(json!({"tcp://a:1": ["runs", "waits"], "tcp://b:1": ["runs", "waits"]})),
        "identity" => {
            let worker = |name: &str, status: &str| {
                let metrics = json!({"task_counts": {"executing": u64::from(*lock(&told) < 3), "ready": 1}});
                json!({"name": name, "status": status, "last_seen": *lock(&told), "metrics": metrics})
            };
            let workers =
                json!({"tcp://a:1": worker("a", "closing_gracefully"), "tcp://b:1": worker("b", "running")});
            Some(json!({"id": "Scheduler-1", "workers": workers}))
        }
        _ => answer(op, 0),
    })
    .await;
    let (schedulers, _wakes) = followed(scheduler.port);
    let line = schedulers.line("ns", "demo").unwrap();
    let asks = Asks { busy: true, ..Asks::default() };
    let mut seen = Vec::new();
    for _ in 0..4 {
        let look = look(&line, asks, KEY).await;
        assert_eq!((look.closes, look.closing.iter().eq(["a"])), (true, true), "{look:?}");
        let busy = look.busy.unwrap();
        seen.push((busy["a"], busy["b"]));
        *lock(&beats) += 1;
    }
    assert_eq!(seen, [(2, 2), (2, 2), (1, 2), (0, 2)], "it is believed from its second heartbeat on");
    schedulers.hang_up_if_idle("ns", "demo");
    *lock(&release) = "2024.4.1";
    assert!(!look(&line, asks, KEY).await.closes);
}
