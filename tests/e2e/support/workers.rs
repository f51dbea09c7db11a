//! The workers of a cluster: as pods, as its scheduler counts them, and as its status tells.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use daskflow::api::{ConditionType, DaskCluster, DaskClusterStatus, Reason, labels};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::clock::{poll, within};
use super::logs::workers_of;
use super::manifests::dask_cluster;
use super::namespace::Namespace;
use super::timeline::Timeline;

/// A `DaskCluster` of small workers that start quickly: one thread, no nanny.
pub fn small_cluster(name: &str, image: &str, replicas: i32) -> Value {
    let mut cluster = dask_cluster(name, image, 0);
    cluster["spec"]["workers"] =
        json!({"replicas": replicas, "threads": 1, "memory": "400Mi", "nanny": false});
    cluster
}

/// A pod template whose pods no node takes.
pub fn nowhere() -> Value {
    json!({"spec": {"nodeSelector": {"daskflow.dev/e2e": "nowhere"}}})
}

/// What tells pods apart.
pub fn uids(pods: &[Pod]) -> BTreeSet<String> {
    pods.iter().filter_map(ResourceExt::uid).collect()
}

/// Whether a pod is a worker that is there to stay.
pub fn is_worker(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.labels().get(labels::COMPONENT).is_some_and(|component| component == labels::WORKER)
        && pod.metadata.deletion_timestamp.is_none()
        && !matches!(phase, Some("Succeeded" | "Failed"))
}

/// Whether a pod belongs to this group of workers.
pub fn is_of_group(pod: &Pod, group: &str) -> bool {
    pod.labels().get(labels::WORKER_GROUP).is_some_and(|label| label == group)
}

/// The most pods that were workers at the same time.
pub fn most_workers(pods: &Timeline<Pod>, which: impl Fn(&Pod) -> bool) -> usize {
    pods.read(|seen| {
        let (mut there, mut most) = (BTreeSet::new(), 0);
        for version in seen.iter().filter(|version| which(&version.object)) {
            let name = version.object.name_any();
            if is_worker(&version.object) && !version.gone {
                there.insert(name);
            } else {
                there.remove(&name);
            }
            most = most.max(there.len());
        }
        most
    })
}

/// Whether a condition gives this reason, with all these words.
fn says(status: Option<&DaskClusterStatus>, reason: Reason, words: &[&str]) -> bool {
    status.iter().flat_map(|status| &status.conditions).any(|condition| {
        condition.reason == reason.as_str() && words.iter().all(|word| condition.message.contains(word))
    })
}

/// A cluster's condition of this type.
pub fn condition(status: &DaskClusterStatus, kind: ConditionType) -> &Condition {
    let found = status.conditions.iter().find(|condition| condition.type_ == kind.as_str());
    found.unwrap_or_else(|| panic!("no condition {}: {status:?}", kind.as_str()))
}

impl Namespace {
    /// What `kubectl scale` does.
    pub async fn scale(&self, cluster: &str, replicas: i32) {
        let scale = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        self.api::<DaskCluster>().patch_scale(cluster, &PatchParams::default(), &scale).await.unwrap();
    }

    /// The worker pods of a cluster that are there to stay.
    pub async fn workers(&self, cluster: &str) -> Result<Vec<Pod>, String> {
        let pods = self.try_list::<Pod>(&workers_of(cluster)).await.map_err(|error| error.to_string())?;
        Ok(pods.into_iter().filter(is_worker).collect())
    }

    /// Waits until a cluster has so many worker pods, and its scheduler counts as many.
    pub async fn until_workers(&self, cluster: &str, count: usize) -> Vec<Pod> {
        self.until_workers_within(cluster, count..=count).await
    }

    /// The same, where it is for Kubernetes to say how many of these.
    pub async fn until_workers_within(&self, cluster: &str, counts: RangeInclusive<usize>) -> Vec<Pod> {
        poll(within(150, format!("{cluster} has {counts:?} workers")), async || {
            let pods = self.workers(cluster).await?;
            let registered = self.counts(cluster).await?["workers"].clone();
            if counts.contains(&pods.len()) && registered == json!(pods.len()) {
                return Ok(pods);
            }
            let names: Vec<_> = pods.iter().map(ResourceExt::name_any).collect();
            Err(format!("pods {names:?}, {registered} registered"))
        })
        .await
    }

    /// Waits until a cluster's status gives this reason in a condition, with all these words.
    pub async fn until_cluster_says(
        &self,
        cluster: &str,
        reason: Reason,
        words: &[&str],
    ) -> DaskClusterStatus {
        let wait = within(90, format!("{cluster} says {} with {words:?}", reason.as_str()));
        let says = |cluster: &DaskCluster| says(cluster.status.as_ref(), reason, words);
        self.until(cluster, wait, says).await.status.unwrap()
    }

    /// The same, once its status counts so many workers as ready: what is counted may follow what is said.
    pub async fn until_cluster_counts(&self, cluster: &str, ready: i32, reason: Reason, words: &[&str]) {
        let what = format!("{cluster} says {} with {words:?} and has {ready} workers", reason.as_str());
        let says = |cluster: &DaskCluster| {
            let status = cluster.status.as_ref();
            status.is_some_and(|status| status.workers.ready == ready) && says(status, reason, words)
        };
        self.until(cluster, within(90, what), says).await;
    }

    /// Waits until a cluster answers to its spec, is ready, and counts so many workers.
    pub async fn until_ready(&self, cluster: &str, workers: i32) -> DaskCluster {
        let wait = within(180, format!("{cluster} is ready with {workers} workers"));
        self.until(cluster, wait, |cluster: &DaskCluster| {
            let counted = cluster.status.as_ref().map(|status| status.workers.ready);
            super::namespace::is_ready(cluster) && counted == Some(workers)
        })
        .await
    }
}
