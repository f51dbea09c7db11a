//! Pieces that more than one kind uses.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
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

/// What "it ran" means to the runner.
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

/// Compute resources of a container. A quantity may be a number or a text, as in a pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Resources {
    /// The least that the container needs; the scheduler of Kubernetes reserves it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::quantities")]
    pub requests: BTreeMap<String, IntOrString>,
    /// The most that the container may use.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::quantities")]
    pub limits: BTreeMap<String, IntOrString>,
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

fn quantities(map: &BTreeMap<String, IntOrString>) -> Option<BTreeMap<String, Quantity>> {
    let quantity = |value: &IntOrString| match value {
        IntOrString::Int(number) => Quantity(number.to_string()),
        IntOrString::String(text) => Quantity(text.clone()),
    };
    (!map.is_empty()).then(|| map.iter().map(|(name, value)| (name.clone(), quantity(value))).collect())
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
