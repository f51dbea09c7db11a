//! Nothing starts for a time before an edit of its clock or a resumption that the operator has said it knows
//! of.

use std::collections::BTreeMap;

use daskflow::cluster_api::Changed;
use jiff::Timestamp;
use serde_json::Value;

use super::{Unclear, flag, law, number, text, time};

/// What decides when a Flow ticks: of each clock its interval, and whether it is suspended.
type Timing = BTreeMap<String, (String, bool)>;

/// The schedules that there were, and the one that the operator knows.
pub(super) struct Edits {
    unclear: Unclear,
    /// What the schedule was from when on, by generation.
    all: BTreeMap<i64, (Timing, Timestamp)>,
    /// The generation that the status tells.
    told: i64,
    /// Since when each clock of that generation is as it is. A change that is taken back before the operator
    /// looks was never seen by anybody.
    since: BTreeMap<String, Timestamp>,
}

fn timing(flow: &Value) -> Timing {
    let clocks = flow.pointer("/spec/schedule/clocks").and_then(Value::as_array).into_iter().flatten();
    let suspended = flag(flow, "/spec/suspend");
    clocks
        .map(|clock| (text(clock, "/name").to_owned(), (text(clock, "/interval").to_owned(), suspended)))
        .collect()
}

/// When the spec was written last, as the API notes it: in whole seconds.
fn written_at(flow: &Value) -> Option<Timestamp> {
    let writers = flow.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten();
    writers
        .filter(|writer| text(writer, "/subresource").is_empty())
        .filter_map(|writer| time(writer, "/time"))
        .max()
}

impl Edits {
    pub(super) fn new(unclear: Unclear) -> Self {
        Self { unclear, all: BTreeMap::new(), told: 0, since: BTreeMap::new() }
    }

    pub(super) fn take(&mut self, change: &Changed) -> Result<(), String> {
        let Some(object) = change.after.as_deref() else { return Ok(()) };
        match change.kind {
            "Flow" => self.take_flow(object),
            "FlowRun" if change.before.is_none() => return self.begins(&change.name, object),
            _ => {}
        }
        Ok(())
    }

    fn take_flow(&mut self, flow: &Value) {
        let (generation, told) =
            (number(flow, "/metadata/generation"), number(flow, "/status/observedGeneration"));
        if let Some(at) = written_at(flow) {
            self.all.entry(generation).or_insert_with(|| (timing(flow), at));
        }
        if told > self.told {
            let clocks = timing(flow);
            self.since =
                clocks.keys().filter_map(|clock| Some((clock.clone(), self.began(clock, told)?))).collect();
            self.told = told;
        }
    }

    /// Since when a clock is as it is in this generation. Of the first one no tick can be before it.
    fn began(&self, clock: &str, generation: i64) -> Option<Timestamp> {
        let (known, _) = self.all.get(&self.told)?;
        let newest = self.all.range(self.told + 1..=generation).next_back();
        let changed = newest.filter(|(_, (now, _))| now.get(clock) != known.get(clock));
        changed.map(|(_, (_, at))| *at).or_else(|| self.since.get(clock).copied())
    }

    fn begins(&self, name: &str, run: &Value) -> Result<(), String> {
        let of_backfill = !text(run, "/spec/backfill").is_empty();
        if of_backfill || self.unclear.late || self.unclear.clocks {
            return Ok(());
        }
        let Some(tick) = time(run, "/spec/scheduledTime") else { return Ok(()) };
        let Some(since) = self.since.get(text(run, "/spec/clock")) else { return Ok(()) };
        law(tick > *since, || format!("{name} is of a time before {since}, when its clock was edited"))
    }
}
