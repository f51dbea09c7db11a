//! What is written for objects of theirs.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::ResourceExt;
use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::kind::TheirKind;
use crate::api::DaskCluster;
use crate::plan::{Next, Note, Object, Step};

/// What is to be done about one object of theirs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// In this order.
    pub writes: Vec<Write>,
    /// What is to be said of it, each until it is no longer so. Whoever says it knows what has been said.
    pub notes: Vec<Note>,
    /// What is logged when the writes have been carried out, in the words of dask-kubernetes' operator:
    /// people look for them.
    pub lines: Vec<&'static str>,
    /// The same of objects that belong to it.
    pub beside: Vec<(ObjectReference, Note)>,
    /// When to look again, if nothing changes before.
    pub next: Next,
    /// Whether it rests on what may have changed: then it is made once more from what the API server has
    /// now, and is not carried out otherwise.
    pub wants_look: bool,
}

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Fields of the status of an object of theirs; the others stay. Their definitions have the status of a
    /// cluster as a part of the object, others may have a resource for it.
    Status {
        /// The kind.
        kind: TheirKind,
        /// Its name.
        name: String,
        /// Its uid: what is said of one is not said of the next of its name.
        uid: Option<String>,
        /// The fields.
        status: Value,
    },
    /// A step about objects of ours.
    Step(Box<Step>),
    /// A cluster of ours as it should be, over the version that it was made from.
    Replace(Box<DaskCluster>),
    /// A new object of theirs. One that is there stays as it is: the next look sees it.
    Create(TheirKind, Box<Value>),
    /// A merge patch of an object of theirs.
    Change {
        /// The kind.
        kind: TheirKind,
        /// Its name.
        name: String,
        /// The patch, with the uid or the version that it is over.
        patch: Value,
    },
    /// Delete an object of theirs that still has this uid.
    Delete {
        /// The kind.
        kind: TheirKind,
        /// Its name.
        name: String,
        /// Its uid.
        uid: Option<String>,
    },
}

impl Write {
    /// It in a few words, for a log.
    pub fn title(&self) -> String {
        match self {
            Self::Status { kind, name, status, .. } => {
                format!("set the status of {} {name}: {status}", kind.title())
            }
            Self::Step(_) => "carry out a step".to_owned(),
            Self::Replace(cluster) => format!("replace DaskCluster {}", cluster.name_any()),
            Self::Create(kind, object) => {
                let name = object.pointer("/metadata/name").and_then(Value::as_str);
                format!("create {} {}", kind.title(), name.unwrap_or_default())
            }
            Self::Change { kind, name, .. } => format!("change {} {name}", kind.title()),
            Self::Delete { kind, name, .. } => format!("delete {} {name}", kind.title()),
        }
    }

    /// The object that this takes a finalizer of theirs from: its uid, and the version that it is over.
    pub fn frees(&self) -> Option<(String, Option<String>)> {
        let Self::Change { patch, .. } = self else { return None };
        let metadata = patch.get("metadata").filter(|metadata| metadata.get("finalizers").is_some())?;
        let word = |field: &str| metadata.get(field).and_then(Value::as_str).map(str::to_owned);
        Some((word("uid")?, word("resourceVersion")))
    }

    /// The cluster of ours that this writes.
    pub fn ours(&self) -> Option<&DaskCluster> {
        match self {
            Self::Replace(cluster) => Some(cluster),
            Self::Step(step) => match step.as_ref() {
                Step::Create(object) => match object.as_ref() {
                    Object::Cluster(cluster) => Some(cluster),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        }
    }

    /// Deletes this object of theirs.
    pub(super) fn delete(kind: TheirKind, object: &DynamicObject) -> Self {
        Self::Delete { kind, name: object.name_any(), uid: object.metadata.uid.clone() }
    }
}

/// A field of the status of an object of theirs; empty if it is not there.
pub(super) fn status_of<'a>(object: &'a DynamicObject, field: &str) -> &'a str {
    let status = object.data.get("status").and_then(|status| status.get(field));
    status.and_then(Value::as_str).unwrap_or_default()
}

impl Plan {
    /// Writes these fields of a status.
    pub(super) fn status(&mut self, kind: TheirKind, object: &DynamicObject, status: Value) {
        let (name, uid) = (object.name_any(), object.metadata.uid.clone());
        self.writes.push(Write::Status { kind, name, uid, status });
    }

    /// Writes the phase of a cluster, where it is another one.
    pub(super) fn phase(&mut self, cluster: &DynamicObject, phase: &str) {
        if status_of(cluster, "phase") != phase {
            self.status(TheirKind::Cluster, cluster, json!({"phase": phase}));
        }
    }

    /// Carries out a step.
    pub(super) fn step(&mut self, step: Step) {
        self.writes.push(Write::Step(Box::new(step)));
    }
}
