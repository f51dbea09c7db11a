//! How workers leave that are too many: first those that hold nothing because they never registered, then the ones
//! that the scheduler names, and those only when it has let them go.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::groups::Group;
use super::{Work, delete, victim};
use crate::api::worker_group::Drain;
use crate::api::{ConditionType, Reason};
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
    if surplus == 0 {
        return;
    }
    let (known, mut unknown): (Vec<&Arc<Pod>>, Vec<&Arc<Pod>>) =
        group.current.iter().copied().partition(|pod| registered.contains(state::name(pod)));
    unknown.sort_by_key(|pod| (state::runs(pod, worker::CONTAINER), std::cmp::Reverse(created(pod))));
    let left = surplus.saturating_sub(unknown.len());
    for pod in unknown.into_iter().take(surplus) {
        work.steps.push(delete(pod));
    }
    let candidates = known.iter().map(|pod| state::name(pod)).collect();
    retire(work, group, &candidates, left);
}

fn created(pod: &Pod) -> Timestamp {
    pod.metadata.creation_timestamp.as_ref().map_or(Timestamp::MAX, |time| time.0)
}

/// Asks the scheduler to let `count` of these workers go: those that it would close first.
pub(super) fn retire(work: &mut Work<'_>, group: &Group<'_>, candidates: &BTreeSet<&str>, count: usize) {
    if count == 0 {
        return;
    }
    if !work.observed.live {
        // Only a live look asks the scheduler whom it can spare.
        work.look_again = true;
        return;
    }
    // Whoever was asked to go before goes on going, or more would leave than are to.
    let closing = &work.observed.closing;
    let others = work.observed.closable.iter().flatten().filter(|name| !closing.contains(*name));
    let order = closing.iter().chain(others);
    let willing: Vec<&String> = order.filter(|name| candidates.contains(name.as_str())).collect();
    let unnamed = count.saturating_sub(willing.len());
    let free: Vec<&String> = match waits_until(work, group) {
        Some(until) => spare_the_busy(work, (group, count), willing, until),
        None => willing,
    };
    if unnamed > 0 {
        let message = format!(
            "{unnamed} of {count} workers of the group {} that are to leave stay: the scheduler does not name them, as it \
             does not while it runs a task on them that has left its thread",
            group.name
        );
        work.hold(Reason::WorkersHeld, message);
        work.next = work.next.sooner(Next::After(ask_again(work)), work.now);
    }
    let chosen: BTreeSet<&String> = free.into_iter().take(count).collect();
    let is_chosen = |pod: &&&Arc<Pod>| chosen.iter().any(|name| *name == state::name(pod));
    let workers: Vec<_> =
        group.current.iter().chain(&group.outdated).filter(is_chosen).map(|pod| victim(pod)).collect();
    if workers.is_empty() {
        return;
    }
    if !is_told(work, Reason::WorkersHeld) && !is_told(work, Reason::WorkersDraining) {
        let message = format!("{} workers of the group {} are retired", workers.len(), group.name);
        work.notes.push(Note::normal(Reason::WorkersRetired, message));
    }
    work.steps.push(Step::Retire { workers });
    // A worker that the scheduler keeps causes no event that would bring us back.
    work.next = work.next.sooner(Next::After(ask_again(work)), work.now);
}

/// Until when the group waits for the tasks of workers that are to leave, if it does.
fn waits_until(work: &Work<'_>, group: &Group<'_>) -> Option<Timestamp> {
    let spec = group.spec.filter(|spec| spec.drain == Drain::Wait)?;
    let timeout = spec.drain_timeout.as_deref().and_then(|text| parse_duration(text).ok());
    let told = group.told.and_then(|told| told.surplus_since.as_ref());
    let since = told.map_or(work.now, |time| time.0);
    since.checked_add(timeout.unwrap_or(DRAIN_TIMEOUT)).ok().filter(|until| *until > work.now)
}

/// Of the workers that may leave, those without a task.
fn spare_the_busy<'n>(
    work: &mut Work<'_>,
    (group, count): (&Group<'_>, usize),
    willing: Vec<&'n String>,
    until: Timestamp,
) -> Vec<&'n String> {
    let busy = work.observed.busy.as_ref();
    // Without an answer everybody counts as busy.
    let is_free = |name: &str| busy.is_some_and(|busy| busy.get(name).is_none_or(|tasks| *tasks == 0));
    let all = willing.len().min(count);
    let free: Vec<&String> = willing.into_iter().filter(|name| is_free(name)).collect();
    let waiting = all.saturating_sub(free.len());
    if waiting > 0 {
        let message = format!(
            "{waiting} workers of the group {} leave when their tasks have ended, at the latest at {until:.0}",
            group.name
        );
        work.hold(Reason::WorkersDraining, message);
        work.next = work.next.sooner(Next::After(LOOK_AT_BUSY), work.now).sooner(Next::At(until), work.now);
    }
    free
}

/// As long again as it has held on to them, within bounds.
fn ask_again(work: &Work<'_>) -> Duration {
    let conditions = work.conditions();
    let held = find(conditions, ConditionType::Reconciling)
        .filter(|condition| condition.reason == Reason::WorkersHeld.as_str());
    let since =
        held.map(|condition| work.now.duration_since(condition.last_transition_time.0).unsigned_abs());
    since.unwrap_or_default().clamp(ASK_AGAIN_MIN, ASK_AGAIN_MAX)
}

fn is_told(work: &Work<'_>, reason: Reason) -> bool {
    told(work.conditions(), work.cluster.metadata.generation, reason).is_some()
}
