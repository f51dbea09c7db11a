use ratatui::backend::TestBackend;
use ratatui::style::Color;
use ratatui::{Terminal, buffer};
use serde_json::{Value, json};

use super::*;
use crate::view::overview;

fn now() -> Timestamp {
    "2026-11-30T11:15:12Z".parse().unwrap()
}

fn object<K: serde::de::DeserializeOwned>(kind: &str, name: &str, spec: &Value, status: &Value) -> K {
    let metadata = json!({"name": name, "namespace": "default", "creationTimestamp": "2026-11-30T11:00:00Z"});
    let version = "daskflow.dev/v1alpha1";
    serde_json::from_value(
        json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec, "status": status}),
    )
    .unwrap()
}

/// A Flow, a cluster, and so many runs of each minute, the last of which is under way.
fn rows(runs: usize) -> Overview {
    let last = json!({"name": "etl", "phase": "Failed", "finishedAt": "2026-11-30T11:14:12Z"});
    let status = json!({"schedule": "* * * * *", "nextTick": "2026-11-30T11:16:00Z", "lastRun": last});
    let flow = object("Flow", "etl", &json!({"cluster": {"ref": {"name": "small"}}}), &status);
    let ready = json!({
        "type": "Ready", "status": "True", "reason": "Ready", "message": "",
        "lastTransitionTime": "2026-11-30T11:00:00Z",
    });
    let workers = json!({"desired": 2, "ready": 2});
    let address = "http://127.0.0.1:20849/status";
    let status = json!({"workers": workers, "dashboardAddress": address, "conditions": [ready]});
    let cluster = object("DaskCluster", "small", &json!({"image": "flows:1"}), &status);
    let run = |at: usize| {
        let (hour, minute) = (at / 60, at % 60);
        let started = format!("2026-11-30T{hour:02}:{minute:02}:00Z");
        let status = if at + 1 == runs {
            json!({"phase": "Running", "attempt": 1, "startedAt": "2026-11-30T11:15:00Z"})
        } else {
            json!({
                "phase": "Failed", "startedAt": started, "reason": "FlowFailed", "message": "task 'load'",
                "finishedAt": format!("2026-11-30T{hour:02}:{minute:02}:08Z"), "tasks": {"total": 304, "failed": 1},
            })
        };
        object("FlowRun", &format!("etl-20261130t{hour:02}{minute:02}00"), &json!({"flow": "etl"}), &status)
    };
    Overview {
        flows: overview::flows([&flow]),
        runs: overview::runs(&(0..runs).map(run).collect::<Vec<_>>()),
        clusters: overview::clusters([&cluster]),
    }
}

/// What is on a screen of this size: its lines, and the colours in it.
fn shown(size: (u16, u16), rows: &Overview, choice: &Choice, log: Option<&str>) -> (Vec<String>, Vec<Color>) {
    let news: Vec<String> = (1..=9).map(|at| format!("11:15:0{at} line {at} of the news")).collect();
    let scene = Scene {
        title: "daskflow local   Python 3.11.7   Dask 2026.8.0",
        rows,
        choice,
        news: &news,
        log,
        now: now(),
        zone: &TimeZone::UTC,
        in_colours: false,
    };
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
    terminal.draw(|frame| draw(frame, &scene)).unwrap();
    let drawn = terminal.backend().buffer();
    let text = |line: &[buffer::Cell]| line.iter().map(buffer::Cell::symbol).collect::<String>();
    let lines = drawn.content.chunks(usize::from(size.0).max(1));
    let lines = lines.map(|line| text(line).trim_end().to_owned()).collect();
    (lines, drawn.content.iter().map(|cell| cell.fg).collect())
}

fn lines(size: (u16, u16), rows: &Overview, choice: &Choice) -> Vec<String> {
    shown(size, rows, choice, None).0
}

