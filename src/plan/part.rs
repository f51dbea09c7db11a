//! Which steps of a plan stand or fall together.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::pods::state;
use super::pods::worker::group_of_pod;
use super::{Applied, Object, Step};
use crate::api::labels;

/// A part of what an object is made of. What the API server refuses for one part leaves the others as they
/// are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The scheduler's Service.
    Service,
    /// The network policy of a cluster.
    NetworkPolicy,
    /// The scheduler of a cluster.
    Scheduler,
    /// The workers of this group.
    Group(String),
    /// The certificates of a cluster.
    Certificates,
    /// One run of a Flow or of a FlowBackfill.
    Run(String),
}

impl Part {
    /// What it is called where its refusal is reported. None: the refusal says it all.
    pub fn title(&self) -> Option<String> {
        match self {
            Self::Service => Some("the scheduler's Service".to_owned()),
            Self::NetworkPolicy => Some("the NetworkPolicy".to_owned()),
            Self::Scheduler => Some("the scheduler".to_owned()),
            Self::Group(name) => Some(format!("the worker group {name}")),
            Self::Certificates | Self::Run(_) => None,
        }
    }
}

impl Step {
    /// The part that the step belongs to. None: the steps that follow depend on it.
    pub fn part(&self) -> Option<Part> {
        match self {
            Self::Apply(object) => Some(match object.as_ref() {
                Applied::Service(_) => Part::Service,
                Applied::NetworkPolicy(_) => Part::NetworkPolicy,
            }),
            Self::Try(pod) | Self::Replace { wanted: pod, .. } => of_pod(pod),
            Self::Create(object) => match object.as_ref() {
                Object::Pod(pod) => of_pod(pod),
                Object::Run(run) => Some(Part::Run(run.name_any())),
                _ => None,
            },
            Self::Issue(_) | Self::Request(_) | Self::Withdraw(_) | Self::Copy { .. } => {
                Some(Part::Certificates)
            }
            _ => None,
        }
    }

    /// Whether the step is in vain where this one was refused.
    pub fn needs(&self, refused: &Self) -> bool {
        let (own, other) = (self.part(), refused.part());
        // Workers without a scheduler would wait for one. One that is only not replaced is there.
        let has_none = other == Some(Part::Scheduler) && matches!(refused, Self::Create(_));
        own.is_some() && (own == other || (has_none && matches!(own, Some(Part::Group(_)))))
    }
}

/// The part of a cluster that a pod is. None: it is a runner's, and its Job comes next.
fn of_pod(pod: &Pod) -> Option<Part> {
    if state::is_component(pod, labels::SCHEDULER) {
        return Some(Part::Scheduler);
    }
    state::is_component(pod, labels::WORKER).then(|| Part::Group(group_of_pod(pod).to_owned()))
}
