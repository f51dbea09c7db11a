//! `daskflow next`, the built program: which runs it announces, and how.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

#[path = "cli/program.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod program;

use std::path::Path;

use program::{Ran, daskflow};
use serde_json::{Value, json};

/// The night in which Paris skips the hour from two to three.
const AFTER: &str = "2026-03-28T22:30:00Z";

const REPORT: &str = "apiVersion: daskflow.dev/v1alpha1
kind: Flow
metadata: {name: report}
spec:
  cluster: {ref: {name: analytics}}
  parameters: {region: north, full: false}
  schedule:
    timeZone: Europe/Paris
    clocks:
      - {name: nightly, cron: '30 2 * * *', parameters: {full: true}}
      - {name: hourly, interval: 1h, endAt: '2026-03-29T00:00:00Z'}
      - {name: daily, cron: '0 0 * * *'}
      - {name: paused, interval: 1s, suspend: true}
";

fn next(arguments: &[&str], text: &str) -> Ran {
    let all: Vec<&str> = ["next", "-f", "-", "--after", AFTER].iter().chain(arguments).copied().collect();
    daskflow(Path::new("/"), &all, text)
}

fn flow(name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: daskflow.dev/v1alpha1\nkind: Flow\nmetadata: {{name: {name}}}\nspec:\n  cluster: {{ref: {{name: a}}}}\n{spec}"
    )
}

#[test]
fn the_coming_runs_are_a_table() {
    let squares = flow("squares", "  schedule: {clocks: [{name: often, cron: '*/30 * * * *'}]}\n");
    let ran = next(&["--count", "4"], &format!("{REPORT}{squares}"));
    let expected = "\
FLOW      RUN                           TICK                   LOCAL                       ZONE           CLOCKS         PARAMETERS
report    report-20260328t230000        2026-03-28T23:00:00Z   2026-03-29T00:00:00+01:00   Europe/Paris   hourly,daily   {\"full\":false,\"region\":\"north\"}
report    report-20260329t000000        2026-03-29T00:00:00Z   2026-03-29T01:00:00+01:00   Europe/Paris   hourly         {\"full\":false,\"region\":\"north\"}
report    report-20260329t010000-HASH   2026-03-29T01:00:00Z   2026-03-29T03:00:00+02:00   Europe/Paris   nightly        {\"full\":true,\"region\":\"north\"}
report    report-20260329t220000        2026-03-29T22:00:00Z   2026-03-30T00:00:00+02:00   Europe/Paris   daily          {\"full\":false,\"region\":\"north\"}
squares   squares-20260328t230000       2026-03-28T23:00:00Z   2026-03-28T23:00:00+00:00   Etc/UTC        often          <none>
squares   squares-20260328t233000       2026-03-28T23:30:00Z   2026-03-28T23:30:00+00:00   Etc/UTC        often          <none>
squares   squares-20260329t000000       2026-03-29T00:00:00Z   2026-03-29T00:00:00+00:00   Etc/UTC        often          <none>
squares   squares-20260329t003000       2026-03-29T00:30:00Z   2026-03-29T00:30:00+00:00   Etc/UTC        often          <none>
";
    let hash = daskflow::plan::names::clock_hash("nightly");
    assert_eq!(ran.out, expected.replace("HASH", &hash));
    assert_eq!((ran.code, ran.err.as_str()), (0, "report: the clock paused is suspended\n"));
}

#[test]
fn programs_get_json() {
    let ran = next(&["-n", "1", "-o", "json"], REPORT);
    assert_eq!(
        serde_json::from_str::<Value>(&ran.out).unwrap(),
        json!([{
            "flow": "report",
            "run": "report-20260328t230000",
            "tick": "2026-03-28T23:00:00Z",
            "start": "2026-03-28T23:00:00Z",
            "local": "2026-03-29T00:00:00+01:00",
            "zone": "Europe/Paris",
            "clocks": ["hourly", "daily"],
            "parameters": {"region": "north", "full": false},
        }])
    );
    assert_eq!(ran.code, 0);
}

#[test]
fn five_runs_from_now_on_unless_said_otherwise() {
    let often = flow("often", "  schedule: {clocks: [{name: a, interval: 1m}]}\n");
    let ran = daskflow(Path::new("/"), &["next", "-f", "-", "-o", "json"], &often);
    let rows: Vec<Value> = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(rows.len(), 5);
    let first: jiff::Timestamp = rows[0]["tick"].as_str().unwrap().parse().unwrap();
    assert!(first > "2026-01-01T00:00:00Z".parse().unwrap(), "now, not 1970: {first}");
}

#[test]
fn flows_without_a_tick_ahead_are_told_in_words() {
    let text = [
        flow("bare", ""),
        flow("paused", "  suspend: true\n  schedule: {clocks: [{name: a, interval: 1m}]}\n"),
        flow("over", "  schedule: {clocks: [{name: a, interval: 1m, endAt: '2026-01-01T00:00:00Z'}]}\n"),
        flow("asleep", "  schedule: {clocks: [{name: a, interval: 1m, suspend: true}]}\n"),
    ];
    let ran = next(&[], &text.concat());
    assert_eq!((ran.code, ran.out.as_str()), (0, ""));
    assert_eq!(
        ran.err,
        "bare has no schedule: it runs when a FlowRun is created
paused is suspended: no tick starts a run
over: no clock ticks after 2026-03-28T22:30:00Z
asleep: the clock a is suspended
asleep: no clock ticks after 2026-03-28T22:30:00Z
"
    );
    let ran = next(&["-o", "json"], &text.concat());
    assert_eq!((ran.code, ran.out.as_str()), (0, "[]\n"));
}

#[test]
fn a_flow_with_faults_is_told_as_validate_tells_it() {
    let bad = flow("bad", "  schedule: {clocks: [{name: a, cron: '61 * * * *'}]}\n");
    let ran = next(&["-n", "1"], &format!("{REPORT}{bad}"));
    assert_eq!(ran.code, 1);
    assert_eq!(ran.out.lines().count(), 2, "the other one is told: {ran:?}");
    let fault = "STDIN:20: spec.schedule.clocks[0].cron: minute `61` is out of range; write 0 to 59";
    assert!(ran.err.lines().any(|line| line == fault), "{ran:?}");
}

#[test]
fn without_a_flow_there_is_nothing_to_tell() {
    let ran = next(&[], "apiVersion: v1\nkind: Secret\n");
    assert_eq!((ran.code, ran.err.as_str()), (1, "daskflow: there is no Flow in what was given\n"));
    let ran = daskflow(Path::new("/"), &["next", "-f", "-", "--after", "yesterday"], "");
    assert_eq!(ran.code, 2, "{ran:?}");
    let ran = daskflow(Path::new("/"), &["next", "-f", "-", "--count", "0"], "");
    assert_eq!(ran.code, 2, "{ran:?}");
}
