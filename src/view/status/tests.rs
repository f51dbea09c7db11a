//! Objects in the states that people ask about.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::view::objects::Objects;

const NOW: &str = "2026-11-30T12:00:00Z";

fn object<K: DeserializeOwned>(
    kind: &str,
    name: &str,
    spec: impl Into<Value>,
    status: impl Into<Value>,
) -> K {
    serde_json::from_value(json!({
        "apiVersion": "daskflow.dev/v1alpha1", "kind": kind, "spec": spec.into(), "status": status.into(),
        "metadata": {
            "name": name, "namespace": "a", "uid": format!("uid-{name}"), "creationTimestamp": "2026-11-30T11:00:00Z",
        },
    }))
    .unwrap()
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": NOW})
}

fn nightly(conditions: &Value) -> Flow {
    let spec = json!({"cluster": {"ref": {"name": "analytics"}}});
    let status = json!({
        "schedule": "0 2 * * * Europe/Paris", "nextTick": "2026-12-01T01:00:00Z", "conditions": conditions,
    });
    object("Flow", "nightly", spec, status)
}

fn run_of(name: &str, status: Value) -> FlowRun {
    object("FlowRun", name, json!({"flow": "nightly"}), status)
}

fn draw(tree: &Tree) -> String {
    tree.draw(&|_, sign| sign.to_owned())
}

