//! Objects of dask-kubernetes on `daskflow local --dask-kubernetes`, with real Dask: a job to its end, and a
//! cluster that is idle.

use std::time::Instant;

use daskflow::plan::compat::adapter::TheirKind;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DynamicObject, LogParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

use super::{Local, PATIENCE, python_with};
use crate::program;

/// What the job runs.
const SCRIPT: &str = "\
from distributed import Client
client = Client()
print('total', client.submit(sum, range(1, 101)).result(timeout=60))
";

fn theirs(client: &Client, kind: TheirKind) -> Api<DynamicObject> {
    Api::default_namespaced_with(client.clone(), &kind.resource())
}

async fn create(client: &Client, kind: TheirKind, name: &str, spec: &Value) {
    let object = json!({
        "apiVersion": "kubernetes.dask.org/v1", "kind": kind.as_str(), "metadata": {"name": name}, "spec": spec,
    });
    let object = serde_json::from_value(object).unwrap();
    theirs(client, kind).create(&PostParams::default(), &object).await.unwrap();
}

/// The object, when it is so; null: it is not there.
#[allow(clippy::disallowed_methods, reason = "these names are those of this file")]
async fn until_is(
    api: &Api<DynamicObject>,
    name: &str,
    local: &Local,
    holds: impl Fn(&Value) -> bool,
) -> Value {
    let begun = Instant::now();
    loop {
        let object = serde_json::to_value(api.get_opt(name).await.unwrap()).unwrap();
        if holds(&object) {
            return object;
        }
        assert!(begun.elapsed() < PATIENCE, "{object:#}\n{}", local.text());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// A cluster of this name.
fn cluster(name: &str) -> Value {
    let pod =
        |role: &str, args: Value| json!({"containers": [{"name": role, "image": "any:1", "args": args}]});
    json!({
        "worker": {"replicas": 1, "spec": pod("worker", json!(["dask", "worker", "--name", "$(DASK_WORKER_NAME)"]))},
        "scheduler": {"spec": pod("scheduler", json!(["dask", "scheduler"])), "service": {
            "selector": {"dask.org/cluster-name": name, "dask.org/component": "scheduler"},
            "ports": [{"name": "tcp-comm", "port": 8786}, {"name": "http-dashboard", "port": 8787}],
        }},
    })
}

#[tokio::test]
async fn a_job_and_an_idle_cluster_of_dask_kubernetes_come_to_their_ends() {
    let Some(python) = python_with("2026.8.0") else { return };
    let folder = program::folder("local_dask_kubernetes", &[]);
    let arguments = ["--dask-kubernetes", "--kubeconfig", "kubeconfig", "--plain"];
    let mut local = Local::start_in(&folder, "local_dask_kubernetes", &python, &arguments);
    local.says("kubectl --kubeconfig ", 1);
    let kubeconfig = Kubeconfig::read_from(folder.join("kubeconfig")).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    let client = Client::try_from(config).unwrap();
    let job = json!({"spec": {"restartPolicy": "Never", "containers": [
        {"name": "job", "image": "any:1", "command": ["python", "-c", SCRIPT]},
    ]}});
    create(&client, TheirKind::Job, "sums", &json!({"job": job, "cluster": {"spec": cluster("sums")}})).await;
    let mut idle = cluster("idle");
    idle["idleTimeout"] = json!(1);
    create(&client, TheirKind::Cluster, "idle", &idle).await;
    let (jobs, clusters) = (theirs(&client, TheirKind::Job), theirs(&client, TheirKind::Cluster));
    let has_ended = |job: &Value| {
        let status = &job["status"]["jobStatus"];
        status == "Successful" || status == "Failed"
    };
    let job = until_is(&jobs, "sums", &local, has_ended).await;
    let pods: Api<Pod> = Api::default_namespaced(client);
    let log = pods.logs("sums-runner", &LogParams::default()).await.unwrap();
    let ended = (&job["status"]["jobStatus"], log.as_str());
    assert_eq!(ended, (&json!("Successful"), "total 5050\n"), "{}", local.text());
    for name in ["sums", "idle"] {
        until_is(&clusters, name, &local, Value::is_null).await;
    }
    local.signal("INT");
    assert_eq!(local.code(PATIENCE), Some(0), "{}", local.text());
    local.leaves_nothing(PATIENCE);
}
