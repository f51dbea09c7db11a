//! A run that fails is reported as failed, with the reason, and is not started again behind the user's back.

use daskflow::api::{Flow, FlowRun, Phase};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::support::manifests::inline;
use crate::support::{Namespace, Shared, logs, test_on, within};

#[tokio::test]
async fn failing_task_makes_the_run_failed() {
    test_on(Shared::Prefect1, "failing_task_makes_the_run_failed", async |namespace| {
        let run = run_once(namespace, "failing", include_str!("flows/failing_prefect1.py")).await;
        assert_failed(&run, "FlowFailed", 3, &["measure[2]", "the reactor is too hot"]);
        let tasks = run.status.as_ref().and_then(|status| status.tasks).unwrap();
        assert_eq!(
            (tasks.total, tasks.failed),
            (6, 2),
            "4 measurements, their parent and the report that needs them"
        );
        assert_one_attempt(namespace, &run).await;
        assert_flow_tells(namespace, "failing", "FlowFailed").await;
    })
    .await;
}

#[tokio::test]
async fn script_error_is_reported() {
    test_on(Shared::Dask, "script_error_is_reported", async |namespace| {
        let run = run_once(namespace, "broken", include_str!("flows/broken.py")).await;
        assert_failed(&run, "ScriptError", 1, &["KeyError", "pressure"]);
        assert_one_attempt(namespace, &run).await;
        assert_flow_tells(namespace, "broken", "ScriptError").await;
        let log = namespace.runner_log(&run.name_any()).await;
        assert!(
            log.contains("reading") && log.contains("Traceback"),
            "the script's own words are in the log: {log}"
        );
    })
    .await;
}

#[tokio::test]
async fn silent_local_run_is_refused() {
    test_on(Shared::Prefect1, "silent_local_run_is_refused", async |namespace| {
        for (flow, script, culprit) in [
            ("local-executor", include_str!("flows/local_prefect1.py"), "LocalExecutor"),
            ("local-cluster", include_str!("flows/local_dask.py"), "LocalCluster"),
        ] {
            let run = run_once(namespace, flow, script).await;
            assert_failed(&run, "RanOutsideCluster", 5, &[culprit]);
            assert_one_attempt(namespace, &run).await;
            let log = namespace.runner_log(&run.name_any()).await;
            assert!(
                !log.contains("work is done in the runner"),
                "{flow} was refused before it worked: {log}"
            );
        }
    })
    .await;
}

/// Runs a script on the cluster `dask` until it fails.
async fn run_once(namespace: &Namespace, name: &str, script: &str) -> FlowRun {
    namespace.create::<Flow>(inline(name, script, "dask")).await;
    let run = namespace.start_run(name).await;
    namespace.until_phase(&run, Phase::Failed, 120).await
}

fn assert_failed(run: &FlowRun, reason: &str, exit_code: i32, words: &[&str]) {
    let status = run.status.clone().unwrap();
    assert_eq!(status.reason.as_deref(), Some(reason), "{status:?}");
    assert_eq!(status.exit_code, Some(exit_code), "{status:?}");
    let message = status.message.clone().unwrap_or_default();
    for word in words {
        assert!(message.contains(word), "the message names {word}: {message}");
    }
    let failed = status.conditions.iter().find(|condition| condition.type_ == "Failed");
    let failed = failed.map(|condition| (condition.status.as_str(), condition.reason.as_str()));
    assert_eq!(failed, Some(("True", reason)), "{status:?}");
    assert!(status.finished_at.is_some() && status.started_at.is_some(), "{status:?}");
}

/// One Job that never retries, and one pod.
async fn assert_one_attempt(namespace: &Namespace, run: &FlowRun) {
    let name = run.name_any();
    let jobs: Vec<Job> = namespace.list(&format!("daskflow.dev/run={name}")).await;
    let names: Vec<_> = jobs.iter().map(ResourceExt::name_any).collect();
    assert_eq!(names, [format!("{name}-1")]);
    assert_eq!(run.status.as_ref().and_then(|status| status.job.clone()), Some(format!("{name}-1")));
    let spec = jobs[0].spec.clone().unwrap();
    assert_eq!(spec.backoff_limit, Some(0));
    let pods: Vec<Pod> = namespace.list(&logs::runner_of(&name)).await;
    assert_eq!(pods.len(), 1, "pods of {name}");
    let pod = pods[0].spec.clone().unwrap();
    assert_eq!(pod.restart_policy.as_deref(), Some("Never"));
}

/// `kubectl get flows` shows that the last run failed.
async fn assert_flow_tells(namespace: &Namespace, flow: &str, reason: &str) {
    let wait = within(30, format!("Flow {flow} tells of its last run"));
    let told = namespace.until(flow, wait, |flow: &Flow| {
        flow.status.as_ref().is_some_and(|status| status.last_run.is_some() && status.active == 0)
    });
    let status = told.await.status.unwrap();
    assert_eq!(status.last_run.clone().map(|run| run.phase), Some(Phase::Failed));
    let last = status.conditions.iter().find(|condition| condition.type_ == "LastRunSucceeded").unwrap();
    assert_eq!((last.status.as_str(), last.reason.as_str()), ("False", reason), "{last:?}");
}
