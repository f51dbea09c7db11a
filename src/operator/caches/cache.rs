//! One cache that several watches fill.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use kube::Resource;
use kube::core::DeserializeGuard;
use kube::core::error_boundary::InvalidObject;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Event;

use super::index::Index;

/// When a write was asked for, as far as lists are concerned: its answer may be older than a list that came
/// since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::operator) struct Ticket(u64);

/// The cache of one kind. kube's own writer takes each list for a list of everything and drops what is not in
/// it; here a list drops only what is in the namespace that it is of.
pub(super) struct Cache<K: Resource<DynamicType = ()> + Clone + 'static> {
    writer: Writer<K>,
    store: Store<K>,
    /// What the lists that are under way have told until now, by the namespace that is listed; all of them:
    /// `None`.
    listed: HashMap<Option<String>, HashSet<ObjectRef<K>>>,
    indexes: Vec<Index<K>>,
    /// How often a list began or ended.
    lists: u64,
    /// The newest version that each watch has told of since its last list.
    seen: HashMap<Option<String>, u64>,
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Cache<K> {
    /// An empty cache. For kube it is full: when controllers may begin is for whoever starts them to say.
    pub(super) fn new(mut writer: Writer<K>, indexes: Vec<Index<K>>) -> Self {
        writer.apply_watcher_event(&Event::Init);
        writer.apply_watcher_event(&Event::InitDone);
        let store = writer.as_reader();
        Self { store, writer, listed: HashMap::new(), indexes, lists: 0, seen: HashMap::new() }
    }

    /// To be drawn before a write is asked for.
    pub(super) fn ticket(&self) -> Ticket {
        Ticket(self.lists)
    }

    /// Takes in the answer to a write. Not if the watch is past it, or a list came in between: the object may
    /// have gone since, and nothing would ever tell. Whether it was news.
    pub(super) fn take_written(&mut self, ticket: Ticket, object: K) -> bool {
        let namespace = object.meta().namespace.clone();
        let place = if self.seen.contains_key(&namespace) { namespace } else { None };
        let (Some(seen), Some(version)) = (self.seen.get(&place), version(&object)) else { return false };
        if ticket != self.ticket() || self.listed.contains_key(&place) || version <= *seen {
            return false;
        }
        let known = self.store.get(&ObjectRef::from_obj(&object));
        if known.is_some_and(|known| self::version(known.as_ref()).is_none_or(|known| known >= version)) {
            return false;
        }
        self.put(object);
        true
    }

    fn put(&mut self, object: K) {
        let reference = ObjectRef::from_obj(&object);
        let was = self.store.get(&reference);
        self.writer.apply_watcher_event(&Event::Apply(object));
        let is = self.store.get(&reference);
        self.indexes.iter().for_each(|index| index.change(was.as_deref(), is.as_ref()));
    }

    fn remove(&mut self, object: &K) {
        let was = self.store.get(&ObjectRef::from_obj(object));
        self.writer.apply_watcher_event(&Event::Delete(object.clone()));
        self.indexes.iter().for_each(|index| index.change(was.as_deref(), None));
    }

    /// Notes how far a watch has come.
    fn see(&mut self, place: Option<&String>, object: &K) {
        if let Some(version) = version(object) {
            let seen = self.seen.entry(place.cloned()).or_default();
            *seen = version.max(*seen);
        }
    }

    /// How an object is known that the watch tells of: what is older was overtaken by a write of ours.
    fn compare(&self, object: &K) -> Option<Ordering> {
        let known = self.store.get(&ObjectRef::from_obj(object))?;
        Some(version(object)?.cmp(&version(known.as_ref())?))
    }

    /// Takes in what the watch of a namespace tells of an object that does not decode: it is as it was known,
    /// until it is gone. Gives it if it is.
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

    /// Takes in what the watch of a namespace tells. Gives the objects that were created, changed or deleted;
    /// those of a list only if they are gone. What was known already, since it was written here, is no news.
    pub(super) fn take(&mut self, namespace: Option<&str>, event: Event<K>) -> Vec<K> {
        let key = namespace.map(str::to_owned);
        match event {
            Event::Apply(object) => {
                self.see(key.as_ref(), &object);
                if matches!(self.compare(&object), Some(Ordering::Less | Ordering::Equal)) {
                    return Vec::new();
                }
                self.put(object.clone());
                vec![object]
            }
            Event::Delete(object) => {
                self.see(key.as_ref(), &object);
                // One of the same name that came after it, and was written here, stays.
                if self.compare(&object) != Some(Ordering::Less) {
                    self.remove(&object);
                }
                vec![object]
            }
            Event::Init => {
                self.lists = self.lists.saturating_add(1);
                self.seen.insert(key.clone(), 0);
                // A list that was not finished counts for nothing.
                self.listed.insert(key, HashSet::new());
                Vec::new()
            }
            Event::InitApply(object) => {
                self.see(key.as_ref(), &object);
                self.listed.entry(key).or_default().insert(ObjectRef::from_obj(&object));
                self.put(object);
                Vec::new()
            }
            Event::InitDone => {
                self.lists = self.lists.saturating_add(1);
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

/// Versions of one kind are numbers that grow (KEP-5504). What is none is compared with nothing.
fn version<K: Resource<DynamicType = ()>>(object: &K) -> Option<u64> {
    object.meta().resource_version.as_deref()?.parse().ok()
}

fn reference<K>(invalid: &InvalidObject) -> ObjectRef<K>
where
    K: Resource<DynamicType = ()>,
{
    let metadata = &invalid.metadata;
    let named = ObjectRef::new(metadata.name.as_deref().unwrap_or_default());
    metadata.namespace.as_deref().into_iter().fold(named, ObjectRef::within)
}
