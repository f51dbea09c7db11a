//! The objects of a scope at one moment.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use kube::Resource;

use crate::api::{DaskCluster, Flow, FlowBackfill, FlowRun};
use crate::plan::facts::{due_at, phase_of};

/// The objects of a scope at one moment.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The Flows.
    pub flows: Vec<Arc<Flow>>,
    /// The runs, the newest first.
    pub runs: Vec<Arc<FlowRun>>,
    /// The clusters.
    pub clusters: Vec<Arc<DaskCluster>>,
    /// The backfills.
    pub backfills: Vec<Arc<FlowBackfill>>,
    /// What could not be read, and why.
    pub notes: Vec<String>,
}

/// The name of an object; every one that was read has one.
pub fn name_of(object: &impl Resource) -> &str {
    object.meta().name.as_deref().unwrap_or_default()
}

/// The namespace of an object.
pub fn namespace_of(object: &impl Resource) -> &str {
    object.meta().namespace.as_deref().unwrap_or_default()
}

fn one<'a, K: Resource>(all: &'a [Arc<K>], namespace: &str, name: &str) -> Option<&'a K> {
    let found =
        all.iter().find(|one| name_of(one.as_ref()) == name && namespace_of(one.as_ref()) == namespace);
    found.map(AsRef::as_ref)
}

fn those<K: Resource>(all: &[Arc<K>], namespace: &str) -> Vec<Arc<K>> {
    all.iter().filter(|one| namespace_of(one.as_ref()) == namespace).cloned().collect()
}

/// What the runs of one Flow, or of one cluster, are found by.
type Place<'a> = (&'a str, &'a str);

impl Seen {
    /// These objects.
    pub fn new(
        (flows, mut runs): (Vec<Arc<Flow>>, Vec<Arc<FlowRun>>),
        (clusters, backfills): (Vec<Arc<DaskCluster>>, Vec<Arc<FlowBackfill>>),
    ) -> Self {
        // When a run was due takes long to find out, and there may be ten thousand.
        runs.sort_by_cached_key(|run| Reverse((due_at(run), name_of(run.as_ref()).to_owned())));
        Self { flows, runs, clusters, backfills, notes: Vec::new() }
    }

    /// Those in this namespace, in the same order.
    pub fn within(&self, namespace: &str) -> Self {
        Self {
            flows: those(&self.flows, namespace),
            runs: those(&self.runs, namespace),
            clusters: those(&self.clusters, namespace),
            backfills: those(&self.backfills, namespace),
            notes: self.notes.clone(),
        }
    }

    /// The Flow of this name.
    pub fn flow(&self, namespace: &str, name: &str) -> Option<&Flow> {
        one(&self.flows, namespace, name)
    }

    /// The run of this name.
    pub fn run(&self, namespace: &str, name: &str) -> Option<&FlowRun> {
        one(&self.runs, namespace, name)
    }

    /// The cluster of this name.
    pub fn cluster(&self, namespace: &str, name: &str) -> Option<&DaskCluster> {
        one(&self.clusters, namespace, name)
    }

    /// The runs of a Flow, the newest first.
    pub fn runs_of(&self, flow: &Flow) -> Vec<&FlowRun> {
        let (namespace, name) = (namespace_of(flow), name_of(flow));
        let is_of = |run: &&FlowRun| run.spec.flow == name && namespace_of(*run) == namespace;
        self.runs.iter().map(AsRef::as_ref).filter(is_of).collect()
    }

    /// The runs of all Flows, by namespace and name of the Flow.
    pub fn by_flow(&self) -> HashMap<Place<'_>, Vec<&FlowRun>> {
        let mut all: HashMap<Place<'_>, Vec<&FlowRun>> = HashMap::new();
        for run in &self.runs {
            all.entry((namespace_of(run.as_ref()), &run.spec.flow)).or_default().push(run);
        }
        all
    }

    /// The runs on all clusters that have not ended, by namespace and name of the cluster.
    pub fn by_cluster(&self) -> HashMap<Place<'_>, Vec<&FlowRun>> {
        let mut all: HashMap<Place<'_>, Vec<&FlowRun>> = HashMap::new();
        for run in self.runs.iter().filter(|run| !phase_of(run).is_final()) {
            if let Some(cluster) = run.status.as_ref().and_then(|status| status.cluster.as_deref()) {
                all.entry((namespace_of(run.as_ref()), cluster)).or_default().push(run);
            }
        }
        all
    }
}
