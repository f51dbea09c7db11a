//! Objects of dask-kubernetes, `kubernetes.dask.org/v1`, as they are read.
//!
//! Pods and Services stay as they were written: they are read as pods and Services of our own release of
//! Kubernetes, which knows more fields than the release that their definitions were made for.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::remark::Notes;
pub(super) use crate::api::dask_kubernetes::{
    AutoscalerSpec, ClusterSpec, Extra, JobSpec, WorkerGroupSpec, WorkerSpec,
};
pub use crate::api::dask_kubernetes::{GROUP, VERSION};
use crate::api::kind::group_of;
use crate::plan::field::FieldPath;
use crate::plan::subset::first_unknown;

/// An object of theirs.
#[derive(Clone, Debug)]
pub(super) struct Object<S> {
    /// Its place among those that were given.
    pub at: usize,
    pub metadata: ObjectMeta,
    pub spec: S,
    /// As a cluster printed it; null in a file.
    pub status: Value,
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
    let metadata: ObjectMeta = notes.or_refused("metadata", &part("metadata"))?;
    let given = part("spec");
    let spec: S = notes.or_refused("spec", &given)?;
    let understood = serde_json::to_value(&spec).unwrap_or_default();
    for path in unknown(given, &understood) {
        let message = "dask-kubernetes has no such field, and Kubernetes drops it; left out";
        notes.changed(&format!("spec.{path}"), "", message);
    }
    Some(Object { at, metadata, spec, status: object.get("status").cloned().unwrap_or_default() })
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
