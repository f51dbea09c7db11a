//! What is kept of runs that have ended, and what of a Flow that was deleted.

use daskflow::api::{DaskCluster, Flow, FlowRun, Phase, Reason};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::support::clock::{now, seconds};
use crate::support::figures::figure_seconds;
use crate::support::manifests::{flow, inline, named_run, with};
use crate::support::namespace::Kind;
use crate::support::{Load, Namespace, dask_cluster, poll, test, within};

#[tokio::test]
async fn history_by_count_and_age() {
    test("history_by_count_and_age", Load::Light, async |namespace| {
        // Suspended: its runs wait, and end when they are cancelled.
        let asleep = with(dask_cluster("asleep", &namespace.settings.dask, 1), json!({"suspend": true}));
        namespace.create::<DaskCluster>(asleep).await;
        let more = json!({"concurrency": "Allow", "history": {"failed": 2}});
        namespace.create::<Flow>(with(inline("kept", "pass", "asleep"), more)).await;
        for name in ["open", "h-1", "h-2", "h-3", "h-4"] {
            namespace.create::<FlowRun>(named_run("kept", name, Value::Null)).await;
            namespace.until_reason(name, Reason::ClusterSuspended, 30).await;
            if name != "open" {
                namespace.change::<FlowRun>(name, json!({"spec": {"cancel": true}})).await;
                namespace.until_phase(name, Phase::Cancelled, 30).await;
            }
        }
        until_runs(namespace, &["h-3", "h-4", "open"]).await;
        namespace.change::<Flow>("kept", json!({"spec": {"history": {"olderThan": "2s"}}})).await;
        until_runs(namespace, &["open"]).await;
        let open: FlowRun = namespace.get("open").await;
        assert_eq!(open.metadata.deletion_timestamp, None, "a run that has not ended is never deleted");
    })
    .await;
}

async fn until_runs(namespace: &Namespace, wanted: &[&str]) {
    poll(within(30, format!("these runs are kept: {wanted:?}")), async || {
        let runs: Vec<FlowRun> = namespace.list("").await;
        let mut names: Vec<_> = runs.iter().map(ResourceExt::name_any).collect();
        names.sort();
        if names == wanted { Ok(()) } else { Err(format!("{names:?}")) }
    })
    .await;
}

#[tokio::test]
async fn deleted_flow_leaves_nothing_behind() {
    test("deleted_flow_leaves_nothing_behind", Load::Dask, async |namespace| {
        let spec = json!({
            "code": {"inline": include_str!("flows/sleeping.py")},
            "cluster": {"template": {"image": namespace.settings.dask, "workers": {"replicas": 1, "threads": 2}}},
        });
        namespace.create::<Flow>(flow("forgotten", spec)).await;
        namespace.create::<FlowRun>(named_run("forgotten", "at-work", Value::Null)).await;
        namespace.until_phase("at-work", Phase::Running, 120).await;
        // A Python that has only just begun does not hear SIGTERM, and has half a minute.
        namespace.until_logged("at-work", "sleeping").await;
        let there = left(namespace).await;
        assert!(there.len() >= 7, "run, Job, cluster, three pods, Service and code: {there:?}");

        let deleted = now();
        namespace.api::<Flow>().delete("forgotten", &DeleteParams::default()).await.unwrap();
        poll(within(90, "nothing is left of the deleted Flow"), async || {
            let left = left(namespace).await;
            if left.is_empty() { Ok(()) } else { Err(left.join(", ")) }
        })
        .await;
        figure_seconds("flow_deleted_to_nothing_left", seconds(deleted, now()));
    })
    .await;
}

/// All that daskflow or Kubernetes made for the Flow.
async fn left(namespace: &Namespace) -> Vec<String> {
    let mut left = names::<FlowRun>(namespace).await;
    left.extend(names::<DaskCluster>(namespace).await);
    left.extend(names::<Job>(namespace).await);
    left.extend(names::<Pod>(namespace).await);
    left.extend(names::<Service>(namespace).await);
    left.extend(names::<ConfigMap>(namespace).await);
    left.retain(|name| name != "ConfigMap/kube-root-ca.crt");
    left
}

async fn names<K: Kind>(namespace: &Namespace) -> Vec<String> {
    let objects: Vec<K> = namespace.list("").await;
    objects.iter().map(|object| format!("{}/{}", K::kind(&()), object.name_any())).collect()
}
