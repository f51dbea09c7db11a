//! When a Flow's spec was written, and which tick an edit passed over.
//!
//! The API server notes for each writer when it wrote last (`metadata.managedFields`). It notes nothing where
//! a writer only takes something away, so a time that was known before is not that of a new edit.

use jiff::Timestamp;

use super::observed::Observed;
use super::terms::offset;
use crate::api::flow::ClockStatus;
use crate::api::{Flow, FlowStatus};
use crate::plan::facts::{clocks_of, made_for};

/// When somebody wrote the spec last, as far as the API server says.
fn written_at(flow: &Flow) -> Option<Timestamp> {
    let writers = flow.metadata.managed_fields.iter().flatten();
    // A cache keeps no names of fields; it keeps only those who wrote the spec.
    let wrote_spec = writers.filter(|writer| {
        let fields = writer.fields_v1.as_ref();
        writer.subresource.is_none() && fields.is_none_or(|fields| fields.0.get("f:spec").is_some())
    });
    wrote_spec.filter_map(|writer| writer.time.as_ref()).map(|time| time.0).max()
}

/// What the status says of it.
pub(super) fn known_by(flow: &Flow, old: &FlowStatus, now: Timestamp) -> Timestamp {
    let known = old.spec_written_at.as_ref().map(|time| time.0);
    written_at(flow).or(known).unwrap_or(now)
}

/// When the edit was made that has not been looked at yet: not before what was seen, and not in the future.
pub(super) fn edited_at(flow: &Flow, old: &FlowStatus, now: Timestamp) -> Timestamp {
    let known = old.spec_written_at.as_ref().map(|time| time.0);
    let new = written_at(flow).filter(|written| known.is_some_and(|known| *written > known));
    new.map_or(now, |written| written.min(now))
}

/// The tick that a clock, as it was known, was about to deal with, and that was due when the Flow was edited:
/// it is no run.
pub(super) fn lost_tick(
    flow: &Flow,
    old: &FlowStatus,
    observed: &Observed,
    known: &ClockStatus,
    now: Timestamp,
) -> Option<Timestamp> {
    let tick = known.next_tick.as_ref()?.0;
    let start = tick.checked_add(offset(flow)).unwrap_or(tick);
    let is_run = |run: &crate::api::FlowRun| {
        made_for(run) == Some(tick) && clocks_of(run).any(|clock| clock == known.name)
    };
    let ran = observed.runs.iter().any(|run| is_run(run));
    (start <= edited_at(flow, old, now) && !ran).then_some(tick)
}
