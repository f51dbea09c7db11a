//! How workers leave that are too many: first those that hold nothing because they never registered, then the
//! ones that the scheduler names, and those only when it has let them go. Under `drain: Wait` a worker with
//! tasks is closed to new ones first (`drain`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::deletion::{delete, victim};
use super::drain::{drain_timeout, nobody_drains, spare_the_busy, wait_for_closed};
use super::group::Group;
use super::retirements::{ASK_AGAIN_MAX, ASK_AGAIN_MIN, Outcome, Wish};
use super::work::Work;
use crate::api::Reason;
use crate::plan::conditions::told;
use crate::plan::pods::{state, worker};
use crate::plan::{Next, Note, Step, Victim, Wants};

/// Workers that are reported by name where some stay; the others are counted.
const NAMED_MAX: usize = 10;

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
    if !knows_workers(work) {
        return;
    }
    // Whoever was asked to go before goes on going, or more would leave than are to. Nobody is asked twice: a
    // scheduler that gives up both times leaves such a worker closed to new tasks for ever (read in its
    // source).
    let (closing, asked) = (&work.observed.closing, &work.observed.retirements);
    // One that was let go and is registered in this look was let go while it was being made.
    let is_going =
        |pod: &&Arc<Pod>| closing.contains(state::name(pod)) || asked.is_moving(pod) || asked.has_let_go(pod);
    let (going, staying): (Vec<&Arc<Pod>>, Vec<&Arc<Pod>>) = candidates.iter().copied().partition(is_going);
    work.next = work.next.sooner(Next::After(ask_again(work)), work.now);
    hold_moving(work, group, &going);
    let count = count.saturating_sub(going.len());
    let Some(willing) = willing(work, group, &staying, count) else { return };
    let chosen: Vec<&Arc<Pod>> = match drain_timeout(group) {
        Some(timeout) => spare_the_busy(work, (group, count), willing, timeout),
        None => willing,
    };
    let_go(work, group, chosen.into_iter().take(count));
}

/// Whether the scheduler was asked just now whom it can spare. Nobody leaves otherwise.
fn knows_workers(work: &mut Work<'_>) -> bool {
    work.wants |= Wants::WORKERS;
    work.observed.known.covers(Wants::WORKERS)
}

/// Lets the workers of the group go that are closed to new tasks, each when those that it runs have ended.
/// They cannot be opened again, so they leave even where they are wanted again, and are replaced.
///
/// The scheduler is not asked whether it would close them: to a shuffle that begins while a worker is closed
/// it counts as one more, and whoever takes part in a shuffle is not offered, but the shuffle's tasks at that
/// worker never begin (measured).
pub(super) fn finish(work: &mut Work<'_>, group: &Group<'_>, registered: &BTreeSet<String>) {
    let (known, unknown): (Vec<&Arc<Pod>>, Vec<&Arc<Pod>>) =
        group.closed.iter().copied().partition(|pod| registered.contains(state::name(pod)));
    // Their tasks and their data are gone already.
    work.steps.extend(unknown.into_iter().map(|pod| delete(pod)));
    if known.is_empty() {
        return;
    }
    if !knows_workers(work) {
        return;
    }
    work.next = work.next.sooner(Next::After(ask_again(work)), work.now);
    let is_moving = |pod: &&Arc<Pod>| work.observed.retirements.is_moving(pod);
    let (moving, rest): (Vec<&Arc<Pod>>, Vec<&Arc<Pod>>) = known.into_iter().partition(is_moving);
    hold_moving(work, group, &moving);
    let chosen = match drain_timeout(group) {
        Some(timeout) => wait_for_closed(work, group, rest, timeout),
        None => rest,
    };
    let_go(work, group, chosen);
}

/// Reports those of the workers that are going for longer than usual, or that have once been kept.
fn hold_moving(work: &mut Work<'_>, group: &Group<'_>, going: &[&Arc<Pod>]) {
    hold_kept(work, going);
    let asked = &work.observed.retirements;
    let is_slow = |pod: &&&Arc<Pod>| asked.is_slow(pod, work.now);
    let slow = going.iter().filter(is_slow).count();
    // What the scheduler closes without a word of ours is under way for who knows how long.
    let is_closing = |pod: &&&Arc<Pod>| !asked.is_moving(pod) && !asked.has_let_go(pod);
    let count = slow + going.iter().filter(is_closing).count();
    if count > 0 {
        let message = format!("the data of {count} workers of the group {} is moving", group.name);
        work.hold(Reason::WorkersHeld, message);
        work.warns |= slow > 0;
    }
}

