//! A namespace whose quota is smaller than what a cluster asks for.

use daskflow::api::{ConditionType, DaskCluster, DaskClusterStatus, Reason};
use k8s_openapi::api::core::v1::{Event, ResourceQuota};
use serde_json::json;

use crate::support::clock::{now, seconds};
use crate::support::figures::{figure, figure_seconds};
use crate::support::workers::condition;
use crate::support::{Load, Namespace, poll, small_cluster, test, within};

/// What is bearable: a few words for each of the steps that the test takes.
const EVENTS_MAX: i32 = 30;

#[tokio::test]
async fn quota_is_respected() {
    test("quota_is_respected", Load::Dask, async |namespace| {
        let quota = json!({
            "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"},
            "spec": {"hard": {"pods": "3"}},
        });
        namespace.create::<ResourceQuota>(quota).await;
        until_enforced(namespace, "3").await;
        namespace.create::<DaskCluster>(small_cluster("dask", &namespace.settings.dask, 4)).await;
        namespace.until_workers("dask", 2).await;
        let words = ["exceeded quota: small", "pods=3"];
        namespace.until_cluster_says("dask", Reason::QuotaExceeded, &words).await;
        // The refusal is told before the two that there was room for are registered.
        let wait = within(90, "the two workers that there is room for are registered");
        let counted = |status: &DaskClusterStatus| (status.workers.ready, status.workers.desired) == (2, 4);
        let cluster: DaskCluster = namespace
            .until("dask", wait, |cluster: &DaskCluster| cluster.status.as_ref().is_some_and(counted))
            .await;
        let status = cluster.status.unwrap();
        assert_eq!(condition(&status, ConditionType::Ready).status, "False", "{status:?}");
        assert_eq!(condition(&status, ConditionType::Ready).reason, "QuotaExceeded", "{status:?}");

        // There is no room, and none is needed.
        namespace.scale("dask", 1).await;
        namespace.until_workers("dask", 1).await;
        namespace.until_ready("dask", 1).await;

        // Kubernetes' quota controller counts anew when the pod of before has gone, and may not see yet one
        // that was let in meanwhile: then three are (seen, on a busy machine).
        namespace.scale("dask", 4).await;
        namespace.until_workers_within("dask", 2..=3).await;
        namespace.until_cluster_says("dask", Reason::QuotaExceeded, &words).await;
        namespace.change::<ResourceQuota>("small", json!({"spec": {"hard": {"pods": "5"}}})).await;
        until_enforced(namespace, "5").await;
        let raised = now();
        let wait = within(60, "there are four worker pods");
        poll(wait, async || {
            let count = namespace.workers("dask").await?.len();
            if count == 4 { Ok(()) } else { Err(format!("{count} worker pods")) }
        })
        .await;
        figure_seconds("quota_raised_to_all_pods", seconds(raised, now()));
        namespace.until_workers("dask", 4).await;
        namespace.until_ready("dask", 4).await;
        let told = told(namespace).await;
        figure("quota_events", told, "events");
        assert!(told <= EVENTS_MAX, "{told} events about the cluster");
    })
    .await;
}

/// Waits until the quota controller has taken the number up: until then the API server judges by the one
/// before.
async fn until_enforced(namespace: &Namespace, pods: &str) {
    let wait = within(30, format!("the quota of {pods} pods counts"));
    namespace
        .until("small", wait, |quota: &ResourceQuota| {
            let hard = quota.status.as_ref().and_then(|status| status.hard.as_ref());
            hard.and_then(|hard| hard.get("pods")).is_some_and(|count| count.0 == pods)
        })
        .await;
}

/// How many events tell of the cluster, each counted as often as it was said.
async fn told(namespace: &Namespace) -> i32 {
    let events: Vec<Event> = namespace.list("").await;
    let ours = events.iter().filter(|event| event.involved_object.kind.as_deref() == Some("DaskCluster"));
    ours.map(|event| {
        let series = event.series.as_ref().and_then(|series| series.count);
        event.count.or(series).unwrap_or(1).max(1)
    })
    .sum()
}
