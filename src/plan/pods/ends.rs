//! How pods and containers ended, in words and in time.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};

use super::state::{PodLife, life, name, own_container, started, terminated};
use crate::api::Reason;
use crate::plan::conditions::cut;

/// The most bytes of a container's last output that are reported.
const LAST_WORDS_MAX: usize = 400;
/// How long the container of a worker must have run so that its end is not an early one: a worker that cannot
/// work ends as soon as Python has read its program. An assumption.
const EARLY: SignedDuration = SignedDuration::from_secs(30);

/// How a worker's pod ended, if it has and that is worth a word: not of one that ended well after a life of
/// its own, as one that was retired does, or one with `--lifetime`.
pub fn end(pod: &Pod) -> Option<(Reason, String)> {
    if life(pod) != PodLife::Finished || (is_success(pod) && !ended_early(pod)) {
        return None;
    }
    let status = pod.status.as_ref()?;
    let own = terminated(pod, own_container(pod)?).map(how_it_ended);
    let of_pod = match (&status.reason, &status.message) {
        (Some(reason), Some(message)) => Some(format!("{reason}: {message}")),
        (reason, message) => message.clone().or_else(|| reason.clone()),
    };
    let why = of_pod.or(own).unwrap_or_else(|| "no details are given".to_owned());
    Some((Reason::WorkerLost, format!("pod {} has ended: {why}", name(pod))))
}

/// Whether the pod's own container ended with exit code 0.
fn is_success(pod: &Pod) -> bool {
    let own = own_container(pod).and_then(|own| terminated(pod, own));
    own.is_some_and(|end| end.exit_code == 0)
}

/// Whether the pod has ended and its own container did not run for a while before, or never.
pub fn ended_early(pod: &Pod) -> bool {
    let own = own_container(pod).and_then(|own| terminated(pod, own));
    let ran_for =
        |end: &ContainerStateTerminated| Some(end.finished_at.as_ref()?.0.duration_since(started(end)?));
    let ran_for = own.and_then(ran_for);
    life(pod) == PodLife::Finished && ran_for.unwrap_or_default() < EARLY
}

/// When the pod ended, as far as it says: at the end of its own container, else when it was created, since
/// the kubelet has refused it.
pub fn ended_at(pod: &Pod) -> Option<Timestamp> {
    let own = own_container(pod).and_then(|own| terminated(pod, own));
    let finished = own.and_then(|end| end.finished_at.as_ref());
    finished.or(pod.metadata.creation_timestamp.as_ref()).map(|time| time.0)
}

/// How a container that is started again and again ended last.
pub(super) fn crash(container: &ContainerStatus) -> Option<String> {
    Some(how_it_ended(container.last_state.as_ref()?.terminated.as_ref()?))
}

/// The exit code, and the last lines that the container wrote.
fn how_it_ended(end: &ContainerStateTerminated) -> String {
    let code = match end.reason.as_deref() {
        Some("OOMKilled") => format!("exit code {} (OOMKilled)", end.exit_code),
        _ => format!("exit code {}", end.exit_code),
    };
    match end.message.as_deref().map(last_words).filter(|words| !words.is_empty()) {
        Some(words) => format!("{code}, after writing: {words}"),
        None => code,
    }
}

/// The end of a container's output, in one line and from the beginning of a line on.
fn last_words(output: &str) -> String {
    let mut words = String::new();
    for line in output.lines().rev().map(str::trim).filter(|line| !line.is_empty()) {
        if !words.is_empty() && words.len() + line.len() > LAST_WORDS_MAX {
            break;
        }
        words = if words.is_empty() { cut(line, LAST_WORDS_MAX) } else { format!("{line} / {words}") };
    }
    words
}