fn drawn(objects: &Objects, tree: impl Fn(&Shown<'_>) -> Tree, detail: bool) -> String {
    let now: Timestamp = NOW.parse().unwrap();
    draw(&tree(&Shown { objects, now, detail }))
}

#[test]
fn a_flow_is_shown_with_its_cluster_its_runs_and_what_to_do() {
    let ready = json!([condition("Ready", "True", "Ready", "")]);
    let cluster_status = json!({"workers": {"ready": 2, "desired": 2}, "conditions": ready});
    let objects = Objects {
        flows: vec![nightly(&ready)],
        clusters: vec![object("DaskCluster", "analytics", json!({"image": "dask:1"}), cluster_status)],
        runs: vec![
            run_of(
                "nightly-1",
                json!({
                    "phase": "Succeeded", "startedAt": "2026-11-30T09:00:00Z", "finishedAt": "2026-11-30T09:00:08Z",
                    "reason": "Succeeded", "tasks": {"total": 304, "failed": 0},
                }),
            ),
            run_of(
                "nightly-2",
                json!({
                    "phase": "Failed", "startedAt": "2026-11-30T10:00:00Z", "finishedAt": "2026-11-30T10:00:09Z",
                    "reason": "FlowFailed", "message": "task 'load': ValueError",
                }),
            ),
            run_of(
                "nightly-3",
                json!({
                    "phase": "Queued", "reason": "ConcurrencyForbidden", "message": "nightly-2 is active", "waitsFor": "FlowPlace",
                }),
            ),
        ],
        ..Objects::default()
    };
    let text = drawn(&objects, |shown| flow(&objects.flows[0], shown), true);
    let wanted = "\
✔ flow/nightly   ready   0 2 * * * Europe/Paris   next 2026-12-01T01:00:00Z (in 13 h)
├─ ✔ cluster/analytics   ready, 2 of 2 workers
├─ ◷ run/nightly-3   Queued, for 60 m: ConcurrencyForbidden: nightly-2 is active
│  └─ → Wait, cancel that run, or set concurrency: Allow.
├─ ✖ run/nightly-2   Failed, after 9 s, 119 m ago: FlowFailed: task 'load': ValueError
│  └─ → The message names the task and its error.
└─ ✔ run/nightly-1   Succeeded, after 8 s, 2 h ago, 304 tasks
";
    assert_eq!(text, wanted);
}

#[test]
fn what_is_wrong_is_said_once_with_what_to_do() {
    let message = "a clock is wrong";
    let flow_with = |stalled: &str| {
        nightly(&json!([
            condition("Ready", "False", "InvalidSchedule", message),
            condition("ScheduleValid", "False", "InvalidSchedule", message),
            condition("Stalled", stalled, "InvalidSchedule", message),
        ]))
    };
    for (stalled, sign) in [("True", "✖"), ("False", "◔")] {
        let objects = Objects { flows: vec![flow_with(stalled)], ..Objects::default() };
        let text = drawn(&objects, |shown| flow(&objects.flows[0], shown), true);
        assert!(text.starts_with(&format!("{sign} flow/nightly   not ready (InvalidSchedule)")), "{text}");
        assert_eq!(text.matches(message).count(), 1, "{text}");
        assert!(text.contains("→ The message names the clock and says what to write."), "{text}");
        assert!(text.contains("cluster/analytics   there is none of this name"), "{text}");
    }
    let objects = Objects { flows: vec![nightly(&json!([]))], ..Objects::default() };
    let text = drawn(&objects, |shown| flow(&objects.flows[0], shown), false);
    assert!(text.contains("no operator has looked at it yet"), "{text}");
}

#[test]
fn a_run_is_shown_with_its_pods_and_events() {
    let status = json!({
        "phase": "Running", "attempt": 2, "startedAt": "2026-11-30T11:59:48Z", "cluster": "analytics", "reason": "RunnerRunning",
        "lastFailure": {"phase": "Failed", "reason": "Evicted", "message": "the node was full", "at": "2026-11-30T11:50:00Z"},
        "mergedParameters": {"days": 7},
    });
    let pod = json!({
        "metadata": {"name": "nightly-1-2", "labels": {"daskflow.dev/run": "nightly-1"}, "creationTimestamp": "2026-11-30T11:59:00Z"},
        "status": {"phase": "Pending", "containerStatuses": [{
            "name": "runner", "image": "", "imageID": "", "ready": false, "restartCount": 1,
            "state": {"waiting": {"reason": "ImagePullBackOff"}},
        }]},
    });
    let event = |uid: &str, kind: &str| {
        json!({
            "metadata": {"name": uid}, "involvedObject": {"uid": uid}, "type": kind, "reason": "RunnerCreated",
            "message": "the Job\nwas created", "lastTimestamp": "2026-11-30T11:55:00Z",
        })
    };
    let objects = Objects {
        runs: vec![run_of("nightly-1", status)],
        pods: vec![serde_json::from_value(pod).unwrap()],
        events: ["uid-nightly-1", "another"]
            .map(|uid| serde_json::from_value(event(uid, "Warning")).unwrap())
            .into(),
        ..Objects::default()
    };
    let wanted = "\
● run/nightly-1   Running, attempt 2, for 12 s
├─ flow/nightly   logical time 2026-11-30T11:00:00Z
├─ parameters {\"days\":7}
├─ the last attempt failed 10 m ago: Evicted: the node was full
├─ cluster/analytics
├─ pod/nightly-1-2   Pending   ImagePullBackOff   restarts: 1   60 s
└─ ! event 5 m ago: RunnerCreated: the Job was created
";
    assert_eq!(drawn(&objects, |shown| run(&objects.runs[0], shown), true), wanted);
}

#[test]
fn all_shows_each_object_once() {
    let own = |name: &str, labels: Value| {
        let mut cluster: DaskCluster = object("DaskCluster", name, json!({"image": "dask:1"}), json!({}));
        cluster.metadata.labels = serde_json::from_value(labels).unwrap();
        cluster
    };
    let backfill = |name: &str, flow: &str| -> FlowBackfill {
        let spec = json!({"flow": flow, "from": "2026-10-01T00:00:00Z", "to": "2026-10-02T00:00:00Z"});
        let status = json!({"done": "5/31", "total": 31, "active": 3, "startedAt": NOW});
        object("FlowBackfill", name, spec, status)
    };
    let mut other = run_of("other-1", json!({"phase": "Queued", "reason": "FlowNotFound"}));
    other.spec.flow = "other".to_owned();
    let objects = Objects {
        flows: vec![nightly(&json!([]))],
        clusters: vec![
            own("analytics", json!({})),
            own("alone", json!({})),
            own("own", json!({"daskflow.dev/run": "x"})),
        ],
        runs: vec![run_of("nightly-1", json!({"phase": "Running"})), other],
        backfills: vec![backfill("october", "nightly"), backfill("lost", "other")],
        ..Objects::default()
    };
    let shown = Shown { objects: &objects, now: NOW.parse().unwrap(), detail: false };
    let text: String = all(&shown).iter().map(draw).collect();
    for name in ["flow/nightly", "cluster/analytics", "cluster/alone", "run/nightly-1", "run/other-1"] {
        assert_eq!(text.matches(&format!("{name}  ")).count(), 1, "{name}: {text}");
    }
    assert!(!text.contains("cluster/own"), "it is its run's: {text}");
    assert!(text.contains("└─ ● backfill/october   under way, 5/31 done, 3 active, 0 failed\n"), "{text}");
    assert!(text.contains("\n● backfill/lost"), "{text}");
}
