//! The kinds of dask-kubernetes, `kubernetes.dask.org/v1`, as far as its documentation describes them.
//!
//! Pods and Services stay as they were written: they are read as pods and Services of our own release of
//! Kubernetes, which knows more fields than the release that their definitions were made for.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::remark::Notes;
use crate::api::kind::group_of;
use crate::plan::field::FieldPath;
use crate::plan::subset::first_unknown;

/// The API group of their kinds.
pub const GROUP: &str = "kubernetes.dask.org";
/// Its one version.
pub const VERSION: &str = "v1";

/// `DaskCluster`: a scheduler, and a group of workers called `default`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterSpec {
    /// Seconds after which an idle cluster is deleted. 0: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<i64>,
    /// The scheduler.
    #[serde(default)]
    pub scheduler: SchedulerSpec,
    /// The workers of the default group.
    #[serde(default)]
    pub worker: WorkerSpec,
}

/// The scheduler of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct SchedulerSpec {
    /// Labels and annotations of its Deployment, pod and Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Extra>,
    /// Its pod.
    #[serde(default)]
    pub spec: Value,
    /// Its Service.
    #[serde(default)]
    pub service: Value,
}

/// A group of workers.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct WorkerSpec {
    /// Labels and annotations of their Deployments and pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Extra>,
    /// How many there are. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i64>,
    /// Their pod.
    #[serde(default)]
    pub spec: Value,
}

/// Labels and annotations that are added to those of the object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Extra {
    /// Labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// `DaskWorkerGroup`: further workers of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct WorkerGroupSpec {
    /// The name of the cluster, in the same namespace.
    #[serde(default)]
    pub cluster: String,
    /// The workers.
    #[serde(default)]
    pub worker: WorkerSpec,
}

/// `DaskAutoscaler`: scales the default group of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct AutoscalerSpec {
    /// The name of the cluster, in the same namespace.
    #[serde(default)]
    pub cluster: String,
    /// The fewest workers.
    pub minimum: u32,
    /// The most workers.
    pub maximum: u32,
}

/// `DaskJob`: a pod, and a cluster for it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct JobSpec {
    /// The pod.
    #[serde(default)]
    pub job: JobPod,
    /// The cluster.
    #[serde(default)]
    pub cluster: JobCluster,
}

/// The pod of a job.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct JobPod {
    /// Its labels and annotations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Extra>,
    /// Its spec.
    #[serde(default)]
    pub spec: Value,
}

/// The cluster of a job.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct JobCluster {
    /// What its documentation shows and its definition does not have, so that the API server drops it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Extra>,
    /// The spec of a `DaskCluster`.
    #[serde(default)]
    pub spec: ClusterSpec,
}

/// An object of theirs.
#[derive(Clone, Debug)]
pub(super) struct Object<S> {
    /// Its place among those that were given.
    pub at: usize,
    pub metadata: ObjectMeta,
    pub spec: S,
}

impl<S> Object<S> {
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().or(self.metadata.generate_name.as_deref()).unwrap_or_default()
    }

    /// The name of an owner of theirs of this kind.
    pub fn owner(&self, kind: &str) -> Option<&str> {
        let mut owners = self.metadata.owner_references.iter().flatten();
        let owner = owners.find(|owner| group_of(owner) == GROUP && owner.kind.as_str() == kind);
        owner.map(|owner| owner.name.as_str())
    }

    /// Whether the object is in the same namespace as another one, as far as both say.
    pub fn is_beside<T>(&self, other: &Object<T>) -> bool {
        self.metadata.namespace == other.metadata.namespace
    }
}

/// Reads an object. What it has besides what is documented is left out, with a remark: their API server drops
/// it too.
pub(super) fn read<S: DeserializeOwned + Serialize>(
    (at, object): (usize, &Value),
    notes: &mut Notes,
) -> Option<Object<S>> {
    let part = |name: &str| object.get(name).cloned().unwrap_or_else(|| json!({}));
    let metadata = serde_json::from_value(part("metadata"));
    let metadata: ObjectMeta = notes.or_refused("metadata", metadata)?;
    let given = part("spec");
    let spec: S = notes.or_refused("spec", serde_json::from_value(given.clone()))?;
    let understood = serde_json::to_value(&spec).unwrap_or_default();
    for path in unknown(given, &understood) {
        let message = "dask-kubernetes has no such field, and Kubernetes drops it; left out";
        notes.changed(&format!("spec.{path}"), "", message);
    }
    Some(Object { at, metadata, spec })
}

/// The paths of all that is in `given` and was not understood.
pub(super) fn unknown(mut given: Value, understood: &Value) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(path) = first_unknown(&given, understood) {
        let is_removed = FieldPath::find(&path, &given).remove(&mut given);
        found.push(path);
        // One that cannot be taken out would be found for ever.
        if !is_removed {
            break;
        }
    }
    found
}
