//! What is asked of the API server before a plan is carried out, and what becomes of one that rested on more.

use kube::runtime::reflector::ObjectRef;
use serde_json::json;

use super::life::{flow, look_at_run, scheduler};
use crate::api::{Flow, FlowRun, Kind, Phase, Reason};
use crate::operator::testing::look;
use crate::operator::testing::stage::{NAMESPACE, Stage};

/// An instant, and the name of the run that a clock makes of it.
const AT: &str = "2026-11-01T09:00:00Z";
const TICK: &str = "etl-20261101t090000";

/// How the end of a run is told.
const TOLD: [&str; 2] = ["PATCH flowruns/status", "POST events"];

/// A stage with the Flow "etl", which has no clock and lets all of its runs start.
fn stage(address: &str) -> Stage {
    let stage = Stage::new();
    let mut flow = flow("etl", address);
    flow["spec"]["schedule"].take();
    flow["spec"]["concurrency"] = json!("Allow");
    stage.create("flows", flow);
    stage
}

/// Creates a run of the Flow with this status, which the caches learn of.
fn run(stage: &Stage, name: &str, status: &serde_json::Value) {
    stage.create(
        "flowruns",
        json!({
            "apiVersion": "daskflow.dev/v1alpha1", "kind": "FlowRun",
            "metadata": {"name": name, "ownerReferences": [
                {"apiVersion": "daskflow.dev/v1alpha1", "kind": "Flow", "name": "etl", "uid": "uid-flows-etl"}]},
            "spec": {"flow": "etl", "clock": "c", "scheduledTime": AT, "mergedParameters": {}},
        }),
    );
    stage.change("flowruns", name, |run| run["status"] = status.clone());
    while stage.tell() {}
}

/// A run of which this attempt is about to get its Job.
fn let_through(stage: &Stage, name: &str, attempt: u32) {
    let now = stage.context.clock.now().to_string();
    let status =
        json!({"phase": "Provisioning", "observedGeneration": 1, "attempt": attempt, "admittedAt": now});
    run(stage, name, &status);
}

async fn look_at_flow(stage: &Stage) {
    let flow = stage.context.stores.flows.get(&ObjectRef::<Flow>::new("etl").within(NAMESPACE)).unwrap();
    look(flow, &stage.context).await;
}

#[tokio::test]
async fn runs_that_are_counted_are_listed_in_the_look_at_their_flow() {
    let stage = stage("tcp://127.0.0.1:1");
    run(&stage, "etl-1", &json!({"phase": "Skipped", "observedGeneration": 1}));
    look_at_flow(&stage).await;
    assert_eq!(stage.asked(), ["GET flows", "LIST flowruns", "PATCH flows/status"]);
    assert_eq!(stage.read::<Flow>("flows", "etl").status.unwrap().skipped, 1);
}

#[tokio::test]
async fn the_end_of_a_run_in_the_queue_rests_on_its_job_its_flow_and_its_siblings() {
    let stage = stage("tcp://127.0.0.1:1");
    run(&stage, "etl-1", &json!({"phase": "Queued", "observedGeneration": 1}));
    stage.change("flowruns", "etl-1", |run| run["spec"]["cancel"] = json!(true));
    while stage.tell() {}
    look_at_run(&stage, "etl-1").await;
    let requests = ["GET flowruns", "GET flows", "LIST flowruns", "GET jobs"];
    assert_eq!(stage.asked(), [&requests[..], &TOLD].concat());
}

#[tokio::test]
async fn a_plan_that_rests_on_what_was_not_looked_at_is_not_carried_out() {
    let (_scheduler, address) = scheduler().await;
    let stage = stage(&address);
    let_through(&stage, TICK, 1);
    // No watch tells so: the cache says that a Job is to be created.
    stage.change("flowruns", TICK, |run| run["spec"]["cancel"] = json!(true));
    look_at_run(&stage, TICK).await;
    assert_eq!(stage.asked(), ["GET flowruns"], "whether there is a Job was not asked");
    let status = |stage: &Stage| stage.read::<FlowRun>("flowruns", TICK).status.unwrap();
    assert_eq!(status(&stage).phase, Phase::Provisioning);
    // It is asked at the next look, whatever the cache says.
    look_at_run(&stage, TICK).await;
    assert_eq!(stage.asked(), [&["GET flowruns", "GET jobs"][..], &TOLD].concat());
    let status = status(&stage);
    assert_eq!(
        (status.phase, status.reason.as_deref()),
        (Phase::Cancelled, Some(Reason::Cancelled.as_str()))
    );
    assert_eq!(stage.context.backoff.by_kind(), [].into());
}

#[tokio::test]
async fn a_cache_that_is_behind_is_no_failure_of_an_object_that_has_failed_often() {
    let (_scheduler, address) = scheduler().await;
    let stage = stage(&address);
    let_through(&stage, TICK, 1);
    let id = (Kind::FlowRun, NAMESPACE.to_owned(), TICK.to_owned());
    for _ in 0..10 {
        stage.context.backoff.failed(&id);
    }
    stage.change("flowruns", TICK, |run| run["spec"]["cancel"] = json!(true));
    look_at_run(&stage, TICK).await;
    assert_eq!(stage.asked(), ["GET flowruns"], "nothing is told of it");
    assert_eq!(stage.context.backoff.failed(&id), 11, "nor is it counted");
}

#[tokio::test]
async fn the_job_of_a_tick_is_created_after_one_look_at_its_run() {
    let (_scheduler, address) = scheduler().await;
    let stage = stage(&address);
    let_through(&stage, TICK, 1);
    look_at_run(&stage, TICK).await;
    assert_eq!(stage.asked(), ["GET flowruns", "POST pods (dry run)", "POST jobs"]);
}

#[tokio::test]
async fn the_job_of_a_run_that_no_clock_made_rests_on_the_pods_of_its_name() {
    let (_scheduler, address) = scheduler().await;
    let stage = stage(&address);
    let_through(&stage, "etl-now", 1);
    look_at_run(&stage, "etl-now").await;
    assert_eq!(stage.asked(), ["GET flowruns", "LIST pods", "POST pods (dry run)", "POST jobs"]);
}

#[tokio::test]
async fn the_next_attempt_rests_on_the_pods_of_those_before_it() {
    let (_scheduler, address) = scheduler().await;
    let stage = stage(&address);
    let_through(&stage, TICK, 2);
    look_at_run(&stage, TICK).await;
    assert_eq!(stage.asked(), ["GET flowruns", "LIST pods", "POST pods (dry run)", "POST jobs"]);
}