#[test]
fn a_usual_terminal_shows_all_of_it() {
    let rows = rows(3);
    let mut choice = Choice::default();
    choice.settle(&rows);
    let tables = "\
daskflow local   Python 3.11.7   Dask 2026.8.0   11:15:12
FLOW  NEXT               LAST            SCHEDULE
etl   11:16:00, in 48 s  Failed 1 m ago  * * * * *
RUN                  PHASE    TOOK  TASKS          WHY
etl-20261130t000200  Running  12 s
etl-20261130t000100  Failed   8 s   304, 1 failed  FlowFailed: task 'load'
etl-20261130t000000  Failed   8 s   304, 1 failed  FlowFailed: task 'load'
CLUSTER  WORKERS  DASHBOARD
small    2/2      http://127.0.0.1:20849/status
";
    let below = "\
NEWS
11:15:06 line 6 of the news
11:15:07 line 7 of the news
11:15:08 line 8 of the news
11:15:09 line 9 of the news
r run now   l log   d dashboard   u page   arrows choose   q quit";
    let expected = format!("{tables}{}{below}", "\n".repeat(9));
    assert_eq!(lines((80, 24), &rows, &choice).join("\n"), expected);
}

#[test]
fn a_small_terminal_shows_something_of_each_table() {
    let rows = rows(300);
    let choice = Choice { row: Some((Section::Runs, rows.runs[1].id.clone())), log: None };
    let expected = "\
FLOW  NEXT               LAST
etl   11:16:00, in 48 s  Failed 1 m ago
RUN (300)            PHASE    TOOK
etl-20261130t045900  Running  12 s
etl-20261130t045800  Failed   8 s
etl-20261130t045700  Failed   8 s
CLUSTER  WORKERS  DASHBOARD
small    2/2      http://127.0.0.1:2084…
11:15:09 line 9 of the news
r run  l log  d dashboard  q quit";
    assert_eq!(lines((40, 10), &rows, &choice).join("\n"), expected);
}

#[test]
fn of_hundreds_of_runs_the_chosen_one_is_shown() {
    let rows = rows(300);
    let chosen = rows.runs[200].id.clone();
    let choice = Choice { row: Some((Section::Runs, chosen.clone())), log: None };
    let lines = lines((80, 24), &rows, &choice);
    assert!(lines.iter().any(|line| line.starts_with(&chosen.name)), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("RUN (300)")), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("small")), "{lines:?}");
}

#[test]
fn any_size_is_drawn() {
    let rows = rows(30);
    let choice = Choice { row: Some((Section::Clusters, rows.clusters[0].id.clone())), log: None };
    for width in [0, 1, 2, 7, 13, 40, 300] {
        for height in 0..30 {
            let drawn = lines((width, height), &rows, &choice);
            let keys = drawn.last().filter(|_| width >= 40).map_or("r run", String::as_str);
            assert!(keys.starts_with("r run") || height == 0, "{width}x{height}: {drawn:?}");
        }
    }
}

#[test]
fn without_objects_there_are_the_heads_of_runs_and_the_keys() {
    let lines = lines((80, 24), &Overview::default(), &Choice::default());
    assert_eq!(lines[1], "RUN  PHASE  TOOK  TASKS  WHY");
    assert!(lines[2..18].iter().all(String::is_empty), "{lines:?}");
}

#[test]
fn names_are_told_apart_by_their_namespaces_where_there_are_several() {
    let mut rows = rows(1);
    rows.clusters[0].id.namespace = "team".to_owned();
    let lines = lines((80, 24), &rows, &Choice::default());
    assert!(lines.iter().any(|line| line.starts_with("default/etl ")), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("team/small ")), "{lines:?}");
}

#[test]
fn a_log_takes_the_screen() {
    let rows = rows(1);
    let choice = Choice { log: Some(rows.runs[0].id.clone()), ..Choice::default() };
    let text = "first\nsecond\nthird\nfourth\n";
    let (lines, colours) = shown((40, 4), &rows, &choice, Some(text));
    assert_eq!(lines, ["log of etl-20261130t000000 (any key: ba…", "second", "third", "fourth"]);
    assert!(colours.iter().all(|colour| *colour == Color::Reset));
}

#[test]
fn lines_go_to_the_table_that_has_fewest() {
    assert_eq!(share(10, &[Some(1), Some(300), Some(1)]), [2, 6, 2]);
    assert_eq!(share(10, &[Some(20), Some(300), Some(2)]), [4, 3, 3]);
    assert_eq!(share(10, &[None, Some(300), None]), [0, 10, 0]);
    assert_eq!(share(30, &[Some(1), Some(0), None]), [2, 1, 0]);
    assert_eq!(share(1, &[Some(1), Some(1), Some(1)]), [1, 0, 0]);
}
