//! What is told of a backfill.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::ticks::State;
use crate::api::{ConditionType, FlowBackfill, FlowBackfillStatus, Reason};
use crate::plan::Note;
use crate::plan::conditions::{Conditions, Progress, find};
use crate::plan::count::to_i32;
use crate::plan::pods::Violation;

/// Where a backfill stands, as its conditions tell it.
struct Verdict {
    reason: Reason,
    message: String,
    progress: Progress,
    /// All ticks have ended, well or not.
    finished: Option<bool>,
}

impl Verdict {
    fn new(progress: Progress, reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), progress, finished: None }
    }

    fn finished(self, well: bool) -> Self {
        Self { finished: Some(well), ..self }
    }
}

/// The status of a backfill whose ticks stand so, with `active` runs of its own that have not ended, and
/// `unrecorded` ticks that had no record when it was looked at.
pub(super) fn of_ticks(
    backfill: &FlowBackfill,
    ticks: &[State<'_>],
    (active, unrecorded): (usize, usize),
    now: Timestamp,
) -> FlowBackfillStatus {
    let mut status = backfill.status.clone().unwrap_or_default();
    let count = |is: fn(&State<'_>) -> bool| to_i32(ticks.iter().filter(|state| is(state)).count());
    status.total = to_i32(ticks.len());
    status.succeeded = count(|state| matches!(state, State::Succeeded));
    status.failed = count(|state| matches!(state, State::Failed));
    status.skipped = count(|state| matches!(state, State::Skipped));
    status.remaining =
        count(|state| matches!(state, State::Due(_) | State::Unrecorded | State::Awaited | State::Ahead));
    // How many there were at the beginning: one after the other they get runs.
    status.unrecorded = status.unrecorded.max(to_i32(unrecorded));
    status.active = to_i32(active);
    let done = status.succeeded.saturating_add(status.failed).saturating_add(status.skipped);
    status.done = Some(format!("{done}/{}", status.total));
    if active > 0 {
        status.started_at.get_or_insert(Time(now));
    }
    let verdict = verdict(backfill, &status, active == 0 && done == status.total);
    if verdict.finished.is_some() {
        status.finished_at = Some(Time(now));
    }
    conclude(backfill, status, &verdict, now)
}

/// The status of a backfill that can start nothing.
pub(super) fn stalled(
    backfill: &FlowBackfill,
    violation: &Violation,
    active: usize,
    now: Timestamp,
) -> FlowBackfillStatus {
    let status = FlowBackfillStatus { active: to_i32(active), ..backfill.status.clone().unwrap_or_default() };
    let verdict = Verdict::new(Progress::Stalled, violation.reason, violation.message.clone());
    conclude(backfill, status, &verdict, now)
}

/// The status of a backfill that has ended: what it was, also where the spec was changed since.
pub(super) fn ended(backfill: &FlowBackfill, mut status: FlowBackfillStatus) -> FlowBackfillStatus {
    status.observed_generation = backfill.metadata.generation;
    for condition in &mut status.conditions {
        condition.observed_generation = backfill.metadata.generation;
    }
    status
}

fn verdict(backfill: &FlowBackfill, status: &FlowBackfillStatus, finished: bool) -> Verdict {
    let FlowBackfillStatus { total, failed, skipped, .. } = status;
    let flow = &backfill.spec.flow;
    if finished && *total == 0 {
        let (from, to) = (backfill.spec.from.0, backfill.spec.to.0);
        let message =
            format!("no tick of the Flow {flow} lies between {from} and {to}: there is nothing to run");
        return Verdict::new(Progress::Done, Reason::NoTicks, message).finished(true);
    }
    if finished && *failed > 0 {
        let message = format!("{failed} of {total} ticks ended without success; {skipped} had a run before");
        return Verdict::new(Progress::Stalled, Reason::RunsFailed, message).finished(false);
    }
    if finished {
        let message = format!("all {total} ticks are done; {skipped} of them had a run before");
        return Verdict::new(Progress::Done, Reason::Succeeded, message).finished(true);
    }
    let at_work = if status.active > 0 { Progress::UnderWay } else { Progress::Done };
    if backfill.spec.cancel {
        let message =
            "no further runs are started and active ones are cancelled; set spec.cancel to false to go on";
        return Verdict::new(at_work, Reason::Cancelled, message);
    }
    if backfill.spec.suspend {
        let message = "no further runs are started; set spec.suspend to false to go on";
        return Verdict::new(at_work, Reason::Suspended, message);
    }
    let unrecorded = match status.unrecorded {
        0 => String::new(),
        count => format!(
            "; {count} of them are from before the record of the Flow's clocks, and may have succeeded once"
        ),
    };
    let message = format!(
        "{total} ticks of the Flow {flow} are run, at most {} at once{unrecorded}",
        backfill.spec.parallelism
    );
    Verdict::new(Progress::UnderWay, Reason::Progressing, message)
}

fn conclude(
    backfill: &FlowBackfill,
    mut status: FlowBackfillStatus,
    verdict: &Verdict,
    now: Timestamp,
) -> FlowBackfillStatus {
    let (reason, message) = (verdict.reason, &verdict.message);
    let mut conditions = Conditions::new(&status.conditions, backfill.metadata.generation, now);
    // One that rests because its spec says so is what its spec asks for, whoever waits for that (kstatus).
    conditions.set(ConditionType::Ready, verdict.progress == Progress::Done, reason, message.clone());
    conditions.set_progress(verdict.progress, reason, message);
    conditions.set(ConditionType::Complete, verdict.finished == Some(true), reason, message.clone());
    conditions.set(ConditionType::Failed, verdict.finished == Some(false), reason, message.clone());
    status.conditions = conditions.finish();
    status.observed_generation = backfill.metadata.generation;
    status
}

/// What is new about where the backfill stands: another reason, or, while it waits for somebody, other words.
pub(super) fn news(backfill: &FlowBackfill, status: &FlowBackfillStatus) -> Option<Note> {
    let old = backfill.status.as_ref().map(|old| old.conditions.as_slice()).unwrap_or_default();
    let ready = find(&status.conditions, ConditionType::Ready)?;
    let stalled = find(&status.conditions, ConditionType::Stalled)?.status == "True";
    let told = find(old, ConditionType::Ready)
        .is_some_and(|old| old.reason == ready.reason && (!stalled || old.message == ready.message));
    if told {
        return None;
    }
    let reason = Reason::from_word(&ready.reason)?;
    let message = ready.message.clone();
    Some(if stalled { Note::warning(reason, message) } else { Note::normal(reason, message) })
}
