//! The objects, one counter of versions over all of them, and what has changed lately.
//!
//! What always holds: each change has a version of its own, higher than all before; the object that a change
//! leaves has that version in `metadata.resourceVersion`; and from the changes that are kept, any state since
//! the oldest of them can be told again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};

/// How many changes are kept unless the caller says otherwise: a watch that is further behind is told to list
/// again.
const CHANGES_KEPT: usize = 10_000;

/// The name of an object among those of its kind. The namespace is empty for a kind without.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub namespace: String,
    pub name: String,
}

impl Key {
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

/// One change of one object.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub version: u64,
    /// The place of its kind in the table of kinds.
    pub stored: usize,
    pub key: Key,
    pub before: Option<Arc<Value>>,
    /// None when it was deleted.
    pub after: Option<Arc<Value>>,
}

/// What a version asks for is no longer known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooOld {
    /// The oldest version that is known.
    pub oldest: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Store {
    version: u64,
    /// Changes after this version are all kept.
    oldest: u64,
    objects: BTreeMap<(usize, Key), Arc<Value>>,
    changes: VecDeque<Change>,
    kept: usize,
    /// By kind, the last change that is kept no longer.
    forgotten: BTreeMap<usize, u64>,
    /// The kinds of which something has changed since this was last taken.
    changed: BTreeSet<usize>,
    /// Changes that are on no disk yet, the oldest first; none where there is no disk.
    unsaved: Option<Vec<Change>>,
}

impl Default for Store {
    fn default() -> Self {
        // Version 0 means "any" in requests.
        Self {
            version: 1,
            oldest: 1,
            objects: BTreeMap::new(),
            changes: VecDeque::new(),
            kept: CHANGES_KEPT,
            forgotten: BTreeMap::new(),
            changed: BTreeSet::new(),
            unsaved: None,
        }
    }
}

impl Store {
    /// Objects as they were saved, at this version: what led to it is not known. Changes are gathered for
    /// the disk from now on.
    pub fn restored(version: u64, objects: impl IntoIterator<Item = (usize, Key, Value)>) -> Self {
        let objects = objects.into_iter().map(|(stored, key, object)| ((stored, key), Arc::new(object)));
        Self {
            version,
            oldest: version,
            objects: objects.collect(),
            unsaved: Some(Vec::new()),
            ..Self::default()
        }
    }

    /// The version of the last change.
    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn get(&self, stored: usize, key: &Key) -> Option<&Arc<Value>> {
        self.objects.get(&(stored, key.clone()))
    }

    /// The objects of a kind, of one namespace or of all, in the order of their keys.
    pub fn list<'a>(
        &'a self,
        stored: usize,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a Key, &'a Arc<Value>)> {
        let first = (stored, Key::new(namespace.unwrap_or_default(), ""));
        let ours = self.objects.range(first..).take_while(move |((kind, key), _)| {
            *kind == stored && namespace.is_none_or(|namespace| key.namespace == namespace)
        });
        ours.map(|((_, key), object)| (key, object))
    }

    /// All objects with the places of their kinds.
    pub fn all(&self) -> impl Iterator<Item = (usize, &Key, &Arc<Value>)> {
        self.objects.iter().map(|((stored, key), object)| (*stored, key, object))
    }

    /// As [`Self::list`], as it was after that version.
    pub fn list_at(
        &self,
        stored: usize,
        namespace: Option<&str>,
        version: u64,
    ) -> Result<BTreeMap<Key, Arc<Value>>, TooOld> {
        if version < self.oldest {
            return Err(TooOld { oldest: self.oldest });
        }
        let now = self.list(stored, namespace);
        let mut found: BTreeMap<Key, Arc<Value>> =
            now.map(|(key, object)| (key.clone(), object.clone())).collect();
        let later = self.changes.iter().rev().take_while(|change| change.version > version);
        let ours = later.filter(|change| {
            change.stored == stored && namespace.is_none_or(|namespace| change.key.namespace == namespace)
        });
        for change in ours {
            match &change.before {
                Some(before) => found.insert(change.key.clone(), before.clone()),
                None => found.remove(&change.key),
            };
        }
        Ok(found)
    }

    /// Keeps an object, and gives it with its version.
    pub fn put(&mut self, stored: usize, key: Key, mut object: Value) -> Arc<Value> {
        self.version += 1;
        set_version(&mut object, self.version);
        let object = Arc::new(object);
        let before = self.objects.insert((stored, key.clone()), object.clone());
        self.keep(Change { version: self.version, stored, key, before, after: Some(object.clone()) });
        object
    }

    /// Takes an object away, and gives it with the version of its end.
    pub fn remove(&mut self, stored: usize, key: &Key) -> Option<Arc<Value>> {
        let before = self.objects.remove(&(stored, key.clone()))?;
        self.version += 1;
        let mut last = (*before).clone();
        set_version(&mut last, self.version);
        let last = Arc::new(last);
        self.keep(Change {
            version: self.version,
            stored,
            key: key.clone(),
            before: Some(before),
            after: None,
        });
        Some(last)
    }

    fn keep(&mut self, change: Change) {
        self.changed.insert(change.stored);
        if let Some(unsaved) = &mut self.unsaved {
            unsaved.push(change.clone());
        }
        self.changes.push_back(change);
        self.forget();
    }

    /// Sets how many changes are kept.
    pub fn keep_changes(&mut self, most: usize) {
        self.kept = most;
        self.forget();
    }

    fn forget(&mut self) {
        while self.changes.len() > self.kept {
            if let Some(forgotten) = self.changes.pop_front() {
                self.oldest = forgotten.version;
                self.forgotten.insert(forgotten.stored, forgotten.version);
            }
        }
    }

    /// The kinds of which something has changed since this was last asked.
    pub fn take_changed(&mut self) -> BTreeSet<usize> {
        std::mem::take(&mut self.changed)
    }

    /// The changes since this was last asked, the oldest first, where there is a disk for them.
    pub fn take_unsaved(&mut self) -> Vec<Change> {
        self.unsaved.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Forgets what has changed: watches and lists from an older version than the present one are refused.
    pub fn compact(&mut self) {
        for forgotten in self.changes.drain(..) {
            self.forgotten.insert(forgotten.stored, forgotten.version);
        }
        self.oldest = self.version;
    }

    /// All changes after that version, the oldest first.
    pub fn changes_after(&self, version: u64) -> Result<impl Iterator<Item = &Change>, TooOld> {
        if version < self.oldest {
            return Err(TooOld { oldest: self.oldest });
        }
        let first = self.changes.partition_point(|change| change.version <= version);
        Ok(self.changes.range(first..))
    }

    /// Whether a watch may begin at that version.
    pub fn check_begin(&self, version: u64) -> Result<(), TooOld> {
        if version < self.oldest { Err(TooOld { oldest: self.oldest }) } else { Ok(()) }
    }

    /// The first change of a kind after that version, from which on its changes have been followed.
    pub fn next_change(&self, stored: usize, version: u64) -> Result<Option<&Change>, TooOld> {
        if self.forgotten.get(&stored).is_some_and(|forgotten| *forgotten > version) {
            return Err(TooOld { oldest: self.oldest });
        }
        let first = self.changes.partition_point(|change| change.version <= version);
        Ok(self.changes.range(first..).find(|change| change.stored == stored))
    }
}