/// Of the workers that are to leave, those about which the scheduler is to be asked now. One that it has just
/// answered about is left in peace for a while, and reported if it stays.
pub(super) fn asks(work: &mut Work<'_>, wish: Wish, workers: &[&Arc<Pod>]) -> Vec<Victim> {
    hold_kept(work, workers);
    let mut asked = Vec::new();
    for worker in workers.iter().map(|pod| victim(pod)) {
        let again = work.observed.retirements.asked_again_at(wish, &worker);
        match again.filter(|at| *at > work.now) {
            Some(at) => work.next = work.next.sooner(Next::At(at), work.now),
            None => asked.push(worker),
        }
    }
    asked
}

/// Says which of these workers the scheduler has not let go, and why. That is better to know than what else
/// is under way.
fn hold_kept(work: &mut Work<'_>, workers: &[&Arc<Pod>]) {
    let (mut kept, mut unknown, mut why) = (BTreeSet::new(), BTreeSet::new(), None);
    for pod in workers {
        match work.observed.retirements.outcome(&victim(pod), work.now) {
            Some(Outcome::Kept) => {
                kept.insert(state::name(pod));
            }
            Some(Outcome::Unknown(text)) => {
                unknown.insert(state::name(pod));
                why.get_or_insert(text);
            }
            Some(Outcome::Done) | None => {}
        }
    }
    let kept =
        (!kept.is_empty()).then(|| format!("the scheduler keeps {}: their data cannot move", listed(&kept)));
    let unknown = why.map(|why| {
        let names = listed(&unknown);
        format!("the scheduler did not report whether it lets {names} go: {why}")
    });
    let parts: Vec<String> = kept.into_iter().chain(unknown).collect();
    if !parts.is_empty() {
        work.held = Some((Reason::WorkersHeld, parts.join("; ")));
        work.keeps_workers = true;
        work.warns = true;
    }
}

/// A few of the names, and how many more there are.
fn listed(names: &BTreeSet<&str>) -> String {
    let some = names.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED_MAX) {
        0 => some,
        more => format!("{some} and {more} more"),
    }
}

/// That workers stay which the scheduler was asked to let go, when it is news.
pub(super) fn news(work: &Work<'_>, new: &[Condition]) -> Option<Note> {
    let message = told(new, work.cluster.metadata.generation, Reason::WorkersHeld)?;
    let is_news = work.warns && !is_told(work, Reason::WorkersHeld);
    is_news.then(|| Note::warning(Reason::WorkersHeld, message))
}

/// Retires these, and tells it, unless they were waited for.
fn let_go<'p>(work: &mut Work<'_>, group: &Group<'_>, chosen: impl IntoIterator<Item = &'p Arc<Pod>>) {
    let chosen: Vec<&Arc<Pod>> = chosen.into_iter().collect();
    let workers = asks(work, Wish::Retire, &chosen);
    if workers.is_empty() {
        return;
    }
    let record = &work.observed.retirements;
    let is_first = workers.iter().any(|worker| record.asked_again_at(Wish::Retire, worker).is_none());
    if is_first && !is_told(work, Reason::WorkersHeld) && !is_told(work, Reason::WorkersDraining) {
        let message = format!("{} workers of the group {} are retired", workers.len(), group.name);
        work.notes.push(Note::normal(Reason::WorkersRetired, message));
    }
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
    let since = work.status().and_then(|status| status.workers_kept_since.as_ref());
    let kept = since.map(|since| work.now.duration_since(since.0).unsigned_abs());
    kept.unwrap_or_default().clamp(ASK_AGAIN_MIN, ASK_AGAIN_MAX)
}

fn is_told(work: &Work<'_>, reason: Reason) -> bool {
    told(work.conditions(), work.cluster.metadata.generation, reason).is_some()
}
