//! What one run costs the API server: all that is asked from its tick to its end, with nothing going wrong.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::*;
use crate::api::{Flow, FlowRun, Phase};
use crate::operator::stage::Stage;
use crate::operator::testing::Scheduler;

/// A Flow with one tick, a second ago.
fn flow(name: &str, address: &str) -> Value {
    let now = clock::now();
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

async fn scheduler() -> (Scheduler, String) {
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
    let run = stage.names("flowruns").pop().unwrap();
    let pod = format!("{run}-1");
    let now = || clock::now().to_string();
    stage.runner(&pod, "Running", json!({"running": {"startedAt": now()}}));
    stage.settle().await;
    assert_eq!(stage.read::<FlowRun>("flowruns", &run).status.unwrap().phase, Phase::Running);
    let ended = json!({"terminated": {"exitCode": 0, "startedAt": now(), "finishedAt": now()}});
    stage.runner(&pod, "Succeeded", ended);
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
    let flow = stage.read::<Flow>("flows", "etl").status.unwrap();
    assert_eq!((flow.active, flow.admitted), (0, Vec::new()));
    assert_eq!(flow.last_run.unwrap().name, run);
    let requests = [
        "GET flows",
        "POST flowruns",
        "PATCH flows/status",
        "POST events",
        "PATCH flows/status",
        "PATCH flowruns/status",
        "PATCH flowruns/status",
        "PATCH flowruns/status",
        "PATCH flows/status",
        "GET flowruns",
        "GET jobs",
        "POST pods (dry run)",
        "POST jobs",
        "PATCH flowruns/status",
        "POST events",
        "GET flowruns",
        "GET jobs",
        "PATCH flowruns/status",
        "PATCH flowruns/status",
        "PATCH flowruns/status",
        "PATCH flowruns/status",
        "POST events",
        "PATCH flows/status",
    ];
    assert_eq!(stage.asked(), requests);
}
