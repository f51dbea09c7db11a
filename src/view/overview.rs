//! All that there is, at a glance: Flows with their next tick and last result, runs, and clusters.
//!
//! A row has what is known of one object. What changes with the time alone, such as how long a run has taken
//! so far, is asked with the present moment.

use std::cmp::Ordering;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::ResourceExt;

use crate::api::conditions::ConditionType;
use crate::api::flow_run::TaskCounts;
use crate::api::gateway::GatewayStatus;
use crate::api::{DaskCluster, Flow, FlowRun, Phase};

/// From so many seconds on an instant is shown with its date.
const DAY_S: i64 = 86_400;

/// Which object a row is of.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// Its namespace.
    pub namespace: String,
    /// Its name there.
    pub name: String,
}

impl Name {
    /// That of an object.
    pub fn of(object: &impl ResourceExt) -> Self {
        Self { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
    }
}

/// What a cell is to look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// As any text.
    #[default]
    Plain,
    /// It waits, or is under way.
    Busy,
    /// It is as it should be.
    Well,
    /// It is not.
    Fault,
}

/// One Flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowRow {
    /// Which.
    pub id: Name,
    /// Its schedule in a few words; empty without one.
    pub schedule: String,
    /// When its next run is created.
    pub next: NextTick,
    /// How the newest finished run ended, and when.
    pub last: Option<(Phase, Option<Timestamp>)>,
    /// Why it is not ready, if so.
    pub fault: Option<String>,
}

/// When a Flow runs next by its schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextTick {
    /// At this instant.
    At(Timestamp),
    /// Not until it is resumed.
    Suspended,
    /// Not by a schedule: there is none, or it has ended, or it was not looked at yet.
    Never,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRow {
    /// Which.
    pub id: Name,
    /// Its Flow, in the same namespace.
    pub flow: String,
    /// The DaskCluster in the same namespace, or the address of the scheduler, that it runs on.
    pub cluster: Option<String>,
    /// The address of the dashboard behind a Dask Gateway, where its cluster is one of that.
    pub dashboard: Option<String>,
    /// Its phase.
    pub phase: Phase,
    /// Its tasks, where the engine reports them: once an attempt has ended.
    pub tasks: Option<TaskCounts>,
    /// What it waits for, how it failed, or which attempt it is; empty where there is nothing to say.
    pub why: String,
    created: Option<Timestamp>,
    started: Option<Timestamp>,
    finished: Option<Timestamp>,
}

/// One cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterRow {
    /// Which.
    pub id: Name,
    /// Whether all is there that its spec asks for.
    pub is_ready: bool,
    /// How many workers are registered, and how many its spec asks for.
    pub workers: (i32, i32),
    /// The address of its dashboard, once the scheduler has one.
    pub dashboard: Option<String>,
    /// Why it is not ready; empty where it is.
    pub why: String,
}

/// The rows of all that there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// The Flows, by their names.
    pub flows: Vec<FlowRow>,
    /// The runs, the newest first.
    pub runs: Vec<RunRow>,
    /// The clusters, by their names.
    pub clusters: Vec<ClusterRow>,
}

/// The rows of Flows, by their names.
pub fn flows<'a>(all: impl IntoIterator<Item = &'a Flow>) -> Vec<FlowRow> {
    let mut rows: Vec<FlowRow> = all.into_iter().map(flow).collect();
    rows.sort_by(|one, other| one.id.cmp(&other.id));
    rows
}

/// The rows of runs, the newest first.
pub fn runs<'a>(all: impl IntoIterator<Item = &'a FlowRun>) -> Vec<RunRow> {
    let mut rows: Vec<RunRow> = all.into_iter().map(run).collect();
    rows.sort_by(newest_first);
    rows
}

/// The rows of clusters, by their names.
pub fn clusters<'a>(all: impl IntoIterator<Item = &'a DaskCluster>) -> Vec<ClusterRow> {
    let mut rows: Vec<ClusterRow> = all.into_iter().map(cluster).collect();
    rows.sort_by(|one, other| one.id.cmp(&other.id));
    rows
}

fn newest_first(one: &RunRow, other: &RunRow) -> Ordering {
    // The times of creation are whole seconds; names of ticks have their instants.
    other.created.cmp(&one.created).then_with(|| other.id.cmp(&one.id))
}

