//! Objects of a cache by something else than their name, so that the change of one object, or a look at it,
//! does not go through all others of its kind.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use kube::{Resource, ResourceExt};

/// Namespace and key.
type Place = (String, String);
/// The objects of each place, by name.
type Places<K> = HashMap<Place, BTreeMap<String, Arc<K>>>;

/// The objects of one kind by a key within their namespace. They are the cache's own, and not copied; the
/// cache that it is an index of keeps it.
pub struct Index<K> {
    keys: fn(&K) -> Vec<&str>,
    places: Arc<RwLock<Places<K>>>,
}

impl<K> Clone for Index<K> {
    fn clone(&self) -> Self {
        Self { keys: self.keys, places: self.places.clone() }
    }
}

impl<K: Resource<DynamicType = ()>> Index<K> {
    /// An empty one by these keys of an object.
    pub(in crate::operator) fn new(keys: fn(&K) -> Vec<&str>) -> Self {
        Self { keys, places: Arc::default() }
    }

    /// The objects of this key, by name.
    pub fn of(&self, namespace: &str, key: &str) -> Vec<Arc<K>> {
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
        let found = places.get(&(namespace.to_owned(), key.to_owned()));
        let found: Vec<_> = found.map(|objects| objects.values().cloned().collect()).unwrap_or_default();
        #[cfg(test)]
        visits::add(found.len());
        found
    }

    /// Takes in that an object is now so, after it was so; none: there is none.
    pub(super) fn change(&self, was: Option<&K>, is: Option<&Arc<K>>) {
        let mut places = self.places.write().unwrap_or_else(PoisonError::into_inner);
        for (place, name) in was.into_iter().flat_map(|was| self.places_of(was)) {
            if let Some(objects) = places.get_mut(&place) {
                objects.remove(&name);
                if objects.is_empty() {
                    places.remove(&place);
                }
            }
        }
        let Some(object) = is else { return };
        for (place, name) in self.places_of(object) {
            places.entry(place).or_default().insert(name, object.clone());
        }
    }

    fn places_of(&self, object: &K) -> Vec<(Place, String)> {
        let namespace = object.meta().namespace.clone().unwrap_or_default();
        let place = |key: &str| ((namespace.clone(), key.to_owned()), object.name_any());
        (self.keys)(object).into_iter().map(place).collect()
    }
}

/// How many objects of caches were gone through, in this thread.
#[cfg(test)]
pub(in crate::operator) mod visits {
    use std::cell::Cell;

    thread_local! {
        static VISITS: Cell<usize> = const { Cell::new(0) };
    }

    pub(in crate::operator) fn add(count: usize) {
        VISITS.with(|visits| visits.set(visits.get() + count));
    }

    pub(in crate::operator) fn take() -> usize {
        VISITS.with(Cell::take)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use kube::ResourceExt;
    use kube::runtime::reflector::store::Writer;
    use kube::runtime::watcher::Event;
    use serde_json::json;

    use super::super::cache::Cache;
    use super::*;

    fn pod(namespace: &str, name: &str, cluster: Option<&str>) -> Pod {
        let metadata =
            json!({"namespace": namespace, "name": name, "labels": {"cluster": cluster.unwrap_or_default()}});
        serde_json::from_value(json!({"metadata": metadata})).unwrap()
    }

    fn cache() -> (Cache<Pod>, Index<Pod>) {
        let index: Index<Pod> =
            Index::new(|pod| pod.labels().get("cluster").map(String::as_str).into_iter().collect());
        (Cache::new(Writer::default(), vec![index.clone()]), index)
    }

    fn names(index: &Index<Pod>, namespace: &str, cluster: &str) -> Vec<String> {
        index.of(namespace, cluster).iter().map(|pod| pod.name_any()).collect()
    }

    #[test]
    fn objects_are_found_by_their_key() {
        let (mut cache, index) = cache();
        for (namespace, name, cluster) in
            [("a", "one-1", "one"), ("a", "two-1", "two"), ("b", "one-1", "one"), ("a", "one-2", "one")]
        {
            cache.take(None, Event::Apply(pod(namespace, name, Some(cluster))));
        }
        assert_eq!(names(&index, "a", "one"), ["one-1", "one-2"]);
        assert_eq!(names(&index, "b", "one"), ["one-1"]);
        cache.take(None, Event::Delete(pod("a", "one-1", Some("one"))));
        assert_eq!(names(&index, "a", "one"), ["one-2"]);
        cache.take(None, Event::Apply(pod("a", "one-2", Some("two"))));
        assert_eq!(names(&index, "a", "one"), [""; 0], "it has another key than before");
        assert_eq!(names(&index, "a", "two"), ["one-2", "two-1"]);
        // What is deleted may be told with other labels than it was known with.
        cache.take(None, Event::Delete(pod("a", "one-2", Some("three"))));
        assert_eq!(names(&index, "a", "two"), ["two-1"]);
    }

    #[test]
    fn what_went_while_nobody_watched_is_forgotten() {
        let (mut cache, index) = cache();
        cache.take(None, Event::Apply(pod("a", "one-1", Some("one"))));
        cache.take(None, Event::Init);
        cache.take(None, Event::InitApply(pod("a", "one-2", Some("one"))));
        cache.take(None, Event::InitDone);
        assert_eq!(names(&index, "a", "one"), ["one-2"]);
    }
}
