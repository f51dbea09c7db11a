//! How workers leave that are too many: first those that hold nothing because they never registered, then the ones
//! that the scheduler names, and those only when it has let them go. Under `drain: Wait` a worker with tasks is closed to
//! new ones first (`drain`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::drain::{drain_timeout, nobody_drains, spare_the_busy, wait_for_closed};
use super::groups::Group;
use super::{Work, delete, victim};
use crate::api::{ConditionType, Reason};
use crate::plan::conditions::{find, told};
use crate::plan::pods::{state, worker};
use crate::plan::{Next, Note, Step};

/// How soon a scheduler that holds on to its workers is asked again, at first and in the long run. Between the two it is
/// asked whenever the time that it has held on to them has doubled.
const ASK_AGAIN_MIN: Duration = Duration::from_secs(2);
const ASK_AGAIN_MAX: Duration = Duration::from_secs(60);

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
    let (closing, moving) = (&work.observed.closing, &work.observed.moving);
    let is_going = |pod: &&Arc<Pod>| [closing, moving].iter().any(|all| all.contains(state::name(pod)));
    let (going, staying): (Vec<&Arc<Pod>>, Vec<&Arc<Pod>>) = candidates.iter().copied().partition(is_going);
    work.next = work.next.sooner(Next::After(ask_again(work)), work.now);
    hold_moving(work, group, going.len());
    let count = count.saturating_sub(going.len());
    let Some(willing) = willing(work, group, &staying, count) else { return };
    let chosen: Vec<&Arc<Pod>> = match drain_timeout(group) {
        Some(timeout) => spare_the_busy(work, (group, count), willing, timeout),
        None => willing,
    };
    let_go(work, group, chosen.into_iter().take(count));
}

/// Lets the workers of the group go that are closed to new tasks, each when those that it runs have ended. They cannot be
/// opened again, so they leave even where they are wanted again, and are replaced.
///
/// The scheduler is not asked whether it would close them: to a shuffle that begins while a worker is closed it counts as one
/// more, and whoever takes part in a shuffle is not offered, but the shuffle's tasks at that worker never begin (measured).
pub(super) fn finish(work: &mut Work<'_>, group: &Group<'_>, registered: &BTreeSet<String>) {
    let (known, unknown): (Vec<&Arc<Pod>>, Vec<&Arc<Pod>>) =
        group.closed.iter().copied().partition(|pod| registered.contains(state::name(pod)));
    // Their tasks and their data are gone already.
    work.steps.extend(unknown.into_iter().map(|pod| delete(pod)));
    if known.is_empty() {
        return;
    }
    if !work.observed.live {
        work.look_again = true;
        return;
    }
    work.next = work.next.sooner(Next::After(ask_again(work)), work.now);
    let is_moving = |pod: &&Arc<Pod>| work.observed.moving.contains(state::name(pod));
    let (moving, rest): (Vec<&Arc<Pod>>, Vec<&Arc<Pod>>) = known.into_iter().partition(is_moving);
    hold_moving(work, group, moving.len());
    let chosen = match drain_timeout(group) {
        Some(timeout) => wait_for_closed(work, group, rest, timeout),
        None => rest,
    };
    let_go(work, group, chosen);
}

fn hold_moving(work: &mut Work<'_>, group: &Group<'_>, count: usize) {
    if count > 0 {
        let message = format!("the data of {count} workers of the group {} is moving", group.name);
        work.hold(Reason::WorkersHeld, message);
    }
}

/// Retires these, and tells it, unless they were waited for.
fn let_go<'p>(work: &mut Work<'_>, group: &Group<'_>, chosen: impl IntoIterator<Item = &'p Arc<Pod>>) {
    let workers: Vec<_> = chosen.into_iter().map(|pod| victim(pod)).collect();
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

/// As long again as it has held on to them, within bounds.
pub(super) fn ask_again(work: &Work<'_>) -> Duration {
    let held = find(work.conditions(), ConditionType::Reconciling)
        .filter(|condition| condition.reason == Reason::WorkersHeld.as_str());
    let since =
        held.map(|condition| work.now.duration_since(condition.last_transition_time.0).unsigned_abs());
    since.unwrap_or_default().clamp(ASK_AGAIN_MIN, ASK_AGAIN_MAX)
}

fn is_told(work: &Work<'_>, reason: Reason) -> bool {
    told(work.conditions(), work.cluster.metadata.generation, reason).is_some()
}
