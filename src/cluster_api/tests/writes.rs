//! Updates, patches, applies and deletions.

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::{api, create, object, pod, pods, refusal};
use crate::api::{DaskCluster, FlowRun};
use crate::cluster_api::ClusterApi;

async fn run(api: &ClusterApi) -> (Api<FlowRun>, FlowRun) {
    let runs: Api<FlowRun> = Api::namespaced(api.client(), "default");
    let run: FlowRun = object(json!({
        "apiVersion": "daskflow.dev/v1alpha1", "kind": "FlowRun", "metadata": {"name": "r"}, "spec": {"flow": "etl"},
    }));
    let created = runs.create(&PostParams::default(), &run).await.unwrap();
    (runs, created)
}

#[tokio::test(start_paused = true)]
async fn a_status_is_written_over_its_version_alone() {
    let api = api();
    let (runs, created) = run(&api).await;
    let version = created.resource_version().unwrap();
    let patch = |version: &str, phase: &str| -> Patch<()> {
        let operations = json!([
            {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
            {"op": "add", "path": "/status", "value": {"phase": phase, "observedGeneration": 1}},
        ]);
        Patch::Json(serde_json::from_value(operations).unwrap())
    };
    let params = PatchParams { field_manager: Some("daskflow/status".to_owned()), ..PatchParams::default() };
    let written = runs.patch_status("r", &params, &patch(&version, "Running")).await.unwrap();
    assert_eq!(written.metadata.generation, Some(1));
    let managers = written.metadata.managed_fields.clone().unwrap();
    let status = managers.iter().find(|entry| entry.subresource.as_deref() == Some("status")).unwrap();
    assert_eq!(status.manager.as_deref(), Some("daskflow/status"));
    let (code, reason, message) = refusal(runs.patch_status("r", &params, &patch(&version, "Failed")).await);
    assert_eq!((code, reason.as_str()), (409, "Conflict"));
    assert!(
        message
            .starts_with("Operation cannot be fulfilled on flowruns.daskflow.dev \"r\": the object has been")
    );
    // Nothing is written where nothing changes.
    let same = runs
        .patch_status("r", &params, &patch(&written.resource_version().unwrap(), "Running"))
        .await
        .unwrap();
    assert_eq!(same.resource_version(), written.resource_version());
    // The other door leaves the status alone, and counts.
    let cancel = Patch::Merge(json!({"spec": {"cancel": true}, "status": {"phase": "Failed"}}));
    let cancelled = runs.patch("r", &PatchParams::default(), &cancel).await.unwrap();
    assert_eq!(cancelled.metadata.generation, Some(2));
    assert_eq!(cancelled.status, written.status);
}

#[tokio::test(start_paused = true)]
async fn a_patch_of_another_uid_is_a_conflict() {
    let api = api();
    create(&api, &["a"]).await;
    let patch = Patch::Merge(json!({"metadata": {"uid": "other", "annotations": {"x": "y"}}}));
    let (code, reason, message) =
        refusal(pods(&api).patch_metadata("a", &PatchParams::default(), &patch).await);
    assert_eq!((code, reason.as_str()), (409, "Conflict"));
    assert!(
        message.contains("Precondition failed: UID in precondition: other, UID in object meta: "),
        "{message}"
    );
    let patch = Patch::Merge(json!({"spec": {"activeDeadlineSeconds": 1}}));
    let patched = pods(&api).patch("a", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(patched.spec.unwrap().active_deadline_seconds, Some(1));
    let patch = Patch::Strategic(json!({"spec": {"containers": [{"name": "main", "image": "dask:2"}]}}));
    let patched = pods(&api).patch("a", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(patched.spec.unwrap().containers[0].image.as_deref(), Some("dask:2"));
    let patch = Patch::Merge(json!({"spec": {"hostNetwork": true}}));
    assert_eq!(refusal(pods(&api).patch("a", &PatchParams::default(), &patch).await).0, 422);
}

#[tokio::test(start_paused = true)]
async fn an_apply_creates_changes_and_takes_back() {
    let api = api();
    let services: Api<Service> = Api::namespaced(api.client(), "default");
    let service = |ports: serde_json::Value| -> Service {
        object(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "labels": {"a": "b"}}, "spec": {"ports": ports},
        }))
    };
    let params = PatchParams::apply("daskflow").force();
    let two = service(json!([{"name": "a", "port": 1}, {"name": "b", "port": 2}]));
    let created = services.patch("s", &params, &Patch::Apply(&two)).await.unwrap();
    assert_eq!(created.spec.as_ref().unwrap().ports.as_ref().unwrap().len(), 2);
    let again = services.patch("s", &params, &Patch::Apply(&two)).await.unwrap();
    assert_eq!(again.resource_version(), created.resource_version());
    let one = service(json!([{"name": "a", "port": 1}]));
    let less = services.patch("s", &params, &Patch::Apply(&one)).await.unwrap();
    let spec = less.spec.unwrap();
    assert_eq!(spec.ports.unwrap().len(), 1);
    assert_eq!(spec.cluster_ip, created.spec.unwrap().cluster_ip);
    let mut other = one.clone();
    other.metadata.labels.as_mut().unwrap().insert("a".to_owned(), "c".to_owned());
    let refused = services.patch("s", &PatchParams::apply("other"), &Patch::Apply(&other)).await;
    let (code, reason, message) = refusal(refused);
    assert_eq!((code, reason.as_str()), (409, "Conflict"));
    assert_eq!(message, "Apply failed with 1 conflict: conflict with \"daskflow\": .metadata.labels.a");
}

