//! A changed spec, rolled out under load.

use daskflow::api::{DaskCluster, Flow, Phase, Reason};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::json;

use crate::support::manifests::inline;
use crate::support::timeline::Timeline;
use crate::support::workers::{is_worker, most_workers, uids};
use crate::support::{Load, Namespace, logs, poll, small_cluster, test, within};

const COMPUTING: &str = include_str!("flows/computing.py");

#[tokio::test]
async fn image_change_rolls_under_load() {
    test("image_change_rolls_under_load", Load::Crowd, async |namespace| {
        namespace.ready_cluster(small_cluster("dask", &namespace.settings.dask, 3)).await;
        let before = namespace.workers("dask").await.unwrap();
        let image = another_name_of_the_image(&before[0]);
        let scheduler: Pod = namespace.get("dask-scheduler").await;
        let pods = Timeline::<Pod>::watch(namespace);
        let client = namespace.client("user", "dask", COMPUTING, &[]).await;
        client.until_said("computing").await;

        namespace.change::<DaskCluster>("dask", json!({"spec": {"image": image}})).await;
        poll(within(180, "all workers are new"), async || {
            let now = namespace.workers("dask").await?;
            let old = uids(&now).intersection(&uids(&before)).count();
            if old == 0 && now.len() == 3 { Ok(()) } else { Err(format!("{old} of {} are old", now.len())) }
        })
        .await;
        let after = namespace.until_workers("dask", 3).await;
        assert!(after.iter().all(|pod| image_of(pod) == image), "{after:?}");
        let kept: Pod = namespace.get("dask-scheduler").await;
        assert_eq!(kept.uid(), scheduler.uid(), "the scheduler stays as long as a client is connected");
        // Its status may still count the last of the old ones.
        namespace.until_cluster_counts("dask", 3, Reason::Outdated, &["scheduler"]).await;
        assert!(most_workers(&pods, |_| true) <= 4, "one worker more than wanted at the most");
        assert!(client.is_at_work().await, "it saw no error");
        client.tell().await;
        client.until_done(60).await;

        let wait = within(90, "the scheduler is replaced");
        let new = namespace.until("dask-scheduler", wait, |pod: &Pod| pod.uid() != scheduler.uid()).await;
        assert_eq!(image_of(&new), image);
        namespace.until_workers("dask", 3).await;
        namespace.until_ready("dask", 3).await;
        namespace.create::<Flow>(inline("plain", include_str!("flows/where_dask.py"), "dask")).await;
        let run = namespace.start_run("plain").await;
        namespace.until_phase(&run, Phase::Succeeded, 120).await;
        crate::engines::assert_ran_on_workers(namespace, &run, "dask").await;
    })
    .await;
}

#[tokio::test]
async fn bad_image_stops_the_rollout() {
    test("bad_image_stops_the_rollout", Load::Crowd, async |namespace| {
        namespace.ready_cluster(small_cluster("dask", &namespace.settings.dask, 4)).await;
        let before = namespace.workers("dask").await.unwrap();
        let scheduler: Pod = namespace.get("dask-scheduler").await;
        let pods = Timeline::<Pod>::watch(namespace);
        let bad = "localhost/daskflow/nothing-of-this-name:1";
        namespace.change::<DaskCluster>("dask", json!({"spec": {"image": bad}})).await;
        until_told_of_the_image(namespace, bad).await;
        assert!(new_workers(&pods, bad) > 0, "a worker of the new spec was tried");

        // The old ones serve, and those who compute on them see nothing of it.
        let client = namespace.client("user", "dask", COMPUTING, &[]).await;
        client.until_said("computing").await;
        client.tell().await;
        client.until_done(60).await;
        let now = namespace.workers("dask").await.unwrap();
        assert!(uids(&now).is_superset(&uids(&before)), "the old workers are as before");
        assert!(most_workers(&pods, |_| true) <= 5, "one worker more than wanted at the most");
        let kept: Pod = namespace.get("dask-scheduler").await;
        assert_eq!(kept.uid(), scheduler.uid(), "nobody knows that the new image is good");

        let good = json!({"spec": {"image": namespace.settings.dask}});
        namespace.change::<DaskCluster>("dask", good).await;
        let healed = namespace.until_workers("dask", 4).await;
        assert_eq!(uids(&healed), uids(&before), "no old worker was restarted");
        namespace.until_ready("dask", 4).await;
        let kept: Pod = namespace.get("dask-scheduler").await;
        assert_eq!(kept.uid(), scheduler.uid());
        let restarts: Vec<_> = namespace.list::<Pod>(&logs::workers_of("dask")).await;
        let restarts: i32 = restarts
            .iter()
            .flat_map(|pod| pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten()))
            .map(|container| container.restart_count)
            .sum();
        assert_eq!(restarts, 0);
    })
    .await;
}

/// Waits until a condition names the image and gives the kubelet's reason.
async fn until_told_of_the_image(namespace: &Namespace, image: &str) {
    let wait = within(90, "a condition tells of the image that cannot be had");
    namespace
        .until("dask", wait, |cluster: &DaskCluster| {
            let mut conditions = cluster.status.iter().flat_map(|status| &status.conditions);
            conditions.any(|condition| {
                matches!(condition.reason.as_str(), "ErrImagePull" | "ImagePullBackOff")
                    && condition.message.contains(image)
            })
        })
        .await;
}

/// How many workers of this image there were.
fn new_workers(pods: &Timeline<Pod>, image: &str) -> usize {
    pods.read(|seen| {
        seen.iter().filter(|version| is_worker(&version.object) && image_of(&version.object) == image).count()
    })
}

fn image_of(pod: &Pod) -> &str {
    let container = pod.spec.as_ref().and_then(|spec| spec.containers.first());
    container.and_then(|container| container.image.as_deref()).unwrap_or_default()
}

/// The image by its digest, as the kubelet tells it of a pod that runs: another word for the same thing.
fn another_name_of_the_image(pod: &Pod) -> String {
    let mut containers = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let id = containers.next().map(|container| container.image_id.clone()).unwrap_or_default();
    assert!(id.contains("sha256:"), "{id}");
    id
}
