//! What one run costs the API server: all that is asked from its tick to its end, with nothing going wrong.

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::api::{Flow, FlowRun, Kind, Phase};
use crate::daemon::clock::Clock;
use crate::operator::caches::index::visits;
use crate::operator::testing::stage::Stage;
use crate::operator::testing::{Scheduler, look};

/// A Flow with one tick, a second ago.
pub(super) fn flow(name: &str, address: &str) -> Value {
    let now = Clock::of_machine().now();
    let before = |seconds| now.checked_sub(SignedDuration::from_secs(seconds)).unwrap().to_string();
    json!({
        "apiVersion": "daskflow.dev/v1alpha1", "kind": "Flow",
        "metadata": {"name": name, "creationTimestamp": before(60)},
        "spec": {
            "image": "flows:1", "command": ["true"], "cluster": {"address": address},
            "schedule": {"clocks": [{"name": "c", "dates": [before(1)]}]},
        },
    })
}

pub(super) async fn scheduler() -> (Scheduler, String) {
    let scheduler = Scheduler::start(|op, _| (op == "ncores").then(|| json!({"tcp://10.0.0.1:1": 1}))).await;
    let address = format!("tcp://127.0.0.1:{}", scheduler.port);
    (scheduler, address)
}

/// A stage with one Flow that was created a minute ago.
fn stage(address: &str) -> Stage {
    let stage = Stage::new();
    stage.create("flows", flow("etl", address));
    stage
}

/// The run, its runner started and ended well.
async fn live_through(stage: &mut Stage) -> String {
    stage.settle().await;
    let is_open =
        |run: &String| stage.read::<FlowRun>("flowruns", run).status.unwrap().phase == Phase::Queued;
    let run = stage.names("flowruns").into_iter().rfind(is_open).unwrap();
    let pod = format!("{run}-1");
    let clock = stage.context.clock.clone();
    let now = || clock.now().to_string();
    stage.runner(&pod, "Running", &json!({"running": {"startedAt": now()}}));
    stage.settle().await;
    assert_eq!(stage.read::<FlowRun>("flowruns", &run).status.unwrap().phase, Phase::Running);
    let ended = json!({"terminated": {"exitCode": 0, "startedAt": now(), "finishedAt": now()}});
    stage.runner(&pod, "Succeeded", &ended);
    stage.settle().await;
    run
}

#[tokio::test]
async fn one_run_costs_these_requests() {
    let (_scheduler, address) = scheduler().await;
    let mut stage = stage(&address);
    let run = live_through(&mut stage).await;
    let status = stage.read::<FlowRun>("flowruns", &run).status.unwrap();
    assert_eq!(status.phase, Phase::Succeeded);
    let told = stage.read::<Flow>("flows", "etl").status.unwrap();
    assert_eq!((told.active, told.admitted), (0, Vec::new()));
    assert_eq!(told.last_run.unwrap().name, run);
    let requests = [
        "GET flows",
        "POST flowruns",
        "PATCH flows/status",
        "GET flowruns",
        "POST pods (dry run)",
        "POST jobs",
        "PATCH flowruns/status",
        "PATCH flowruns/status",
        "POST events",
        "PATCH flows/status",
    ];
    assert_eq!(stage.asked(), requests);

    // Another one whose pod is alike.
    stage.create("flows", flow("other", &address));
    live_through(&mut stage).await;
    let again: Vec<&str> = requests.into_iter().filter(|request| !request.contains("dry run")).collect();
    assert_eq!(stage.asked(), again);
}

#[tokio::test]
async fn the_ticks_of_all_flows_are_runs_before_the_first_has_its_place() {
    let (_scheduler, address) = scheduler().await;
    let mut stage = stage(&address);
    stage.create("flows", flow("other", &address));
    while stage.tell() {}
    stage.settle().await;
    let asked = stage.asked();
    let first = ["GET flows", "POST flowruns", "GET flows", "POST flowruns", "PATCH flows/status"];
    assert_eq!(asked[..5], first, "{asked:?}");
    let writes = asked.iter().filter(|request| *request == "PATCH flows/status").count();
    assert_eq!((writes, stage.names("jobs").len()), (2, 2), "{asked:?}");
}

#[tokio::test]
async fn a_flow_that_is_always_due_is_written_all_the_same() {
    let (_scheduler, address) = scheduler().await;
    let stage = Stage::new();
    let mut flow = flow("etl", &address);
    flow["spec"]["schedule"]["clocks"] = json!([{"name": "c", "interval": "1s"}]);
    stage.create("flows", flow);
    while stage.tell() {}
    let named = kube::runtime::reflector::ObjectRef::<Flow>::new("etl")
        .within(crate::operator::testing::stage::NAMESPACE);
    let mut runs = Vec::new();
    for is_written in [false, true] {
        look(stage.context.stores.flows.get(&named).unwrap(), &stage.context).await;
        assert_eq!(stage.asked().contains(&"PATCH flows/status".to_owned()), is_written);
        runs.push(stage.names("flowruns").len());
        // Until the next tick is there, which the next look finds.
        tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    }
    assert_eq!(runs, [1, 2]);
}