#[tokio::test(start_paused = true)]
async fn a_deletion_may_have_conditions() {
    let api = api();
    create(&api, &["a"]).await;
    let wrong = |uid: Option<&str>, version: Option<&str>| DeleteParams {
        preconditions: Some(Preconditions {
            uid: uid.map(Into::into),
            resource_version: version.map(Into::into),
        }),
        ..DeleteParams::background()
    };
    let (code, reason, _) = refusal(pods(&api).delete("a", &wrong(Some("other"), None)).await.map(drop));
    assert_eq!((code, reason.as_str()), (409, "Conflict"));
    assert_eq!(refusal(pods(&api).delete("a", &wrong(None, Some("1"))).await.map(drop)).0, 409);
    let uid = pods(&api).get("a").await.unwrap().uid().unwrap();
    pods(&api).delete("a", &wrong(Some(&uid), None)).await.unwrap();
    assert_eq!(refusal(pods(&api).delete("a", &DeleteParams::default()).await.map(drop)).0, 404);
}

#[tokio::test(start_paused = true)]
async fn a_pod_on_a_node_has_its_grace_and_a_finalizer_keeps_it() {
    let api = api();
    let mut one: Pod = pod("a");
    one.spec.as_mut().unwrap().node_name = Some("here".to_owned());
    one.metadata.finalizers = Some(vec!["test/keep".to_owned()]);
    pods(&api).create(&PostParams::default(), &one).await.unwrap();
    let ending = pods(&api).delete("a", &DeleteParams::default()).await.unwrap().left().unwrap();
    assert_eq!(ending.metadata.deletion_grace_period_seconds, Some(30));
    assert_eq!(ending.metadata.deletion_timestamp.unwrap().0.as_second(), super::START + 30);
    let now = DeleteParams::default().grace_period(0);
    let kept = pods(&api).delete("a", &now).await.unwrap().left().unwrap();
    assert_eq!(kept.metadata.deletion_grace_period_seconds, Some(0));
    let patch = Patch::Merge(json!({"metadata": {"finalizers": ["test/keep", "test/new"]}}));
    assert_eq!(refusal(pods(&api).patch("a", &PatchParams::default(), &patch).await).0, 422);
    let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    pods(&api).patch("a", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(refusal(pods(&api).get("a").await).0, 404);
}

/// A map that the pod of this name owns.
fn owned(name: &str, owner: &Pod, blocks: bool) -> ConfigMap {
    object(json!({"metadata": {"name": name, "ownerReferences": [{
        "apiVersion": "v1", "kind": "Pod", "name": owner.name_any(), "uid": owner.uid(), "blockOwnerDeletion": blocks,
    }]}}))
}

#[tokio::test(start_paused = true)]
async fn what_an_owner_leaves_behind_is_collected_or_orphaned() {
    let api = api();
    create(&api, &["background", "foreground", "orphan"]).await;
    let maps: Api<ConfigMap> = Api::namespaced(api.client(), "default");
    for name in ["background", "foreground", "orphan"] {
        let owner = pods(&api).get(name).await.unwrap();
        maps.create(&PostParams::default(), &owned(name, &owner, true)).await.unwrap();
    }
    assert_eq!(api.collect(), 0);
    pods(&api).delete("background", &DeleteParams::background()).await.unwrap();
    assert_eq!(refusal(pods(&api).get("background").await).0, 404);
    assert!(maps.get("background").await.is_ok());
    assert_eq!(api.collect(), 1);
    assert_eq!(refusal(maps.get("background").await).0, 404);
    pods(&api).delete("foreground", &DeleteParams::foreground()).await.unwrap();
    assert!(pods(&api).get("foreground").await.unwrap().metadata.deletion_timestamp.is_some());
    while api.collect() > 0 {}
    assert_eq!(refusal(maps.get("foreground").await).0, 404);
    assert_eq!(refusal(pods(&api).get("foreground").await).0, 404);
    pods(&api).delete("orphan", &DeleteParams::orphan()).await.unwrap();
    while api.collect() > 0 {}
    assert_eq!(refusal(pods(&api).get("orphan").await).0, 404);
    assert_eq!(maps.get("orphan").await.unwrap().metadata.owner_references, None);
}

#[tokio::test(start_paused = true)]
async fn a_foreground_deletion_does_not_wait_for_what_another_owns() {
    let api = api();
    create(&api, &["ends", "stays"]).await;
    let maps: Api<ConfigMap> = Api::namespaced(api.client(), "default");
    let mut map = owned("map", &pods(&api).get("ends").await.unwrap(), true);
    let other = owned("map", &pods(&api).get("stays").await.unwrap(), true);
    map.owner_references_mut().extend(other.owner_references().to_vec());
    maps.create(&PostParams::default(), &map).await.unwrap();
    pods(&api).delete("ends", &DeleteParams::foreground()).await.unwrap();
    while api.collect() > 0 {}
    assert_eq!(refusal(pods(&api).get("ends").await).0, 404);
    assert_eq!(maps.get("map").await.unwrap().owner_references(), other.owner_references());
}

#[tokio::test(start_paused = true)]
async fn collecting_may_go_on_by_itself() {
    let api = api();
    create(&api, &["owner"]).await;
    let owner = pods(&api).get("owner").await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(api.client(), "default");
    maps.create(&PostParams::default(), &owned("map", &owner, false)).await.unwrap();
    let collecting = tokio::spawn({
        let api = api.clone();
        async move { api.collect_always().await }
    });
    pods(&api).delete("owner", &DeleteParams::background()).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(refusal(maps.get("map").await).0, 404);
    collecting.abort();
}

#[tokio::test(start_paused = true)]
async fn a_cluster_is_scaled() {
    let api = api();
    let clusters: Api<DaskCluster> = Api::namespaced(api.client(), "default");
    let cluster: DaskCluster = object(json!({
        "apiVersion": "daskflow.dev/v1alpha1", "kind": "DaskCluster", "metadata": {"name": "dask"},
        "spec": {"image": "dask:1", "workers": {"replicas": 1}},
    }));
    clusters.create(&PostParams::default(), &cluster).await.unwrap();
    assert_eq!(clusters.get_scale("dask").await.unwrap().spec.unwrap().replicas, Some(1));
    let patch = Patch::Merge(json!({"spec": {"replicas": 3}}));
    clusters.patch_scale("dask", &PatchParams::default(), &patch).await.unwrap();
    let after = clusters.get("dask").await.unwrap();
    assert_eq!((after.spec.workers.replicas, after.metadata.generation), (Some(3), Some(2)));
}
