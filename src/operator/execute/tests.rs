use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::*;
use crate::api::{Kind, Reason, labels};
use crate::operator::schedulers::Membership;
use crate::operator::testing::{
    self, Scheduler, context, identity, quota_refusal, refusal, respond, serve, summary, workers,
};
use crate::plan::{Applied, Object, VictimKind};

fn pod(name: &str, component: &str) -> Pod {
    let owners =
        json!([{"apiVersion": "daskflow.dev/v1alpha1", "kind": "DaskCluster", "name": "demo", "uid": "u"}]);
    serde_json::from_value(json!({"metadata": {"name": name, "labels": {labels::COMPONENT: component}, "ownerReferences": owners}})).unwrap()
}

fn creation(name: &str) -> Step {
    Step::Create(Box::new(Object::Pod(pod(name, labels::WORKER))))
}

fn replacement(name: &str, victim: &str) -> Step {
    let wanted = Box::new(pod(name, labels::SCHEDULER));
    Step::Replace { wanted, victim: self::victim(victim) }
}

fn victim(name: &str) -> Victim {
    Victim { kind: VictimKind::Pod, name: name.to_owned(), uid: None }
}

fn deletion(name: &str) -> Step {
    Step::Delete(victim(name))
}

fn retirement(names: &[&str]) -> Step {
    Step::Retire { workers: names.iter().map(|name| victim(name)).collect() }
}

