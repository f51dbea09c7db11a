//! The cases that Kubernetes' own CronJob controller decides in one look at a CronJob, as data: what is
//! created, what is told, when the next look is. Times are of 19 May 2016 in UTC, a Thursday; the schedule is
//! `0 * * * ?`.
//!
//! Here such a look is [`plan`]. Where it decides otherwise the row says by which rule, [`Ours`].
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

use std::sync::Arc;

use daskflow::api::{Flow, FlowRun, FlowRunStatus, FlowStatus, Phase};
use daskflow::plan::flow::{Observed, plan};
use daskflow::plan::{Next, Object, Plan, Step, VictimKind, run};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use serde_json::{Value, json};

use self::Child::{Active, Done, New};
use self::Ours::{GivesWay, Named, Refused, Reported, Same, Waits};
use self::Policy::{Allow, Forbid, Replace};
use self::Spec::{BadSchedule, BadZone, Hourly, InNewYork, InSchedule, Suspended};

/// What happens when a run is due and another one is active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    Allow,
    Forbid,
    Replace,
}

impl Policy {
    /// The value of `spec.concurrency`.
    fn concurrency(self) -> &'static str {
        match self {
            Allow => "Allow",
            Forbid => "Forbid",
            Replace => "Replace",
        }
    }
}

/// How far the CronJob has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Child {
    /// Created at 09:59, never ran.
    New,
    /// Created at 08:59; ran at 09:00, and that run has ended.
    Done,
    /// Created at 08:59; the run of 09:00 is active.
    Active,
}

/// What the spec says beyond the hourly schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spec {
    Hourly,
    BadSchedule,
    BadZone,
    /// `timeZone`, and all times of the row are on the wall there.
    InNewYork,
    /// The same, and `TZ=UTC` in the schedule too.
    InSchedule,
    Suspended,
}

/// How our answer differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ours {
    Same,
    /// A zone inside the schedule is refused rather than warned of.
    Refused,
    /// A tick that was too late is counted in the status and told once; there it is told of in a log.
    Reported,
    /// Under `Forbid` a run waits for the active one; there its tick is dropped.
    Waits,
    /// Under `Replace` the new run is created at once, and the active one is not deleted here: the plan of
    /// the active run stops it, and the new one waits until that has ended.
    GivesWay,
    /// The run of the tick is there from a look whose status was lost. It is seen, and the next look is
    /// known.
    Named,
}