fn set_version(object: &mut Value, version: u64) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("resourceVersion".to_owned(), json!(version.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(store: &mut Store, name: &str, value: u8) -> u64 {
        store.put(0, Key::new("n", name), json!({"metadata": {"name": name}, "value": value}));
        store.version()
    }

    #[test]
    fn a_state_of_before_can_be_told_again_until_it_is_forgotten() {
        let mut store = Store::default();
        let first = put(&mut store, "a", 1);
        let second = put(&mut store, "b", 1);
        put(&mut store, "a", 2);
        store.remove(0, &Key::new("n", "b"));
        put(&mut store, "c", 1);
        let names = |version: u64| -> Vec<String> {
            let then = store.list_at(0, Some("n"), version).unwrap();
            then.iter().map(|(key, object)| format!("{}{}", key.name, object["value"])).collect()
        };
        assert_eq!(names(first), ["a1"]);
        assert_eq!(names(second), ["a1", "b1"]);
        assert_eq!(names(store.version()), ["a2", "c1"]);
        assert!(store.list_at(0, Some("other"), second).unwrap().is_empty());
        let now = store.version();
        store.compact();
        assert_eq!(store.list_at(0, None, second).unwrap_err(), TooOld { oldest: now });
        assert_eq!(store.list_at(0, None, now).unwrap().len(), 2);
        assert!(store.next_change(0, now).unwrap().is_none());
        assert!(store.next_change(0, now - 1).is_err());
    }

    #[test]
    fn versions_count_over_all_kinds_and_stand_on_the_objects() {
        let mut store = Store::default();
        let first = put(&mut store, "a", 1);
        let other = store.put(1, Key::new("n", "a"), json!({"metadata": {}}));
        assert_eq!(other["metadata"]["resourceVersion"], (first + 1).to_string());
        let last = store.remove(1, &Key::new("n", "a")).unwrap();
        assert_eq!(last["metadata"]["resourceVersion"], (first + 2).to_string());
        assert_eq!(store.next_change(0, 1).unwrap().unwrap().version, first);
        assert!(store.remove(1, &Key::new("n", "a")).is_none());
        assert_eq!(store.all().count(), 1);
    }

    #[test]
    fn old_changes_are_forgotten() {
        let mut store = Store::default();
        store.keep_changes(2);
        let first = put(&mut store, "a", 1);
        put(&mut store, "a", 2);
        put(&mut store, "a", 3);
        assert!(store.next_change(0, first - 1).is_err());
        assert_eq!(store.next_change(0, first).unwrap().unwrap().version, first + 1);
    }
}
