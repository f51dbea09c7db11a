//! The two other ways to a cluster: one for each run, and one that somebody else runs.

use daskflow::api::{DaskCluster, Flow, FlowRun, Phase};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::support::manifests::abroad;
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
        foreign_scheduler(namespace, "foreign", None).await;
        foreign_worker(namespace, "foreign", None).await;
        let address = format!("tcp://foreign.{}.svc:8786", namespace.name);
        let script = include_str!("flows/where_dask.py");
        let cluster = json!({"address": address});
        namespace.create::<Flow>(abroad("abroad", script, &namespace.settings.dask, &cluster)).await;
        let run = namespace.start_run("abroad").await;
        let status = namespace.until_phase(&run, Phase::Succeeded, 180).await.status.unwrap();
        assert_eq!(status.cluster.as_ref(), Some(&address), "{status:?}");
        crate::engines::assert_ran_on(namespace, &run, &["foreign-worker".to_owned()]).await;
        assert!(namespace.list::<DaskCluster>("").await.is_empty(), "no cluster of ours was made");
    })
    .await;
}

/// Starts a scheduler that is nobody's, with a Service of its name. With a Secret it speaks TLS alone.
pub async fn foreign_scheduler(namespace: &Namespace, name: &str, secret: Option<&str>) {
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"selector": {"app": format!("{name}-scheduler")}, "ports": [{"name": "comm", "port": 8786}]},
    });
    namespace.create::<Service>(service).await;
    let mut command = vec!["distributed.cli.dask_scheduler", "--port", "8786"];
    if secret.is_some() {
        command.extend(["--protocol", "tls"]);
    }
    namespace.create::<Pod>(foreign_pod(namespace, &format!("{name}-scheduler"), &command, secret)).await;
}

/// Starts a worker of such a scheduler.
pub async fn foreign_worker(namespace: &Namespace, name: &str, secret: Option<&str>) {
    let address = format!("{}://{name}:8786", if secret.is_some() { "tls" } else { "tcp" });
    let mut command = vec!["distributed.cli.dask_worker", &address, "--nthreads", "2", "--no-nanny"];
    if secret.is_some() {
        command.extend(["--protocol", "tls"]);
    }
    namespace.create::<Pod>(foreign_pod(namespace, &format!("{name}-worker"), &command, secret)).await;
}

/// A pod of a Dask process. The Secret's certificate is its own authority.
fn foreign_pod(namespace: &Namespace, name: &str, module: &[&str], secret: Option<&str>) -> Value {
    let mut command = vec!["python", "-m"];
    command.extend(module);
    if secret.is_some() {
        command.extend(["--tls-ca-file", "/tls/tls.crt", "--tls-cert", "/tls/tls.crt"]);
        command.extend(["--tls-key", "/tls/tls.key"]);
    }
    let mut container = json!({"name": "dask", "image": namespace.settings.dask, "command": command});
    let mut spec = json!({"terminationGracePeriodSeconds": 1, "enableServiceLinks": false});
    if let Some(secret) = secret {
        container["volumeMounts"] = json!([{"name": "tls", "mountPath": "/tls"}]);
        spec["volumes"] = json!([{"name": "tls", "secret": {"secretName": secret}}]);
    }
    spec["containers"] = json!([container]);
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec,
    })
}
