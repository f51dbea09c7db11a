//! A runner gets the parameters that its run had when it was made, which are those of a Flow of then.

use std::collections::BTreeMap;

use daskflow::api::labels;
use daskflow::cluster_api::Changed;
use serde_json::{Map, Value};

use super::{Unclear, law, number, text, written};

/// The variable in which a Job hands them to its runner.
const VARIABLE: &str = "DASKFLOW_PARAMETERS";

/// What parameters there were, and which were given.
pub(super) struct Parameters {
    unclear: Unclear,
    /// The specs that the Flow had, by generation.
    specs: BTreeMap<i64, Value>,
    /// The generation that the status tells.
    told: i64,
    /// The parameters of each run, by its uid.
    given: BTreeMap<String, Value>,
}

impl Parameters {
    pub(super) fn new(unclear: Unclear) -> Self {
        Self { unclear, specs: BTreeMap::new(), told: 0, given: BTreeMap::new() }
    }

    pub(super) fn take(&mut self, change: &Changed) -> Result<(), String> {
        let Some(object) = change.after.as_deref() else { return Ok(()) };
        match change.kind {
            "Flow" => {
                let generation = number(object, "/metadata/generation");
                self.specs.entry(generation).or_insert_with(|| object["spec"].clone());
                self.told = number(object, "/status/observedGeneration");
            }
            "FlowRun" if change.before.is_none() => return self.begins(&change.name, object),
            "Job" if change.before.is_none() => return self.starts(&change.name, object),
            _ => {}
        }
        Ok(())
    }

    /// A run is made from the Flow of now, or from one that was changed a moment ago.
    fn begins(&mut self, name: &str, run: &Value) -> Result<(), String> {
        let Some(given) = run.pointer("/spec/mergedParameters") else { return Ok(()) };
        self.given.insert(text(run, "/metadata/uid").to_owned(), given.clone());
        // A backfill reads the Flow by itself, and may be slower than the Flow's own looks.
        let of_backfill = !text(run, "/spec/backfill").is_empty();
        let first = if of_backfill || self.unclear.late { 0 } else { self.told };
        let mut all = self.specs.range(first..).map(|(_, spec)| of_clock(spec, text(run, "/spec/clock")));
        let is_one = all.any(|parameters| parameters == *given);
        law(is_one, || format!("{name} has the parameters {given}, which its Flow had not"))
    }

    fn starts(&self, name: &str, job: &Value) -> Result<(), String> {
        let owner = text(job, "/metadata/ownerReferences/0/uid");
        let Some(given) = self.given.get(owner) else { return Ok(()) };
        let variables = job.pointer("/spec/template/spec/containers/0/env").and_then(Value::as_array);
        let mut variables = variables.into_iter().flatten();
        let found = variables.find(|variable| text(variable, "/name") == VARIABLE);
        let handed =
            found.and_then(|variable| serde_json::from_str::<Value>(variable["value"].as_str()?).ok());
        let run = written(job, "labels", labels::RUN);
        law(handed.as_ref() == Some(given), || format!("{name} hands {handed:?} to {run}, which has {given}"))
    }
}

/// What a run of this clock is to be given: the Flow's parameters, and over them the clock's.
fn of_clock(spec: &Value, clock: &str) -> Value {
    let object = |value: Option<&Value>| value.and_then(Value::as_object).cloned().unwrap_or_default();
    let mut all: Map<String, Value> = object(spec.get("parameters"));
    let clocks = spec.pointer("/schedule/clocks").and_then(Value::as_array).into_iter().flatten();
    for entry in clocks.filter(|entry| text(entry, "/name") == clock) {
        all.extend(object(entry.get("parameters")));
    }
    Value::Object(all)
}
