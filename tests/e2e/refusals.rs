//! What the API server refuses for one part of a cluster.

use daskflow::api::{ConditionType, DaskCluster, Flow, Phase, Reason};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::repair::delete_pod;
use crate::support::manifests::inline;
use crate::support::workers::condition;
use crate::support::{Load, run_now, small_cluster, test, within};

#[tokio::test]
async fn refused_group_leaves_the_rest() {
    test("refused_group_leaves_the_rest", Load::Dask, async |namespace| {
        let mut cluster = small_cluster("dask", &namespace.settings.dask, 1);
        let group = |template: Value| json!([{"name": "big", "replicas": 0, "template": template}]);
        cluster["spec"]["workerGroups"] = group(json!({}));
        namespace.ready_cluster(cluster).await;
        let typo = json!({"spec": {"priorityClassName": "typo"}});
        namespace.change::<DaskCluster>("dask", json!({"spec": {"workerGroups": group(typo)}})).await;
        let status = namespace.until_cluster_says("dask", Reason::Rejected, &["group big", "typo"]).await;
        assert_eq!(condition(&status, ConditionType::Ready).status, "True", "{status:?}");
        assert_eq!(condition(&status, ConditionType::Stalled).status, "True", "{status:?}");

        // The scheduler and the worker of the other group come back, and runs start.
        let scheduler: Pod = namespace.get("dask-scheduler").await;
        let worker = namespace.workers("dask").await.unwrap().remove(0);
        delete_pod(namespace, &worker.name_any()).await;
        delete_pod(namespace, "dask-scheduler").await;
        let wait = within(60, "there is another scheduler");
        namespace.until("dask-scheduler", wait, |pod: &Pod| pod.uid() != scheduler.uid()).await;
        namespace.create::<Flow>(inline("plain", include_str!("flows/where_dask.py"), "dask")).await;
        let run = namespace.create::<daskflow::api::FlowRun>(run_now("plain", Value::Null)).await;
        namespace.until_phase(&run.name_any(), Phase::Succeeded, 180).await;
        namespace.scale("dask", 0).await;
        namespace.until_workers("dask", 0).await;

        namespace.change::<DaskCluster>("dask", json!({"spec": {"workerGroups": group(json!({}))}})).await;
        let wait = within(60, "nothing is refused any more");
        namespace
            .until("dask", wait, |cluster: &DaskCluster| {
                let status = cluster.status.as_ref();
                status.is_some_and(|status| condition(status, ConditionType::Stalled).status == "False")
            })
            .await;
    })
    .await;
}
