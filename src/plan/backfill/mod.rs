//! One `FlowBackfill`: which ticks of its range to run now, and which of its runs to cancel.
//!
//! It makes ordinary runs, named after their ticks: creating one is the commit, as for the Flow's own clocks.
//! What has been done is read from the runs, which the Flow's history spares as long as the backfill is
//! there, and from the Flow's record of ticks that have succeeded.
//!
//! Invariants. Nothing is created, deleted, cancelled or called finished on the word of a cache: such a plan
//! is made from runs that were listed live. A tick's run of this backfill is replaced only if the backfill
//! itself cancelled it. A backfill that has ended stays so.

mod preview;
mod status;
mod ticks;

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;

use super::facts::phase_of;
use super::flow::parameters;
use super::pods::Violation;
use super::{Next, Object, Plan, Step, Urgency, Victim, VictimKind, Wants};
use crate::api::flow_backfill::BackfillOrder;
use crate::api::{Flow, FlowBackfill, FlowBackfillStatus, FlowRun, Reason, labels};
use ticks::{State, Tick, is_of};

pub use preview::{Does, Foreseen, preview};
pub use ticks::TICKS_MAX;

/// What was observed of a backfill.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Its Flow.
    pub flow: Option<Arc<Flow>>,
    /// All runs of its Flow, whoever made them.
    pub runs: Vec<Arc<FlowRun>>,
}

/// Whether a backfill may yet start runs. One that is suspended, cancelled or stalled may: somebody can let
/// it go on.
pub fn is_unfinished(backfill: &FlowBackfill) -> bool {
    let ended = backfill.status.as_ref().is_some_and(|status| status.finished_at.is_some());
    !ended && backfill.metadata.deletion_timestamp.is_none()
}

/// The names of the runs, there or not, that an unfinished backfill of `flow` reads from what has been done:
/// at most [`TICKS_MAX`]. None where its ticks cannot be computed, and so none are run.
pub fn runs_counted_on(backfill: &FlowBackfill, flow: &Flow) -> Vec<String> {
    let ticks = ticks::of_range(backfill, flow).unwrap_or_default();
    ticks.into_iter().filter(|_| is_unfinished(backfill)).map(|tick| tick.name).collect()
}

/// Whether a change of `run` may let the backfill go on.
pub fn is_concerned(backfill: &FlowBackfill, run: &FlowRun) -> bool {
    let in_range = |tick: Timestamp| backfill.spec.from.0 <= tick && tick <= backfill.spec.to.0;
    backfill.spec.flow == run.spec.flow
        && is_unfinished(backfill)
        && run.spec.scheduled_time.as_ref().is_some_and(|time| in_range(time.0))
}

/// Plans the next steps for `backfill`.
pub fn plan(backfill: &FlowBackfill, observed: &Observed, now: Timestamp) -> Plan<FlowBackfillStatus> {
    let old = backfill.status.clone().unwrap_or_default();
    if backfill.metadata.deletion_timestamp.is_some() {
        return Plan::status_only(old);
    }
    if old.finished_at.is_some() {
        return Plan::status_only(status::ended(backfill, old));
    }
    let active: Vec<&FlowRun> = observed
        .runs
        .iter()
        .map(AsRef::as_ref)
        .filter(|run| is_of(run, backfill) && !phase_of(run).is_final())
        .collect();
    let mut steps = if backfill.spec.cancel { cancel(backfill, &active) } else { Vec::new() };
    let mut next = Next::Change;
    let status = match ticks_of(backfill, observed) {
        Err(violation) => status::stalled(backfill, &violation, active.len(), now),
        Ok((flow, ticks)) => {
            let mut states = ticks::states(&ticks, backfill, (flow, &observed.runs), now);
            let unrecorded = states.iter().filter(|state| matches!(state, State::Unrecorded)).count();
            let room = room(backfill, active.len());
            let chosen = choose(backfill, &states, room);
            for index in &chosen {
                let (Some(tick), Some(state)) = (ticks.get(*index), states.get_mut(*index)) else { continue };
                steps.extend(start(tick, state, flow, backfill));
                *state = State::Active;
            }
            next = next_tick(backfill, &ticks, &states);
            let active = active.len().saturating_add(chosen.len());
            status::of_ticks(backfill, &states, (active, unrecorded), now)
        }
    };
    let is_certain = steps.is_empty() && status.finished_at.is_none();
    // The Flow as well: runs that name an owner which is gone would be collected at once.
    let wants = if is_certain { Wants::NOTHING } else { Wants::OBJECT | Wants::RUNS | Wants::FLOW };
    let events = status::news(backfill, &status).into_iter().collect();
    Plan { steps, status, events, figures: Vec::new(), next, wants, urgency: Urgency::Now }
}