fn closing(names: &[&str]) -> Step {
    Step::CloseToTasks { workers: names.iter().map(|name| victim(name)).collect() }
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
async fn a_retirement_only_begins_and_deletes_nobody() {
    let scheduler = scheduler(Some(workers(&["a", "c"]))).await;
    let (context, server, mut wakes) = context(scheduler.port);
    context.schedulers.follow(("default", "demo"), ("u", "127.0.0.1"), None, Membership::Subscribed);
    let (asked, _server) = serve(server, obeys);
    let two = [retirement(&["a", "b"]), closing(&["c"])];
    steps(&context, KEY, &two, Bounds::USUAL).await.unwrap();
    let answers = async {
        while ["a", "b", "c"].iter().any(|name| is_moving(&context, name)) {
            wakes.recv(Kind::DaskCluster).await.unwrap();
        }
    };
    timeout(Duration::from_secs(20), answers).await.expect("no wake came with the answers");
    assert_eq!(scheduler.asked.count("retire_workers"), 2, "each by itself");
    assert_eq!(asked.all(), [""; 0]);
}

fn is_moving(context: &Context, name: &str) -> bool {
    context.schedulers.retirements("default", "demo").is_moving(&pod(name, labels::WORKER))
}

#[tokio::test]
async fn nobody_is_asked_to_let_workers_go_who_is_not_followed() {
    let (context, server, _wakes) = context(1);
    let (asked, _server) = serve(server, obeys);
    steps(&context, KEY, &[retirement(&["a"]), deletion("b")], Bounds::USUAL).await.unwrap_err();
    assert_eq!(asked.all(), [""; 0], "what follows waits for the next look");
}

#[tokio::test]
async fn a_full_quota_stops_creations_and_nothing_that_frees_room() {
    let scheduler = scheduler(None).await;
    let (context, server, _wakes) = context(scheduler.port);
    context.schedulers.follow(("default", "demo"), ("u", "127.0.0.1"), None, Membership::Subscribed);
    let (asked, _server) =
        serve(server, |what| if what.starts_with("POST") { quota_refusal() } else { obeys(what) });
    let plan =
        [creation("new-1"), creation("new-2"), deletion("unknown"), creation("new-3"), retirement(&["a"])];
    let error = steps(&context, KEY, &plan, Bounds::CAREFUL).await.unwrap_err();
    assert_eq!(asked.all(), ["POST new-1", "DELETE unknown"]);
    assert!(is_moving(&context, "a"), "and the scheduler is asked to let it go");
    assert!(error.is_quota());
    assert_eq!(error.tell().reason, Reason::QuotaExceeded);
    assert!(error.tell().message.contains("exceeded quota: small"), "{}", error.tell().message);
}

#[tokio::test]
async fn no_worker_is_tried_where_the_scheduler_has_no_room() {
    let (context, server, _wakes) = context(1);
    let (asked, _server) =
        serve(server, |what| if what.starts_with("POST") { quota_refusal() } else { obeys(what) });
    let scheduler = Step::Create(Box::new(Object::Pod(pod("scheduler", labels::SCHEDULER))));
    let plan = [scheduler, creation("new-1"), creation("new-2")];
    let error = steps(&context, KEY, &plan, Bounds::USUAL).await.unwrap_err();
    assert!(error.is_quota());
    assert_eq!(asked.all(), ["POST scheduler"]);
}

#[tokio::test]
async fn a_pod_is_replaced_only_by_one_that_would_be_taken() {
    let (context, server, _wakes) = context(1);
    let refuses = |what: &str| match what {
        "POST too-much" => quota_refusal(),
        "POST wrong" => refusal(422, "Invalid", "no such field"),
        _ => obeys(what),
    };
    let (asked, _server) = serve(server, refuses);
    steps(&context, KEY, &[replacement("good", "old")], Bounds::USUAL).await.unwrap();
    let plan = [replacement("too-much", "kept"), replacement("good", "skipped"), deletion("gone")];
    assert!(steps(&context, KEY, &plan, Bounds::USUAL).await.unwrap_err().is_quota());
    let plan = [replacement("wrong", "kept"), deletion("later")];
    let error = steps(&context, KEY, &plan, Bounds::USUAL).await.unwrap_err();
    assert_eq!(error.tell().reason, Reason::Rejected);
    assert_eq!(
        asked.all(),
        ["POST good", "DELETE old", "POST too-much", "DELETE gone", "POST wrong", "DELETE later"]
    );
}

#[tokio::test]
async fn what_is_refused_for_one_part_stops_no_other_part() {
    let (context, server, _wakes) = context(1);
    let refuses = |what: &str| {
        if what.starts_with("POST big") { refusal(422, "Invalid", "no such class") } else { obeys(what) }
    };
    let (asked, _server) = serve(server, refuses);
    let of_group = |name: &str, group: &str| {
        let mut pod = pod(name, labels::WORKER);
        pod.labels_mut().insert(labels::WORKER_GROUP.to_owned(), group.to_owned());
        pod
    };
    let big = |name: &str| Step::Create(Box::new(Object::Pod(of_group(name, "big"))));
    let plan = [
        Step::Try(Box::new(of_group("big-try", "big"))),
        Step::Create(Box::new(Object::Pod(pod("scheduler", labels::SCHEDULER)))),
        creation("small"),
        big("big-1"),
        big("big-2"),
        deletion("old"),
    ];
    let failure = steps(&context, KEY, &plan, Bounds::USUAL).await.unwrap_err().tell();
    assert_eq!(asked.all(), ["POST big-try", "POST scheduler", "POST small", "DELETE old"]);
    assert_eq!((failure.reason, failure.lasting, failure.spares_what_serves), (Reason::Rejected, true, true));
    assert_eq!(failure.message, "the worker group big: no such class");
}

#[tokio::test]
async fn workers_are_not_created_without_the_scheduler_that_was_refused() {
    let (context, server, _wakes) = context(1);
    let refuses = |what: &str| match what {
        "POST scheduler" => refusal(422, "Invalid", "no such class"),
        _ => obeys(what),
    };
    let (asked, _server) = serve(server, refuses);
    let scheduler = Step::Create(Box::new(Object::Pod(pod("scheduler", labels::SCHEDULER))));
    steps(&context, KEY, &[scheduler, creation("a"), deletion("old")], Bounds::USUAL).await.unwrap_err();
    let replacement = replacement("scheduler", "there");
    steps(&context, KEY, &[replacement, creation("b")], Bounds::USUAL).await.unwrap_err();
    assert_eq!(asked.all(), ["POST scheduler", "DELETE old", "POST scheduler", "POST b"]);
}

#[tokio::test]
async fn another_failure_ends_the_plan() {
    let (context, server, _wakes) = context(1);
    let refuses = |what: &str| {
        if what.starts_with("POST") { refusal(409, "Conflict", "it has changed") } else { obeys(what) }
    };
    let (asked, _server) = serve(server, refuses);
    let error = steps(&context, KEY, &[creation("new"), deletion("old")], Bounds::USUAL).await.unwrap_err();
    assert_eq!(error.disposition(), crate::operator::failure::Disposition::Conflict);
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
    assert_eq!(error.tell().message, "the worker group default: the first");
}

#[tokio::test]
async fn other_steps_keep_their_order() {
    let (context, server, _wakes) = context(1);
    let (asked, _server) = serve(server, obeys);
    let plan =
        [deletion("first"), creation("second"), deletion("third"), deletion("fourth"), creation("fifth")];
    steps(&context, KEY, &plan, Bounds::USUAL).await.unwrap();
    let order = ["DELETE first", "POST second", "DELETE third", "DELETE fourth", "POST fifth"];
    assert_eq!(asked.all(), order);
}

#[tokio::test]
async fn pods_are_deleted_side_by_side() {
    let (context, mut server, _wakes) = context(1);
    let plan: Vec<Step> = (0..20).map(|index| deletion(&format!("old-{index}"))).collect();
    let work = tokio::spawn(async move { steps(&context, KEY, &plan, Bounds::USUAL).await });
    let mut begun = Vec::new();
    for _ in 0..Bounds::USUAL.at_once {
        begun.push(server.next_request().await.unwrap());
    }
    for (_, reply) in begun {
        respond(reply, obeys("DELETE old"));
    }
    for _ in Bounds::USUAL.at_once..20 {
        let (_, reply) = server.next_request().await.unwrap();
        respond(reply, obeys("DELETE old"));
    }
    work.await.unwrap().unwrap();
}

/// What is asked of the API server to create a scheduler's pod where ours is there, with these labels.
async fn created_beside(labels: Value) -> Vec<String> {
    let (context, server, _wakes) = context(1);
    let mut there = json!(pod("demo-scheduler", labels::SCHEDULER));
    there["metadata"]["labels"] = labels;
    let (asked, _server) = serve(server, move |what| match what {
        "POST demo-scheduler" => refusal(409, "AlreadyExists", "it exists"),
        _ => (200, there.clone()),
    });
    let wanted = Step::Create(Box::new(Object::Pod(pod("demo-scheduler", labels::SCHEDULER))));
    steps(&context, KEY, &[wanted], Bounds::USUAL).await.unwrap();
    asked.all()
}

#[tokio::test]
async fn a_pod_of_ours_without_its_labels_has_them_given_back() {
    let lost = created_beside(json!({"app": "other"})).await;
    assert_eq!(lost, ["POST demo-scheduler", "GET demo-scheduler", "PATCH demo-scheduler"]);
    let kept = created_beside(json!({labels::COMPONENT: labels::SCHEDULER, "app": "other"})).await;
    assert_eq!(kept, ["POST demo-scheduler", "GET demo-scheduler"], "a step that is repeated");
}

/// What becomes of creating a scheduler's pod where one of this owner's is there.
async fn refused_beside(api_version: &str) -> Error {
    let (context, server, _wakes) = context(1);
    let mut there = json!(pod("demo-scheduler", labels::SCHEDULER));
    let owner = json!({"apiVersion": api_version, "kind": "DaskCluster", "name": "demo", "uid": "another"});
    there["metadata"]["ownerReferences"] = json!([owner]);
    let (_asked, _server) = serve(server, move |what| match what {
        "POST demo-scheduler" => refusal(409, "AlreadyExists", "it exists"),
        _ => (200, there.clone()),
    });
    let wanted = Step::Create(Box::new(Object::Pod(pod("demo-scheduler", labels::SCHEDULER))));
    match steps(&context, KEY, &[wanted], Bounds::USUAL).await.unwrap_err() {
        Error::Part { cause, .. } => *cause,
        error => error,
    }
}

#[tokio::test]
async fn a_child_of_a_cluster_of_another_group_has_taken_the_name() {
    // Of an earlier cluster of the name, it is about to be collected.
    assert!(matches!(refused_beside("daskflow.dev/v1alpha1").await, Error::BeingDeleted { .. }));
    let error = refused_beside("kubernetes.dask.org/v1").await;
    assert_eq!(error.to_string(), "the Pod demo-scheduler exists and is not ours: rename it or delete it");
}

/// The step that applies the policy of the cluster "demo".
fn policy() -> Step {
    let owners =
        json!([{"apiVersion": "daskflow.dev/v1alpha1", "kind": "DaskCluster", "name": "demo", "uid": "u"}]);
    let policy: NetworkPolicy =
        serde_json::from_value(json!({"metadata": {"name": "demo", "ownerReferences": owners}})).unwrap();
    Step::Apply(Box::new(Applied::NetworkPolicy(policy)))
}

/// What an API server answers about a policy that is there, or is so now.
fn policy_there() -> (u16, Value) {
    (
        200,
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "demo", "uid": "p"}}),
    )
}

