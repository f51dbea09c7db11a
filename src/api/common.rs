//! Pieces that more than one kind uses.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// When the kubelet pulls the image, as in a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PullPolicy {
    /// At every start of a container.
    Always,
    /// Only where the node does not have it.
    IfNotPresent,
    /// Never; the node must have it.
    Never,
}

impl PullPolicy {
    /// The word that a pod's `imagePullPolicy` takes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// Whether the `ENTRYPOINT` of the image runs: `tini`, one that activates an environment, or one that
/// installs `EXTRA_PIP_PACKAGES`. Default: `Python`, it does not; for a Flow as the cluster has it, where the
/// image is the cluster's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Entrypoint {
    /// The container's command is Python itself; the image's `ENTRYPOINT` does not run.
    Python,
    /// The image's `ENTRYPOINT` runs, and is given Python and its arguments: as `args` of the container.
    Image,
}

/// What the runner takes for a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CodeEngine {
    /// Whatever the script turns out to use.
    #[default]
    Auto,
    /// A Prefect flow must have run, and on the Dask cluster.
    Prefect,
    /// A plain Dask script.
    Dask,
}

impl CodeEngine {
    /// The word that the runner's environment takes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "Auto",
            Self::Prefect => "Prefect",
            Self::Dask => "Dask",
        }
    }
}

/// An amount of a resource: a number, or a text such as `500m` or `4Gi`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Amount {
    /// A whole number, of any size that YAML has: bytes of memory do not fit the 32 bits of Kubernetes' own
    /// type.
    Number(i64),
    /// A number with a suffix.
    Text(String),
}

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// Compute resources of a container. A quantity may be a number or a text, as in a pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Resources {
    /// The least that the container needs; the scheduler of Kubernetes reserves it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::quantities")]
    pub requests: BTreeMap<String, Amount>,
    /// The most that the container may use.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::quantities")]
    pub limits: BTreeMap<String, Amount>,
}

impl Resources {
    /// The same as a pod's container has it.
    pub fn to_requirements(&self) -> core::ResourceRequirements {
        core::ResourceRequirements {
            requests: quantities(&self.requests),
            limits: quantities(&self.limits),
            claims: None,
        }
    }
}

fn quantities(map: &BTreeMap<String, Amount>) -> Option<BTreeMap<String, Quantity>> {
    let entry = |(name, amount): (&String, &Amount)| (name.clone(), Quantity(amount.to_string()));
    (!map.is_empty()).then(|| map.iter().map(entry).collect())
}

/// A reference to an object of the same namespace by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct NameRef {
    /// The object's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// One key of a ConfigMap of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct ConfigMapKey {
    /// The ConfigMap's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key, a file name such as `flow.py`.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// Serde's `skip_serializing_if` for a switch that is off.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(crate) fn is_false(value: &bool) -> bool {
    !value
}
