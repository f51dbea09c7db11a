//! All objects that do not decode, of all watches.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use kube::api::ApiResource;
use tokio::sync::Notify;

use crate::api::kind::title;

/// So many objects are named where an operator reports itself; the log has all.
const NAMED_MAX: usize = 5;

/// The kind's [`title`], namespace and name.
pub(in crate::operator) type Id = (String, String, String);

/// An object that does not decode.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Problem {
    /// Where the API server has objects of its kind.
    pub(super) resource: ApiResource,
    pub(super) uid: Option<String>,
    /// What is wrong with it.
    pub(super) error: String,
}

/// The objects that do not decode, and which of them were told of that.
#[derive(Default)]
pub(in crate::operator) struct Register {
    objects: Mutex<BTreeMap<Id, (Problem, bool)>>,
    news: Notify,
}

impl Register {
    /// It does not decode.
    pub(super) fn put(&self, id: Id, problem: Problem) {
        let mut objects = self.lock();
        if objects.get(&id).is_none_or(|(known, _)| *known != problem) {
            objects.insert(id, (problem, false));
            self.news.notify_one();
        }
    }

    /// It decodes, or is gone.
    pub(super) fn remove(&self, id: &Id) {
        self.lock().remove(id);
    }

    /// Whether an object of this kind and name does not decode.
    pub(in crate::operator) fn has<K: Resource<DynamicType = ()>>(
        &self,
        namespace: &str,
        name: &str,
    ) -> bool {
        let id = (title::<K>(), namespace.to_owned(), name.to_owned());
        self.lock().contains_key(&id)
    }

    /// Waits until there may be some that were not told.
    pub(super) async fn changed(&self) {
        self.news.notified().await;
    }

    /// Those that were not told.
    pub(super) fn untold(&self) -> Vec<(Id, Problem)> {
        let objects = self.lock();
        let untold = objects.iter().filter(|(_, (_, told))| !told);
        untold.map(|(id, (problem, _))| (id.clone(), problem.clone())).collect()
    }

    /// This was told of it.
    pub(super) fn is_told(&self, id: &Id, problem: &Problem) {
        if let Some((known, told)) = self.lock().get_mut(id) {
            *told = known == problem;
        }
    }

    /// The first of them, as `Flow team/etl`, and how many there are beside these; empty while there is none.
    pub(in crate::operator) fn names(&self) -> String {
        let objects = self.lock();
        let text = |(kind, namespace, name): &Id| format!("{kind} {namespace}/{name}");
        let first: Vec<String> = objects.keys().take(NAMED_MAX).map(text).collect();
        match objects.len().saturating_sub(NAMED_MAX) {
            0 => first.join(", "),
            others => format!("{} and {others} others", first.join(", ")),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Id, (Problem, bool)>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The object as an event names it.
pub(super) fn reference((_, namespace, name): &Id, problem: &Problem) -> ObjectReference {
    ObjectReference {
        api_version: Some(problem.resource.api_version.clone()),
        kind: Some(problem.resource.kind.clone()),
        namespace: Some(namespace.clone()),
        name: Some(name.clone()),
        uid: problem.uid.clone(),
        ..ObjectReference::default()
    }
}
