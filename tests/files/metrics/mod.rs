//! The table of metrics, and what is made of it: the page of the documentation, the dashboard and the alerts
//! use the metrics that exist, with the labels that they have, and leave none out.

mod files;
mod promql;
mod tokens;

use std::collections::BTreeSet;
use std::fs;

use daskflow::operator::metrics::table;
use rstest::rstest;
use serde_json::Value;

use files::{alerts, dashboard, dashboard_queries, known, queries};

#[test]
fn the_page_is_what_the_table_says() {
    let (page, wanted) = ("docs/metrics.md", table::markdown());
    if std::env::var_os("UPDATE").is_some() {
        fs::write(files::path(page), &wanted).unwrap();
    }
    let there = fs::read_to_string(files::path(page)).unwrap_or_default();
    assert_eq!(there, wanted, "run `make generate`, or this test with UPDATE=1");
}

#[test]
fn dashboard_and_alerts_use_what_exists_and_leave_nothing_out() {
    let (known, mut used, mut faults) = (known(), BTreeSet::new(), Vec::new());
    for (place, query) in queries() {
        match promql::read(&query, &known) {
            Ok(query) => used.extend(query.names),
            Err(fault) => faults.push(format!("{place}: {fault}: {query}")),
        }
    }
    assert_eq!(faults, Vec::<String>::new());
    let is_used = |metric: &&table::Metric| metric.series().iter().any(|(name, _)| used.contains(name));
    let unused: Vec<String> =
        table::ALL.iter().filter(|metric| !is_used(metric)).map(table::Metric::name).collect();
    assert_eq!(unused, Vec::<String>::new(), "no panel and no alert shows them");
}

#[rstest]
#[case::of_a_name("max(daskflow_laeder)", "there is no metric daskflow_laeder")]
#[case::of_somebody_else("max(up)", "there is no metric up")]
#[case::of_a_counter("sum(rate(daskflow_missed_ticks[5m]))", "there is no metric daskflow_missed_ticks")]
#[case::of_a_matcher("max(daskflow_objects{knid=\"Flow\"})", "daskflow_objects has no label knid")]
#[case::of_a_grouping("max by (name) (daskflow_objects)", "there is no label name")]
#[case::of_a_function("sum(raet(daskflow_missed_ticks_total[5m]))", "raet does not take")]
#[case::of_a_time("sum(rate(daskflow_missed_ticks_total[5q]))", "[5q] is no time")]
#[case::of_a_bracket("sum(rate(daskflow_missed_ticks_total[5m])", ") is missing")]
#[case::no_range("sum(rate(daskflow_missed_ticks_total))", "rate does not take")]
#[case::only_a_range("daskflow_missed_ticks_total[5m]", "is no result")]
#[case::rate_of_a_gauge("sum(rate(daskflow_leader[5m]))", "does not only grow")]
#[case::no_buckets(
    "histogram_quantile(0.9, sum(rate(daskflow_run_duration_seconds_bucket[5m])))",
    "does not take"
)]
#[case::sides("max(daskflow_leader) / max by (kind) (daskflow_objects)", "never matches")]
#[case::something_behind("max(daskflow_leader) 5", "is too much")]
fn a_mistake_is_found(#[case] query: &str, #[case] words: &str) {
    let fault = promql::read(query, &known()).unwrap_err();
    assert!(fault.contains(words), "{fault}");
}

#[test]
fn operators_bind_as_in_prometheus() {
    let query = "sum(rate(daskflow_reconcile_total{result=\"failure\"}[5m])) / 2 - time() > 1 + 2 * 3";
    let query = promql::read(query, &known()).unwrap();
    assert_eq!(query.names, BTreeSet::from(["daskflow_reconcile_total".to_owned()]));
    let pick = ["daskflow_reconcile_total", "result", "failure"].map(str::to_owned);
    assert_eq!(query.picks, [pick.into()]);
}

/// The words in double braces.
fn braced(text: &str) -> Vec<&str> {
    text.split("{{").skip(1).filter_map(|rest| rest.split("}}").next()).map(str::trim).collect()
}

#[test]
fn legends_name_labels_of_their_queries() {
    let known = known();
    for (title, query, legend) in dashboard_queries(&dashboard()) {
        let labels = promql::read(&query, &known).unwrap().labels;
        let named: BTreeSet<String> = braced(&legend).into_iter().map(str::to_owned).collect();
        assert_eq!(named, labels, "{title}: the legend {legend:?} of {query}");
    }
}

#[test]
fn the_dashboard_asks_the_source_that_was_chosen() {
    let dashboard = dashboard();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert!(
        variables.iter().any(|variable| variable["name"] == "datasource" && variable["type"] == "datasource")
    );
    let (mut titles, mut ids) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(titles.insert(panel["title"].as_str().unwrap()), "{} is there twice", panel["title"]);
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "the id of {} is there twice", panel["title"]);
        if panel["type"] == "row" {
            continue;
        }
        assert!(!panel["description"].as_str().unwrap().is_empty(), "{} has no description", panel["title"]);
        for target in panel["targets"].as_array().unwrap() {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
        }
    }
    for row in ["Schedules", "Runs", "Clusters", "Operator"] {
        assert!(titles.contains(row), "no row {row}");
    }
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_')).collect()
}

#[test]
fn alerts_say_how_bad_it_is_and_what_to_do() {
    let (known, mut names) = (known(), BTreeSet::new());
    for rule in alerts() {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let name = text(&rule["alert"]);
        assert!(name.starts_with("Daskflow"), "{name}");
        assert!(names.insert(name.clone()), "{name} is there twice");
        assert!(matches!(text(&rule["labels"]["severity"]).as_str(), "critical" | "warning"), "{name}");
        let wait = text(&rule["for"]);
        assert!(wait.is_empty() || tokens::is_duration(&wait), "{name}: for: {wait}");
        let notes = &rule["annotations"];
        let (summary, description) = (text(&notes["summary"]), text(&notes["description"]));
        assert!(!summary.is_empty() && description.ends_with('.'), "{name}: {notes}");
        let query = promql::read(&text(&rule["expr"]), &known).unwrap();
        assert!(!text(&rule["expr"]).contains('$'), "{name}: Prometheus has no variables");
        for template in braced(&summary).into_iter().chain(braced(&description)) {
            let word = template.split_whitespace().next().unwrap_or_default();
            let label = word.strip_prefix("$labels.");
            assert!(
                word == "$value" || label.is_some_and(|label| query.labels.contains(label)),
                "{name}: {template}"
            );
        }
        let runbook = text(&notes["runbook_url"]);
        let (page, section) = runbook.split_once('#').unwrap_or_else(|| panic!("{name}: {runbook}"));
        let page = files::text(page);
        let mut headings = page.lines().filter_map(|line| line.strip_prefix("## ")).map(anchor);
        assert!(headings.any(|heading| heading == section), "{name}: {runbook} leads nowhere");
    }
    assert!(names.len() >= 10, "only {names:?}");
}
