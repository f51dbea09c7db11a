//! Attempts that fail, for reasons of their own or of what is around them, and are tried again.

use daskflow::api::{DaskCluster, Flow, FlowRun, FlowRunStatus, Phase, Reason};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, EvictParams};
use serde_json::{Value, json};

use crate::support::clock::{now, seconds};
use crate::support::figures::figure_seconds;
use crate::support::manifests::{inline, named_run, with};
use crate::support::runners::{assert_at_most, assert_stopped, is_of_run, jobs_of};
use crate::support::timeline::Timeline;
use crate::support::{Load, Namespace, Shared, dask_cluster, logs, test, test_on};

#[tokio::test]
async fn failing_run_is_tried_again() {
    test_on(Shared::Dask, "failing_run_is_tried_again", async |namespace| {
        let pods = Timeline::<Pod>::watch(namespace);
        let retries = json!({"concurrency": "Allow", "retries": {"limit": 1, "delay": "1s"}});
        namespace.create::<Flow>(with(told("patient"), retries)).await;
        // It fails, then sleeps into the deadline of the run in all.
        let late = json!({"retries": {"limit": 5, "delay": "1s"}, "deadline": "20s"});
        namespace.create::<Flow>(with(told("late"), late)).await;
        for (flow, run, attempts) in [
            ("patient", "second-time", json!(["fail", "succeed"])),
            ("patient", "hopeless", json!(["fail"])),
            ("late", "too-late", json!(["fail", "sleep"])),
        ] {
            namespace.create::<FlowRun>(named_run(flow, run, json!({"attempts": attempts}))).await;
        }
        succeeds_the_second_time(namespace).await;
        fails_for_good(namespace).await;
        ends_at_its_deadline(namespace).await;
        for run in ["second-time", "hopeless", "too-late"] {
            assert_at_most(1, &pods, |pod| is_of_run(pod, run));
        }
    })
    .await;
}

async fn succeeds_the_second_time(namespace: &Namespace) {
    let status = namespace.until_phase("second-time", Phase::Succeeded, 90).await.status.unwrap();
    assert_attempts(&status, 2, (1, 0));
    assert_eq!(jobs_of(namespace, "second-time").await, ["second-time-1", "second-time-2"]);
    let log = namespace.runner_log("second-time").await;
    assert!(log.contains("attempt 1 is to fail") && log.contains("attempt 2 is to succeed"), "{log}");
    let told = namespace.events("second-time", "ScriptError").await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("attempt 1 failed: ") && told[0].contains("; attempt 2 starts at "),
        "{told:?}"
    );
}

async fn fails_for_good(namespace: &Namespace) {
    let status = namespace.until_phase("hopeless", Phase::Failed, 90).await.status.unwrap();
    assert_attempts(&status, 2, (2, 0));
    assert_eq!(status.reason.as_deref(), Some("ScriptError"), "{status:?}");
    let message = status.message.clone().unwrap_or_default();
    assert!(message.contains("attempt 2 was told to fail"), "the last words count: {message}");
    assert!(message.ends_with("(attempt 2, the last one)"), "{message}");
    assert_eq!(jobs_of(namespace, "hopeless").await, ["hopeless-1", "hopeless-2"]);
}

async fn ends_at_its_deadline(namespace: &Namespace) {
    let run = namespace.until_phase("too-late", Phase::TimedOut, 90).await;
    let status = run.status.clone().unwrap();
    assert_attempts(&status, 2, (1, 0));
    assert_eq!(status.reason.as_deref(), Some("DeadlineExceeded"), "{status:?}");
    let took_s = seconds(run.creation_timestamp().unwrap().0, status.finished_at.unwrap().0);
    // How much more it takes is the node's: a script that is stopped as its Python begins has a grace of 30
    // s.
    assert!(took_s >= 20.0, "it took {took_s} s");
    assert_stopped(namespace, "too-late").await;
}

