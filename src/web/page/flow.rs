//! One Flow.

use askama::Template;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::Serialize;
use serde_json::Value;

use super::bars::{Bars, bars};
use super::calendar::{Day, calendar};
use super::flows::fault;
use super::frame::Frame;
use super::past::{Past, past, well};
use super::runs::{Row, row};
use super::seen::{Seen, name_of, namespace_of};
use super::words::{cut, flow_link, link, second};
use crate::api::{Flow, FlowRun, Kind};
use crate::plan::flow::coming::{ComingRun, coming};
use crate::plan::run::Ground;
use crate::view::{age, cure};

/// How many of its runs are listed; the list of all has the others.
const RUNS_MAX: usize = 20;
/// How many runs of the past a program gets.
const PAST_MAX: usize = 200;
/// How many coming runs are shown.
const COMING: usize = 10;
/// How many runs the chart of durations has, and how high it is.
const CHART: (usize, i64) = (60, 80);
/// How much of a manifest a page has, in characters; the whole is a file to download.
const MANIFEST_MAX: usize = 16_000;

/// A condition as a row.
#[derive(Clone, Debug, Serialize)]
pub struct Fact {
    /// Its type.
    pub name: String,
    /// Whether it holds.
    pub status: String,
    /// Why.
    pub reason: String,
    /// The same in a sentence.
    pub message: String,
    /// What to do, where something is to be done.
    pub cure: Option<String>,
}

/// A run that is to come.
#[derive(Clone, Debug, Serialize)]
pub struct Coming {
    /// When it starts.
    pub start: Timestamp,
    /// The same, and in how long.
    #[serde(skip)]
    pub words: String,
    /// The same on the wall clock of its zone.
    pub local: String,
    /// The zone.
    pub zone: String,
    /// The clocks.
    pub clocks: String,
    /// Its parameters.
    pub parameters: String,
}

/// A parameter of the Flow, for the form.
#[derive(Clone, Debug, Serialize)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its value: a text as it is, anything else as JSON.
    pub value: String,
}

/// One Flow.
#[derive(Template, Serialize)]
#[template(path = "flow.html")]
pub struct OneFlow {
    /// Around it.
    #[serde(skip)]
    pub frame: Frame,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its page.
    #[serde(skip)]
    pub link: String,
    /// Its schedule in a few words.
    pub schedule: String,
    /// Whether it is suspended.
    pub suspended: bool,
    /// Why it is not ready.
    pub fault: Option<String>,
    /// When its next run is created, in words.
    #[serde(skip)]
    pub next: Option<String>,
    /// The cluster that its runs share, and its page.
    #[serde(skip)]
    pub cluster: Option<(String, String)>,
    /// How many of the runs that are known succeeded.
    pub well: String,
    /// How long they took on average.
    pub average: Option<String>,
    /// Ticks that passed without a run.
    pub missed: i64,
    /// Runs that were given up before they started.
    pub skipped: i64,
    /// Its conditions.
    pub conditions: Vec<Fact>,
    /// The days of the last weeks.
    pub calendar: Vec<Day>,
    /// The zone of the calendar.
    pub zone: String,
    /// How long the runs took.
    #[serde(skip)]
    pub chart: Bars,
    /// The longest of them.
    #[serde(skip)]
    pub longest: String,
    /// What is known of its runs, the oldest first.
    pub past: Vec<Past>,
    /// The runs to come.
    pub coming: Vec<Coming>,
    /// Why there are none, or fewer.
    pub notes: Vec<String>,
    /// The newest runs.
    #[serde(skip)]
    pub runs: Vec<Row>,
    /// How many runs there are.
    #[serde(skip)]
    pub total: usize,
    /// Its backfills.
    pub backfills: Vec<(String, String)>,
    /// Its parameters.
    pub parameters: Vec<Parameter>,
    /// Its manifest.
    #[serde(skip)]
    pub manifest: String,
}

/// One Flow with all that is known of it.
pub fn flow(frame: Frame, seen: &Seen, flow: &Flow, now: Timestamp) -> OneFlow {
    let runs: Vec<&FlowRun> = seen.runs_of(flow);
    let past = past(flow, &runs);
    let status = flow.status.clone().unwrap_or_default();
    let zone = flow.spec.schedule.as_ref().and_then(|schedule| schedule.time_zone.clone());
    let zone = zone.unwrap_or_else(|| "Etc/UTC".to_owned());
    let (ahead, notes) = ahead(flow, now);
    let longest = past.iter().map(|run| run.seconds(now)).max().unwrap_or_default();
    let cluster = Ground::of(flow).shared().map(str::to_owned);
    OneFlow {
        frame,
        namespace: namespace_of(flow).to_owned(),
        name: name_of(flow).to_owned(),
        link: flow_link(flow),
        schedule: status.schedule.clone().unwrap_or_default(),
        suspended: flow.spec.suspend,
        fault: fault(flow),
        next: status
            .next_tick
            .as_ref()
            .filter(|_| !flow.spec.suspend)
            .map(|at| age::ahead(second(at.0), now)),
        cluster: cluster.map(|name| (link("clusters", namespace_of(flow), &name), name)),
        well: well(&past),
        average: average(&past, now),
        missed: status.missed,
        skipped: status.skipped,
        conditions: facts(&status.conditions, Kind::Flow),
        calendar: calendar(&past, &TimeZone::get(&zone).unwrap_or(TimeZone::UTC), now),
        zone,
        chart: bars(&past, CHART, now),
        longest: age::long(longest),
        past: past.get(past.len().saturating_sub(PAST_MAX)..).unwrap_or_default().to_vec(),
        coming: ahead,
        notes,
        total: runs.len(),
        runs: runs.into_iter().take(RUNS_MAX).map(|run| row(run, now)).collect(),
        backfills: backfills(seen, flow),
        parameters: parameters(flow),
        manifest: cut(&manifest(flow), MANIFEST_MAX),
    }
}

