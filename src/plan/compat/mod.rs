//! Objects of dask-kubernetes (`kubernetes.dask.org/v1`) as ours: the same scheduler, workers and job, as far
//! as they can be had.
//!
//! What it is: all their objects in, ours out, with a [`Remark`] for each field that means something else
//! afterwards, and a refusal for one that cannot be honoured. Nothing is left out in silence: what is no
//! field of theirs, or of a pod, is remarked on too.
//!
//! What it is not: it knows no files and no lines, and asks no rules about what it writes; whoever prints
//! or applies it has that checked as any object of a user's.
//!
//! A group and an autoscaler of theirs are objects beside their cluster; here they are parts of it, so all
//! are given together.

pub mod adapter;
mod cluster;
mod command;
mod family;
mod group;
mod job;
mod labels;
mod options;
mod parts;
mod pod;
mod remark;
mod rights;
pub mod served;
mod service;
#[cfg(test)]
mod tests;
mod theirs;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use remark::{Effect, Remark};
pub use theirs::{GROUP, VERSION};

use crate::api::{DaskCluster, Flow, FlowRun};
use crate::plan::reading::write_whole;
use remark::Notes;
use theirs::{AutoscalerSpec, ClusterSpec, JobSpec, Object, WorkerGroupSpec};

/// Their kinds.
const KINDS: [&str; 4] = ["DaskCluster", "DaskWorkerGroup", "DaskJob", "DaskAutoscaler"];

/// What one object of theirs, with those that belong to it, becomes.
#[derive(Clone, Debug)]
pub struct Translated {
    /// The object, by its place among those that were given.
    pub of: usize,
    /// The object whose Flow its run is of, where that is another one: without it this is not written either.
    pub relies_on: Option<usize>,
    /// What is written, in the order in which it is to be created; nothing where something was refused, or
    /// where the object is a part of another one.
    pub written: Vec<Written>,
    /// What is to be said of it. Their places are fields of the first object that is written.
    pub remarks: Vec<Remark>,
}

/// An object, and why there is one, where that is not plain.
#[derive(Clone, Debug)]
pub struct Written {
    /// The object.
    pub object: Ours,
    /// What a reader has to know of it.
    pub comment: Option<String>,
}

/// An object that stands for one of theirs.
#[derive(Clone, Debug)]
pub enum Ours {
    /// A cluster.
    Cluster(Box<DaskCluster>),
    /// A program.
    Flow(Box<Flow>),
    /// A run of it.
    Run(Box<FlowRun>),
    /// A Service beside the one of the scheduler.
    Service(Box<Service>),
}

impl Ours {
    /// The same as JSON.
    ///
    /// # Errors
    ///
    /// None of these types has what JSON has not.
    pub fn to_value(&self) -> serde_json::Result<Value> {
        match self {
            Self::Cluster(cluster) => serde_json::to_value(cluster),
            Self::Flow(flow) => serde_json::to_value(flow),
            Self::Run(run) => serde_json::to_value(run),
            Self::Service(service) => serde_json::to_value(service),
        }
    }
}

/// All their objects, by kind.
#[derive(Debug, Default)]
struct All {
    clusters: Vec<Object<ClusterSpec>>,
    groups: Vec<Object<WorkerGroupSpec>>,
    autoscalers: Vec<Object<AutoscalerSpec>>,
    jobs: Vec<Object<JobSpec>>,
    /// Whether what is written follows theirs from now on.
    is_served: bool,
    /// What was said while they were read.
    remarks: Vec<Remark>,
    done: Vec<Translated>,
}

/// Translates objects of theirs, in their order, into manifests that people go on with.
pub fn translate(objects: &[Value]) -> Vec<Translated> {
    translated(objects, All::default())
}

/// The same for one cluster of theirs and what belongs to it, which one of ours follows from now on:
///
/// - What the pods of a cluster have in common is not written once for all of them, as the next group may not
///   have it, and each pod would be replaced for that. Labels and annotations of the object are not written
///   at all: whoever follows it gives them to pods that come.
/// - A group has a name of ours that follows from its own alone ([`served_group`]).
/// - A group or an autoscaler that is refused is left out, and the cluster is written without it.
pub fn translate_served(objects: &[Value]) -> Vec<Translated> {
    translated(objects, All { is_served: true, ..All::default() })
}

/// What a `DaskWorkerGroup` of this name is called within the cluster of ours that serves it.
pub fn served_group(cluster: &str, group: &str) -> String {
    group::served_name(cluster, group)
}

