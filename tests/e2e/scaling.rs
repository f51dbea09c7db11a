//! Clusters that shrink while they hold data: what a client was promised is there afterwards.

use std::collections::BTreeSet;
use std::time::Duration;

use daskflow::api::{ConditionType, DaskCluster, Reason};
use futures::future::join;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::operator_killed::kill;
use crate::support::figures::{figure_seconds, say};
use crate::support::manifests::with;
use crate::support::operator::{Operator, SHORT_LEASE};
use crate::support::timeline::Timeline;
use crate::support::workers::{condition, is_of_group, is_worker, uids};
use crate::support::{Load, Namespace, clock, poll, small_cluster, test, within};

const HOLDING: &str = include_str!("flows/holding.py");

#[tokio::test]
async fn scale_down_keeps_every_result() {
    test("scale_down_keeps_every_result", Load::Crowd, async |namespace| {
        namespace.ready_cluster(small_cluster("dask", &namespace.settings.dask, 6)).await;
        let client = namespace.client("holder", "dask", HOLDING, &["200", "1000", "6"]).await;
        client.until_said("holding").await;
        for replicas in [4, 3, 1] {
            let asked = clock::now();
            namespace.scale("dask", replicas).await;
            namespace.until_workers("dask", usize::try_from(replicas).unwrap()).await;
            figure_seconds(&format!("scale_down_to_{replicas}"), clock::seconds(asked, clock::now()));
        }
        client.tell().await;
        let log = client.until_done(60).await;
        assert!(log.contains("kept all 200"), "{log}");
    })
    .await;
}

#[tokio::test]
async fn shrinking_one_group_leaves_the_other() {
    test("shrinking_one_group_leaves_the_other", Load::Crowd, async |namespace| {
        // Tasks that ask for this resource go to the group "default", which then is busy while the other one
        // is idle.
        let mut cluster = small_cluster("dask", &namespace.settings.dask, 2);
        cluster["spec"]["workers"]["daskResources"] = json!({"seat": 1});
        let mut other = small_cluster("", "", 2)["spec"]["workers"].take();
        other["name"] = json!("other");
        namespace.ready_cluster(with(cluster, json!({"workerGroups": [other]}))).await;
        let client =
            namespace.client("user", "dask", include_str!("flows/working.py"), &["2", "20", "seat=1"]).await;
        client.until_said("all begun").await;
        let before = of_group(namespace, "other").await;
        assert_eq!((before.len(), of_group(namespace, "default").await.len()), (2, 2));

        namespace.scale("dask", 1).await;
        namespace.until_workers("dask", 3).await;
        assert_eq!(uids(&of_group(namespace, "other").await), uids(&before), "the other group is as before");
        assert_eq!(of_group(namespace, "default").await.len(), 1);
        let status = namespace.until_ready("dask", 3).await.status.unwrap();
        let groups: Vec<_> =
            status.groups.iter().map(|group| (group.name.as_str(), group.desired, group.ready)).collect();
        assert!(groups.contains(&("default", 1, 1)) && groups.contains(&("other", 2, 2)), "{groups:?}");
        assert_eq!(status.replicas, 1, "the scale subresource counts the group default alone");
        client.stop().await;
    })
    .await;
}

async fn of_group(namespace: &Namespace, group: &str) -> Vec<Pod> {
    let workers = namespace.workers("dask").await.unwrap();
    workers.into_iter().filter(|pod| is_of_group(pod, group)).collect()
}

/// A pod template of which one worker runs and no second one finds a node: all nodes count as one place.
fn alone() -> Value {
    let others = json!({"dask.org/component": "worker"});
    let rule = json!({"labelSelector": {"matchLabels": others}, "topologyKey": "kubernetes.io/os"});
    let rules = json!({"requiredDuringSchedulingIgnoredDuringExecution": [rule]});
    json!({"spec": {"affinity": {"podAntiAffinity": rules}}})
}

#[tokio::test]
async fn pending_pods_go_first() {
    test("pending_pods_go_first", Load::Dask, async |namespace| {
        let mut cluster = small_cluster("dask", &namespace.settings.dask, 1);
        cluster["spec"]["workers"]["template"] = alone();
        namespace.ready_cluster(cluster).await;
        let holder = namespace.workers("dask").await.unwrap();
        let client = namespace.client("holder", "dask", HOLDING, &["20", "1000", "1"]).await;
        client.until_said("holding").await;

        namespace.scale("dask", 3).await;
        let words = ["nodes are available"];
        namespace.until_cluster_counts("dask", 1, Reason::Unschedulable, &words).await;
        let waiting = namespace.workers("dask").await.unwrap();
        assert_eq!(waiting.len(), 3, "two pods wait for a node");
        namespace.scale("dask", 2).await;
        let wait = within(60, "one of the pods that wait is gone");
        poll(wait, async || {
            let count = namespace.workers("dask").await?.len();
            if count == 2 { Ok(()) } else { Err(format!("{count} worker pods")) }
        })
        .await;
        namespace.scale("dask", 1).await;
        let left = namespace.until_workers("dask", 1).await;
        assert_eq!(uids(&left), uids(&holder), "the registered worker survives");
        namespace.until_ready("dask", 1).await;
        client.tell().await;
        client.until_done(60).await;
    })
    .await;
}

