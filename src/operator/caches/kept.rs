//! One kind as it is kept: a cache that the watch fills, and what this operator writes itself, at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::Resource;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Event;

use super::cache::{Cache, Ticket};
use super::index::Index;

/// The cache of one kind.
pub struct Kept<K: Resource<DynamicType = ()> + Clone + 'static> {
    store: Store<K>,
    cache: Arc<Mutex<Cache<K>>>,
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Clone for Kept<K> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), cache: self.cache.clone() }
    }
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Kept<K> {
    /// An empty cache with these indexes.
    pub(in crate::operator) fn new(indexes: &[&Index<K>]) -> Self {
        let writer = Writer::default();
        let store = writer.as_reader();
        let indexes = indexes.iter().map(|index| (*index).clone()).collect();
        Self { store, cache: Arc::new(Mutex::new(Cache::new(writer, indexes))) }
    }

    /// The object of this name.
    pub fn get(&self, name: &ObjectRef<K>) -> Option<Arc<K>> {
        self.store.get(name)
    }

    /// All of them, in no order. For what looks at everything by its nature; what concerns one object asks an
    /// index.
    pub fn all(&self) -> Vec<Arc<K>> {
        let all = self.store.state();
        #[cfg(test)]
        super::index::visits::add(all.len());
        all
    }

    /// The readable side, for whoever wants a store of kube.
    pub fn store(&self) -> Store<K> {
        self.store.clone()
    }

    /// To be drawn before a write is asked for.
    pub(in crate::operator) fn ticket(&self) -> Ticket {
        self.lock().ticket()
    }

    /// Takes in the answer to a write of ours, if the watch has not told as much already: what follows from
    /// it is decided from it, and not from what was before. Whether it was news.
    pub(in crate::operator) fn take_written(&self, ticket: Ticket, object: K) -> bool {
        self.lock().take_written(ticket, object)
    }

    /// Takes in what the watch of a namespace tells, as [`Cache::take`] does.
    pub(in crate::operator) fn take(&self, namespace: Option<&str>, event: Event<K>) -> Vec<K> {
        self.lock().take(namespace, event)
    }

    /// What an object that does not decode ends, as [`Cache::take_undecodable`] says.
    pub(in crate::operator) fn take_undecodable(
        &self,
        namespace: Option<&str>,
        event: &Event<DeserializeGuard<K>>,
    ) -> Vec<K> {
        self.lock().take_undecodable(namespace, event)
    }

    fn lock(&self) -> MutexGuard<'_, Cache<K>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