fn flow(flow: &Flow) -> FlowRow {
    let status = flow.status.clone().unwrap_or_default();
    let next = match status.next_tick {
        _ if flow.spec.suspend => NextTick::Suspended,
        Some(Time(at)) => NextTick::At(at),
        None => NextTick::Never,
    };
    FlowRow {
        id: Name::of(flow),
        schedule: status.schedule.unwrap_or_default(),
        next,
        last: status.last_run.map(|last| (last.phase, last.finished_at.map(|at| at.0))),
        fault: ready(&status.conditions).filter(|ready| ready.status == "False").map(words),
    }
}

fn run(run: &FlowRun) -> RunRow {
    let status = run.status.clone().unwrap_or_default();
    let why = match (status.phase, status.attempt) {
        (Phase::Succeeded, _) | (Phase::Running, None | Some(..=1)) => String::new(),
        (Phase::Running, Some(attempt)) => format!("attempt {attempt}"),
        _ => joined(status.reason.as_deref(), status.message.as_deref()),
    };
    RunRow {
        id: Name::of(run),
        flow: run.spec.flow.clone(),
        dashboard: status.gateway.as_deref().and_then(GatewayStatus::dashboard_address),
        cluster: status.cluster,
        phase: status.phase,
        tasks: status.tasks,
        why,
        created: run.metadata.creation_timestamp.as_ref().map(|at| at.0),
        started: status.started_at.map(|at| at.0),
        finished: status.finished_at.map(|at| at.0),
    }
}

fn cluster(cluster: &DaskCluster) -> ClusterRow {
    let status = cluster.status.clone().unwrap_or_default();
    let ready = ready(&status.conditions);
    let is_ready = ready.is_some_and(|ready| ready.status == "True");
    ClusterRow {
        id: Name::of(cluster),
        is_ready,
        workers: (status.workers.ready, status.workers.desired),
        dashboard: status.dashboard_address,
        why: ready.filter(|_| !is_ready).map(words).unwrap_or_default(),
    }
}

fn ready(conditions: &[Condition]) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == ConditionType::Ready.as_str())
}

fn words(condition: &Condition) -> String {
    joined(Some(&condition.reason), Some(&condition.message))
}

