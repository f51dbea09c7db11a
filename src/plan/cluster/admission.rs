//! Which runs may be active on a cluster that limits them.

use kube::ResourceExt;

use super::observed::Observed;
use crate::api::flow_run::WaitsFor;
use crate::api::{DaskCluster, FlowRun, Phase};
use crate::plan::facts::{due_at, is_unsaid, job_of, phase_of, waits_for};

/// The runs that hold a place, at most `maxActiveRuns` of them, and none where there is no such limit.
///
/// First come, first served, whatever Flow they are of: each run gets its turn, since only those that became
/// due before it go first. A place is given back when the run and its runner have ended.
pub(super) fn plan(cluster: &DaskCluster, observed: &Observed) -> Vec<String> {
    let Some(places) = cluster.spec.max_active_runs else { return Vec::new() };
    let places = places.size();
    let old = cluster.status.as_ref().map(|status| status.admitted.as_slice()).unwrap_or_default();
    let mut admitted: Vec<String> = old.iter().filter(|name| holds(name, observed)).cloned().collect();
    // A run that started before there was a limit holds a place as well.
    let started = observed.runs.iter().filter(|run| has_begun(run));
    for name in started.map(|run| run.name_any()) {
        if !admitted.contains(&name) {
            admitted.push(name);
        }
    }
    if admitted.len() > places {
        // Those behind the last place give theirs back, and those that have begun cannot.
        admitted.sort_by_cached_key(|name| {
            let run = observed.runs.iter().find(|run| run.name_any() == *name);
            run.filter(|run| !has_begun(run)).map(|run| (due_at(run), run.name_any()))
        });
    }
    let mut waiting: Vec<&FlowRun> = observed
        .runs
        .iter()
        .map(AsRef::as_ref)
        .filter(|run| waits(run) && !admitted.contains(&run.name_any()))
        .collect();
    waiting.sort_by_key(|run| (due_at(run), run.name_any()));
    let free = places.saturating_sub(admitted.len());
    admitted.extend(waiting.into_iter().take(free).map(ResourceExt::name_any));
    admitted
}

/// Whether a run that was let through still holds its place. One that stands in the queue for another reason,
/// because it was suspended or its Flow holds it, gives it back: it may wait for a run that waits for this
/// place, a deadlock otherwise.
fn holds(name: &str, observed: &Observed) -> bool {
    let run = observed.runs.iter().find(|run| run.name_any() == name);
    run.is_some_and(|run| phase_of(run) != Phase::Queued || waits_for_place(run) || is_unsaid(run))
        || observed.runners.contains(name)
        || observed.found.contains(name)
}

/// Whether a run uses the cluster: it has a runner, or is about to get its next one.
fn has_begun(run: &FlowRun) -> bool {
    match phase_of(run) {
        Phase::Queued => false,
        Phase::Provisioning => job_of(run).is_some(),
        _ => true,
    }
}

/// Whether a run waits for nothing but a place here: its Flow has let it through.
fn waits(run: &FlowRun) -> bool {
    waits_for_place(run) && !has_begun(run) && !run.spec.suspend && !run.spec.cancel
}

fn waits_for_place(run: &FlowRun) -> bool {
    waits_for(run) == Some(WaitsFor::ClusterPlace)
}
