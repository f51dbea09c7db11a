//! An operator that is given what dask-kubernetes' own has made and left: clusters that work, and a job.

use daskflow::plan::compat::adapter::TheirKind;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use super::adapter::{Stage, cluster, theirs};

const FINALIZER: &str = "kopf.zalando.org/KopfFinalizerMarker";

/// An object of theirs as their operator leaves it; gives a reference to it as the controller.
async fn left(client: &Client, kind: TheirKind, name: &str, rest: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "kubernetes.dask.org/v1", "kind": kind.as_str(), "metadata": {"name": name, "finalizers": [FINALIZER]},
    });
    let fields = rest.as_object().unwrap().clone();
    object.as_object_mut().unwrap().extend(fields);
    let object = serde_json::from_value(object).unwrap();
    let made = theirs(client, kind).create(&PostParams::default(), &object).await.unwrap();
    json!({"apiVersion": "kubernetes.dask.org/v1", "kind": kind.as_str(), "name": name, "uid": made.uid(), "controller": true})
}

fn scheduler_labels(cluster: &str) -> Value {
    json!({"dask.org/cluster-name": cluster, "dask.org/component": "scheduler"})
}

/// A cluster that works: its Service, and of its scheduler's Deployment the pod.
async fn left_cluster(client: &Client, name: &str) {
    let status = json!({"phase": "Running"});
    let owner =
        left(client, TheirKind::Cluster, name, &json!({"spec": cluster(name), "status": status})).await;
    let labels = scheduler_labels(name);
    let service = json!({
        "metadata": {"name": format!("{name}-scheduler"), "labels": labels, "ownerReferences": [owner]},
        "spec": cluster(name)["scheduler"]["service"],
    });
    let services: Api<Service> = Api::default_namespaced(client.clone());
    services.create(&PostParams::default(), &serde_json::from_value(service).unwrap()).await.unwrap();
    let set =
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "r", "controller": true});
    let pod = json!({
        "metadata": {"name": format!("{name}-scheduler-5d-x"), "labels": labels, "ownerReferences": [set]},
        "spec": cluster(name)["scheduler"]["spec"],
    });
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_cluster_of_their_operator_goes_on_and_ends_when_it_is_deleted() {
    let stage = Stage::begin_after(async |client| left_cluster(client, "a").await).await;
    let said = stage.event("a", "NotTakenOver").await;
    assert!(said.starts_with("the Service a-scheduler and the Pod a-scheduler-5d-x are of "), "{said}");
    // One that comes now is served.
    stage.create(TheirKind::Cluster, "b", &cluster("b")).await;
    stage.theirs_is(TheirKind::Cluster, "b", |object| object["status"]["phase"] == "Running").await;
    stage.ours_is("b", Value::is_object).await;
    let api = theirs(&stage.client, TheirKind::Cluster);
    let left = api.get("a").await.unwrap();
    assert_eq!((left.finalizers().len(), &left.data["status"]["phase"]), (0, &json!("Running")));
    let pods: Api<Pod> = Api::default_namespaced(stage.client.clone());
    let of_a = pods.list(&ListParams::default().labels("dask.org/cluster-name=a")).await.unwrap();
    assert_eq!(of_a.items.len(), 1, "there is no second scheduler that the Service would select");
    stage.ours_is("a", Value::is_null).await;
    stage.delete(TheirKind::Cluster, "a").await;
    stage.theirs_is(TheirKind::Cluster, "a", Value::is_null).await;
}

#[tokio::test]
async fn what_is_left_is_made_anew_where_its_parts_are_deleted() {
    let stage = Stage::begin_after(async |client| left_cluster(client, "a").await).await;
    stage.event("a", "NotTakenOver").await;
    let services: Api<Service> = Api::default_namespaced(stage.client.clone());
    services.delete("a-scheduler", &DeleteParams::default()).await.unwrap();
    let pods: Api<Pod> = Api::default_namespaced(stage.client.clone());
    pods.delete("a-scheduler-5d-x", &DeleteParams::default()).await.unwrap();
    stage.pod_is("a-scheduler-5d-x", Value::is_null).await;
    // So that no time has to pass.
    stage.patch(TheirKind::Cluster, "a", &json!({"metadata": {"annotations": {"look": "now"}}})).await;
    stage.ours_is("a", Value::is_object).await;
    stage.pod_is("a-scheduler", Value::is_object).await;
}

#[tokio::test]
async fn a_job_of_their_operator_comes_to_its_end() {
    let stage = Stage::begin_after(async |client| {
        let spec = json!({"job": {"spec": {}}, "cluster": {"spec": cluster("j")}});
        let status = json!({"jobStatus": "Running", "startTime": "2026-01-01T00:00:00Z"});
        let owner = left(client, TheirKind::Job, "j", &json!({"spec": spec})).await;
        let jobs = theirs(client, TheirKind::Job);
        let patch = Patch::Merge(json!({"status": status}));
        jobs.patch_status("j", &PatchParams::default(), &patch).await.unwrap();
        left_cluster(client, "j").await;
        let patch = Patch::Merge(json!({"metadata": {"ownerReferences": [owner]}}));
        let clusters = theirs(client, TheirKind::Cluster);
        clusters.patch("j", &PatchParams::default(), &patch).await.unwrap();
        let pod = json!({
            "metadata": {"name": "j-runner", "ownerReferences": [owner]},
            "spec": {"restartPolicy": "Never", "containers": [{"name": "job", "image": "job:1"}]},
        });
        let pods: Api<Pod> = Api::default_namespaced(client.clone());
        pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
        let ended = Patch::Merge(json!({"status": {"phase": "Succeeded"}}));
        pods.patch_status("j-runner", &PatchParams::default(), &ended).await.unwrap();
    })
    .await;
    stage.theirs_is(TheirKind::Job, "j", |job| job["status"]["jobStatus"] == "Successful").await;
    stage.theirs_is(TheirKind::Cluster, "j", Value::is_null).await;
    stage.ours_is("j", Value::is_null).await;
}
