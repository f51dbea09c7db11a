//! Which finished runs, and which code, to forget.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::observed::{CodeMap, Observed};
use super::record::Record;
use super::terms::places;
use crate::api::count::Count;
use crate::api::duration::Days;
use crate::api::flow::{ClockStatus, FlowStatus};
use crate::api::{Flow, FlowRun, Phase, labels};
use crate::plan::facts::{clocks_of, is_backfill, job_of, kept_until, made_for, phase_of};
use crate::plan::{Step, Victim, VictimKind, names};

/// What labels or annotations begin with by which programs mark the objects that they apply.
const APPLIED: [&str; 8] = [
    "argocd.argoproj.io/",
    "kustomize.toolkit.fluxcd.io/",
    "helm.toolkit.fluxcd.io/",
    "meta.helm.sh/",
    "helm.sh/",
    "kubectl.kubernetes.io/last-applied-configuration",
    "pulumi.com/",
    "config.kubernetes.io/",
];

/// Code younger than this stays, used or not: its Job may be about to be created.
const CODE_AGE_MIN: SignedDuration = SignedDuration::from_mins(10);

/// Deletes the oldest finished runs above the limits, and those that ended too long ago; their Jobs and pods
/// go with them. A run that has not ended is never touched.
pub(super) fn runs(flow: &Flow, observed: &Observed, now: Timestamp) -> Vec<Step> {
    let limits = &flow.spec.history;
    let finished = |class: fn(Phase) -> bool| {
        let mut runs: Vec<&Arc<FlowRun>> =
            kept(flow, observed, now).filter(|run| class(phase_of(run))).collect();
        runs.sort_by_key(|run| std::cmp::Reverse((finished_at(run), run.name_any())));
        runs
    };
    let beyond = |class, limit: Count| {
        let runs = finished(class).into_iter().enumerate();
        runs.filter(|(place, run)| *place >= limit.size() || ends(flow, run).is_some_and(|end| end <= now))
            .map(|(_, run)| forget(run))
            .collect::<Vec<_>>()
    };
    // Runs that were skipped have no log to keep; they must not push out those that failed.
    let failed = |phase: Phase| phase.is_final() && phase != Phase::Succeeded && phase != Phase::Skipped;
    let mut steps = beyond(|phase| phase == Phase::Succeeded, limits.succeeded);
    steps.extend(beyond(failed, limits.failed));
    steps.extend(beyond(|phase| phase == Phase::Skipped, limits.failed));
    steps
}

/// When the first of the runs that are kept is too old.
pub(super) fn next(flow: &Flow, observed: &Observed, now: Timestamp) -> Option<Timestamp> {
    let too_old = kept(flow, observed, now).filter_map(|run| ends(flow, run)).filter(|end| *end > now).min();
    let looked_at =
        observed.runs.iter().filter_map(|run| looked_at_until(flow, run)).filter(|end| *end > now);
    looked_at.chain(too_old).min()
}

/// The finished runs that are there, may go, and that nobody counts on. The cluster that `keepOnFailure`
/// keeps would go with its run.
fn kept<'a>(
    flow: &'a Flow,
    observed: &'a Observed,
    now: Timestamp,
) -> impl Iterator<Item = &'a Arc<FlowRun>> {
    spared(observed).filter(move |run| {
        is_remembered(flow, run)
            && is_told(flow, run)
            && looked_at_until(flow, run).is_none_or(|until| until <= now)
    })
}

/// The finished runs that are there and that neither a backfill counts on nor a user keeps.
fn spared(observed: &Observed) -> impl Iterator<Item = &Arc<FlowRun>> {
    let ended = |run: &&Arc<FlowRun>| phase_of(run).is_final() && run.metadata.deletion_timestamp.is_none();
    let free = move |run: &&Arc<FlowRun>| !is_counted_on(run, observed) && !is_applied(run);
    observed.runs.iter().filter(ended).filter(free)
}

/// Whether runs are to go once this status has been written, and not before.
pub(super) fn is_to_follow(flow: &Flow, status: &FlowStatus, observed: &Observed, now: Timestamp) -> bool {
    if spared(observed).all(|run| is_told(flow, run)) {
        return false;
    }
    let written = Flow { status: Some(status.clone()), ..flow.clone() };
    !runs(&written, observed, now).is_empty()
}

/// Whether the status that was read holds what the run had to say: how the last run ended, that its tick
/// succeeded, that it was given up. A run that goes before that is written would not have been.
fn is_told(flow: &Flow, run: &FlowRun) -> bool {
    let Some(status) = &flow.status else { return false };
    match phase_of(run) {
        Phase::Skipped => return status.skipped_runs.contains(&short_name(run)),
        Phase::Succeeded => {
            let unwritten = |clock: &ClockStatus, tick| Record::of(clock).would_gain(tick);
            let of_run = |clock: &&ClockStatus| clocks_of(run).any(|name| name == clock.name);
            if let Some(tick) = made_for(run)
                && status.clocks.iter().filter(of_run).any(|clock| unwritten(clock, tick))
            {
                return false;
            }
        }
        _ => {}
    }
    let last = status.last_run.as_ref();
    last.is_some_and(|last| last.finished_at.as_ref().map(|time| time.0) >= finished_at(run))
}

/// What stands for a run in the list of those that are counted as skipped.
pub(super) fn short_name(run: &FlowRun) -> String {
    names::short_hash(run.metadata.uid.as_deref().unwrap_or(&run.name_any()), 8)
}

