//! The past of a Flow: the runs that are there, and those that its status remembers.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::seen::{name_of, namespace_of};
use super::words::link;
use crate::api::{Flow, FlowRun, Phase};
use crate::plan::facts::{due_at, phase_of};
use crate::plan::flow::recent::recent;
use crate::view::age;

/// A run of the past or the present.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Past {
    /// Its name.
    pub name: String,
    /// Its phase.
    pub phase: Phase,
    /// The reason, where it says more than the phase.
    pub reason: Option<String>,
    /// When it began to run.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// Whether the object is there.
    pub exists: bool,
    /// When it came into the line, or ended.
    #[serde(skip)]
    pub order: Timestamp,
    #[serde(skip)]
    namespace: String,
}

/// The runs of a Flow, the oldest first. `runs` are those that are there, in any order.
pub fn past(flow: &Flow, runs: &[&FlowRun]) -> Vec<Past> {
    let namespace = namespace_of(flow);
    let remembered = recent(flow).into_iter().map(|run| Past {
        name: run.name,
        phase: run.phase,
        reason: run.reason,
        started: run.started,
        finished: Some(run.finished),
        exists: false,
        order: run.finished,
        namespace: namespace.to_owned(),
    });
    let mut all: BTreeMap<String, Past> = remembered.map(|run| (run.name.clone(), run)).collect();
    all.extend(runs.iter().map(|run| (name_of(*run).to_owned(), of_run(run))));
    let mut all: Vec<Past> = all.into_values().collect();
    // What has not ended comes after what has.
    all.sort_by_key(|run| (!run.phase.is_final(), run.order));
    all
}

fn of_run(run: &FlowRun) -> Past {
    let status = run.status.as_ref();
    let phase = phase_of(run);
    let reason = status.and_then(|status| status.reason.clone());
    let finished = status.and_then(|status| status.finished_at.as_ref()).map(|at| at.0);
    Past {
        name: name_of(run).to_owned(),
        phase,
        reason: reason.filter(|reason| reason != phase.as_str()),
        started: status.and_then(|status| status.started_at.as_ref()).map(|at| at.0),
        finished,
        exists: true,
        order: finished.filter(|_| phase.is_final()).unwrap_or_else(|| due_at(run)),
        namespace: namespace_of(run).to_owned(),
    }
}

impl Past {
    /// How many seconds it ran, or has run so far.
    pub fn seconds(&self, now: Timestamp) -> i64 {
        let until = if self.phase.is_final() { self.finished } else { Some(now) };
        let took = self.started.zip(until).map(|(from, until)| until.duration_since(from).as_secs());
        took.unwrap_or_default().max(0)
    }

    /// What, when and why, in a few words.
    pub fn words(&self, now: Timestamp) -> String {
        let reason = self.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let took = self.started.map(|_| format!(", {}", age::long(self.seconds(now)))).unwrap_or_default();
        let ended = self.finished.filter(|_| self.phase.is_final());
        let when = ended.map(|at| format!(", {}", age::ago(at, now))).unwrap_or_default();
        format!("{}{reason}{took}{when}", self.phase.as_str())
    }

    /// The address of its page, where the object is there.
    pub fn link(&self) -> Option<String> {
        self.exists.then(|| link("runs", &self.namespace, &self.name))
    }
}

/// How many of those that have ended succeeded: `28 of 30`; empty where none has.
pub fn well(all: &[Past]) -> String {
    let ended = all.iter().filter(|run| run.phase.is_final() && run.phase != Phase::Skipped);
    let (count, good) = ended.fold((0_usize, 0_usize), |(count, good), run| {
        (count + 1, good + usize::from(run.phase == Phase::Succeeded))
    });
    if count == 0 { String::new() } else { format!("{good} of {count}") }
}

/// The newest run that has ended.
pub fn last(all: &[Past]) -> Option<&Past> {
    all.iter().rev().find(|run| run.phase.is_final() && run.phase != Phase::Skipped)
}

/// How many of the newest failed in a row.
pub fn failed_in_a_row(all: &[Past]) -> usize {
    let ended = all.iter().rev().filter(|run| run.phase.is_final() && run.phase != Phase::Skipped);
    ended.take_while(|run| matches!(run.phase, Phase::Failed | Phase::TimedOut)).count()
}
