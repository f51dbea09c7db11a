//! A plan under construction, and what all parts of it ask.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::group::Group;
use super::idle::Rest;
use super::observed::Observed;
use crate::api::dask_cluster::IdleAction;
use crate::api::{DaskCluster, DaskClusterStatus, Reason};
use crate::plan::certificates::decision::Decision;
use crate::plan::pods::mounts::Certificate;
use crate::plan::{Next, Note, Step, Wants};

/// A plan under construction.
#[allow(clippy::struct_excessive_bools, reason = "each is said by another part of the plan")]
pub(crate) struct Work<'a> {
    pub(super) cluster: &'a DaskCluster,
    pub(super) observed: &'a Observed,
    pub(super) now: Timestamp,
    pub(super) rest: Rest,
    pub(super) tls: Decision,
    pub(super) groups: Vec<Group<'a>>,
    pub(super) steps: Vec<Step>,
    pub(super) notes: Vec<Note>,
    /// The pods that the steps create.
    pub(super) created: Created,
    pub(super) next: Next,
    /// What it rests on, whatever its steps are.
    pub(super) wants: Wants,
    /// Why workers that should go cannot, or a size cannot be told.
    pub(super) held: Option<(Reason, String)>,
    /// Whether that is worth a warning: the scheduler was asked to let them go, and did not.
    pub(super) warns: bool,
    /// The scheduler does not let workers go.
    pub(super) keeps_workers: bool,
    /// Why something waits to be replaced.
    pub(super) outdated: Option<String>,
    /// No run is to start any more: the scheduler is about to be replaced.
    pub(super) closes: bool,
}

/// Pods that are created.
#[derive(Debug, Default)]
pub(super) struct Created {
    /// The scheduler's, and as what.
    pub(super) scheduler: Option<Reason>,
    /// How many of each group.
    pub(super) workers: Vec<(String, usize)>,
}

impl Created {
    /// One event for all of them.
    pub(super) fn news(&self) -> Option<Note> {
        let scheduler = self.scheduler.map(|reason| {
            let done = if reason == Reason::SchedulerReplaced { "recreated" } else { "created" };
            (reason, format!("the scheduler's pod is {done}"))
        });
        let of_group = |(group, count): &(String, usize)| format!("{count} of the group {group}");
        let groups: Vec<String> = self.workers.iter().map(of_group).collect();
        let workers = (!groups.is_empty())
            .then(|| (Reason::WorkersCreated, format!("worker pods are created: {}", groups.join(", "))));
        let (reason, message) = match (scheduler, workers) {
            (Some((reason, scheduler)), Some((_, workers))) => (reason, format!("{scheduler}; {workers}")),
            (scheduler, workers) => scheduler.or(workers)?,
        };
        Some(Note::normal(reason, message).after_steps())
    }
}

impl<'a> Work<'a> {
    /// Whether no pod is to run.
    pub(super) fn is_suspended(&self) -> bool {
        self.cluster.spec.suspend || self.rest.action == Some(IdleAction::Suspend)
    }

    /// Whether the worker in this pod and the scheduler trust the same authorities.
    pub(super) fn is_understood(&self, pod: &Pod) -> bool {
        let trust = |certificate: &Certificate| certificate.trust.clone();
        Certificate::of(pod).as_ref().map(trust) == self.tls.serving.as_ref().map(trust)
    }

    /// Notes why something stays that should go; the first reason stands.
    pub(super) fn hold(&mut self, reason: Reason, message: String) {
        self.keeps_workers |= reason == Reason::WorkersHeld;
        self.held.get_or_insert((reason, message));
    }

    /// The status that was written last.
    pub(super) fn status(&self) -> Option<&'a DaskClusterStatus> {
        self.cluster.status.as_ref()
    }

    /// The conditions that were written last.
    pub(super) fn conditions(&self) -> &'a [Condition] {
        self.status().map(|status| status.conditions.as_slice()).unwrap_or_default()
    }
}
