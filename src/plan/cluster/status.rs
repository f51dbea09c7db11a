//! What is told of a cluster.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::ResourceExt;

use super::admission;
use super::group::Group;
use super::observed::{Observed, SchedulerView};
use super::scheduler::{REPLACING, lost};
use super::silent;
use super::work::Work;
use crate::api::dask_cluster::{GroupStatus, IdleAction, WorkerCounts};
use crate::api::{ConditionType, DaskCluster, DaskClusterStatus, Reason, labels};
use crate::plan::Note;
use crate::plan::certificates::decision::is_expiring;
use crate::plan::conditions::{Conditions, Progress, find, is_news_of_pods};
use crate::plan::count::to_i32;
use crate::plan::pods::mounts::Certificate;
use crate::plan::pods::worker::DEFAULT_GROUP;
use crate::plan::pods::written::Pages;
use crate::plan::pods::{Violation, ends, scheduler, state, worker};

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
    if work.cluster.spec.tls.is_some() || work.tls.status.is_some() {
        let part = certificates_part(work);
        conditions.set(ConditionType::CertificatesReady, part.ready, part.reason, part.message);
    }
    for (kind, part) in
        [(ConditionType::SchedulerReady, &scheduler), (ConditionType::WorkersReady, &workers_part)]
    {
        conditions.set(kind, part.ready, part.reason, part.message.clone());
    }
    summarise(&mut conditions, work, &workers, (violation, &scheduler, &workers_part));
    let replicas = work.groups.iter().find(|group| group.name == DEFAULT_GROUP).map_or(0, Group::alive);
    DaskClusterStatus {
        observed_generation: cluster.metadata.generation,
        scheduler_address: Some(
            observed
                .site
                .scheduler_address((&namespace, &name), work.tls.serving.is_some() || work.tls.missing),
        ),
        dashboard_address: Some(
            Pages::of_scheduler(&cluster.spec).status_of(&observed.site.dashboard((&namespace, &name))),
        ),
        scheduler_ended_at: scheduler_ended_at(work),
        scheduler_ready_since: work.since(scheduler.ready, |old| old.scheduler_ready_since.as_ref()),
        closing_since: work.since(work.closes, |old| old.closing_since.as_ref()),
        workers_kept_since: work.since(work.keeps_workers, |old| old.workers_kept_since.as_ref()),
        // Whoever carries out the plan writes it.
        refusal: None,
        workers,
        groups,
        idle: work.rest.status.clone(),
        tls: work.tls.status.clone(),
        replicas: to_i32(replicas),
        selector: Some(selector(work.cluster)),
        admitted: admission::plan(cluster, observed),
        conditions: conditions.finish(),
    }
}

impl Work<'_> {
    /// Since when something is so that `is` so: as the last status says, or since now.
    fn since(&self, is: bool, known: fn(&DaskClusterStatus) -> Option<&Time>) -> Option<Time> {
        is.then(|| self.status().and_then(known).cloned().unwrap_or(Time(self.now)))
    }
}

/// The latest end of the scheduler's container that was ever seen, so that each is told once.
fn scheduler_ended_at(work: &Work<'_>) -> Option<Time> {
    let known = work.cluster.status.as_ref().and_then(|status| status.scheduler_ended_at.clone());
    let seen = end_of_scheduler(work.observed).and_then(|(_, end)| end.finished_at.clone());
    known.into_iter().chain(seen).max()
}