#[tokio::test]
async fn what_is_written_is_kept_without_the_fields_of_its_writers() {
    let (_scheduler, address) = scheduler().await;
    let stage = stage(&address);
    while stage.tell() {}
    let mut flow = stage.read::<Flow>("flows", "etl");
    let writers = json!([{"manager": "daskflow", "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {}}}]);
    flow.metadata.managed_fields = serde_json::from_value(writers).unwrap();
    flow.metadata.resource_version = Some("1000000".into());
    let ticket = stage.context.stores.flows.ticket();
    crate::operator::route::written(&stage.context.routes, ticket, flow);
    let named =
        kube::runtime::reflector::ObjectRef::new("etl").within(crate::operator::testing::stage::NAMESPACE);
    let kept = stage.context.stores.flows.get(&named).unwrap();
    assert_eq!(kept.metadata.resource_version.as_deref(), Some("1000000"), "it is taken in");
    let writers = kept.metadata.managed_fields.clone().unwrap_or_default();
    assert!(!writers.is_empty() && writers.iter().all(|writer| writer.fields_v1.is_none()), "{writers:?}");
}

#[tokio::test]
async fn what_is_gone_through_for_a_run_does_not_grow_with_what_else_is_there() {
    let (_scheduler, address) = scheduler().await;
    let mut visits = Vec::new();
    for others in [0, 40] {
        let mut stage = stage(&address);
        for other in 0..others {
            stage.create(
                "flowruns",
                json!({
                    "apiVersion": "daskflow.dev/v1alpha1", "kind": "FlowRun",
                    "metadata": {"name": format!("a{other}-1")}, "spec": {"flow": format!("a{other}")},
                }),
            );
        }
        while stage.tell() {}
        stage.woken();
        stage.context.routes.triggers.wake(Kind::Flow, crate::operator::testing::stage::NAMESPACE, "etl");
        visits::take();
        live_through(&mut stage).await;
        visits.push(visits::take());
    }
    assert!(visits[0] > 0);
    assert_eq!(visits[0], visits[1]);
}

#[tokio::test]
async fn a_run_that_is_about_to_get_its_place_says_nothing() {
    let (_scheduler, address) = scheduler().await;
    let stage = stage(&address);
    while stage.tell() {}
    let run = json!({
        "apiVersion": "daskflow.dev/v1alpha1", "kind": "FlowRun",
        "metadata": {"name": "etl-1", "ownerReferences": [
            {"apiVersion": "daskflow.dev/v1alpha1", "kind": "Flow", "name": "etl", "uid": "uid-flows-etl"}]},
        "spec": {"flow": "etl", "mergedParameters": {}},
    });
    stage.create("flowruns", run);
    while stage.tell() {}
    look_at_run(&stage, "etl-1").await;
    assert_eq!(stage.asked(), [""; 0]);
    assert!(
        stage.context.unwritten.has(&stage.read::<FlowRun>("flowruns", "etl-1")),
        "it is written if it lasts"
    );
}

/// Looks at a run as the cache has it.
pub(super) async fn look_at_run(stage: &Stage, name: &str) {
    let named =
        kube::runtime::reflector::ObjectRef::new(name).within(crate::operator::testing::stage::NAMESPACE);
    let run = stage.context.stores.runs.get(&named).unwrap();
    look(run, &stage.context).await;
}

#[tokio::test]
async fn an_operator_that_ended_before_it_told_of_a_job_goes_on_from_it() {
    let (_scheduler, address) = scheduler().await;
    let mut stage = stage(&address);
    stage.settle().await;
    let run = stage.names("flowruns").pop().unwrap();
    assert_eq!(
        stage.read::<FlowRun>("flowruns", &run).status.unwrap().phase,
        Phase::Queued,
        "nothing is written"
    );
    stage.context.unwritten.forget(crate::operator::testing::stage::NAMESPACE, &run);
    stage.asked();
    look_at_run(&stage, &run).await;
    assert_eq!(stage.asked(), [""; 0], "it has begun, and its runner starts soon");
    live_through(&mut stage).await;
    assert_eq!(stage.names("jobs").len(), 1);
    let status = stage.read::<FlowRun>("flowruns", &run).status.unwrap();
    assert_eq!((status.phase, status.attempt), (Phase::Succeeded, Some(1)));
    assert!(status.admitted_at.is_some() && status.program.is_some() && status.job.is_some());
}

#[tokio::test]
async fn a_job_that_is_deleted_before_it_was_told_of_is_not_made_again() {
    let (_scheduler, address) = scheduler().await;
    let mut stage = stage(&address);
    stage.settle().await;
    let run = stage.names("flowruns").pop().unwrap();
    stage.remove("pods", &format!("{run}-1"));
    stage.remove("jobs", &format!("{run}-1"));
    stage.settle().await;
    let status = stage.read::<FlowRun>("flowruns", &run).status.unwrap();
    assert_eq!((status.phase, status.reason.as_deref()), (Phase::Failed, Some("JobDeleted")));
    assert_eq!(stage.names("jobs"), [""; 0]);
}
