//! Workers that run and are not registered, for long: an import that hangs, a lost connection that nobody
//! ends, a node that does not answer and is tolerated. Such a worker is replaced.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::deletion::{delete, victim};
use super::group::Group;
use super::work::Work;
use crate::api::{Reason, labels};
use crate::plan::pods::{state, worker};
use crate::plan::{Next, Note, Step};

/// How long a worker may start, or be away, before anybody writes that down.
const NOTED_AFTER: Duration = Duration::from_secs(60);
/// How long it may be without the scheduler after that. Images that install packages when they start take
/// minutes.
const REPLACED_AFTER: Duration = Duration::from_secs(600);

/// Notes since when workers are silent, and replaces those that are for too long. Only workers made from the
/// present spec: others are replaced anyway.
pub(super) fn fill(work: &mut Work<'_>, groups: &[Group<'_>], registered: &BTreeSet<String>) {
    let serving_since = work.status().and_then(|status| status.scheduler_ready_since.as_ref());
    let serving_since = serving_since.map_or(work.now, |since| since.0);
    for pod in groups.iter().flat_map(|group| &group.current) {
        let noted = since(pod);
        if registered.contains(state::name(pod)) {
            work.steps.extend(noted.map(|_| mark(pod, None)));
            continue;
        }
        if sleeps_since_before(pod, serving_since) && !is_leaving(work, pod) {
            work.steps.push(delete(pod));
            continue;
        }
        let Some(running) = state::runs_since(pod, worker::CONTAINER) else { continue };
        let chance = running.max(serving_since);
        match noted {
            Some(noted) => replace(work, pod, noted.max(chance)),
            None => note(work, pod, chance),
        }
    }
}

/// Whether the kubelet waits before it starts the worker again, which ended before there was a scheduler: it
/// would wait for up to five minutes. A new pod starts at once. One that has ended since ends for a reason of
/// its own.
fn sleeps_since_before(pod: &Pod, serving_since: Timestamp) -> bool {
    let waits =
        state::container(pod, worker::CONTAINER).and_then(|status| status.state.as_ref()?.waiting.as_ref());
    let sleeps = waits.is_some_and(|waits| waits.reason.as_deref() == Some("CrashLoopBackOff"));
    let ended = state::last_end(pod, worker::CONTAINER).and_then(|end| end.finished_at.as_ref());
    sleeps && ended.is_some_and(|ended| ended.0 < serving_since)
}

fn note(work: &mut Work<'_>, pod: &Arc<Pod>, chance: Timestamp) {
    let Ok(at) = chance.checked_add(NOTED_AFTER) else { return };
    if at > work.now {
        work.next = work.next.sooner(Next::At(at), work.now);
    } else if !is_leaving(work, pod) {
        work.steps.push(mark(pod, Some(work.now)));
    }
}

fn replace(work: &mut Work<'_>, pod: &Arc<Pod>, since: Timestamp) {
    let Ok(until) = since.checked_add(REPLACED_AFTER) else { return };
    if until > work.now {
        work.next = work.next.sooner(Next::At(until), work.now);
    } else if !is_leaving(work, pod) {
        let message = format!(
            "pod {} runs and its worker has not been registered for {} minutes: it is replaced",
            state::name(pod),
            REPLACED_AFTER.as_secs() / 60
        );
        work.notes.push(Note::warning(Reason::WorkerLost, message));
        work.steps.push(delete(pod));
    }
}

/// Whether the plan deletes it already.
fn is_leaving(work: &Work<'_>, pod: &Pod) -> bool {
    work.steps.iter().any(|step| matches!(step, Step::Delete(gone) if *gone == victim(pod)))
}

/// The first of these workers that has run for a while without being registered, as was written down, and
/// is not registered now.
pub(super) fn noted<'p>(
    mut pods: impl Iterator<Item = &'p Arc<Pod>>,
    registered: &BTreeSet<String>,
) -> Option<&'p str> {
    let found = pods.find(|pod| since(pod).is_some() && !registered.contains(state::name(pod)));
    found.map(|pod| state::name(pod))
}

fn since(pod: &Pod) -> Option<Timestamp> {
    pod.metadata.annotations.as_ref()?.get(labels::UNREGISTERED_SINCE)?.parse().ok()
}

fn mark(pod: &Pod, since: Option<Timestamp>) -> Step {
    let value = since.map(|since| since.to_string());
    Step::Annotate { pod: victim(pod), key: labels::UNREGISTERED_SINCE, value }
}