/// Conditions as rows.
pub fn facts(conditions: &[Condition], kind: Kind) -> Vec<Fact> {
    let fact = |one: &Condition| {
        let is_bad = match one.type_.as_str() {
            "Stalled" | "Reconciling" | "Failed" => one.status == "True",
            _ => one.status == "False",
        };
        Fact {
            name: one.type_.clone(),
            status: one.status.clone(),
            reason: one.reason.clone(),
            message: one.message.clone(),
            cure: cure::cure(kind, &one.reason).filter(|_| is_bad),
        }
    };
    conditions.iter().map(fact).collect()
}

/// The runs to come, by the planner's own clocks; and why there are none.
fn ahead(flow: &Flow, now: Timestamp) -> (Vec<Coming>, Vec<String>) {
    if flow.spec.schedule.is_none() {
        return (Vec::new(), vec!["it has no schedule, and runs when a run is asked for".to_owned()]);
    }
    if flow.spec.suspend {
        return (Vec::new(), vec!["it is suspended: no tick starts a run".to_owned()]);
    }
    match coming(flow, now, COMING) {
        Err(faults) => (Vec::new(), faults.iter().map(|fault| fault.said().to_owned()).collect()),
        Ok(outlook) => {
            let suspended = outlook.suspended.iter().map(|clock| format!("the clock {clock} is suspended"));
            let ended = outlook.ended.iter().map(|clock| format!("the clock {clock} has no further tick"));
            (outlook.runs.iter().map(|run| row_ahead(run, now)).collect(), suspended.chain(ended).collect())
        }
    }
}

fn row_ahead(run: &ComingRun, now: Timestamp) -> Coming {
    let start = run.start.unwrap_or(run.tick);
    let parameters = Value::Object(run.parameters.clone());
    Coming {
        start,
        words: age::ahead(start, now),
        local: run.tick.to_zoned(run.zone.clone()).strftime("%a %Y-%m-%d %H:%M:%S %Z").to_string(),
        zone: run.zone_name.clone(),
        clocks: run.clocks.join(", "),
        parameters: if run.parameters.is_empty() { String::new() } else { cut(&parameters.to_string(), 200) },
    }
}

/// How long the runs took that succeeded.
fn average(past: &[Past], now: Timestamp) -> Option<String> {
    let took: Vec<i64> = past
        .iter()
        .filter(|run| run.phase == crate::api::Phase::Succeeded)
        .map(|run| run.seconds(now))
        .collect();
    let number = i64::try_from(took.len()).ok()?;
    took.iter().sum::<i64>().checked_div(number).map(age::long)
}

fn backfills(seen: &Seen, flow: &Flow) -> Vec<(String, String)> {
    let all = seen.backfills.iter().map(AsRef::as_ref);
    let of = all.filter(|fill: &&crate::api::FlowBackfill| {
        fill.spec.flow == name_of(flow) && namespace_of(*fill) == namespace_of(flow)
    });
    let words = |fill: &crate::api::FlowBackfill| {
        let status = fill.status.clone().unwrap_or_default();
        let done = status.done.unwrap_or_else(|| "not looked at yet".to_owned());
        format!(
            "{} to {}: {done}, {} active, {} failed",
            fill.spec.from.0, fill.spec.to.0, status.active, status.failed
        )
    };
    of.map(|fill| (name_of(fill).to_owned(), words(fill))).collect()
}

/// The parameters of a Flow as texts.
pub fn parameters(flow: &Flow) -> Vec<Parameter> {
    let all = flow.spec.parameters.as_ref().and_then(Value::as_object);
    let text = |value: &Value| match value {
        // A text that reads as JSON would become what it reads as, and a field of one line loses line breaks
        // (HTML, "strip newlines"): both are written as JSON.
        Value::String(text)
            if serde_json::from_str::<Value>(text).is_err() && !text.contains(['\n', '\r']) =>
        {
            text.clone()
        }
        other => other.to_string(),
    };
    let one = |(name, value): (&String, &Value)| Parameter { name: name.clone(), value: text(value) };
    all.map(|all| all.iter().map(one).collect()).unwrap_or_default()
}

/// The manifest of a Flow: what a person wrote, and not what became of it.
pub fn manifest(flow: &Flow) -> String {
    let mut written = flow.clone();
    written.status = None;
    written.metadata.managed_fields = None;
    if let Some(notes) = &mut written.metadata.annotations {
        notes.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    serde_yaml::to_string(&written).unwrap_or_default()
}
