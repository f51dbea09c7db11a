//! The kinds of dask-kubernetes: served when that is asked for, and as its client and its operator use them.

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::{api, object, refusal};
use crate::api as ours;
use crate::api::dask_kubernetes::{DaskCluster, DaskJob, DaskWorkerGroup};
use crate::cluster_api::ClusterApi;

/// A cluster as their client writes it, with null for what it was not given.
pub(super) fn cluster(name: &str) -> Value {
    let pod = json!({"containers": [{"name": "dask", "image": "dask:1", "env": null, "resources": null}]});
    json!({
        "apiVersion": "kubernetes.dask.org/v1", "kind": "DaskCluster", "metadata": {"name": name},
        "spec": {
            "idleTimeout": null,
            "worker": {"replicas": 2, "spec": pod},
            "scheduler": {"spec": pod, "service": {"type": "ClusterIP", "ports": [{"port": 8786}]}},
        },
    })
}

fn clusters(api: &ClusterApi) -> Api<DaskCluster> {
    Api::namespaced(api.client(), "default")
}

async fn create(api: &ClusterApi) -> DaskCluster {
    clusters(api).create(&PostParams::default(), &object(cluster("simple"))).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn they_are_served_when_that_is_asked_for() {
    let api = api();
    let (code, ..) = refusal(clusters(&api).list(&ListParams::default()).await);
    assert_eq!(code, 404);
    let definitions: Api<CustomResourceDefinition> = Api::all(api.client());
    let count = || async { definitions.list(&ListParams::default()).await.unwrap().items.len() };
    let groups = || async { api.client().list_api_groups().await.unwrap().groups };
    let has = |groups: &[_], name: &str| {
        groups
            .iter()
            .any(|group: &k8s_openapi::apimachinery::pkg::apis::meta::v1::APIGroup| group.name == name)
    };
    assert_eq!((count().await, has(&groups().await, "kubernetes.dask.org")), (ours::crds().len(), false));
    api.serve_dask_kubernetes();
    assert_eq!((count().await, has(&groups().await, "kubernetes.dask.org")), (ours::crds().len() + 4, true));
    let created = create(&api).await;
    assert_eq!(created.spec.idle_timeout, Some(0));
    assert_eq!(created.spec.worker.spec["containers"][0]["env"], Value::Null);
    assert_eq!(clusters(&api).list(&ListParams::default()).await.unwrap().items.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_has_its_status_inside_and_a_job_has_it_apart() {
    let api = api();
    api.serve_dask_kubernetes();
    create(&api).await;
    let (clusters, params) = (clusters(&api), PatchParams::default());
    let phase = Patch::Merge(json!({"status": {"phase": "Running"}}));
    let (code, ..) = refusal(clusters.patch_status("simple", &params, &phase).await);
    assert_eq!(code, 404);
    let written = clusters.patch("simple", &params, &phase).await.unwrap();
    assert_eq!(written.metadata.generation, Some(2), "as with any definition without the subresource");
    assert_eq!(written.status.unwrap().phase.as_deref(), Some("Running"));
    let jobs: Api<DaskJob> = Api::namespaced(api.client(), "default");
    let cluster = json!({"spec": cluster("simple")["spec"]});
    let pod = json!({"spec": {"containers": [{"name": "job", "image": "dask:1"}]}});
    let job: DaskJob = object(json!({
        "apiVersion": "kubernetes.dask.org/v1", "kind": "DaskJob", "metadata": {"name": "j"},
        "spec": {"job": pod, "cluster": cluster},
    }));
    let created = jobs.create(&PostParams::default(), &job).await.unwrap();
    assert_eq!(created.spec.job.spec["restartPolicy"], "OnFailure");
    let status = json!({"status": {"jobStatus": "JobCreated"}});
    let outside = jobs.patch("j", &params, &Patch::Merge(&status)).await.unwrap();
    assert_eq!(outside.status, None);
    let written = jobs.patch_status("j", &params, &Patch::Merge(&status)).await.unwrap();
    assert_eq!(written.status.unwrap().job_status.as_deref(), Some("JobCreated"));
}

#[tokio::test(start_paused = true)]
async fn groups_and_clusters_are_scaled_and_no_name_is_refused() {
    let api = api();
    api.serve_dask_kubernetes();
    create(&api).await;
    let params = PatchParams::default();
    let scale = Patch::Merge(json!({"spec": {"replicas": 5}}));
    let scaled = clusters(&api).patch_scale("simple", &params, &scale).await.unwrap();
    assert_eq!(scaled.spec.unwrap().replicas, Some(5));
    assert_eq!(clusters(&api).get("simple").await.unwrap().spec.worker.replicas, Some(5));
    let groups: Api<DaskWorkerGroup> = Api::namespaced(api.client(), "default");
    let worker = cluster("simple")["spec"]["worker"].clone();
    let group: DaskWorkerGroup = object(json!({
        "apiVersion": "kubernetes.dask.org/v1", "kind": "DaskWorkerGroup", "metadata": {"name": "more"},
        "spec": {"cluster": "simple", "worker": worker},
    }));
    groups.create(&PostParams::default(), &group).await.unwrap();
    groups.patch("more", &params, &Patch::Merge(json!({"spec": {"worker": {"replicas": 0}}}))).await.unwrap();
    assert_eq!(groups.get_scale("more").await.unwrap().spec.unwrap().replicas, Some(0));
    for name in ["with.a.dot".to_owned(), "a".repeat(54)] {
        let created = clusters(&api).create(&PostParams::default(), &object(cluster(&name))).await.unwrap();
        assert_eq!(created.name_any(), name);
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_of_them_owns_goes_with_it_and_stays_where_they_are_not_served() {
    for (is_served, left) in [(false, 1), (true, 0)] {
        let api = api();
        if is_served {
            api.serve_dask_kubernetes();
        }
        let maps: Api<ConfigMap> = Api::namespaced(api.client(), "default");
        let owner = json!({
            "apiVersion": "kubernetes.dask.org/v1", "kind": "DaskCluster", "name": "lost", "uid": "lost",
        });
        let map = object(json!({"metadata": {"name": "m", "ownerReferences": [owner]}}));
        maps.create(&PostParams::default(), &map).await.unwrap();
        while api.collect() > 0 {}
        assert_eq!(maps.list(&ListParams::default()).await.unwrap().items.len(), left);
    }
}
