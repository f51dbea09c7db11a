//! What is kept in memory of all that is watched (`watch`).
//!
//! Where the operator watches some namespaces only, there is one cache of a kind for all of them.

pub(super) mod bounded;
mod cache;
pub(super) mod index;
mod kept;
#[cfg(test)]
mod tests;
mod watched;

use std::fmt::Debug;
use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Api, ListParams};
use kube::core::{ObjectMeta, PartialObjectMeta};
use kube::runtime::reflector::Store;
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch::error::RecvError;

use bounded::Bounded;
pub(super) use cache::Ticket;
pub use index::Index;
pub use kept::Kept;
pub use watched::Watched;

use crate::api::{DaskCluster, Flow, FlowBackfill, FlowRun, labels};
use crate::plan::run::Ground;

/// How many kinds are watched.
pub(super) const KINDS: usize = 9;

/// All caches.
#[derive(Clone)]
pub struct Stores {
    /// Where all of this is watched, and how far that is known.
    pub watched: Arc<Watched>,
    /// All `DaskCluster`s.
    pub clusters: Kept<DaskCluster>,
    /// All `Flow`s.
    pub flows: Kept<Flow>,
    /// All `FlowRun`s.
    pub runs: Kept<FlowRun>,
    /// All `FlowBackfill`s.
    pub backfills: Kept<FlowBackfill>,
    /// Our Jobs.
    pub jobs: Kept<Job>,
    /// Our pods.
    pub pods: Kept<Pod>,
    /// Our Services.
    pub services: Kept<Service>,
    /// Our NetworkPolicies.
    pub network_policies: Kept<NetworkPolicy>,
    /// Our ConfigMaps, without their content.
    pub code: Kept<PartialObjectMeta<ConfigMap>>,
    /// The same by other keys.
    pub by: Indexes,
}

/// What is looked up by something else than its name.
#[derive(Clone)]
pub struct Indexes {
    /// Clusters by the runs that have a place on them.
    pub clusters_by_run: Index<DaskCluster>,
    /// Flows by the cluster that they name.
    pub flows_by_cluster: Index<Flow>,
    /// Runs by their Flow, adopted or not.
    pub runs_by_flow: Index<FlowRun>,
    /// Runs by the cluster that they are on, or will be.
    pub runs_by_cluster: Index<FlowRun>,
    /// Backfills by their Flow.
    pub backfills_by_flow: Index<FlowBackfill>,
    /// Jobs by the ConfigMap that they mount.
    pub jobs_by_code: Index<Job>,
    /// Jobs that mount a Secret of a cluster, by no key.
    pub jobs_with_certificate: Index<Job>,
    /// Runners' pods by their run.
    pub pods_by_run: Index<Pod>,
    /// Runners' pods by their Flow.
    pub pods_by_flow: Index<Pod>,
    /// Pods by the cluster that they say they are part of.
    pub pods_by_cluster: Index<Pod>,
    /// Code by its Flow.
    pub code_by_flow: Index<PartialObjectMeta<ConfigMap>>,
}

impl Indexes {
    fn new() -> Self {
        Self {
            clusters_by_run: Index::new(|cluster| {
                let admitted = cluster.status.as_ref().map(|status| status.admitted.as_slice());
                admitted.unwrap_or_default().iter().map(String::as_str).collect()
            }),
            flows_by_cluster: Index::new(|flow| Ground::of(flow).shared().into_iter().collect()),
            runs_by_flow: Index::new(|run| vec![&run.spec.flow]),
            runs_by_cluster: Index::new(|run| {
                run.status.iter().filter_map(|status| status.cluster.as_deref()).collect()
            }),
            backfills_by_flow: Index::new(|backfill| vec![&backfill.spec.flow]),
            jobs_by_code: Index::new(|job| label(&job.metadata, labels::CODE)),
            jobs_with_certificate: Index::new(|job| {
                let annotations = job.metadata.annotations.as_ref();
                annotations
                    .filter(|all| all.contains_key(labels::CERTIFICATE))
                    .map(|_| "")
                    .into_iter()
                    .collect()
            }),
            pods_by_run: Index::new(|pod| label(&pod.metadata, labels::RUN)),
            pods_by_flow: Index::new(|pod| label(&pod.metadata, labels::FLOW)),
            pods_by_cluster: Index::new(|pod| label(&pod.metadata, labels::CLUSTER_NAME)),
            code_by_flow: Index::new(|map| label(&map.metadata, labels::FLOW)),
        }
    }
}

/// What a label says, if it is there.
fn label<'a>(metadata: &'a ObjectMeta, label: &str) -> Vec<&'a str> {
    metadata.labels.iter().filter_map(|all| all.get(label)).map(String::as_str).collect()
}

impl Stores {
    /// Empty caches of what is in these namespaces; without one, of what is in all.
    pub fn new(namespaces: &[String]) -> Self {
        let by = Indexes::new();
        Self {
            watched: Arc::new(Watched::new(namespaces, KINDS)),
            clusters: Kept::new(&[&by.clusters_by_run]),
            flows: Kept::new(&[&by.flows_by_cluster]),
            runs: Kept::new(&[&by.runs_by_flow, &by.runs_by_cluster]),
            backfills: Kept::new(&[&by.backfills_by_flow]),
            jobs: Kept::new(&[&by.jobs_by_code, &by.jobs_with_certificate]),
            pods: Kept::new(&[&by.pods_by_run, &by.pods_by_flow, &by.pods_by_cluster]),
            services: Kept::new(&[]),
            network_policies: Kept::new(&[]),
            code: Kept::new(&[&by.code_by_flow]),
            by,
        }
    }

    /// Waits until each cache has been filled once. Namespaces in which rights are missing are not waited for
    /// while there are others.
    pub async fn wait_until_ready(&self) -> Result<(), RecvError> {
        self.watched.wait_until_ready().await
    }
}

/// What the API server lists now. An object that does not decode is as the cache knew it.
pub(super) async fn list_live<K>(
    client: &Client,
    namespace: &str,
    params: &ListParams,
    store: &Store<K>,
) -> Result<Vec<Arc<K>>, kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + 'static,
{
    let list = Api::<Bounded<K>>::namespaced(client.clone(), namespace).list(params).await?;
    Ok(list.items.into_iter().filter_map(|object| object.known(store)).collect())
}
