//! What requests cost, in microseconds: the laws live through many histories of the operator on this API.
//!
//! `cargo test --lib cluster_api::tests::speed -- --ignored --nocapture` prints a table, in the profile
//! that the laws run in. The first column is this API alone, the second what `kube`'s client adds (a queue,
//! typed objects).

#![allow(clippy::print_stdout, reason = "it prints its figures")]

use std::time::Duration;

use axum::body::Bytes;
use futures::StreamExt;
use http::{Method, Request};
use kube::api::{ListParams, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::time::Instant;
use tower::Service;

use super::{api, object};
use crate::cluster_api::ClusterApi;

const ROUNDS: u32 = 50;

/// What no request about one object may take, in the profile of the tests. Loose: a machine may be busy.
const REQUEST_MAX: Duration = Duration::from_millis(50);

/// A kind, how it is written in paths, one object of it, and a status.
struct Sample {
    path: &'static str,
    plural: &'static str,
    object: Value,
    status: Value,
}

fn yaml(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap()
}

fn condition(reason: &str) -> Value {
    json!({
        "type": "Ready", "status": "True", "reason": reason, "message": "a sentence about it, of some length",
        "observedGeneration": 1, "lastTransitionTime": "2027-01-15T08:00:00Z",
    })
}

fn samples() -> Vec<Sample> {
    let container = json!({
        "name": "main", "image": "dask:1", "args": ["dask", "worker", "--name", "w"], "ports": [{"containerPort": 8786}],
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}, {"name": "C", "value": "3"}],
        "resources": {"requests": {"cpu": "500m"}, "limits": {"memory": "1Gi"}},
    });
    let pod = json!({
        "restartPolicy": "Never", "containers": [container],
        "volumes": [{"name": "scratch", "emptyDir": {}}], "terminationGracePeriodSeconds": 60,
    });
    let ours = "/apis/daskflow.dev/v1alpha1";
    vec![
        Sample {
            path: ours,
            plural: "flows",
            object: yaml(include_str!("../../../tests/api/good/flow-full.yaml")),
            status: json!({
                "observedGeneration": 1, "active": 1, "conditions": [condition("Scheduled")],
                "nextTick": "2027-01-15T08:00:00Z",
            }),
        },
        Sample {
            path: ours,
            plural: "flowruns",
            object: yaml(include_str!("../../../tests/api/good/flowrun-minimal.yaml")),
            status: json!({
                "observedGeneration": 1, "phase": "Running", "reason": "Running", "message": "attempt 1 runs",
                "conditions": [condition("Running")], "startTime": "2027-01-15T08:00:00Z",
            }),
        },
        Sample {
            path: ours,
            plural: "daskclusters",
            object: yaml(include_str!("../../../tests/api/good/daskcluster-full.yaml")),
            status: json!({"observedGeneration": 1, "conditions": [condition("Ready")], "replicas": 2}),
        },
        Sample {
            path: "/api/v1",
            plural: "pods",
            object: json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {"a": "b", "c": "d"}}, "spec": pod,
            }),
            status: json!({"phase": "Running", "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}),
        },
        Sample {
            path: "/apis/batch/v1",
            plural: "jobs",
            object: json!({
                "apiVersion": "batch/v1", "kind": "Job", "metadata": {"labels": {"a": "b", "c": "d"}},
                "spec": {"backoffLimit": 0, "template": {"spec": pod}},
            }),
            status: json!({"active": 1}),
        },
    ]
}

impl Sample {
    fn named(&self, name: &str) -> Value {
        let mut object = self.object.clone();
        object["metadata"]["name"] = json!(name);
        object
    }

    fn collection(&self) -> String {
        format!("{}/namespaces/default/{}", self.path, self.plural)
    }

    /// The status, different in each round.
    fn status(&self, round: u32) -> Value {
        let mut status = self.status.clone();
        match self.plural {
            "pods" => status["podIP"] = json!(format!("10.0.0.{round}")),
            "jobs" => status["active"] = json!(round),
            _ => status["conditions"][0]["message"] = json!(format!("the round {round}")),
        }
        status
    }
}

/// One request to the API alone; gives what it answers.
async fn ask(api: &ClusterApi, method: Method, path: &str, content_type: &str, body: &Value) -> Bytes {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(http::header::CONTENT_TYPE, content_type)
        .body(kube::client::Body::from(body))
        .unwrap();
    let answer = api.clone().call(request).await.unwrap();
    let (code, body) = (answer.status(), answer.into_body());
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    assert!(code.is_success(), "{path}: {}", String::from_utf8_lossy(&bytes));
    bytes
}

fn version(answer: &Bytes) -> Value {
    let object: Value = serde_json::from_slice(answer).unwrap();
    object["metadata"]["resourceVersion"].clone()
}

/// The median of what the rounds took, without what they prepare.
struct Rounds(Vec<Duration>);

impl Rounds {
    fn new() -> Self {
        Self(Vec::new())
    }

    async fn time<T>(&mut self, work: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let done = work.await;
        self.0.push(began.elapsed());
        done
    }

    fn median(mut self) -> Duration {
        self.0.sort();
        self.0.get(self.0.len() / 2).copied().unwrap_or_default()
    }
}

/// The same request by the API alone, and by a client.
fn line(what: &str, alone: Rounds, client: Option<Rounds>) {
    let alone = alone.median();
    let client = client.map(|rounds| rounds.median().as_micros().to_string()).unwrap_or_default();
    println!("{what:<36} {:>8} {client:>8}", alone.as_micros());
    assert!(alone < REQUEST_MAX, "{what}: {alone:?}");
}

const JSON: &str = "application/json";
const BACKGROUND: &str = "propagationPolicy=Background";

