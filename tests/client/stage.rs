//! A namespace as people find it: a Flow with runs of all kinds, its cluster, its pods and what they wrote.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use daskflow::client::Cluster;
use daskflow::cluster_api::{ClusterApi, Log, LogLine, LogRequest, LogSource};
use daskflow::daemon::clock::Clock;
use futures::StreamExt;
use futures::channel::mpsc;
use http::{Request, Response};
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

/// The seed of names that are made up.
const SEED: u64 = 7;

/// What containers wrote, by pod; of some more is to come.
#[derive(Default)]
pub struct Logs {
    written: Mutex<HashMap<String, Vec<LogLine>>>,
    coming: Mutex<HashMap<String, mpsc::UnboundedReceiver<LogLine>>>,
    /// How often the log of a pod was opened.
    opened: watch::Sender<HashMap<String, usize>>,
}

impl Logs {
    /// A line that a pod has written.
    pub fn write(&self, pod: &str, at: Timestamp, text: &str) {
        let line = LogLine { at, text: text.as_bytes().to_vec() };
        self.written.lock().unwrap().entry(pod.to_owned()).or_default().push(line);
    }

    /// Whoever follows the log of a pod gets what is sent here, until it is dropped.
    pub fn more(&self, pod: &str) -> mpsc::UnboundedSender<LogLine> {
        let (sender, receiver) = mpsc::unbounded();
        // It is there, and may be empty.
        self.written.lock().unwrap().entry(pod.to_owned()).or_default();
        self.coming.lock().unwrap().insert(pod.to_owned(), receiver);
        sender
    }

    /// Waits until the log of a pod was opened so often.
    pub async fn opened(&self, pod: &str, times: usize) {
        let mut opened = self.opened.subscribe();
        opened.wait_for(|opened| opened.get(pod).is_some_and(|count| *count >= times)).await.unwrap();
    }
}

impl LogSource for Logs {
    fn log(&self, request: &LogRequest) -> Option<Log> {
        let there = self.written.lock().unwrap().get(&request.pod).cloned();
        let more = request.follow.then(|| self.coming.lock().unwrap().remove(&request.pod)).flatten();
        self.opened.send_modify(|opened| *opened.entry(request.pod.clone()).or_default() += 1);
        let then = match more {
            Some(more) => more.boxed(),
            None => futures::stream::empty().boxed(),
        };
        Some(Log { there: there?, then })
    }
}

/// The API, and the namespace `default` in it.
pub struct Stage {
    pub cluster: Cluster,
    pub logs: Arc<Logs>,
    /// When it was made, in whole seconds. Ages are from here.
    pub now: Timestamp,
    /// Notified of each request that is answered as [`Stage::answers`] says.
    pub asked: Arc<Notify>,
    /// How far the API's clock is behind.
    behind: Arc<Mutex<SignedDuration>>,
}

impl Stage {
    /// An API without an object.
    pub fn empty() -> Self {
        let clock = Clock::of_machine();
        let now = Timestamp::from_second(clock.now().as_second()).unwrap();
        let behind = Arc::new(Mutex::new(SignedDuration::ZERO));
        let late = behind.clone();
        let api = ClusterApi::new(move || clock.now() - *late.lock().unwrap(), SEED);
        let logs = Arc::new(Logs::default());
        api.set_log_source(logs.clone());
        let cluster = Cluster { client: api.client(), namespace: "default".to_owned() };
        Self { cluster, logs, now, asked: Arc::default(), behind }
    }

    /// The same, but for requests to paths that end so: they are refused with this code, or never answered.
    pub fn answers(mut self, end: &'static str, code: Option<u16>) -> Self {
        let (client, asked) = (self.cluster.client.clone(), self.asked.clone());
        let service = tower::service_fn(move |request: Request<Body>| {
            let (client, asked) = (client.clone(), asked.clone());
            async move {
                if !request.uri().path().ends_with(end) {
                    return client.send(request).await;
                }
                asked.notify_one();
                let Some(code) = code else { return std::future::pending().await };
                let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": "no"});
                Ok(Response::builder()
                    .status(code)
                    .body(Body::from(status.to_string().into_bytes()))
                    .unwrap())
            }
        });
        self.cluster.client = Client::new(service, "default");
        self
    }

    /// An instant before now.
    pub fn ago(&self, seconds: i64) -> Timestamp {
        self.now - SignedDuration::from_secs(seconds)
    }

