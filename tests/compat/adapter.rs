//! The operator serves the kinds of dask-kubernetes, on the API in this process. There is no node, so no pod
//! starts: what is seen is what their clients ask for and what ours has of it.

mod faults;

use std::fmt::Debug;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use daskflow::api::DaskCluster;
use daskflow::cluster_api::ClusterApi;
use daskflow::daemon::clock::Clock;
use daskflow::dask::Reach;
use daskflow::operator::{Options, Surroundings, run};
use daskflow::plan::compat::adapter::TheirKind;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// How long things may take on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

/// The API with an operator.
pub(super) struct Stage {
    pub(super) client: Client,
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl Stage {
    async fn begin() -> Self {
        Self::begin_after(async |_| {}).await
    }

    /// The same with what is there before the operator.
    pub(super) async fn begin_after(before: impl AsyncFnOnce(&Client)) -> Self {
        let clock = Clock::of_machine();
        let api = ClusterApi::new(move || clock.now(), 7);
        api.serve_dask_kubernetes();
        let client = api.client();
        before(&client).await;
        let options = Options {
            client: client.clone(),
            lease: None,
            namespaces: Vec::new(),
            dask_kubernetes: true,
            surroundings: Surroundings::of_machine(Reach::All),
            listener: TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap(),
        };
        let operator = async move { run(options, CancellationToken::new()).await.unwrap() };
        let collector = async move { api.collect_always().await };
        let tasks =
            [AbortOnDropHandle::new(tokio::spawn(operator)), AbortOnDropHandle::new(tokio::spawn(collector))];
        Self { client, _tasks: tasks }
    }

    fn theirs(&self, kind: TheirKind) -> Api<DynamicObject> {
        theirs(&self.client, kind)
    }

    pub(super) async fn create(&self, kind: TheirKind, name: &str, spec: &Value) -> DynamicObject {
        let object = json!({
            "apiVersion": "kubernetes.dask.org/v1", "kind": kind.as_str(), "metadata": {"name": name}, "spec": spec,
        });
        let object = serde_json::from_value(object).unwrap();
        self.theirs(kind).create(&PostParams::default(), &object).await.unwrap()
    }

    pub(super) async fn patch(&self, kind: TheirKind, name: &str, patch: &Value) {
        self.theirs(kind).patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    pub(super) async fn delete(&self, kind: TheirKind, name: &str) {
        self.theirs(kind).delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// Waits until an object of theirs is so; none of the name: null.
    pub(super) async fn theirs_is(&self, kind: TheirKind, name: &str, holds: impl Fn(&Value) -> bool) {
        let api = self.theirs(kind);
        let read = || there(&api, name);
        until(&format!("{} {name}", kind.as_str()), read, holds).await;
    }

    /// Waits until a cluster of ours is so.
    pub(super) async fn ours_is(&self, name: &str, holds: impl Fn(&Value) -> bool) {
        let api: Api<DaskCluster> = Api::default_namespaced(self.client.clone());
        let read = || there(&api, name);
        until(&format!("our DaskCluster {name}"), read, holds).await;
    }

    /// Waits until a pod is so.
    pub(super) async fn pod_is(&self, name: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let api: Api<Pod> = Api::default_namespaced(self.client.clone());
        let read = || there(&api, name);
        until(&format!("the Pod {name}"), read, holds).await
    }

    /// The kubelet says how a pod is.
    pub(super) async fn set_pod(&self, name: &str, phase: &str) {
        let api: Api<Pod> = Api::default_namespaced(self.client.clone());
        let status = json!({"status": {"phase": phase}});
        api.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    }

    /// Waits until an event about an object of theirs has this reason; gives its words.
    pub(super) async fn event(&self, name: &str, reason: &str) -> String {
        let api: Api<Event> = Api::default_namespaced(self.client.clone());
        let read = || async {
            let all = api.list(&ListParams::default()).await.unwrap().items;
            let about = all.into_iter().find(|event| {
                let of = event.regarding.as_ref();
                let is_theirs = of.and_then(|of| of.api_version.as_deref()) == Some("kubernetes.dask.org/v1");
                let is_of = of.and_then(|of| of.name.as_deref()) == Some(name);
                is_theirs && is_of && event.reason.as_deref() == Some(reason)
            });
            json!(about.and_then(|event| event.note))
        };
        let found = until(&format!("an event {reason} about {name}"), read, Value::is_string).await;
        found.as_str().unwrap().to_owned()
    }
}

/// Objects of theirs.
pub(super) fn theirs(client: &Client, kind: TheirKind) -> Api<DynamicObject> {
    Api::default_namespaced_with(client.clone(), &kind.resource())
}

/// The object of this name; null where there is none.
#[allow(clippy::disallowed_methods, reason = "these names are those of this file")]
async fn there<K: Clone + Debug + DeserializeOwned + Serialize>(api: &Api<K>, name: &str) -> Value {
    serde_json::to_value(api.get_opt(name).await.unwrap()).unwrap()
}

async fn until<F: Future<Output = Value>>(
    what: &str,
    read: impl Fn() -> F,
    holds: impl Fn(&Value) -> bool,
) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        let last = read().await;
        if holds(&last) {
            return last;
        }
        assert!(Instant::now() < end, "{what}: {last:#}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A cluster as `KubeCluster` writes it, with what it leaves open.
pub(super) fn cluster(name: &str) -> Value {
    json!({
        "idleTimeout": 0,
        "worker": {"replicas": 1, "spec": {"containers": [{
            "name": "worker", "image": "dask:1", "env": null, "resources": null,
            "args": ["dask-worker", "--name", "$(DASK_WORKER_NAME)", "--dashboard", "--dashboard-address", "8788"],
            "ports": [{"name": "http-dashboard", "containerPort": 8788, "protocol": "TCP"}],
        }]}},
        "scheduler": {
            "spec": {"containers": [{
                "name": "scheduler", "image": "dask:1", "args": ["dask-scheduler", "--host", "0.0.0.0"], "env": null,
                "resources": null,
                "ports": [
                    {"name": "tcp-comm", "containerPort": 8786, "protocol": "TCP"},
                    {"name": "http-dashboard", "containerPort": 8787, "protocol": "TCP"},
                ],
                "readinessProbe": {"httpGet": {"port": "http-dashboard", "path": "/health"}, "periodSeconds": 1},
            }]},
            "service": {
                "type": "ClusterIP",
                "selector": {"dask.org/cluster-name": name, "dask.org/component": "scheduler"},
                "ports": [
                    {"name": "tcp-comm", "protocol": "TCP", "port": 8786, "targetPort": "tcp-comm"},
                    {"name": "http-dashboard", "protocol": "TCP", "port": 8787, "targetPort": "http-dashboard"},
                ],
            },
        },
    })
}

#[tokio::test]
async fn a_cluster_of_theirs_is_one_of_ours_until_it_is_deleted() {
    let stage = Stage::begin().await;
    let theirs = stage.create(TheirKind::Cluster, "a", &cluster("a")).await;
    stage.theirs_is(TheirKind::Cluster, "a", |object| object["status"]["phase"] == "Running").await;
    let is_labelled = |group: &Value| {
        let labels = &group["metadata"]["labels"];
        labels["dask.org/cluster-name"] == "a" && labels["dask.org/component"] == "workergroup"
    };
    stage.theirs_is(TheirKind::Group, "a-default", is_labelled).await;
    let uid = json!(theirs.uid());
    stage.ours_is("a", |ours| ours["metadata"]["ownerReferences"][0]["uid"] == uid).await;
    let services: Api<Service> = Api::default_namespaced(stage.client.clone());
    assert!(services.get("a-scheduler").await.is_ok());
    let scheduler = stage.pod_is("a-scheduler", Value::is_object).await;
    assert_eq!(scheduler["metadata"]["labels"]["dask.org/component"], "scheduler");

    // Their clients scale the group; kubectl the cluster too.
    stage.patch(TheirKind::Group, "a-default", &json!({"spec": {"worker": {"replicas": 3}}})).await;
    stage.ours_is("a", |ours| ours["spec"]["workers"]["replicas"] == 3).await;
    stage.patch(TheirKind::Cluster, "a", &json!({"spec": {"worker": {"replicas": 2}}})).await;
    stage.ours_is("a", |ours| ours["spec"]["workers"]["replicas"] == 2).await;
    stage.theirs_is(TheirKind::Group, "a-default", |group| group["spec"]["worker"]["replicas"] == 2).await;

    // A further group, which is not given the label that their clients count groups by.
    let more = json!({"cluster": "a", "worker": cluster("a")["worker"]});
    stage.create(TheirKind::Group, "a-more", &more).await;
    stage.ours_is("a", |ours| ours["spec"]["workerGroups"][0]["name"] == "more").await;
    let is_adopted = |group: &Value| group["metadata"]["ownerReferences"][0]["uid"] == uid;
    stage.theirs_is(TheirKind::Group, "a-more", is_adopted).await;
    stage.delete(TheirKind::Group, "a-more").await;
    stage.ours_is("a", |ours| ours["spec"]["workerGroups"].as_array().is_none_or(Vec::is_empty)).await;

    stage.create(TheirKind::Autoscaler, "a", &json!({"cluster": "a", "minimum": 1, "maximum": 4})).await;
    stage.ours_is("a", |ours| ours["spec"]["workers"]["autoscale"]["maximum"] == 4).await;
    stage.theirs_is(TheirKind::Autoscaler, "a", is_adopted).await;
    stage.delete(TheirKind::Autoscaler, "a").await;
    stage.ours_is("a", |ours| ours["spec"]["workers"]["autoscale"].is_null()).await;

    stage.delete(TheirKind::Cluster, "a").await;
    for kind in [TheirKind::Cluster, TheirKind::Group, TheirKind::Autoscaler] {
        let api = stage.theirs(kind);
        let left = || async { json!(api.list(&ListParams::default()).await.unwrap().items.len()) };
        until(kind.as_str(), left, |left| *left == 0).await;
    }
    stage.ours_is("a", Value::is_null).await;
    stage.pod_is("a-scheduler", Value::is_null).await;
}

#[tokio::test]
async fn what_is_edited_or_deleted_comes_back_as_theirs_says() {
    let stage = Stage::begin().await;
    stage.create(TheirKind::Cluster, "b", &cluster("b")).await;
    stage.theirs_is(TheirKind::Cluster, "b", |object| object["status"]["phase"] == "Running").await;
    let ours: Api<DaskCluster> = Api::default_namespaced(stage.client.clone());
    let edit = json!({"spec": {"suspend": true, "workers": {"replicas": 9}}});
    ours.patch("b", &PatchParams::default(), &Patch::Merge(edit)).await.unwrap();
    let is_back =
        |ours: &Value| ours["spec"]["suspend"].is_null() && ours["spec"]["workers"]["replicas"] == 1;
    stage.ours_is("b", is_back).await;
    let was = ours.get("b").await.unwrap().uid();
    ours.delete("b", &DeleteParams::default()).await.unwrap();
    stage.ours_is("b", |ours| ours.is_object() && ours["metadata"]["uid"] != json!(was)).await;
    stage.delete(TheirKind::Group, "b-default").await;
    stage.theirs_is(TheirKind::Group, "b-default", Value::is_object).await;
    let image = json!({"spec": {
        "worker": {"spec": {"containers": [{"name": "worker", "image": "dask:2", "args": ["dask-worker"]}]}},
        "scheduler": {"spec": {"containers": [{"name": "scheduler", "image": "dask:2", "args": ["dask-scheduler"]}]}},
    }});
    stage.patch(TheirKind::Cluster, "b", &image).await;
    stage.ours_is("b", |ours| ours["spec"]["image"] == "dask:2").await;
}

#[tokio::test]
async fn what_cannot_be_honoured_is_an_error_and_an_event() {
    let stage = Stage::begin().await;
    let mut spec = cluster("c");
    spec["worker"]["spec"]["containers"][0]["args"] = json!(["dask-worker", "--nworkers", "2"]);
    stage.create(TheirKind::Cluster, "c", &spec).await;
    let said = stage.event("c", "InvalidSpec").await;
    assert!(said.starts_with("spec.worker.spec.containers[0].args: "), "{said}");
    stage.theirs_is(TheirKind::Cluster, "c", |object| object["status"]["phase"] == "Error").await;
    // What the API server refuses of ours: the name of a Service begins with a letter.
    stage.create(TheirKind::Cluster, "1c", &cluster("1c")).await;
    let said = stage.event("1c", "Rejected").await;
    assert!(said.contains("with a letter first"), "{said}");
    stage.theirs_is(TheirKind::Cluster, "1c", |object| object["status"]["phase"] == "Error").await;
    stage.create(TheirKind::Cluster, "c.d", &cluster("c.d")).await;
    stage.theirs_is(TheirKind::Cluster, "c.d", |object| object["status"]["phase"] == "Error").await;
    // Corrected, it starts.
    let args = json!({"spec": {"worker": cluster("c")["worker"]}});
    stage.patch(TheirKind::Cluster, "c", &args).await;
    stage.theirs_is(TheirKind::Cluster, "c", |object| object["status"]["phase"] == "Running").await;
}

#[tokio::test]
async fn a_job_of_theirs_has_its_pod_at_once_and_no_cluster_at_its_end() {
    let stage = Stage::begin().await;
    let pod =
        json!({"restartPolicy": "Never", "containers": [{"name": "job", "image": "job:1", "args": ["x"]}]});
    let of_cluster = cluster("j");
    let spec = json!({
        "job": {"spec": pod, "metadata": {"annotations": {"b": "c"}}},
        "cluster": {"spec": {"worker": of_cluster["worker"], "scheduler": of_cluster["scheduler"]}},
    });
    for (name, phase, status) in [("j", "Succeeded", "Successful"), ("k", "Failed", "Failed")] {
        stage.create(TheirKind::Job, name, &spec).await;
        let pod = stage.pod_is(&format!("{name}-runner"), Value::is_object).await;
        assert_eq!(pod["metadata"]["labels"]["dask.org/component"], "job-runner");
        stage.theirs_is(TheirKind::Cluster, name, |object| object["status"]["phase"] == "Running").await;
        stage.theirs_is(TheirKind::Job, name, |job| job["status"]["jobStatus"] == "ClusterCreated").await;
        stage.set_pod(&format!("{name}-runner"), "Running").await;
        stage.theirs_is(TheirKind::Job, name, |job| job["status"]["jobStatus"] == "Running").await;
        stage.set_pod(&format!("{name}-runner"), phase).await;
        stage.theirs_is(TheirKind::Cluster, name, Value::is_null).await;
        let jobs = stage.theirs(TheirKind::Job);
        let job = jobs.get(name).await.unwrap().data["status"].clone();
        assert_eq!(job["jobStatus"], status, "it is written before the cluster is deleted");
        let keys: Vec<&String> = job.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["clusterName", "endTime", "jobRunnerPodName", "jobStatus", "startTime"]);
        stage.ours_is(name, Value::is_null).await;
        assert!(stage.pod_is(&format!("{name}-runner"), Value::is_object).await.is_object());
    }
}
