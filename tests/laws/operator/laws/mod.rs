//! Laws that are looked at beside the witness, each in a part of its own that sees every change of the store
//! and remembers what it needs.

mod backfills;
mod clusters;
mod edits;
mod parameters;
mod plans;
mod recent;

use daskflow::cluster_api::Changed;
use jiff::Timestamp;
use serde_json::Value;

use crate::dask::Schedulers;

use super::actions::{Act, OnCluster};
use super::history::{Fails, Happening, History};
use super::past::Past;
use super::wire::Fault;

use backfills::Backfills;
use clusters::Clusters;
use edits::Edits;
use parameters::Parameters;
use plans::Plans;

/// What a history has in it that keeps a law from being seen from outside.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is by itself")]
pub struct Unclear {
    /// A request may arrive when what it rests on is long over.
    late: bool,
    /// Caches begin with what was.
    behind: bool,
    /// The operators' clocks are wrong at times.
    clocks: bool,
    /// The clocks of the Flow are changed.
    schedule: bool,
    /// Requests and answers may take long.
    slow: bool,
    /// A scheduler lets others go than those that it was asked to.
    others: bool,
}

impl Unclear {
    fn of(history: &History) -> Self {
        let has = |is: fn(&Happening) -> bool| history.happenings.iter().any(is);
        let is_late = |happening: &Happening| {
            let Happening::Arm(armed) = happening else { return false };
            matches!(armed.fault, Fault::ArrivesLate(_) | Fault::IsAnsweredLate(_))
        };
        Self {
            late: has(is_late),
            behind: has(|happening| {
                matches!(happening, Happening::ListsAreBehind(_) | Happening::Past(Past::Returns { .. }))
            }),
            clocks: has(|happening| matches!(happening, Happening::SetClock(_))),
            slow: has(|happening| {
                !matches!(
                    happening,
                    Happening::Pass(_)
                        | Happening::Compute(_)
                        | Happening::TasksEnd
                        | Happening::Workers(_)
                        | Happening::SuspendFlow(_)
                        | Happening::People(_)
                ) || matches!(happening, Happening::People(Act::Cluster(OnCluster::Answer(..))))
            }),
            others: has(|happening| matches!(happening, Happening::Retirement(Fails::Others))),
            schedule: has(|happening| matches!(happening, Happening::People(Act::Interval(_) | Act::Rename))),
        }
    }
}

/// All of them.
pub struct Laws {
    backfills: Backfills,
    clusters: Clusters,
    edits: Edits,
    parameters: Parameters,
    plans: Plans,
}

impl Laws {
    /// Those that can be seen in this history.
    pub fn of(history: &History, schedulers: Schedulers) -> Self {
        let unclear = Unclear::of(history);
        Self {
            backfills: Backfills::new(unclear),
            clusters: Clusters::new(unclear, schedulers.clone()),
            edits: Edits::new(unclear),
            parameters: Parameters::new(unclear),
            plans: Plans::new(schedulers),
        }
    }

    /// Takes in a change, and gives the law that it breaks.
    pub fn take(&mut self, change: &Changed) -> Result<(), String> {
        self.backfills.take(change)?;
        self.clusters.take(change)?;
        self.edits.take(change)?;
        self.plans.take(change);
        self.parameters.take(change)?;
        waits_for_something(change)
    }

    /// Somebody is about to delete this run.
    pub fn is_deleted_by_people(&mut self, run: &str) {
        self.backfills.is_deleted_by_people(run);
    }

    /// Whether nothing more is to come of what people asked for.
    pub fn are_all_over(&self) -> bool {
        self.backfills.are_all_over()
    }

    /// Looks at what is not in the store.
    pub fn look(&mut self, now: Timestamp) -> Result<(), String> {
        self.plans.look(now);
        self.clusters.look(now)
    }

    /// Something ended by itself or by people, and took with it what it had.
    pub fn forgive(&mut self) {
        self.clusters.forgive();
    }

    /// From now on nothing happens any more.
    pub fn calm_down(&mut self) {
        self.clusters.calms_down();
    }

    /// Whether the cluster is to have no workers.
    pub fn wants_no_workers(&self) -> bool {
        self.clusters.wants_no_workers()
    }

    /// Whether all pods of the cluster are to go, whatever they have.
    pub fn do_all_pods_go(&self) -> bool {
        self.clusters.do_all_pods_go()
    }

    /// Whether the pod of a scheduler that is at work may be replaced.
    pub fn replaces_scheduler(&self, name: &str) -> Result<(), String> {
        self.clusters.replaces_scheduler(name)
    }

    /// What must be so when all has come to rest.
    pub fn at_rest(&self) -> Result<(), String> {
        self.backfills.at_rest()?;
        self.clusters.at_rest()
    }
}

/// A run that is queued says for what.
fn waits_for_something(change: &Changed) -> Result<(), String> {
    let Some(run) = change.after.as_deref().filter(|_| change.kind == "FlowRun") else { return Ok(()) };
    let is_told = number(run, "/status/observedGeneration") > 0;
    let is_queued = is_told && text(run, "/status/phase") == "Queued";
    let waits = !is_queued || !text(run, "/status/waitsFor").is_empty();
    law(waits, || format!("{} is queued and does not say for what", change.name))
}

fn law(holds: bool, broken: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken()) }
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn number(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

fn flag(object: &Value, pointer: &str) -> bool {
    object.pointer(pointer).and_then(Value::as_bool).unwrap_or_default()
}

fn time(object: &Value, pointer: &str) -> Option<Timestamp> {
    text(object, pointer).parse().ok()
}

/// The value of a label or an annotation, whose key has slashes in it.
fn written<'a>(object: &'a Value, part: &str, key: &str) -> &'a str {
    let all = object.get("metadata").and_then(|metadata| metadata.get(part));
    all.and_then(|all| all.get(key)?.as_str()).unwrap_or_default()
}