#[tokio::test]
async fn a_policy_is_applied_where_there_is_none() {
    let (context, server, _wakes) = context(1);
    let (asked, _server) = serve(server, |what| match what {
        "GET demo" => refusal(404, "NotFound", "no such policy"),
        _ => policy_there(),
    });
    steps(&context, KEY, &[policy()], Bounds::USUAL).await.unwrap();
    assert_eq!(asked.all(), ["GET demo", "PATCH demo"]);
}

#[tokio::test]
async fn a_policy_of_somebody_else_is_left_alone_and_told() {
    let (context, server, _wakes) = context(1);
    let (asked, _server) = serve(server, |_| policy_there());
    let error = steps(&context, KEY, &[policy()], Bounds::USUAL).await.unwrap_err();
    assert_eq!(error.tell().reason, Reason::NameTaken);
    assert_eq!(asked.all(), ["GET demo"]);
}

#[tokio::test]
async fn no_pod_is_made_that_the_service_of_another_would_select() {
    let (context, server, _wakes) = context(1);
    let owner = json!({"apiVersion": "kubernetes.dask.org/v1", "kind": "DaskCluster", "name": "demo", "uid": "another"});
    let metadata = json!({"name": "demo-scheduler", "uid": "s", "ownerReferences": [owner]});
    let (asked, _server) = serve(server, move |_| {
        (200, json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata.clone()}))
    });
    let service = json!({"metadata": {"name": "demo-scheduler", "ownerReferences": [
        {"apiVersion": "daskflow.dev/v1alpha1", "kind": "DaskCluster", "name": "demo", "uid": "u"},
    ]}});
    let service = Step::Apply(Box::new(Applied::Service(serde_json::from_value(service).unwrap())));
    let scheduler = Step::Create(Box::new(Object::Pod(pod("demo-scheduler", labels::SCHEDULER))));
    let error = steps(&context, KEY, &[service, scheduler], Bounds::USUAL).await.unwrap_err();
    assert_eq!(error.tell().reason, Reason::NameTaken);
    assert_eq!(asked.all(), ["GET demo-scheduler"]);
}

