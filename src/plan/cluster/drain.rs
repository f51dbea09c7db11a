//! `drain: Wait`: a worker with tasks leaves when they have ended.
//!
//! Under load a scheduler gives each worker the next task when one ends, so none would ever be free. So where
//! the scheduler can, it first closes the worker to new tasks; the worker is then waited for. What is written
//! on its pod comes before that: whatever happens in between, the worker leaves. It cannot be opened again,
//! so it is not counted any more, and where it is wanted again another one takes its place.
//!
//! Schedulers that cannot go on giving tasks to a worker that is waited for, and it may be wanted again.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::deletion::victim;
use super::group::Group;
use super::leave::{ask_again, asks};
use super::retirements::Wish;
use super::work::Work;
use crate::api::worker_group::Drain;
use crate::api::{Reason, labels};
use crate::plan::pods::state;
use crate::plan::{Next, Step};

/// How soon a busy worker is looked at again.
const LOOK_AT_BUSY: Duration = Duration::from_secs(2);
/// `drainTimeout` where there is none.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3600);

/// Whether the worker of a pod is to leave and is closed to new tasks, or about to be.
pub(super) fn is_closed(pod: &Pod) -> bool {
    written(pod, labels::CLOSED_SINCE).is_some()
}

/// How long the group waits for the tasks of workers that are to leave, if it does.
pub(super) fn drain_timeout(group: &Group<'_>) -> Option<Duration> {
    let spec = group.spec.filter(|spec| spec.drain == Drain::Wait)?;
    let Some(timeout) = &spec.drain_timeout else { return Some(DRAIN_TIMEOUT) };
    // One that cannot be read ends no task: the workers are waited for until it is corrected.
    Some(timeout.get().unwrap_or(Duration::MAX))
}

/// Of the workers that may leave, those without a task, and those that were waited for long enough. Of the
/// others as many are closed to new tasks as are still to leave. Since when each is waited for stands on its
/// pod, so that a restart of the operator does not begin anew.
pub(super) fn spare_the_busy<'p>(
    work: &mut Work<'_>,
    (group, count): (&Group<'_>, usize),
    willing: Vec<&'p Arc<Pod>>,
    timeout: Duration,
) -> Vec<&'p Arc<Pod>> {
    let (mut chosen, mut others): (Vec<&Arc<Pod>>, Vec<&Arc<Pod>>) =
        willing.into_iter().partition(|pod| is_free(work, pod));
    // Who has been waited for stays the one that is waited for.
    others.sort_by_key(|pod| waited_for_since(pod).unwrap_or(Timestamp::MAX));
    let mut waiting = Vec::new();
    for pod in others.into_iter().take(count.saturating_sub(chosen.len())) {
        match until(work, pod, timeout) {
            Some(until) => waiting.push((pod, until)),
            None => chosen.push(pod),
        }
    }
    if work.observed.closes {
        close(work, &waiting);
    } else {
        for (pod, _) in waiting.iter().filter(|(pod, _)| waited_for_since(pod).is_none()) {
            work.steps.push(mark(pod, labels::DRAINING_SINCE, Some(work.now)));
        }
    }
    wait(work, group, &waiting);
    chosen
}

/// Of the workers that are closed to new tasks, those that run none, and those that were waited for long
/// enough.
pub(super) fn wait_for_closed<'p>(
    work: &mut Work<'_>,
    group: &Group<'_>,
    closed: Vec<&'p Arc<Pod>>,
    timeout: Duration,
) -> Vec<&'p Arc<Pod>> {
    let (mut chosen, mut waiting) = (Vec::new(), Vec::new());
    for pod in closed {
        match until(work, pod, timeout).filter(|_| !is_free(work, pod)) {
            Some(until) => waiting.push((pod, until)),
            None => chosen.push(pod),
        }
    }
    close_again(work, &waiting);
    wait(work, group, &waiting);
    chosen
}