/// The Flow and the ticks of the range, or why there are none.
fn ticks_of<'a>(
    backfill: &FlowBackfill,
    observed: &'a Observed,
) -> Result<(&'a Flow, Vec<Tick<'a>>), Violation> {
    let there = |flow: &&Flow| flow.metadata.deletion_timestamp.is_none();
    let Some(flow) = observed.flow.as_deref().filter(there) else {
        let message = format!("there is no Flow called {} in this namespace", backfill.spec.flow);
        return Err(Violation { field: "spec.flow".to_owned(), reason: Reason::FlowNotFound, message });
    };
    let ticks = ticks::of_range(backfill, flow)?;
    // Of each clock once: its ticks have the same parameters.
    let mut seen: Vec<&str> = Vec::new();
    for tick in &ticks {
        if seen.contains(&tick.entry.name.as_str()) {
            continue;
        }
        seen.push(&tick.entry.name);
        let run = tick.run(flow, backfill);
        if let Some(violation) = parameters::violation(&parameters::of_run(flow, &run), "spec.parameters") {
            return Err(violation);
        }
    }
    Ok((flow, ticks))
}

/// How many runs may be started now.
fn room(backfill: &FlowBackfill, active: usize) -> usize {
    if backfill.spec.suspend || backfill.spec.cancel {
        return 0;
    }
    backfill.spec.parallelism.size().saturating_sub(active)
}

/// The indexes of the ticks to run now, in the order that was asked for.
fn choose(backfill: &FlowBackfill, states: &[State<'_>], room: usize) -> Vec<usize> {
    let due =
        states.iter().enumerate().filter(|(_, state)| matches!(state, State::Due(_) | State::Unrecorded));
    let due = due.map(|(index, _)| index);
    match backfill.spec.order {
        BackfillOrder::OldestFirst => due.take(room).collect(),
        BackfillOrder::NewestFirst => due.rev().take(room).collect(),
    }
}

/// Makes the run of a tick, in place of an earlier one if there is one.
fn start(tick: &Tick<'_>, state: &State<'_>, flow: &Flow, backfill: &FlowBackfill) -> Vec<Step> {
    let earlier = if let State::Due(earlier) = state { *earlier } else { None };
    let delete = earlier.map(|run| {
        Step::Delete(Victim { kind: VictimKind::Run, name: run.name_any(), uid: run.metadata.uid.clone() })
    });
    let create = Step::Create(Box::new(Object::Run(tick.run(flow, backfill))));
    delete.into_iter().chain([create]).collect()
}

/// Cancels the runs that nobody has cancelled yet, and says who did.
fn cancel(backfill: &FlowBackfill, active: &[&FlowRun]) -> Vec<Step> {
    let asked = |run: &&&FlowRun| !run.spec.cancel && run.metadata.deletion_timestamp.is_none();
    let step = |run: &&FlowRun| Step::Cancel {
        run: run.name_any(),
        uid: run.metadata.uid.clone(),
        annotations: [(labels::CANCELLED_BY.to_owned(), backfill.name_any())].into(),
    };
    active.iter().filter(asked).map(step).collect()
}

/// When the next tick that lies ahead can be run.
fn next_tick(backfill: &FlowBackfill, ticks: &[Tick<'_>], states: &[State<'_>]) -> Next {
    if backfill.spec.suspend || backfill.spec.cancel {
        return Next::Change;
    }
    let ahead = ticks.iter().zip(states).find(|(_, state)| matches!(state, State::Ahead));
    ahead.map_or(Next::Change, |(tick, _)| Next::At(tick.at))
}

#[cfg(test)]
mod tests;