    /// Creates an object some seconds ago, with its status.
    pub async fn put(&self, seconds: i64, object: Value) -> Value {
        *self.behind.lock().unwrap() = SignedDuration::from_secs(seconds);
        let path = path(&object);
        let created = self.ask("POST", &path, "application/json", &object).await;
        let name = created["metadata"]["name"].as_str().unwrap().to_owned();
        if let Some(status) = object.get("status") {
            self.set_status(&format!("{path}/{name}"), status).await;
        }
        *self.behind.lock().unwrap() = SignedDuration::ZERO;
        created
    }

    /// Writes the status of an object, as an operator that has looked at it.
    pub async fn set_status(&self, path: &str, status: &Value) {
        let before = self.ask("GET", path, "application/json", &Value::Null).await;
        let mut status = status.clone();
        if path.contains("daskflow.dev") {
            status["observedGeneration"] = before["metadata"]["generation"].clone();
        }
        let written = json!({"status": status});
        self.ask("PATCH", &format!("{path}/status"), "application/merge-patch+json", &written).await;
    }

    /// The same of a run of this name.
    pub async fn set_run(&self, name: &str, status: &Value) {
        self.set_status(&format!("{RUNS}/{name}"), status).await;
    }

    /// An object as it is.
    pub async fn get(&self, path: &str) -> Value {
        self.ask("GET", path, "application/json", &Value::Null).await
    }

    async fn ask(&self, method: &str, path: &str, media: &str, body: &Value) -> Value {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = Request::builder().method(method).uri(path).header("content-type", media);
        let answer = self.cluster.client.request::<Value>(request.body(body).unwrap()).await;
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }
}

/// Where runs are.
pub const RUNS: &str = "/apis/daskflow.dev/v1alpha1/namespaces/default/flowruns";

/// Where objects of its kind are.
fn path(object: &Value) -> String {
    let plural = format!("{}s", object["kind"].as_str().unwrap().to_lowercase());
    match object["apiVersion"].as_str().unwrap() {
        "v1" => format!("/api/v1/namespaces/default/{plural}"),
        group => format!("/apis/{group}/namespaces/default/{plural}"),
    }
}

/// An object of a kind of ours.
pub fn ours(kind: &str, name: &str, spec: &Value, status: &Value) -> Value {
    json!({
        "apiVersion": "daskflow.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec, "status": status,
    })
}

/// A DaskCluster that is made for one of dask-kubernetes, of the same name.
pub fn followed(name: &str) -> Value {
    let mut cluster =
        ours("DaskCluster", name, &json!({"image": "dask:1", "workers": {"replicas": 2}}), &json!({}));
    cluster["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "kubernetes.dask.org/v1", "kind": "DaskCluster", "name": name, "uid": "1", "controller": true,
    }]);
    cluster
}

/// A pod with one container.
pub fn pod(name: &str, container: &str, labels: &Value, phase: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels},
        "spec": {"containers": [{"name": container, "image": "dask:1"}]}, "status": {"phase": phase},
    })
}

/// The pod of an attempt of a run.
pub fn runner(run: &str, attempt: u32, phase: &str) -> Value {
    let job = format!("{run}-{attempt}");
    let labels = json!({"daskflow.dev/run": run, "batch.kubernetes.io/job-name": job});
    pod(&job, "runner", &labels, phase)
}

/// Whether something holds, as a condition.
pub fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({
        "type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": "2025-10-01T00:00:00Z",
    })
}

/// A Flow on a cluster, with a run that succeeded, one that failed, one that runs and one that waits.
pub async fn furnished() -> Stage {
    let stage = Stage::empty();
    let ready = json!([condition("Ready", "True", "Ready", "")]);
    let groups =
        json!([{"name": "default", "desired": 2, "ready": 2}, {"name": "gpu", "desired": 1, "ready": 1}]);
    let cluster = ours(
        "DaskCluster",
        "analytics",
        &json!({
            "image": "dask:1", "workers": {"replicas": 2},
            "workerGroups": [{"name": "gpu", "replicas": 1, "drain": "Wait"}],
        }),
        &json!({
            "workers": {"ready": 3, "desired": 3}, "groups": groups, "conditions": ready,
            "schedulerAddress": "tcp://analytics-scheduler.default.svc:8786",
            "dashboardAddress": "http://analytics-scheduler.default.svc:8787/status",
        }),
    );
    stage.put(9000, cluster).await;
    let clocks = json!([{"name": "nightly", "cron": "0 2 * * *"}]);
    let next = stage.now + SignedDuration::from_secs(13 * 3600 + 1800);
    let flow = ours(
        "Flow",
        "nightly-report",
        &json!({
            "cluster": {"ref": {"name": "analytics"}}, "parameters": {"days": 1},
            "schedule": {"timeZone": "Europe/Paris", "clocks": clocks},
        }),
        &json!({
            "schedule": "0 2 * * * Europe/Paris", "nextTick": next, "conditions": ready, "active": 1,
            "clocks": [{"name": "nightly", "hash": "", "since": "2025-01-01T00:00:00Z", "succeeded": "2025-10-02T00:00:00Z"}],
        }),
    );
    stage.put(9000, flow).await;
    remember(&stage).await;
    runs(&stage).await;
    for name in ["analytics-default-8x2vk", "analytics-default-q9mzt"] {
        let labels = json!({"dask.org/cluster-name": "analytics", "dask.org/component": "worker"});
        stage.put(8000, pod(name, "worker", &labels, "Running")).await;
        stage.logs.write(name, stage.ago(8000), "Registered to the scheduler");
        stage.logs.write(name, stage.ago(240), &format!("loading a part on {name}"));
    }
    stage
}

