//! Which workers to create, and which to let go, group by group.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::deletion::delete;
use super::group::Group;
use super::work::Work;
use super::{leave, silent};
use crate::api::Reason;
use crate::plan::pods::{Violation, ends, state, worker};
use crate::plan::{Next, Note, Object, Step};

/// Pods created in one go, before other objects get their turn.
const CREATED_AT_ONCE_MAX: usize = 50;
/// A new worker that has found no node for so long will find none before an old one leaves. An autoscaler of
/// nodes may take longer; then one worker is missing until it has brought one.
const NO_ROOM: Duration = Duration::from_secs(60);

/// Adds the steps for the workers of all groups.
pub(super) fn fill(work: &mut Work<'_>) {
    let groups = std::mem::take(&mut work.groups);
    let mut portion = CREATED_AT_ONCE_MAX;
    for group in &groups {
        // First, so that there is room for who comes in their place.
        work.steps.extend(group.let_go.iter().map(|pod| delete(pod)));
        let held_back = remove_finished(work, group);
        let wanted = group.wanted.saturating_sub(held_back);
        // A group whose pods cannot be built keeps those that it has; the others go on.
        let _ = create(work, group, wanted, &mut portion);
        work.next = work.next.sooner(group.next, work.now);
    }
    match work.observed.scheduler.registered() {
        Some(registered) => {
            for group in &groups {
                let_go(work, group, registered);
            }
            silent::fill(work, &groups, registered);
        }
        None => hold_unreachable(work, &groups),
    }
    work.groups = groups;
}

/// Deletes the pods of workers that have ended. Gives how many places stay empty for now, because who had
/// them ended as soon as it started.
fn remove_finished(work: &mut Work<'_>, group: &Group<'_>) -> usize {
    let mut held_back = 0;
    let mut lost = Vec::new();
    for pod in &group.finished {
        if group.back_off.keeps(pod, work.now) {
            held_back += 1;
            continue;
        }
        work.steps.push(delete(pod));
        let is_early = group.back_off.pods.iter().any(|name| name == state::name(pod));
        let is_lost = !is_early && !work.observed.retirements.has_let_go(pod);
        lost.extend(ends::end(pod).filter(|_| is_lost).map(|(_, message)| message));
    }
    if let Some(until) = group.back_off.until.filter(|_| held_back > 0) {
        work.next = work.next.sooner(Next::At(until), work.now);
        let ended = || group.finished.iter().find_map(|pod| ends::end(pod));
        if let Some((_, how)) = group.back_off.is_news.then(ended).flatten() {
            let message = format!(
                "workers of the group {} end as soon as they start, and are created again at {until}: {how}",
                group.name
            );
            work.notes.push(Note::warning(Reason::WorkerLost, message));
        }
    }
    if let Some(first) = lost.first() {
        let message = match lost.len() {
            1 => format!("a worker of the group {} is replaced: {first}", group.name),
            count => format!("{count} workers of the group {} are replaced: {first}", group.name),
        };
        work.notes.push(Note::warning(Reason::WorkerLost, message));
    }
    held_back
}

/// New workers for the missing ones. While outdated ones are replaced, or ones that are closed to new tasks,
/// a quarter more than wanted may exist, at least one, so that work goes on.
fn create(
    work: &mut Work<'_>,
    group: &Group<'_>,
    wanted: usize,
    portion: &mut usize,
) -> Result<(), Violation> {
    let Some(spec) = group.spec else { return Ok(()) };
    let replaces = !(group.outdated.is_empty() && group.closed.is_empty());
    let surge = if replaces { wanted.div_ceil(4) } else { 0 };
    let missing = wanted.saturating_sub(group.current.len());
    let room = (wanted + surge).saturating_sub(group.alive() - group.let_go.len());
    let count = missing.min(room);
    if count == 0 {
        return Ok(());
    }
    let now = count.min(*portion);
    if now < count {
        work.next = Next::After(Duration::ZERO);
    }
    if now == 0 {
        return Ok(());
    }
    for index in (*portion - now)..*portion {
        let pod = worker::pod(
            work.cluster,
            work.observed.site,
            work.tls.serving.as_ref(),
            (group.name, spec),
            spread(work.observed.seed, index),
        )?;
        work.steps.push(Step::Create(Box::new(Object::Pod(pod))));
    }
    *portion -= now;
    work.created.workers.push((group.name.to_owned(), now));
    Ok(())
}

