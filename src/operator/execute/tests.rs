use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::*;
use crate::api::Reason;
use crate::operator::testing::{
    self, Scheduler, context, identity, quota_refusal, refusal, respond, serve, summary, workers,
};

fn pod(name: &str) -> Pod {
    let owners =
        json!([{"apiVersion": "daskflow.dev/v1alpha1", "kind": "DaskCluster", "name": "demo", "uid": "u"}]);
    serde_json::from_value(json!({"metadata": {"name": name, "ownerReferences": owners}})).unwrap()
}

fn creation(name: &str) -> Step {
    Step::Create(Box::new(Object::Pod(pod(name))))
}

fn deletion(name: &str) -> Step {
    Step::Delete(Victim { kind: VictimKind::Pod, name: name.to_owned(), uid: None })
}

fn retirement(names: &[&str]) -> Step {
    Step::Retire { workers: names.iter().map(|name| (*name).to_owned()).collect() }
}

/// What an API server answers that does as it is told.
fn obeys(what: &str) -> (u16, Value) {
    let (_, name) = what.split_once(' ').unwrap();
    (200, json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}}))
}

/// A scheduler with these workers, which answers to a retirement as told.
async fn scheduler(retired: Option<Value>) -> Scheduler {
    Scheduler::start(move |op, _| match op {
        "retire_workers" => retired.clone(),
        "subscribe_worker_status" | "identity" => Some(identity(&["a", "b", "c"])),
        _ => None,
    })
    .await
}

const KEY: (&str, &str) = ("default", "demo");

#[tokio::test]
async fn workers_that_the_scheduler_let_go_are_deleted_and_no_others() {
    let scheduler = scheduler(Some(workers(&["a", "c"]))).await;
    let (context, server, _wakes) = context(scheduler.port);
    context.schedulers.follow("default", "demo", ("u", "127.0.0.1"));
    let (asked, _server) = serve(server, obeys);
    let held = steps(&context, KEY, &[retirement(&["a", "b", "c"])], Bounds::USUAL).await.unwrap();
    let mut deleted = asked.all();
    deleted.sort();
    assert_eq!(deleted, ["DELETE a", "DELETE c"]);
    assert_eq!(held.message().unwrap(), "the scheduler keeps b: their data cannot move");
}

#[tokio::test]
async fn a_retirement_without_an_answer_in_time_deletes_nobody_and_is_told() {
    let scheduler = scheduler(None).await;
    let (context, server, _wakes) = context(scheduler.port);
    context.schedulers.follow("default", "demo", ("u", "127.0.0.1"));
    let (asked, _server) = serve(server, obeys);
    let bounds = Bounds { retire: Duration::from_millis(300), ..Bounds::USUAL };
    // No time is left for the second one.
    let two = [retirement(&["a", "b"]), retirement(&["c"])];
    let held = steps(&context, KEY, &two, bounds).await.unwrap();
    assert_eq!(asked.all(), [""; 0]);
    assert_eq!(scheduler.asked.count("retire_workers"), 1);
    assert_eq!(
        held.message().unwrap(),
        "the scheduler is still moving the data of workers that are to leave (3 now)"
    );
}

#[tokio::test]
async fn a_full_quota_stops_creations_and_nothing_that_frees_room() {
    let scheduler = scheduler(Some(workers(&["a"]))).await;
    let (context, server, _wakes) = context(scheduler.port);
    context.schedulers.follow("default", "demo", ("u", "127.0.0.1"));
    let (asked, _server) =
        serve(server, |what| if what.starts_with("POST") { quota_refusal() } else { obeys(what) });
    let plan =
        [creation("new-1"), creation("new-2"), deletion("unknown"), creation("new-3"), retirement(&["a"])];
    let error = steps(&context, KEY, &plan, Bounds::CAREFUL).await.unwrap_err();
    assert_eq!(asked.all(), ["POST new-1", "DELETE unknown", "DELETE a"]);
    assert!(error.is_quota());
    assert_eq!(error.tell().reason, Reason::QuotaExceeded);
    assert!(error.tell().message.contains("exceeded quota: small"), "{}", error.tell().message);
}

#[tokio::test]
async fn another_refusal_ends_the_plan() {
    let (context, server, _wakes) = context(1);
    let refuses = |what: &str| {
        if what.starts_with("POST") { refusal(422, "Invalid", "no such field") } else { obeys(what) }
    };
    let (asked, _server) = serve(server, refuses);
    let error = steps(&context, KEY, &[creation("new"), deletion("old")], Bounds::USUAL).await.unwrap_err();
    assert_eq!(error.tell().reason, Reason::Rejected);
    assert_eq!(asked.all(), ["POST new"]);
}

#[tokio::test]
async fn pods_are_created_side_by_side_and_none_is_begun_after_a_failure() {
    let (context, mut server, _wakes) = context(1);
    let plan: Vec<Step> = (0..40).map(|index| creation(&format!("new-{index}"))).collect();
    let work = tokio::spawn(async move { steps(&context, KEY, &plan, Bounds::USUAL).await });
    let mut begun = Vec::new();
    for _ in 0..Bounds::USUAL.at_once {
        // None of them is answered yet, so all are under way at once.
        begun.push(server.next_request().await.unwrap());
    }
    let (_, reply) = begun.pop().unwrap();
    respond(reply, (201, json!({"metadata": {"name": "new-15"}})));
    let (request, reply) = server.next_request().await.unwrap();
    assert_eq!(summary(request).await, "POST new-16");
    respond(reply, testing::refusal(422, "Invalid", "the first"));
    // Whoever is begun now would ask for ever.
    for (_, reply) in begun {
        respond(reply, testing::refusal(422, "Invalid", "a later one"));
    }
    let error = work.await.unwrap().unwrap_err();
    assert_eq!(error.tell().message, "the first");
}

#[tokio::test]
async fn other_steps_keep_their_order() {
    let (context, server, _wakes) = context(1);
    let (asked, _server) = serve(server, obeys);
    let plan =
        [deletion("first"), creation("second"), deletion("third"), deletion("fourth"), creation("fifth")];
    assert_eq!(steps(&context, KEY, &plan, Bounds::USUAL).await.unwrap(), Held::default());
    let order = ["DELETE first", "POST second", "DELETE third", "DELETE fourth", "POST fifth"];
    assert_eq!(asked.all(), order);
}

#[test]
fn a_message_names_a_few_workers_and_counts_the_others() {
    let kept: Vec<String> = (0..14).map(|index| format!("w{index}")).collect();
    let message = Held { kept, moving: 2 }.message().unwrap();
    assert!(message.starts_with("the scheduler keeps w0, w1,"), "{message}");
    assert!(
        message.contains("w9 and 4 more: their data cannot move; the scheduler is still moving"),
        "{message}"
    );
    assert_eq!(Held::default().message(), None);
}
