//! A pod that is to go.

use k8s_openapi::api::core::v1::Pod;

use crate::plan::pods::state;
use crate::plan::{Step, Victim, VictimKind};

/// Deletes exactly this pod.
pub(crate) fn delete(pod: &Pod) -> Step {
    Step::Delete(victim(pod))
}

/// Exactly this pod.
pub(crate) fn victim(pod: &Pod) -> Victim {
    Victim { kind: VictimKind::Pod, name: state::name(pod).to_owned(), uid: pod.metadata.uid.clone() }
}
