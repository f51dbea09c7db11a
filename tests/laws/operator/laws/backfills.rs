//! Laws of backfills: each tick of the range has one run that counts, never too many run together, nothing is
//! run again or forgotten that counts, and a backfill that has ended stays so.

use std::collections::{BTreeMap, BTreeSet};

use daskflow::api::labels;
use daskflow::cluster_api::Changed;
use jiff::Timestamp;
use serde_json::Value;

use super::{Unclear, law, number, text, time, written};
use crate::operator::history::CLOCKS;
use crate::operator::witness::is_final;

/// A backfill that is there.
struct Backfill {
    uid: String,
    created: Option<Timestamp>,
    parallelism: usize,
    skip: String,
    /// The names of its runs, each with its clock and tick.
    ticks: BTreeMap<String, Tick>,
    finished_at: String,
    status: Value,
    /// Whether an operator has looked at it.
    is_known: bool,
}

type Tick = (String, Timestamp);

/// A run that is there.
struct Run {
    tick: Option<Tick>,
    phase: String,
    /// The uid of its backfill.
    of: String,
    created: Option<Timestamp>,
    /// Whether its backfill cancelled it, so that its tick is run anew.
    is_taken_back: bool,
}

impl Run {
    fn of(object: &Value) -> Self {
        let phase = text(object, "/status/phase").to_owned();
        let by_backfill = !written(object, "annotations", labels::CANCELLED_BY).is_empty();
        Self {
            tick: time(object, "/spec/scheduledTime")
                .map(|tick| (text(object, "/spec/clock").to_owned(), tick)),
            of: written(object, "annotations", labels::BACKFILL_UID).to_owned(),
            created: time(object, "/metadata/creationTimestamp"),
            is_taken_back: phase == "Cancelled" && by_backfill,
            phase,
        }
    }
}