/// Whether somebody applies the run from a description of it, out of Git for one: if it were deleted it would
/// be created again, and run again. Such a run is its owner's to delete.
fn is_applied(run: &FlowRun) -> bool {
    let (labels, annotations) = (run.labels(), run.annotations());
    let says = |prefix: &str| labels.keys().chain(annotations.keys()).any(|key| key.starts_with(prefix));
    // Argo CD marks objects by this label unless it is told to use its annotation, and so do charts. Ours
    // have it too.
    let of_instance = labels.contains_key(labels::APP_INSTANCE)
        && labels.get(labels::APP_MANAGED_BY).map(String::as_str) != Some(labels::APP);
    let by_hand = made_for(run).is_none();
    let applied = by_hand
        && run.metadata.managed_fields.iter().flatten().any(|writer| {
            writer.operation.as_deref() == Some("Apply")
                && writer.subresource.is_none()
                && !writer.manager.as_deref().is_some_and(|manager| manager.starts_with(labels::APP))
        });
    let of_helm = labels.get(labels::APP_MANAGED_BY).map(String::as_str) == Some("Helm");
    APPLIED.iter().any(|prefix| says(prefix)) || of_instance || of_helm || applied
}

fn looked_at_until(flow: &Flow, run: &FlowRun) -> Option<Timestamp> {
    kept_until(run.status.as_ref()?, Some(flow))
}

/// Whether the tick of a run stands in the status of its clock. Before it does, the run alone keeps the tick
/// from being started again.
fn is_remembered(flow: &Flow, run: &FlowRun) -> bool {
    let (Some(clock), Some(tick)) = (&run.spec.clock, &run.spec.scheduled_time) else { return true };
    // Also one that lies ahead: an operator whose clock was wrong may have made it, and it will be due.
    if is_backfill(run) || made_for(run).is_none() {
        return true;
    }
    let clocks = flow.status.as_ref().map(|status| status.clocks.as_slice()).unwrap_or_default();
    match clocks.iter().find(|other| other.name == *clock) {
        Some(known) => {
            known.since.0 >= tick.0 || known.last_tick.as_ref().is_some_and(|last| last.0 >= tick.0)
        }
        // Of a clock that is no longer there nothing is started.
        None => {
            flow.spec.schedule.iter().all(|schedule| schedule.clocks.iter().all(|other| other.name != *clock))
        }
    }
}

/// When a finished run is too old to be kept.
fn ends(flow: &Flow, run: &FlowRun) -> Option<Timestamp> {
    let Days(age) = flow.spec.history.older_than.as_ref()?.get()?;
    finished_at(run)?.checked_add(age).ok()
}

/// Whether the run is that of a backfill which is still there, or would be made once more by an unfinished
/// one if it were gone. Such a run pushes out no other one either.
fn is_counted_on(run: &FlowRun, observed: &Observed) -> bool {
    let of_backfill = run.spec.backfill.as_ref().is_some_and(|name| observed.backfills.contains(name));
    of_backfill || observed.backfilled.contains(&run.name_any())
}

/// Deletes code that nobody mounts any more, except the newest. While a run may be about to get its Job, all
/// stays: it may mount any of it.
pub(super) fn code(flow: &Flow, observed: &Observed, now: Timestamp) -> Vec<Step> {
    let unfinished = || observed.runs.iter().filter(|run| !phase_of(run).is_final());
    if unfinished().any(|run| may_get_its_job(flow, run, now)) {
        return Vec::new();
    }
    let program = |run: &'_ FlowRun| run.status.as_ref()?.program.as_ref()?.config_map.clone();
    let of_runs: BTreeSet<String> = unfinished().filter_map(|run| program(run)).collect();
    let newest = observed.code_maps.iter().map(|map| map.created).max();
    let spare = |map: &&CodeMap| {
        let age = now.duration_since(map.created);
        !map.in_use && !of_runs.contains(&map.name) && Some(map.created) != newest && age > CODE_AGE_MIN
    };
    let victim =
        |map: &CodeMap| Victim { kind: VictimKind::ConfigMap, name: map.name.clone(), uid: map.uid.clone() };
    observed.code_maps.iter().filter(spare).map(|map| Step::Delete(victim(map))).collect()
}

/// Whether a run that has not ended may be about to get a Job. One that has a Job, waits for its place or
/// waits long for its next attempt is not.
fn may_get_its_job(flow: &Flow, run: &FlowRun, now: Timestamp) -> bool {
    let status = run.status.as_ref();
    match phase_of(run) {
        Phase::Queued => {
            let admitted = flow.status.as_ref().map(|status| status.admitted.as_slice()).unwrap_or_default();
            places(&flow.spec).is_none() || admitted.contains(&run.name_any())
        }
        Phase::Retrying => {
            let retry_at = status.and_then(|status| status.retry_at.as_ref()).map(|time| time.0);
            retry_at.is_none_or(|at| at.duration_since(now).abs() < CODE_AGE_MIN || at < now)
        }
        _ => job_of(run).is_none(),
    }
}

/// When a run ended.
pub(super) fn finished_at(run: &FlowRun) -> Option<Timestamp> {
    run.status.as_ref()?.finished_at.as_ref().map(|time| time.0)
}

fn forget(run: &FlowRun) -> Step {
    Step::Delete(Victim { kind: VictimKind::Run, name: run.name_any(), uid: run.metadata.uid.clone() })
}
