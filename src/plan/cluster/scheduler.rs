//! The scheduler's pod: there is always one, and when it may be replaced.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::deletion::{delete, victim};
use super::idle::ANNOUNCED;
use super::work::Work;
use crate::api::dask_cluster::Rollout;
use crate::api::{ConditionType, DaskCluster, FlowRun, Phase, Reason, labels};
use crate::plan::conditions::{gives, is_true};
use crate::plan::facts::{job_of, phase_of};
use crate::plan::pods::mounts::Certificate;
use crate::plan::pods::{scheduler, state};
use crate::plan::{Next, Note, Object, Step};

/// For how long a scheduler must have been idle that cannot tell its clients, so that one who computes now
/// and then is not taken for nobody. An assumption; releases from 2022.2.1 on tell their clients.
const QUIET: std::time::Duration = std::time::Duration::from_secs(60);
/// How much longer than its grace a pod may take to go before its node is taken for lost: a kubelet confirms
/// within seconds.
const OVERDUE: std::time::Duration = std::time::Duration::from_secs(30);
/// What the status says when the scheduler is about to be replaced.
pub(super) const REPLACING: &str = "the scheduler is replaced because the spec has changed";

/// Whether the scheduler's pod was made from an earlier spec.
pub(super) fn is_outdated(
    cluster: &DaskCluster,
    pods: &[Arc<Pod>],
    certificate: Option<&Certificate>,
) -> bool {
    let hash = scheduler::template_hash(&cluster.spec, certificate);
    let is_other = |pod: &Arc<Pod>| state::label(pod, labels::TEMPLATE_HASH) != Some(hash.as_str());
    let mut schedulers = pods.iter().filter(|pod| state::is_component(pod, labels::SCHEDULER));
    schedulers.any(|pod| state::life(pod) == state::PodLife::Alive && is_other(pod))
}

/// Creates the scheduler where there is none, and replaces one that has ended or is outdated.
pub(super) fn fill(work: &mut Work<'_>, wanted: Pod) {
    let observed = work.observed;
    let mut schedulers = observed.pods.iter().filter(|pod| state::is_component(pod, labels::SCHEDULER));
    let Some(pod) = schedulers.next() else {
        let before = work.cluster.status.as_ref().is_some_and(|status| status.scheduler_address.is_some());
        work.created.scheduler =
            Some(if before { Reason::SchedulerReplaced } else { Reason::SchedulerCreated });
        work.steps.push(Step::Create(Box::new(Object::Pod(wanted))));
        return;
    };
    match state::life(pod) {
        state::PodLife::Finished => {
            let message = "the scheduler's pod has ended and is replaced";
            work.notes.push(Note::warning(Reason::SchedulerLost, message));
            work.steps.push(delete(pod));
        }
        state::PodLife::Alive if is_outdated(work.cluster, &observed.pods, work.tls.scheduler.as_ref()) => {
            outdated(work, pod, wanted);
        }
        state::PodLife::Leaving => leaving(work, pod),
        state::PodLife::Alive => {}
    }
}

/// A scheduler's pod that does not leave keeps its name, which is the lock that there is one scheduler only.
/// Kubernetes itself deletes the pods of a node that was deleted, or that has the taint `out-of-service`.
fn leaving(work: &mut Work<'_>, pod: &Arc<Pod>) {
    let Some(at) = overdue_from(pod) else { return };
    if at > work.now {
        work.next = work.next.sooner(Next::At(at), work.now);
        return;
    }
    if !gives(work.conditions(), ConditionType::SchedulerReady, Reason::SchedulerLost) {
        work.notes.push(Note::warning(Reason::SchedulerLost, overdue(pod)));
    }
}

/// From when on a pod that is being deleted should have been gone: a while after its grace, which its
/// deletion timestamp includes.
fn overdue_from(pod: &Pod) -> Option<Timestamp> {
    pod.metadata.deletion_timestamp.as_ref()?.0.checked_add(OVERDUE).ok()
}

/// Why there is no scheduler, where a node keeps the old one's pod.
pub(super) fn lost(pod: &Pod, now: Timestamp) -> Option<String> {
    overdue_from(pod).filter(|at| *at <= now).map(|_| overdue(pod))
}

fn overdue(pod: &Pod) -> String {
    let name = state::name(pod);
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or("without a name");
    let until = pod.metadata.deletion_timestamp.as_ref().map(|time| time.0.to_string()).unwrap_or_default();
    format!(
        "the pod {name} was to have ended at {until}, and its node {node} does not confirm that: if the node is lost, delete \
         it (kubectl delete node {node}), or the pod (kubectl delete pod {name} --force); then the scheduler is created anew"
    )
}

