//! Runs that users stop, hold and let go.

use daskflow::api::{DaskCluster, Flow, FlowRun, FlowRunStatus, Phase, Reason};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::support::clock::{now, seconds};
use crate::support::figures::figure_seconds;
use crate::support::logs::runner_of;
use crate::support::manifests::{flow, named_run, with};
use crate::support::namespace::phase_of;
use crate::support::runners::{assert_at_most, has_ended, jobs_of};
use crate::support::timeline::Timeline;
use crate::support::{Load, Namespace, Shared, test, test_on, within};

/// It hears SIGTERM and goes on.
const STUBBORN: &str = "import signal, time
signal.signal(signal.SIGTERM, lambda *_: print('no', flush=True))
print('deaf', flush=True)
while True: time.sleep(60)";

/// Seconds until the kubelet sends SIGKILL.
const GRACE_S: i64 = 4;

#[tokio::test]
async fn cancel_kills_after_the_grace_period() {
    test_on(Shared::Dask, "cancel_kills_after_the_grace_period", async |namespace| {
        let spec = json!({
            "command": ["python", "-c", STUBBORN],
            "cluster": {"ref": {"name": "dask"}},
            "template": {"spec": {"terminationGracePeriodSeconds": GRACE_S}},
        });
        namespace.create::<Flow>(flow("stubborn", spec)).await;
        namespace.create::<FlowRun>(named_run("stubborn", "deaf", Value::Null)).await;
        namespace.until_phase("deaf", Phase::Running, 90).await;
        namespace.until_logged("deaf", "deaf").await;

        let asked = now();
        namespace.change::<FlowRun>("deaf", json!({"spec": {"cancel": true}})).await;
        let stopping = namespace.until_reason("deaf", Reason::Cancelled, 10).await;
        assert_eq!(stopping.phase, Phase::Running, "it is at work as long as it is: {stopping:?}");
        let told = stopping.message.clone().unwrap_or_default();
        assert!(told.starts_with("the runner is being stopped"), "{told}");
        let status = namespace.until_phase("deaf", Phase::Cancelled, 60).await.status.unwrap();
        let took_s = seconds(asked, now());
        let pods: Vec<Pod> = namespace.list(&runner_of("deaf")).await;
        assert!(pods.iter().all(has_ended), "it is Cancelled when its runner has ended: {pods:?}");
        figure_seconds("cancel_of_a_deaf_runner_with_4_s_of_grace", took_s);
        assert!((3.5..20.0).contains(&took_s), "it was Cancelled after {took_s} s");
        let message = status.message.clone().unwrap_or_default();
        assert!(message.contains("asked to stop at ") && message.contains("it had ended by "), "{message}");
    })
    .await;
}

#[tokio::test]
async fn suspended_run_holds_cluster_and_job() {
    test("suspended_run_holds_cluster_and_job", Load::Dask, async |namespace| {
        let pods = Timeline::<Pod>::watch(namespace);
        let spec = json!({
            "code": {"inline": include_str!("flows/attempts.py")},
            "cluster": {"template": {"image": namespace.settings.dask, "workers": {"replicas": 1, "threads": 2}}},
        });
        namespace.create::<Flow>(flow("own", spec)).await;
        let parameters = json!({"attempts": ["sleep", "succeed"]});
        let held = with(named_run("own", "held", parameters), json!({"suspend": true}));
        namespace.create::<FlowRun>(held).await;
        assert_held(&namespace.until_reason("held", Reason::Suspended, 30).await);
        // A run that is not held has its cluster within milliseconds.
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        assert_eq!(left(namespace).await, Vec::<String>::new(), "a run that is held has nothing");

        suspend(namespace, false).await;
        namespace.until_phase("held", Phase::Running, 120).await;
        namespace.until_logged("held", "attempt 1 is to sleep").await;
        let clusters: Vec<DaskCluster> = namespace.list("").await;
        assert_eq!((clusters.len(), jobs_of(namespace, "held").await.len()), (1, 1));

        let asked = now();
        suspend(namespace, true).await;
        let wait = within(60, "the run is held again");
        let held = namespace.until("held", wait, |run: &FlowRun| phase_of(run) == Phase::Queued);
        assert_held(&held.await.status.unwrap());
        figure_seconds("suspend_to_held", seconds(asked, now()));
        assert_eq!(jobs_of(namespace, "held").await, Vec::<String>::new());
        let runners: Vec<Pod> = namespace.list(&runner_of("held")).await;
        assert!(runners.iter().all(has_ended), "it is held when its runner has ended: {runners:?}");
        let clusters: Vec<DaskCluster> = namespace.list("").await;
        assert!(clusters.is_empty(), "its own cluster went with its Job: {clusters:?}");

        // At once: pods of the old cluster are still on their way out.
        suspend(namespace, false).await;
        let status = namespace.until_phase("held", Phase::Succeeded, 120).await.status.unwrap();
        assert_eq!((status.attempt, status.failures), (Some(2), None), "it is no failed attempt: {status:?}");
        assert_eq!(jobs_of(namespace, "held").await, ["held-2"]);
        assert_at_most(1, &pods, |_| true);
    })
    .await;
}

async fn suspend(namespace: &Namespace, suspend: bool) {
    namespace.change::<FlowRun>("held", json!({"spec": {"suspend": suspend}})).await;
}

fn assert_held(status: &FlowRunStatus) {
    assert_eq!((status.phase, status.reason.as_deref()), (Phase::Queued, Some("Suspended")), "{status:?}");
    assert_eq!(status.job, None, "{status:?}");
}

/// The Jobs, clusters and pods that are there.
async fn left(namespace: &Namespace) -> Vec<String> {
    let jobs: Vec<Job> = namespace.list("").await;
    let clusters: Vec<DaskCluster> = namespace.list("").await;
    let pods: Vec<Pod> = namespace.list("").await;
    let names = jobs.iter().map(ResourceExt::name_any).chain(clusters.iter().map(ResourceExt::name_any));
    names.chain(pods.iter().map(ResourceExt::name_any)).collect()
}
