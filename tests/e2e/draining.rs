//! Workers that leave: drained nodes, deleted pods, and ones that are at work.

use daskflow::api::{DaskCluster, Reason};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, EvictParams};
use serde_json::json;

use crate::support::workers::uids;
use crate::support::{Load, Namespace, small_cluster, test, within};

#[tokio::test]
async fn drained_node_loses_nothing() {
    test("drained_node_loses_nothing", Load::Crowd, async |namespace| {
        namespace.ready_cluster(small_cluster("dask", &namespace.settings.dask, 4)).await;
        let script = include_str!("flows/holding.py");
        let client = namespace.client("holder", "dask", script, &["60", "1000", "4"]).await;
        client.until_said("holding").await;
        let before = namespace.workers("dask").await.unwrap();
        // As `kubectl drain` does it with two of them, and `kubectl delete pod` with a third.
        for pod in &before[..2] {
            namespace.api::<Pod>().evict(&pod.name_any(), &EvictParams::default()).await.unwrap();
            until_replaced(namespace, pod).await;
        }
        let name = before[2].name_any();
        namespace.api::<Pod>().delete(&name, &DeleteParams::default()).await.unwrap();
        until_replaced(namespace, &before[2]).await;

        let after = uids(&namespace.workers("dask").await.unwrap());
        assert_eq!(after.intersection(&uids(&before)).count(), 1, "the fourth worker was left alone");
        client.tell().await;
        let log = client.until_done(60).await;
        assert!(log.contains("kept all 60"), "{log}");
    })
    .await;
}

/// Waits until a worker's pod is gone and four workers are there again.
async fn until_replaced(namespace: &Namespace, pod: &Pod) {
    let name = pod.name_any();
    namespace.until_gone::<Pod>(&name, within(60, format!("worker {name} is gone"))).await;
    namespace.until_workers("dask", 4).await;
}

#[tokio::test]
async fn busy_worker_is_not_killed_while_it_works() {
    test("busy_worker_is_not_killed_while_it_works", Load::Dask, async |namespace| {
        let mut cluster = small_cluster("dask", &namespace.settings.dask, 2);
        cluster["spec"]["workers"]["drain"] = json!("Wait");
        namespace.ready_cluster(cluster).await;
        let script = include_str!("flows/working.py");
        let client = namespace.client("patient", "dask", script, &["2", "15"]).await;
        client.until_said("all begun").await;
        let before = namespace.workers("dask").await.unwrap();
        namespace.scale("dask", 1).await;
        namespace.until_cluster_says("dask", Reason::WorkersDraining, &["1"]).await;
        let meanwhile = namespace.workers("dask").await.unwrap();
        assert!(client.is_at_work().await, "the tasks end later than the status tells of them");
        assert_eq!(uids(&meanwhile), uids(&before), "both workers are at work");
        let log = client.until_done(60).await;
        assert!(log.contains("starts: [1, 1]"), "no task ran twice: {log}");
        namespace.until_workers("dask", 1).await;
        namespace.until_ready("dask", 1).await;

        // With little patience it goes nonetheless, and its task begins again elsewhere.
        let hasty = json!({"spec": {"workers": {"replicas": 2, "drainTimeout": "2s"}}});
        namespace.change::<DaskCluster>("dask", hasty).await;
        namespace.until_workers("dask", 2).await;
        let client = namespace.client("hasty", "dask", script, &["2", "120"]).await;
        client.until_said("all begun").await;
        namespace.scale("dask", 1).await;
        namespace.until_workers("dask", 1).await;
        assert!(client.is_at_work().await, "its tasks take longer than that");
        client.stop().await;
    })
    .await;
}
