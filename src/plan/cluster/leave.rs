//! How workers leave that are too many: first those that hold nothing because they never registered, then the ones
//! that the scheduler names, and those only when it has let them go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::groups::Group;
use super::{Work, delete, victim};
use crate::api::worker_group::Drain;
use crate::api::{ConditionType, Reason, labels};
use crate::plan::conditions::{find, told};
use crate::plan::pods::{state, worker};
use crate::plan::schedule::parse_duration;
use crate::plan::{Next, Note, Step};

/// How soon a scheduler that holds on to its workers is asked again, at first and in the long run. Between the two it is
/// asked whenever the time that it has held on to them has doubled.
const ASK_AGAIN_MIN: Duration = Duration::from_secs(2);
const ASK_AGAIN_MAX: Duration = Duration::from_secs(60);
/// How soon a busy worker is looked at again.
const LOOK_AT_BUSY: Duration = Duration::from_secs(2);
/// `drainTimeout` where there is none.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3600);

/// Lets the workers go that the group has too many, none of which is outdated.
pub(super) fn shrink(work: &mut Work<'_>, group: &Group<'_>, registered: &BTreeSet<String>) {
    let surplus = group.current.len().saturating_sub(group.wanted);
    let (known, mut unknown): (Vec<&Arc<Pod>>, Vec<&Arc<Pod>>) =
        group.current.iter().copied().partition(|pod| registered.contains(state::name(pod)));
    unknown.sort_by_key(|pod| (state::runs(pod, worker::CONTAINER), std::cmp::Reverse(created(pod))));
    let left = surplus.saturating_sub(unknown.len());
    for pod in unknown.into_iter().take(surplus) {
        work.steps.push(delete(pod));
    }
    retire(work, group, &known, left);
}

pub(super) fn created(pod: &Pod) -> Timestamp {
    pod.metadata.creation_timestamp.as_ref().map_or(Timestamp::MAX, |time| time.0)
}

/// Asks the scheduler to let `count` of these workers go: those that it would close first.
pub(super) fn retire(work: &mut Work<'_>, group: &Group<'_>, candidates: &[&Arc<Pod>], count: usize) {
    if count == 0 {
        return nobody_drains(work, candidates);
    }
    if !work.observed.live {
        // Only a live look asks the scheduler whom it can spare.
        work.look_again = true;
        return;
    }
    // Whoever was asked to go before goes on going, or more would leave than are to. Nobody is asked twice: a scheduler
    // that gives up both times leaves such a worker closed to new tasks for ever (read in its source).
    let closing = |pod: &&Arc<Pod>| work.observed.closing.contains(state::name(pod));
    let (going, staying): (Vec<&Arc<Pod>>, Vec<&Arc<Pod>>) = candidates.iter().copied().partition(closing);
    work.next = work.next.sooner(Next::After(ask_again(work)), work.now);
    if !going.is_empty() {
        let message = format!("the data of {} workers of the group {} is moving", going.len(), group.name);
        work.hold(Reason::WorkersHeld, message);
    }
    let count = count.saturating_sub(going.len());
    let Some(willing) = willing(work, group, &staying, count) else { return };
    let chosen: Vec<&Arc<Pod>> = match drain_timeout(group) {
        Some(timeout) => spare_the_busy(work, (group, count), willing, timeout),
        None => willing,
    };
    let workers: Vec<_> = chosen.into_iter().take(count).map(|pod| victim(pod)).collect();
    if workers.is_empty() {
        return;
    }
    if !is_told(work, Reason::WorkersHeld) && !is_told(work, Reason::WorkersDraining) {
        let message = format!("{} workers of the group {} are retired", workers.len(), group.name);
        work.notes.push(Note::normal(Reason::WorkersRetired, message));
    }
    // A worker that the scheduler keeps causes no event that would bring us back.
    work.steps.push(Step::Retire { workers });
}

