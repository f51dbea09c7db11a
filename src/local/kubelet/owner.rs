//! Whose pod it is: the `Flow` or `DaskCluster` that a person wrote, and what is to be known of it.

use std::fmt;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::Value;

use super::events;
use super::status::NOT_HERE;
use crate::api::{DaskCluster, Flow, labels};
use crate::plan::pods::state::label;

/// What a pod belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A Flow, by its namespace and name.
    Flow(String, String),
    /// A `DaskCluster`.
    Cluster(String, String),
    /// None: a pod by itself.
    Pod(String),
}

impl Owner {
    /// Of a pod.
    pub fn of(pod: &Pod) -> Self {
        let namespace = pod.namespace().unwrap_or_default();
        if let Some(flow) = label(pod, labels::FLOW) {
            Self::Flow(namespace, flow.to_owned())
        } else if let Some(cluster) = label(pod, labels::CLUSTER_NAME) {
            Self::Cluster(namespace, cluster.to_owned())
        } else {
            Self::Pod(pod.name_any())
        }
    }

    /// Writes an event that says what of its pods' templates is ignored: where `kubectl describe` shows it.
    ///
    /// It has a name of its own, so a second pod with the same writes no second one. Statuses are the
    /// operator's, which writes them as a whole: a condition that another one adds would not stay.
    pub async fn note_ignored(&self, client: &Client, what: &str, now: Timestamp) {
        let found = match self {
            Self::Flow(namespace, name) => reference::<Flow>(client, namespace, name).await,
            Self::Cluster(namespace, name) => reference::<DaskCluster>(client, namespace, name).await,
            Self::Pod(_) => None,
        };
        let Some(object) = found else { return };
        let message = format!("ignored on this machine: {what}");
        events::write(client, &object, ("Warning", NOT_HERE, &message), (what, now)).await;
    }
}

/// How an event names an object, if it is there.
async fn reference<K>(client: &Client, namespace: &str, name: &str) -> Option<Value>
where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + fmt::Debug
        + serde::de::DeserializeOwned,
{
    let object: K = Api::namespaced(client.clone(), namespace).get(name).await.ok()?;
    events::reference(&object)
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flow(_, name) => write!(f, "the Flow {name}"),
            Self::Cluster(_, name) => write!(f, "the DaskCluster {name}"),
            Self::Pod(name) => write!(f, "the pod {name}"),
        }
    }
}
