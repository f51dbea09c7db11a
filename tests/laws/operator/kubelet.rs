//! The node: starts pods, ends them well or badly, and takes away those that are deleted, each after a time
//! of its own that follows from the seed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use daskflow::api::labels;
use fastrand::Rng;
use http::Request;
use kube::Client;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::actions::BAD;
use super::history::CLUSTER;
use super::witness::{Pod, Witness};
use crate::dask::Schedulers;

/// What is to become of a pod.
struct Fate {
    start: Instant,
    end: Instant,
    exit_code: i32,
    /// How long it goes on when it is deleted.
    grace: Duration,
    /// Since when it is being deleted.
    leaves: Option<Instant>,
}

/// The node.
pub struct Kubelet {
    seed: u64,
    client: Client,
    witness: Arc<Mutex<Witness>>,
    schedulers: Schedulers,
    fates: BTreeMap<String, Fate>,
    /// The pods of which it is said that their image is nowhere to be found.
    waiting: BTreeSet<String>,
    /// Whether pods start and end at once, and well.
    pub hurries: bool,
}

impl Kubelet {
    /// A node that reaches the API by this client, sees what this witness sees, and starts these schedulers.
    pub fn new(seed: u64, client: Client, witness: Arc<Mutex<Witness>>, schedulers: Schedulers) -> Self {
        Self {
            seed,
            client,
            witness,
            schedulers,
            fates: BTreeMap::new(),
            waiting: BTreeSet::new(),
            hurries: false,
        }
    }

    fn fate(&self, pod: &Pod) -> Fate {
        let mut rng = Rng::with_seed(self.seed ^ pod.number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let now = Instant::now();
        let start = now + Duration::from_millis(rng.u64(..3_000));
        let takes = if rng.u8(..3) == 0 { rng.u64(..1_000) } else { rng.u64(..40_000) };
        let exit_code = i32::from(rng.u8(..3) == 0);
        let grace = Duration::from_millis(rng.u64(..12_000));
        Fate { start, end: start + Duration::from_millis(takes), exit_code, grace, leaves: None }
    }

    fn witness(&self) -> MutexGuard<'_, Witness> {
        self.witness.lock().unwrap()
    }

    /// Does to all pods what is due.
    pub async fn look(&mut self) {
        let pods = self.witness().pods.clone();
        self.fates.retain(|name, _| pods.contains_key(name));
        let (now, hurries) = (Instant::now(), self.hurries);
        for (name, pod) in pods {
            let new = self.fate(&pod);
            let fate = self.fates.entry(name.clone()).or_insert(new);
            let is_runner = pod.component == labels::RUNNER;
            let code = if hurries { 0 } else { fate.exit_code };
            if pod.leaves {
                let since = *fate.leaves.get_or_insert(now);
                if pod.ended || hurries || now >= since + fate.grace {
                    self.end(&name, &pod, 143).await;
                    self.take_away(&name).await;
                }
            } else if pod.ended {
                // It stays for its logs.
            } else if pod.image == BAD {
                self.waits(&name, &pod).await;
            } else if !pod.runs && (hurries || now >= fate.start) {
                self.start(&name, &pod).await;
            } else if pod.runs && is_runner && (hurries || now >= fate.end) {
                self.end(&name, &pod, code).await;
            } else if pod.runs && pod.component == labels::WORKER {
                self.work(&name, &pod).await;
            }
        }
    }

    /// Its image is nowhere to be found.
    async fn waits(&mut self, name: &str, pod: &Pod) {
        if self.waiting.insert(name.to_owned()) {
            let waiting =
                json!({"reason": "ImagePullBackOff", "message": "Back-off pulling image: not found"});
            self.status(name, pod, "Pending", json!({"waiting": waiting})).await;
        }
    }

    /// The container of a worker ends badly, and starts anew in its pod.
    pub async fn crash(&self, name: &str) {
        let Some(pod) = self.pod(name).filter(|pod| pod.runs && !pod.leaves) else { return };
        self.loses(name);
        let again = Pod { restarts: pod.restarts + 1, ..pod };
        self.status(name, &again, "Running", json!({"running": {"startedAt": "2026-12-01T09:00:20Z"}})).await;
    }

