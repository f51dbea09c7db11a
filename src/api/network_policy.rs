//! Who may reach the pods of a cluster over the network.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::is_false;

/// Whether a NetworkPolicy restricts which pods may reach a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicySpec {
    /// True: a NetworkPolicy lets only the cluster's own pods, the runners of its namespace and the operator
    /// (port 8786) reach it. All other pods are refused, at the dashboard too, and notebooks at the
    /// scheduler; a further NetworkPolicy of yours can let them in. Needs a network plugin that enforces
    /// policies.
    #[serde(default, skip_serializing_if = "is_false")]
    pub enabled: bool,
}
