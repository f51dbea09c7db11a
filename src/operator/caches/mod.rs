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

use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Api, ListParams};
use kube::core::{ObjectMeta, PartialObjectMeta};
use kube::runtime::reflector::Store;
use kube::{Client, Resource};
use tokio::sync::watch::error::RecvError;

use bounded::Bounded;
pub(super) use cache::Ticket;
pub use index::Index;
pub use kept::Kept;
pub use watched::Watched;

use crate::api::kind::{Visit, title};
use crate::api::{DaskCluster, Flow, FlowBackfill, FlowRun, Ours, labels};
use crate::plan::objects::cluster_of;
use crate::plan::run::Ground;

/// A kind that is watched and kept.
pub(super) trait Cached: Resource<DynamicType = ()> + Clone + 'static {
    /// Its cache.
    fn kept(stores: &Stores) -> &Kept<Self>;
}

macro_rules! stores {
    ($($(#[$doc:meta])* $field:ident: $kind:ty $(, by $($index:ident),+)?;)*) => {
        /// All caches.
        #[derive(Clone)]
        pub struct Stores {
            /// Where all of this is watched, and how far that is known.
            pub watched: Arc<Watched>,
            $($(#[$doc])* pub $field: Kept<$kind>,)*
            /// The same by other keys.
            pub by: Indexes,
        }

        impl Stores {
            /// What the kinds that are watched are called.
            pub(super) fn titles() -> Vec<String> {
                vec![$(title::<$kind>()),*]
            }

            /// Empty caches of what is in these namespaces; without one, of what is in all.
            pub fn new(namespaces: &[String]) -> Self {
                let by = Indexes::new();
                Self {
                    watched: Arc::new(Watched::new(namespaces, Self::titles().len())),
                    $($field: Kept::new(&[$($(&by.$index),+)?]),)*
                    by,
                }
            }

            /// Does what a visitor does with each kind that is watched.
            pub(super) fn each<V>(visitor: &mut V)
            where
                $(V: Visit<$kind>,)*
            {
                $(<V as Visit<$kind>>::visit(visitor);)*
            }
        }

        $(impl Cached for $kind {
            fn kept(stores: &Stores) -> &Kept<Self> {
                &stores.$field
            }
        })*
    };
}

// The kinds that are watched. Of those that are not ours only objects with our label are.
stores! {
    /// All `DaskCluster`s.
    clusters: DaskCluster, by clusters_by_run;
    /// All `Flow`s.
    flows: Flow, by flows_by_cluster;
    /// All `FlowRun`s.
    runs: FlowRun, by runs_by_flow, runs_by_cluster;
    /// All `FlowBackfill`s.
    backfills: FlowBackfill, by backfills_by_flow;
    /// Our Jobs.
    jobs: Job, by jobs_by_code, jobs_with_certificate;
    /// Our pods.
    pods: Pod, by pods_by_run, pods_by_flow, pods_by_cluster;
    /// Our Services.
    services: Service;
    /// Our NetworkPolicies.
    network_policies: NetworkPolicy;
    /// Our ConfigMaps, without their content.
    code: PartialObjectMeta<ConfigMap>, by code_by_flow;
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
            pods_by_cluster: Index::new(|pod| cluster_of(&pod.metadata).into_iter().collect()),
            code_by_flow: Index::new(|map| label(&map.metadata, labels::FLOW)),
        }
    }
}

/// What a label says, if it is there.
fn label<'a>(metadata: &'a ObjectMeta, label: &str) -> Vec<&'a str> {
    metadata.labels.iter().filter_map(|all| all.get(label)).map(String::as_str).collect()
}

impl Stores {
    /// Waits until each cache has been filled once. Namespaces in which rights are missing are not waited for
    /// while there are others.
    pub async fn wait_until_ready(&self) -> Result<(), RecvError> {
        self.watched.wait_until_ready().await
    }
}

/// What the API server lists now. An object that does not decode is as the cache knew it.
pub(super) async fn list_live<K: Ours>(
    client: &Client,
    namespace: &str,
    params: &ListParams,
    store: &Store<K>,
) -> Result<Vec<Arc<K>>, kube::Error> {
    let list = Api::<Bounded<K>>::namespaced(client.clone(), namespace).list(params).await?;
    Ok(list.items.into_iter().filter_map(|object| object.known(store)).collect())
}