/// Selects the workers of the group behind the scale subresource.
fn selector(cluster: &DaskCluster) -> String {
    let name = cluster.name_any();
    let group = worker::group_of_theirs(cluster, &cluster.spec.workers).unwrap_or(DEFAULT_GROUP);
    let labels = [
        (labels::CLUSTER_NAME, name.as_str()),
        (labels::COMPONENT, labels::WORKER),
        (labels::WORKER_GROUP, group),
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
        early_ends: group.back_off.record.clone(),
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
    let fault = work.tls.fault.as_ref().filter(|fault| fault.reason != Reason::CertificateNotReady);
    if let Some(fault) = fault.filter(|_| work.tls.missing) {
        conditions.set_progress(Progress::Stalled, fault.reason, &fault.message);
        conditions.set(ConditionType::Ready, false, fault.reason, fault.message.clone());
        return;
    }
    let first = [scheduler, workers].into_iter().find(|part| !part.ready);
    if let Some(violation) = violation {
        // What cannot be built is left undone, and what serves goes on.
        conditions.set_progress(Progress::Stalled, violation.reason, &violation.message);
        let serves = first.is_none() && !work.closes;
        let (reason, message) =
            if serves { (Reason::Ready, "") } else { (violation.reason, violation.message.as_str()) };
        conditions.set(ConditionType::Ready, serves, reason, message);
        return;
    }
    // That the scheduler keeps workers is said whatever else is under way: their event rests on it.
    let kept = work.held.clone().filter(|_| work.warns);
    let under_way = kept
        .or_else(|| first.map(|part| (part.reason, part.message.clone())))
        .or_else(|| unfinished(work, counts));
    match (plain_all_the_same(work), under_way) {
        (Some((progress, reason, message)), _) => conditions.set_progress(progress, reason, &message),
        (None, Some((reason, message))) => conditions.set_progress(Progress::UnderWay, reason, &message),
        (None, None) => conditions.set_progress(Progress::Done, Reason::Ready, ""),
    }
    // A cluster that is being renewed, grows or has a worker too many serves all the same.
    let closes = work.closes.then(|| Part::waiting(Reason::Outdated, REPLACING));
    match first.or(closes.as_ref()) {
        Some(part) => conditions.set(ConditionType::Ready, false, part.reason, part.message.clone()),
        None if work.rest.action == Some(IdleAction::ScaleToZero) => {
            let message = "the cluster is idle: a run, a task or a new client starts its workers again";
            conditions.set(ConditionType::Ready, true, Reason::Idle, message);
        }
        None => conditions.set(ConditionType::Ready, true, Reason::Ready, ""),
    }
}

/// Why a cluster that is to speak TLS goes on in plain TCP: what serves is not what was asked for.
fn plain_all_the_same(work: &Work<'_>) -> Option<(Progress, Reason, String)> {
    let is_plain = work.cluster.spec.tls.is_some() && work.tls.scheduler.is_none() && !work.tls.missing;
    let message = "the cluster goes on without TLS until there is a certificate";
    match work.tls.fault.as_ref().filter(|_| is_plain) {
        Some(fault) => {
            let waits = fault.reason == Reason::CertificateNotReady;
            let progress = if waits { Progress::UnderWay } else { Progress::Stalled };
            Some((progress, fault.reason, format!("{message}: {}", fault.message)))
        }
        None => is_plain.then(|| (Progress::UnderWay, Reason::CertificateNotReady, message.to_owned())),
    }
}

fn suspended(conditions: &mut Conditions<'_>, work: &Work<'_>) {
    let gone = work.observed.pods.is_empty();
    let by_user = work.cluster.spec.suspend;
    let reason = if by_user { Reason::Suspended } else { Reason::Idle };
    let message = match (gone, by_user) {
        (false, _) => "its pods are being deleted",
        (true, true) => "no pods run",
        (true, false) => "the cluster is idle: a run or a change of the spec starts it again",
    };
    let progress = if gone { Progress::Done } else { Progress::UnderWay };
    conditions.set_progress(progress, Reason::Suspending, message);
    conditions.set(ConditionType::Suspended, gone, reason, message);
    // At rest it is what its spec asks for: whoever waits for what was applied (kstatus) need not wait any
    // longer.
    conditions.set(ConditionType::Ready, gone, reason, message);
}

/// What still goes on in a cluster that serves.
fn unfinished(work: &Work<'_>, counts: &WorkerCounts) -> Option<(Reason, String)> {
    if let Some(held) = &work.held {
        return Some(held.clone());
    }
    let none = BTreeSet::new();
    let registered = work.observed.scheduler.registered().unwrap_or(&none);
    if work.groups.iter().any(|group| group.registered(registered) < group.wanted) {
        return Some(starting(work, counts, registered));
    }
    if let Some(outdated) = &work.outdated {
        // What keeps a new worker from starting keeps the rollout from going on.
        let mut current = work.groups.iter().flat_map(|group| &group.current);
        let obstacle = current.find_map(|pod| state::obstacle(pod, work.now));
        return Some(match obstacle {
            Some((reason, message)) => (reason, format!("{outdated}; {message}")),
            None => (Reason::Outdated, outdated.clone()),
        });
    }
    let leaving = work.groups.iter().map(|group| group.alive().saturating_sub(group.wanted)).sum::<usize>();
    (leaving > 0).then(|| (Reason::Progressing, format!("{leaving} workers are being removed")))
}

/// The issuer has a good certificate, and every pod has it.
fn certificates_part(work: &Work<'_>) -> Part {
    let expiring = work.tls.in_use.as_ref().filter(|one| is_expiring(one, work.now));
    if let Some(in_use) = expiring {
        let (reason, verb) = if in_use.ends <= work.now {
            (Reason::CertificateExpired, "ended")
        } else {
            (Reason::CertificateExpiring, "ends")
        };
        let why = work.tls.fault.as_ref().map(|fault| fault.message.clone());
        let why = why.or_else(|| work.outdated.clone()).unwrap_or_else(|| "a new one is needed".to_owned());
        return Part::waiting(
            reason,
            format!("the scheduler's certificate {verb} at {}: {why}", in_use.ends),
        );
    }
    if let Some(fault) = &work.tls.fault {
        return Part::waiting(fault.reason, fault.message.clone());
    }
    if work.tls.missing {
        return Part::waiting(Reason::CertificateNotReady, "the cluster has no certificate yet");
    }
    let wanted = work.tls.scheduler.as_ref();
    let is_old = |pod: &&Arc<Pod>| Certificate::of(pod).as_ref() != wanted;
    let old = work.observed.pods.iter().filter(is_old).count();
    if old == 0 || work.is_suspended() {
        return Part::ready();
    }
    let rest = work.outdated.as_ref().map(|outdated| format!(": {outdated}")).unwrap_or_default();
    Part::waiting(Reason::Outdated, format!("{old} pods do not have the newest certificate yet{rest}"))
}

/// Which pod does not start, when it is news.
pub(super) fn news_of_pods(old: &[Condition], new: &[Condition]) -> Option<Note> {
    let told = in_the_way(new)?;
    let reason = Reason::from_word(&told.reason)?;
    let before = in_the_way(old).map(|condition| condition.reason.as_str());
    is_news_of_pods(before, reason).then(|| Note::warning(reason, told.message.clone()))
}

/// A scheduler that served and whose container has ended since. The kubelet starts it again in the same pod,
/// so that nothing else tells of it; the operator may see that the connection is lost before it sees the end,
/// or the end only when the next container serves already.
pub(super) fn news_of_scheduler(work: &Work<'_>) -> Option<Note> {
    let (pod, ended) = end_of_scheduler(work.observed)?;
    let (started, finished) = (state::started(ended)?, ended.finished_at.as_ref()?.0);
    let ready = find(work.conditions(), ConditionType::SchedulerReady)?;
    let changed = ready.last_transition_time.0;
    // Not ready, and that since a moment in the container's life: it had been until then.
    let served = ready.status == "True" || changed >= started;
    let told = work.cluster.status.as_ref().and_then(|status| status.scheduler_ended_at.as_ref());
    // What ended before the scheduler began to serve is no loss.
    let is_news = told.map_or(ready.status != "True" || finished >= changed, |told| finished > told.0);
    let why = if ended.exit_code == 0 { cause_of_end(pod) } else { String::new() };
    let message = format!(
        "the scheduler has ended with exit code {}{why}, and is started again: all results are lost",
        ended.exit_code
    );
    (served && is_news && !work.is_suspended()).then(|| Note::warning(Reason::SchedulerLost, message))
}

/// The scheduler's pod, and how its container last ended.
fn end_of_scheduler(observed: &Observed) -> Option<(&Pod, &ContainerStateTerminated)> {
    let pod = pods_of(observed, labels::SCHEDULER).find(|pod| state::life(pod) == state::PodLife::Alive)?;
    Some((pod, state::last_end(pod, scheduler::CONTAINER)?))
}

/// What may have ended a scheduler with exit code 0. Its pod's status is the same for all of it.
fn cause_of_end(pod: &Pod) -> String {
    let mut containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let is_probed = containers
        .any(|container| container.name == scheduler::CONTAINER && container.liveness_probe.is_some());
    if is_probed {
        let name = pod.name_any();
        format!(
            ", as client.shutdown() makes it end, or its liveness probe, when an event Unhealthy of the pod {name} says so"
        )
    } else {
        ", as client.shutdown() makes it end".to_owned()
    }
}

/// The condition that says what the cluster waits for: one that serves may be waiting as well, for its
/// rollout.
fn in_the_way(conditions: &[Condition]) -> Option<&Condition> {
    let waits = find(conditions, ConditionType::Reconciling).filter(|condition| condition.status == "True");
    waits.or_else(|| find(conditions, ConditionType::Ready))
}

/// What is wrong with the certificates, when it is news.
pub(super) fn news_of_certificates(old: &[Condition], new: &[Condition]) -> Option<Note> {
    let told = find(new, ConditionType::CertificatesReady).filter(|condition| condition.status == "False")?;
    let reason = Reason::from_word(&told.reason)?;
    let goes_on = matches!(reason, Reason::Outdated | Reason::CertificateNotReady | Reason::Suspended);
    let before = find(old, ConditionType::CertificatesReady);
    // What an old certificate waits for changes with each run.
    let waits = matches!(reason, Reason::CertificateExpiring | Reason::CertificateExpired);
    let is_same =
        |before: &Condition| before.reason == told.reason && (waits || before.message == told.message);
    let known = before.is_some_and(is_same);
    (!goes_on && !known).then(|| Note::warning(reason, told.message.clone()))
}

fn scheduler_part(work: &Work<'_>) -> Part {
    let observed = work.observed;
    if work.is_suspended() {
        return Part::waiting(Reason::Suspended, "the cluster is suspended");
    }
    if work.tls.missing {
        let part = certificates_part(work);
        return Part::waiting(part.reason, part.message);
    }
    if observed.scheduler.registered().is_some() {
        // Runs and clients come by the Service.
        return if observed.service.is_some() {
            Part::ready()
        } else {
            Part::waiting(Reason::Progressing, "the scheduler's Service is being created")
        };
    }
    let Some(pod) = pods_of(observed, labels::SCHEDULER).next() else {
        return Part::waiting(Reason::SchedulerStarting, "the scheduler's pod is being created");
    };
    if let Some(message) = lost(pod, work.now) {
        return Part::waiting(Reason::SchedulerLost, message);
    }
    if let Some((reason, message)) = state::obstacle(pod, work.now) {
        return Part::waiting(reason, message);
    }
    match &observed.scheduler {
        SchedulerView::Unreachable { reason, message } if state::runs(pod, scheduler::CONTAINER) => {
            let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
            let node = node.map(|node| format!(" (on the node {node})")).unwrap_or_default();
            Part::waiting(*reason, format!("{message}{node}"))
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
    if work.groups.iter().all(|group| group.serves(registered)) {
        return Part::ready();
    }
    let (reason, message) = starting(work, counts, registered);
    Part::waiting(reason, message)
}

/// How many workers there are, and what keeps the others from starting.
fn starting(work: &Work<'_>, counts: &WorkerCounts, registered: &BTreeSet<String>) -> (Reason, String) {
    // Workers that are being removed do not matter for those that start.
    let coming = work.groups.iter().filter(|group| group.wanted > 0);
    let coming = coming.flat_map(|group| group.current.iter().chain(&group.finished));
    let obstacle = coming.clone().find_map(|pod| state::obstacle(pod, work.now).or_else(|| ends::end(pod)));
    let summary = format!("{} of {} workers are registered", counts.ready, counts.desired);
    match obstacle {
        Some((Reason::WorkerLost, message)) => {
            (Reason::WorkerLost, format!("{summary}; {message}{}", next_try(work)))
        }
        Some((reason, message)) => (reason, format!("{summary}; {message}")),
        None => {
            let silent = silent::noted(coming.copied(), registered);
            let why = silent.map(|pod| format!("; {pod} runs and is not: see kubectl logs {pod}"));
            (Reason::WorkersStarting, summary + &why.unwrap_or_default())
        }
    }
}

/// When workers that end as soon as they start are created again.
fn next_try(work: &Work<'_>) -> String {
    let next =
        work.groups.iter().filter_map(|group| group.back_off.until).filter(|until| *until > work.now).min();
    next.map(|until| format!("; the next try is at {until}")).unwrap_or_default()
}

fn pods_of<'a>(observed: &'a Observed, component: &'a str) -> impl Iterator<Item = &'a Pod> {
    observed.pods.iter().map(AsRef::as_ref).filter(move |pod| state::is_component(pod, component))
}
