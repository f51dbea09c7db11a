//! Clusters with TLS: what runs on them, who is kept from them, and certificates that change or are no good.

mod bad_secrets;
mod cert_manager;
mod foreign;
mod refused;
mod rotation;
mod runs;
mod scaling;
mod switch;

use daskflow::api::{ConditionType, DaskCluster, DaskClusterStatus, Flow, Phase};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::certificates::Pair;
use crate::support::manifests::{inline, secret, with};
use crate::support::workers::condition;
use crate::support::{Namespace, small_cluster, within};

const CONNECTION: &str = include_str!("../flows/connection.py");
/// The Flow that [`told_of_the_connection`] runs.
const TELLER: &str = "connection";

/// The cluster `dask` of small workers, with certificates of this issuer.
fn secured(namespace: &Namespace, workers: i32, issuer: &Value) -> Value {
    with(small_cluster("dask", &namespace.settings.dask, workers), json!({"tls": issuer}))
}

/// A certificate in a Secret, of whoever issued it.
fn secret_of(name: &str, pair: &Pair, ca: &str) -> Value {
    secret(name, &[("ca.crt", ca), ("tls.crt", &pair.certificate), ("tls.key", &pair.key)])
}

/// Makes the Flow of which each run says how the processes of a cluster are reached.
async fn make_teller(namespace: &Namespace, cluster: &str) {
    namespace.create::<Flow>(inline(TELLER, CONNECTION, cluster)).await;
}

/// What a run of it says, which must succeed.
async fn told_of_the_connection(namespace: &Namespace) -> Value {
    let run = namespace.start_run(TELLER).await;
    namespace.until_phase(&run, Phase::Succeeded, 180).await;
    let log = namespace.runner_log(&run).await;
    let said = log.lines().find_map(|line| line.strip_prefix("connection: "));
    serde_json::from_str(said.unwrap_or_else(|| panic!("{run}: {log}"))).unwrap()
}

/// All of a cluster is reached in this way: scheduler and workers.
fn assert_scheme(said: &Value, scheme: &str) {
    let workers = said["workers"].as_object().unwrap().keys().map(String::as_str);
    let addresses: Vec<_> = workers.chain(said["scheduler"].as_str()).collect();
    assert!(addresses.len() > 1, "{said}");
    assert!(addresses.iter().all(|address| address.starts_with(scheme)), "not {scheme}: {said}");
}

/// Waits until a cluster is ready with so many workers, and all of its pods have the newest certificate, of
/// which this is true.
async fn until_secured(
    namespace: &Namespace,
    workers: i32,
    is_it: impl Fn(&DaskClusterStatus) -> bool,
) -> DaskClusterStatus {
    let wait = within(180, format!("the cluster has the wanted certificate and {workers} workers"));
    let cluster = namespace.until("dask", wait, |cluster: &DaskCluster| {
        let Some(status) = &cluster.status else { return false };
        crate::support::namespace::is_ready(cluster)
            && status.workers.ready == workers
            && is_it(status)
            && condition(status, ConditionType::CertificatesReady).status == "True"
    });
    let status = cluster.await.status.unwrap();
    let address = status.scheduler_address.as_deref().unwrap_or_default();
    assert!(address.starts_with("tls://"), "{status:?}");
    status
}

/// The Secret that the status tells clients to take.
fn secret_name(status: &DaskClusterStatus) -> String {
    status.tls.as_ref().and_then(|tls| tls.secret_name.clone()).unwrap_or_default()
}

/// The copies of certificates that there are, by name.
async fn copies(namespace: &Namespace) -> Vec<String> {
    let secrets: Vec<Secret> = namespace.list("").await;
    secrets.iter().map(ResourceExt::name_any).filter(|name| name.starts_with("dask-tls-")).collect()
}