/// Closes those of these workers that are open: the operator may have ended before it asked for that, the
/// scheduler may have found no place for their data, or be another one by now; a nanny may have started the
/// worker anew.
fn close_again(work: &mut Work<'_>, waiting: &[(&Arc<Pod>, Timestamp)]) {
    let is_open = |pod: &&Arc<Pod>| !work.observed.closing.contains(state::name(pod));
    if !work.observed.closes {
        return;
    }
    let open: Vec<&Arc<Pod>> = waiting.iter().map(|(pod, _)| *pod).filter(is_open).collect();
    let workers = asks(work, Wish::CloseToTasks, &open);
    if !workers.is_empty() {
        work.steps.push(Step::CloseToTasks { workers });
    }
}

/// Writes down that these workers leave, and closes them.
fn close(work: &mut Work<'_>, waiting: &[(&Arc<Pod>, Timestamp)]) {
    for (pod, _) in waiting {
        let since = waited_for_since(pod).unwrap_or(work.now);
        work.steps.push(mark(pod, labels::CLOSED_SINCE, Some(since)));
    }
    if !waiting.is_empty() {
        work.steps.push(Step::CloseToTasks { workers: waiting.iter().map(|(pod, _)| victim(pod)).collect() });
    }
}

/// Tells who is waited for, and looks again.
fn wait(work: &mut Work<'_>, group: &Group<'_>, waiting: &[(&Arc<Pod>, Timestamp)]) {
    let Some(until) = waiting.iter().map(|(_, until)| *until).min() else { return };
    let count = waiting.len();
    let message = if work.observed.closes {
        format!(
            "{count} workers of the group {} get no new tasks, and are removed when those that they run have ended, at the \
             latest after drainTimeout",
            group.name
        )
    } else {
        format!(
            "{count} workers of the group {} are removed when their tasks have ended, at the latest after drainTimeout",
            group.name
        )
    };
    work.hold(Reason::WorkersDraining, message);
    // A scheduler that could not close them is not asked all the time.
    let is_closing = |(pod, _): &(&Arc<Pod>, Timestamp)| work.observed.closing.contains(state::name(pod));
    let looks_at_busy = !work.observed.closes || waiting.iter().any(is_closing);
    let soon = if looks_at_busy { LOOK_AT_BUSY } else { ask_again(work) };
    let next = Next::At(until).sooner(Next::After(soon), work.now);
    work.next = work.next.sooner(next, work.now);
}

/// Workers that are wanted again are no longer waited for.
pub(super) fn nobody_drains(work: &mut Work<'_>, candidates: &[&Arc<Pod>]) {
    for pod in candidates.iter().filter(|pod| waited_for_since(pod).is_some()) {
        work.steps.push(mark(pod, labels::DRAINING_SINCE, None));
    }
}

/// Whether it is known that the worker has no task.
fn is_free(work: &Work<'_>, pod: &Pod) -> bool {
    let busy = work.observed.busy.as_ref();
    busy.is_some_and(|busy| busy.get(state::name(pod)).is_none_or(|tasks| *tasks == 0))
}

/// Until when the worker is waited for, if that is still to come.
fn until(work: &Work<'_>, pod: &Pod, timeout: Duration) -> Option<Timestamp> {
    let since = waited_for_since(pod).unwrap_or(work.now);
    Some(since.checked_add(timeout).unwrap_or(Timestamp::MAX)).filter(|until| *until > work.now)
}

fn waited_for_since(pod: &Pod) -> Option<Timestamp> {
    [labels::CLOSED_SINCE, labels::DRAINING_SINCE].iter().find_map(|key| written(pod, key)?.parse().ok())
}

fn written<'p>(pod: &'p Pod, key: &str) -> Option<&'p str> {
    pod.metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

fn mark(pod: &Pod, key: &'static str, since: Option<Timestamp>) -> Step {
    Step::Annotate { pod: victim(pod), key, value: since.map(|since| since.to_string()) }
}
