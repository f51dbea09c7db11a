//! What is told of a cluster.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::groups::Group;
use super::{Observed, SchedulerView, Work, admission};
use crate::api::dask_cluster::{GroupStatus, IdleAction, WorkerCounts};
use crate::api::{ConditionType, DaskClusterStatus, Reason, labels};
use crate::plan::conditions::{Conditions, Progress};
use crate::plan::pods::worker::DEFAULT_GROUP;
use crate::plan::pods::{self, Violation, scheduler, state};

/// Whether a part of the cluster is as wanted, and why not.
struct Part {
    ready: bool,
    reason: Reason,
    message: String,
}

impl Part {
    fn ready() -> Self {
        Self { ready: true, reason: Reason::Ready, message: String::new() }
    }

    fn waiting(reason: Reason, message: impl Into<String>) -> Self {
        Self { ready: false, reason, message: message.into() }
    }
}

/// The status of a cluster as observed and planned.
pub(super) fn status(work: &Work<'_>, violation: Option<&Violation>) -> DaskClusterStatus {
    let (cluster, observed) = (work.cluster, work.observed);
    let (name, namespace) = (cluster.name_any(), cluster.namespace().unwrap_or_default());
    let groups: Vec<GroupStatus> = work.groups.iter().map(|group| group_status(work, group)).collect();
    let sum = |count: fn(&GroupStatus) -> i32| groups.iter().map(count).fold(0, i32::saturating_add);
    let workers = WorkerCounts { desired: sum(|group| group.desired), ready: sum(|group| group.ready) };
    let mut conditions = Conditions::new(work.conditions(), cluster.metadata.generation, work.now);
    let scheduler = scheduler_part(work);
    let workers_part = workers_part(work, &scheduler, &workers);
    for (kind, part) in
        [(ConditionType::SchedulerReady, &scheduler), (ConditionType::WorkersReady, &workers_part)]
    {
        conditions.set(kind, part.ready, part.reason, part.message.clone());
    }
    summarise(&mut conditions, work, &workers, (violation, &scheduler, &workers_part));
    let replicas = work.groups.iter().find(|group| group.name == DEFAULT_GROUP).map_or(0, Group::alive);
    DaskClusterStatus {
        observed_generation: cluster.metadata.generation,
        scheduler_address: Some(pods::scheduler_address(&namespace, &name)),
        dashboard_address: Some(pods::dashboard_address(&namespace, &name)),
        workers,
        groups,
        idle: work.rest.status.clone(),
        replicas: to_i32(replicas),
        selector: Some(selector(&name)),
        admitted: admission::plan(cluster, observed),
        conditions: conditions.finish(),
    }
}

/// Selects the workers of the group behind the scale subresource.
fn selector(cluster: &str) -> String {
    let labels = [
        (labels::CLUSTER_NAME, cluster),
        (labels::COMPONENT, labels::WORKER),
        (labels::WORKER_GROUP, DEFAULT_GROUP),
    ];
    labels.map(|(key, value)| format!("{key}={value}")).join(",")
}

fn group_status(work: &Work<'_>, group: &Group<'_>) -> GroupStatus {
    let none = BTreeSet::new();
    let registered = work.observed.scheduler.registered().unwrap_or(&none);
    let desired = if work.is_suspended() { 0 } else { group.wanted };
    GroupStatus {
        name: group.name.to_owned(),
        desired: to_i32(desired),
        ready: to_i32(group.registered(registered)),
    }
}

/// `Ready` is the first thing that is not as it should be, and `Reconciling` or `Stalled` says who must act.
fn summarise(
    conditions: &mut Conditions<'_>,
    work: &Work<'_>,
    counts: &WorkerCounts,
    (violation, scheduler, workers): (Option<&Violation>, &Part, &Part),
) {
    if work.is_suspended() {
        return suspended(conditions, work);
    }
    conditions.set(ConditionType::Suspended, false, Reason::Ready, "");
    if let Some(violation) = violation {
        conditions.set_progress(Progress::Stalled, violation.reason, &violation.message);
        conditions.set(ConditionType::Ready, false, violation.reason, violation.message.clone());
        return;
    }
    let first = [scheduler, workers].into_iter().find(|part| !part.ready);
    match first.map(|part| (part.reason, part.message.clone())).or_else(|| unfinished(work, counts)) {
        Some((reason, message)) => conditions.set_progress(Progress::UnderWay, reason, &message),
        None => conditions.set_progress(Progress::Done, Reason::Ready, ""),
    }
    // A cluster that is being renewed, grows or has a worker too many serves all the same.
    match first {
        Some(part) => conditions.set(ConditionType::Ready, false, part.reason, part.message.clone()),
        None if work.rest.action == Some(IdleAction::ScaleToZero) => {
            let message = "nobody uses the cluster: a run, a task or a new client brings its workers back";
            conditions.set(ConditionType::Ready, true, Reason::Idle, message);
        }
        None => conditions.set(ConditionType::Ready, true, Reason::Ready, ""),
    }
}

