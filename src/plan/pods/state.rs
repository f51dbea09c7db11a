//! What the state of a pod means to us.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{Job, JobCondition};
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod, PodCondition};

use super::ends::crash;
use crate::api::{Reason, labels};

/// For how long a pod that has a node may wait for its volumes and its sandbox before that is reported: the
/// kubelet tells the cause in events only, and needs a few seconds where all is well.
const PREPARED_WITHIN: SignedDuration = SignedDuration::from_secs(15);

/// Where a pod is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodLife {
    /// It starts, runs or will.
    Alive,
    /// It is being deleted.
    Leaving,
    /// What it is for has ended for good, whatever else runs in it.
    Finished,
}

/// Where this pod is in its life. Its own container decides: with a sidecar, of the template or injected, the
/// pod runs on after its worker has ended.
pub fn life(pod: &Pod) -> PodLife {
    match life_by_phase(pod) {
        PodLife::Alive if own_container(pod).is_some_and(|own| has_ended_for_good(pod, own)) => {
            PodLife::Finished
        }
        life => life,
    }
}

/// Where this pod is in its life as Kubernetes counts: it is finished when all its containers are.
pub(super) fn life_by_phase(pod: &Pod) -> PodLife {
    if pod.metadata.deletion_timestamp.is_some() {
        return PodLife::Leaving;
    }
    match pod.status.as_ref().and_then(|status| status.phase.as_deref()) {
        Some("Succeeded" | "Failed") => PodLife::Finished,
        _ => PodLife::Alive,
    }
}

/// The container that a pod of ours is for: it is called as the component is.
pub(super) fn own_container(pod: &Pod) -> Option<&str> {
    label(pod, labels::COMPONENT)
}

/// Whether the container of this name has ended and the kubelet will not start it again: by the container's
/// own restart policy, else the pod's.
fn has_ended_for_good(pod: &Pod, name: &str) -> bool {
    let Some(end) = terminated(pod, name) else { return false };
    let Some(spec) = &pod.spec else { return false };
    let of_container =
        spec.containers.iter().find(|one| one.name == name).and_then(|one| one.restart_policy.as_deref());
    match of_container.or(spec.restart_policy.as_deref()) {
        Some("Never") => true,
        Some("OnFailure") => end.exit_code == 0,
        _ => false,
    }
}

/// The final condition of a Job, once it has one.
pub fn end_of_job(job: &Job) -> Option<&JobCondition> {
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().find(|condition| {
        condition.status == "True" && matches!(condition.type_.as_str(), "Complete" | "Failed")
    })
}

/// Whether a Job has ended.
pub fn has_ended(job: &Job) -> bool {
    end_of_job(job).is_some()
}

/// A label of the pod, or nothing.
pub fn label<'a>(pod: &'a Pod, key: &str) -> Option<&'a str> {
    pod.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

/// Whether it is a pod of this component: see [`labels::COMPONENT`].
pub fn is_component(pod: &Pod, component: &str) -> bool {
    label(pod, labels::COMPONENT) == Some(component)
}

/// The pod's name.
pub fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

/// The status of the container of this name.
pub fn container<'a>(pod: &'a Pod, name: &str) -> Option<&'a ContainerStatus> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses.iter().find(|status| status.name == name)
}

/// Whether the container of this name runs.
pub fn runs(pod: &Pod, container_name: &str) -> bool {
    container(pod, container_name)
        .and_then(|status| status.state.as_ref())
        .is_some_and(|state| state.running.is_some())
}

/// Which start of the container of this name runs: the pod's uid and how often the container was restarted in
/// it.
pub fn start_of(pod: &Pod, container_name: &str) -> Option<String> {
    let restarts = container(pod, container_name)?.restart_count;
    let uid = pod.metadata.uid.as_deref()?;
    runs(pod, container_name).then(|| format!("{uid}/{restarts}"))
}

/// How the container of this name ended, if it has.
pub fn terminated<'a>(pod: &'a Pod, container_name: &str) -> Option<&'a ContainerStateTerminated> {
    container(pod, container_name)?.state.as_ref()?.terminated.as_ref()
}

/// How the container of this name ended last, whether or not it was started again.
pub fn last_end<'a>(pod: &'a Pod, container_name: &str) -> Option<&'a ContainerStateTerminated> {
    let before = || container(pod, container_name)?.last_state.as_ref()?.terminated.as_ref();
    terminated(pod, container_name).or_else(before)
}

/// Why a pod does not start, if there is a reason to tell at `now`: the kubelet's words for a container, or
/// the scheduler's.
pub fn obstacle(pod: &Pod, now: Timestamp) -> Option<(Reason, String)> {
    let status = pod.status.as_ref()?;
    let containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    for container in containers {
        let Some(waiting) = container.state.as_ref().and_then(|state| state.waiting.as_ref()) else {
            continue;
        };
        let reason = waiting.reason.as_deref().and_then(Reason::from_word);
        // The kubelet's word for all that comes before a container; its pod tells more.
        let Some(reason) = reason.filter(|reason| *reason != Reason::ContainerCreating) else { continue };
        let crashed = (reason == Reason::CrashLoopBackOff).then(|| crash(container)).flatten();
        let detail = crashed.or_else(|| waiting.message.clone()).or_else(|| crash(container));
        let detail = detail.unwrap_or_else(|| "no details are given".to_owned());
        let text = format!("pod {}, image {}: {detail}{}", name(pod), container.image, cure(&detail));
        return Some((reason, text));
    }
    unscheduled(pod).or_else(|| unprepared(pod, now))
}

