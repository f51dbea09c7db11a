//! `daskflow next`, the built program: which runs it announces, and how.

use std::path::Path;

use super::program::{Ran, daskflow};
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
    let ran = next(&["--count", "1", "-o", "json"], REPORT);
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
over: the clock a has no tick after 2026-03-28T22:30:00Z: its endAt, 2026-01-01T00:00:00Z, has passed
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
    let ran = next(&["--count", "1"], &format!("{REPORT}{bad}"));
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

/// The Flow `spread`, whose runs start up to an hour late.
fn spread(namespace: &str) -> String {
    let spec = "  schedule: {jitter: 1h, clocks: [{name: a, interval: 1h}]}\n";
    flow("spread", spec).replace("{name: spread}", &format!("{{name: spread{namespace}}}"))
}

/// When the first run after [`AFTER`] starts, by the program.
fn first_run(arguments: &[&str], text: &str) -> Value {
    let arguments: Vec<&str> = [&["-o", "json", "--count", "1"][..], arguments].concat();
    let rows: Vec<Value> = serde_json::from_str(&next(&arguments, text).out).unwrap();
    rows[0].clone()
}

#[test]
fn the_namespace_decides_when_a_run_starts() {
    let lab = first_run(&[], &spread(", namespace: lab"));
    assert_eq!(first_run(&["-n", "lab"], &spread("")), lab);
    assert_eq!(first_run(&["--namespace", "lab"], &spread("")), lab);
    assert_ne!(first_run(&["-n", "attic"], &spread(""))["start"], lab["start"]);
    assert_eq!(first_run(&["-n", "attic"], &spread(", namespace: lab")), lab, "the manifest's is the one");
    let (tick, start) = (instant(&lab["tick"]), instant(&lab["start"]));
    assert!(start > AFTER.parse().unwrap() && start > tick && start.duration_since(tick).as_secs() <= 3600);

    let ran = next(&["-o", "json", "--count", "1"], &spread(""));
    assert_eq!(
        ran.err,
        "spread: by its jitter its runs start up to 1h later than their ticks; by how much depends on the namespace (--namespace)\n"
    );
    let rows: Vec<Value> = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((rows[0].get("start"), &rows[0]["tick"]), (None, &json!("2026-03-28T23:00:00Z")));
    assert_eq!(next(&["-n", ""], &spread("")).code, 2, "an empty text is no namespace");
}

fn instant(text: &Value) -> jiff::Timestamp {
    text.as_str().unwrap().parse().unwrap()
}

#[test]
fn a_run_whose_tick_has_passed_is_told_until_it_starts() {
    let text = spread(", namespace: lab");
    let first = first_run(&[], &text);
    let (tick, start) = (instant(&first["tick"]), instant(&first["start"]));
    let first_after = |after: jiff::Timestamp| {
        let after = after.to_string();
        let ran = daskflow(Path::new("/"), &["next", "-f", "-", "--after", &after, "-o", "json"], &text);
        serde_json::from_str::<Vec<Value>>(&ran.out).unwrap()[0]["tick"].clone()
    };
    let second = jiff::SignedDuration::from_secs(1);
    assert_eq!(instant(&first_after(tick)), tick);
    assert_eq!(instant(&first_after(start - second)), tick);
    assert!(instant(&first_after(start)) > tick);
}

#[test]
fn starts_are_a_column_where_jitter_delays_one() {
    let text =
        format!("{}{}", flow("plain", "  schedule: {clocks: [{name: a, interval: 1h}]}\n"), spread(""));
    let columns = |ran: &Ran| ran.out.lines().next().unwrap().split_whitespace().map(str::to_owned).collect();
    let ran = next(&["--count", "1"], &text);
    let header: Vec<String> = columns(&ran);
    assert_eq!(header, ["FLOW", "RUN", "TICK", "LOCAL", "ZONE", "CLOCKS", "PARAMETERS"], "no start is known");
    let ran = next(&["--count", "1", "-n", "lab"], &text);
    let header: Vec<String> = columns(&ran);
    assert_eq!(header, ["FLOW", "RUN", "TICK", "START", "LOCAL", "ZONE", "CLOCKS", "PARAMETERS"]);
    let cells: Vec<Vec<&str>> =
        ran.out.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(cells[0][3], cells[0][2], "a Flow without jitter starts its runs at their ticks");
    let late = cells[1][3].parse::<jiff::Timestamp>().unwrap().duration_since(cells[1][2].parse().unwrap());
    assert_eq!(ran.err, format!("spread: by its jitter its runs start {late:#} later than their ticks\n"));
}

#[test]
fn a_clock_that_has_ended_is_told_beside_a_live_one() {
    let clocks = "[{name: live, interval: 1h}, {name: over, interval: 1h, endAt: '2026-01-01T00:00:00Z'}, \
                  {name: past, dates: ['2026-01-01T00:00:00Z']}, {name: spent, interval: 1h, maxRuns: 1}]";
    let text = flow("mixed", &format!("  schedule: {{clocks: {clocks}}}\n"));
    let ran = daskflow(Path::new("/"), &["next", "-f", "-", "--after", "2026-03-28T22:30:00.123Z"], &text);
    assert_eq!(
        ran.err,
        "mixed: the clock over has no tick after 2026-03-28T22:30:00Z: its endAt, 2026-01-01T00:00:00Z, has passed
mixed: the clock past has no tick after 2026-03-28T22:30:00Z: the last of its dates, 2026-01-01T00:00:00Z, has passed
"
    );
    assert_eq!((ran.code, ran.out.lines().count()), (0, 6));
}

#[test]
fn after_is_a_date_or_an_instant() {
    let often = flow("often", "  schedule: {clocks: [{name: a, interval: 1m}]}\n");
    let ask = |after: &str| {
        daskflow(Path::new("/"), &["next", "-f", "-", "--count", "1", "-o", "json", "--after", after], &often)
    };
    let ran = ask("2027-01-01");
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap()[0]["tick"], "2027-01-01T00:01:00Z");
    assert_eq!(ran.out, ask("2027-01-01T01:00:00+01:00").out);
    for text in ["2027-01-01T09:00", "2027-13-01", "yesterday", ""] {
        let ran = ask(text);
        let hint = "write a date, or a date, a time and a zone, such as 2027-01-01T00:00:00Z";
        assert!(ran.code == 2 && ran.err.contains(hint), "{text}: {ran:?}");
    }
}
