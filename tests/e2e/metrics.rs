//! What the dashboard and the alerts ask for is served by an operator at work.

#[path = "../files/metrics/files.rs"]
#[allow(dead_code, reason = "the test of the files needs more of it")]
mod files;
#[path = "../files/metrics/promql.rs"]
#[allow(dead_code, reason = "the test of the files needs more of it")]
mod promql;
#[path = "../files/metrics/tokens.rs"]
mod tokens;

use std::collections::BTreeSet;

use daskflow::api::{DaskCluster, Flow, FlowRun, Phase, Reason};
use daskflow::operator::metrics::table;
use kube::ResourceExt;
use serde_json::json;

use crate::support::manifests::{flow, with};
use crate::support::metrics::{Sample, scrape, sum};
use crate::support::workers::nowhere;
use crate::support::{Load, Namespace, poll, run_now, small_cluster, test, within};
use crate::ticks;

#[tokio::test]
async fn metrics_and_alerts_name_what_exists() {
    test("metrics_and_alerts_name_what_exists", Load::Dask, async |namespace| {
        let before = scrape(&namespace.client).await;
        make_everything_happen(namespace).await;
        let samples = until_all_are_served(namespace).await;

        let known = files::known();
        let served: BTreeSet<&str> = samples.iter().map(|sample| sample.name.as_str()).collect();
        for (place, text) in files::queries() {
            let query = promql::read(&text, &known).unwrap();
            for name in &query.names {
                assert!(served.contains(name.as_str()), "{place}: {name} of {text}");
            }
            // A code is there when the API server has answered with it.
            for (name, label, value) in query.picks.iter().filter(|(_, label, _)| label != "code") {
                let is_it =
                    |sample: &&Sample| sample.name == *name && sample.labels.get(label) == Some(value);
                assert!(samples.iter().any(|sample| is_it(&sample)), "{place}: {name}{{{label}={value:?}}}");
            }
        }
        assert_counts(&before, &samples);
    })
    .await;
}

/// A tick, a run that succeeds, one that fails, one that waits, and a cluster with a certificate.
async fn make_everything_happen(namespace: &Namespace) {
    ticks::start(namespace).await;
    let broken = json!({
        "command": ["python", "-c", "raise SystemExit(1)"],
        "cluster": {"ref": {"name": "dask"}},
        "concurrency": "Allow",
    });
    namespace.create::<Flow>(flow("broken", broken)).await;
    let mut secure = small_cluster("secure", &namespace.settings.dask, 0);
    secure["spec"]["scheduler"]["template"] = nowhere();
    namespace.create::<DaskCluster>(with(secure, json!({"tls": {"issuer": "Operator"}}))).await;

    let waiting = with(run_now("broken", json!(null)), json!({"suspend": true}));
    let waiting: FlowRun = namespace.create(waiting).await;
    namespace.until_reason(&waiting.name_any(), Reason::Suspended, 30).await;
    let failing = namespace.start_run("broken").await;
    namespace.until_phase(&failing, Phase::Failed, 120).await;
    ticks::next_run(namespace, 60).await;
    let first = namespace.runs_of(ticks::FLOW).await.first().map(ResourceExt::name_any).unwrap();
    namespace.until_phase(&first, Phase::Succeeded, 120).await;
}

/// Every metric of the table has samples.
async fn until_all_are_served(namespace: &Namespace) -> Vec<Sample> {
    poll(within(60, "every metric has samples"), async || {
        let samples = scrape(&namespace.client).await;
        let is_served = |name: &str| samples.iter().any(|sample| sample.name == name);
        let series = table::ALL.iter().flat_map(table::Metric::series).map(|(name, _)| name);
        let missing: Vec<String> = series.filter(|name| !is_served(name)).collect();
        if missing.is_empty() { Ok(samples) } else { Err(format!("{missing:?} have none")) }
    })
    .await
}

/// What has happened was counted; other tests may have made the same happen.
fn assert_counts(before: &[Sample], after: &[Sample]) {
    let grew = |name: &str, label: &str, value: &str| {
        let is_it = |labels: &std::collections::BTreeMap<String, String>| {
            labels.get(label).is_some_and(|there| there == value)
        };
        sum(after, name, is_it) > sum(before, name, is_it)
    };
    for (name, label, value) in [
        ("daskflow_runs_ended_total", "reason", "RunnerError"),
        ("daskflow_runs_ended_total", "result", "Succeeded"),
        ("daskflow_run_duration_seconds_count", "result", "Failed"),
        ("daskflow_start_skew_seconds_count", "stage", "created"),
        ("daskflow_start_skew_seconds_count", "stage", "admitted"),
        ("daskflow_start_skew_seconds_count", "stage", "job"),
        ("daskflow_reconcile_total", "kind", "FlowRun"),
        ("daskflow_api_requests_total", "resource", "flowruns/status"),
    ] {
        assert!(grew(name, label, value), "{name}{{{label}={value:?}}}");
    }
    assert!((sum(after, "daskflow_leader", |_| true) - 1.0).abs() < f64::EPSILON, "one leads");
    let is_waiting = |labels: &std::collections::BTreeMap<String, String>| labels["reason"] == "Suspended";
    assert!(sum(after, "daskflow_runs_queued", is_waiting) >= 1.0, "the held run waits");
    let asked = sum(after, "daskflow_workers_desired", |_| true);
    assert!(asked >= 1.0, "{asked} workers are wanted");
}
