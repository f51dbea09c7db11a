//! Which runs may start under `Forbid`.

use kube::ResourceExt;

use super::{Observed, is_over};
use crate::api::flow::Concurrency;
use crate::api::{Flow, FlowRun, FlowStatus, Phase};
use crate::plan::run::{logical_time, phase_of};

/// The runs that hold the one place: at most one, and none under `Allow`, where nothing needs to be held.
pub(super) fn plan(flow: &Flow, old: &FlowStatus, observed: &Observed, created: &[FlowRun]) -> Vec<String> {
    if flow.spec.concurrency == Concurrency::Allow {
        return Vec::new();
    }
    let holder = old.admitted.iter().find(|name| holds(name, observed));
    // A run that started under another policy holds the place as well.
    let started = || {
        observed
            .runs
            .iter()
            .find(|run| !is_over(run) && phase_of(run) != Phase::Queued)
            .map(|run| run.name_any())
    };
    // The runner of a run that was cancelled or deleted takes up to its grace period to end.
    let lingering = || observed.runners.iter().next().cloned();
    if let Some(name) = holder.cloned().or_else(started).or_else(lingering) {
        return vec![name];
    }
    let waiting = observed.runs.iter().map(AsRef::as_ref).filter(|run| !is_over(run)).chain(created);
    first_in_line(waiting).into_iter().collect()
}

/// Whether an admitted run still holds its place. One that no cache knows was created a moment ago, or is gone; it
/// was asked for.
fn holds(name: &str, observed: &Observed) -> bool {
    match observed.runs.iter().find(|run| run.name_any() == name) {
        Some(run) => !is_over(run),
        None => observed.found.contains(name),
    }
}

/// First come, first served; of the ticks only the newest stands in the line, the others are skipped.
fn first_in_line<'a>(waiting: impl Iterator<Item = &'a FlowRun>) -> Option<String> {
    let (ticks, others): (Vec<_>, Vec<_>) = waiting.partition(|run| run.spec.clock.is_some());
    let newest = ticks.into_iter().max_by_key(|run| logical_time(run));
    let line = others.into_iter().chain(newest);
    line.min_by_key(|run| (logical_time(run), run.name_any())).map(ResourceExt::name_any)
}
