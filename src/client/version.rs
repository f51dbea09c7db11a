//! Which version of the operator works in a cluster.

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::cluster::Cluster;
use super::error::Error;
use crate::api::labels;

/// The label with the version, which the chart writes.
const VERSION: &str = "app.kubernetes.io/version";

/// The versions of the operators that run, each once, as their pods say.
///
/// # Errors
/// Pods of all namespaces may not be listed, or the request failed.
pub async fn operators(cluster: &Cluster) -> Result<Vec<String>, Error> {
    let pods: Api<Pod> = Api::all(cluster.client.clone());
    let selector =
        format!("{}={},{}={}", labels::APP_NAME, labels::APP, labels::APP_COMPONENT, labels::OPERATOR);
    let listed = pods.list(&ListParams::default().labels(&selector)).await;
    let listed = listed.map_err(|error| Error::of(error, "list pods in all namespaces"))?;
    let version = |pod: &Pod| {
        let label = pod.labels().get(VERSION).cloned();
        let image = || pod.spec.as_ref()?.containers.first()?.image.clone();
        label.or_else(image).unwrap_or_else(|| "unknown".to_owned())
    };
    let mut versions: Vec<String> = listed.items.iter().map(version).collect();
    versions.sort();
    versions.dedup();
    Ok(versions)
}

/// The version of the API server.
///
/// # Errors
/// The request failed.
pub async fn api_server(cluster: &Cluster) -> Result<String, Error> {
    let info = cluster.client.apiserver_version().await;
    info.map(|info| info.git_version).map_err(|error| Error::of(error, "read the version of the API server"))
}
