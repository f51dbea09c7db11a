//! The cached pods, by the cluster that they are part of: thousands of pods wake a cluster while they start, and a look at one
//! cluster must not go through the pods of all.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};

use crate::api::labels;

/// Namespace and name of a cluster.
type Key = (String, String);

/// The pods of the cache that bear a cluster's label. They are the cache's own, and not copied.
#[derive(Default)]
pub(super) struct ClusterPods {
    pods: Mutex<HashMap<Key, BTreeMap<String, Arc<Pod>>>>,
}

impl ClusterPods {
    /// The pods of a cluster, by name.
    pub(super) fn of(&self, namespace: &str, cluster: &str) -> Vec<Arc<Pod>> {
        let key = (namespace.to_owned(), cluster.to_owned());
        self.lock().get(&key).map(|pods| pods.values().cloned().collect()).unwrap_or_default()
    }

    /// Takes in what became of a pod, which the cache knows already.
    pub(super) fn changed(&self, pod: &Pod, cache: &Store<Pod>) {
        let (cached, name) = (cache.get(&ObjectRef::from_obj(pod)), pod.name_any());
        let wanted = cached.as_deref().and_then(key);
        let mut all = self.lock();
        let is_known =
            wanted.as_ref().and_then(|key| all.get(key)).is_some_and(|pods| pods.contains_key(&name));
        if !is_known {
            // It is gone, new, or has another label than before.
            let namespace = pod.namespace().unwrap_or_default();
            all.retain(|key, pods| {
                if key.0 == namespace {
                    pods.remove(&name);
                }
                !pods.is_empty()
            });
        }
        if let (Some(key), Some(pod)) = (wanted, cached) {
            all.entry(key).or_default().insert(name, pod);
        }
    }

    /// Takes in a cache that was filled anew.
    pub(super) fn refill(&self, cache: &Store<Pod>) {
        let mut all: HashMap<Key, BTreeMap<String, Arc<Pod>>> = HashMap::new();
        for pod in cache.state() {
            if let Some(key) = key(&pod) {
                all.entry(key).or_default().insert(pod.name_any(), pod);
            }
        }
        *self.lock() = all;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, BTreeMap<String, Arc<Pod>>>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The cluster that a pod says it is part of.
fn key(pod: &Pod) -> Option<Key> {
    let cluster = pod.metadata.labels.as_ref()?.get(labels::CLUSTER_NAME)?;
    Some((pod.namespace()?, cluster.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::runtime::reflector::store::Writer;
    use kube::runtime::watcher::Event;
    use serde_json::json;

    fn pod(namespace: &str, name: &str, cluster: Option<&str>) -> Pod {
        let labels = cluster.map(|cluster| json!({labels::CLUSTER_NAME: cluster}));
        let metadata = json!({"namespace": namespace, "name": name, "labels": labels});
        serde_json::from_value(json!({"metadata": metadata})).unwrap()
    }

    struct Cache {
        writer: Writer<Pod>,
        index: ClusterPods,
    }

    impl Cache {
        fn event(&mut self, event: Event<Pod>) {
            self.writer.apply_watcher_event(&event);
            let cache = self.writer.as_reader();
            match event {
                Event::Apply(pod) | Event::InitApply(pod) | Event::Delete(pod) => {
                    self.index.changed(&pod, &cache);
                }
                Event::InitDone => self.index.refill(&cache),
                Event::Init => {}
            }
        }

        fn names(&self, namespace: &str, cluster: &str) -> Vec<String> {
            self.index.of(namespace, cluster).iter().map(|pod| pod.name_any()).collect()
        }
    }

    #[test]
    fn pods_are_found_by_their_cluster() {
        let mut cache = Cache { writer: Writer::default(), index: ClusterPods::default() };
        for (namespace, name, cluster) in [
            ("a", "one-1", Some("one")),
            ("a", "two-1", Some("two")),
            ("b", "one-1", Some("one")),
            ("a", "run", None),
        ] {
            cache.event(Event::Apply(pod(namespace, name, cluster)));
        }
        cache.event(Event::Apply(pod("a", "one-2", Some("one"))));
        assert_eq!(cache.names("a", "one"), ["one-1", "one-2"]);
        assert_eq!(cache.names("b", "one"), ["one-1"]);
        cache.event(Event::Delete(pod("a", "one-1", Some("one"))));
        assert_eq!(cache.names("a", "one"), ["one-2"]);
        assert_eq!(cache.names("b", "one"), ["one-1"]);
        cache.event(Event::Apply(pod("a", "one-2", Some("two"))));
        assert_eq!(cache.names("a", "one"), [""; 0]);
        assert_eq!(cache.names("a", "two"), ["one-2", "two-1"]);
    }

    #[test]
    fn what_went_while_nobody_watched_is_forgotten() {
        let mut cache = Cache { writer: Writer::default(), index: ClusterPods::default() };
        cache.event(Event::Apply(pod("a", "one-1", Some("one"))));
        cache.event(Event::Init);
        cache.event(Event::InitApply(pod("a", "one-2", Some("one"))));
        assert_eq!(cache.names("a", "one"), ["one-1"], "as the cache has it until it is full again");
        cache.event(Event::InitDone);
        assert_eq!(cache.names("a", "one"), ["one-2"]);
    }
}
