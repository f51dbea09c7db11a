//! What is told of a cluster.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::{Observed, SchedulerView, Work, admission};
use crate::api::dask_cluster::WorkerCounts;
use crate::api::{ConditionType, DaskCluster, DaskClusterStatus, Reason, labels};
use crate::plan::conditions::{Conditions, Progress};
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

/// The status of a cluster as observed.
pub(super) fn status(
    cluster: &DaskCluster,
    observed: &Observed,
    work: &Work<'_>,
    violation: Option<&Violation>,
    now: Timestamp,
) -> DaskClusterStatus {
    let (name, namespace) = (cluster.name_any(), cluster.namespace().unwrap_or_default());
    let old = cluster.status.clone().unwrap_or_default();
    let desired = if cluster.spec.suspend { 0 } else { cluster.spec.workers.fixed_size() };
    let worker_pods: Vec<&Pod> = pods_of(observed, labels::WORKER).collect();
    let ready = observed.scheduler.registered().map_or(0, |registered| {
        worker_pods.iter().filter(|pod| registered.contains(state::name(pod))).count()
    });
    let counts = WorkerCounts { desired: to_i32(desired), ready: to_i32(ready) };
    let mut conditions = Conditions::new(&old.conditions, cluster.metadata.generation, now);
    let scheduler = scheduler_part(cluster, observed);
    let workers = workers_part(observed, &scheduler, &counts);
    conditions.set(
        ConditionType::SchedulerReady,
        scheduler.ready,
        scheduler.reason,
        scheduler.message.clone(),
    );
    conditions.set(ConditionType::WorkersReady, workers.ready, workers.reason, workers.message.clone());
    summarise(&mut conditions, cluster, observed, work, (violation, &scheduler, &workers));
    let selector = scheduler::component_labels(&name, labels::WORKER);
    let selector = [labels::CLUSTER_NAME, labels::COMPONENT]
        .map(|key| format!("{key}={}", selector.get(key).map_or("", String::as_str)));
    DaskClusterStatus {
        observed_generation: cluster.metadata.generation,
        scheduler_address: Some(pods::scheduler_address(&namespace, &name)),
        dashboard_address: Some(pods::dashboard_address(&namespace, &name)),
        workers: counts,
        replicas: to_i32(worker_pods.iter().filter(|pod| state::life(pod) == state::PodLife::Alive).count()),
        selector: Some(selector.join(",")),
        groups: Vec::new(),
        idle: None,
        admitted: admission::plan(cluster, observed),
        conditions: conditions.finish(),
    }
}

/// `Ready` is the first thing that is not as it should be, and `Reconciling` or `Stalled` says who must act.
fn summarise(
    conditions: &mut Conditions<'_>,
    cluster: &DaskCluster,
    observed: &Observed,
    work: &Work<'_>,
    (violation, scheduler, workers): (Option<&Violation>, &Part, &Part),
) {
    if cluster.spec.suspend {
        let gone = observed.pods.is_empty();
        let message = if gone { "no pods run" } else { "its pods are going" };
        let progress = if gone { Progress::Done } else { Progress::UnderWay };
        conditions.set_progress(progress, Reason::Suspending, message);
        conditions.set(ConditionType::Suspended, gone, Reason::Suspended, message);
        conditions.set(ConditionType::Ready, false, Reason::Suspended, message);
        return;
    }
    conditions.set(ConditionType::Suspended, false, Reason::Ready, "");
    if let Some(violation) = violation {
        conditions.set_progress(Progress::Stalled, violation.reason, &violation.message);
        conditions.set(ConditionType::Ready, false, violation.reason, violation.message.clone());
        return;
    }
    let held = work.held.as_ref().map(|(reason, message)| Part::waiting(*reason, message.clone()));
    let outdated = work.outdated.as_ref().map(|message| Part::waiting(Reason::Outdated, message.clone()));
    let unfinished = held.or(outdated);
    let first = [Some(scheduler), Some(workers)].into_iter().flatten().find(|part| !part.ready);
    if let Some(part) = first.or(unfinished.as_ref()) {
        conditions.set_progress(Progress::UnderWay, part.reason, &part.message);
    } else {
        conditions.set_progress(Progress::Done, Reason::Ready, "");
    }
    // A cluster that is being renewed, or has a worker too many, serves all the same.
    match first {
        Some(part) => conditions.set(ConditionType::Ready, false, part.reason, part.message.clone()),
        None => conditions.set(ConditionType::Ready, true, Reason::Ready, ""),
    }
}

fn scheduler_part(cluster: &DaskCluster, observed: &Observed) -> Part {
    if cluster.spec.suspend {
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

fn workers_part(observed: &Observed, scheduler: &Part, counts: &WorkerCounts) -> Part {
    if !scheduler.ready {
        return Part::waiting(
            scheduler.reason,
            "workers are counted by the scheduler, which does not answer yet",
        );
    }
    if counts.ready >= counts.desired {
        return Part::ready();
    }
    let obstacle =
        pods_of(observed, labels::WORKER).find_map(|pod| state::obstacle(pod).or_else(|| state::end(pod)));
    let summary = format!("{} of {} workers are registered", counts.ready, counts.desired);
    match obstacle {
        Some((reason, message)) => Part::waiting(reason, format!("{summary}; {message}")),
        None => Part::waiting(Reason::WorkersStarting, summary),
    }
}

fn pods_of<'a>(observed: &'a Observed, component: &'a str) -> impl Iterator<Item = &'a Pod> {
    observed.pods.iter().map(AsRef::as_ref).filter(move |pod| state::is_component(pod, component))
}

fn to_i32(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
