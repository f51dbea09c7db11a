//! What one who sizes a cluster asks of a scheduler that refuses, hangs up, or is of an old release.
//!
//! The peer is a script in this program, as in `faults.rs`.

use super::peer::{Step, answer, handshake, peer, versions};
use daskflow::dask::{Error, Scheduler};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::mpsc;

/// Long enough for anything that comes at all.
const PLENTY: Duration = Duration::from_secs(20);

async fn connected(steps: Vec<Step>) -> (Scheduler, mpsc::UnboundedReceiver<Value>) {
    let (address, requests) = peer(steps).await;
    (Scheduler::connect(&address, None, PLENTY).await.unwrap(), requests)
}

#[tokio::test]
async fn activity_falls_back_where_a_scheduler_refuses_its_state() {
    let forbidden = json!({"status": "uncaught-error", "exception_text": "ValueError('disallowed')"});
    for refusal in [forbidden, json!(null), json!({"task_groups": ["later"]})] {
        let coarse = [
            answer(&json!({"tcp://a:1": ["x", ["y", 1]], "tcp://b:1": []})),
            answer(&json!({"x": {"waiting": 3, "processing": 2}})),
        ];
        let mut steps = vec![handshake(), versions("2026.8.0"), answer(&refusal)];
        steps.extend(coarse);
        let (mut scheduler, _requests) = connected(steps).await;
        let activity = scheduler.activity().await.unwrap();
        assert_eq!((activity.in_flight, activity.clients), (5, None));
    }
}

#[tokio::test]
async fn a_state_that_cannot_be_told_says_so() {
    let endings = [
        vec![Step::Swallow, Step::HangUp],
        vec![answer(&json!("later"))],
        vec![Step::Answer((65_u64 << 20).to_le_bytes().to_vec())],
    ];
    for ending in endings {
        let mut steps = vec![handshake(), versions("2026.8.0")];
        steps.extend(ending);
        let (mut scheduler, _requests) = connected(steps).await;
        let error = scheduler.activity().await.unwrap_err();
        assert!(matches!(error, Error::StateUntold(_)), "{error:?}");
        // What was not asked was not refused.
        let error = scheduler.activity().await.unwrap_err();
        assert!(matches!(error, Error::Closed(None)), "{error:?}");
    }
}

#[tokio::test]
async fn old_schedulers_are_not_asked_for_their_state() {
    let steps = vec![
        handshake(),
        versions("2022.02.0"),
        answer(&json!({})),
        answer(&json!({"x": {"waiting": 0}})),
        answer(&json!(1)),
    ];
    let (mut scheduler, mut requests) = connected(steps).await;
    assert!(!scheduler.is_idle().await.unwrap());
    let mut operations = Vec::new();
    while let Ok(request) = requests.try_recv() {
        operations.push(request["op"].clone());
    }
    assert_eq!(operations, ["versions", "processing", "get_task_prefix_states", "adaptive_target"]);
}

#[tokio::test]
async fn tasks_are_looked_at_one_by_one_only_when_some_lack_a_worker() {
    let used = |no_worker: u64| {
        json!({"task_groups": {"a": {"states": {"processing": 1, "no-worker": no_worker, "memory": 60_000}}},
            "workers": {"tcp://a:1": {"used_resources": {"GPU": 1.0}}}})
    };
    let steps = vec![handshake(), versions("2026.8.0"), answer(&used(0)), answer(&used(1))];
    let (mut scheduler, mut requests) = connected(steps).await;
    assert_eq!(scheduler.wanted_resources().await.unwrap(), [("GPU".to_owned(), 1.0)].into());
    let error = scheduler.wanted_resources().await.unwrap_err();
    assert!(matches!(error, Error::TooManyTasks { tasks: 60_002, limit: 50_000 }), "{error:?}");
    assert!(scheduler.is_usable());
    assert_eq!(requests.recv().await.unwrap()["op"], "versions");
    let excluded = requests.recv().await.unwrap()["exclude"]["as-list"].clone();
    assert!(excluded.as_array().unwrap().contains(&json!("tasks")), "{excluded}");
}

#[tokio::test]
async fn idle_is_asked_twice_where_the_first_answer_is_about_the_past() {
    let since = answer(&json!(1_700_000_000.5));
    let steps = vec![handshake(), versions("2023.12.1"), answer(&json!(null)), since];
    let (mut scheduler, _requests) = connected(steps).await;
    assert!(scheduler.is_idle().await.unwrap());
    let (mut scheduler, mut requests) =
        connected(vec![handshake(), versions("2024.1.0"), answer(&json!(null))]).await;
    assert!(!scheduler.is_idle().await.unwrap());
    requests.recv().await.unwrap();
    assert_eq!(requests.recv().await.unwrap()["op"], "check_idle");
    assert!(requests.try_recv().is_err());
}

#[tokio::test]
async fn a_worker_that_goes_between_two_questions_takes_no_answer_along() {
    let identity = json!({"id": "s", "workers": {"tcp://a:1": {"name": "w1"}, "tcp://b:1": {"name": 2}}});
    let gone = json!({"status": "uncaught-error", "exception_text": "KeyError('tcp://a:1')"});
    let all = answer(&json!({"tcp://b:1": ["x", "y"], "tcp://c:1": ["z"]}));
    let (mut scheduler, mut requests) =
        connected(vec![handshake(), answer(&identity), answer(&gone), all]).await;
    let names = ["w1", "2", "w3"].map(str::to_owned).into();
    assert_eq!(scheduler.busy(&names).await.unwrap(), [("2".to_owned(), 2)].into());
    requests.recv().await.unwrap();
    assert_eq!(requests.recv().await.unwrap()["workers"], json!(["tcp://a:1", "tcp://b:1"]));
}

#[tokio::test]
async fn terminating_is_good_when_the_scheduler_hangs_up() {
    let (mut scheduler, mut requests) = connected(vec![handshake(), Step::Swallow, Step::HangUp]).await;
    scheduler.terminate().await.unwrap();
    assert_eq!(requests.recv().await.unwrap()["op"], "terminate");
    assert!(matches!(scheduler.terminate().await, Err(Error::Closed(None))));
    let forbidden = json!({"status": "uncaught-error", "exception_text": "ValueError('disallowed')"});
    let (mut scheduler, _requests) = connected(vec![handshake(), answer(&forbidden)]).await;
    assert!(matches!(scheduler.terminate().await, Err(Error::Remote { .. })));
    assert!(scheduler.is_usable());
}
