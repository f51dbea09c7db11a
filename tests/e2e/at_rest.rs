//! What an operator costs that has nothing to do: memory, and requests that write.

use std::collections::BTreeMap;
use std::time::Duration;

use daskflow::api::{DaskCluster, Flow, is_seen};
use futures::StreamExt;
use serde_json::json;

use crate::support::audit::requests;
use crate::support::clock::{now, seconds};
use crate::support::figures::{figure, figure_seconds, say};
use crate::support::manifests::flow;
use crate::support::metrics::{Sample, scrape, sum};
use crate::support::workers::nowhere;
use crate::support::{Load, Namespace, operator, poll, small_cluster, test, within};

/// How much there is of everything.
struct Size {
    /// What the names of its figures begin with.
    title: &'static str,
    load: Load,
    flows: usize,
    clusters: usize,
    /// Until the last events and statuses are written.
    settle_s: u64,
    /// The time in which requests are counted.
    rest_s: u64,
}

/// Whether it works. The figures are those of all that runs beside.
const SMALL: Size =
    Size { title: "rest_small", load: Load::Light, flows: 10, clusters: 2, settle_s: 1, rest_s: 3 };
/// Objects that are created side by side.
const AT_ONCE: usize = 16;
/// The verbs that change something.
const WRITES: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];

/// `make bench-rest` measures, and says for how long. Otherwise it is tried whether that works.
#[allow(clippy::disallowed_methods, reason = "a test binary has no command line of its own")]
fn size() -> Size {
    let Ok(seconds) = std::env::var("DASKFLOW_REST_S") else { return SMALL };
    let rest_s = seconds.parse().unwrap();
    Size { title: "rest", load: Load::Disruptive, flows: 1_000, clusters: 100, settle_s: 45, rest_s }
}

/// The clusters' pods find no node, so that a small machine bears a hundred of them; their schedulers never
/// answer. The Flows tick once a year.
#[tokio::test]
async fn at_rest() {
    let size = size();
    test("at_rest", size.load, async |namespace| {
        let title = size.title;
        say(&format!("figure: {title}, with no objects:"));
        operator::print_memory(&namespace.client).await;
        let begin = now();
        create_all(namespace, &size).await;
        until_all_are_observed(namespace, &size).await;
        figure_seconds(&format!("{title}_objects_observed"), seconds(begin, now()));
        tokio::time::sleep(Duration::from_secs(size.settle_s)).await;

        let (begin, before) = (now(), scrape(&namespace.client).await);
        tokio::time::sleep(Duration::from_secs(size.rest_s)).await;
        let (end, after) = (now(), scrape(&namespace.client).await);
        say(&format!("figure: {title}, with {} Flows and {} DaskClusters:", size.flows, size.clusters));
        operator::print_memory(&namespace.client).await;
        figure(&format!("{title}_seconds"), seconds(begin, end).round(), "s");
        figure(&format!("{title}_writes"), print_requests(title, &before, &after), "requests");
        let reconciles = |samples: &[Sample]| sum(samples, "daskflow_reconcile_total", |_| true);
        figure(&format!("{title}_reconciles"), reconciles(&after) - reconciles(&before), "reconciles");
        if let Some(log) = &namespace.settings.audit_log {
            let user = format!("system:serviceaccount:{}:{}", operator::NAMESPACE, operator::ACCOUNT);
            print_audit(title, &requests(log, &user, begin, end));
        }
    })
    .await;
}

async fn create_all(namespace: &Namespace, size: &Size) {
    let flows = (0..size.flows).map(|number| async move {
        let spec = json!({
            "command": ["python", "-c", "pass"],
            "image": namespace.settings.dask,
            "cluster": {"ref": {"name": format!("rest-{:02}", number % size.clusters)}},
            "schedule": {"clocks": [{"name": "yearly", "cron": "0 0 1 1 *"}]},
        });
        namespace.create::<Flow>(flow(&format!("rest-{number:03}"), spec)).await;
    });
    let clusters = (0..size.clusters).map(|number| async move {
        let mut cluster = small_cluster(&format!("rest-{number:02}"), &namespace.settings.dask, 1);
        cluster["spec"]["scheduler"]["template"] = nowhere();
        cluster["spec"]["workers"]["template"] = nowhere();
        namespace.create::<DaskCluster>(cluster).await;
    });
    futures::stream::iter(clusters).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    futures::stream::iter(flows).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

async fn until_all_are_observed(namespace: &Namespace, size: &Size) {
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
        let all = flows == size.flows && clusters == size.clusters;
        if all { Ok(()) } else { Err(format!("{flows} Flows and {clusters} DaskClusters")) }
    })
    .await;
}

/// Prints each kind of request that was made in between, and answers how many of them write.
fn print_requests(title: &str, before: &[Sample], after: &[Sample]) -> f64 {
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
            figure(&format!("{title}_requests {verb} {resource}"), made, "requests");
        }
        if WRITES.contains(&verb.as_str()) {
            writes += made;
        }
    }
    writes
}

/// The same by the API server's audit log, which also knows what an operator does not count.
fn print_audit(title: &str, requests: &BTreeMap<String, usize>) {
    let writes = requests.iter().filter(|(what, _)| WRITES.iter().any(|verb| what.starts_with(verb)));
    let mut sum = 0;
    for (what, count) in writes {
        figure(&format!("{title}_audit {what}"), count, "requests");
        sum += count;
    }
    figure(&format!("{title}_audit_writes"), sum, "requests");
}
