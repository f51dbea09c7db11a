//! All that is wrong with a Flow and that its schema does not refuse.

use std::time::Duration;

use super::{parameters, ticks};
use crate::api::common::Entrypoint;
use crate::api::duration::Written;
use crate::api::flow::{ClockEntry, Schedule};
use crate::api::{Flow, FlowRun, FlowRunSpec, Reason};
use crate::plan::pods::runner::{self, Attempt, LogicalTime, Target};
use crate::plan::pods::{Violation, quantity};
use crate::plan::run::Ground;
use crate::plan::schedule::{DateSpan, TickFilter, TimeSpan};
use crate::plan::site::Site;
use crate::plan::violations::{all, unreadable};

/// Everything in the spec that the operator could not carry out. Empty for a Flow that it would run.
pub fn violations(flow: &Flow) -> Vec<Violation> {
    let mut found = schedule(flow);
    found.extend(of_runs(flow));
    found
}

/// The same, but for the schedule.
pub(super) fn of_runs(flow: &Flow) -> Vec<Violation> {
    let mut found = durations(flow);
    found.extend(parameters::violations(flow));
    found.extend(quantity::violations(&flow.spec.resources, "spec.resources"));
    found.extend(all(flow, job));
    found.extend(Ground::of(flow).violations());
    found
}

/// The first thing that keeps a run of the Flow from being what the spec says, whichever clock it is of.
pub fn run_violation(flow: &Flow) -> Option<Violation> {
    let of_flow = |field: &str| field.starts_with("spec.schedule.") || field.starts_with("spec.history.");
    of_runs(flow).into_iter().find(|violation| !of_flow(&violation.field))
}

/// What is wrong with the clocks, the same thing once.
pub(super) fn schedule(flow: &Flow) -> Vec<Violation> {
    let Some(schedule) = &flow.spec.schedule else { return Vec::new() };
    let mut found: Vec<Violation> = ticks::collision(schedule).into_iter().collect();
    let mut sound = schedule.clone();
    found.extend(filters(flow, &mut sound));
    for entry in &schedule.clocks {
        // An unknown zone is the fault of the schedule, and found with every clock.
        let new: Vec<Violation> =
            clock(flow, &sound, entry).into_iter().filter(|fault| !found.contains(fault)).collect();
        found.extend(new);
    }
    found
}

/// What is wrong with `only` and `except` by themselves, whatever the clocks are. Groups at fault are dropped
/// from the schedule. Dropping a group only lets more ticks through, so a clock that still has none is at
/// fault in any case.
fn filters(flow: &Flow, schedule: &mut Schedule) -> Vec<Violation> {
    let always = ClockEntry { interval: Some("1s".into()), ..ClockEntry::default() };
    let refused = |only: Option<TickFilter>, except: Option<TickFilter>| {
        ticks::parse_clock(flow, &Schedule { only, except, ..Schedule::default() }, &always).err()
    };
    let mut found = Vec::new();
    if let Some(only) = &mut schedule.only {
        found.extend(spans(only, |lone| refused(Some(lone), None)));
    }
    if let Some(except) = &mut schedule.except {
        found.extend(spans(except, |lone| refused(None, Some(lone))));
    }
    // No time of day may be left between the two, though each is right.
    let times = |filter: Option<&TickFilter>| {
        filter.map(|filter| TickFilter { between: filter.between.clone(), ..TickFilter::default() })
    };
    if let Some(fault) = refused(times(schedule.only.as_ref()), times(schedule.except.as_ref())) {
        found.push(fault);
        for filter in [&mut schedule.only, &mut schedule.except].into_iter().flatten() {
            filter.between.clear();
        }
    }
    found
}

/// What is wrong with the texts of a filter, each looked at alone; `refused` is asked for a filter that has
/// only that text. A group with a fault is dropped.
fn spans(filter: &mut TickFilter, refused: impl Fn(TickFilter) -> Option<Violation>) -> Vec<Violation> {
    let time = |text: &String| {
        let between = vec![TimeSpan { from: text.clone(), to: text.clone() }];
        refused(TickFilter { between, ..TickFilter::default() })
    };
    let date = |text: &String| {
        let dates = vec![DateSpan { from: text.clone(), to: text.clone() }];
        refused(TickFilter { dates, ..TickFilter::default() })
    };
    let times: Vec<_> =
        filter.between.iter().flat_map(|span| [&span.from, &span.to]).filter_map(time).collect();
    let dates: Vec<_> =
        filter.dates.iter().flat_map(|span| [&span.from, &span.to]).filter_map(date).collect();
    if !times.is_empty() {
        filter.between.clear();
    }
    if !dates.is_empty() {
        filter.dates.clear();
    }
    let mut found: Vec<Violation> = Vec::new();
    for fault in times.into_iter().chain(dates) {
        if !found.contains(&fault) {
            found.push(fault);
        }
    }
    found
}

