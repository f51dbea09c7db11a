//! What the screen shows of the API: the objects as they are, kept by watches.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use crate::api::{DaskCluster, Flow, FlowRun, labels};
use crate::view::overview::{self, Name, Overview};

/// From so many runners on those of deleted runs are forgotten.
const RUNNERS: usize = 1_000;

/// What there is.
pub struct Seen {
    client: Client,
    flows: Store<Flow>,
    runs: Store<FlowRun>,
    clusters: Store<DaskCluster>,
    /// The newest pod of the runner of each run. It may be there no more: its log is.
    runners: Mutex<BTreeMap<Name, String>>,
    changed: Notify,
}

/// Where the watches write to.
pub struct Writers(Writer<Flow>, Writer<FlowRun>, Writer<DaskCluster>);

impl Seen {
    /// Nothing is there before it follows.
    pub fn new(client: Client) -> (Self, Writers) {
        let ((flows, flow), (runs, run), (clusters, cluster)) =
            (reflector::store(), reflector::store(), reflector::store());
        let (runners, changed) = (Mutex::default(), Notify::new());
        (Self { client, flows, runs, clusters, runners, changed }, Writers(flow, run, cluster))
    }

    /// Keeps what there is as it is, for as long as it is polled.
    pub async fn follow(&self, writers: Writers) {
        tokio::join!(self.keep(writers.0), self.keep(writers.1), self.keep(writers.2), self.keep_runners());
    }

    async fn keep<K>(&self, writer: Writer<K>)
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let all: Api<K> = Api::all(self.client.clone());
        let events = watcher::watcher(all, watcher::Config::default()).default_backoff();
        let mut events = pin!(reflector::reflector(writer, events));
        while events.next().await.is_some() {
            self.changed.notify_one();
        }
    }

    async fn keep_runners(&self) {
        let pods: Api<Pod> = Api::all(self.client.clone());
        let selector = format!("{}={}", labels::COMPONENT, labels::RUNNER);
        let config = watcher::Config::default().labels(&selector);
        let mut events = pin!(watcher::watcher(pods, config).default_backoff());
        while let Some(event) = events.next().await {
            if let Ok(Event::Apply(pod) | Event::InitApply(pod)) = event
                && pod.metadata.deletion_timestamp.is_none()
                && let Some(run) = pod.labels().get(labels::RUN)
            {
                let run = Name { namespace: pod.namespace().unwrap_or_default(), name: run.clone() };
                let mut runners = self.runners.lock().unwrap_or_else(PoisonError::into_inner);
                if runners.len() >= RUNNERS {
                    // Runs that were deleted are shown no more.
                    runners.retain(|known, _| self.has_run(known));
                }
                runners.insert(run, pod.name_any());
            }
        }
    }

    fn has_run(&self, run: &Name) -> bool {
        self.runs.get(&reflector::ObjectRef::new(&run.name).within(&run.namespace)).is_some()
    }

    /// Waits until something is not as it was.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The rows of what there is now.
    pub fn rows(&self) -> Overview {
        let (flows, runs, clusters) = (self.flows.state(), self.runs.state(), self.clusters.state());
        Overview {
            flows: overview::flows(flows.iter().map(AsRef::as_ref)),
            runs: overview::runs(runs.iter().map(AsRef::as_ref)),
            clusters: overview::clusters(clusters.iter().map(AsRef::as_ref)),
        }
    }

    /// The pod of a run's newest attempt, be it there or not.
    pub fn runner(&self, run: &Name) -> Option<String> {
        self.runners.lock().unwrap_or_else(PoisonError::into_inner).get(run).cloned()
    }
}
