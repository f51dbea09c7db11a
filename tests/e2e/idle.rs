//! Clusters that nobody uses, and what wakes them.

use daskflow::api::{ConditionType, DaskCluster, Flow, Phase, Reason};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use crate::support::clock::{now, seconds};
use crate::support::figures::figure_seconds;
use crate::support::manifests::{inline, with};
use crate::support::workers::condition;
use crate::support::{Load, Namespace, poll, small_cluster, test, within};

const WHERE: &str = include_str!("flows/where_dask.py");

#[tokio::test]
async fn idle_cluster_scales_to_zero_and_wakes() {
    test("idle_cluster_scales_to_zero_and_wakes", Load::Dask, async |namespace| {
        start(namespace, json!({"after": "5s"})).await;
        run(namespace).await;
        let ended = now();
        until_asleep(namespace).await;
        figure_seconds("idle_after_5s_asleep", seconds(ended, now()));
        let pods = namespace.until_workers("dask", 0).await;
        assert_eq!(pods.len(), 0);
        let scheduler: Pod = namespace.get("dask-scheduler").await;
        assert!(scheduler.metadata.deletion_timestamp.is_none(), "the scheduler stays");

        let asked = now();
        run(namespace).await;
        figure_seconds("idle_woken_run", seconds(asked, now()));
        until_asleep(namespace).await;

        // A client that nobody announced.
        let client = namespace.client("guest", "dask", include_str!("flows/computing.py"), &[]).await;
        client.until_said("computing").await;
        client.tell().await;
        client.until_done(120).await;
        let status = namespace.get::<DaskCluster>("dask").await.status.unwrap();
        assert!(status.idle.as_ref().is_none_or(|idle| !idle.asleep), "it is awake: {status:?}");
        until_asleep(namespace).await;
        let told = namespace.events("dask", "Idle").await;
        assert!(!told.is_empty(), "an event says that it goes to rest");
    })
    .await;
}

#[tokio::test]
async fn idle_cluster_is_suspended_and_wakes() {
    test("idle_cluster_is_suspended_and_wakes", Load::Dask, async |namespace| {
        start(namespace, json!({"after": "5s", "action": "Suspend"})).await;
        until_asleep(namespace).await;
        poll(within(60, "no pod is left"), async || {
            let pods = namespace.try_list::<Pod>("").await.map_err(|error| error.to_string())?;
            if pods.is_empty() { Ok(()) } else { Err(format!("{} pods", pods.len())) }
        })
        .await;
        run(namespace).await;
        until_asleep(namespace).await;

        // Any change of the spec wakes it as well.
        namespace.change::<DaskCluster>("dask", json!({"spec": {"idle": null}})).await;
        namespace.until_workers("dask", 1).await;
        namespace.until_ready("dask", 1).await;
    })
    .await;
}

#[tokio::test]
async fn idle_cluster_is_deleted() {
    test("idle_cluster_is_deleted", Load::Dask, async |namespace| {
        start(namespace, json!({"after": "5s", "action": "Delete"})).await;
        run(namespace).await;
        namespace.until_gone::<DaskCluster>("dask", within(90, "the cluster is deleted")).await;
        poll(within(60, "its pods are gone"), async || {
            let pods: Vec<Pod> = namespace
                .try_list("dask.org/component in (scheduler,worker)")
                .await
                .map_err(|error| error.to_string())?;
            if pods.is_empty() { Ok(()) } else { Err(format!("{} pods", pods.len())) }
        })
        .await;
        let told = namespace.events("dask", "Idle").await;
        assert_eq!(told.len(), 1, "an event says why: {told:?}");
    })
    .await;
}

/// A cluster of one worker that goes to rest, and a Flow on it.
async fn start(namespace: &Namespace, idle: serde_json::Value) {
    let cluster = with(small_cluster("dask", &namespace.settings.dask, 1), json!({"idle": idle}));
    namespace.create::<DaskCluster>(cluster).await;
    namespace.create::<Flow>(inline("where", WHERE, "dask")).await;
}

async fn run(namespace: &Namespace) {
    let run = namespace.start_run("where").await;
    namespace.until_phase(&run, Phase::Succeeded, 150).await;
}

/// Waits until the status says that the cluster sleeps, and that this is why it is not ready.
pub async fn until_asleep(namespace: &Namespace) {
    let wait = within(120, "the cluster is put to rest");
    namespace
        .until("dask", wait, |cluster: &DaskCluster| {
            let Some(status) = &cluster.status else { return false };
            status.idle.as_ref().is_some_and(|idle| idle.asleep)
                && condition(status, ConditionType::Ready).reason == Reason::Idle.as_str()
        })
        .await;
}
