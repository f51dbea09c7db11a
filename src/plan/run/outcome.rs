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

/// How the attempt ended, if it has: as its runner's container did, where that ended by itself; else as its
/// Job did, which waits for whatever else is in the pod.
pub(super) fn of(job: Option<&Job>, pod: Option<&Pod>) -> Option<Outcome> {
    let ended = pod.and_then(of_container);
    // A Job whose time is over says so before its pod is killed. A runner that did well was quicker.
    let is_killed =
        job.is_some_and(is_out_of_time) && ended.as_ref().is_some_and(|end| end.exit_code != Some(0));
    let ended = ended.filter(|_| !is_killed);
    ended.or_else(|| of_job(job?, pod))
}

fn is_out_of_time(job: &Job) -> bool {
    let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| {
        condition.status == "True"
            && matches!(condition.type_.as_str(), "Failed" | "FailureTarget")
            && condition.reason.as_deref() == Some("DeadlineExceeded")
    })
}

/// How the runner's container ended, where it ended by itself. What became of its pod, its node or its Job
/// after that does not matter.
fn of_container(pod: &Pod) -> Option<Outcome> {
    let terminated = state::terminated(pod, runner::CONTAINER)?;
    let taken = state::taken_away_at(pod);
    let finished = terminated.finished_at.as_ref().map(|time| time.0);
    let by_itself = taken.is_none_or(|taken| finished.is_some_and(|finished| finished < taken));
    by_itself.then(|| {
        let words = last_words(terminated);
        let (phase, reason, message) = if terminated.exit_code == 0 {
            (Phase::Succeeded, Reason::Succeeded, words.message.unwrap_or_default())
        } else {
            let (reason, message) = failure(terminated, words.reason.as_deref(), words.message);
            (Phase::Failed, reason, message)
        };
        Outcome { phase, reason, message, exit_code: Some(terminated.exit_code), tasks: words.tasks }
    })
}

fn of_job(job: &Job, pod: Option<&Pod>) -> Option<Outcome> {
    let ended = state::end_of_job(job)?;
    let terminated = pod.and_then(|pod| state::terminated(pod, runner::CONTAINER));
    let words = terminated.map(last_words).unwrap_or_default();
    let exit_code = terminated.map(|terminated| terminated.exit_code);
    let (phase, reason, message) = if ended.type_ == "Complete" {
        (Phase::Succeeded, Reason::Succeeded, words.message.unwrap_or_default())
    } else if ended.reason.as_deref() == Some("DeadlineExceeded") {
        let limit = job.spec.as_ref().and_then(|spec| spec.active_deadline_seconds).unwrap_or_default();
        (Phase::TimedOut, Reason::TimeoutExceeded, format!("stopped after its timeout of {limit}s"))
    } else {
        let (reason, message) = failure_of_pod(pod, terminated, words);
        (Phase::Failed, reason, message)
    };
    Some(Outcome { phase, reason, message, exit_code, tasks: last_tasks(terminated) })
}

/// When the runner's container started.
pub(super) fn started_at(pod: &Pod) -> Option<Time> {
    let state = state::container(pod, runner::CONTAINER)?.state.as_ref()?;
    let running = state.running.as_ref().and_then(|running| running.started_at.clone());
    running.or_else(|| state.terminated.as_ref().and_then(state::started).map(Time))
}

/// What a pod that is being taken away says of the end that its Job will come to, where the pod may be gone
/// by then.
pub(super) fn foreseen(pod: &Pod) -> Option<(Reason, String)> {
    let Some(terminated) = state::terminated(pod, runner::CONTAINER) else { return disruption(pod) };
    (terminated.exit_code != 0).then(|| failure_of_pod(Some(pod), Some(terminated), last_words(terminated)))
}

/// Who took the runner away, where Kubernetes tells.
fn disruption(pod: &Pod) -> Option<(Reason, String)> {
    let status = pod.status.as_ref()?;
    if status.reason.as_deref() == Some("Evicted") {
        let detail = status.message.clone().unwrap_or_default();
        return Some((Reason::Evicted, format!("the runner was evicted: {detail}")));
    }
    let target = state::disruption_target(pod)?;
    let (reason, what) = match target.reason.as_deref() {
        Some("PreemptionByScheduler") => (Reason::Preempted, "preempted by a pod of higher priority"),
        Some("DeletionByTaintManager" | "DeletionByPodGC") => (Reason::NodeLost, "lost with its node"),
        _ => (Reason::Evicted, "evicted"),
    };
    let detail = target.message.as_deref().unwrap_or("no details are given");
    Some((reason, format!("the runner was {what}: {detail}")))
}

