//! The queues of the controllers: the names of objects that are to be looked at. `route` decides which.

use kube::Resource;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc;

use crate::api::{DaskCluster, Flow, FlowBackfill, FlowRun};

/// An object that is to be looked at.
#[derive(Clone, Debug)]
pub struct Wake<K: Resource<DynamicType = ()>> {
    /// The object.
    pub object: ObjectRef<K>,
    /// Whether somebody waits for what comes of it, rather than a clock.
    pub urgent: bool,
}

/// The sending sides of the controllers' queues.
#[derive(Clone)]
pub struct Triggers {
    clusters: mpsc::UnboundedSender<Wake<DaskCluster>>,
    flows: mpsc::UnboundedSender<Wake<Flow>>,
    runs: mpsc::UnboundedSender<Wake<FlowRun>>,
    backfills: mpsc::UnboundedSender<Wake<FlowBackfill>>,
}

/// The receiving sides. The queues hold names only, and a controller keeps each name once.
pub struct Wakes {
    /// Clusters to look at.
    pub clusters: mpsc::UnboundedReceiver<Wake<DaskCluster>>,
    /// Flows to look at.
    pub flows: mpsc::UnboundedReceiver<Wake<Flow>>,
    /// Runs to look at.
    pub runs: mpsc::UnboundedReceiver<Wake<FlowRun>>,
    /// Backfills to look at.
    pub backfills: mpsc::UnboundedReceiver<Wake<FlowBackfill>>,
}

/// The queues of all controllers.
pub fn channels() -> (Triggers, Wakes) {
    let (clusters, cluster_wakes) = mpsc::unbounded_channel();
    let (flows, flow_wakes) = mpsc::unbounded_channel();
    let (runs, run_wakes) = mpsc::unbounded_channel();
    let (backfills, backfill_wakes) = mpsc::unbounded_channel();
    (
        Triggers { clusters, flows, runs, backfills },
        Wakes { clusters: cluster_wakes, flows: flow_wakes, runs: run_wakes, backfills: backfill_wakes },
    )
}

impl Wakes {
    /// Throws all wake-ups away for as long as it is polled: nobody works, and queues must not grow.
    pub(super) async fn discard(&mut self) {
        loop {
            let received = tokio::select! {
                wake = self.clusters.recv() => wake.is_some(),
                wake = self.flows.recv() => wake.is_some(),
                wake = self.runs.recv() => wake.is_some(),
                wake = self.backfills.recv() => wake.is_some(),
            };
            if !received {
                // The context holds the senders: this is the end of the process.
                return;
            }
        }
    }
}

impl Triggers {
    /// Wakes a cluster.
    pub fn cluster(&self, namespace: &str, name: &str) {
        // The receiver is gone only when the operator stops.
        let _ = self.clusters.send(wake_of(namespace, name));
    }

    pub(super) fn flow(&self, namespace: &str, name: &str) {
        let _ = self.flows.send(wake_of(namespace, name));
    }

    /// Wakes a Flow before the others of its namespace: somebody waits for a place.
    pub(super) fn flow_now(&self, namespace: &str, name: &str) {
        let _ = self.flows.send(Wake { urgent: true, ..wake_of(namespace, name) });
    }

    /// The same for a cluster.
    pub(super) fn cluster_now(&self, namespace: &str, name: &str) {
        let _ = self.clusters.send(Wake { urgent: true, ..wake_of(namespace, name) });
    }

    pub(super) fn run(&self, namespace: &str, name: &str) {
        let _ = self.runs.send(wake_of(namespace, name));
    }

    pub(super) fn backfill(&self, namespace: &str, name: &str) {
        let _ = self.backfills.send(wake_of(namespace, name));
    }
}

fn wake_of<K: Resource<DynamicType = ()>>(namespace: &str, name: &str) -> Wake<K> {
    Wake { object: ObjectRef::new(name).within(namespace), urgent: false }
}
