//! What is shown: the objects of a namespace, or all that belongs to one object.

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::cluster::Cluster;
use super::error::Error;
use super::find::Found;
use crate::api::{FlowRun, Ours, labels};
use crate::plan::run::Ground;
use crate::view::objects::Objects;

/// Which objects are read.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Those of all namespaces.
    pub everywhere: bool,
    /// Those with these labels, as `kubectl get --selector` has it; empty for all.
    pub selector: String,
}

impl Scope {
    fn api<K>(&self, cluster: &Cluster) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        if self.everywhere { Api::all(cluster.client.clone()) } else { cluster.api() }
    }

    fn place(&self, cluster: &Cluster) -> String {
        if self.everywhere {
            "all namespaces".to_owned()
        } else {
            format!("the namespace {}", cluster.namespace)
        }
    }
}

/// The objects of our kinds.
///
/// # Errors
/// A request failed.
pub async fn all(cluster: &Cluster, scope: &Scope) -> Result<Objects, Error> {
    Ok(Objects {
        flows: list(cluster, scope).await?,
        runs: list(cluster, scope).await?,
        clusters: list(cluster, scope).await?,
        backfills: list(cluster, scope).await?,
        ..Objects::default()
    })
}

/// The runs with these labels.
///
/// # Errors
/// A request failed.
pub async fn runs(cluster: &Cluster, selector: &str) -> Result<Vec<FlowRun>, Error> {
    list(cluster, &Scope { everywhere: false, selector: selector.to_owned() }).await
}

async fn list<K: Ours>(cluster: &Cluster, scope: &Scope) -> Result<Vec<K>, Error> {
    let wanted = ListParams::default().labels(&scope.selector);
    let listed = scope.api::<K>(cluster).list(&wanted).await;
    let action = format!("list {} in {}", K::plural(&()), scope.place(cluster));
    listed.map(|listed| listed.items).map_err(|error| of_list(error, &action))
}

/// What a failed list means. No name is asked for, so that what is not there is the kind.
fn of_list(error: kube::Error, action: &str) -> Error {
    match error {
        kube::Error::Api(status) if status.code == 404 => Error::NotInstalled,
        other => Error::of(other, action),
    }
}

/// The runs of a Flow.
///
/// # Errors
/// The request failed.
pub async fn runs_of(cluster: &Cluster, flow: &str) -> Result<Vec<FlowRun>, Error> {
    let api: Api<FlowRun> = cluster.api();
    let listed = api.list(&ListParams::default().fields(&format!("spec.flow={flow}"))).await;
    let action = format!("list flowruns in the namespace {}", cluster.namespace);
    listed.map(|listed| listed.items).map_err(|error| of_list(error, &action))
}

/// An object with all that belongs to it, and sentences about what could not be read of it.
///
/// # Errors
/// A request for objects of our kinds failed; without pods and events there is enough to show.
pub async fn around(cluster: &Cluster, found: &Found) -> Result<(Objects, Vec<String>), Error> {
    let mut objects = all(cluster, &Scope::default()).await?;
    let mut notes = Vec::new();
    let selector = match found {
        Found::Run(run) => Some(format!("{}={}", labels::RUN, run.name_any())),
        Found::Cluster(of) => Some(format!("{}={}", labels::CLUSTER_NAME, of.name_any())),
        Found::Flow(_) | Found::Backfill(_) => None,
    };
    if let Some(selector) = selector {
        let wanted = ListParams::default().labels(&selector);
        objects.pods = lenient::<Pod>(cluster, &wanted, &mut notes).await;
    }
    let wanted = ListParams::default().fields(&format!("involvedObject.name={}", found.name()));
    objects.events = lenient::<Event>(cluster, &wanted, &mut notes).await;
    if let Found::Flow(flow) = found {
        // Of the cluster that its runs wait for.
        if let Some(name) = Ground::of(flow).shared() {
            objects.clusters.retain(|cluster| cluster.name_any() == name);
        }
    }
    Ok((objects, notes))
}

/// A list that is left out, with a note, where it may not be read.
pub(super) async fn lenient<K>(cluster: &Cluster, wanted: &ListParams, notes: &mut Vec<String>) -> Vec<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = cluster.api();
    match api.list(wanted).await {
        Ok(listed) => listed.items,
        Err(error) => {
            let action = format!("list {} in the namespace {}", K::plural(&()), cluster.namespace);
            notes.push(format!("without {}: {}", K::plural(&()), Error::of(error, &action)));
            Vec::new()
        }
    }
}
