//! What a Flow will do: its next runs, told before anything is in a cluster.
//!
//! The runs are the ones that the operator would create, by the same clocks, under the same names and with
//! the same parameters. When each of them starts is the cluster's matter: under `Forbid` a run waits for the
//! one before it.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use kube::ResourceExt;
use serde_json::{Map, Value};

use super::terms::offset;
use super::{parameters, ticks, violations};
use crate::api::Flow;
use crate::api::flow::ClockEntry;
use crate::plan::pods::Violation;
use crate::plan::schedule::{Clock, find_zone};

/// A run that the operator will create.
#[derive(Clone, Debug, PartialEq)]
pub struct ComingRun {
    /// Its name.
    pub run: String,
    /// Its logical time.
    pub tick: Timestamp,
    /// When it is created: later than its tick by the Flow's share of `jitter`. None where that share is
    /// unknown, because it is drawn from the namespace or the name, and the Flow does not have them yet.
    pub start: Option<Timestamp>,
    /// The IANA name of the zone of its first clock.
    pub zone_name: String,
    /// That zone.
    pub zone: TimeZone,
    /// The clocks that tick then and share the run.
    pub clocks: Vec<String>,
    /// The Flow's parameters, over them the clock's.
    pub parameters: Map<String, Value>,
}

/// What lies ahead of a Flow.
#[derive(Clone, Debug)]
pub struct Outlook {
    /// The next runs, the first one first.
    pub runs: Vec<ComingRun>,
    /// Clocks that start no run because they are suspended themselves.
    pub suspended: Vec<String>,
    /// Clocks that start no further run: they have ended, their dates have passed, or their runs are used up.
    pub ended: Vec<String>,
}

/// A clock and its next tick.
struct Hand<'a> {
    entry: &'a ClockEntry,
    clock: Clock,
    next: Option<Timestamp>,
    /// How many more runs it may start.
    room: Option<u32>,
    zone_name: String,
    zone: TimeZone,
}

impl Hand<'_> {
    /// The first tick later than `after`, while there is room for a run.
    fn turn(&mut self, after: Timestamp) {
        let open = !self.clock.is_suspended() && self.room != Some(0);
        self.next = open.then(|| self.clock.next_after(after)).flatten();
    }
}

/// The first `count` runs of `flow` that start later than `after`; where it is unknown by how much jitter
/// delays them, those with ticks later than `after`. None are ahead of a Flow that has no schedule or is
/// suspended.
///
/// # Errors
///
/// What is wrong with the schedule.
pub fn coming(flow: &Flow, after: Timestamp, count: usize) -> Result<Outlook, Vec<Violation>> {
    let faults = violations::schedule(flow);
    if !faults.is_empty() {
        return Err(faults);
    }
    let schedule = flow.spec.schedule.clone().unwrap_or_default();
    let entries = schedule.clocks.as_slice();
    let offset = known_offset(flow);
    // A run whose tick has passed may still be to start.
    let after = after.checked_sub(offset.unwrap_or_default()).unwrap_or(Timestamp::MIN);
    let hand = |entry| {
        let clock = ticks::parse_clock(flow, &schedule, entry).map_err(|fault| vec![fault])?;
        let zone_name = ticks::zone(&schedule, entry).to_owned();
        let zone = find_zone(&zone_name).unwrap_or(TimeZone::UTC);
        let mut hand = Hand { entry, clock, next: None, room: ticks::room(flow, entry), zone_name, zone };
        hand.turn(after);
        Ok(hand)
    };
    let mut hands = entries.iter().map(hand).collect::<Result<Vec<_>, Vec<Violation>>>()?;
    let ended = hands.iter().filter(|hand| hand.next.is_none() && !hand.clock.is_suspended());
    let ended = ended.map(|hand| hand.entry.name.clone()).collect();
    let mut runs = Vec::new();
    while runs.len() < count
        && let Some(tick) = hands.iter().filter_map(|hand| hand.next).min()
    {
        runs.extend(runs_at(flow, &mut hands, (tick, offset)));
    }
    runs.truncate(count);
    let suspended = entries.iter().filter(|entry| entry.suspend).map(|entry| entry.name.clone()).collect();
    Ok(Outlook { runs, suspended, ended })
}

