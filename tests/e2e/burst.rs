//! Twenty clusters at once: each status tells the truth about its own cluster.

use daskflow::api::{ConditionType, DaskCluster, Reason, labels};
use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt;

use crate::support::clock::{now, seconds};
use crate::support::figures::figure_seconds;
use crate::support::timeline::Timeline;
use crate::support::workers::{condition, is_worker, nowhere};
use crate::support::{Load, poll, small_cluster, test, within};

/// All clusters.
const CLUSTERS: usize = 20;
/// Those of them that find nodes. The others cost no processor time, so that a small machine bears the test.
const REAL: usize = 2;

#[tokio::test]
async fn burst_of_twenty_clusters_all_tell_the_truth() {
    test("burst_of_twenty_clusters_all_tell_the_truth", Load::Crowd, async |namespace| {
        let pods = Timeline::<Pod>::watch(namespace);
        let services = Timeline::<Service>::watch(namespace);
        let begin = now();
        join_all((0..CLUSTERS).map(|number| async move {
            let mut cluster = small_cluster(&name(number), &namespace.settings.dask, 1);
            if number >= REAL {
                cluster["spec"]["scheduler"]["template"] = nowhere();
                cluster["spec"]["workers"]["template"] = nowhere();
            }
            namespace.create::<DaskCluster>(cluster).await;
        }))
        .await;
        figure_seconds("burst_20_clusters_created", seconds(begin, now()));
        let wait = within(120, "every cluster has its Service, scheduler and worker");
        poll(wait, async || {
            let missing: Vec<String> =
                (0..CLUSTERS).map(name).filter(|name| last_child(&pods, &services, name).is_none()).collect();
            if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?} are not complete")) }
        })
        .await;
        let last = (0..CLUSTERS).filter_map(|number| last_child(&pods, &services, &name(number))).max();
        figure_seconds("burst_20_clusters_all_children", seconds(begin, last.unwrap()));

        for number in 0..CLUSTERS {
            let name = name(number);
            if number < REAL {
                namespace.until_ready(&name, 1).await;
                continue;
            }
            let words = ["nodes are available"];
            let status = namespace.until_cluster_says(&name, Reason::Unschedulable, &words).await;
            let ready = condition(&status, ConditionType::Ready);
            assert_eq!(
                (ready.status.as_str(), ready.reason.as_str()),
                ("False", "Unschedulable"),
                "{status:?}"
            );
            assert!(ready.message.contains(&format!("{name}-")), "it names its own pod: {}", ready.message);
            assert_eq!((status.workers.ready, status.workers.desired), (0, 1), "{status:?}");
        }
        figure_seconds("burst_20_clusters_all_told", seconds(begin, now()));
        let all: Vec<Pod> = namespace.list("").await;
        assert_eq!(all.len(), 2 * CLUSTERS, "one scheduler and one worker each, and none twice");
    })
    .await;
}

fn name(number: usize) -> String {
    format!("burst-{number:02}")
}

/// When the last one of a cluster's children was seen first; None while one is missing.
fn last_child(pods: &Timeline<Pod>, services: &Timeline<Service>, cluster: &str) -> Option<Timestamp> {
    let of_cluster = |pod: &Pod| pod.labels().get(labels::CLUSTER_NAME).is_some_and(|label| label == cluster);
    let service = services.first(|service| service.name_any() == format!("{cluster}-scheduler"))?;
    let scheduler = pods.first(|pod| of_cluster(pod) && !is_worker(pod))?;
    let worker = pods.first(|pod| of_cluster(pod) && is_worker(pod))?;
    Some(service.max(scheduler).max(worker))
}