/// What the Flow remembers of runs, two of which are deleted.
async fn remember(stage: &Stage) {
    let ended = |name: &str, phase: &str, hours: i64, took: i64| {
        let at = stage.ago(hours * 3600 + 1700).as_second();
        format!("-{name}||{phase}|{at}|{}", at + took)
    };
    let recent = [
        ended("20251007t000000", "Failed|FlowFailed", 3, 9),
        ended("20251006t000000", "Succeeded|", 8, 100),
        ended("20251005t000000", "TimedOut|TimeoutExceeded", 32, 3600),
        ended("20251004t000000", "Succeeded|", 56, 91),
    ];
    let path = "/apis/daskflow.dev/v1alpha1/namespaces/default/flows/nightly-report";
    stage.set_status(path, &json!({"recent": recent})).await;
}

async fn runs(stage: &Stage) {
    let tick = |clock: &str| json!({"flow": "nightly-report", "clock": "nightly", "scheduledTime": clock});
    let succeeded = json!({
        "phase": "Succeeded", "reason": "Succeeded", "attempt": 1, "startedAt": stage.ago(8 * 3600 + 1800),
        "finishedAt": stage.ago(8 * 3600 + 1700), "exitCode": 0, "tasks": {"total": 304, "failed": 0},
    });
    let name = "nightly-report-20251006t000000";
    stage.put(8 * 3600, ours("FlowRun", name, &tick("2025-10-06T00:00:00Z"), &succeeded)).await;
    let failed = json!({
        "phase": "Failed", "reason": "FlowFailed", "message": "task 'load': ValueError: no such region (report.py:31)",
        "attempt": 2, "startedAt": stage.ago(3 * 3600 + 1809), "finishedAt": stage.ago(3 * 3600 + 1800), "exitCode": 3,
        "mergedParameters": {"days": 1}, "job": "nightly-report-20251007t000000-2", "cluster": "analytics",
    });
    let name = "nightly-report-20251007t000000";
    stage.put(4 * 3600, ours("FlowRun", name, &tick("2025-10-07T00:00:00Z"), &failed)).await;
    stage.put(4 * 3600, runner(name, 2, "Failed")).await;
    stage.logs.write(&format!("{name}-2"), stage.ago(3 * 3600 + 1805), "loading 1 day");
    stage.logs.write(&format!("{name}-2"), stage.ago(3 * 3600 + 1801), "ValueError: no such region");
    let running = json!({
        "phase": "Running", "reason": "RunnerRunning", "attempt": 1, "startedAt": stage.ago(250), "cluster": "analytics",
        "mergedParameters": {"days": 7}, "job": "nightly-report-now-8kfpz-1",
    });
    let name = "nightly-report-now-8kfpz";
    let by_hand = |days: i64| json!({"flow": "nightly-report", "parameters": {"days": days}});
    stage.put(310, ours("FlowRun", name, &by_hand(7), &running)).await;
    stage.put(305, runner(name, 1, "Running")).await;
    stage.logs.write(&format!("{name}-1"), stage.ago(245), "loading 7 days");
    stage.logs.write(&format!("{name}-1"), stage.ago(230), "3 of 7 are there");
    let queued = json!({
        "phase": "Queued", "reason": "ConcurrencyForbidden", "waitsFor": "FlowPlace",
        "message": "waits for nightly-report-now-8kfpz, as concurrency is Forbid",
    });
    stage.put(130, ours("FlowRun", "nightly-report-now-w4c2d", &by_hand(14), &queued)).await;
}