/// Why a runner failed whose pod was taken away, or never started it.
fn failure_of_pod(
    pod: Option<&Pod>,
    terminated: Option<&ContainerStateTerminated>,
    words: LastWords,
) -> (Reason, String) {
    if let Some(disruption) = pod.and_then(disruption) {
        return disruption;
    }
    if let Some(terminated) = terminated {
        if terminated.exit_code == 0 {
            let message = "the runner was asked to stop before its end, and ended with exit code 0";
            return (Reason::Terminated, message.to_owned());
        }
        return failure(terminated, words.reason.as_deref(), words.message);
    }
    if let Some((name, init)) = pod.and_then(state::failed_init) {
        let said = init.message.as_deref().map(str::trim).filter(|text| !text.is_empty());
        let message = format!(
            "the runner did not start: its init container {name} ended with exit code {}: {}",
            init.exit_code,
            said.unwrap_or("it left no message")
        );
        return (Reason::RunnerError, message);
    }
    (Reason::NodeLost, "the runner's pod no longer exists; it is unknown how it ended".to_owned())
}

/// Why a runner failed: what the kubelet says of it, else what the bootstrap says, else the exit code.
fn failure(
    terminated: &ContainerStateTerminated,
    word: Option<&str>,
    message: Option<String>,
) -> (Reason, String) {
    match terminated.reason.as_deref() {
        Some("OOMKilled") => {
            return (Reason::OOMKilled, "the runner used more memory than its limit".to_owned());
        }
        // What the kubelet and containerd write of a container that they did not find again after the node
        // was down.
        Some("ContainerStatusUnknown" | "Unknown") => {
            let message = "the node lost the runner's container; it is unknown how it ended";
            return (Reason::NodeLost, message.to_owned());
        }
        _ => {}
    }
    // The word of an end without fault says nothing of a failure.
    let told = word.and_then(Reason::from_word).filter(|reason| *reason != Reason::Succeeded);
    let by_code = match terminated.exit_code {
        1 => Reason::ScriptError,
        3 => Reason::FlowFailed,
        4 => Reason::NoFlowRan,
        5 => Reason::RanOutsideCluster,
        _ => Reason::RunnerError,
    };
    // A command of the user's own has exit codes of its own meaning; only the bootstrap names reasons.
    let reason = told.unwrap_or(if message.is_some() { by_code } else { Reason::RunnerError });
    let bare = terminated.message.as_deref().filter(|_| message.is_none()).map(without_first_line);
    let text = message.or(bare).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    if told.is_some() {
        return (reason, text.unwrap_or_else(|| NO_MESSAGE.to_owned()));
    }
    let code = terminated.exit_code;
    let (signal, otherwise) = signal(code).map_or((String::new(), NO_MESSAGE), |words| (words, ""));
    let text = text.unwrap_or_else(|| otherwise.to_owned());
    let text = if text.is_empty() { text } else { format!(": {text}{}", state::cure(&text)) };
    (reason, format!("the runner ended with exit code {code}{signal}{text}"))
}

const NO_MESSAGE: &str = "it left no message";

/// What Kubernetes takes of the log where a runner has left no message, without the line that the bootstrap
/// itself begins with: it says nothing of an end.
fn without_first_line(log: &str) -> String {
    let lines = log.lines().filter(|line| !line.starts_with("daskflow: running "));
    lines.collect::<Vec<_>>().join("\n")
}

/// The signal that an exit code stands for, and what it is most often sent for; SIGTERM is an end that was
/// asked for, of which others know more.
fn signal(exit_code: i32) -> Option<String> {
    let (name, cause) = match exit_code.checked_sub(128)? {
        4 => ("SIGILL", "native code for another processor"),
        6 => ("SIGABRT", "native code gave up"),
        7 => ("SIGBUS", "a crash in native code, or a full /dev/shm"),
        8 => ("SIGFPE", "a crash in native code"),
        9 => ("SIGKILL", "often for lack of memory"),
        11 => ("SIGSEGV", "a crash in native code"),
        _ => return None,
    };
    Some(format!(", by {name} ({cause})"))
}

fn last_words(terminated: &ContainerStateTerminated) -> LastWords {
    terminated.message.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

fn last_tasks(terminated: Option<&ContainerStateTerminated>) -> Option<TaskCounts> {
    last_words(terminated?).tasks
}
