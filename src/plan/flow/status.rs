//! What is told of a Flow.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::edits;
use super::history::{finished_at, short_name};
use super::observed::Observed;
use super::recent;
use super::terms::{is_held_by_suspension, places};
use super::ticks::{Ticks, describe};
use crate::api::flow::LastRun;
use crate::api::flow_run::WaitsFor;
use crate::api::{ConditionType, Flow, FlowRun, FlowStatus, Phase, Reason};
use crate::plan::conditions::{Conditions, Holds, Progress, find};
use crate::plan::count::to_i32;
use crate::plan::facts::{is_over, phase_of, waits_for};
use crate::plan::pods::Violation;
use crate::plan::run::Ground;

/// How soon a missing ConfigMap is looked for again: the users' own are not watched.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(5);

/// What the plan has decided before its status is told.
pub(super) struct Decided<'a> {
    /// The ticks.
    pub(super) ticks: &'a Ticks,
    /// The runs that have a place.
    pub(super) admitted: Vec<String>,
    /// The first thing in the spec that keeps the Flow from running.
    pub(super) fault: Option<Violation>,
}

/// The status of a Flow as observed.
pub(super) fn status(
    flow: &Flow,
    observed: &Observed,
    Decided { ticks, admitted, fault }: Decided<'_>,
    now: Timestamp,
) -> FlowStatus {
    let old = flow.status.clone().unwrap_or_default();
    let active = active(flow, observed, ticks, &admitted);
    let last_run = newer(old.last_run.clone(), newest_finished(&observed.runs).map(|run| last_run(run)));
    let mut conditions = Conditions::new(&old.conditions, flow.metadata.generation, now);
    let fault = fault.or_else(|| missing(flow, observed));
    let (skipped, skipped_runs) = skipped(&old, &observed.runs);
    if let Some(fault) = &fault {
        conditions.set(ConditionType::Ready, false, fault.reason, fault.message.clone());
        conditions.set_progress(Progress::Stalled, fault.reason, &fault.message);
    } else {
        let (reason, message) = why_nothing_is_ahead(flow, ticks).unwrap_or((Reason::Ready, ""));
        conditions.set(ConditionType::Ready, true, reason, message);
        conditions.set_progress(Progress::Done, Reason::Ready, "");
    }
    schedule_condition(&mut conditions, flow, ticks);
    last_run_condition(&mut conditions, last_run.as_ref(), &observed.runs, &old);
    let mut status = FlowStatus {
        observed_generation: flow.metadata.generation,
        schedule: flow.spec.schedule.as_ref().map(describe),
        next_tick: ticks.next.map(Time),
        last_tick: [old.last_tick.clone().map(|time| time.0), ticks.newest]
            .into_iter()
            .flatten()
            .max()
            .map(Time),
        missed: old.missed.saturating_add(i64::from(ticks.missed.all)),
        spec_written_at: Some(Time(edits::known_by(flow, &old, now))),
        skipped,
        skipped_runs,
        active: to_i32(active),
        admitted,
        last_run,
        recent: old.recent.clone(),
        clocks: ticks.clocks.clone(),
        conditions: conditions.finish(),
    };
    // That a run has ended changes more than this, so it is not worth a write of its own.
    if status != old {
        status.recent = recent::with(flow, &old.recent, &observed.runs);
    }
    status
}

/// How many runs are at work, or begin now: that those with a place go on from the queue is not worth a write
/// of its own.
fn active(flow: &Flow, observed: &Observed, ticks: &Ticks, admitted: &[String]) -> usize {
    let has_place = |run: &FlowRun| places(&flow.spec).is_none() || admitted.contains(&run.name_any());
    let begins = |run: &FlowRun| has_place(run) && !is_held(flow, run);
    let unfinished = observed.runs.iter().map(AsRef::as_ref).filter(|run: &&FlowRun| !is_over(run));
    let at_work = unfinished.filter(|run| phase_of(run) != Phase::Queued || begins(run)).count();
    at_work + ticks.created.iter().filter(|run| begins(run)).count()
}

/// Whether a run in the queue waits for something else than its place in the Flow.
fn is_held(flow: &Flow, run: &FlowRun) -> bool {
    let waits_for_place = matches!(waits_for(run), None | Some(WaitsFor::FlowPlace));
    !waits_for_place || run.spec.suspend || is_held_by_suspension(flow, run)
}