#[tokio::test]
async fn a_policy_that_is_not_wanted_is_deleted() {
    let (context, server, _wakes) = context(1);
    let (asked, _server) = serve(server, |_| policy_there());
    let (kind, name, uid) = (VictimKind::NetworkPolicy, "demo".to_owned(), Some("p".to_owned()));
    steps(&context, KEY, &[Step::Delete(Victim { kind, name, uid })], Bounds::USUAL).await.unwrap();
    assert_eq!(asked.all(), ["DELETE demo"]);
}

#[tokio::test]
async fn a_run_that_cannot_be_created_stops_no_other_one() {
    let (context, server, _wakes) = context(1);
    let refuses = |what: &str| match what {
        "POST first" => refusal(422, "Invalid", "no such field"),
        "POST second" => (201, json!(FlowRun::new("second", crate::api::FlowRunSpec::default()))),
        _ => obeys(what),
    };
    let (asked, _server) = serve(server, refuses);
    let run = |name: &str| {
        Step::Create(Box::new(Object::Run(FlowRun::new(name, crate::api::FlowRunSpec::default()))))
    };
    let error = steps(&context, KEY, &[run("first"), run("second"), deletion("old")], Bounds::USUAL).await;
    assert_eq!(asked.all(), ["POST first", "POST second", "DELETE old"]);
    assert_eq!(error.unwrap_err().tell().reason, Reason::Rejected);
}

#[tokio::test(start_paused = true)]
async fn jobs_without_pods_that_are_alike_are_asked_about_once_in_a_while() {
    let (context, server, _wakes) = context(1);
    let (asked, _server) = serve(server, obeys);
    let of_job = |name: &str, image: &str| {
        let mut pod = pod(name, labels::RUNNER);
        // The Job controller's.
        pod.labels_mut().insert("batch.kubernetes.io/controller-uid".to_owned(), name.to_owned());
        pod.labels_mut().insert("job-name".to_owned(), name.to_owned());
        pod.annotations_mut().insert("image".to_owned(), image.to_owned());
        [Step::Try(Box::new(pod))]
    };
    for (name, image) in [("a", "one"), ("b", "one"), ("c", "two"), ("a", "one")] {
        steps(&context, KEY, &of_job(name, image), Bounds::USUAL).await.unwrap();
    }
    assert_eq!(asked.all(), ["POST a", "POST c"]);
    tokio::time::advance(std::time::Duration::from_secs(10)).await;
    steps(&context, KEY, &of_job("b", "one"), Bounds::USUAL).await.unwrap();
    assert_eq!(asked.all(), ["POST a", "POST c", "POST b"]);
}
