//! What looks at objects of dask-kubernetes have in common, and what is known of the one that is looked at.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::core::DynamicObject;

use super::shown::Deployments;
use super::theirs::Subject;
use super::write::Statuses;
use crate::plan::Note;
use crate::plan::compat::adapter::{Freed, RefusedGroups};

/// An object of theirs and those beside it, as the caches have them.
pub(super) struct Known {
    pub(super) subject: Subject,
    pub(super) object: Arc<DynamicObject>,
    /// Of a cluster.
    pub(super) groups: Vec<Arc<DynamicObject>>,
    pub(super) autoscalers: Vec<Arc<DynamicObject>>,
    /// Of a job.
    pub(super) cluster: Option<Arc<DynamicObject>>,
    /// Those that a finalizer of theirs was taken from.
    pub(super) freed: Freed,
    /// The groups that the API server has refused.
    pub(super) refused: RefusedGroups,
}

impl Known {
    fn has(&self, uid: &str) -> bool {
        let beside = self.groups.iter().chain(&self.autoscalers);
        { [&self.object].into_iter().chain(beside) }.any(|one| one.metadata.uid.as_deref() == Some(uid))
    }
}

/// What looks have in common.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) statuses: Statuses,
    pub(super) deployments: Deployments,
    failures: Mutex<HashMap<Subject, u32>>,
    /// What was said of each object last, and of those beside it, so that it is said once.
    said: Mutex<HashMap<Subject, Vec<Said>>>,
    /// The objects that a finalizer of theirs was taken from.
    freed: Mutex<HashMap<Subject, Freed>>,
    /// The groups that the API server has refused.
    refused: Mutex<HashMap<Subject, RefusedGroups>>,
}

/// An event, and what it is about.
pub(super) type Said = (ObjectReference, Note);

impl Memory {
    /// The object is not there any more.
    pub(super) fn forget(&self, subject: &Subject) {
        self.succeeded(subject);
        self.said.lock().unwrap_or_else(PoisonError::into_inner).remove(subject);
        self.freed.lock().unwrap_or_else(PoisonError::into_inner).remove(subject);
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).remove(subject);
        self.deployments.forget(subject);
    }

    /// The objects that a finalizer of theirs was taken from, among this one and those beside it.
    pub(super) fn freed(&self, subject: &Subject) -> Freed {
        let freed = self.freed.lock().unwrap_or_else(PoisonError::into_inner);
        freed.get(subject).cloned().unwrap_or_default()
    }

    /// A finalizer was taken from this one. Those that are not there any more are forgotten.
    pub(super) fn has_freed(&self, known: &Known, (uid, version): (String, Option<String>)) {
        let mut freed = self.freed.lock().unwrap_or_else(PoisonError::into_inner);
        let of_subject = freed.entry(known.subject.clone()).or_default();
        of_subject.retain(|uid, _| known.has(uid));
        of_subject.insert(uid, version);
    }

    /// The groups of this cluster that the API server has refused.
    pub(super) fn refused(&self, subject: &Subject) -> RefusedGroups {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.get(subject).cloned().unwrap_or_default()
    }

    /// Takes in that the API server has refused these. Those that are not there any more are forgotten.
    /// Whether one of them was not refused before, as it is now: else the next look would come to the same.
    pub(super) fn has_refused(&self, known: &Known, groups: RefusedGroups) -> bool {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let of_subject = refused.entry(known.subject.clone()).or_default();
        let is_new = groups
            .iter()
            .any(|(uid, (shape, _))| of_subject.get(uid).is_none_or(|(refused, _)| refused != shape));
        of_subject.retain(|uid, _| known.has(uid));
        of_subject.extend(groups);
        is_new
    }

    pub(super) fn succeeded(&self, subject: &Subject) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(subject);
    }

    /// Counts a failure, and says how many there were in a row.
    pub(super) fn failed(&self, subject: &Subject) -> u32 {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(subject.clone()).or_default();
        *count = count.saturating_add(1);
        *count
    }

    /// The notes that were not among the last ones.
    pub(super) fn news(&self, subject: &Subject, notes: Vec<Said>) -> Vec<Said> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let before = said.insert(subject.clone(), notes.clone()).unwrap_or_default();
        notes.into_iter().filter(|note| !before.contains(note)).collect()
    }
}
