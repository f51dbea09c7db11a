//! For the tests: a kind of dask-kubernetes whose word is one of ours.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// As much of its spec as the tests need.
#[derive(CustomResource, Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[kube(group = "kubernetes.dask.org", version = "v1", kind = "DaskCluster", namespaced)]
pub struct DaskClusterSpec {}
