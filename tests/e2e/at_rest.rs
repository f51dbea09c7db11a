//! What an operator costs that has nothing to do: memory, and requests that write.

use std::collections::BTreeMap;
use std::time::Duration;

use daskflow::api::{DaskCluster, Flow, is_seen};
use futures::StreamExt;
use serde_json::json;

use crate::support::clock::{now, seconds};
use crate::support::figures::{figure, figure_seconds, say};
use crate::support::manifests::flow;
use crate::support::metrics::{Sample, scrape, sum};
use crate::support::workers::nowhere;
use crate::support::{Load, Namespace, operator, poll, small_cluster, test, within};

const FLOWS: usize = 1_000;
const CLUSTERS: usize = 100;
/// Seconds of rest, unless `DASKFLOW_REST_S` says otherwise.
const REST_S: u64 = 600;
/// Until the last events and statuses are written.
const SETTLE: Duration = Duration::from_secs(45);
/// Objects that are created side by side.
const AT_ONCE: usize = 16;
/// The verbs that change something.
const WRITES: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];

/// The clusters' pods find no node, so that a small machine bears a hundred of them; their schedulers never answer. The
/// Flows tick once a year.
#[tokio::test]
#[ignore = "a measurement of a quarter of an hour: make bench-rest"]
async fn at_rest() {
    test("at_rest", Load::Disruptive, async |namespace| {
        say("figure: with no objects:");
        operator::print_memory(&namespace.client).await;
        let begin = now();
        create_all(namespace).await;
        until_all_are_observed(namespace).await;
        figure_seconds("rest_objects_observed", seconds(begin, now()));
        tokio::time::sleep(SETTLE).await;

        let rest_s = rest_s();
        let (begin, before) = (now(), scrape(&namespace.client).await);
        tokio::time::sleep(Duration::from_secs(rest_s)).await;
        let (end, after) = (now(), scrape(&namespace.client).await);
        // For who counts in the audit log: seconds since the epoch.
        let [from, to] = [begin, end].map(|moment| moment.as_duration().as_secs_f64());
        say(&format!("rest: {from:.3} {to:.3}"));
        say(&format!("figure: with {FLOWS} Flows and {CLUSTERS} DaskClusters:"));
        operator::print_memory(&namespace.client).await;
        figure("rest_seconds", seconds(begin, end).round(), "s");
        figure("rest_writes", print_requests(&before, &after), "requests");
        let reconciles = |samples: &[Sample]| sum(samples, "daskflow_reconcile_total", |_| true);
        figure("rest_reconciles", reconciles(&after) - reconciles(&before), "reconciles");
    })
    .await;
}

#[allow(clippy::disallowed_methods, reason = "a test binary has no command line of its own")]
fn rest_s() -> u64 {
    std::env::var("DASKFLOW_REST_S").ok().map_or(REST_S, |text| text.parse().unwrap())
}

async fn create_all(namespace: &Namespace) {
    let flows = (0..FLOWS).map(|number| async move {
        let spec = json!({
            "command": ["python", "-c", "pass"],
            "image": namespace.settings.dask,
            "cluster": {"ref": {"name": format!("rest-{:02}", number % CLUSTERS)}},
            "schedule": {"clocks": [{"name": "yearly", "cron": "0 0 1 1 *"}]},
        });
        namespace.create::<Flow>(flow(&format!("rest-{number:03}"), spec)).await;
    });
    let clusters = (0..CLUSTERS).map(|number| async move {
        let mut cluster = small_cluster(&format!("rest-{number:02}"), &namespace.settings.dask, 1);
        cluster["spec"]["scheduler"]["template"] = nowhere();
        cluster["spec"]["workers"]["template"] = nowhere();
        namespace.create::<DaskCluster>(cluster).await;
    });
    futures::stream::iter(clusters).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    futures::stream::iter(flows).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

async fn until_all_are_observed(namespace: &Namespace) {
    poll(within(180, "every object has a status"), async || {
        let flows = namespace.try_list::<Flow>("").await.map_err(|error| error.to_string())?;
        let clusters = namespace.try_list::<DaskCluster>("").await.map_err(|error| error.to_string())?;
        let flows = flows
            .iter()
            .filter(|flow| is_seen(flow.status.as_ref().and_then(|status| status.observed_generation)))
            .count();
        let clusters = clusters
            .iter()
            .filter(|cluster| is_seen(cluster.status.as_ref().and_then(|status| status.observed_generation)))
            .count();
        let all = flows == FLOWS && clusters == CLUSTERS;
        if all { Ok(()) } else { Err(format!("{flows} Flows and {clusters} DaskClusters")) }
    })
    .await;
}

/// Prints each kind of request that was made in between, and answers how many of them write.
fn print_requests(before: &[Sample], after: &[Sample]) -> f64 {
    let requests = |samples: &[Sample]| {
        let mut counts: BTreeMap<(String, String), f64> = BTreeMap::new();
        for sample in samples.iter().filter(|sample| sample.name == "daskflow_api_requests_total") {
            let key = (sample.labels["verb"].clone(), sample.labels["resource"].clone());
            *counts.entry(key).or_default() += sample.value;
        }
        counts
    };
    let (before, mut writes) = (requests(before), 0.0);
    for ((verb, resource), count) in requests(after) {
        let made = count - before.get(&(verb.clone(), resource.clone())).copied().unwrap_or_default();
        if made > 0.0 {
            figure(&format!("rest_requests {verb} {resource}"), made, "requests");
        }
        if WRITES.contains(&verb.as_str()) {
            writes += made;
        }
    }
    writes
}