async fn measure(api: &ClusterApi, sample: &Sample) {
    let (all, plural) = (sample.collection(), sample.plural);
    let client = typed(api.client(), sample);
    let mut creates = (Rounds::new(), Rounds::new());
    for round in 0..ROUNDS {
        let body = sample.named(&format!("a{round}"));
        creates.0.time(ask(api, Method::POST, &all, JSON, &body)).await;
        let body: DynamicObject = object(sample.named(&format!("b{round}")));
        creates.1.time(client.create(&PostParams::default(), &body)).await.unwrap();
    }
    line(&format!("create {plural}"), creates.0, Some(creates.1));
    for round in 10..ROUNDS {
        ask(api, Method::DELETE, &format!("{all}/a{round}?{BACKGROUND}"), JSON, &Value::Null).await;
    }
    let mut deletes = Rounds::new();
    for round in 0..ROUNDS {
        let path = format!("{all}/b{round}?{BACKGROUND}");
        deletes.time(ask(api, Method::DELETE, &path, JSON, &Value::Null)).await;
    }
    line(&format!("delete {plural}"), deletes, None);
    let one = format!("{all}/a1");
    let (mut gets, mut lists) = ((Rounds::new(), Rounds::new()), (Rounds::new(), Rounds::new()));
    for _ in 0..ROUNDS {
        gets.0.time(ask(api, Method::GET, &one, JSON, &Value::Null)).await;
        gets.1.time(client.get("a1")).await.unwrap();
        lists.0.time(ask(api, Method::GET, &all, JSON, &Value::Null)).await;
        assert_eq!(lists.1.time(client.list(&ListParams::default())).await.unwrap().items.len(), 10);
    }
    line(&format!("get {plural}"), gets.0, Some(gets.1));
    line(&format!("list of 10 {plural}"), lists.0, Some(lists.1));
    patches(api, sample, &client).await;
}

async fn patches(api: &ClusterApi, sample: &Sample, client: &Api<DynamicObject>) {
    let (plural, one) = (sample.plural, format!("{}/a1", sample.collection()));
    let status = format!("{one}/status");
    let mut json_patches = (Rounds::new(), Rounds::new());
    let mut merges = Rounds::new();
    for round in 0..ROUNDS {
        let patch = |version: Value, round: u32| {
            json!([
                {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
                {"op": "add", "path": "/status", "value": sample.status(round)},
            ])
        };
        let there = ask(api, Method::GET, &one, JSON, &Value::Null).await;
        let body = patch(version(&there), round);
        let form = "application/json-patch+json";
        let there = json_patches.0.time(ask(api, Method::PATCH, &status, form, &body)).await;
        let body = patch(version(&there), round + 1);
        let body: kube::api::Patch<()> = kube::api::Patch::Json(serde_json::from_value(body).unwrap());
        json_patches.1.time(client.patch_status("a1", &PatchParams::default(), &body)).await.unwrap();
        let body = json!({"metadata": {"annotations": {"round": round.to_string()}}});
        merges.time(ask(api, Method::PATCH, &one, "application/merge-patch+json", &body)).await;
    }
    line(&format!("JSON patch of a status, {plural}"), json_patches.0, Some(json_patches.1));
    line(&format!("merge patch of an annotation, {plural}"), merges, None);
    let path = format!("{}/c?fieldManager=daskflow&force=true", sample.collection());
    let (mut applies, mut same) = (Rounds::new(), Rounds::new());
    for round in 0..ROUNDS {
        let mut body = sample.named("c");
        body["metadata"]["annotations"] = json!({"round": round.to_string()});
        let form = "application/apply-patch+yaml";
        applies.time(ask(api, Method::PATCH, &path, form, &body)).await;
        same.time(ask(api, Method::PATCH, &path, form, &body)).await;
    }
    line(&format!("apply {plural}"), applies, None);
    line(&format!("apply the same {plural}"), same, None);
}

fn typed(client: Client, sample: &Sample) -> Api<DynamicObject> {
    let version = sample.object["apiVersion"].as_str().unwrap();
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let kind = GroupVersionKind::gvk(group, version, sample.object["kind"].as_str().unwrap());
    let resource = ApiResource::from_gvk_with_plural(&kind, sample.plural);
    Api::namespaced_with(client, "default", &resource)
}

/// A watch of everything of the sample's kind; its lines come as the store changes.
async fn watch(api: &ClusterApi, sample: &Sample) -> axum::body::BodyDataStream {
    let uri = format!("{}?watch=true&resourceVersion={}", sample.collection(), api.version());
    let request = Request::get(uri).body(kube::client::Body::empty()).unwrap();
    api.clone().call(request).await.unwrap().into_body().into_data_stream()
}

#[tokio::test]
#[ignore = "prints how long requests take"]
async fn requests_are_quick() {
    let began = Instant::now();
    let api = api();
    println!("{:<36} {:>8}", "begin", began.elapsed().as_micros());
    for sample in samples() {
        measure(&api, &sample).await;
    }
    let mut begins = Rounds::new();
    for _ in 0..ROUNDS {
        begins.time(async { super::api() }).await;
    }
    line("begin once more", begins, None);
    let all = samples();
    let (runs, others) = (&all[1], [&all[0], &all[2], &all[3], &all[4]]);
    let mut watches = Vec::new();
    for sample in others {
        watches.push(watch(&api, sample).await);
    }
    let mut own = watch(&api, runs).await;
    let mut events = Rounds::new();
    for round in 0..ROUNDS {
        let body = runs.named(&format!("w{round}"));
        ask(&api, Method::POST, &runs.collection(), JSON, &body).await;
        events.time(own.next()).await.unwrap().unwrap();
    }
    line("an event of a watch", events, None);
}