/// A new scheduler forgets all results, so an outdated one is replaced when nobody uses it, or when it does
/// not work anyway.
fn outdated(work: &mut Work<'_>, pod: &Arc<Pod>, wanted: Pod) {
    // With a certificate that has ended nobody gets to it any more, nor does it tell that it is idle.
    let has_ended = work.tls.in_use.as_ref().is_some_and(|certificate| certificate.ends <= work.now);
    let is_lost = has_ended && work.observed.scheduler.registered().is_none();
    let waits =
        state::runs(pod, scheduler::CONTAINER) && work.cluster.spec.rollout == Rollout::WhenIdle && !is_lost;
    if let Some(what) = waits.then(|| waits_for(work)).flatten() {
        work.outdated = Some(format!("the scheduler is replaced when {what}"));
        return;
    }
    // Also with the step itself: what was observed before it must not let in a run after it.
    work.closes = true;
    if let Some(at) = waits.then(|| closed_from(work)).flatten() {
        work.outdated = Some(REPLACING.to_owned());
        work.next = work.next.sooner(Next::At(at), work.now);
        return;
    }
    work.notes.push(Note::normal(Reason::SchedulerReplaced, REPLACING).after_steps());
    // What the API server would refuse must not cost the scheduler that there is.
    work.steps.push(Step::Replace { wanted: Box::new(nameless(wanted)), victim: victim(pod) });
}

/// The pod under a name that nobody has, for the API server to judge.
pub(super) fn nameless(mut pod: Pod) -> Pod {
    pod.metadata.generate_name = pod.metadata.name.take().map(|name| format!("{name}-"));
    pod
}

/// Until when a scheduler that serves is left, after the status has begun to say that it does not. A run that
/// was about to start when nobody used the cluster has started by then, and counts.
fn closed_from(work: &Work<'_>) -> Option<Timestamp> {
    let since = work.status().and_then(|status| status.closing_since.as_ref());
    let since = since.map_or(work.now, |since| since.0);
    since.checked_add(ANNOUNCED).ok().filter(|at| *at > work.now)
}

/// What the replacement of a scheduler that runs waits for.
fn waits_for(work: &Work<'_>) -> Option<String> {
    let observed = work.observed;
    let serves = is_true(work.conditions(), ConditionType::Ready);
    let runs = observed.runs.iter().filter(|run| is_at_work(run, serves)).count();
    if runs > 0 {
        return Some(format!("no run is active ({runs} now)"));
    }
    let load = &observed.load;
    if load.since.is_none() {
        return Some("it reports that it is idle; set rollout: Immediate to replace it at once".to_owned());
    }
    let Some(idle_since) = load.idle_since else { return Some("it has no task left".to_owned()) };
    match load.clients.as_ref().map(std::collections::BTreeSet::len) {
        Some(0) => waits_for_proof(work),
        Some(_) => Some("no client is connected; close them, or set rollout: Immediate".to_owned()),
        None if is_quiet(idle_since, work.now) => waits_for_proof(work),
        None => Some(format!("it has been idle for {} seconds", QUIET.as_secs())),
    }
}

fn is_quiet(idle_since: Timestamp, now: Timestamp) -> bool {
    idle_since.checked_add(QUIET).is_ok_and(|at| at <= now)
}

/// The new image is known to be good when a worker made from it is registered. Where no worker serves,
/// nothing is lost by trying.
fn waits_for_proof(work: &Work<'_>) -> Option<String> {
    let registered = work.observed.scheduler.registered()?;
    let proven = work.groups.iter().flat_map(|group| &group.current);
    let proven = proven.filter(|pod| registered.contains(state::name(pod))).count();
    let serving: usize = work.groups.iter().map(|group| group.registered(registered)).sum();
    (serving > 0 && proven == 0).then(|| {
        "a worker of the new spec has registered; set rollout: Immediate to replace it at once".to_owned()
    })
}

/// Whether an attempt of this run has begun and not ended, or begins any moment since the cluster `serves`.
/// Between two attempts nobody misses the scheduler.
fn is_at_work(run: &FlowRun, serves: bool) -> bool {
    match phase_of(run) {
        Phase::Running => true,
        Phase::Provisioning => serves || job_of(run).is_some(),
        _ => false,
    }
}