/// The field of a clock of this Flow by which it starts no run later than `after`, and why, in words.
pub fn why_ended(flow: &Flow, entry: &ClockEntry, after: Timestamp) -> (&'static str, String) {
    let last = entry.dates.iter().flatten().map(|date| date.0).max();
    let counts = |rule: &String| rule.to_ascii_uppercase().contains("COUNT=");
    let starts = |rule: &String| entry.start_at.is_some() || rule.to_ascii_uppercase().contains("DTSTART");
    let spent = entry.max_runs.filter(|_| ticks::room(flow, entry) == Some(0));
    match (&entry.end_at, last, spent, &entry.rrule) {
        (Some(end), ..) if end.0 <= after => ("endAt", format!("its endAt, {}, has passed", end.0)),
        (_, Some(last), ..) if last <= after => {
            ("dates", format!("the last of its dates, {last}, has passed"))
        }
        (_, _, Some(most), _) => ("maxRuns", format!("it has started its maxRuns, {}", most.get())),
        (.., Some(rule)) if counts(rule) && !starts(rule) => {
            ("rrule", "its COUNT counts from 1970, as it has neither a DTSTART nor startAt".to_owned())
        }
        (.., Some(_)) => ("rrule", "its rule has ended".to_owned()),
        _ => ("name", "it has ended".to_owned()),
    }
}

/// How much later than its ticks a Flow starts its runs, if all that this is drawn from is known.
fn known_offset(flow: &Flow) -> Option<Duration> {
    let delays = flow.spec.schedule.as_ref().is_some_and(|schedule| schedule.jitter.is_some());
    let known = flow.metadata.namespace.is_some() && flow.metadata.name.is_some();
    (known || !delays).then(|| offset(flow))
}

