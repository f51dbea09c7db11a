use serde_json::{Value, json};

use super::*;

const NOW: &str = "2026-11-30T11:15:00Z";
const LATER: &str = "2026-11-30T11:16:00Z";

fn object<K: DeserializeOwned>(kind: &str, spec: &Value, status: &Value) -> K {
    serde_json::from_value(json!({
        "apiVersion": "daskflow.dev/v1alpha1", "kind": kind,
        "metadata": {"name": "etl", "namespace": "team", "uid": spec["uid"], "generation": 1},
        "spec": spec, "status": status,
    }))
    .unwrap()
}

/// A Flow with this clock, which was looked at, with this next tick.
fn flow(clock: &Value, next: Option<&str>) -> Flow {
    let mut clock = clock.clone();
    clock["name"] = json!("often");
    let known = json!({"name": "often", "hash": "a", "since": NOW, "nextTick": next});
    let status = json!({"observedGeneration": 1, "nextTick": next, "clocks": [known]});
    object("Flow", &json!({"cluster": {}, "schedule": {"clocks": [clock]}}), &status)
}

fn run(status: &Value) -> FlowRun {
    object("FlowRun", &json!({"flow": "etl"}), status)
}

fn done(work: &Work) -> Option<Vec<String>> {
    work.is_done(NOW.parse().unwrap())
}

#[test]
fn clocks_are_waited_for_that_have_an_end() {
    let endless = [json!({"interval": "1m"}), json!({"cron": "* * * * *"}), json!({"rrule": "FREQ=DAILY"})];
    for clock in endless {
        assert!(!has_ticks_left(&flow(&clock, Some(LATER)), NOW.parse().unwrap()), "{clock}");
        assert!(has_ticks_left(&flow(&clock, Some(NOW)), NOW.parse().unwrap()), "{clock} is due");
    }
    let ending = [
        json!({"interval": "1m", "endAt": "2026-12-01T00:00:00Z"}),
        json!({"cron": "* * * * *", "maxRuns": 3}),
        json!({"rrule": "FREQ=DAILY;count=3"}),
        json!({"dates": [LATER]}),
    ];
    for clock in ending {
        assert!(has_ticks_left(&flow(&clock, Some(LATER)), NOW.parse().unwrap()), "{clock}");
        assert!(!has_ticks_left(&flow(&clock, None), NOW.parse().unwrap()), "{clock} has ended");
        let mut suspended = clock.clone();
        suspended["suspend"] = json!(true);
        assert!(!has_ticks_left(&flow(&suspended, Some(LATER)), NOW.parse().unwrap()), "{suspended}");
    }
}

#[test]
fn a_flow_is_waited_for_until_it_was_looked_at() {
    let mut new = flow(&json!({"interval": "1m"}), None);
    new.status.as_mut().unwrap().observed_generation = Some(0);
    assert!(has_ticks_left(&new, NOW.parse().unwrap()));
    new.status = None;
    assert!(has_ticks_left(&new, NOW.parse().unwrap()));
    new.spec.suspend = true;
    assert!(has_ticks_left(&new, NOW.parse().unwrap()), "it may be Stalled");
    new.status = flow(&json!({"interval": "1m"}), Some(NOW)).status;
    assert!(!has_ticks_left(&new, NOW.parse().unwrap()), "suspended");
}

#[test]
fn runs_are_waited_for_until_they_have_ended_or_wait_for_a_person() {
    let waits = |status: Value| {
        done(&Work {
            flows: vec![object("Flow", &json!({"cluster": {}}), &json!({"observedGeneration": 1}))],
            runs: vec![run(&status)],
            ..Work::default()
        })
    };
    assert_eq!(waits(Value::Null), None);
    for phase in ["Queued", "Provisioning", "Running", "Retrying"] {
        assert_eq!(waits(json!({"phase": phase})), None);
    }
    assert_eq!(waits(json!({"phase": "Queued", "waitsFor": "FlowPlace"})), None);
    for status in [
        json!({"phase": "Succeeded"}),
        json!({"phase": "Failed"}),
        json!({"phase": "Queued", "waitsFor": "Resume"}),
        json!({"phase": "Queued", "waitsFor": "ClusterResume"}),
    ] {
        assert_eq!(waits(status.clone()), Some(Vec::new()), "{status}");
    }
}

#[test]
fn a_run_or_backfill_without_its_flow_is_stuck() {
    let spec = json!({"flow": "etl", "from": NOW, "to": LATER});
    let orphans = Work {
        runs: vec![run(&json!({"phase": "Queued", "waitsFor": "Flow"}))],
        backfills: vec![object("FlowBackfill", &spec, &Value::Null)],
        ..Work::default()
    };
    let lines = ["backfill etl: there is no Flow etl", "run etl: there is no Flow etl"];
    assert_eq!(done(&orphans), Some(lines.map(str::to_owned).to_vec()));
}

#[test]
fn backfills_are_waited_for_until_all_their_ticks_have_ended() {
    let waits = |further: &Value, status: Value| {
        let mut spec = json!({"flow": "etl", "from": NOW, "to": LATER});
        spec.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
        let flows = vec![object("Flow", &json!({"cluster": {}}), &json!({"observedGeneration": 1}))];
        done(&Work { flows, backfills: vec![object("FlowBackfill", &spec, &status)], ..Work::default() })
    };
    assert_eq!(waits(&json!({}), Value::Null), None);
    assert_eq!(waits(&json!({}), json!({"finishedAt": NOW})), Some(Vec::new()));
    assert_eq!(waits(&json!({"suspend": true}), Value::Null), Some(Vec::new()));
    let stalled = json!({
        "type": "Stalled", "status": "True", "reason": "ScheduleInvalid", "message": "no clock",
        "lastTransitionTime": NOW,
    });
    let lines = vec!["backfill etl: ScheduleInvalid: no clock".to_owned()];
    assert_eq!(waits(&json!({}), json!({"conditions": [stalled]})), Some(lines));
}

#[test]
fn the_exit_code_is_that_of_the_first_run_that_failed() {
    let ended = |uid: &str, phase: &str, at: &str, code: i32| {
        let mut run = run(&json!({"phase": phase, "finishedAt": at, "exitCode": code}));
        run.metadata.uid = Some(uid.to_owned());
        run
    };
    let mut all = Ended::default();
    all.add(&ended("a", "Succeeded", "2026-11-30T11:00:00Z", 0));
    all.add(&ended("b", "Skipped", "2026-11-30T11:00:01Z", 0));
    assert_eq!(all.first_failure, None);
    all.add(&ended("c", "Failed", "2026-11-30T11:00:04Z", 7));
    all.add(&ended("d", "TimedOut", "2026-11-30T11:00:03Z", 143));
    all.add(&ended("d", "TimedOut", "2026-11-30T11:00:03Z", 143));
    all.add(&run(&json!({"phase": "Running"})));
    assert_eq!(all.first_failure.map(|(_, code)| code), Some(124), "that of `timeout`");
    let line = "idle: no run is under way, and none is waited for; 4 have ended, 2 of them failed";
    assert_eq!(all.line(), line);
}
