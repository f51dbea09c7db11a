//! The objects beside a cluster of theirs: its groups and its autoscaler.
//!
//! The group `NAME-default` is made with its cluster, and its number of workers is the one that counts: their
//! clients and their autoscaler write that alone. The number of the cluster is given to it when that has
//! changed since it was last given, which an annotation of the group remembers. Its pod is always that of the
//! cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::ResourceExt;
use kube::core::DynamicObject;
use serde_json::{Map, Value, json};

use super::kind::TheirKind;
use super::write::Write;
use crate::api::{DaskCluster, Reason, labels};
use crate::plan::Note;
use crate::plan::compat::theirs::Extra;
use crate::plan::compat::{group, labels as words};
use crate::plan::objects::{content_hash, has_same_name};

/// The value of the component label on the group that is made with a cluster.
const GROUP: &str = "workergroup";
/// The field of the number of workers.
const REPLICAS: &str = "replicas";
/// What begins so is a finalizer of the framework of their operator, which holds up each deletion until that
/// operator takes it away.
const THEIR_FINALIZERS: [&str; 2] = ["kopf.zalando.org/", "kopf.dev/"];

/// The objects that a finalizer of theirs was taken from: the uid of each, and the version that it had then.
/// It is taken away once: where their operator runs as well, it puts it back each time.
pub type Freed = BTreeMap<String, Option<String>>;

/// The further groups that the API server has refused as parts of ours, by a rule that the translation does
/// not know: the uid of each, what it was like, and what was said. One that is edited is tried again.
pub type RefusedGroups = BTreeMap<String, (String, String)>;

/// What a group is like, as far as it becomes a part of ours.
pub(super) fn shape(group: &DynamicObject) -> String {
    content_hash(&group.data.pointer("/spec/worker"))
}

/// What the API server has said of a group that is still as it was.
pub(super) fn refusal<'a>(group: &DynamicObject, refused: &'a RefusedGroups) -> Option<&'a str> {
    let (then, said) = refused.get(group.metadata.uid.as_ref()?)?;
    (*then == shape(group)).then_some(said.as_str())
}

/// Which groups of theirs the API server means with its refusal of ours: `causes` are fields, and what is
/// said of each. Of what it says of anything else they are not the cause.
pub fn refused_groups(
    ours: &DaskCluster,
    groups: &[Arc<DynamicObject>],
    causes: &[(String, String)],
) -> RefusedGroups {
    let cluster = ours.name_any();
    let mut refused = RefusedGroups::new();
    for (field, message) in causes {
        let index = field.strip_prefix("spec.workerGroups[").and_then(|rest| rest.split_once(']'));
        let place = index.and_then(|(index, _)| index.parse::<usize>().ok());
        let Some(named) = place.and_then(|place| ours.spec.worker_groups.get(place)) else { continue };
        let is_it =
            |group: &&Arc<DynamicObject>| group::served_name(&cluster, &group.name_any()) == named.name;
        let Some(group) = groups.iter().find(is_it) else { continue };
        let Some(uid) = &group.metadata.uid else { continue };
        let (_, said) = refused.entry(uid.clone()).or_insert_with(|| (shape(group), String::new()));
        let separator = if said.is_empty() { "" } else { "; " };
        *said = format!("{said}{separator}{field} of daskflow's DaskCluster: {message}");
    }
    refused
}

fn is_finalizer_of_theirs(name: &str) -> bool {
    THEIR_FINALIZERS.iter().any(|prefix| name.starts_with(prefix))
}

/// The version in which a finalizer of theirs was taken from an object that lives.
fn freed_in<'a>(object: &DynamicObject, freed: &'a Freed) -> Option<&'a Option<String>> {
    let uid = object.metadata.uid.as_ref().filter(|_| object.metadata.deletion_timestamp.is_none())?;
    freed.get(uid)
}