/// The runs of one instant, and the clocks that tick then moved on. As in [`ticks::plan`], the first clock of
/// the schedule gives a shared run its parameters.
fn runs_at(
    flow: &Flow,
    hands: &mut [Hand<'_>],
    (tick, offset): (Timestamp, Option<Duration>),
) -> Vec<ComingRun> {
    let mut runs: Vec<ComingRun> = Vec::new();
    for hand in hands.iter_mut().filter(|hand| hand.next == Some(tick)) {
        hand.room = hand.room.map(|room| room.saturating_sub(1));
        hand.turn(tick);
        let run = ticks::run(flow, hand.entry, &hand.clock, tick);
        let (name, clock) = (run.name_any(), hand.entry.name.clone());
        match runs.iter_mut().find(|known| known.run == name) {
            Some(known) => known.clocks.push(clock),
            None => runs.push(ComingRun {
                run: name,
                tick,
                start: offset.map(|offset| tick.checked_add(offset).unwrap_or(tick)),
                zone_name: hand.zone_name.clone(),
                zone: hand.zone.clone(),
                clocks: vec![clock],
                parameters: parameters::merged(flow, &run.spec),
            }),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const AFTER: &str = "2026-03-28T22:59:00Z";

    fn flow(spec: &Value) -> Flow {
        serde_json::from_value(json!({
            "apiVersion": "daskflow.dev/v1alpha1", "kind": "Flow", "metadata": {"name": "report"}, "spec": spec,
        }))
        .unwrap()
    }

    fn told(spec: &Value, count: usize) -> Vec<String> {
        let outlook = coming(&flow(spec), AFTER.parse().unwrap(), count).unwrap();
        let line = |run: &ComingRun| {
            format!("{} {} {}", run.run, run.clocks.join("+"), Value::Object(run.parameters.clone()))
        };
        outlook.runs.iter().map(line).collect()
    }

    #[test]
    fn clocks_of_one_instant_share_a_run_unless_one_overrides() {
        let spec = json!({"cluster": {}, "parameters": {"x": 1, "y": 2}, "schedule": {
            "timeZone": "Europe/Paris",
            "clocks": [
                {"name": "hourly", "interval": "1h"},
                {"name": "daily", "cron": "0 0 * * *"},
                {"name": "full", "cron": "@daily", "parameters": {"y": 3}},
                {"name": "off", "interval": "1s", "suspend": true},
            ],
        }});
        let full = crate::plan::names::clock_hash("full");
        assert_eq!(
            told(&spec, 3),
            [
                r#"report-20260328t230000 hourly+daily {"x":1,"y":2}"#.to_owned(),
                format!(r#"report-20260328t230000-{full} full {{"x":1,"y":3}}"#),
                r#"report-20260329t000000 hourly {"x":1,"y":2}"#.to_owned(),
            ]
        );
        assert_eq!(told(&spec, 1).len(), 1);
    }

    #[test]
    fn nothing_lies_ahead_of_a_suspended_flow_or_one_without_a_schedule() {
        let clocks = json!({"clocks": [{"name": "a", "interval": "1h"}]});
        assert!(told(&json!({"cluster": {}, "suspend": true, "schedule": clocks}), 5).is_empty());
        assert!(told(&json!({"cluster": {}}), 5).is_empty());
    }

    #[test]
    fn a_clock_starts_as_many_runs_as_it_may() {
        let clock = json!({"name": "a", "interval": "1h", "maxRuns": 2});
        let mut flow = flow(&json!({"cluster": {}, "schedule": {"clocks": [clock]}}));
        let outlook = coming(&flow, AFTER.parse().unwrap(), 5).unwrap();
        assert_eq!(outlook.runs.len(), 2);
        flow.status = Some(
            serde_json::from_value(json!({"clocks": [
                {"name": "a", "hash": "", "since": AFTER, "runs": 2}
            ]}))
            .unwrap(),
        );
        assert_eq!(coming(&flow, AFTER.parse().unwrap(), 5).unwrap().runs.len(), 0);
    }

    #[test]
    fn jitter_delays_starts_by_what_namespace_and_name_draw() {
        let clocks = json!([{"name": "a", "interval": "1h"}]);
        let mut flow = flow(&json!({"cluster": {}, "schedule": {"clocks": clocks, "jitter": "1h"}}));
        let after: Timestamp = "2026-03-28T22:01:00Z".parse().unwrap();
        let unknown = coming(&flow, after, 2).unwrap().runs;
        assert!(unknown.iter().all(|run| run.start.is_none() && run.tick > after), "{unknown:?}");
        flow.metadata.namespace = Some("lab".to_owned());
        let offset = offset(&flow);
        assert!(offset > Duration::from_secs(60), "the tick before is to start: {offset:?}");
        let known = coming(&flow, after, 2).unwrap().runs;
        let ticks: Vec<String> = known.iter().map(|run| run.tick.to_string()).collect();
        assert_eq!(ticks, ["2026-03-28T22:00:00Z", "2026-03-28T23:00:00Z"]);
        assert!(known.iter().all(|run| run.start == Some(run.tick + offset)), "{known:?}");
        // A run that starts at this instant is not later than it.
        let later = coming(&flow, known[0].start.unwrap(), 1).unwrap().runs;
        assert_eq!(later[0].tick, known[1].tick);
    }

    #[test]
    fn clocks_that_have_ended_are_named() {
        let mut flow = flow(&json!({"cluster": {}, "schedule": {"clocks": [
            {"name": "live", "interval": "1h"},
            {"name": "over", "interval": "1h", "endAt": "2026-01-01T00:00:00Z"},
            {"name": "past", "dates": ["2026-01-01T00:00:00Z"]},
            {"name": "spent", "interval": "1h", "maxRuns": 1},
            {"name": "off", "interval": "1h", "suspend": true},
        ]}}));
        flow.status = Some(
            serde_json::from_value(json!({"clocks": [
                {"name": "spent", "hash": "", "since": AFTER, "runs": 1}
            ]}))
            .unwrap(),
        );
        let outlook = coming(&flow, AFTER.parse().unwrap(), 1).unwrap();
        assert_eq!(outlook.ended, ["over", "past", "spent"]);
        assert_eq!(outlook.suspended, ["off"]);
        let clocks = flow.spec.schedule.as_ref().unwrap().clocks.clone();
        let why = |at: usize| why_ended(&flow, &clocks[at], AFTER.parse().unwrap());
        assert_eq!(why(1), ("endAt", "its endAt, 2026-01-01T00:00:00Z, has passed".to_owned()));
        assert_eq!(why(3), ("maxRuns", "it has started its maxRuns, 1".to_owned()));
        let both = ClockEntry { end_at: clocks[1].end_at.clone(), ..clocks[3].clone() };
        assert_eq!(why_ended(&flow, &both, AFTER.parse().unwrap()).0, "endAt", "more runs would not help");
    }

    #[test]
    fn a_clock_that_ends_ends() {
        let clock = json!({"name": "a", "interval": "1h", "endAt": "2026-03-29T00:30:00Z"});
        let spec = json!({"cluster": {}, "schedule": {"clocks": [clock]}});
        assert_eq!(told(&spec, 5).len(), 2);
    }

    #[test]
    fn a_schedule_with_faults_has_no_outlook() {
        let spec = json!({"cluster": {}, "schedule": {"clocks": [{"name": "a", "cron": "61 * * * *"}]}});
        assert_eq!(coming(&flow(&spec), AFTER.parse().unwrap(), 1).unwrap_err().len(), 1);
    }
}
