//! Pod templates: scheduler, worker and runner; what the user's template overrides; what a pod's state means.

pub mod container;
pub mod ends;
pub mod merge;
pub mod mounts;
pub mod program;
pub mod quantity;
pub mod runner;
pub mod scheduler;
pub mod script;
pub mod state;
pub mod worker;
pub mod written;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use serde::Serialize;

use crate::api::common::Entrypoint;
use crate::api::{DaskCluster, DaskClusterSpec, dask_kubernetes, labels};

pub use super::objects::{common_labels, content_hash, controller_ref};
pub use super::violation::Violation;

/// What shapes the pods of a cluster beside what all releases of the operator had: nothing of it is in a hash
/// where it is not written, so that a new release replaces no pod.
#[derive(Serialize)]
struct Further<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    python: Option<&'a String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entrypoint: Option<Entrypoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod_defaults: Option<&'a serde_json::Value>,
}

/// The hash of the shape of a pod of this cluster.
fn shape_hash(
    spec: &DaskClusterSpec,
    shape: &impl Serialize,
    certificate: Option<&mounts::Certificate>,
) -> String {
    let further = Further {
        python: spec.python.as_ref(),
        entrypoint: spec.entrypoint,
        pod_defaults: spec.pod_defaults.as_ref(),
    };
    let is_plain = further.python.is_none() && further.entrypoint.is_none() && further.pod_defaults.is_none();
    match certificate {
        Some(certificate) if is_plain => content_hash(&(shape, &certificate.secret)),
        None if is_plain => content_hash(shape),
        certificate => content_hash(&(shape, certificate.map(|one| &one.secret), further)),
    }
}

/// Puts the restart policy back after the user's template was merged: with another one a retired worker would
/// come back, and a runner run twice.
pub fn keep_restart_policy(template: &mut PodTemplateSpec, container: &str, policy: &str) {
    let Some(spec) = &mut template.spec else { return };
    spec.restart_policy = Some(policy.to_owned());
    // A container may have one of its own, which counts before the pod's.
    for own in spec.containers.iter_mut().filter(|own| own.name == container) {
        (own.restart_policy, own.restart_policy_rules) = (None, None);
    }
}

/// Whether a cluster is made for one of dask-kubernetes, and follows it.
pub fn is_of_theirs(cluster: &DaskCluster) -> bool {
    dask_kubernetes::leader(cluster).is_some()
}

/// Adds the labels and annotations that a cluster of dask-kubernetes gives to its pods, as far as the pod has
/// none of the name. They are not a part of the spec, as pods that are there keep what they have.
fn add_metadata_of_theirs(cluster: &DaskCluster, metadata: &mut ObjectMeta) {
    let written = cluster.annotations().get(labels::POD_METADATA).filter(|_| is_of_theirs(cluster));
    let given = written.and_then(|written| serde_json::from_str::<ObjectMeta>(written).ok());
    let given = given.unwrap_or_default();
    for (there, given) in
        [(&mut metadata.labels, given.labels), (&mut metadata.annotations, given.annotations)]
    {
        for (key, value) in given.into_iter().flatten() {
            there.get_or_insert_default().entry(key).or_insert(value);
        }
    }
}

/// A pod of this cluster, from its template.
pub fn of_cluster(cluster: &DaskCluster, name: String, template: PodTemplateSpec) -> Pod {
    let mut metadata = template.metadata.unwrap_or_default();
    add_metadata_of_theirs(cluster, &mut metadata);
    Pod {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: cluster.namespace(),
            owner_references: controller_ref(cluster).map(|owner| vec![owner]),
            labels: metadata.labels,
            annotations: metadata.annotations,
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    }
}

/// Labels and annotations added to the template's own, with ours on top: they are how pods are found.
pub fn label(template: &mut PodTemplateSpec, ours: BTreeMap<String, String>) {
    let metadata = template.metadata.get_or_insert_default();
    metadata.labels.get_or_insert_default().extend(ours);
}
