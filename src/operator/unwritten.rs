//! Statuses that are not written yet, because what they say is soon over. The next plan begins from them all
//! the same; who dies before they are written leaves what is there: a place, a Job.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::Resource;

/// One of them.
#[derive(Clone, Debug)]
struct Entry<S> {
    /// The object's uid: one of the same name that came after it begins anew.
    uid: Option<String>,
    /// What is written. If that changes it was somebody else, and what is here counts no more.
    over: Option<S>,
    status: S,
}

/// Those of one kind, by namespace and name.
pub(super) struct Unwritten<S> {
    entries: Mutex<HashMap<(String, String), Entry<S>>>,
}

impl<S> Default for Unwritten<S> {
    fn default() -> Self {
        Self { entries: Mutex::default() }
    }
}

impl<S: Clone + PartialEq> Unwritten<S> {
    /// What the object's status is to be, if that is not written and rests on what is. Else nothing of it is
    /// kept.
    pub(super) fn of(&self, object: &impl Resource, written: Option<&S>) -> Option<S> {
        let (key, mut entries) = (key(object), self.lock());
        let entry = entries.get(&key)?;
        if entry.uid == object.meta().uid && entry.over.as_ref() == written {
            return Some(entry.status.clone());
        }
        entries.remove(&key);
        None
    }

    /// Whether there is one of this object.
    pub(super) fn has(&self, object: &impl Resource) -> bool {
        self.lock().contains_key(&key(object))
    }

    /// Keeps a status that is to be written over this one later.
    pub(super) fn keep(&self, object: &impl Resource, over: Option<S>, status: S) {
        let uid = object.meta().uid.clone();
        self.lock().insert(key(object), Entry { uid, over, status });
    }

    /// It was written, or the object is gone.
    pub(super) fn forget(&self, namespace: &str, name: &str) {
        self.lock().remove(&(namespace.to_owned(), name.to_owned()));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), Entry<S>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(object: &impl Resource) -> (String, String) {
    let meta = object.meta();
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}
