//! Which workers to create, and which to let go.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::{Work, delete};
use crate::api::{Reason, labels};
use crate::plan::conditions::told;
use crate::plan::pods::{Violation, state, worker};
use crate::plan::{Next, Note, Object, Step};

/// Pods created in one go, before other objects get their turn.
const CREATED_AT_ONCE_MAX: usize = 50;
/// A worker that ends younger than this is replaced at this age: one that ends at once must not be made in a loop.
const SHORT_LIFE: Duration = Duration::from_secs(10);
/// How soon a scheduler that holds on to its workers is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// The worker pods, sorted by what they are good for.
struct Workers<'a> {
    /// As the spec wants them.
    current: Vec<&'a Arc<Pod>>,
    /// Made from an earlier spec.
    outdated: Vec<&'a Arc<Pod>>,
    /// Ended: retired, evicted or crashed for good.
    finished: Vec<&'a Arc<Pod>>,
}

impl<'a> Workers<'a> {
    fn sort(pods: &'a [Arc<Pod>], hash: &str) -> Self {
        let mut sorted = Self { current: Vec::new(), outdated: Vec::new(), finished: Vec::new() };
        for pod in pods.iter().filter(|pod| state::is_component(pod, labels::WORKER)) {
            match state::life(pod) {
                state::PodLife::Leaving => {}
                state::PodLife::Finished => sorted.finished.push(pod),
                state::PodLife::Alive if state::label(pod, labels::TEMPLATE_HASH) == Some(hash) => {
                    sorted.current.push(pod);
                }
                state::PodLife::Alive => sorted.outdated.push(pod),
            }
        }
        sorted
    }
}

/// Adds the steps for the workers.
pub(super) fn fill(work: &mut Work<'_>) -> Result<(), Violation> {
    let observed = work.observed;
    let wanted = work.cluster.spec.workers.fixed_size();
    let workers = Workers::sort(&observed.pods, &worker::template_hash(&work.cluster.spec));
    let held_back = remove_finished(work, &workers);
    create(work, &workers, wanted.saturating_sub(held_back))?;
    let Some(registered) = observed.scheduler.registered() else {
        hold_unreachable(work, &workers, wanted);
        return Ok(());
    };
    if workers.outdated.is_empty() {
        shrink(work, &workers.current, wanted, registered);
    } else {
        replace(work, &workers, wanted, registered);
    }
    Ok(())
}

/// Deletes the pods of workers that have ended. Gives how many ended so young that their places stay empty for now.
fn remove_finished(work: &mut Work<'_>, workers: &Workers<'_>) -> usize {
    let mut young = 0;
    for pod in &workers.finished {
        let created = pod.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
        match created.checked_add(SHORT_LIFE) {
            Ok(until) if until > work.now => {
                young += 1;
                work.next = work.next.sooner(Next::At(until), work.now);
            }
            _ => work.steps.push(delete(pod)),
        }
    }
    young
}

/// New workers for the missing ones. While outdated ones are replaced, a quarter more than wanted may exist, at least
/// one, so that work goes on.
fn create(work: &mut Work<'_>, workers: &Workers<'_>, wanted: usize) -> Result<(), Violation> {
    let surge = if workers.outdated.is_empty() { 0 } else { wanted.div_ceil(4).max(1) };
    let missing = wanted.saturating_sub(workers.current.len());
    let room = (wanted + surge).saturating_sub(workers.current.len() + workers.outdated.len());
    let count = missing.min(room);
    if count == 0 {
        return Ok(());
    }
    work.notes.push(Note::normal(Reason::WorkersCreated, format!("{count} worker pods are created")));
    for index in 0..count.min(CREATED_AT_ONCE_MAX) {
        let pod = worker::pod(work.cluster, spread(work.observed.seed, index))?;
        work.steps.push(Step::Create(Box::new(Object::Pod(pod))));
    }
    if count > CREATED_AT_ONCE_MAX {
        work.next = Next::After(Duration::ZERO);
    }
    Ok(())
}

/// The seed of the `index`th name: steps of the golden ratio never meet within 2^64.
fn spread(seed: u64, index: usize) -> u64 {
    let step = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(u64::try_from(index).unwrap_or_default());
    // The high bits of the product are the random ones.
    seed.wrapping_add(step) >> 16
}

/// Surplus workers leave: first those that hold nothing because they never registered, then the ones that the
/// scheduler names, and those only when it has let them go.
fn shrink(work: &mut Work<'_>, current: &[&Arc<Pod>], wanted: usize, registered: &BTreeSet<String>) {
    let surplus = current.len().saturating_sub(wanted);
    if surplus == 0 {
        return;
    }
    let (known, unknown): (Vec<&Arc<Pod>>, Vec<&Arc<Pod>>) =
        current.iter().copied().partition(|pod| registered.contains(state::name(pod)));
    let mut left = surplus;
    for pod in unknown.into_iter().take(surplus) {
        work.steps.push(delete(pod));
        left -= 1;
    }
    if left == 0 {
        return;
    }
    if !work.observed.live {
        // Only a live look asks the scheduler whom it can spare.
        work.look_again = true;
        return;
    }
    let ours: BTreeSet<&str> = known.iter().map(|pod| state::name(pod)).collect();
    let order = work.observed.closable.iter().flatten();
    let chosen: Vec<String> = order.filter(|name| ours.contains(name.as_str())).take(left).cloned().collect();
    if chosen.len() < left {
        let message = format!(
            "{} of {left} surplus workers stay: the scheduler names none that may leave",
            left - chosen.len()
        );
        work.held = Some((Reason::WorkersHeld, message));
        work.next = Next::After(ASK_AGAIN);
    }
    retire(work, chosen);
}

/// Outdated workers leave as new ones register.
fn replace(work: &mut Work<'_>, workers: &Workers<'_>, wanted: usize, registered: &BTreeSet<String>) {
    let is_known = |pod: &&&Arc<Pod>| registered.contains(state::name(pod));
    for pod in workers.outdated.iter().filter(|pod| !is_known(pod)) {
        work.steps.push(delete(pod));
    }
    let serving = workers.current.iter().filter(is_known).count();
    let old: Vec<&str> = workers.outdated.iter().filter(is_known).map(|pod| state::name(pod)).collect();
    let spare = (serving + old.len()).saturating_sub(wanted);
    work.outdated =
        Some(format!("{} workers are still to be replaced by ones of the new spec", workers.outdated.len()));
    retire(work, old.into_iter().take(spare).map(str::to_owned).collect());
}

/// Asks the scheduler to let these workers go.
fn retire(work: &mut Work<'_>, workers: Vec<String>) {
    if workers.is_empty() {
        return;
    }
    let conditions =
        work.cluster.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    if told(conditions, work.cluster.metadata.generation, Reason::WorkersHeld).is_none() {
        work.notes
            .push(Note::normal(Reason::WorkersRetired, format!("{} workers are retired", workers.len())));
    }
    work.steps.push(Step::Retire { workers });
    // A worker that the scheduler keeps causes no event that would bring us back.
    work.next = Next::After(ASK_AGAIN);
}

/// Without the scheduler's word nobody knows which workers hold data, so the size is held.
fn hold_unreachable(work: &mut Work<'_>, workers: &Workers<'_>, wanted: usize) {
    if workers.current.len() + workers.outdated.len() > wanted {
        let message =
            "surplus workers stay until the scheduler answers: only it knows which of them hold data";
        work.held = Some((Reason::WorkersHeld, message.to_owned()));
    }
}