#[tokio::test]
async fn evicted_runner_is_tried_again() {
    test_on(Shared::Dask, "evicted_runner_is_tried_again", async |namespace| {
        let (pods, runs) = start(namespace, "evicted").await;
        let runner = namespace.list::<Pod>(&logs::runner_of("evicted")).await.remove(0).name_any();
        let evicted = now();
        namespace.api::<Pod>().evict(&runner, &EvictParams::default()).await.unwrap();
        let status = namespace.until_phase("evicted", Phase::Succeeded, 90).await.status.unwrap();
        figure_seconds("evicted_to_succeeded_on_attempt_2", seconds(evicted, now()));
        assert_attempts(&status, 2, (0, 1));
        assert_told(namespace, "evicted", &runs, Reason::Evicted).await;
        assert_at_most(1, &pods, |pod| is_of_run(pod, "evicted"));
    })
    .await;
}

#[tokio::test]
async fn killed_scheduler_is_told_to_the_run() {
    test("killed_scheduler_is_told_to_the_run", Load::Dask, async |namespace| {
        namespace.ready_cluster(dask_cluster("dask", &namespace.settings.dask, 1)).await;
        let (pods, runs) = start(namespace, "bereft").await;
        let before: Pod = namespace.get("dask-scheduler").await;
        let killed = now();
        let at_once = DeleteParams::default().grace_period(0);
        namespace.api::<Pod>().delete("dask-scheduler", &at_once).await.unwrap();
        let status = namespace.until_phase("bereft", Phase::Succeeded, 120).await.status.unwrap();
        figure_seconds("scheduler_killed_to_succeeded_on_attempt_2", seconds(killed, now()));
        assert_attempts(&status, 2, (0, 1));
        assert_told(namespace, "bereft", &runs, Reason::ClusterLost).await;
        let after: Pod = namespace.get("dask-scheduler").await;
        assert_ne!(after.uid(), before.uid());
        assert_eq!(
            status.scheduler,
            after.uid().map(|uid| format!("{uid}/0")),
            "the second attempt was on the new scheduler: {status:?}"
        );
        assert!(namespace.get::<DaskCluster>("dask").await.metadata.deletion_timestamp.is_none());
        assert_at_most(1, &pods, |_| true);
    })
    .await;
}

/// A Flow on the cluster `dask` that does in each attempt what its run's parameters say.
fn told(name: &str) -> Value {
    inline(name, include_str!("flows/attempts.py"), "dask")
}

/// A run on the cluster `dask` that sleeps in its first attempt, which it is in, and succeeds in the second
/// one.
async fn start(namespace: &Namespace, run: &str) -> (Timeline<Pod>, Timeline<FlowRun>) {
    let watched = (Timeline::watch(namespace), Timeline::watch(namespace));
    let more = json!({"retries": {"infrastructure": 1, "delay": "1s"}});
    namespace.create::<Flow>(with(told("told"), more)).await;
    let attempts = json!({"attempts": ["sleep", "succeed"]});
    namespace.create::<FlowRun>(named_run("told", run, attempts)).await;
    namespace.until_phase(run, Phase::Running, 90).await;
    namespace.until_logged(run, "attempt 1 is to sleep").await;
    watched
}

fn assert_attempts(status: &FlowRunStatus, attempt: i32, failures: (i32, i32)) {
    assert_eq!(status.attempt, Some(attempt), "{status:?}");
    let counted = status.failures.map(|failures| (failures.flow, failures.infrastructure));
    assert_eq!(counted, Some(failures), "{status:?}");
}

/// The run waited for its second attempt for this reason, which was told in one event.
async fn assert_told(namespace: &Namespace, run: &str, runs: &Timeline<FlowRun>, reason: Reason) {
    let waits = |run: &FlowRun| {
        run.status.as_ref().is_some_and(|status| {
            status.phase == Phase::Retrying && status.reason.as_deref() == Some(reason.as_str())
        })
    };
    runs.when(format!("{run} waits as {}", reason.as_str()), waits).await;
    let told = namespace.events(run, reason.as_str()).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("attempt 1 failed: "), "{told:?}");
    assert_eq!(jobs_of(namespace, run).await.last(), Some(&format!("{run}-2")));
}