#[tokio::test]
async fn shrink_before_new_workers_register_loses_nothing() {
    test("shrink_before_new_workers_register_loses_nothing", Load::Crowd, async |namespace| {
        namespace.ready_cluster(small_cluster("dask", &namespace.settings.dask, 1)).await;
        let holder = namespace.workers("dask").await.unwrap();
        let client = namespace.client("holder", "dask", HOLDING, &["10", "1000000", "1"]).await;
        client.until_said("holding").await;

        namespace.scale("dask", 5).await;
        sleep(Duration::from_millis(700)).await; // shorter than any Dask worker takes to register
        namespace.scale("dask", 2).await;
        let left = namespace.until_workers("dask", 2).await;
        assert!(uids(&left).is_superset(&uids(&holder)), "the worker with the data is one of the two");
        namespace.until_ready("dask", 2).await;
        client.tell().await;
        client.until_done(60).await;
    })
    .await;
}

/// The steps down, and how long after each of them the operator dies, in milliseconds: while it asks the
/// scheduler, while data moves, while it deletes pods.
const DEATHS: [(i32, i64); 3] = [(4, 150), (2, 450), (1, 300)];

#[tokio::test]
async fn operator_restarted_mid_scale_down_loses_nothing() {
    test("operator_restarted_mid_scale_down_loses_nothing", Load::OwnOperator, async |namespace| {
        let operator = Operator::of_its_own(namespace, &SHORT_LEASE).await;
        namespace.ready_cluster(small_cluster("dask", &namespace.settings.dask, 6)).await;
        let client = namespace.client("holder", "dask", HOLDING, &["200", "200000", "6"]).await;
        client.until_said("holding").await;
        let pods = Timeline::<Pod>::watch(namespace);
        for (replicas, after_ms) in DEATHS {
            let pod = operator.ready_pod().await;
            // Time enough for the killer to get ready.
            let moment = clock::now() + SignedDuration::from_secs(5);
            let scale = async {
                clock::sleep_until(moment - SignedDuration::from_millis(after_ms)).await;
                namespace.scale("dask", replicas).await;
            };
            join(kill(namespace, &pod, moment), scale).await;
            let gone = pods.read(|seen| {
                let before = seen.iter().filter(|version| version.at < moment && is_leaving(&version.object));
                before.map(|version| version.object.name_any()).collect::<BTreeSet<_>>().len()
            });
            say(&format!(
                "the operator died on the way to {replicas} when {gone} pods in all were on their way out"
            ));
            operator.delete_now(&pod.name_any()).await;
            namespace.until_workers("dask", usize::try_from(replicas).unwrap()).await;
        }
        namespace.until_ready("dask", 1).await;
        client.tell().await;
        client.until_done(60).await;
    })
    .await;
}

fn is_leaving(pod: &Pod) -> bool {
    let component = pod.labels().get("dask.org/component").map(String::as_str);
    component == Some("worker") && pod.metadata.deletion_timestamp.is_some()
}

#[tokio::test]
async fn suspended_cluster_has_no_pods_and_resumes() {
    test("suspended_cluster_has_no_pods_and_resumes", Load::Dask, async |namespace| {
        namespace.ready_cluster(small_cluster("dask", &namespace.settings.dask, 2)).await;
        suspend(namespace, true).await;
        let status = namespace.until_cluster_says("dask", Reason::Suspended, &["no pods run"]).await;
        assert_eq!(condition(&status, ConditionType::Suspended).status, "True", "{status:?}");
        assert_eq!(namespace.list::<Pod>("").await.len(), 0, "it says so when they are gone");

        // Growing wakes nothing, and is not forgotten.
        namespace.scale("dask", 1).await;
        suspend(namespace, false).await;
        namespace.until_workers("dask", 1).await;
        let status = namespace.until_ready("dask", 1).await.status.unwrap();
        assert_eq!(condition(&status, ConditionType::Suspended).status, "False", "{status:?}");
        assert_eq!(namespace.list::<Pod>("").await.iter().filter(|pod| is_worker(pod)).count(), 1);
    })
    .await;
}

async fn suspend(namespace: &Namespace, suspend: bool) {
    let fields: Value = json!({"spec": {"suspend": suspend}});
    namespace.change::<DaskCluster>("dask", fields).await;
}
