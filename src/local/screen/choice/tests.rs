use serde_json::{Value, json};

use super::*;
use crate::view::overview;

fn object<K: serde::de::DeserializeOwned>(kind: &str, name: &str, spec: &Value, status: &Value) -> K {
    let metadata = json!({"name": name, "namespace": "team"});
    let version = "daskflow.dev/v1alpha1";
    serde_json::from_value(
        json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec, "status": status}),
    )
    .unwrap()
}

/// Flows of these names with a run each, on a cluster of its own; the run of the last one is the newest.
fn rows(names: &[&str]) -> Overview {
    let flow = |name: &&str| object("Flow", name, &json!({"cluster": {}}), &Value::Null);
    let run = |name: &&str| {
        let status = json!({"phase": "Running", "cluster": format!("{name}-cluster")});
        object("FlowRun", &format!("{name}-1"), &json!({"flow": name}), &status)
    };
    let cluster = |name: &&str| {
        let status = json!({"dashboardAddress": format!("http://{name}")});
        object("DaskCluster", &format!("{name}-cluster"), &json!({"image": "flows:1"}), &status)
    };
    Overview {
        flows: overview::flows(&names.iter().map(flow).collect::<Vec<_>>()),
        runs: overview::runs(&names.iter().map(run).collect::<Vec<_>>()),
        clusters: overview::clusters(&names.iter().map(cluster).collect::<Vec<_>>()),
    }
}

fn name(name: &str) -> Name {
    Name { namespace: "team".to_owned(), name: name.to_owned() }
}

/// The name of the row that is chosen after these keys, and what the last of them asks for.
fn after(keys: &[Key], rows: &Overview) -> (String, Command) {
    let mut choice = Choice::default();
    choice.settle(rows);
    let command = keys.iter().map(|key| choice.press(*key, rows)).last().unwrap_or(Command::Draw);
    (choice.row.map(|(_, row)| row.name).unwrap_or_default(), command)
}

#[test]
fn arrows_go_through_all_rows_and_from_table_to_table() {
    let rows = rows(&["a", "b"]);
    let cases: [(&[Key], &str); 9] = [
        (&[], "a"),
        (&[Key::Down], "b"),
        (&[Key::Down, Key::Down], "b-1"),
        (&[Key::Up], "a"),
        (&[Key::Right], "b-1"),
        (&[Key::Right, Key::Right], "a-cluster"),
        (&[Key::Right, Key::Right, Key::Right, Key::Left], "b-1"),
        (&[Key::PageDown], "b-cluster"),
        (&[Key::PageDown, Key::PageUp, Key::Char('j'), Key::Char('k')], "a"),
    ];
    for (keys, expected) in cases {
        assert_eq!(after(keys, &rows).0, expected, "{keys:?}");
    }
}

#[test]
fn a_row_stays_chosen_while_others_come_and_go() {
    let mut choice = Choice::default();
    choice.settle(&Overview::default());
    assert_eq!((choice.press(Key::Down, &Overview::default()), choice.row.clone()), (Command::Draw, None));
    choice.row = Some((Section::Runs, name("b-1")));
    choice.settle(&rows(&["a", "b", "c"]));
    assert_eq!(choice.row, Some((Section::Runs, name("b-1"))));
    choice.settle(&rows(&["a", "c"]));
    assert_eq!(choice.row, Some((Section::Runs, name("c-1"))), "the first of its table");
    let without_runs = Overview { runs: Vec::new(), ..rows(&["a"]) };
    choice.settle(&without_runs);
    assert_eq!(choice.row, Some((Section::Flows, name("a"))), "the first of all");
}

#[test]
fn the_keys_do_what_the_line_of_help_says() {
    let rows = rows(&["a", "b"]);
    let (r, l, d, right) = (Key::Char('r'), Key::Char('l'), Key::Char('d'), Key::Right);
    assert_eq!(after(&[r], &rows).1, Command::Run(name("a")));
    assert_eq!(after(&[right, r], &rows).1, Command::Run(name("b")), "of the chosen run");
    assert!(matches!(after(&[right, right, r], &rows).1, Command::Say(_)));
    assert_eq!(after(&[d], &rows).1, Command::Open("http://a".to_owned()), "of its newest run");
    assert_eq!(after(&[right, d], &rows).1, Command::Open("http://b".to_owned()));
    assert_eq!(after(&[right, right, d], &rows).1, Command::Open("http://a".to_owned()));
    assert_eq!(after(&[Key::Char('q')], &rows).1, Command::Stop);
    assert_eq!(after(&[Key::Interrupt], &rows).1, Command::Stop);
    assert_eq!(after(&[Key::Repaint], &rows).1, Command::Repaint);
    assert_eq!(after(&[l, Key::Char('q')], &rows).1, Command::Draw, "any key goes back");
    assert_eq!(after(&[l, Key::Interrupt], &rows).1, Command::Stop);
    assert!(matches!(after(&[l], &Overview::default()).1, Command::Say(_)));
}

#[test]
fn the_log_is_that_of_the_chosen_run_or_the_newest_of_what_is_chosen() {
    let rows = rows(&["a", "b"]);
    for (keys, expected) in [(vec![], "a-1"), (vec![Key::Right], "b-1"), (vec![Key::PageDown], "b-1")] {
        let mut choice = Choice::default();
        choice.settle(&rows);
        for key in keys.into_iter().chain([Key::Char('l')]) {
            choice.press(key, &rows);
        }
        assert_eq!(choice.log, Some(name(expected)));
        choice.press(Key::Other, &rows);
        assert_eq!(choice.log, None);
    }
}

#[test]
fn a_cluster_without_an_address_has_no_dashboard_and_of_several_one_is_chosen() {
    let mut rows = rows(&["a", "b"]);
    rows.runs.clear();
    assert!(matches!(after(&[Key::Char('d')], &rows).1, Command::Say(_)), "which of the two");
    rows.clusters.pop();
    assert_eq!(after(&[Key::Char('d')], &rows).1, Command::Open("http://a".to_owned()), "the only one");
    rows.clusters[0].dashboard = None;
    assert!(matches!(after(&[Key::Char('d')], &rows).1, Command::Say(_)));
}

#[test]
fn a_run_on_a_cluster_of_a_gateway_has_the_dashboard_behind_that() {
    let mut rows = rows(&["a", "b"]);
    rows.runs[0].dashboard = Some("https://hub/clusters/c1/status".to_owned());
    let id = rows.runs[0].id.clone();
    let choice = Choice { row: Some((Section::Runs, id)), ..Choice::default() };
    assert_eq!(choice.dashboard(&rows), Command::Open("https://hub/clusters/c1/status".to_owned()));
}