    /// A worker's pod fails.
    pub async fn evict(&self, name: &str) {
        if let Some(pod) = self.pod(name).filter(|pod| !pod.leaves) {
            self.end(name, &pod, 137).await;
        }
    }

    /// Somebody deletes a worker's pod, and its process is killed at once.
    pub async fn kill(&self, name: &str) {
        self.loses(name);
        self.take_away(name).await;
    }

    fn pod(&self, name: &str) -> Option<Pod> {
        self.witness().pods.get(name).cloned()
    }

    /// The process of a worker is no more, for its scheduler.
    fn loses(&self, name: &str) {
        let scheduler = self.witness().scheduler().map(Pod::address);
        if let Some(scheduler) = scheduler {
            self.schedulers.change(&scheduler, |state| {
                state.let_go.remove(name);
                state.loses(name);
            });
        }
    }

    async fn start(&self, name: &str, pod: &Pod) {
        self.patch(name, "", &json!({"spec": {"nodeName": "node"}})).await;
        if pod.component == labels::SCHEDULER {
            self.schedulers.start(&pod.address());
        }
        self.status(name, pod, "Running", json!({"running": {"startedAt": "2026-12-01T09:00:00Z"}})).await;
    }

    /// A worker finds its scheduler, and ends when that has let it go.
    async fn work(&self, name: &str, pod: &Pod) {
        let scheduler = self.witness().scheduler().map(Pod::address);
        let Some(scheduler) = scheduler else { return };
        if self.schedulers.at(&scheduler).is_some_and(|state| state.let_go.contains(name)) {
            return self.end(name, pod, 0).await;
        }
        let own = format!("tcp://{}:40001", pod.address());
        self.schedulers.change(&scheduler, |state| state.register(name, &own));
    }

    /// The container of the scheduler ends, and starts anew in its pod, or the pod ends with it.
    pub async fn scheduler_ends(&self, with_pod: bool) {
        let found = self.witness().scheduler().cloned();
        let Some(pod) = found else { return };
        let name = format!("{CLUSTER}-scheduler");
        if with_pod {
            return self.end(&name, &pod, 1).await;
        }
        self.schedulers.start(&pod.address());
        let again = Pod { restarts: pod.restarts + 1, ..pod };
        self.status(&name, &again, "Running", json!({"running": {"startedAt": "2026-12-01T09:00:30Z"}}))
            .await;
    }

    async fn end(&self, name: &str, pod: &Pod, exit_code: i32) {
        if pod.ended {
            return;
        }
        let scheduler = self.witness().scheduler().map(Pod::address);
        if pod.component == labels::SCHEDULER {
            self.schedulers.stop(&pod.address());
        } else if let Some(scheduler) = scheduler {
            self.schedulers.change(&scheduler, |state| state.loses(name));
        }
        let phase = if exit_code == 0 { "Succeeded" } else { "Failed" };
        self.status(name, pod, phase, json!({"terminated": {"exitCode": exit_code}})).await;
    }

    async fn status(&self, name: &str, pod: &Pod, phase: &str, state: Value) {
        let container = json!({
            "name": pod.component, "image": "flows:1", "imageID": "", "ready": phase == "Running",
            "restartCount": pod.restarts, "state": state,
        });
        let status = json!({"phase": phase, "podIP": pod.address(), "containerStatuses": [container]});
        self.patch(name, "/status", &json!({"status": status})).await;
    }

    async fn take_away(&self, name: &str) {
        let request = Request::delete(format!("/api/v1/namespaces/default/pods/{name}?gracePeriodSeconds=0"));
        // It may be there no more.
        let _ = self.client.request::<Value>(request.body(Vec::new()).unwrap()).await;
    }

    async fn patch(&self, name: &str, part: &str, patch: &Value) {
        let request = Request::patch(format!("/api/v1/namespaces/default/pods/{name}{part}"))
            .header("content-type", "application/merge-patch+json");
        // It may be there no more.
        let _ = self.client.request::<Value>(request.body(patch.to_string().into_bytes()).unwrap()).await;
    }
}
