//! Which ticks a backfill is about, and how far each of them is.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use crate::api::flow::ClockEntry;
use crate::api::flow_backfill::SkippedTicks;
use crate::api::{Flow, FlowBackfill, FlowRun, Phase, Reason, labels};
use crate::plan::facts::phase_of;
use crate::plan::flow::parameters;
use crate::plan::flow::record::Record;
use crate::plan::flow::ticks::{name, parse, run};
use crate::plan::pods::Violation;
use crate::plan::schedule::Clock;

/// The most ticks that one backfill may have. Each keeps a run until all have ended, so this bounds what a
/// backfill stores, and what a look at it costs.
pub const TICKS_MAX: usize = 1_000;

/// One tick of the range.
#[derive(Clone, Debug)]
pub(super) struct Tick<'a> {
    /// When it is.
    pub at: Timestamp,
    /// The name of its run.
    pub name: String,
    /// The clock that ticks. Of several that would make the same run, the first in the schedule.
    pub entry: &'a ClockEntry,
    /// The names of all of them.
    pub clocks: Vec<String>,
    /// The same clock, to be asked for the ticks around this one.
    pub clock: Arc<Clock>,
}

impl Tick<'_> {
    /// The run of this tick as part of a backfill.
    pub fn run(&self, flow: &Flow, backfill: &FlowBackfill) -> FlowRun {
        let mut run = run(flow, self.entry, &self.clock, self.at);
        run.spec.backfill = Some(backfill.name_any());
        run.spec.parameters.clone_from(&backfill.spec.parameters);
        if self.clocks.len() > 1 {
            run.spec.clocks.clone_from(&self.clocks);
        }
        // Those of now: whoever fills a gap wants the parameters that are right today.
        run.spec.merged_parameters = Some(parameters::merged(flow, &run.spec).into());
        run.labels_mut().insert(labels::BACKFILL.to_owned(), backfill.name_any());
        run.annotations_mut()
            .insert(labels::BACKFILL_UID.to_owned(), backfill.metadata.uid.clone().unwrap_or_default());
        run
    }
}

/// How far a tick is.
#[derive(Clone, Copy, Debug)]
pub(super) enum State<'a> {
    /// Its run of this backfill succeeded.
    Succeeded,
    /// Its run ended in any other way, and is not tried again by this backfill.
    Failed,
    /// It is left out, because of the run that it has.
    Skipped,
    /// Its run of this backfill has not ended.
    Active,
    /// It has a run whose end has to be seen first: somebody else's, or one that is being deleted.
    Awaited,
    /// It is to be run, and nobody knows whether it has succeeded once: it is from before the Flow's record.
    Unrecorded,
    /// It can be run, once this earlier run is out of the way.
    Due(Option<&'a FlowRun>),
    /// Its time has not come.
    Ahead,
}

/// The ticks of the range in the order of time, as the Flow's clocks have them now.
///
/// # Errors
///
/// The Flow has no such clocks, or no valid ones, or there are more than [`TICKS_MAX`] ticks. Counting stops
/// there, so that a wide range costs no more than a full one.
pub(super) fn of_range<'a>(backfill: &FlowBackfill, flow: &'a Flow) -> Result<Vec<Tick<'a>>, Violation> {
    let flow_name = flow.name_any();
    let Some(schedule) = &flow.spec.schedule else {
        return Err(Violation {
            field: "spec.flow".to_owned(),
            reason: Reason::NoSchedule,
            message: format!(
                "the Flow {flow_name} has no schedule, so it has no ticks: give it clocks, or create FlowRuns"
            ),
        });
    };
    let clocks = parse(flow, schedule)?;
    let wanted = &backfill.spec.clocks;
    let there = |name: &&String| schedule.clocks.iter().any(|clock| clock.name == **name);
    if let Some(unknown) = wanted.iter().find(|name| !there(name)) {
        let names: Vec<_> = schedule.clocks.iter().map(|clock| clock.name.as_str()).collect();
        let message =
            format!("the Flow {flow_name} has no clock called {unknown}; it has {}", names.join(", "));
        return Err(Violation::invalid("spec.clocks", message));
    }
    let (from, to) = (backfill.spec.from.0, backfill.spec.to.0);
    // A tick is later than what it is asked after.
    let before = from.checked_sub(SignedDuration::from_secs(1)).unwrap_or(from);
    let mut ticks: BTreeMap<(Timestamp, String), Tick<'_>> = BTreeMap::new();
    for (entry, clock) in schedule.clocks.iter().zip(clocks) {
        if !wanted.is_empty() && !wanted.contains(&entry.name) {
            continue;
        }
        let clock = Arc::new(clock);
        let mut next = clock.next_after(before);
        while let Some(at) = next.filter(|at| *at <= to) {
            if at >= from {
                let name = name(flow, entry, at);
                let tick = Tick { at, name: name.clone(), entry, clocks: Vec::new(), clock: clock.clone() };
                ticks.entry((at, name)).or_insert(tick).clocks.push(entry.name.clone());
            }
            if ticks.len() > TICKS_MAX {
                return Err(too_many(from, to));
            }
            next = clock.next_after(at);
        }
    }
    Ok(ticks.into_values().collect())
}