fn suspended(conditions: &mut Conditions<'_>, work: &Work<'_>) {
    let gone = work.observed.pods.is_empty();
    let by_user = work.cluster.spec.suspend;
    let reason = if by_user { Reason::Suspended } else { Reason::Idle };
    let message = match (gone, by_user) {
        (false, _) => "its pods are going",
        (true, true) => "no pods run",
        (true, false) => "nobody uses the cluster: a run or a change of the spec brings it back",
    };
    let progress = if gone { Progress::Done } else { Progress::UnderWay };
    conditions.set_progress(progress, Reason::Suspending, message);
    conditions.set(ConditionType::Suspended, gone, reason, message);
    conditions.set(ConditionType::Ready, false, reason, message);
}

/// What still goes on in a cluster that serves.
fn unfinished(work: &Work<'_>, counts: &WorkerCounts) -> Option<(Reason, String)> {
    if let Some(held) = &work.held {
        return Some(held.clone());
    }
    let none = BTreeSet::new();
    let registered = work.observed.scheduler.registered().unwrap_or(&none);
    if work.groups.iter().any(|group| group.registered(registered) < group.wanted) {
        return Some(starting(work, counts));
    }
    if let Some(outdated) = &work.outdated {
        // What keeps a new worker from starting keeps the rollout from going on.
        let obstacle =
            work.groups.iter().flat_map(|group| &group.current).find_map(|pod| state::obstacle(pod));
        return Some(match obstacle {
            Some((reason, message)) => (reason, format!("{outdated}; {message}")),
            None => (Reason::Outdated, outdated.clone()),
        });
    }
    let leaving = work.groups.iter().map(|group| group.alive().saturating_sub(group.wanted)).sum::<usize>();
    (leaving > 0).then(|| (Reason::Progressing, format!("{leaving} workers are to leave")))
}

fn scheduler_part(work: &Work<'_>) -> Part {
    let observed = work.observed;
    if work.is_suspended() {
        return Part::waiting(Reason::Suspended, "the cluster is suspended");
    }
    if observed.scheduler.registered().is_some() {
        return Part::ready();
    }
    let Some(pod) = pods_of(observed, labels::SCHEDULER).next() else {
        return Part::waiting(Reason::SchedulerStarting, "the scheduler's pod is being created");
    };
    if let Some((reason, message)) = state::obstacle(pod) {
        return Part::waiting(reason, message);
    }
    match &observed.scheduler {
        SchedulerView::Unreachable(message) if state::runs(pod, scheduler::CONTAINER) => {
            Part::waiting(Reason::SchedulerUnreachable, message.clone())
        }
        _ => Part::waiting(Reason::SchedulerStarting, "the scheduler's container is starting"),
    }
}

/// All workers that must be there are, in each group.
fn workers_part(work: &Work<'_>, scheduler: &Part, counts: &WorkerCounts) -> Part {
    if work.is_suspended() {
        return Part::waiting(Reason::Suspended, "the cluster is suspended");
    }
    if !scheduler.ready {
        return Part::waiting(
            scheduler.reason,
            "workers are counted by the scheduler, which does not answer yet",
        );
    }
    let Some(registered) = work.observed.scheduler.registered() else { return Part::ready() };
    if work.groups.iter().all(|group| group.registered(registered) >= group.needed) {
        return Part::ready();
    }
    let (reason, message) = starting(work, counts);
    Part::waiting(reason, message)
}

/// How many workers there are, and what keeps the others from starting.
fn starting(work: &Work<'_>, counts: &WorkerCounts) -> (Reason, String) {
    // What is leaving says nothing of what is to come.
    let coming = work.groups.iter().filter(|group| group.wanted > 0);
    let mut coming = coming.flat_map(|group| group.current.iter().chain(&group.finished));
    let obstacle = coming.find_map(|pod| state::obstacle(pod).or_else(|| state::end(pod)));
    let summary = format!("{} of {} workers are registered", counts.ready, counts.desired);
    match obstacle {
        Some((reason, message)) => (reason, format!("{summary}; {message}")),
        None => (Reason::WorkersStarting, summary),
    }
}

fn pods_of<'a>(observed: &'a Observed, component: &'a str) -> impl Iterator<Item = &'a Pod> {
    observed.pods.iter().map(AsRef::as_ref).filter(move |pod| state::is_component(pod, component))
}

fn to_i32(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
