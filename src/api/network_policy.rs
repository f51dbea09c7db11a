//! Who may reach the pods of a cluster over the network.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::is_false;

/// Whether other pods are kept from a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicySpec {
    /// True: a NetworkPolicy lets only the cluster's own pods, the runners of its namespace and the operator (port 8786)
    /// reach it. The dashboard is closed to everybody else, and so is the scheduler to notebooks; a further
    /// NetworkPolicy of yours can let them in. Needs a network plugin that enforces policies.
    #[serde(default, skip_serializing_if = "is_false")]
    pub enabled: bool,
}