/// That the scheduler of Kubernetes finds no node.
fn unscheduled(pod: &Pod) -> Option<(Reason, String)> {
    let unscheduled = condition(pod, "PodScheduled").filter(|condition| {
        condition.status == "False" && condition.reason.as_deref() == Some("Unschedulable")
    })?;
    let message = unscheduled.message.as_deref().unwrap_or_default();
    Some((Reason::Unschedulable, format!("pod {}: {message}", name(pod))))
}

/// That a pod has had a node for a while, and neither its volumes nor its sandbox.
fn unprepared(pod: &Pod, now: Timestamp) -> Option<(Reason, String)> {
    prepared_until(pod).filter(|until| *until <= now)?;
    let name = name(pod);
    Some((
        Reason::ContainerCreating,
        format!(
            "pod {name} waits for its volumes or its sandbox: a Secret, ConfigMap or claim that it mounts may be missing, or \
             its memory limit is too small to start in; see kubectl describe pod {name}"
        ),
    ))
}

/// When a pod that has a node, and neither its volumes nor its sandbox yet, has waited for too long.
pub fn prepared_until(pod: &Pod) -> Option<Timestamp> {
    // Kubernetes before 1.29 does not write it, and then nobody can tell this from a slow pull.
    condition(pod, "PodReadyToStartContainers").filter(|condition| condition.status == "False")?;
    let scheduled = condition(pod, "PodScheduled").filter(|condition| condition.status == "True")?;
    // Where no container was ever made: a sandbox that is lost later is another matter.
    let statuses = pod
        .status
        .iter()
        .flat_map(|status| status.init_container_statuses.iter().chain(&status.container_statuses).flatten());
    let begun = |status: &ContainerStatus| {
        status.restart_count > 0
            || status
                .state
                .as_ref()
                .is_some_and(|state| state.running.is_some() || state.terminated.is_some())
    };
    if life(pod) != PodLife::Alive || { statuses }.any(begun) {
        return None;
    }
    scheduled.last_transition_time.as_ref()?.0.checked_add(PREPARED_WITHIN).ok()
}

fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == kind)
}

/// What to do about a container that the runtime (containerd and runc, or CRI-O and crun) could not start,
/// where that is known.
pub fn cure(words: &str) -> &'static str {
    if words.contains("not found in $PATH") && words.contains("python") {
        "; the image has no command of this name: write the one that it has, such as python3, into the field python of the \
         DaskCluster or the Flow"
    } else {
        ""
    }
}

/// Whether the container of this name may still be at work in the pod.
pub fn is_at_work(pod: &Pod, container_name: &str) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    terminated(pod, container_name).is_none() && !matches!(phase, Some("Succeeded" | "Failed"))
}

/// Whether the container of this name has ended, and another one keeps the pod from ending: it runs, or never
/// will. Sidecars among the init containers are ended by the kubelet.
pub fn is_outlived(pod: &Pod, container_name: &str) -> bool {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let goes_on = |status: &ContainerStatus| {
        status.name != container_name && status.state.as_ref().is_none_or(|state| state.terminated.is_none())
    };
    life_by_phase(pod) == PodLife::Alive && terminated(pod, container_name).is_some() && { statuses }
        .any(goes_on)
}

/// Since when somebody takes the pod away: by deleting it, or by a disruption of which Kubernetes tells.
pub fn taken_away_at(pod: &Pod) -> Option<Timestamp> {
    let grace = SignedDuration::from_secs(pod.metadata.deletion_grace_period_seconds.unwrap_or_default());
    let deleted = pod.metadata.deletion_timestamp.as_ref();
    let deleted = deleted.map(|end| end.0.checked_sub(grace).unwrap_or(end.0));
    let status = pod.status.as_ref();
    let target = disruption_target(pod)
        .map(|target| target.last_transition_time.as_ref().map_or(Timestamp::UNIX_EPOCH, |since| since.0));
    let evicted = status.and_then(|status| status.reason.as_deref()) == Some("Evicted");
    let unknown = (evicted && target.is_none()).then_some(Timestamp::UNIX_EPOCH);
    [deleted, target, unknown].into_iter().flatten().min()
}

/// That Kubernetes takes the pod away:
/// <https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions>.
pub fn disruption_target(pod: &Pod) -> Option<&PodCondition> {
    let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.find(|condition| condition.type_ == "DisruptionTarget" && condition.status == "True")
}

/// The init container that failed and so kept the others from starting, and how it ended.
pub fn failed_init(pod: &Pod) -> Option<(&str, &ContainerStateTerminated)> {
    let statuses = pod.status.iter().flat_map(|status| status.init_container_statuses.iter().flatten());
    let mut ended = statuses
        .filter_map(|status| Some((status.name.as_str(), status.state.as_ref()?.terminated.as_ref()?)));
    ended.find(|(_, terminated)| terminated.exit_code != 0)
}

/// When a container that has ended was started, if it was: of one that could not be (a command that the image
/// does not have) the kubelet says 1970 (seen with containerd).
pub fn started(end: &ContainerStateTerminated) -> Option<Timestamp> {
    end.started_at.as_ref().map(|time| time.0).filter(|time| *time > Timestamp::UNIX_EPOCH)
}

/// Since when the container of this name runs.
pub fn runs_since(pod: &Pod, container_name: &str) -> Option<Timestamp> {
    let state = container(pod, container_name)?.state.as_ref()?;
    Some(state.running.as_ref()?.started_at.as_ref()?.0)
}

/// Whether waiting cannot help: the image's name is wrong, or it is never pulled.
pub fn is_hopeless(reason: Reason) -> bool {
    matches!(reason, Reason::InvalidImageName | Reason::ErrImageNeverPull)
}

/// The address that pods are reached at, once they have one.
pub fn ip(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.pod_ip.as_deref().filter(|ip| !ip.is_empty())
}

#[cfg(test)]
mod tests;