/// What is wrong with one clock: also what stands behind an unknown zone or an impossible end.
fn clock(flow: &Flow, schedule: &Schedule, entry: &ClockEntry) -> Vec<Violation> {
    let mut schedule = schedule.clone();
    let mut entry = entry.clone();
    let mut found = Vec::new();
    while let Err(fault) = ticks::parse_clock(flow, &schedule, &entry) {
        let in_end = fault.field.ends_with(".endAt") && entry.end_at.is_some();
        let in_zone =
            fault.reason == Reason::InvalidTimeZone && ticks::zone(&schedule, &entry) != ticks::DEFAULT_ZONE;
        found.push(fault);
        if in_zone {
            (schedule.time_zone, entry.time_zone) = (None, None);
        } else if in_end {
            entry.end_at = None;
        } else {
            break;
        }
    }
    found
}

/// The longest wait between two attempts that is one: 31 days. A run whose next attempt is further away than
/// that looks as if it hung, and under `Forbid` nothing else of its Flow runs.
const DELAY_MAX: Duration = Duration::from_secs(31 * 24 * 3600);

fn durations(flow: &Flow) -> Vec<Violation> {
    let spec = &flow.spec;
    let limits = [
        ("spec.schedule.jitter", spec.schedule.as_ref().and_then(|schedule| schedule.jitter.as_ref())),
        ("spec.startingDeadline", spec.starting_deadline.as_ref()),
        ("spec.timeout", spec.timeout.as_ref()),
        ("spec.deadline", spec.deadline.as_ref()),
        ("spec.clusterTimeout", spec.cluster_timeout.as_ref()),
        ("spec.cluster.keepOnFailure", spec.cluster.keep_on_failure.as_ref()),
    ];
    let limits = limits.into_iter().filter_map(|(field, limit)| unreadable(field, limit?));
    let waits = spec.retries.iter().flat_map(|retries| {
        [("spec.retries.delay", &retries.delay), ("spec.retries.maxDelay", &retries.max_delay)]
    });
    let waits = waits.filter_map(|(field, wait)| unreadable(field, wait).or_else(|| too_long(field, wait)));
    let age = spec.history.older_than.as_ref().and_then(|age| unreadable("spec.history.olderThan", age));
    limits.chain(waits).chain(age).collect()
}

fn too_long(field: &str, wait: &Written<Duration>) -> Option<Violation> {
    wait.get().filter(|wait| *wait > DELAY_MAX)?;
    let message = format!(
        "`{wait}` is longer than a wait between two attempts may be; write at most 744h, which is 31 days"
    );
    Some(Violation::invalid(field, message))
}

