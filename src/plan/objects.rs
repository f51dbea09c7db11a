//! What all objects of ours have in common.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;
use serde::Serialize;

use super::names;
use crate::api::labels;

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

/// Eight hexadecimal digits for the content of anything that can be written as JSON.
pub fn content_hash(content: &impl Serialize) -> String {
    let text = serde_json::to_string(content).unwrap_or_default();
    names::short_hash(&text, 8)
}
