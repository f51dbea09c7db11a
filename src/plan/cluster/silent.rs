//! Workers that run and are not registered, for long: an import that hangs, a lost connection that nobody ends, a node that
//! does not answer and is tolerated. Such a worker is replaced.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::groups::Group;
use super::{Work, delete, victim};
use crate::api::{ConditionType, Reason, labels};
use crate::plan::conditions::find;
use crate::plan::pods::{state, worker};
use crate::plan::{Next, Note, Step};

/// How long a worker may start, or be away, before anybody writes that down.
const NOTED_AFTER: Duration = Duration::from_secs(60);
/// How long it may be without the scheduler after that. Images that install packages when they start take minutes.
const REPLACED_AFTER: Duration = Duration::from_secs(600);

/// Notes since when workers are silent, and replaces those that are for too long. Only workers made from the present spec:
/// others are replaced anyway.
pub(super) fn fill(work: &mut Work<'_>, groups: &[Group<'_>], registered: &BTreeSet<String>) {
    let ready = find(work.conditions(), ConditionType::SchedulerReady);
    let Some(ready) = ready.filter(|ready| ready.status == "True") else { return };
    let serving_since = ready.last_transition_time.0;
    for pod in groups.iter().flat_map(|group| &group.current) {
        let noted = since(pod);
        if registered.contains(state::name(pod)) {
            work.steps.extend(noted.map(|_| mark(pod, None)));
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

fn since(pod: &Pod) -> Option<Timestamp> {
    pod.metadata.annotations.as_ref()?.get(labels::UNREGISTERED_SINCE)?.parse().ok()
}

fn mark(pod: &Pod, since: Option<Timestamp>) -> Step {
    let value = since.map(|since| since.to_string());
    Step::Annotate { pod: victim(pod), key: labels::UNREGISTERED_SINCE, value }
}
