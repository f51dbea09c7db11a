//! What users write: the kinds of `daskflow.dev/v1alpha1`, their schemas and their validation rules.
//!
//! Nothing in here decides or acts. A rule that the API server can check is a CEL rule with a message that
//! says what to write instead; what it cannot check is found by `plan` and reported in a condition.

pub mod common;
pub mod conditions;
pub mod count;
pub mod dask_cluster;
pub mod dask_kubernetes;
pub mod duration;
pub mod flow;
pub mod flow_backfill;
pub mod flow_run;
pub mod gateway;
pub mod interval;
pub mod kind;
pub mod labels;
pub mod network_policy;
pub mod object_name;
pub mod quantity;
pub mod run_policy;
pub mod schedule;
pub mod schema;
#[cfg(test)]
pub(crate) mod testing;
pub mod tls;
pub mod worker_group;

pub use common::{CodeEngine, PullPolicy, Resources};
pub use conditions::{ConditionType, Reason};
pub use dask_cluster::{DaskCluster, DaskClusterSpec, DaskClusterStatus};
pub use flow::{Flow, FlowSpec, FlowStatus};
pub use flow_backfill::{FlowBackfill, FlowBackfillSpec, FlowBackfillStatus};
pub use flow_run::{FlowRun, FlowRunSpec, FlowRunStatus, Phase};
pub use kind::{Kind, Ours};
pub use tls::Tls;
pub use worker_group::WorkersSpec;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSON};

/// The API group of all kinds.
pub const GROUP: &str = "daskflow.dev";
/// The one version of the API that is served and stored.
pub const VERSION: &str = "v1alpha1";

/// The custom resource definitions of all kinds, in the order in which they are to be installed.
pub fn crds() -> Vec<CustomResourceDefinition> {
    let mut crds = Kind::ALL.map(Kind::crd).to_vec();
    for crd in &mut crds {
        default_status(crd);
    }
    crds
}

/// Gives an object that no operator has seen a status that answers to no generation.
///
/// kstatus, which Flux and others wait with, takes an object without any status for one that is as it was
/// asked to be: a wait right after an apply would be over before the operator has looked. Flux's own kinds do
/// the same.
fn default_status(crd: &mut CustomResourceDefinition) {
    let schemas = crd.spec.versions.iter_mut().filter_map(|version| version.schema.as_mut());
    let properties = schemas.filter_map(|schema| schema.open_api_v3_schema.as_mut()?.properties.as_mut());
    for status in properties.filter_map(|properties| properties.get_mut("status")) {
        status.default = Some(JSON(serde_json::json!({"observedGeneration": UNSEEN})));
    }
}

/// The generation that the status of an object answers to before any operator has looked at it.
pub const UNSEEN: i64 = -1;

/// Whether an operator has looked at an object that answers to this generation.
pub fn is_seen(observed_generation: Option<i64>) -> bool {
    observed_generation.is_some_and(|generation| generation != UNSEEN)
}
