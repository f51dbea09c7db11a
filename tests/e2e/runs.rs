//! Runs on demand, and what ends or holds them.

use daskflow::api::{Flow, FlowRun, Phase};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::support::clock::now;
use crate::support::figures::figure_seconds;
use crate::support::manifests::inline;
use crate::support::timeline::Timeline;
use crate::support::{Load, Namespace, clock, dask_cluster, logs, poll, run_now, test, within};

#[tokio::test]
async fn run_now_with_parameters() {
    test("run_now_with_parameters", Load::Dask, async |namespace| {
        namespace.ready_cluster(dask_cluster("dask", &namespace.settings.prefect1, 1)).await;
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
    test("cancel_stops_a_run", Load::Dask, async |namespace| {
        let run = start_sleeping(namespace, &json!({}), Value::Null).await;
        let asked = now();
        namespace.change::<FlowRun>(&run, json!({"spec": {"cancel": true}})).await;
        let status = namespace.until_phase(&run, Phase::Cancelled, 60).await.status.unwrap();
        assert_eq!(status.reason.as_deref(), Some("Cancelled"), "{status:?}");
        assert_stopped(namespace, &run).await;
        figure_seconds("cancel_to_runner_stopped", clock::seconds(asked, now()));
    })
    .await;
}

#[tokio::test]
async fn timeout_stops_a_run() {
    test("timeout_stops_a_run", Load::Dask, async |namespace| {
        let run = start_sleeping(namespace, &json!({"timeout": "5s"}), Value::Null).await;
        let status = namespace.until_phase(&run, Phase::TimedOut, 60).await.status.unwrap();
        assert_eq!(status.reason.as_deref(), Some("DeadlineExceeded"), "{status:?}");
        assert_stopped(namespace, &run).await;
        let jobs: Vec<Job> = namespace.list(&format!("daskflow.dev/run={run}")).await;
        assert!(jobs.len() <= 1, "a run that timed out is not tried again");
    })
    .await;
}

#[tokio::test]
async fn forbid_holds_the_second_run() {
    test("forbid_holds_the_second_run", Load::Dask, async |namespace| {
        let pods = Timeline::<Pod>::watch(namespace);
        let first = start_sleeping(namespace, &json!({"concurrency": "Forbid"}), json!({"seconds": 8})).await;
        let second: FlowRun = namespace.create(run_now("sleeper", json!({"seconds": 1}))).await;
        let second = second.name_any();
        let wait = within(30, format!("{second} is held"));
        let held = namespace.until(&second, wait, |run: &FlowRun| {
            run.status.as_ref().is_some_and(|status| status.reason.as_deref() == Some("ConcurrencyForbidden"))
        });
        let status = held.await.status.unwrap();
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
        assert_never_two(&pods);
    })
    .await;
}

/// At no time did two runner pods exist that had not ended.
fn assert_never_two(pods: &Timeline<Pod>) {
    pods.read(|seen| {
        let mut active: Vec<String> = Vec::new();
        for (at, pod) in seen.iter().filter(|(_, pod)| pod.labels().contains_key("daskflow.dev/run")) {
            if pod.labels().get("dask.org/component").is_none_or(|component| component != "runner") {
                continue;
            }
            active.retain(|name| *name != pod.name_any());
            if !has_ended(pod) {
                active.push(pod.name_any());
            }
            assert!(active.len() <= 1, "{active:?} were active together at {at}");
        }
        assert!(!seen.is_empty(), "no pod was seen");
    });
}

fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
    matches!(phase, "Succeeded" | "Failed")
}

/// A run of the sleeping script, once its container runs. The flow is called `sleeper`.
async fn start_sleeping(namespace: &Namespace, more: &Value, parameters: Value) -> String {
    namespace.ready_cluster(dask_cluster("dask", &namespace.settings.dask, 1)).await;
    let mut flow = inline("sleeper", include_str!("flows/sleeping.py"), "dask");
    for (field, value) in more.as_object().unwrap() {
        flow["spec"][field] = value.clone();
    }
    namespace.create::<Flow>(flow).await;
    let run: FlowRun = namespace.create(run_now("sleeper", parameters)).await;
    let run = namespace.until_phase(&run.name_any(), Phase::Running, 90).await;
    let started: Timestamp = run.status.as_ref().unwrap().started_at.clone().unwrap().0;
    assert!(started <= now(), "a run that is Running has started");
    run.name_any()
}

/// No container of the run is left. The limit is below the 30 s after which the kubelet kills: the runner obeys.
async fn assert_stopped(namespace: &Namespace, run: &str) {
    poll(within(20, format!("the runner of {run} has stopped")), async || {
        let pods: Vec<Pod> =
            namespace.try_list(&logs::runner_of(run)).await.map_err(|error| error.to_string())?;
        let active: Vec<_> = pods.iter().filter(|pod| !has_ended(pod)).map(ResourceExt::name_any).collect();
        if active.is_empty() { Ok(()) } else { Err(active.join(", ")) }
    })
    .await;
}
