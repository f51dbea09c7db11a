//! Groups whose size follows the load.

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use crate::support::clock::{now, seconds};
use crate::support::figures::{figure, figure_seconds};
use crate::support::manifests::with;
use crate::support::timeline::Timeline;
use crate::support::workers::{is_of_group, is_worker, most_workers};
use crate::support::{Load, Namespace, small_cluster, test};

const WORKING: &str = include_str!("flows/working.py");

#[tokio::test]
async fn autoscale_from_zero_and_back() {
    test("autoscale_from_zero_and_back", Load::Crowd, async |namespace| {
        let mut cluster = small_cluster("dask", &namespace.settings.dask, 0);
        cluster["spec"]["workers"] = autoscaled(cluster["spec"]["workers"].take(), 3);
        let mut gpu = autoscaled(cluster["spec"]["workers"].clone(), 2);
        gpu["name"] = json!("gpu");
        gpu["daskResources"] = json!({"GPU": 1});
        namespace.ready_cluster(with(cluster, json!({"workerGroups": [gpu]}))).await;
        let pods = Timeline::<Pod>::watch(namespace);
        namespace.until_workers("dask", 0).await;

        // Plain tasks: the group "default" grows, and the other one has nothing to do with it.
        let asked = now();
        let client = namespace.client("plain", "dask", WORKING, &["24", "0.5"]).await;
        client.until_said("asked").await;
        let log = client.until_done(180).await;
        figure_seconds("autoscale_24_half_seconds_from_zero", seconds(asked, now()));
        assert!(log.contains("ended"), "{log}");
        let most = most_workers(&pods, |pod| is_of_group(pod, "default"));
        figure("autoscale_most_workers", most, "workers");
        assert!((2..=3).contains(&most), "{most} workers at the most");
        assert_eq!(most_workers(&pods, |pod| is_of_group(pod, "gpu")), 0, "no task asked for a GPU");
        let ended = now();
        until_at_rest(namespace).await;
        figure_seconds("autoscale_back_to_zero", seconds(ended, now()));

        // Tasks that ask for a GPU take longer than `scaleDownAfter`. That no other task waits, so that the
        // group "default" has nothing to do, must not take their workers away.
        let client = namespace.client("gpus", "dask", WORKING, &["2", "10", "GPU=1"]).await;
        let log = client.until_done(180).await;
        assert!(log.contains("starts: [1, 1]"), "each task ran once: {log}");
        let most = most_workers(&pods, |pod| is_of_group(pod, "gpu"));
        assert!((1..=2).contains(&most), "{most} workers with a GPU at the most");
        until_at_rest(namespace).await;
        let workers = namespace.list::<Pod>("").await;
        assert!(!workers.iter().any(is_worker), "{workers:?}");
    })
    .await;
}

/// A group of workers that follows the load, from none to `maximum`.
pub fn autoscaled(mut workers: Value, maximum: i32) -> Value {
    workers.as_object_mut().unwrap().remove("replicas");
    workers["autoscale"] =
        json!({"minimum": 0, "maximum": maximum, "targetDuration": "1s", "scaleDownAfter": "5s"});
    workers
}

/// Waits until there is no worker, and the status says that none is wanted.
pub async fn until_at_rest(namespace: &Namespace) {
    namespace.until_workers("dask", 0).await;
    let status = namespace.until_ready("dask", 0).await.status.unwrap();
    assert_eq!(status.workers.desired, 0, "{status:?}");
}
