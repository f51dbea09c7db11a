//! One cache that several watches fill.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use kube::Resource;
use kube::core::DeserializeGuard;
use kube::core::error_boundary::InvalidObject;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Event;

/// The cache of one kind. kube's own writer takes each list for a list of everything and drops what is not in it; here
/// a list drops only what is in the namespace that it is of.
pub(super) struct Cache<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    writer: Writer<K>,
    store: Store<K>,
    /// What the lists that are under way have told until now, by the namespace that is listed; all of them: `None`.
    listed: HashMap<Option<String>, HashSet<ObjectRef<K>>>,
}

impl<K> Cache<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
    <K as Resource>::DynamicType: Eq + Hash + Clone,
{
    /// An empty cache. For kube it is full: when controllers may begin is for whoever starts them to say.
    pub(super) fn new(mut writer: Writer<K>) -> Self {
        writer.apply_watcher_event(&Event::Init);
        writer.apply_watcher_event(&Event::InitDone);
        Self { store: writer.as_reader(), writer, listed: HashMap::new() }
    }

    /// Takes in what the watch of a namespace tells of an object that does not decode: it is as it was known, until it is
    /// gone. Gives it if it is.
    pub(super) fn take_undecodable(
        &mut self,
        namespace: Option<&str>,
        event: &Event<DeserializeGuard<K>>,
    ) -> Vec<K> {
        match event {
            Event::InitApply(DeserializeGuard(Err(invalid))) => {
                let reference = reference(invalid);
                let uid = self.store.get(&reference).and_then(|known| known.meta().uid.clone());
                // One of the same name that came after it is not known at all.
                if uid == invalid.metadata.uid {
                    self.listed.entry(namespace.map(str::to_owned)).or_default().insert(reference);
                }
                Vec::new()
            }
            Event::Delete(DeserializeGuard(Err(invalid))) => {
                let known = self.store.get(&reference(invalid)).map(|object| object.as_ref().clone());
                known.map_or_else(Vec::new, |object| self.take(namespace, Event::Delete(object)))
            }
            _ => Vec::new(),
        }
    }

    /// Takes in what the watch of a namespace tells. Gives the objects that were created, changed or deleted; those of
    /// a list only if they are gone.
    pub(super) fn take(&mut self, namespace: Option<&str>, event: Event<K>) -> Vec<K> {
        let key = namespace.map(str::to_owned);
        match event {
            Event::Apply(object) => {
                self.writer.apply_watcher_event(&Event::Apply(object.clone()));
                vec![object]
            }
            Event::Delete(object) => {
                self.writer.apply_watcher_event(&Event::Delete(object.clone()));
                vec![object]
            }
            Event::Init => {
                // A list that was not finished counts for nothing.
                self.listed.insert(key, HashSet::new());
                Vec::new()
            }
            Event::InitApply(object) => {
                self.listed.entry(key).or_default().insert(ObjectRef::from_obj(&object));
                self.writer.apply_watcher_event(&Event::Apply(object));
                Vec::new()
            }
            Event::InitDone => {
                let listed = self.listed.remove(&key).unwrap_or_default();
                let mut gone = self.store.state();
                gone.retain(|object| {
                    (namespace.is_none() || object.meta().namespace.as_deref() == namespace)
                        && !listed.contains(&ObjectRef::from_obj(object.as_ref()))
                });
                let gone: Vec<K> = gone.iter().map(|object| object.as_ref().clone()).collect();
                gone.into_iter().flat_map(|object| self.take(namespace, Event::Delete(object))).collect()
            }
        }
    }
}

fn reference<K>(invalid: &InvalidObject) -> ObjectRef<K>
where
    K: Resource<DynamicType = ()>,
{
    let metadata = &invalid.metadata;
    let named = ObjectRef::new(metadata.name.as_deref().unwrap_or_default());
    metadata.namespace.as_deref().into_iter().fold(named, ObjectRef::within)
}
