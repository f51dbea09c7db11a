//! What the state of a pod means to us.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod, PodCondition};

use crate::api::{Reason, labels};

/// Where a pod is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodLife {
    /// It starts, runs or will.
    Alive,
    /// It is being deleted.
    Leaving,
    /// All its containers have ended for good.
    Finished,
}

/// Where this pod is in its life.
pub fn life(pod: &Pod) -> PodLife {
    if pod.metadata.deletion_timestamp.is_some() {
        return PodLife::Leaving;
    }
    match pod.status.as_ref().and_then(|status| status.phase.as_deref()) {
        Some("Succeeded" | "Failed") => PodLife::Finished,
        _ => PodLife::Alive,
    }
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

/// Which start of the container of this name runs: the pod's uid and how often the container was restarted in it.
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

/// Why a pod does not start, if there is a reason to tell: the kubelet's words for a container, or the scheduler's.
pub fn obstacle(pod: &Pod) -> Option<(Reason, String)> {
    let status = pod.status.as_ref()?;
    let containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    for container in containers {
        let Some(waiting) = container.state.as_ref().and_then(|state| state.waiting.as_ref()) else {
            continue;
        };
        let Some(reason) = waiting.reason.as_deref().and_then(Reason::from_word) else { continue };
        let detail = waiting.message.as_deref().or(last_words(container)).unwrap_or("no details are given");
        let text = format!("pod {}, image {}: {detail}{}", name(pod), container.image, cure(detail));
        return Some((reason, text));
    }
    let unscheduled = status.conditions.iter().flatten().find(|condition| {
        condition.type_ == "PodScheduled"
            && condition.status == "False"
            && condition.reason.as_deref() == Some("Unschedulable")
    })?;
    Some((
        Reason::Unschedulable,
        format!("pod {}: {}", name(pod), unscheduled.message.as_deref().unwrap_or_default()),
    ))
}

/// What to do about a container that the runtime (containerd and runc, or CRI-O and crun) could not start, where that is
/// known.
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

/// Whether the container of this name has ended, and another one keeps the pod from ending: it runs, or never will.
/// Sidecars among the init containers are ended by the kubelet.
pub fn is_outlived(pod: &Pod, container_name: &str) -> bool {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let goes_on = |status: &ContainerStatus| {
        status.name != container_name && status.state.as_ref().is_none_or(|state| state.terminated.is_none())
    };
    life(pod) == PodLife::Alive && terminated(pod, container_name).is_some() && { statuses }.any(goes_on)
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

/// How a worker's pod ended, if it has.
pub fn end(pod: &Pod) -> Option<(Reason, String)> {
    if life(pod) != PodLife::Finished {
        return None;
    }
    let status = pod.status.as_ref()?;
    let code = status
        .container_statuses
        .iter()
        .flatten()
        .find_map(|container| Some(container.state.as_ref()?.terminated.as_ref()?.exit_code));
    let why = status.message.clone().or_else(|| code.map(|code| format!("exit code {code}")));
    Some((Reason::WorkerLost, format!("pod {} has ended: {}", name(pod), why.unwrap_or_default())))
}

/// What a container that crashes said when it last ended.
fn last_words(container: &ContainerStatus) -> Option<&str> {
    container.last_state.as_ref()?.terminated.as_ref()?.message.as_deref()
}

/// Whether waiting cannot help: the image's name is wrong, or it is never pulled.
pub fn is_hopeless(reason: Reason) -> bool {
    matches!(reason, Reason::InvalidImageName | Reason::ErrImageNeverPull)
}

/// The address that pods are reached at, once they have one.
pub fn ip(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.pod_ip.as_deref().filter(|ip| !ip.is_empty())
}
