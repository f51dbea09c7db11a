//! Which finished runs, and which code, to forget.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;

use super::Observed;
use crate::api::{Flow, FlowRun, Phase};
use crate::plan::run::{is_backfill, kept_until, phase_of};
use crate::plan::schedule::parse_duration;
use crate::plan::{Step, Victim, VictimKind};

/// Code younger than this stays, used or not: its Job may be about to be created.
const CODE_AGE_MIN: Duration = Duration::from_secs(600);

/// Deletes the oldest finished runs above the limits, and those that ended too long ago; their Jobs and pods go with
/// them. A run that has not ended is never touched.
pub(super) fn runs(flow: &Flow, observed: &Observed, now: Timestamp) -> Vec<Step> {
    let limits = &flow.spec.history;
    let finished = |class: fn(Phase) -> bool| {
        let mut runs: Vec<&Arc<FlowRun>> =
            kept(flow, observed, now).filter(|run| class(phase_of(run))).collect();
        runs.sort_by_key(|run| std::cmp::Reverse((finished_at(run), run.name_any())));
        runs
    };
    let beyond = |class, limit: i32| {
        let limit = usize::try_from(limit).unwrap_or(0);
        let runs = finished(class).into_iter().enumerate();
        runs.filter(|(place, run)| *place >= limit || ends(flow, run).is_some_and(|end| end <= now))
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

/// The finished runs that are there, may go, and that no backfill counts on. The cluster that `keepOnFailure` keeps would go
/// with its run.
fn kept<'a>(
    flow: &'a Flow,
    observed: &'a Observed,
    now: Timestamp,
) -> impl Iterator<Item = &'a Arc<FlowRun>> {
    let ended = |run: &&Arc<FlowRun>| phase_of(run).is_final() && run.metadata.deletion_timestamp.is_none();
    let free = move |run: &&Arc<FlowRun>| {
        is_remembered(flow, run, now)
            && !is_counted_on(run, observed)
            && looked_at_until(flow, run).is_none_or(|until| until <= now)
    };
    observed.runs.iter().filter(ended).filter(free)
}

fn looked_at_until(flow: &Flow, run: &FlowRun) -> Option<Timestamp> {
    kept_until(run.status.as_ref()?, Some(flow))
}

/// Whether the tick of a run stands in the status of its clock. Before it does, the run alone keeps the tick from being
/// started again.
fn is_remembered(flow: &Flow, run: &FlowRun, now: Timestamp) -> bool {
    let (Some(clock), Some(tick)) = (&run.spec.clock, &run.spec.scheduled_time) else { return true };
    // Only ticks between the clock's memory and now could be started again.
    if is_backfill(run) || tick.0 > now {
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
    let age = parse_age(flow.spec.history.older_than.as_deref()?)?;
    finished_at(run)?.checked_add(age).ok()
}

/// A duration with days of 24 hours, such as `30d` or `1d12h`.
fn parse_age(text: &str) -> Option<Duration> {
    let Some((days, rest)) = text.split_once('d') else { return parse_duration(text).ok() };
    let days = Duration::from_secs(days.parse::<u64>().ok()?.checked_mul(86_400)?);
    let rest = if rest.is_empty() { Duration::ZERO } else { parse_duration(rest).ok()? };
    days.checked_add(rest)
}

/// Whether an unfinished backfill would run the run's tick once more if the run were gone. Such a run pushes out no
/// other one either.
fn is_counted_on(run: &FlowRun, observed: &Observed) -> bool {
    let of_backfill = run.spec.backfill.as_ref().is_some_and(|name| observed.backfills.contains(name));
    of_backfill || observed.backfilled.contains(&run.name_any())
}

/// Deletes code that no unfinished Job mounts, except the newest. While a run is unfinished, all stays: it may be about
/// to mount any of it.
pub(super) fn code(observed: &Observed, now: Timestamp) -> Vec<Step> {
    if observed.runs.iter().any(|run| !phase_of(run).is_final()) {
        return Vec::new();
    }
    let newest = observed.code_maps.iter().map(|map| map.created).max();
    let spare = |map: &&super::CodeMap| {
        let age = now.duration_since(map.created);
        !map.in_use
            && Some(map.created) != newest
            && age > jiff::SignedDuration::try_from(CODE_AGE_MIN).unwrap_or_default()
    };
    let victim = |map: &super::CodeMap| Victim {
        kind: VictimKind::ConfigMap,
        name: map.name.clone(),
        uid: map.uid.clone(),
    };
    observed.code_maps.iter().filter(spare).map(|map| Step::Delete(victim(map))).collect()
}

/// When a run ended.
pub(super) fn finished_at(run: &FlowRun) -> Option<Timestamp> {
    run.status.as_ref()?.finished_at.as_ref().map(|time| time.0)
}

fn forget(run: &FlowRun) -> Step {
    Step::Delete(Victim { kind: VictimKind::Run, name: run.name_any(), uid: run.metadata.uid.clone() })
}
