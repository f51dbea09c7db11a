//! A cluster keeps what its spec says, whatever happens to its pods.

use daskflow::api::{DaskCluster, Flow, Phase};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::support::clock::{now, seconds};
use crate::support::figures::figure_seconds;
use crate::support::manifests::inline;
use crate::support::namespace::is_ready;
use crate::support::{Load, Namespace, dask_cluster, logs, poll, small_cluster, test, within};

#[tokio::test]
async fn deleted_worker_and_scheduler_come_back() {
    test("deleted_worker_and_scheduler_come_back", Load::Dask, async |namespace| {
        namespace.ready_cluster(dask_cluster("dask", &namespace.settings.dask, 2)).await;
        let before = worker_names(namespace).await;
        let victim = before[0].clone();
        delete_pod(namespace, &victim).await;
        let after = registered_workers(namespace, 2, |name| name != victim).await;
        assert!(after.contains(&before[1]), "the other worker was left alone: {before:?}, then {after:?}");

        let scheduler: Pod = namespace.get("dask-scheduler").await;
        delete_pod(namespace, "dask-scheduler").await;
        let wait = within(60, "there is another scheduler");
        let again = namespace.until("dask-scheduler", wait, |pod: &Pod| pod.uid() != scheduler.uid()).await;
        assert!(again.metadata.owner_references.is_some(), "it is the cluster's again");
        registered_workers(namespace, 2, |_| true).await;
        let wait = within(60, "the cluster is ready again");
        namespace.until("dask", wait, |cluster: &DaskCluster| is_ready(cluster)).await;

        namespace.create::<Flow>(inline("plain", include_str!("flows/where_dask.py"), "dask")).await;
        let run = namespace.start_run("plain").await;
        namespace.until_phase(&run, Phase::Succeeded, 120).await;
        crate::engines::assert_ran_on_workers(namespace, &run, "dask").await;
    })
    .await;
}

#[tokio::test]
async fn kubectl_scale_changes_registered_workers() {
    test("kubectl_scale_changes_registered_workers", Load::Dask, async |namespace| {
        namespace.ready_cluster(dask_cluster("dask", &namespace.settings.dask, 1)).await;
        for replicas in [3, 1, 0] {
            let scale = Patch::Merge(json!({"spec": {"replicas": replicas}}));
            namespace
                .api::<DaskCluster>()
                .patch_scale("dask", &PatchParams::default(), &scale)
                .await
                .unwrap();
            let wanted = usize::try_from(replicas).unwrap();
            registered_workers(namespace, wanted, |_| true).await;
            let wait = within(60, format!("the status counts {replicas} workers"));
            namespace
                .until("dask", wait, |cluster: &DaskCluster| {
                    is_ready(cluster)
                        && cluster.status.as_ref().is_some_and(|status| status.workers.ready == replicas)
                        && cluster.status.as_ref().is_some_and(|status| status.replicas == replicas)
                })
                .await;
            let seen = namespace.api::<DaskCluster>().get_scale("dask").await.unwrap();
            let status = seen.status.unwrap();
            assert_eq!(status.replicas, replicas, "what kubectl scale and autoscalers read");
            let chosen: Vec<Pod> = namespace.list(&status.selector.unwrap()).await;
            assert_eq!(chosen.len(), wanted, "the selector chooses the workers");
        }
    })
    .await;
}

#[tokio::test]
async fn deleted_service_comes_back() {
    test("deleted_service_comes_back", Load::Dask, async |namespace| {
        namespace.ready_cluster(small_cluster("dask", &namespace.settings.dask, 1)).await;
        let before: Service = namespace.get("dask-scheduler").await;
        namespace.api::<Service>().delete("dask-scheduler", &DeleteParams::default()).await.unwrap();
        let wait = within(30, "there is another Service");
        let after =
            namespace.until("dask-scheduler", wait, |service: &Service| service.uid() != before.uid()).await;
        let ports =
            |service: &Service| service.spec.as_ref().and_then(|spec| spec.ports.clone()).map(|it| it.len());
        assert_eq!(ports(&after), ports(&before));
        // A client finds the scheduler under its name again.
        let script = include_str!("flows/computing.py");
        let client = namespace.client("user", "dask", script, &[]).await;
        client.until_said("computing").await;
        client.tell().await;
        client.until_done(60).await;
    })
    .await;
}

#[tokio::test]
async fn killed_scheduler_is_replaced_and_runs_told() {
    test("killed_scheduler_is_replaced_and_runs_told", Load::Dask, async |namespace| {
        namespace.ready_cluster(small_cluster("dask", &namespace.settings.dask, 2)).await;
        namespace.create::<Flow>(inline("busy", include_str!("flows/busy_dask.py"), "dask")).await;
        let run = namespace.start_run("busy").await;
        namespace.until_phase(&run, Phase::Running, 90).await;
        poll(within(60, "the scheduler has tasks of the run"), async || {
            let tasks = namespace.counts("dask").await?["tasks"].clone();
            if tasks.as_u64() > Some(0) { Ok(()) } else { Err(format!("{tasks} tasks")) }
        })
        .await;
        let scheduler: Pod = namespace.get("dask-scheduler").await;
        let killed = now();
        delete_pod(namespace, "dask-scheduler").await;
        let status = namespace.until_ended(&run, 120).await;
        figure_seconds("killed_scheduler_to_run_told", seconds(killed, now()));
        let told = (status.phase, status.reason.as_deref(), status.attempt);
        assert_eq!(told, (Phase::Failed, Some("ClusterLost"), Some(1)), "{status:?}");

        let wait = within(60, "there is another scheduler");
        namespace.until("dask-scheduler", wait, |pod: &Pod| pod.uid() != scheduler.uid()).await;
        registered_workers(namespace, 2, |_| true).await;
        namespace.until_ready("dask", 2).await;
        figure_seconds("killed_scheduler_to_ready", seconds(killed, now()));
        let run = namespace.start_run("busy").await;
        namespace.until_phase(&run, Phase::Succeeded, 120).await;
    })
    .await;
}

async fn worker_names(namespace: &Namespace) -> Vec<String> {
    let pods: Vec<Pod> = namespace.list(&logs::workers_of("dask")).await;
    pods.iter().map(ResourceExt::name_any).collect()
}

/// Waits until there are so many worker pods, all of them wanted, and the scheduler itself counts as many.
async fn registered_workers(
    namespace: &Namespace,
    count: usize,
    wanted: impl Fn(&str) -> bool,
) -> Vec<String> {
    poll(within(120, format!("{count} workers are registered")), async || {
        let pods: Vec<Pod> =
            namespace.try_list(&logs::workers_of("dask")).await.map_err(|error| error.to_string())?;
        let names: Vec<_> = pods.iter().map(ResourceExt::name_any).collect();
        let registered = namespace.counts("dask").await?["workers"].clone();
        let all = names.len() == count && names.iter().all(|name| wanted(name)) && registered == json!(count);
        if all { Ok(names) } else { Err(format!("pods {names:?}, {registered} registered")) }
    })
    .await
}

pub async fn delete_pod(namespace: &Namespace, name: &str) {
    namespace.api::<Pod>().delete(name, &DeleteParams::default().grace_period(0)).await.unwrap();
}
