//! What a Flow will do: its next runs, told before anything is in a cluster.
//!
//! The runs are the ones that the operator would create, by the same clocks, under the same names and with the same
//! parameters. When each of them starts is the cluster's matter: under `Forbid` a run waits for the one before it.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use kube::ResourceExt;
use serde_json::{Map, Value};

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
    /// When it is created: later than its tick by the Flow's share of `jitter`.
    pub start: Timestamp,
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

/// The first `count` runs of `flow` with ticks later than `after`. None are ahead of a Flow that has no schedule or is
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
    let hand = |entry| {
        let clock = ticks::parse_clock(flow, &schedule, entry).map_err(|fault| vec![fault])?;
        let zone_name = ticks::zone(&schedule, entry).to_owned();
        let zone = find_zone(&zone_name).unwrap_or(TimeZone::UTC);
        let mut hand = Hand { entry, clock, next: None, room: ticks::room(flow, entry), zone_name, zone };
        hand.turn(after);
        Ok(hand)
    };
    let mut hands = entries.iter().map(hand).collect::<Result<Vec<_>, Vec<Violation>>>()?;
    let mut runs = Vec::new();
    while runs.len() < count
        && let Some(tick) = hands.iter().filter_map(|hand| hand.next).min()
    {
        runs.extend(runs_at(flow, &mut hands, tick));
    }
    runs.truncate(count);
    let suspended = entries.iter().filter(|entry| entry.suspend).map(|entry| entry.name.clone()).collect();
    Ok(Outlook { runs, suspended })
}

/// The runs of one instant, and the clocks that tick then moved on. As in [`ticks::plan`], the first clock of the
/// schedule gives a shared run its parameters.
fn runs_at(flow: &Flow, hands: &mut [Hand<'_>], tick: Timestamp) -> Vec<ComingRun> {
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
                start: tick.checked_add(ticks::offset(flow)).unwrap_or(tick),
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
        let mut flow = flow(&json!({"cluster": {}, "schedule": {"clocks": [clock], "jitter": "30m"}}));
        let outlook = coming(&flow, AFTER.parse().unwrap(), 5).unwrap();
        assert_eq!(outlook.runs.len(), 2);
        let late: Vec<_> = outlook.runs.iter().map(|run| run.start.duration_since(run.tick)).collect();
        assert!(late[0] == late[1] && late[0].as_secs() < 1800, "{late:?}");
        flow.status = Some(
            serde_json::from_value(json!({"clocks": [
                {"name": "a", "hash": "", "since": AFTER, "runs": 2}
            ]}))
            .unwrap(),
        );
        assert_eq!(coming(&flow, AFTER.parse().unwrap(), 5).unwrap().runs.len(), 0);
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
