//! What the statuses of all kinds have in common.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{DaskClusterStatus, FlowBackfillStatus, FlowRunStatus, FlowStatus};

/// A status with conditions.
pub trait Conditioned {
    /// The conditions that were written last.
    fn conditions(&self) -> &[Condition];
}

macro_rules! conditioned {
    ($($status:ty),+) => {$(
        impl Conditioned for $status {
            fn conditions(&self) -> &[Condition] {
                &self.conditions
            }
        }
    )+};
}

conditioned!(DaskClusterStatus, FlowStatus, FlowRunStatus, FlowBackfillStatus);
