//! The operator under test, as a user of the cluster sees it.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, LogParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::clock::{poll, within};
use super::figures::figure;

/// Where `manifests/install.yaml` puts the operator.
pub const NAMESPACE: &str = "daskflow-system";
/// Its Deployment.
pub const DEPLOYMENT: &str = "daskflow";
/// Its service account.
pub const ACCOUNT: &str = "daskflow";
/// Selects its pods.
pub const SELECTOR: &str = "app.kubernetes.io/name=daskflow,app.kubernetes.io/component=operator";

/// Fails unless the operator runs: no test may pass without it.
pub async fn must_run(client: &Client) {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    poll(within(60, format!("Deployment {DEPLOYMENT} in {NAMESPACE} is available")), async || {
        let status = deployments.get(DEPLOYMENT).await.map_err(|error| error.to_string())?.status;
        let available = status.and_then(|status| status.available_replicas).unwrap_or_default();
        if available > 0 { Ok(()) } else { Err(format!("{available} available replicas")) }
    })
    .await;
}

/// The pods of the operator.
pub async fn pods(client: &Client) -> Result<Vec<Pod>, kube::Error> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    Ok(pods.list(&ListParams::default().labels(SELECTOR)).await?.items)
}

/// The one pod of the operator that runs and is ready.
pub async fn ready_pod(client: &Client) -> Pod {
    poll(within(90, "one pod of the operator is ready"), async || {
        let pods = pods(client).await.map_err(|error| error.to_string())?;
        let seen: Vec<_> =
            pods.iter().map(|pod| format!("{}: ready {}", pod.name_any(), is_ready(pod))).collect();
        pods.into_iter().find(is_ready).ok_or_else(|| seen.join(", "))
    })
    .await
}

/// All that the operator has said since its pods started.
pub async fn log(client: &Client) -> String {
    let api: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let mut said = String::new();
    for pod in pods(client).await.unwrap() {
        said += &api.logs(&pod.name_any(), &LogParams::default()).await.unwrap();
    }
    said
}

/// Deletes a pod of the operator at once: SIGTERM, and SIGKILL right after it.
pub async fn delete_now(client: &Client, pod: &str) {
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    match pods.delete(pod, &DeleteParams::default().grace_period(0)).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        Err(error) => panic!("cannot delete the operator's pod {pod}: {error}"),
    }
}

/// Stops the operator, until the last of its pods is gone.
pub async fn stop(client: &Client) {
    scale(client, 0).await;
    poll(within(60, "the operator has stopped"), async || {
        let pods = pods(client).await.map_err(|error| error.to_string())?;
        if pods.is_empty() { Ok(()) } else { Err(format!("{} pods", pods.len())) }
    })
    .await;
}

/// Starts it again.
pub async fn start(client: &Client) {
    scale(client, 1).await;
    ready_pod(client).await;
}

async fn scale(client: &Client, replicas: i32) {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let scale = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    deployments.patch_scale(DEPLOYMENT, &PatchParams::default(), &scale).await.unwrap();
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    pod.metadata.deletion_timestamp.is_none()
        && conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Prints the memory that the operator uses now, as its kubelet measures it.
pub async fn print_memory(client: &Client) {
    for pod in pods(client).await.unwrap_or_default() {
        let Some(node) = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()) else { continue };
        let request =
            http::Request::get(format!("/api/v1/nodes/{node}/proxy/stats/summary")).body(Vec::new()).unwrap();
        let Ok(summary) = client.request::<Value>(request).await else { continue };
        let pods = summary["pods"].as_array().into_iter().flatten();
        let ours = pods.into_iter().find(|entry| entry["podRef"]["uid"].as_str() == pod.uid().as_deref());
        if let Some(bytes) = ours.and_then(|entry| entry["memory"]["workingSetBytes"].as_f64()) {
            figure("operator_memory", format!("{:.1}", bytes / 1e6), "MB");
        }
    }
}
