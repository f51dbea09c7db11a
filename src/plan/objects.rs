//! What all objects of ours have in common.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;
use serde::Serialize;

use super::names;
use crate::api::kind::group_of;
use crate::api::{Kind, labels};

/// The labels that every object of ours has.
pub fn common_labels(instance: &str, component: &str) -> BTreeMap<String, String> {
    [
        (labels::APP_NAME, labels::APP),
        (labels::APP_INSTANCE, instance),
        (labels::APP_COMPONENT, component),
        (labels::APP_MANAGED_BY, labels::APP),
        (labels::APP_PART_OF, labels::APP),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

/// A reference that makes `owner` the controller of an object in its namespace. None for an object that the
/// API server has not seen.
pub fn controller_ref<K: Resource<DynamicType = ()>>(owner: &K) -> Option<OwnerReference> {
    owner.controller_owner_ref(&())
}

/// The cluster whose label an object has. dask-kubernetes labels what belongs to its own clusters by the same
/// word, so what has owners has one of ours among them, or it is not ours.
pub fn cluster_of(metadata: &ObjectMeta) -> Option<&str> {
    let owners = metadata.owner_references.as_deref().unwrap_or_default();
    let is_ours = owners.is_empty() || owners.iter().any(|owner| Kind::of_owner(owner).is_some());
    let name = metadata.labels.as_ref()?.get(labels::CLUSTER_NAME)?;
    is_ours.then_some(name)
}

/// Whether both are owners of one kind and name, be they the same object or one that came after the other.
pub fn has_same_name(one: &OwnerReference, other: &OwnerReference) -> bool {
    let is_of_group = group_of(one) == group_of(other);
    is_of_group && one.kind == other.kind && one.name == other.name
}

/// Eight hexadecimal digits for the content of anything that can be written as JSON.
pub fn content_hash(content: &impl Serialize) -> String {
    let text = serde_json::to_string(content).unwrap_or_default();
    names::short_hash(&text, 8)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    /// In the first case somebody has taken the owners away; the second is one of ours; the third is owned by
    /// a cluster of dask-kubernetes, and the fourth by what its Deployments make.
    #[rstest]
    #[case(&[], Some("demo"))]
    #[case(&[("daskflow.dev/v1alpha1", "DaskCluster")], Some("demo"))]
    #[case(&[("kubernetes.dask.org/v1", "DaskCluster")], None)]
    #[case(&[("apps/v1", "ReplicaSet")], None)]
    fn the_label_of_a_cluster_counts_on_what_is_ours(
        #[case] owners: &[(&str, &str)],
        #[case] cluster: Option<&str>,
    ) {
        let owner = |(api_version, kind): &(&str, &str)| json!({"apiVersion": api_version, "kind": kind, "name": "demo", "uid": "u"});
        let owners: Vec<_> = owners.iter().map(owner).collect();
        let metadata = json!({"labels": {labels::CLUSTER_NAME: "demo"}, "ownerReferences": owners});
        assert_eq!(cluster_of(&serde_json::from_value(metadata).unwrap()), cluster);
    }
}
