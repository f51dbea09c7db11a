use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rstest::rstest;

use super::*;
use crate::api::Phase;
use crate::operator::schedulers::Connections;

const SECOND: Duration = Duration::from_secs(1);

/// Everything has happened once.
fn everything() -> String {
    let metrics = Metrics::default();
    metrics.reconciled(Kind::Flow, "success", SECOND);
    metrics.requested(("get", "pods".to_owned()), Some(200), SECOND);
    metrics.event_lost();
    metrics.watch_failed("Pod");
    metrics.undecodable("Pod").set(1);
    metrics.reconciles_waiting(Kind::Flow).set(7);
    metrics.request_gauges().limit(16);
    metrics.request_gauges().waiting(Class::Event, 5);
    for figure in [
        Figure::TicksMissed { reason: Reason::Superseded, count: 2 },
        Figure::TickStarted { late: SECOND },
        Figure::TickAdmitted { late: SECOND },
        Figure::JobCreated { start: Timestamp::UNIX_EPOCH },
        Figure::RunnerStarted { waited: SECOND },
        Figure::RunEnded { phase: Phase::Failed, reason: Reason::OOMKilled, took: Some(SECOND) },
    ] {
        metrics.count(figure, Timestamp::UNIX_EPOCH + SECOND * 3);
    }
    metrics.text(&Now {
        objects: [((Kind::FlowRun, "Running"), 3)].into(),
        queued: [("ClusterBusy", 2)].into(),
        workers_desired: 4,
        workers_ready: 3,
        connections: Connections { answering: 2, unreachable: 1, connecting: 0 },
        in_backoff: [(Kind::Flow, 1)].into(),
        certificate_end: Timestamp::from_second(1_800_000_000).ok(),
        leads: true,
    })
}

/// The families of a text: their type and help, and the labels of their samples.
fn families(text: &str) -> BTreeMap<String, (String, String, BTreeSet<String>)> {
    let mut found: BTreeMap<String, (String, String, BTreeSet<String>)> = BTreeMap::new();
    let mut family = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words.as_slice() {
            ["#", "HELP", name, help] => {
                family = (*name).to_owned();
                found.entry(family.clone()).or_default().1 = help.trim_end_matches('.').to_owned();
            }
            ["#", "TYPE", name, kind] => found.entry((*name).to_owned()).or_default().0 = (*kind).to_owned(),
            ["#", ..] => {}
            _ => {
                let labels = line.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
                let names = labels.map(|(all, _)| all).unwrap_or_default().split("\",");
                let names = names.filter_map(|label| label.split_once('=')).map(|(name, _)| name.to_owned());
                found.entry(family.clone()).or_default().2.extend(names.filter(|name| name != "le"));
            }
        }
    }
    found
}

#[test]
fn what_is_served_is_what_the_table_says() {
    let served = families(&everything());
    let labels = |metric: &table::Metric| metric.labels.iter().map(|label| (*label).to_owned()).collect();
    let told = table::ALL.iter().map(|metric| {
        let entry = (metric.kind.as_str().to_owned(), metric.help.to_owned(), labels(metric));
        (format!("{}{}", table::PREFIX, metric.family), entry)
    });
    assert_eq!(served, told.collect());
}

#[rstest]
#[case("daskflow_start_skew_seconds_count{stage=\"admitted\"} 1")]
#[case("daskflow_start_skew_seconds_sum{stage=\"job\"} 3.0")]
#[case("daskflow_api_requests_limit 16")]
#[case("daskflow_api_requests_waiting{class=\"event\"} 5")]
#[case("daskflow_api_requests_waiting{class=\"work\"} 0")]
#[case("daskflow_reconciles_waiting{kind=\"Flow\"} 7")]
#[case("daskflow_missed_ticks_total{reason=\"Superseded\"} 2")]
#[case("daskflow_missed_ticks_total{reason=\"StartingDeadlineExceeded\"} 0")]
#[case("daskflow_runs_ended_total{result=\"Failed\",reason=\"OOMKilled\"} 1")]
#[case("daskflow_run_duration_seconds_sum{result=\"Failed\"} 1.0")]
#[case("daskflow_runs_queued{reason=\"ClusterBusy\"} 2")]
#[case("daskflow_objects{kind=\"FlowRun\",phase=\"Running\"} 3")]
#[case("daskflow_objects{kind=\"FlowRun\",phase=\"Queued\"} 0")]
#[case("daskflow_scheduler_connections{state=\"unreachable\"} 1")]
#[case("daskflow_objects_in_backoff{kind=\"Flow\"} 1")]
#[case("daskflow_objects_in_backoff{kind=\"FlowRun\"} 0")]
#[case("daskflow_api_requests_total{verb=\"get\",resource=\"pods\",code=\"200\"} 1")]
#[case("daskflow_watch_restarts_total{kind=\"ConfigMap\"} 0")]
#[case("daskflow_certificate_not_after_seconds 1800000000")]
#[case("daskflow_leader 1")]
#[case(concat!("daskflow_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"))]
fn samples_are_counted(#[case] line: &str) {
    let text = everything();
    assert!(text.lines().any(|served| served == line), "{line} in {text}");
}

#[test]
fn what_always_has_samples_has_them_from_the_start() {
    let text = Metrics::default().text(&Now::default());
    for metric in table::ALL.iter().filter(|metric| metric.served == table::Served::Always) {
        let first = metric.series().swap_remove(0).0;
        let begins = |line: &str| line.strip_prefix(&first).is_some_and(|rest| rest.starts_with(['{', ' ']));
        // A client that has asked nothing has counted nothing; the operator begins with lists.
        let asked =
            ["api_requests", "api_request_duration_seconds", "api_requests_waiting"].contains(&metric.family);
        assert!(asked || text.lines().any(begins), "{first} in {text}");
    }
}

#[test]
fn the_page_has_a_row_for_each_metric() {
    let page = table::markdown();
    let rows = page.lines().filter(|line| line.starts_with("| `daskflow_")).count();
    assert_eq!(rows, table::ALL.len());
}