/// The name of the run of a tick. In these histories all but the first clock have parameters of their own.
fn ticks_of(backfill: &Value) -> BTreeMap<String, Tick> {
    let (Some(from), Some(to)) = (time(backfill, "/spec/from"), time(backfill, "/spec/to")) else {
        return BTreeMap::new();
    };
    let wanted: Vec<&str> =
        backfill["spec"]["clocks"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let clocks = CLOCKS.iter().filter(|(name, _)| wanted.is_empty() || wanted.contains(name));
    let ticks = clocks.flat_map(|(clock, interval)| {
        let is_tick = move |second: &i64| second.rem_euclid(*interval) == 0;
        let seconds = (from.as_second()..=to.as_second()).filter(is_tick);
        let instants = seconds.filter_map(|second| Timestamp::from_second(second).ok());
        instants.filter(move |tick| *tick >= from).map(move |tick| {
            let own = Some(*clock).filter(|clock| *clock != CLOCKS[0].0);
            (daskflow::plan::names::run_name("etl", tick, own), ((*clock).to_owned(), tick))
        })
    });
    ticks.collect()
}

/// All that was seen.
pub(super) struct Backfills {
    unclear: Unclear,
    all: BTreeMap<String, Backfill>,
    runs: BTreeMap<String, Run>,
    /// Every tick that has succeeded.
    succeeded: BTreeSet<Tick>,
    /// The runs that people have deleted.
    by_people: BTreeSet<String>,
}

impl Backfills {
    pub(super) fn new(unclear: Unclear) -> Self {
        Self {
            unclear,
            all: BTreeMap::new(),
            runs: BTreeMap::new(),
            succeeded: BTreeSet::new(),
            by_people: BTreeSet::new(),
        }
    }

    pub(super) fn is_deleted_by_people(&mut self, run: &str) {
        self.by_people.insert(run.to_owned());
    }

    pub(super) fn take(&mut self, change: &Changed) -> Result<(), String> {
        match (change.kind, change.after.as_deref()) {
            ("FlowBackfill", None) => drop(self.all.remove(&change.name)),
            ("FlowBackfill", Some(object)) => return self.take_backfill(&change.name, object),
            ("FlowRun", None) => return self.goes(&change.name),
            ("FlowRun", Some(object)) => {
                let run = Run::of(object);
                if let Some(tick) = run.tick.clone().filter(|_| run.phase == "Succeeded") {
                    self.succeeded.insert(tick);
                }
                let began = if change.before.is_none() { self.begins(&change.name, &run) } else { Ok(()) };
                self.runs.insert(change.name.clone(), run);
                return began;
            }
            _ => {}
        }
        Ok(())
    }

    fn take_backfill(&mut self, name: &str, object: &Value) -> Result<(), String> {
        let uid = text(object, "/metadata/uid");
        let before = self.all.remove(name).filter(|before| before.uid == uid);
        let finished_at = text(object, "/status/finishedAt").to_owned();
        let had_ended = before.as_ref().map(|before| before.finished_at.clone()).unwrap_or_default();
        let backfill = Backfill {
            uid: uid.to_owned(),
            created: time(object, "/metadata/creationTimestamp"),
            parallelism: usize::try_from(number(object, "/spec/parallelism")).unwrap_or_default(),
            skip: text(object, "/spec/skip").to_owned(),
            ticks: ticks_of(object),
            status: object["status"].clone(),
            is_known: number(object, "/status/observedGeneration") > 0,
            finished_at,
        };
        law(had_ended.is_empty() || had_ended == backfill.finished_at, || {
            format!("the backfill {name} had ended, and did so again")
        })?;
        let ends = had_ended.is_empty() && !backfill.finished_at.is_empty();
        let done = if ends && !self.unclear.schedule { self.all_is_done(&backfill) } else { Ok(()) };
        self.all.insert(name.to_owned(), backfill);
        done
    }

    /// Each tick has exactly one run that counts: of this backfill, or one that it was left out for.
    fn all_is_done(&self, backfill: &Backfill) -> Result<(), String> {
        for (name, tick) in &backfill.ticks {
            if self.by_people.contains(name) {
                continue;
            }
            let has_succeeded = backfill.skip != "None" && self.succeeded.contains(tick);
            let Some(run) = self.runs.get(name) else {
                law(has_succeeded, || format!("the backfill has ended, and {name} has no run"))?;
                continue;
            };
            let phase = &run.phase;
            let counts = if run.of == backfill.uid {
                is_final(phase) && !run.is_taken_back
            } else {
                let is_later = !run.of.is_empty() && run.created >= backfill.created;
                backfill.skip == "Ran" || phase == "Succeeded" || has_succeeded || is_later
            };
            law(counts, || format!("the backfill has ended, and {name} is {phase:?}"))?;
        }
        Ok(())
    }

    fn by_uid(&self, uid: &str) -> Option<&Backfill> {
        self.all.values().find(|backfill| backfill.uid == uid)
    }

    fn begins(&self, name: &str, run: &Run) -> Result<(), String> {
        let (Some(backfill), Some(tick)) = (self.by_uid(&run.of), &run.tick) else { return Ok(()) };
        // The record of a clock that was renamed is another one.
        let repeats = backfill.skip != "None" && self.succeeded.contains(tick) && !self.unclear.schedule;
        law(!repeats, || format!("a backfill runs {name}, which has succeeded"))?;
        let is_open = |other: &&Run| other.of == run.of && !is_final(&other.phase);
        let open = self.runs.values().filter(is_open).count();
        law(open < backfill.parallelism, || format!("a backfill has {} runs together", open + 1))?;
        let is_due = self.unclear.clocks || run.created.is_none_or(|created| created >= tick.1);
        law(is_due, || format!("a backfill runs {name}, whose time has not come"))?;
        let is_over = !backfill.finished_at.is_empty() && !self.unclear.late;
        law(!is_over, || format!("a backfill that has ended runs {name}"))
    }

    /// A run goes that people have not deleted.
    fn goes(&mut self, name: &str) -> Result<(), String> {
        let Some(run) = self.runs.remove(name) else { return Ok(()) };
        if self.by_people.contains(name) {
            return Ok(());
        }
        // Who does not know of a backfill cannot count on it.
        let is_clear = |backfill: &&Backfill| backfill.is_known && !self.unclear.behind && !self.unclear.late;
        if self.by_uid(&run.of).as_ref().is_some_and(is_clear) {
            return law(run.is_taken_back, || {
                format!("{name} is deleted with its backfill there, and had had its turn")
            });
        }
        let counts =
            |backfill: &&Backfill| backfill.finished_at.is_empty() && backfill.ticks.contains_key(name);
        let mut counting = self.all.values().filter(counts).filter(is_clear);
        let Some(backfill) = counting.next().filter(|_| !self.unclear.schedule) else { return Ok(()) };
        let may_go = match backfill.skip.as_str() {
            "Ran" => false,
            "None" => is_final(&run.phase),
            _ => is_final(&run.phase) && run.phase != "Succeeded",
        };
        law(may_go, || format!("{name} is deleted while a backfill counts on it, and is {:?}", run.phase))
    }

    pub(super) fn are_all_over(&self) -> bool {
        self.all.values().all(|backfill| !backfill.finished_at.is_empty())
    }

    /// What is told of each adds up.
    pub(super) fn at_rest(&self) -> Result<(), String> {
        for (name, backfill) in &self.all {
            law(!backfill.finished_at.is_empty(), || format!("the backfill {name} never ends"))?;
            let count = |field: &str| number(&backfill.status, &format!("/{field}"));
            let (total, done) = (count("total"), count("succeeded") + count("failed") + count("skipped"));
            let left = (count("active"), count("remaining"));
            law(done == total && left == (0, 0), || {
                format!("the backfill {name} has ended with {done} of {total} and {left:?} left")
            })?;
            let is_whole = i64::try_from(backfill.ticks.len()).is_ok_and(|ticks| ticks == total);
            law(is_whole || self.unclear.schedule, || format!("the backfill {name} has {total} ticks"))?;
        }
        Ok(())
    }
}

#[test]
fn the_ticks_of_a_range_are_those_of_its_clocks() {
    let of = |clocks: Value| {
        let (from, to) = ("2026-12-01T08:59:30Z", "2026-12-01T09:00:15Z");
        let backfill = serde_json::json!({"spec": {"from": from, "to": to, "clocks": clocks}});
        ticks_of(&backfill).into_keys().collect::<Vec<_>>()
    };
    assert_eq!(of(serde_json::json!([])).len(), 6);
    let names = of(serde_json::json!(["c"]));
    assert_eq!((names.len(), names[0].as_str()), (4, "etl-20261201t085930"));
}