/// What is to be said of an object whose finalizer of theirs has come back: their operator runs as well. Of
/// the version that it was taken from, the cache is only behind.
pub(super) fn served_twice(object: &DynamicObject, freed: &Freed) -> Option<Note> {
    let name = object.finalizers().iter().find(|name| is_finalizer_of_theirs(name))?;
    freed_in(object, freed).filter(|version| **version != object.metadata.resource_version)?;
    let message = format!(
        "another operator serves this object as well: the finalizer {name} came back after it was taken away. Two operators change \
         the same objects: stop that of dask-kubernetes, or let them watch different namespaces"
    );
    Some(Note::warning(Reason::ServedTwice, message))
}

/// How many workers an object of theirs says; 1 is the default of their definitions.
pub(super) fn replicas(object: &DynamicObject) -> i64 {
    object.data.pointer("/spec/worker/replicas").and_then(Value::as_i64).unwrap_or(1)
}

/// The workers of an object, without what says nothing.
fn worker_of(object: &DynamicObject) -> Value {
    object.data.pointer("/spec/worker").map(without_nulls).unwrap_or_default()
}

/// A field that is null is as good as none; their clients write some, and an API server may drop them.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(_, value)| !value.is_null());
            fields.map(|(name, value)| (name.clone(), without_nulls(value))).collect()
        }
        other => other.clone(),
    }
}

/// The merge patch that makes one value of another (RFC 7386). None: they are the same.
fn difference(there: &Value, wanted: &Value) -> Option<Value> {
    let (Value::Object(old), Value::Object(new)) = (there, wanted) else {
        return (there != wanted).then(|| wanted.clone());
    };
    let lost = old.keys().filter(|name| !new.contains_key(*name)).map(|name| (name.clone(), Value::Null));
    let changed = new.iter().filter_map(|(name, value)| {
        let change = old.get(name).map_or_else(|| Some(value.clone()), |old| difference(old, value));
        Some((name.clone(), change?))
    });
    let patch: Map<String, Value> = lost.chain(changed).collect();
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// Whether an object is about to be collected with an earlier cluster of the name.
pub(super) fn is_of_former(metadata: &ObjectMeta, owner: &OwnerReference) -> bool {
    let mut owners = metadata.owner_references.iter().flatten();
    metadata.deletion_timestamp.is_some()
        || owners.any(|other| has_same_name(other, owner) && other.uid != owner.uid)
}

/// Whether an object is owned by this one.
pub(super) fn is_owned(metadata: &ObjectMeta, owner: &OwnerReference) -> bool {
    metadata.owner_references.iter().flatten().any(|other| other.uid == owner.uid)
}

/// The group of a new cluster.
pub(super) fn default_group(cluster: &DynamicObject, owner: &OwnerReference) -> Write {
    let name = cluster.name_any();
    let worker = worker_of(cluster);
    let Extra { labels, annotations } = propagated(&cluster.metadata, worker.get("metadata"));
    let (mut labels, mut annotations) = (labels.unwrap_or_default(), annotations.unwrap_or_default());
    labels.insert(labels::CLUSTER_NAME.to_owned(), name.clone());
    labels.insert(labels::COMPONENT.to_owned(), GROUP.to_owned());
    annotations.insert(labels::CLUSTER_REPLICAS.to_owned(), replicas(cluster).to_string());
    let object = json!({
        "apiVersion": TheirKind::api_version(),
        "kind": TheirKind::Group.as_str(),
        "metadata": {
            "name": group::default_name(&name), "labels": labels, "annotations": annotations, "ownerReferences": [owner],
        },
        "spec": {"cluster": name, "worker": worker},
    });
    Write::Create(TheirKind::Group, Box::new(object))
}

/// The labels and annotations that an object of theirs gives to what is made for it, and over them those of a
/// part of its spec.
pub(super) fn propagated(metadata: &ObjectMeta, part: Option<&Value>) -> Extra {
    let own = part.cloned().and_then(|part| serde_json::from_value::<Extra>(part).ok()).unwrap_or_default();
    let all = words::of_pods(metadata);
    let over = |all: Option<BTreeMap<String, String>>, own: Option<BTreeMap<String, String>>| {
        Some(all.into_iter().chain(own).flatten().collect())
    };
    Extra { labels: over(all.labels, own.labels), annotations: over(all.annotations, own.annotations) }
}

/// Changes of one object of theirs, which are one patch.
pub(super) struct Changes<'a> {
    kind: TheirKind,
    object: &'a DynamicObject,
    metadata: Map<String, Value>,
    /// Of `spec.worker`.
    worker: Map<String, Value>,
}