/// The Job of a run, on a cluster that has an image: which one it is shows when it runs.
fn job(flow: &Flow) -> Result<(), Violation> {
    let target = Target {
        address: "tcp://scheduler:8786".to_owned(),
        image: Some("image".to_owned()),
        entrypoint: Some(Entrypoint::Image),
        ..Target::default()
    };
    let attempt = Attempt {
        site: Site::Kubernetes,
        flow,
        run: &FlowRun::new("run", FlowRunSpec::default()),
        number: 1,
        target: &target,
        script: None,
        parameters: serde_json::Map::new(),
        time: LogicalTime::default(),
        timeout: None,
    };
    runner::job(&attempt).map(drop)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_faults_of_a_flow_are_told() {
        let flow: Flow = serde_json::from_value(json!({
            "apiVersion": "daskflow.dev/v1alpha1", "kind": "Flow", "metadata": {"name": "a"},
            "spec": {
                "schedule": {"timeZone": "Europe/Pari", "clocks": [
                    {"name": "a", "cron": "0 2 * * *"}, {"name": "b", "interval": "1h"},
                ]},
                "timeout": "9999999999h",
                "resources": {"requests": {"cpu": "two"}},
                "template": {"spec": {"nodeSelecter": {}, "nodes": 1, "priority": "x"}},
                "cluster": {"template": {"image": "a", "workers": {"args": ["--nprocs=2"]}}},
            },
        }))
        .unwrap();
        let told: Vec<(String, String)> = violations(&flow)
            .into_iter()
            .map(|fault| (fault.field.clone(), fault.said().to_owned()))
            .collect();
        let fields: Vec<&str> = told.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "spec.schedule.timeZone",
                "spec.timeout",
                "spec.resources.requests[cpu]",
                "spec.template",
                "spec.cluster.template.workers.args"
            ]
        );
        assert!(told.iter().all(|(field, said)| !said.starts_with(field)), "{told:?}");
    }

    #[test]
    fn what_stands_behind_a_fault_is_told_as_well() {
        let flow: Flow = serde_json::from_value(json!({
            "apiVersion": "daskflow.dev/v1alpha1", "kind": "Flow", "metadata": {"name": "a"},
            "spec": {"cluster": {}, "schedule": {"timeZone": "Nowhere", "clocks": [
                {"name": "a", "cron": "61 2 * * *", "startAt": "2026-02-01T00:00:00Z", "endAt": "2026-01-01T00:00:00Z"},
            ]}},
        }))
        .unwrap();
        let fields: Vec<String> = violations(&flow).into_iter().map(|fault| fault.field).collect();
        assert_eq!(
            fields,
            ["spec.schedule.timeZone", "spec.schedule.clocks[a].endAt", "spec.schedule.clocks[a].cron"]
        );
    }

    /// The fields of a schedule that are at fault, each with what is said of it.
    fn told(schedule: &serde_json::Value) -> Vec<String> {
        let flow: Flow = serde_json::from_value(json!({
            "apiVersion": "daskflow.dev/v1alpha1", "kind": "Flow", "metadata": {"name": "a"},
            "spec": {"cluster": {}, "schedule": schedule},
        }))
        .unwrap();
        violations(&flow).iter().map(|fault| format!("{} {}", fault.field, fault.said())).collect()
    }

    #[test]
    fn faults_of_filters_are_all_told_with_those_of_the_clocks() {
        let told = told(&json!({
            "clocks": [{"name": "a", "cron": "61 2 * * *"}, {"name": "b", "cron": "0 2 30 2 *"}],
            "only": {
                "between": [{"from": "25:00", "to": "9:61"}, {"from": "25:00", "to": "10:00"}],
                "dates": [{"from": "13-01", "to": "01-31"}],
            },
            "except": {"dates": [{"from": "12-24", "to": "02-30"}]},
        }));
        let begins = [
            "spec.schedule.only `25:00` is no time of day",
            "spec.schedule.only `9:61` is no time of day",
            "spec.schedule.only `13-01` is no day of the year",
            "spec.schedule.except `02-30` is no day of the year",
            "spec.schedule.clocks[a].cron ",
            "spec.schedule.clocks[b].cron ",
        ];
        assert_eq!(told.len(), begins.len(), "{told:#?}");
        assert!(told.iter().zip(begins).all(|(told, begin)| told.starts_with(begin)), "{told:#?}");
    }

    #[test]
    fn filters_that_leave_no_time_do_not_end_the_look() {
        let span = json!([{"from": "09:00", "to": "10:00"}]);
        let told = told(&json!({
            "clocks": [{"name": "a", "cron": "61 2 * * *"}, {"name": "b", "cron": "0 2 1 1 *"}],
            "only": {"between": span}, "except": {"between": span, "dates": [{"from": "01-01", "to": "01-01"}]},
        }));
        let begins = [
            "spec.schedule.except except.between leaves no time of day",
            "spec.schedule.clocks[a].cron ",
            "spec.schedule.only no tick of the clock b passes",
        ];
        assert_eq!(told.len(), begins.len(), "{told:#?}");
        assert!(told.iter().zip(begins).all(|(told, begin)| told.starts_with(begin)), "{told:#?}");
    }

    #[test]
    fn what_a_dropped_group_let_through_is_no_fault() {
        // Without the misspelt span, `only` and `except` would leave nothing.
        let told = told(&json!({
            "clocks": [{"name": "a", "interval": "1h"}],
            "only": {"between": [{"from": "8:00", "to": "12:00"}, {"from": "09:00", "to": "10:00"}]},
            "except": {"between": [{"from": "09:00", "to": "10:00"}]},
        }));
        assert_eq!(told.len(), 1, "{told:#?}");
    }

    #[test]
    fn every_clock_is_looked_at() {
        let flow: Flow = serde_json::from_value(json!({
            "apiVersion": "daskflow.dev/v1alpha1", "kind": "Flow", "metadata": {"name": "a"},
            "spec": {"cluster": {}, "schedule": {"clocks": [
                {"name": "a", "cron": "61 2 * * *"}, {"name": "b", "interval": "1h"}, {"name": "c", "cron": "@often"},
            ]}},
        }))
        .unwrap();
        let fields: Vec<String> = violations(&flow).into_iter().map(|fault| fault.field).collect();
        assert_eq!(fields, ["spec.schedule.clocks[a].cron", "spec.schedule.clocks[c].cron"]);
    }

    #[test]
    fn durations_that_nobody_can_mean_are_told() {
        let flow: Flow = serde_json::from_value(json!({
            "apiVersion": "daskflow.dev/v1alpha1", "kind": "Flow", "metadata": {"name": "a"},
            "spec": {
                "cluster": {},
                "schedule": {"jitter": "9999999999999999999h", "clocks": [{"name": "a", "interval": "1h"}]},
                "history": {"olderThan": "9999999999999999999d"},
                "retries": {"delay": "744h", "maxDelay": "745h"},
            },
        }))
        .unwrap();
        let fields = |flow: &Flow| violations(flow).into_iter().map(|fault| fault.field).collect::<Vec<_>>();
        assert_eq!(
            fields(&flow),
            ["spec.schedule.jitter", "spec.retries.maxDelay", "spec.history.olderThan"]
        );
        assert_eq!(run_violation(&flow).map(|fault| fault.field).as_deref(), Some("spec.retries.maxDelay"));
    }
}
