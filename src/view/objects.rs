//! The objects of a namespace, or of all, as they were read for showing.

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::ResourceExt;

use crate::api::{DaskCluster, Flow, FlowBackfill, FlowRun, labels};
use crate::plan::facts;

/// What was read. Pods and events are read for one object only; else there are none.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// The Flows.
    pub flows: Vec<Flow>,
    /// The runs.
    pub runs: Vec<FlowRun>,
    /// The clusters.
    pub clusters: Vec<DaskCluster>,
    /// The backfills.
    pub backfills: Vec<FlowBackfill>,
    /// Pods of these.
    pub pods: Vec<Pod>,
    /// Events about these and their pods.
    pub events: Vec<Event>,
}

impl Objects {
    /// The runs of a Flow, the newest first.
    pub fn runs_of(&self, flow: &Flow) -> Vec<&FlowRun> {
        let name = flow.name_any();
        let mut runs: Vec<&FlowRun> = self
            .runs
            .iter()
            .filter(|run| run.namespace() == flow.namespace() && run.spec.flow == name)
            .collect();
        runs.sort_by_key(|run| std::cmp::Reverse(place(run)));
        runs
    }

    /// The DaskCluster of this name beside a Flow or a run.
    pub fn cluster(&self, namespace: Option<&str>, name: &str) -> Option<&DaskCluster> {
        self.clusters
            .iter()
            .find(|cluster| cluster.metadata.namespace.as_deref() == namespace && cluster.name_any() == name)
    }

    /// The pods of a run's attempts, the oldest first.
    pub fn pods_of_run(&self, run: &FlowRun) -> Vec<&Pod> {
        self.pods_with(labels::RUN, &run.name_any())
    }

    /// The pods of a DaskCluster, the oldest first.
    pub fn pods_of_cluster(&self, cluster: &DaskCluster) -> Vec<&Pod> {
        self.pods_with(labels::CLUSTER_NAME, &cluster.name_any())
    }

    fn pods_with(&self, label: &str, value: &str) -> Vec<&Pod> {
        let mut pods: Vec<&Pod> = self
            .pods
            .iter()
            .filter(|pod| pod.labels().get(label).is_some_and(|found| found == value))
            .collect();
        pods.sort_by_key(|pod| (pod.creation_timestamp(), pod.name_any()));
        pods
    }
}

/// By what runs are ordered: when they came into the line, then by name.
pub fn place(run: &FlowRun) -> (jiff::Timestamp, String) {
    (facts::due_at(run), run.name_any())
}