/// What a Flow without a fault lacks to run.
fn missing(flow: &Flow, observed: &Observed) -> Option<Violation> {
    let ground = Ground::of(flow).if_missing().filter(|_| !observed.cluster_exists);
    ground.or_else(|| {
        let (field, message) = ("spec.code.configMap".to_owned(), observed.code_missing.clone()?);
        Some(Violation { field, reason: Reason::CodeNotFound, message })
    })
}

fn schedule_condition(conditions: &mut Conditions<'_>, flow: &Flow, ticks: &Ticks) {
    let kind = ConditionType::ScheduleValid;
    if let Some(violation) = &ticks.violation {
        return conditions.set(kind, false, violation.reason, violation.message.clone());
    }
    let (reason, message) = why_nothing_is_ahead(flow, ticks).unwrap_or((Reason::ScheduleValid, ""));
    conditions.set(kind, true, reason, message);
}

/// Why no tick lies ahead, where that is as the spec wants it.
fn why_nothing_is_ahead(flow: &Flow, ticks: &Ticks) -> Option<(Reason, &'static str)> {
    if flow.spec.schedule.is_none() {
        return Some((Reason::NoSchedule, "the flow has no schedule and runs on demand"));
    }
    if ticks.next.is_some() {
        return None;
    }
    Some(if flow.spec.suspend {
        (Reason::Suspended, "spec.suspend is true: no tick starts a run")
    } else {
        (
            Reason::NoTicksAhead,
            "no tick lies ahead: each clock has ended, is suspended or has started its maxRuns",
        )
    })
}

fn last_run_condition(
    conditions: &mut Conditions<'_>,
    last: Option<&LastRun>,
    runs: &[Arc<FlowRun>],
    old: &FlowStatus,
) {
    let kind = ConditionType::LastRunSucceeded;
    let Some(last) = last else {
        return conditions.set(kind, Holds::Unknown, Reason::NoRunYet, "no run has finished yet");
    };
    let status = runs.iter().find(|run| run.name_any() == last.name).and_then(|run| run.status.as_ref());
    // Of a run that is gone the condition alone knows why it ended so.
    let known =
        find(&old.conditions, kind).filter(|_| status.is_none() && old.last_run.as_ref() == Some(last));
    let of_phase = if last.phase == Phase::Succeeded { Reason::Succeeded } else { Reason::RunsFailed };
    let word = status
        .and_then(|status| status.reason.as_deref())
        .or_else(|| known.map(|known| known.reason.as_str()));
    let reason = word.and_then(Reason::from_word).unwrap_or(of_phase);
    let in_words = || {
        let detail = status.and_then(|status| status.message.as_deref());
        let detail = detail.map(|text| format!(": {text}")).unwrap_or_default();
        format!("{} {}{detail}", last.name, last.phase.as_str())
    };
    let message = known.map_or_else(in_words, |known| known.message.clone());
    conditions.set(kind, last.phase == Phase::Succeeded, reason, message);
}

/// The one that ended later: the runs that are there may be older than one that is gone.
fn newer(old: Option<LastRun>, seen: Option<LastRun>) -> Option<LastRun> {
    let ended = |run: &LastRun| run.finished_at.as_ref().map(|time| time.0);
    match (old, seen) {
        (Some(old), Some(seen)) if ended(&seen) < ended(&old) => Some(old),
        (old, seen) => seen.or(old),
    }
}

/// How many runs were given up before they started, and which of those may still be there: each is counted
/// once, and is not deleted before it is. Names are dropped only where something is counted, which is done
/// from runs that were listed live: a cache may be of before a run was skipped, and one whose name went by
/// that would be counted again.
fn skipped(old: &FlowStatus, runs: &[Arc<FlowRun>]) -> (i64, Vec<String>) {
    let there = runs.iter().filter(|run| phase_of(run) == Phase::Skipped).map(|run| short_name(run));
    let there: BTreeSet<String> = there.collect();
    let new = there.iter().filter(|run| !old.skipped_runs.contains(run)).count();
    if new == 0 {
        return (old.skipped, old.skipped_runs.clone());
    }
    let all = old.skipped.saturating_add(i64::try_from(new).unwrap_or(i64::MAX));
    (all, there.into_iter().collect())
}

/// The run that ended last. One that was skipped never ran, and says nothing about the flow.
fn newest_finished(runs: &[Arc<FlowRun>]) -> Option<&Arc<FlowRun>> {
    let ended = runs.iter().filter(|run| phase_of(run).is_final() && phase_of(run) != Phase::Skipped);
    ended.max_by_key(|run| (finished_at(run), run.name_any()))
}

fn last_run(run: &FlowRun) -> LastRun {
    LastRun { name: run.name_any(), phase: phase_of(run), finished_at: finished_at(run).map(Time) }
}
