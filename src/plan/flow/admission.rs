//! Which runs may start: the places that the concurrency policy has, and who holds them.

use kube::ResourceExt;

use super::observed::Observed;
use super::terms::{gives_way, has_begun, is_held_by_suspension, places};
use crate::api::flow::Concurrency;
use crate::api::flow_run::WaitsFor;
use crate::api::{Flow, FlowRun, FlowSpec, FlowStatus, Phase};
use crate::plan::facts::{due_at, has_started, is_backfill, is_over, phase_of, waits_for};
use crate::plan::newest::Newest;

/// The runs that hold a place: as many as the policy allows, and none under `Allow`, where nothing needs to
/// be held.
///
/// Nobody loses a place before its run and its runner have ended, or the run itself has written that it gives
/// it back. So there may be more of them after the policy was changed to one with fewer places: then those
/// that have started come first, and the others know by their place in the list that they are to give it
/// back, the newest first.
pub(super) fn plan(flow: &Flow, old: &FlowStatus, observed: &Observed, created: &[FlowRun]) -> Vec<String> {
    let Some(places) = places(&flow.spec) else { return Vec::new() };
    let mut admitted: Vec<String> =
        old.admitted.iter().filter(|name| holds(name, observed)).cloned().collect();
    // A run that started under another policy holds a place as well, and so does the runner of a run that was
    // cancelled or deleted, until it has ended.
    let started = observed.runs.iter().filter(|run| !is_over(run) && phase_of(run) != Phase::Queued);
    for name in started.map(|run| run.name_any()).chain(observed.runners.iter().cloned()) {
        if !admitted.contains(&name) {
            admitted.push(name);
        }
    }
    if admitted.len() > places {
        admitted.sort_by_cached_key(|name| {
            let run = observed.runs.iter().find(|run| run.name_any() == *name);
            // Of one that is gone or over the runner is still at work; of one that has just started it is
            // told soon.
            let waits =
                |run: &FlowRun| !is_over(run) && !has_started(run) && !observed.runners.contains(name);
            run.filter(|run| waits(run)).map(|run| (due_at(run), run.name_any()))
        });
    }
    let free = places.saturating_sub(admitted.len());
    let waiting = observed.runs.iter().map(AsRef::as_ref).filter(|run| !is_over(run)).chain(created);
    let waiting = waiting.filter(|run| {
        !run.spec.suspend && !is_held_by_suspension(flow, run) && !admitted.contains(&run.name_any())
    });
    let line = line(&flow.spec, waiting.collect());
    admitted.extend(line.into_iter().take(free).map(ResourceExt::name_any));
    admitted
}

/// Whether an admitted run still holds its place. One that no cache knows was created a moment ago, or is
/// gone; it was asked for.
fn holds(name: &str, observed: &Observed) -> bool {
    match observed.runs.iter().find(|run| run.name_any() == name) {
        Some(run) => !is_over(run) && !has_given_back(run),
        None => observed.found.contains(name),
    }
}

/// Whether the run itself has written that it stands in the queue without a place, because it or its Flow is
/// suspended or there are fewer places than before: from then on it looks live before it begins.
fn has_given_back(run: &FlowRun) -> bool {
    phase_of(run) == Phase::Queued && waits_for(run).is_some_and(WaitsFor::gave_place_back)
}

/// Those that wait, first come, first served.
fn line<'a>(spec: &FlowSpec, mut waiting: Vec<&'a FlowRun>) -> Vec<&'a FlowRun> {
    let newest = Newest::of(waiting.iter().copied().filter(|run| gives_way(spec, run)));
    // A run that had begun once and was suspended gives way to nobody.
    waiting.retain(|run| !gives_way(spec, run) || has_begun(run) || newest.in_place_of(run).is_none());
    // Under `Replace` a newer run takes a place from another, and must get it before those that replace
    // nobody.
    let replaces_nobody = |run: &FlowRun| spec.concurrency == Concurrency::Replace && is_backfill(run);
    waiting.sort_by_cached_key(|run| (replaces_nobody(run), due_at(run), run.name_any()));
    waiting
}