fn translated(objects: &[Value], mut all: All) -> Vec<Translated> {
    for (at, object) in objects.iter().enumerate() {
        let mut object = object.clone();
        write_whole(&mut object);
        all.read((at, &object));
    }
    let mut done = std::mem::take(&mut all.done);
    done.extend(all.clusters.iter().map(|cluster| all.cluster(cluster)));
    done.extend(all.all_jobs());
    // The parts of a cluster that lives are given with it, also where the cluster cannot be read.
    if !all.is_served {
        done.extend(all.lonely_parts());
    }
    done.sort_by_key(|translated| translated.of);
    done
}

impl All {
    fn read(&mut self, (at, object): (usize, &Value)) {
        let word = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
        let version = word("apiVersion");
        let mut notes = Notes::of(at);
        if version != format!("{GROUP}/{VERSION}") {
            notes.refused(
                "apiVersion",
                format!("{GROUP} has no version but {VERSION}, and this is {version}"),
            );
            return self.done.push(refused(at, notes));
        }
        let given = (at, object);
        let is_read = match word("kind") {
            "DaskCluster" => read_into(&mut self.clusters, given, &mut notes),
            "DaskWorkerGroup" => read_into(&mut self.groups, given, &mut notes),
            "DaskAutoscaler" => read_into(&mut self.autoscalers, given, &mut notes),
            "DaskJob" => read_into(&mut self.jobs, given, &mut notes),
            other => {
                notes.refused("kind", format!("{GROUP} has no kind {other}: there are {}", KINDS.join(", ")));
                false
            }
        };
        if is_read {
            self.remarks.append(&mut notes.all);
        } else {
            self.done.push(refused(at, notes));
        }
    }

    /// The remarks that were made when an object was read.
    fn said_of(&self, at: usize) -> impl Iterator<Item = Remark> {
        self.remarks.iter().filter(move |remark| remark.of == at).cloned()
    }

    fn cluster(&self, cluster: &Object<ClusterSpec>) -> Translated {
        let mut notes = Notes::of(cluster.at);
        notes.all.extend(self.said_of(cluster.at));
        if let Some(job) = cluster.owner("DaskJob") {
            let message = format!("left out: it was made for the DaskJob {job}");
            notes.changed("metadata.ownerReferences", "", message);
            return Translated { of: cluster.at, relies_on: None, written: Vec::new(), remarks: notes.all };
        }
        let parts = self.parts_of(cluster, &mut notes);
        let given = cluster::Given {
            spec: &cluster.spec,
            is_apart: self.is_served,
            is_served: self.is_served,
            metadata: &cluster.metadata,
            name: cluster.metadata.name.as_deref(),
            called: cluster.name(),
            parts,
        };
        let mut of_spec = notes.within("spec", "spec");
        let made = cluster::translate(&given, &mut of_spec);
        notes.take(of_spec);
        // What is refused of a part of a cluster that lives does not stop the others.
        let is_refused = |remark: &Remark| {
            remark.effect == Effect::Refused && !(self.is_served && remark.of != cluster.at)
        };
        let made = made.filter(|_| !notes.all.iter().any(is_refused));
        if let Some(made) = &made {
            rights::say(&made.lost, &mut notes);
        }
        labels::say_left_out(&cluster.metadata, &mut notes);
        let written = made.map(|made| write_cluster(cluster, made)).unwrap_or_default();
        Translated { of: cluster.at, relies_on: None, written, remarks: notes.all }
    }
}

fn read_into<S: DeserializeOwned + Serialize>(
    all: &mut Vec<Object<S>>,
    given: (usize, &Value),
    notes: &mut Notes,
) -> bool {
    let read = theirs::read(given, notes);
    let is_read = read.is_some();
    all.extend(read);
    is_read
}

fn refused(of: usize, notes: Notes) -> Translated {
    Translated { of, relies_on: None, written: Vec::new(), remarks: notes.all }
}

/// The cluster, and the Service beside it.
fn write_cluster(theirs: &Object<ClusterSpec>, made: cluster::Made) -> Vec<Written> {
    let mut cluster = DaskCluster::new("", made.spec);
    cluster.metadata = labels::of_object(&theirs.metadata);
    let service = made.service.map(|spec| {
        let annotations = labels::of_service(&theirs.metadata, theirs.spec.scheduler.metadata.as_ref());
        let metadata = ObjectMeta {
            name: Some(format!("{}-service", theirs.name())),
            namespace: theirs.metadata.namespace.clone(),
            annotations: (!annotations.is_empty()).then_some(annotations),
            ..ObjectMeta::default()
        };
        let service = Service { metadata, spec: Some(spec), status: None };
        let comment = "What the Service of the scheduler cannot have. It is not deleted with the cluster.";
        Written { object: Ours::Service(Box::new(service)), comment: Some(comment.to_owned()) }
    });
    let cluster = Written { object: Ours::Cluster(Box::new(cluster)), comment: None };
    [cluster].into_iter().chain(service).collect()
}
