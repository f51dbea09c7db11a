//! The operator under test, as a user of the cluster sees it.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, LogParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::clock::{poll, within};
use super::figures::{figure, say};
use super::namespace::Kind;

/// Where `manifests/install.yaml` puts the operator.
pub const NAMESPACE: &str = "daskflow-system";
/// Its Deployment.
pub const DEPLOYMENT: &str = "daskflow";
/// The Lease whose holder works.
pub const LEASE: &str = "daskflow";
/// Its service account.
pub const ACCOUNT: &str = "daskflow";
/// Selects its pods.
pub const SELECTOR: &str = "app.kubernetes.io/name=daskflow,app.kubernetes.io/component=operator";

/// The objects of a kind beside the operator.
pub fn api<K: Kind>(client: &Client) -> Api<K> {
    Api::namespaced(client.clone(), NAMESPACE)
}

/// Fails unless the operator runs and one of its pods leads: no test may pass without it.
pub async fn must_run(client: &Client) {
    poll(within(60, format!("Deployment {DEPLOYMENT} in {NAMESPACE} is available")), async || {
        let status =
            api::<Deployment>(client).get(DEPLOYMENT).await.map_err(|error| error.to_string())?.status;
        let available = status.and_then(|status| status.available_replicas).unwrap_or_default();
        if available > 0 { Ok(()) } else { Err(format!("{available} available replicas")) }
    })
    .await;
    ready_pod(client).await;
}

/// The pods of the operator.
pub async fn pods(client: &Client) -> Result<Vec<Pod>, kube::Error> {
    Ok(api::<Pod>(client).list(&ListParams::default().labels(SELECTOR)).await?.items)
}

/// The pod of the operator that leads and is ready. If there are several, the others wait to.
pub async fn ready_pod(client: &Client) -> Pod {
    poll(within(90, "a pod of the operator leads and is ready"), async || {
        let pods = pods(client).await.map_err(|error| error.to_string())?;
        let lease = api::<Lease>(client).get(LEASE).await.map_err(|error| error.to_string())?;
        let holder = lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default();
        let seen: Vec<_> =
            pods.iter().map(|pod| format!("{}: ready {}", pod.name_any(), is_ready(pod))).collect();
        let leads = |pod: &Pod| identity(pod) == holder && is_ready(pod);
        pods.into_iter().find(leads).ok_or_else(|| format!("held by {holder:?}; {}", seen.join(", ")))
    })
    .await
}

/// What a pod of the operator is called in the Lease.
pub fn identity(pod: &Pod) -> String {
    format!("{}_{}", pod.name_any(), pod.uid().unwrap_or_default())
}

/// Waits until so many pods of the operator are ready, and no other is there.
pub async fn until_ready(client: &Client, count: usize) {
    poll(within(120, format!("{count} pods of the operator are ready")), async || {
        let pods = pods(client).await.map_err(|error| error.to_string())?;
        let ready = pods.iter().filter(|pod| is_ready(pod)).count();
        if ready == count && pods.len() == count { Ok(()) } else { Err(format!("{ready} of {}", pods.len())) }
    })
    .await;
}

/// All that the operator has said since its pods started.
pub async fn log(client: &Client) -> String {
    let api = api::<Pod>(client);
    let mut said = String::new();
    for pod in pods(client).await.unwrap() {
        said += &api.logs(&pod.name_any(), &LogParams::default()).await.unwrap();
    }
    said
}

/// Deletes a pod of the operator at once: SIGTERM, and SIGKILL right after it.
pub async fn delete_now(client: &Client, pod: &str) {
    match api::<Pod>(client).delete(pod, &DeleteParams::default().grace_period(0)).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        Err(error) => panic!("cannot delete the operator's pod {pod}: {error}"),
    }
}

/// Stops the operator, until the last of its pods is gone.
pub async fn stop(client: &Client) {
    scale(client, 0).await;
}

/// Starts it again.
pub async fn start(client: &Client) {
    scale(client, 1).await;
}

/// Runs so many replicas; waits until they are ready and, if there are any, one of them leads.
pub async fn scale(client: &Client, replicas: usize) {
    let scale = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    api::<Deployment>(client).patch_scale(DEPLOYMENT, &PatchParams::default(), &scale).await.unwrap();
    until_ready(client, replicas).await;
    if replicas > 0 {
        ready_pod(client).await;
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    pod.metadata.deletion_timestamp.is_none()
        && conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Prints the memory that the operator uses now, as its kubelet measures it: every ten seconds or so, so that of a pod
/// which has just started it tells nothing yet, or 0.
pub async fn print_memory(client: &Client) {
    let pod = ready_pod(client).await;
    // On a cluster of somebody else's it may not be ours to ask.
    if let Err(why) = memory(client, &pod).await {
        return say(&format!("the operator's memory is not known: {why}"));
    }
    let bytes = poll(within(60, "the kubelet has measured the operator"), async || {
        memory(client, &pod).await?.filter(|bytes| *bytes > 0.0).ok_or_else(|| "not yet".to_owned())
    })
    .await;
    figure("operator_memory", format!("{:.1}", bytes / 1e6), "MB");
}

async fn memory(client: &Client, pod: &Pod) -> Result<Option<f64>, String> {
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).ok_or("the pod has no node")?;
    let request =
        http::Request::get(format!("/api/v1/nodes/{node}/proxy/stats/summary")).body(Vec::new()).unwrap();
    let summary = client.request::<Value>(request).await.map_err(|error| error.to_string())?;
    let mut pods = summary["pods"].as_array().into_iter().flatten();
    let ours = pods.find(|entry| entry["podRef"]["uid"].as_str() == pod.uid().as_deref());
    Ok(ours.and_then(|entry| entry["memory"]["workingSetBytes"].as_f64()))
}