/// The seed of the `index`th name: steps of the golden ratio never meet within 2^64.
fn spread(seed: u64, index: usize) -> u64 {
    let step = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(u64::try_from(index).unwrap_or_default());
    // The high bits of the product are the random ones.
    seed.wrapping_add(step) >> 16
}

/// Lets workers go that are too many, or made from an earlier spec.
fn let_go(work: &mut Work<'_>, group: &Group<'_>, registered: &BTreeSet<String>) {
    let is_known = |pod: &&&Arc<Pod>| registered.contains(state::name(pod));
    leave::finish(work, group, registered);
    if group.outdated.is_empty() {
        return leave::shrink(work, group, registered);
    }
    let (old, unknown): (Vec<&Arc<Pod>>, Vec<&Arc<Pod>>) =
        group.outdated.iter().copied().partition(|pod| is_known(&pod));
    // Those that do not run hold nothing, and will never be wanted. Those that do may be on their way back to
    // a scheduler that was started anew, if they trust each other.
    let (joining, dead): (Vec<&Arc<Pod>>, Vec<&Arc<Pod>>) =
        unknown.into_iter().partition(|pod| state::runs(pod, worker::CONTAINER) && work.is_understood(pod));
    for pod in dead {
        work.steps.push(delete(pod));
    }
    let left = group.outdated.len();
    work.outdated.get_or_insert_with(|| {
        format!("{left} workers of the group {} are still to be replaced by ones of the new spec", group.name)
    });
    let serving = group.current.iter().filter(is_known).count();
    let there = serving + old.len() + joining.len();
    let spare = there.saturating_sub(group.wanted);
    for pod in joining.iter().take(spare) {
        work.steps.push(delete(pod));
    }
    let spare = spare.saturating_sub(joining.len());
    // Where no node has room for one more, one has to make room: but the last one that works never goes for a
    // spec that may fit no node at all.
    let mut makes_room = 0;
    if let Some(since) =
        waits_for_room(group, work.now).filter(|_| there == group.wanted && serving + old.len() > 1)
    {
        if since <= work.now {
            makes_room = 1;
        } else {
            work.next = work.next.sooner(Next::At(since), work.now);
        }
    }
    leave::retire(work, group, &old, spare.max(makes_room).min(old.len()));
}

/// From when on an old worker makes room for a new one of the group for which Kubernetes finds no node.
fn waits_for_room(group: &Group<'_>, now: Timestamp) -> Option<Timestamp> {
    let waiting = group
        .current
        .iter()
        .filter(|pod| state::obstacle(pod, now).is_some_and(|(reason, _)| reason == Reason::Unschedulable));
    let from = waiting.filter_map(|pod| {
        let created = pod.metadata.creation_timestamp.as_ref()?.0;
        created.checked_add(NO_ROOM).ok()
    });
    from.min()
}

/// Without the scheduler's word nobody knows which workers hold data, so those that run stay. Those that do
/// not run hold none: outdated ones will never be wanted, and of the others the youngest are too many.
fn hold_unreachable(work: &mut Work<'_>, groups: &[Group<'_>]) {
    let mut is_held = false;
    for group in groups {
        let waits = |pod: &&Arc<Pod>| !state::runs(pod, worker::CONTAINER);
        let old: Vec<_> = group.outdated.iter().copied().filter(waits).collect();
        let mut new: Vec<_> = group.current.iter().copied().filter(waits).collect();
        new.sort_by_key(|pod| std::cmp::Reverse(leave::created(pod)));
        new.truncate(group.current.len().saturating_sub(group.wanted));
        is_held |= group.alive() - old.len() - new.len() > group.wanted;
        work.steps.extend(old.into_iter().chain(new).map(|pod| delete(pod)));
    }
    if is_held {
        let message =
            "surplus workers stay until the scheduler answers: only it knows which of them hold data";
        work.hold(Reason::WorkersHeld, message.to_owned());
    }
}