/// Those that the scheduler would close, the first one first.
fn willing<'p>(
    work: &mut Work<'_>,
    group: &Group<'_>,
    candidates: &[&'p Arc<Pod>],
    count: usize,
) -> Option<Vec<&'p Arc<Pod>>> {
    let Some(order) = &work.observed.closable else {
        let message = format!(
            "{count} workers of the group {} stay: the scheduler did not say which of them may close",
            group.name
        );
        work.hold(Reason::WorkersHeld, message);
        return None;
    };
    // Thousands may be named at once.
    let by_name: BTreeMap<&str, &Arc<Pod>> = candidates.iter().map(|pod| (state::name(pod), *pod)).collect();
    let willing: Vec<&Arc<Pod>> =
        order.iter().filter_map(|name| by_name.get(name.as_str()).copied()).collect();
    let unnamed = count.saturating_sub(willing.len());
    if unnamed > 0 {
        let message = format!(
            "{unnamed} of {count} workers of the group {} that are to be removed stay: the scheduler does not offer them for \
             closing: they run a task that has seceded from its thread, or take part in a shuffle",
            group.name
        );
        work.hold(Reason::WorkersHeld, message);
    }
    Some(willing)
}

/// How long the group waits for the tasks of workers that are to leave, if it does.
fn drain_timeout(group: &Group<'_>) -> Option<Duration> {
    let spec = group.spec.filter(|spec| spec.drain == Drain::Wait)?;
    let timeout = spec.drain_timeout.as_deref().and_then(|text| parse_duration(text).ok());
    Some(timeout.unwrap_or(DRAIN_TIMEOUT))
}

/// Of the workers that may leave, those without a task, and those that were waited for long enough. Since when each is
/// waited for stands on its pod, so that a restart of the operator does not begin anew.
fn spare_the_busy<'p>(
    work: &mut Work<'_>,
    (group, count): (&Group<'_>, usize),
    willing: Vec<&'p Arc<Pod>>,
    timeout: Duration,
) -> Vec<&'p Arc<Pod>> {
    let busy = work.observed.busy.as_ref();
    // Without an answer everybody counts as busy.
    let is_free =
        |pod: &&Arc<Pod>| busy.is_some_and(|busy| busy.get(state::name(pod)).is_none_or(|tasks| *tasks == 0));
    let (mut chosen, mut others): (Vec<&Arc<Pod>>, Vec<&Arc<Pod>>) = willing.into_iter().partition(is_free);
    // Who has been waited for stays the one that is waited for.
    others.sort_by_key(|pod| draining_since(pod).unwrap_or(Timestamp::MAX));
    let mut waiting = 0;
    for pod in others.into_iter().take(count.saturating_sub(chosen.len())) {
        let since = draining_since(pod);
        let until = since.unwrap_or(work.now).checked_add(timeout).unwrap_or(Timestamp::MAX);
        if until <= work.now {
            chosen.push(pod);
            continue;
        }
        waiting += 1;
        work.next = work.next.sooner(Next::At(until), work.now);
        if since.is_none() {
            work.steps.push(mark(pod, Some(work.now)));
        }
    }
    if waiting > 0 {
        let message = format!(
            "{waiting} workers of the group {} are removed when their tasks have ended, at the latest after drainTimeout",
            group.name
        );
        work.hold(Reason::WorkersDraining, message);
        work.next = work.next.sooner(Next::After(LOOK_AT_BUSY), work.now);
    }
    chosen
}

/// Workers that are wanted again are no longer waited for.
fn nobody_drains(work: &mut Work<'_>, candidates: &[&Arc<Pod>]) {
    for pod in candidates.iter().filter(|pod| draining_since(pod).is_some()) {
        work.steps.push(mark(pod, None));
    }
}

fn draining_since(pod: &Pod) -> Option<Timestamp> {
    pod.metadata.annotations.as_ref()?.get(labels::DRAINING_SINCE)?.parse().ok()
}

fn mark(pod: &Pod, since: Option<Timestamp>) -> Step {
    let value = since.map(|since| since.to_string());
    Step::Annotate { pod: victim(pod), key: labels::DRAINING_SINCE, value }
}

/// As long again as it has held on to them, within bounds.
fn ask_again(work: &Work<'_>) -> Duration {
    let held = find(work.conditions(), ConditionType::Reconciling)
        .filter(|condition| condition.reason == Reason::WorkersHeld.as_str());
    let since =
        held.map(|condition| work.now.duration_since(condition.last_transition_time.0).unsigned_abs());
    since.unwrap_or_default().clamp(ASK_AGAIN_MIN, ASK_AGAIN_MAX)
}

fn is_told(work: &Work<'_>, reason: Reason) -> bool {
    told(work.conditions(), work.cluster.metadata.generation, reason).is_some()
}
