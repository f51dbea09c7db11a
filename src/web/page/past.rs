//! The past of a Flow: the runs that are there, and those that its status remembers.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::seen::{name_of, namespace_of};
use super::words::link;
use crate::api::{Flow, FlowRun, Phase};
use crate::plan::facts::{due_at, phase_of};
use crate::plan::flow::recent::{Recent, each};
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
    let remembered = each(flow).map(|run| Past {
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
        order: if phase.is_final() { ended_at(run) } else { due_at(run) },
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
    let ended = all.iter().filter(|run| has_ended(run.phase));
    let (count, good) = ended.fold((0_usize, 0_usize), |(count, good), run| {
        (count + 1, good + usize::from(run.phase == Phase::Succeeded))
    });
    if count == 0 { String::new() } else { format!("{good} of {count}") }
}

/// The newest run that has ended.
pub fn last(all: &[Past]) -> Option<&Past> {
    all.iter().rev().find(|run| has_ended(run.phase))
}

/// Whether the newest run of a Flow that has ended failed: as [`failed_in_a_row`] has it of the [`past`],
/// which takes long to make for all Flows.
pub fn newest_failed(flow: &Flow, runs: &[&FlowRun]) -> bool {
    let ended = runs.iter().filter(|run| has_ended(phase_of(run)));
    let newest =
        ended.map(|run| (ended_at(run), name_of(*run), phase_of(run))).max_by_key(|one| (one.0, one.1));
    let is_newer =
        |one: &Recent| newest.is_none_or(|(at, name, _)| (one.finished, one.name.as_str()) > (at, name));
    // The newest comes first. What is said of one that is there counts for nothing.
    let remembered =
        each(flow).take_while(is_newer).find(|one| runs.iter().all(|run| name_of(*run) != one.name));
    let phase = remembered.map(|one| one.phase).or(newest.map(|(.., phase)| phase));
    phase.is_some_and(has_failed)
}

fn has_ended(phase: Phase) -> bool {
    phase.is_final() && phase != Phase::Skipped
}

fn has_failed(phase: Phase) -> bool {
    matches!(phase, Phase::Failed | Phase::TimedOut)
}

/// When a run that has ended did so.
fn ended_at(run: &FlowRun) -> Timestamp {
    let finished = run.status.as_ref().and_then(|status| status.finished_at.as_ref());
    finished.map_or_else(|| due_at(run), |at| at.0)
}

/// How many of the newest failed in a row.
pub fn failed_in_a_row(all: &[Past]) -> usize {
    let ended = all.iter().rev().filter(|run| has_ended(run.phase));
    ended.take_while(|run| has_failed(run.phase)).count()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn that_the_newest_run_failed_is_known_without_its_past() {
        let flow = |recent: &[&str]| {
            let flow = json!({
                "apiVersion": "daskflow.dev/v1alpha1", "kind": "Flow", "metadata": {"name": "etl", "namespace": "a"},
                "spec": {"cluster": {"ref": {"name": "a"}}}, "status": {"recent": recent},
            });
            serde_json::from_value::<Flow>(flow).unwrap()
        };
        let run = |name: &str, phase: &str, second: i64| {
            let run = json!({
                "apiVersion": "daskflow.dev/v1alpha1", "kind": "FlowRun", "spec": {"flow": "etl"},
                "metadata": {"name": name, "namespace": "a", "creationTimestamp": "1970-01-01T00:00:00Z"},
                "status": {"phase": phase, "finishedAt": Timestamp::from_second(second).unwrap()},
            });
            serde_json::from_value::<FlowRun>(run).unwrap()
        };
        let (well, bad) = ("-2||Succeeded||100|200", "-2||TimedOut||100|200");
        let runs = [
            run("etl-1", "Failed", 150),
            run("etl-2", "Failed", 150),
            run("etl-2", "Succeeded", 250),
            run("etl-3", "Succeeded", 150),
            run("etl-3", "Skipped", 250),
            run("etl-3", "Running", 250),
        ];
        let mut seen = [0, 0];
        for recent in [vec![], vec![well], vec![bad], vec!["-3||Failed||1|300", well], vec!["not read", bad]]
        {
            let flow = flow(&recent);
            for (at, one) in runs.iter().enumerate() {
                for other in &runs[..=at] {
                    // Two of one name are not there at the same time.
                    let of_two = [one, other];
                    let count = 1 + usize::from(name_of(of_two[0]) != name_of(of_two[1]));
                    for runs in [&of_two[..0], &of_two[..1], &of_two[..count]] {
                        let failed = failed_in_a_row(&past(&flow, runs)) > 0;
                        assert_eq!(newest_failed(&flow, runs), failed, "{recent:?} {runs:?}");
                        seen[usize::from(failed)] += 1;
                    }
                }
            }
        }
        assert!(seen.iter().all(|count| *count > 20), "{seen:?}");
    }
}