/// Name, policy, spec, child, starting deadline, now; then what the controller does: runs created, runs
/// deleted, runs active afterwards, warnings, minutes until the next look (0: none), whether the status
/// changes; then our rule.
type Row = (&'static str, Policy, Spec, Child, &'static str, &'static str, (u8, u8, u8, u8), i64, bool, Ours);

/// Table D.
const ROWS: [Row; 41] = [
    ("D1", Allow, BadSchedule, New, "", "09:59", (0, 0, 0, 1), 0, false, Same),
    ("D2", Forbid, BadSchedule, New, "", "09:59", (0, 0, 0, 1), 0, false, Same),
    ("D3", Replace, BadSchedule, New, "", "09:59", (0, 0, 0, 1), 0, false, Same),
    ("D4", Allow, BadZone, New, "", "09:59", (0, 0, 0, 1), 0, false, Same),
    ("D5", Allow, Hourly, New, "", "09:59", (0, 0, 0, 0), 1, false, Same),
    ("D6", Forbid, Hourly, New, "", "09:59", (0, 0, 0, 0), 1, false, Same),
    ("D7", Replace, Hourly, New, "", "09:59", (0, 0, 0, 0), 1, false, Same),
    ("D8", Allow, InNewYork, New, "", "09:59", (0, 0, 0, 0), 1, false, Same),
    ("D9", Allow, Hourly, New, "", "10:01", (1, 0, 1, 0), 59, true, Same),
    ("D10", Forbid, Hourly, New, "", "10:01", (1, 0, 1, 0), 59, true, Same),
    ("D11", Replace, Hourly, New, "", "10:01", (1, 0, 1, 0), 59, true, Same),
    ("D12, D13", Allow, InNewYork, New, "", "10:01", (1, 0, 1, 0), 59, true, Same),
    ("D14", Allow, InSchedule, New, "", "10:01", (1, 0, 1, 1), 59, true, Refused),
    ("D15", Allow, Suspended, New, "", "10:01", (0, 0, 0, 0), 0, false, Same),
    ("D16", Allow, Hourly, New, "10s", "10:12", (0, 0, 0, 0), 48, false, Reported),
    ("D17", Allow, Hourly, New, "1000000s", "10:01", (1, 0, 1, 0), 59, true, Same),
    ("D18", Allow, Hourly, Done, "", "09:59", (0, 0, 0, 0), 1, true, Same),
    ("D19", Forbid, Hourly, Done, "", "09:59", (0, 0, 0, 0), 1, true, Same),
    ("D20", Replace, Hourly, Done, "", "09:59", (0, 0, 0, 0), 1, true, Same),
    ("D21", Allow, Hourly, Done, "", "10:01", (1, 0, 1, 0), 59, true, Same),
    ("D22", Forbid, Hourly, Done, "", "10:01", (1, 0, 1, 0), 59, true, Same),
    ("D23", Replace, Hourly, Done, "", "10:01", (1, 0, 1, 0), 59, true, Same),
    ("D24, D25", Allow, Hourly, Done, "", "10:01", (0, 0, 0, 0), 59, true, Named),
    ("D26", Allow, Suspended, Done, "", "10:01", (0, 0, 0, 0), 0, true, Same),
    ("D27", Allow, Hourly, Done, "10s", "10:01", (0, 0, 0, 0), 59, true, Reported),
    ("D28", Allow, Hourly, Done, "1000000s", "10:01", (1, 0, 1, 0), 59, true, Same),
    ("D29", Allow, Hourly, Active, "", "09:59", (0, 0, 1, 0), 1, false, Same),
    ("D30", Forbid, Hourly, Active, "", "09:59", (0, 0, 1, 0), 1, false, Same),
    ("D31", Replace, Hourly, Active, "", "09:59", (0, 0, 1, 0), 1, false, Same),
    ("D32", Allow, Hourly, Active, "", "10:01", (1, 0, 2, 0), 59, true, Same),
    ("D33", Forbid, Hourly, Active, "", "10:01", (0, 0, 1, 0), 59, false, Waits),
    // D35 is D34 where reading the child fails; a plan reads nothing.
    ("D34", Replace, Hourly, Active, "", "10:01", (1, 1, 1, 0), 59, true, GivesWay),
    ("D36", Allow, Suspended, Active, "", "10:01", (0, 0, 1, 0), 0, false, Same),
    ("D37", Allow, Hourly, Active, "10s", "10:01", (0, 0, 1, 0), 59, false, Reported),
    ("D38", Allow, Hourly, Active, "1000000s", "10:01", (1, 0, 2, 0), 59, true, Same),
    ("D39", Allow, Hourly, Done, "1000000s", WEEK_LATER, (1, 0, 1, 1), 60, true, Same),
    ("D40", Replace, Hourly, Done, "1000000s", WEEK_LATER, (1, 0, 1, 1), 60, true, Same),
    ("D41", Forbid, Hourly, Done, "1000000s", WEEK_LATER, (1, 0, 1, 1), 60, true, Same),
    ("D42", Allow, Hourly, Done, "", WEEK_LATER, (1, 0, 1, 1), 60, true, Same),
    ("D43", Replace, Hourly, Done, "", WEEK_LATER, (1, 0, 1, 1), 60, true, Same),
    ("D44", Forbid, Hourly, Done, "", WEEK_LATER, (1, 0, 1, 1), 60, true, Same),
];

/// 168 ticks were missed since the one of 09:00 on the 19th.
const WEEK_LATER: &str = "26 10:00";

#[test]
fn table_d() {
    for row in &ROWS {
        check(row);
    }
}

fn check((id, policy, spec, child, deadline, now, theirs, minutes, writes, rule): &Row) {
    let mut look =
        Look::first(*spec, policy.concurrency(), deadline, if *child == New { "09:59" } else { "08:59" });
    if *child != New {
        look.run_of_nine();
    }
    if *spec == Suspended {
        look.flow.spec.suspend = true;
        look.again(look.at("09:59"));
    }
    if *child == Done {
        look.end_runs();
    }
    if *rule == Named {
        // The operator ended after it had created the run, before it had written the status.
        let lost = look.flow.clone();
        look.again(look.at(now));
        look.end_runs();
        look.flow = lost;
    }
    let before = look.flow.status.clone().unwrap();
    let plan = look.again(look.at(now));
    let created = created(&plan);
    let deleted = plan
        .steps
        .iter()
        .filter(|step| matches!(step, Step::Delete(it) if it.kind == VictimKind::Run))
        .count();
    let active = look.runs.iter().filter(|run| is_active(run)).count();
    let (mut expected, mut next, mut changed) = (*theirs, *minutes, *writes);
    match rule {
        Same => {}
        Refused => (expected, next, changed) = ((0, 0, 0, 1), 0, false),
        Reported => {
            assert_eq!(plan.status.missed, before.missed + 1, "{id}");
            (expected.3, changed) = (1, true);
        }
        Waits => {
            assert_eq!(
                (created.len(), plan.status.admitted.as_slice()),
                (1, &["etl-20160519t090000".to_owned()][..])
            );
            (expected.0, expected.2, changed) = (1, 2, true);
        }
        GivesWay => {
            assert_eq!(plan.status.admitted, [look.runs[0].name_any()], "{id}");
            look.first_run_gives_way();
            (expected.1, expected.2) = (0, 2);
        }
        Named => assert_eq!(look.runs.len(), 2, "{id}: the run is there once"),
    }
    let counts = (created.len(), deleted, active, look.warnings);
    let expected_counts = (expected.0.into(), expected.1.into(), expected.2.into(), expected.3.into());
    assert_eq!(counts, expected_counts, "{id}: created, deleted, active, warnings");
    let expected_next = match next {
        0 => Next::Change,
        minutes => Next::At(look.at(now) + SignedDuration::from_mins(minutes)),
    };
    assert_eq!(plan.next, expected_next, "{id}");
    assert_eq!(plan.status != before, changed, "{id}: status changes to {:?}", plan.status);
    if *now == WEEK_LATER {
        assert_eq!(plan.status.missed, 168, "{id}");
    }
}

/// A Flow, and what came of looking at it.
struct Look {
    flow: Flow,
    runs: Vec<FlowRun>,
    warnings: usize,
    /// To be added to a time on the wall for UTC.
    behind_utc: SignedDuration,
}

impl Look {
    /// The first look, at the creation.
    fn first(spec: Spec, concurrency: &str, deadline: &str, created: &str) -> Self {
        let hours = if matches!(spec, InNewYork | InSchedule) { 4 } else { 0 };
        let mut look = Self {
            flow: flow(spec, concurrency, deadline),
            runs: Vec::new(),
            warnings: 0,
            behind_utc: SignedDuration::from_hours(hours),
        };
        let created = look.at(created);
        look.flow.metadata.creation_timestamp = Some(Time(created));
        look.again(created);
        look
    }

    /// `10:01` on the 19th, or with the day before it.
    fn at(&self, text: &str) -> Timestamp {
        let (day, time) = text.split_once(' ').unwrap_or(("19", text));
        let wall: Timestamp = format!("2016-05-{day}T{time}:00Z").parse().unwrap();
        wall + self.behind_utc
    }

    /// One more look: what is to be created is, and the status is written.
    fn again(&mut self, now: Timestamp) -> Plan<FlowStatus> {
        let runs = self.runs.iter().cloned().map(Arc::new).collect();
        let observed = Observed { runs, cluster_exists: true, ..Observed::default() };
        let plan = plan(&self.flow, &observed, now);
        self.runs.extend(created(&plan));
        self.flow.status = Some(plan.status.clone());
        self.warnings += plan.events.iter().filter(|event| event.warning).count();
        plan
    }

    /// The tick of 09:00 becomes a run, which starts.
    fn run_of_nine(&mut self) {
        self.again(self.at("09:00"));
        assert_eq!(self.runs.len(), 1);
        self.runs[0].status = Some(FlowRunStatus { phase: Phase::Running, ..FlowRunStatus::default() });
        self.again(self.at("09:01"));
    }

    /// The active run stops itself for the new one, and its place goes to that.
    fn first_run_gives_way(&self) {
        let [active, new] = self.runs.as_slice() else { panic!("{} runs", self.runs.len()) };
        let observed = run::Observed {
            flow: Some(Arc::new(self.flow.clone())),
            siblings: vec![Arc::new(new.clone())],
            ..run::Observed::default()
        };
        let stopped = run::plan(active, &observed, self.at("10:01")).status;
        // It has no Job that would have to end first.
        assert_eq!((stopped.phase, stopped.reason.as_deref()), (Phase::Cancelled, Some("Replaced")));
        let mut active = active.clone();
        active.status = Some(stopped);
        let runs = vec![Arc::new(active), Arc::new(new.clone())];
        let observed = Observed { runs, cluster_exists: true, ..Observed::default() };
        assert_eq!(plan(&self.flow, &observed, self.at("10:02")).status.admitted, [new.name_any()]);
    }

    fn end_runs(&mut self) {
        let finished_at = Some(Time(self.at("09:30")));
        for run in &mut self.runs {
            run.status = Some(FlowRunStatus {
                phase: Phase::Succeeded,
                finished_at: finished_at.clone(),
                ..FlowRunStatus::default()
            });
        }
    }
}

fn flow(spec: Spec, concurrency: &str, deadline: &str) -> Flow {
    let (cron, zone) = match spec {
        Hourly | Suspended => ("0 * * * ?", Value::Null),
        BadSchedule => ("obvious error schedule", Value::Null),
        BadZone => ("0 * * * ?", "bad timezone".into()),
        InNewYork => ("0 * * * ?", "America/New_York".into()),
        InSchedule => ("TZ=UTC 0 * * * ?", "America/New_York".into()),
    };
    let deadline = if deadline.is_empty() { Value::Null } else { deadline.into() };
    let flow = json!({
        "apiVersion": "daskflow.dev/v1alpha1",
        "kind": "Flow",
        "metadata": {"name": "etl", "namespace": "team", "uid": "flow-uid", "generation": 1},
        "spec": {
            "cluster": {"ref": {"name": "analytics"}},
            "schedule": {"timeZone": zone, "clocks": [{"name": "c", "cron": cron}]},
            "concurrency": concurrency,
            "startingDeadline": deadline,
        },
    });
    serde_json::from_value(flow).unwrap()
}

fn created(plan: &Plan<FlowStatus>) -> Vec<FlowRun> {
    let created = |step: &Step| match step {
        Step::Create(object) => match object.as_ref() {
            Object::Run(run) => Some(run.clone()),
            other => panic!("{other:?}"),
        },
        _ => None,
    };
    plan.steps.iter().filter_map(created).collect()
}

fn is_active(run: &FlowRun) -> bool {
    run.metadata.deletion_timestamp.is_none()
        && !run.status.as_ref().is_some_and(|status| status.phase.is_final())
}
