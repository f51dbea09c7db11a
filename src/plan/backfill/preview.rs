//! What a backfill would do, before there is one.

use std::collections::HashMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::ticks::{self, State};
use super::{Observed, ticks_of};
use crate::api::{FlowBackfill, FlowRun, Phase};
use crate::plan::facts::phase_of;
use crate::plan::pods::Violation;

/// What becomes of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// It is run.
    Runs,
    /// It is run; whether it has succeeded once is not known, as it is from before the Flow's record.
    RunsUnrecorded,
    /// The run that it has is deleted, and the tick run anew.
    RunsAnew,
    /// It is left out: it has succeeded, or has a run already.
    LeavesOut,
    /// The run that it has is waited for; how that ends decides.
    AwaitsRun,
    /// It lies ahead, and is run when its time comes.
    AwaitsTime,
}

impl Does {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Runs => "run",
            Self::RunsUnrecorded => "run (no record of it)",
            Self::RunsAnew => "run anew",
            Self::LeavesOut => "leave out",
            Self::AwaitsRun => "wait for its run",
            Self::AwaitsTime => "wait for its time",
        }
    }
}

/// A tick, and what a backfill would do with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreseen {
    /// When it is.
    pub tick: Timestamp,
    /// The name of its run.
    pub run: String,
    /// The clocks that tick.
    pub clocks: Vec<String>,
    /// The phase of the run that is there.
    pub exists: Option<Phase>,
    /// What becomes of it.
    pub does: Does,
}

/// All ticks of a backfill that does not exist yet, in the order of time.
///
/// # Errors
///
/// Why it would start nothing: what its condition `Stalled` would say.
pub fn preview(
    backfill: &FlowBackfill,
    observed: &Observed,
    now: Timestamp,
) -> Result<Vec<Foreseen>, Violation> {
    let mut backfill = backfill.clone();
    // Runs of backfills that are there already are older than it will be.
    backfill.metadata.creation_timestamp.get_or_insert(Time(now));
    let (flow, ticks) = ticks_of(&backfill, observed)?;
    let states = ticks::states(&ticks, &backfill, (flow, &observed.runs), now);
    let phases: HashMap<&str, Phase> =
        observed.runs.iter().map(|run| (name_of(run), phase_of(run))).collect();
    let foreseen = ticks.iter().zip(&states).map(|(tick, state)| Foreseen {
        tick: tick.at,
        run: tick.name.clone(),
        clocks: tick.clocks.clone(),
        exists: phases.get(tick.name.as_str()).copied(),
        does: match state {
            State::Due(None) => Does::Runs,
            State::Due(Some(_)) => Does::RunsAnew,
            State::Unrecorded => Does::RunsUnrecorded,
            State::Succeeded | State::Failed | State::Skipped => Does::LeavesOut,
            State::Active | State::Awaited => Does::AwaitsRun,
            State::Ahead => Does::AwaitsTime,
        },
    });
    Ok(foreseen.collect())
}

fn name_of(run: &FlowRun) -> &str {
    run.metadata.name.as_deref().unwrap_or_default()
}
