//! The two other ways to a cluster: one for each run, and one that somebody else runs.

use daskflow::api::{DaskCluster, Flow, FlowRun, Phase};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::support::{Load, Namespace, flow, logs, poll, test, within};

#[tokio::test]
async fn cluster_per_run_is_gone_afterwards() {
    test("cluster_per_run_is_gone_afterwards", Load::Dask, async |namespace| {
        let spec = json!({
            "code": {"inline": include_str!("flows/where_dask.py")},
            "cluster": {"template": {"image": namespace.settings.dask, "workers": {"replicas": 1, "threads": 2}}},
        });
        namespace.create::<Flow>(flow("own", spec)).await;
        let before: Vec<DaskCluster> = namespace.list("").await;
        assert!(before.is_empty(), "there is no cluster before there is a run");

        let run = namespace.start_run("own").await;
        let ours = namespace.until(&run, within(30, format!("FlowRun {run} has a cluster")), |run: &FlowRun| {
            run.status.as_ref().is_some_and(|status| status.cluster.is_some())
        });
        let cluster = ours.await.status.unwrap().cluster.unwrap();
        let made = namespace.until(&cluster, within(30, "the cluster exists"), |_: &DaskCluster| true).await;
        let owner = made.owner_references().first().map(|owner| (owner.kind.clone(), owner.name.clone()));
        assert_eq!(owner, Some(("FlowRun".to_owned(), run.clone())));
        let worker = worker_name(namespace, &cluster).await;

        namespace.until_phase(&run, Phase::Succeeded, 180).await;
        crate::engines::assert_ran_on(namespace, &run, &[worker]).await;
        namespace.until_gone::<DaskCluster>(&cluster, within(60, "the run's cluster is gone")).await;
        poll(within(90, "the cluster's pods and Service are gone"), async || {
            let pods: Vec<Pod> = of_cluster(namespace, &cluster).await?;
            let services: Vec<Service> = of_cluster(namespace, &cluster).await?;
            let left = pods.iter().map(ResourceExt::name_any).chain(services.iter().map(ResourceExt::name_any));
            let left: Vec<_> = left.collect();
            if left.is_empty() { Ok(()) } else { Err(left.join(", ")) }
        })
        .await;
        assert_eq!(namespace.list::<Job>("").await.len(), 1, "the Job stays, with the run's log");
        assert!(namespace.runner_log(&run).await.contains("ran on: "));
    })
    .await;
}

/// The scheduler's and the workers' objects; the runner's pod is the run's.
async fn of_cluster<K: crate::support::namespace::Kind>(
    namespace: &Namespace,
    cluster: &str,
) -> Result<Vec<K>, String> {
    let selector = format!("dask.org/cluster-name={cluster},dask.org/component!=runner");
    namespace.try_list(&selector).await.map_err(|error| error.to_string())
}

async fn worker_name(namespace: &Namespace, cluster: &str) -> String {
    poll(within(90, "the cluster has a worker pod"), async || {
        let pods: Vec<Pod> =
            namespace.try_list(&logs::workers_of(cluster)).await.map_err(|error| error.to_string())?;
        pods.first().map(ResourceExt::name_any).ok_or_else(|| "none".to_owned())
    })
    .await
}

#[tokio::test]
async fn address_of_a_foreign_cluster_works() {
    test("address_of_a_foreign_cluster_works", Load::Dask, async |namespace| {
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "foreign"},
            "spec": {"selector": {"app": "foreign-scheduler"}, "ports": [{"name": "comm", "port": 8786}]},
        });
        namespace.create::<Service>(service).await;
        let scheduler = ["python", "-m", "distributed.cli.dask_scheduler", "--port", "8786"];
        namespace.create::<Pod>(foreign_pod(namespace, "foreign-scheduler", &scheduler)).await;
        let worker = [
            "python",
            "-m",
            "distributed.cli.dask_worker",
            "tcp://foreign:8786",
            "--nthreads",
            "2",
            "--no-nanny",
        ];
        namespace.create::<Pod>(foreign_pod(namespace, "foreign-worker", &worker)).await;

        let address = format!("tcp://foreign.{}.svc:8786", namespace.name);
        let spec = json!({
            "image": namespace.settings.dask,
            "code": {"inline": include_str!("flows/where_dask.py")},
            "cluster": {"address": address},
        });
        namespace.create::<Flow>(flow("abroad", spec)).await;
        let run = namespace.start_run("abroad").await;
        let status = namespace.until_phase(&run, Phase::Succeeded, 180).await.status.unwrap();
        assert_eq!(status.cluster.as_ref(), Some(&address), "{status:?}");
        crate::engines::assert_ran_on(namespace, &run, &["foreign-worker".to_owned()]).await;
        assert!(namespace.list::<DaskCluster>("").await.is_empty(), "no cluster of ours was made");
    })
    .await;
}

fn foreign_pod(namespace: &Namespace, name: &str, command: &[&str]) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "enableServiceLinks": false,
            "containers": [{"name": "dask", "image": namespace.settings.dask, "command": command}],
        },
    })
}