/// A reason and a message on one line.
fn joined(reason: Option<&str>, message: Option<&str>) -> String {
    let parts = [reason, message].into_iter().flatten().filter(|part| !part.is_empty());
    let text = parts.collect::<Vec<_>>().join(": ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl FlowRow {
    /// When it runs next, by the clock on the wall and in how long.
    pub fn next(&self, now: Timestamp, zone: &TimeZone) -> String {
        match self.next {
            NextTick::At(at) if at <= now => "now".to_owned(),
            NextTick::At(at) => {
                let left = at.duration_since(now).as_secs();
                let format = if left < DAY_S { "%H:%M:%S" } else { "%Y-%m-%d %H:%M" };
                format!("{}, in {}", at.to_zoned(zone.clone()).strftime(format), span(left))
            }
            NextTick::Suspended => "suspended".to_owned(),
            NextTick::Never => "-".to_owned(),
        }
    }

    /// How its newest finished run ended, and how long ago.
    pub fn last(&self, now: Timestamp) -> String {
        match self.last {
            None => "-".to_owned(),
            Some((phase, None)) => phase.as_str().to_owned(),
            Some((phase, Some(at))) => {
                format!("{} {} ago", phase.as_str(), span(now.duration_since(at).as_secs()))
            }
        }
    }

    /// What its last result is to look like.
    pub fn tone(&self) -> Tone {
        self.last.map_or(Tone::Plain, |(phase, _)| tone(phase))
    }
}

impl RunRow {
    /// How long it took, or takes so far; empty until it has started, and while it waits to be tried again.
    pub fn took(&self, now: Timestamp) -> String {
        let until = match self.phase {
            Phase::Running => Some(now),
            phase if phase.is_final() => self.finished,
            _ => None,
        };
        let both = self.started.zip(until);
        both.map(|(from, until)| span(until.duration_since(from).as_secs())).unwrap_or_default()
    }

    /// How many tasks it did, and how many of them failed.
    pub fn tasks(&self) -> String {
        match self.tasks {
            None => String::new(),
            Some(TaskCounts { total, failed: 0 }) => total.to_string(),
            Some(TaskCounts { total, failed }) => format!("{total}, {failed} failed"),
        }
    }

    /// What its phase is to look like.
    pub fn tone(&self) -> Tone {
        tone(self.phase)
    }
}

impl ClusterRow {
    /// How many of its workers are there.
    pub fn workers(&self) -> String {
        format!("{}/{}", self.workers.0, self.workers.1)
    }

    /// What its workers are to look like.
    pub fn tone(&self) -> Tone {
        if self.is_ready { Tone::Well } else { Tone::Busy }
    }

    /// The address of its dashboard if it is ready, else why it is not.
    pub fn dashboard_or_why(&self) -> &str {
        if self.why.is_empty() { self.dashboard.as_deref().unwrap_or_default() } else { &self.why }
    }
}

fn tone(phase: Phase) -> Tone {
    match phase {
        Phase::Queued | Phase::Provisioning | Phase::Running | Phase::Retrying => Tone::Busy,
        Phase::Succeeded => Tone::Well,
        Phase::Failed | Phase::TimedOut => Tone::Fault,
        Phase::Cancelled | Phase::Skipped => Tone::Plain,
    }
}

/// So many seconds in words, by the two largest units: `8 s`, `3 m 20 s`, `2 h 5 m`, `3 d 4 h`.
pub fn span(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / DAY_S);
    let (large, small) = match seconds {
        ..60 => return format!("{seconds} s"),
        60..3_600 => ((minutes, "m"), (seconds % 60, "s")),
        3_600..DAY_S => ((hours, "h"), (minutes % 60, "m")),
        _ => ((days, "d"), (hours % 24, "h")),
    };
    match small {
        (0, _) => format!("{} {}", large.0, large.1),
        (count, unit) => format!("{} {} {count} {unit}", large.0, large.1),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn now() -> Timestamp {
        at("2026-11-30T11:15:00Z")
    }

    fn flow_with(spec: &Value, status: &Value) -> FlowRow {
        let mut spec = spec.clone();
        spec["cluster"] = json!({"ref": {"name": "small"}});
        let object = json!({
            "apiVersion": "daskflow.dev/v1alpha1", "kind": "Flow",
            "metadata": {"name": "etl", "namespace": "team"}, "spec": spec, "status": status,
        });
        flow(&serde_json::from_value(object).unwrap())
    }

    fn run_with(name: &str, created: &str, status: &Value) -> FlowRun {
        let object = json!({
            "apiVersion": "daskflow.dev/v1alpha1", "kind": "FlowRun",
            "metadata": {"name": name, "namespace": "team", "creationTimestamp": created},
            "spec": {"flow": "etl"}, "status": status,
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn spans_have_their_two_largest_units() {
        let cases = [
            (-3, "0 s"),
            (59, "59 s"),
            (60, "1 m"),
            (200, "3 m 20 s"),
            (3_600, "1 h"),
            (7_500, "2 h 5 m"),
            (86_400, "1 d"),
            (273_600, "3 d 4 h"),
        ];
        for (seconds, words) in cases {
            assert_eq!(span(seconds), words);
        }
    }

    #[test]
    fn a_flow_has_its_next_tick_and_its_last_result() {
        let paris = TimeZone::get("Europe/Paris").unwrap();
        let row = flow_with(
            &json!({}),
            &json!({
                "schedule": "every 1m", "nextTick": "2026-11-30T11:16:00Z",
                "lastRun": {"name": "etl-1", "phase": "Failed", "finishedAt": "2026-11-30T11:13:00Z"},
            }),
        );
        assert_eq!(row.id, Name { namespace: "team".to_owned(), name: "etl".to_owned() });
        assert_eq!(row.next(now(), &paris), "12:16:00, in 1 m");
        assert_eq!(row.next(at("2026-11-30T11:16:00Z"), &paris), "now");
        assert_eq!(row.next(at("2026-11-29T10:00:00Z"), &paris), "2026-11-30 12:16, in 1 d 1 h");
        assert_eq!((row.last(now()).as_str(), row.tone()), ("Failed 2 m ago", Tone::Fault));
        assert_eq!((row.schedule.as_str(), row.fault), ("every 1m", None));
    }

    #[test]
    fn a_flow_without_a_next_tick_says_why_there_is_none() {
        let none = flow_with(&json!({}), &Value::Null);
        assert_eq!((none.next(now(), &TimeZone::UTC).as_str(), none.last(now()).as_str()), ("-", "-"));
        let suspended = flow_with(&json!({"suspend": true}), &json!({"nextTick": "2026-11-30T11:16:00Z"}));
        assert_eq!(suspended.next(now(), &TimeZone::UTC), "suspended");
        let condition = json!({
            "type": "Ready", "status": "False", "reason": "Invalid", "message": "no\nsuch zone",
            "lastTransitionTime": "2026-11-30T11:13:00Z",
        });
        let faulty = flow_with(&json!({}), &json!({"conditions": [condition]}));
        assert_eq!(faulty.fault.as_deref(), Some("Invalid: no such zone"));
    }

    #[test]
    fn runs_are_there_with_the_newest_first() {
        let all = [
            run_with("etl-b", "2026-11-30T11:00:00Z", &Value::Null),
            run_with("etl-new", "2026-11-30T11:10:00Z", &Value::Null),
            run_with("etl-c", "2026-11-30T11:00:00Z", &Value::Null),
        ];
        let names: Vec<String> = runs(&all).into_iter().map(|row| row.id.name).collect();
        assert_eq!(names, ["etl-new", "etl-c", "etl-b"]);
    }

    #[test]
    fn a_run_says_how_long_how_many_and_why() {
        let started = "2026-11-30T11:14:00Z";
        let shown = |status: &Value| {
            let row = run(&run_with("etl-1", "2026-11-30T11:13:00Z", status));
            (row.took(now()), row.tasks(), row.why.clone(), row.tone())
        };
        let texts = |took: &str, tasks: &str, why: &str, tone| {
            (took.to_owned(), tasks.to_owned(), why.to_owned(), tone)
        };
        assert_eq!(shown(&Value::Null), texts("", "", "", Tone::Busy));
        let running = json!({"phase": "Running", "attempt": 1, "startedAt": started});
        assert_eq!(shown(&running), texts("1 m", "", "", Tone::Busy));
        let again = json!({"phase": "Running", "attempt": 2, "startedAt": started});
        assert_eq!(shown(&again), texts("1 m", "", "attempt 2", Tone::Busy));
        let retrying = json!({
            "phase": "Retrying", "attempt": 1, "startedAt": started, "reason": "FlowFailed", "message": "no\ntable",
        });
        assert_eq!(shown(&retrying), texts("", "", "FlowFailed: no table", Tone::Busy));
        let succeeded = json!({
            "phase": "Succeeded", "startedAt": started, "finishedAt": "2026-11-30T11:14:08Z",
            "reason": "Succeeded", "message": "304 of 304 tasks", "tasks": {"total": 304, "failed": 0},
        });
        assert_eq!(shown(&succeeded), texts("8 s", "304", "", Tone::Well));
        let failed = json!({
            "phase": "Failed", "startedAt": started, "finishedAt": "2026-11-30T11:14:08Z",
            "reason": "FlowFailed", "message": "task 'load'", "tasks": {"total": 304, "failed": 2},
        });
        assert_eq!(shown(&failed), texts("8 s", "304, 2 failed", "FlowFailed: task 'load'", Tone::Fault));
    }

    #[test]
    fn a_cluster_has_its_dashboard_or_the_reason_why_it_is_not_ready() {
        let cluster_with = |ready: &str| {
            let object = json!({
                "apiVersion": "daskflow.dev/v1alpha1", "kind": "DaskCluster",
                "metadata": {"name": "small", "namespace": "team"}, "spec": {"image": "flows:1"},
                "status": {
                    "workers": {"desired": 2, "ready": 1}, "dashboardAddress": "http://127.0.0.1:1/status",
                    "conditions": [{
                        "type": "Ready", "status": ready, "reason": "WorkersStarting",
                        "message": "1 of 2 workers are registered", "lastTransitionTime": "2026-11-30T11:13:00Z",
                    }],
                },
            });
            cluster(&serde_json::from_value(object).unwrap())
        };
        let ready = cluster_with("True");
        assert_eq!(ready.dashboard_or_why(), "http://127.0.0.1:1/status");
        assert_eq!((ready.workers().as_str(), ready.tone()), ("1/2", Tone::Well));
        let starting = cluster_with("False");
        assert_eq!(starting.dashboard_or_why(), "WorkersStarting: 1 of 2 workers are registered");
        assert_eq!(starting.tone(), Tone::Busy);
    }
}
