//! A thousand workers: they come in portions, and others are not kept waiting.

use daskflow::api::DaskCluster;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt;
use serde_json::json;

use crate::support::clock::{now, seconds};
use crate::support::figures::{figure, figure_seconds};
use crate::support::timeline::Timeline;
use crate::support::workers::{is_worker, nowhere};
use crate::support::{Load, Namespace, operator, poll, small_cluster, test, within};

/// How many workers.
const WORKERS: i32 = 1_000;
/// What the status of such a cluster takes at the most, as JSON.
const STATUS_BYTES_MAX: usize = 4_096;
/// When other clusters are made, in worker pods that are there.
const OTHERS_AT: [usize; 3] = [100, 400, 700];

/// The workers find no node: what is measured is the operator and the API server, not Dask.
#[tokio::test]
async fn thousand_workers_come_in_portions() {
    test("thousand_workers_come_in_portions", Load::Crowd, async |namespace| {
        let mut cluster = small_cluster("big", &namespace.settings.dask, WORKERS);
        cluster["spec"]["workers"]["template"] = nowhere();
        let pods = Timeline::<Pod>::watch(namespace);
        let services = Timeline::<Service>::watch(namespace);
        let begin = now();
        namespace.create::<DaskCluster>(cluster).await;
        let mut longest_s: f64 = 0.0;
        for there in OTHERS_AT {
            until_pods(&pods, there).await;
            longest_s = longest_s.max(make_another(namespace, &services, there).await);
        }
        assert!(count(&pods) < 1_000, "the others were made while the workers came");
        figure_seconds("thousand_workers_another_cluster_is_begun", longest_s);
        until_pods(&pods, 1_000).await;
        figure_seconds("thousand_worker_pods", seconds(begin, now()));
        operator::print_memory(&namespace.client).await;

        let wait = within(120, "the status counts all workers");
        let told = namespace.until("big", wait, |cluster: &DaskCluster| {
            cluster.status.as_ref().is_some_and(|status| status.replicas == WORKERS)
        });
        let bytes = json!(told.await.status.unwrap()).to_string().len();
        figure("thousand_workers_status", bytes, "bytes");
        assert!(bytes < STATUS_BYTES_MAX, "a status of {bytes} bytes");

        let asked = now();
        namespace.scale("big", 1).await;
        let wait = within(180, "one worker pod is left");
        poll(wait, async || {
            let left = namespace.workers("big").await?.len();
            if left == 1 { Ok(()) } else { Err(format!("{left} are left")) }
        })
        .await;
        figure_seconds("thousand_workers_to_one", seconds(asked, now()));
        let ever = pods.read(|seen| {
            let ours = seen.iter().filter(|version| is_of_big(&version.object));
            ours.map(|version| version.object.name_any()).collect::<std::collections::BTreeSet<_>>().len()
        });
        assert_eq!(ever, 1_000, "none was made that was not wanted");
    })
    .await;
}

/// Waits until there are so many worker pods.
async fn until_pods(pods: &Timeline<Pod>, wanted: usize) {
    poll(within(300, format!("{wanted} worker pods")), async || {
        let there = count(pods);
        if there >= wanted { Ok(()) } else { Err(format!("{there} worker pods")) }
    })
    .await;
}

/// Makes another cluster, without workers and pods, and tells how many seconds the operator took to begin
/// with it.
async fn make_another(namespace: &Namespace, services: &Timeline<Service>, number: usize) -> f64 {
    let name = format!("other-{number}");
    let mut cluster = small_cluster(&name, &namespace.settings.dask, 0);
    cluster["spec"]["scheduler"]["template"] = nowhere();
    let asked = now();
    namespace.create::<DaskCluster>(cluster).await;
    let service = format!("{name}-scheduler");
    let what = format!("{name} has its Service");
    // A guard against hanging; the figure is what counts.
    seconds(asked, services.when(what, |it| it.name_any() == service).await)
}

/// How many worker pods of the big cluster there are, as far as they were seen.
fn count(pods: &Timeline<Pod>) -> usize {
    pods.read(|seen| {
        let mut there = std::collections::BTreeSet::new();
        for version in seen.iter().filter(|version| is_of_big(&version.object)) {
            let name = version.object.metadata.name.as_deref().unwrap_or_default();
            if version.gone {
                there.remove(name)
            } else {
                there.insert(name)
            };
        }
        there.len()
    })
}

fn is_of_big(pod: &Pod) -> bool {
    pod.labels().get("dask.org/cluster-name").is_some_and(|name| name == "big")
        && (is_worker(pod) || pod.labels().get("dask.org/component").is_some_and(|it| it == "worker"))
}
