//! Runs on demand, and what ends or holds them.

use daskflow::api::{Flow, FlowRun, Phase, Reason};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::support::clock::now;
use crate::support::figures::figure_seconds;
use crate::support::manifests::{inline, with};
use crate::support::runners::{assert_at_most, assert_stopped, is_of_flow, jobs_of};
use crate::support::timeline::Timeline;
use crate::support::{Namespace, Shared, clock, run_now, test_on};

#[tokio::test]
async fn run_now_with_parameters() {
    test_on(Shared::Prefect1, "run_now_with_parameters", async |namespace| {
        let mut flow = inline("where", include_str!("flows/where_prefect1.py"), "dask");
        flow["spec"]["parameters"] = json!({"x": 4});
        let observed = namespace.observed_flow(flow).await.status.unwrap();
        assert!(observed.next_tick.is_none(), "a flow without a schedule is never due: {observed:?}");

        for (parameters, answer) in [(Value::Null, "twice x: 8"), (json!({"x": 21}), "twice x: 42")] {
            let run: FlowRun = namespace.create(run_now("where", parameters)).await;
            let name = run.name_any();
            assert!(name.starts_with("where-"), "generateName is allowed: {name}");
            namespace.until_phase(&name, Phase::Succeeded, 120).await;
            let log = namespace.runner_log(&name).await;
            assert!(log.contains(answer), "{answer}: {log}");
            crate::engines::assert_ran_on_workers(namespace, &name, "dask").await;
        }

        let unknown: FlowRun = namespace.create(run_now("where", json!({"why": 1}))).await;
        let status = namespace.until_phase(&unknown.name_any(), Phase::Failed, 120).await.status.unwrap();
        assert_eq!(status.reason.as_deref(), Some("ParameterError"), "{status:?}");
        assert!(status.message.clone().unwrap_or_default().contains("why"), "{status:?}");
        assert_eq!(namespace.runs_of("where").await.len(), 3, "nothing but the runs that were asked for");
    })
    .await;
}

#[tokio::test]
async fn cancel_stops_a_run() {
    test_on(Shared::Dask, "cancel_stops_a_run", async |namespace| {
        let run = start_sleeping(namespace, "cancelled", json!({}), Value::Null).await;
        let asked = now();
        namespace.change::<FlowRun>(&run, json!({"spec": {"cancel": true}})).await;
        let status = namespace.until_phase(&run, Phase::Cancelled, 60).await.status.unwrap();
        assert_eq!(status.reason.as_deref(), Some("Cancelled"), "{status:?}");
        assert!(status.message.clone().unwrap_or_default().contains("it had ended by"), "{status:?}");
        assert_stopped(namespace, &run).await;
        figure_seconds("cancel_to_runner_stopped", clock::seconds(asked, now()));
    })
    .await;
}

#[tokio::test]
async fn timeout_stops_a_run() {
    test_on(Shared::Dask, "timeout_stops_a_run", async |namespace| {
        let run = start_sleeping(namespace, "timed-out", json!({"timeout": "20s"}), Value::Null).await;
        let status = namespace.until_phase(&run, Phase::TimedOut, 60).await.status.unwrap();
        assert_eq!(status.reason.as_deref(), Some("TimeoutExceeded"), "{status:?}");
        assert_stopped(namespace, &run).await;
        assert_eq!(jobs_of(namespace, &run).await, [format!("{run}-1")], "it is not tried again");
    })
    .await;
}

#[tokio::test]
async fn forbid_holds_the_second_run() {
    test_on(Shared::Dask, "forbid_holds_the_second_run", async |namespace| {
        let pods = Timeline::<Pod>::watch(namespace);
        let forbid = json!({"concurrency": "Forbid"});
        let first = start_sleeping(namespace, "forbidding", forbid, json!({"seconds": 8})).await;
        let second: FlowRun = namespace.create(run_now("forbidding", json!({"seconds": 1}))).await;
        let second = second.name_any();
        let status = namespace.until_reason(&second, Reason::ConcurrencyForbidden, 30).await;
        assert_eq!(status.phase, Phase::Queued, "{status:?}");
        assert!(
            status.message.clone().unwrap_or_default().contains(&first),
            "it says what it waits for: {status:?}"
        );

        let first_end =
            namespace.until_phase(&first, Phase::Succeeded, 60).await.status.unwrap().finished_at.unwrap().0;
        let second_run = namespace.until_phase(&second, Phase::Succeeded, 90).await.status.unwrap();
        assert!(
            second_run.started_at.unwrap().0 >= first_end,
            "the second started before the first had ended"
        );
        assert_at_most(1, &pods, |pod| is_of_flow(pod, "forbidding"));
    })
    .await;
}

/// A run of the sleeping script in a Flow of this name, once its container runs.
async fn start_sleeping(namespace: &Namespace, name: &str, more: Value, parameters: Value) -> String {
    let flow = with(inline(name, include_str!("flows/sleeping.py"), "dask"), more);
    namespace.create::<Flow>(flow).await;
    let run: FlowRun = namespace.create(run_now(name, parameters)).await;
    let run = namespace.until_phase(&run.name_any(), Phase::Running, 90).await;
    let started: Timestamp = run.status.as_ref().unwrap().started_at.clone().unwrap().0;
    assert!(started <= now(), "a run that is Running has started");
    run.name_any()
}
