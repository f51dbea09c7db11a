//! What the end of a runner means.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Deserialize;

use crate::api::flow_run::TaskCounts;
use crate::api::{Phase, Reason};
use crate::plan::pods::{runner, state};

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub phase: Phase,
    pub reason: Reason,
    pub message: String,
    pub exit_code: Option<i32>,
    pub tasks: Option<TaskCounts>,
}

/// The termination message that the bootstrap leaves.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LastWords {
    reason: Option<String>,
    message: Option<String>,
    tasks: Option<TaskCounts>,
}

/// How the run ended, if its Job has ended.
pub(super) fn of(job: &Job, pod: Option<&Pod>) -> Option<Outcome> {
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let ended = conditions.iter().find(|condition| {
        condition.status == "True" && matches!(condition.type_.as_str(), "Complete" | "Failed")
    })?;
    let terminated = pod.and_then(|pod| state::terminated(pod, runner::CONTAINER));
    let words = terminated.map(last_words).unwrap_or_default();
    let exit_code = terminated.map(|terminated| terminated.exit_code);
    let (phase, reason, message) = if ended.type_ == "Complete" {
        (Phase::Succeeded, Reason::Succeeded, words.message.unwrap_or_default())
    } else if ended.reason.as_deref() == Some("DeadlineExceeded") {
        let limit = job.spec.as_ref().and_then(|spec| spec.active_deadline_seconds).unwrap_or_default();
        (Phase::TimedOut, Reason::TimeoutExceeded, format!("stopped after its timeout of {limit}s"))
    } else {
        let (reason, message) = failure(pod, terminated, words.reason.as_deref(), words.message);
        (Phase::Failed, reason, message)
    };
    Some(Outcome { phase, reason, message, exit_code, tasks: words.tasks })
}

/// When the runner's container started.
pub(super) fn started_at(pod: &Pod) -> Option<Time> {
    let state = state::container(pod, runner::CONTAINER)?.state.as_ref()?;
    let running = state.running.as_ref().and_then(|running| running.started_at.clone());
    running.or_else(|| state.terminated.as_ref().and_then(|terminated| terminated.started_at.clone()))
}

/// What a pod says of the end that its Job will come to, where the pod may be gone by then.
pub(super) fn foreseen(pod: &Pod) -> Option<(Reason, String)> {
    let terminated = state::terminated(pod, runner::CONTAINER);
    if terminated.is_some_and(|terminated| terminated.exit_code == 0) {
        return None;
    }
    if terminated.is_none() {
        return disruption(pod);
    }
    let words = terminated.map(last_words).unwrap_or_default();
    Some(failure(Some(pod), terminated, words.reason.as_deref(), words.message))
}

/// Who took the runner away, where Kubernetes tells:
/// <https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions>.
fn disruption(pod: &Pod) -> Option<(Reason, String)> {
    let status = pod.status.as_ref()?;
    if status.reason.as_deref() == Some("Evicted") {
        let detail = status.message.clone().unwrap_or_default();
        return Some((Reason::Evicted, format!("the runner was evicted: {detail}")));
    }
    let target = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "DisruptionTarget" && condition.status == "True")?;
    let (reason, what) = match target.reason.as_deref() {
        Some("PreemptionByScheduler") => (Reason::Preempted, "preempted by a pod of higher priority"),
        Some("DeletionByTaintManager" | "DeletionByPodGC") => (Reason::NodeLost, "lost with its node"),
        _ => (Reason::Evicted, "evicted"),
    };
    let detail = target.message.as_deref().unwrap_or("no details are given");
    Some((reason, format!("the runner was {what}: {detail}")))
}

/// Why a runner failed: what the pod says of itself, else what the bootstrap says, else the exit code.
fn failure(
    pod: Option<&Pod>,
    terminated: Option<&ContainerStateTerminated>,
    word: Option<&str>,
    message: Option<String>,
) -> (Reason, String) {
    if let Some(disruption) = pod.and_then(disruption) {
        return disruption;
    }
    let Some(terminated) = terminated else {
        return (
            Reason::NodeLost,
            "the runner's pod no longer exists; it is unknown how it ended".to_owned(),
        );
    };
    if terminated.reason.as_deref() == Some("OOMKilled") {
        return (Reason::OOMKilled, "the runner used more memory than its limit".to_owned());
    }
    let told = word.and_then(Reason::from_word);
    let by_code = match terminated.exit_code {
        1 => Reason::ScriptError,
        3 => Reason::FlowFailed,
        4 => Reason::NoFlowRan,
        5 => Reason::RanOutsideCluster,
        _ => Reason::RunnerError,
    };
    // A command of the user's own has exit codes of its own meaning; only the bootstrap names reasons.
    let reason = told.unwrap_or(if message.is_some() { by_code } else { Reason::RunnerError });
    let bare = terminated.message.as_deref().map(str::trim).filter(|text| !text.is_empty());
    let text = message.or_else(|| bare.map(str::to_owned)).unwrap_or_else(|| "it left no message".to_owned());
    match told {
        Some(_) => (reason, text),
        None => (reason, format!("the runner ended with exit code {}: {text}", terminated.exit_code)),
    }
}

fn last_words(terminated: &ContainerStateTerminated) -> LastWords {
    terminated.message.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}