fn too_many(from: Timestamp, to: Timestamp) -> Violation {
    let message = format!(
        "more than {TICKS_MAX} ticks lie between {from} and {to}: create several FlowBackfills of narrower ranges, or name fewer clocks"
    );
    Violation { field: "spec.to".to_owned(), reason: Reason::TooManyTicks, message }
}

/// How far each tick is.
pub(super) fn states<'a>(
    ticks: &[Tick<'_>],
    backfill: &FlowBackfill,
    (flow, runs): (&Flow, &'a [Arc<FlowRun>]),
    now: Timestamp,
) -> Vec<State<'a>> {
    let by_name: HashMap<String, &FlowRun> = runs.iter().map(|run| (run.name_any(), run.as_ref())).collect();
    let records = Records::of(flow);
    let again = backfill.spec.skip == SkippedTicks::None;
    let state = |tick: &Tick<'_>| {
        let of_run = by_name.get(&tick.name).map(|run| of_run(run, backfill));
        // What the record says holds also where a run of the tick is there, under a name of before or after:
        // a clock that was given parameters names its runs otherwise.
        match of_run {
            None | Some(State::Due(_)) if !again && records.contain(tick) => State::Skipped,
            None | Some(State::Due(_)) if tick.at > now => State::Ahead,
            None if !again && !records.reach(tick) => State::Unrecorded,
            None => State::Due(None),
            Some(state) => state,
        }
    };
    ticks.iter().map(state).collect()
}

/// What the Flow remembers of the ticks of its clocks.
struct Records(HashMap<String, Record>);

impl Records {
    fn of(flow: &Flow) -> Self {
        let clocks = flow.status.as_ref().map(|status| status.clocks.as_slice()).unwrap_or_default();
        Self(clocks.iter().map(|clock| (clock.name.clone(), Record::of(clock))).collect())
    }

    /// Whether the tick is known to have succeeded: clocks that share a run share its end.
    fn contain(&self, tick: &Tick<'_>) -> bool {
        self.of_tick(tick).any(|record| record.contains(tick.at))
    }

    /// Whether it would be known. Of a Flow that nobody has looked at no tick has succeeded.
    fn reach(&self, tick: &Tick<'_>) -> bool {
        self.of_tick(tick).all(|record| record.reaches(tick.at))
    }

    fn of_tick<'a>(&'a self, tick: &'a Tick<'_>) -> impl Iterator<Item = &'a Record> {
        tick.clocks.iter().filter_map(|clock| self.0.get(clock))
    }
}

/// How far a tick with this run is.
fn of_run<'a>(run: &'a FlowRun, backfill: &FlowBackfill) -> State<'a> {
    let phase = phase_of(run);
    let ours = is_of(run, backfill);
    if run.metadata.deletion_timestamp.is_some() {
        return if ours && !phase.is_final() { State::Active } else { State::Awaited };
    }
    if !ours && backfill.spec.skip == SkippedTicks::Ran {
        return State::Skipped;
    }
    let again = !ours && backfill.spec.skip == SkippedTicks::None;
    match phase {
        Phase::Succeeded if ours => State::Succeeded,
        Phase::Succeeded if again && !is_of_later_backfill(run, backfill) => State::Due(Some(run)),
        Phase::Succeeded => State::Skipped,
        _ if !phase.is_final() => {
            if ours {
                State::Active
            } else {
                State::Awaited
            }
        }
        Phase::Cancelled if is_cancelled_by(run) => State::Due(Some(run)),
        _ if ours || is_of_later_backfill(run, backfill) => State::Failed,
        _ => State::Due(Some(run)),
    }
}

/// Whether the backfill made the run. One of the same name that was deleted before did not.
pub(super) fn is_of(run: &FlowRun, backfill: &FlowBackfill) -> bool {
    let uid = run.annotations().get(labels::BACKFILL_UID);
    run.spec.backfill.as_ref() == Some(&backfill.name_any()) && uid == backfill.metadata.uid.as_ref()
}

/// Whether it was a backfill that cancelled the run, rather than a user.
pub(super) fn is_cancelled_by(run: &FlowRun) -> bool {
    run.annotations().contains_key(labels::CANCELLED_BY)
}

/// Whether another backfill made the run since this one exists. Two that share a tick which always fails
/// would otherwise run it in turns for ever.
fn is_of_later_backfill(run: &FlowRun, backfill: &FlowBackfill) -> bool {
    run.spec.backfill.is_some()
        && run.metadata.creation_timestamp.as_ref() >= backfill.metadata.creation_timestamp.as_ref()
}
