//! One `Flow`: which runs to create, which to let start, which to forget.
//!
//! Invariants. The name of a run is made from its tick, and creating it is the commit: doing it twice gives
//! one run. Under any policy but `Allow` a run starts only when it stands in `status.admitted`, and that
//! status is written with the resourceVersion it was read with: of two writers one loses, so never more runs
//! than places hold one.

mod admission;
pub mod coming;
mod edits;
mod hints;
mod history;
mod observed;
pub mod parameters;
pub mod recent;
pub(super) mod record;
mod status;
pub(super) mod terms;
pub(super) mod ticks;
mod violations;

pub use hints::{Hint, hints};
pub use observed::{CodeMap, Observed};
pub use violations::{run_violation, violations};

use jiff::Timestamp;

use self::status::Decided;
use super::conditions::{is_true, says};
use super::pods::Violation;
use super::{Next, Note, Plan, Step, Urgency, Wants};
use crate::api::common::ConfigMapKey;
use crate::api::{ConditionType, Flow, FlowStatus, Reason, is_seen};

/// The key of a ConfigMap that has to be looked for: while the spec is new, or the Flow not ready. Users'
/// ConfigMaps are not watched, and a run that starts reads its own anyway.
pub fn code_to_look_for(flow: &Flow) -> Option<&ConfigMapKey> {
    let settled = flow.status.as_ref().is_some_and(|status| {
        status.observed_generation == flow.metadata.generation
            && is_true(&status.conditions, ConditionType::Ready)
    });
    flow.spec.code.as_ref()?.config_map.as_ref().filter(|_| !settled)
}

/// Plans the next steps for `flow`.
pub fn plan(flow: &Flow, observed: &Observed, now: Timestamp) -> Plan<FlowStatus> {
    if flow.metadata.deletion_timestamp.is_some() {
        return Plan::status_only(flow.status.clone().unwrap_or_default());
    }
    let old = flow.status.clone().unwrap_or_default();
    let ticks = ticks::plan(flow, &old, observed, now);
    let admitted = admission::plan(flow, &old, observed, &ticks.created);
    let mut steps: Vec<Step> = ticks.created.iter().map(ticks::create).collect();
    if !observed.unwritten {
        steps.extend(history::runs(flow, observed, now));
        steps.extend(history::code(flow, observed, now));
    }
    let mut events = Vec::new();
    if ticks.missed.all > 0 {
        let count = ticks.missed.all;
        let message = format!(
            "{count} ticks passed without a run: the operator was away, and catchUp or startingDeadline do not let them start late, or their clock was edited before they started"
        );
        events.push(Note::warning(Reason::TickMissed, message).after_steps());
    }
    // Each run would fail by a fault of these. Looking builds a Job, so once for the event and the status.
    let fault = ticks.violation.clone().or_else(|| violations::of_runs(flow).into_iter().next());
    events.extend(news(flow, fault.as_ref()));
    let mut next = ticks.next.map_or(Next::Change, Next::At);
    if let Some(at) = history::next(flow, observed, now) {
        next = next.sooner(Next::At(at), now);
    }
    let status = status::status(flow, observed, Decided { ticks: &ticks, admitted, fault }, now);
    // Of what no cache knows nothing tells when it ends.
    let asks = observed.code_missing.is_some() || !observed.found.is_empty();
    if asks || history::is_to_follow(flow, &status, observed, now) {
        next = next.sooner(Next::After(status::ASK_AGAIN), now);
    }
    let mut plan = Plan { steps, events, figures: ticks.missed.figures(), next, ..Plan::status_only(status) };
    let creates = !ticks.created.is_empty();
    plan.wants = wants(flow, &plan, creates);
    // The ticks of all Flows become runs before the first of them is given its place, or is told that it was
    // seen.
    let can_wait = creates || (plan.wants.is_nothing() && !is_seen(old.observed_generation));
    plan.urgency = if can_wait { Urgency::InTurn } else { Urgency::Now };
    plan
}

/// What the plan rests on. A Flow that a cache has may be of before a tick whose run has come and gone, or of
/// before what was counted. A run that no cache knows yet must not be one of the missed, nor one that a cache
/// still has and that was counted and deleted one of those given up.
fn wants(flow: &Flow, plan: &Plan<FlowStatus>, creates: bool) -> Wants {
    if counts(flow, plan) {
        return Wants::OBJECT | Wants::RUNS;
    }
    if creates { Wants::OBJECT } else { Wants::NOTHING }
}

/// Whether the plan counts ticks as missed, or runs as given up.
fn counts(flow: &Flow, plan: &Plan<FlowStatus>) -> bool {
    let of = |status: &FlowStatus| (status.missed, status.skipped);
    let (missed, skipped) = flow.status.as_ref().map(of).unwrap_or_default();
    plan.status.missed > missed || plan.status.skipped > skipped
}

/// A violation is told when it is new.
fn news(flow: &Flow, violation: Option<&Violation>) -> Option<Note> {
    let violation = violation?;
    let conditions = flow.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let told = says(conditions, ConditionType::Stalled, &violation.message);
    (!told).then(|| Note::warning(violation.reason, violation.message.clone()))
}

#[cfg(test)]
mod tests;