impl<'a> Changes<'a> {
    /// None yet.
    pub(super) fn of(kind: TheirKind, object: &'a DynamicObject) -> Self {
        Self { kind, object, metadata: Map::new(), worker: Map::new() }
    }

    /// Takes away what would hold up its deletion: once as long as it lives.
    pub(super) fn let_go(mut self, freed: &Freed) -> Self {
        let all = self.object.finalizers();
        if all.iter().any(|name| is_finalizer_of_theirs(name)) && freed_in(self.object, freed).is_none() {
            let kept: Vec<&String> = all.iter().filter(|name| !is_finalizer_of_theirs(name)).collect();
            self.metadata.insert("finalizers".to_owned(), json!(kept));
        }
        self
    }

    /// Makes it go with this owner. An object has one controller at most.
    pub(super) fn owned_by(mut self, owner: &OwnerReference) -> Self {
        if !is_owned(&self.object.metadata, owner) {
            let mut owners = self.object.owner_references().to_vec();
            let has_controller = owners.iter().any(|other| other.controller == Some(true));
            owners.push(OwnerReference { controller: Some(!has_controller), ..owner.clone() });
            self.metadata.insert("ownerReferences".to_owned(), json!(owners));
        }
        self
    }

    /// Gives the default group the number of its cluster, if that has changed since it was last given. A
    /// group that dask-kubernetes has made keeps its own.
    pub(super) fn scaled_by(mut self, cluster: &DynamicObject) -> Self {
        let wanted = replicas(cluster);
        let given = self.object.annotations().get(labels::CLUSTER_REPLICAS);
        if given.is_none_or(|given| *given != wanted.to_string()) {
            let annotations = json!({labels::CLUSTER_REPLICAS: wanted.to_string()});
            self.metadata.insert("annotations".to_owned(), annotations);
            self.worker.extend(given.map(|_| (REPLICAS.to_owned(), json!(wanted))));
        }
        self
    }

    /// Makes its pod that of the cluster.
    pub(super) fn shaped_by(mut self, cluster: &DynamicObject) -> Self {
        let [there, wanted] = [self.object, cluster].map(|object| {
            let mut worker = worker_of(object);
            if let Some(fields) = worker.as_object_mut() {
                fields.remove(REPLICAS);
            }
            worker
        });
        if let Some(Value::Object(changes)) = difference(&there, &wanted) {
            self.worker.extend(changes);
        }
        self
    }

    /// Writes how many workers the autoscaler wants, so that the group keeps that number without it.
    pub(super) fn followed(mut self, wanted: i64) -> Self {
        if replicas(self.object) != wanted {
            self.worker.insert(REPLICAS.to_owned(), json!(wanted));
        }
        self
    }

    /// The patch, if there is anything to change. It is over the version that it was made from: of two who
    /// write a list, none loses what the other has written, and who scales a group is not overruled.
    pub(super) fn write(mut self) -> Option<Write> {
        if self.metadata.is_empty() && self.worker.is_empty() {
            return None;
        }
        self.metadata.insert("uid".to_owned(), json!(self.object.metadata.uid));
        self.metadata.insert("resourceVersion".to_owned(), json!(self.object.metadata.resource_version));
        let mut patch = json!({"metadata": self.metadata});
        if let Some(patch) = patch.as_object_mut().filter(|_| !self.worker.is_empty()) {
            patch.insert("spec".to_owned(), json!({"worker": self.worker}));
        }
        Some(Write::Change { kind: self.kind, name: self.object.name_any(), patch })
    }
}
