//! Which Jobs a pass has to look at: those that were changed or whose pods were since the last one, and those
//! whose time has come. With a hundred Flows there are hundreds of Jobs that have ended, and a pass follows
//! each change.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use super::kinds::Kind;
use super::store::{Key, Store};

/// What is known of the last pass.
#[derive(Debug, Default)]
pub(super) struct DueJobs {
    /// The version up to which all was looked at; none: nothing was.
    seen: Option<u64>,
    /// When Jobs want to be looked at without any change.
    times: BTreeMap<Key, Timestamp>,
}

impl DueJobs {
    /// The Jobs that a pass has to look at now; those that are no longer there may be among them.
    pub fn take(&mut self, store: &Store, (jobs, pods): (&Kind, &Kind), now: Timestamp) -> BTreeSet<Key> {
        let changes = self.seen.and_then(|seen| store.changes_after(seen).ok());
        let mut found = BTreeSet::new();
        match changes {
            // At the beginning, or with changes that are forgotten already.
            None => found.extend(store.list(jobs.stored, None).map(|(key, _)| key.clone())),
            Some(changes) => {
                for change in changes {
                    if change.stored == jobs.stored {
                        found.insert(change.key.clone());
                    } else if change.stored == pods.stored {
                        let pods = [&change.before, &change.after].into_iter().flatten();
                        let owners = pods.filter_map(|pod| controller(pod));
                        found.extend(owners.map(|(name, _)| Key::new(&change.key.namespace, name)));
                    }
                }
            }
        }
        found.extend(self.times.iter().filter(|(_, at)| **at <= now).map(|(key, _)| key.clone()));
        self.seen = Some(store.version());
        found
    }

    /// Sets when a Job wants to be looked at again without any change.
    pub fn set(&mut self, key: Key, at: Option<Timestamp>) {
        match at {
            Some(at) => self.times.insert(key, at),
            None => self.times.remove(&key),
        };
    }

    /// When the first of them does.
    pub fn next(&self) -> Option<Timestamp> {
        self.times.values().min().copied()
    }

    /// Has the next pass look at all of them: this one has left something out.
    pub fn take_all_again(&mut self) {
        self.seen = None;
    }
}

/// The name and the uid of the Job that controls a pod.
pub(super) fn controller(pod: &Value) -> Option<(&str, &str)> {
    let owners = pod.pointer("/metadata/ownerReferences").and_then(Value::as_array)?;
    let word = |owner: &'_ Value, field: &str, word: &str| owner.get(field).is_some_and(|is| is == word);
    let is_job = |owner: &&Value| {
        owner.get("controller").and_then(Value::as_bool) == Some(true) && word(owner, "kind", "Job")
    };
    let job = owners.iter().find(is_job)?;
    Some((job.get("name")?.as_str()?, job.get("uid")?.as_str()?))
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use serde_json::json;

    use super::*;
    use crate::cluster_api::kinds;

    #[test]
    fn a_job_is_due_after_a_change_of_it_or_of_its_pods_and_at_its_time() {
        let jobs = kinds::find("batch", "v1", "jobs").unwrap();
        let pods = kinds::find("", "v1", "pods").unwrap();
        let (mut store, mut due, now) = (Store::default(), DueJobs::default(), Timestamp::UNIX_EPOCH);
        let key = |name: &str| Key::new("n", name);
        for name in ["a", "b"] {
            store.put(jobs.stored, key(name), json!({"metadata": {"name": name}}));
        }
        let take = |due: &mut DueJobs, store: &Store, seconds| {
            let now = now + SignedDuration::from_secs(seconds);
            due.take(store, (jobs, pods), now).into_iter().map(|key| key.name).collect::<Vec<_>>()
        };
        assert_eq!(take(&mut due, &store, 0), ["a", "b"]);
        assert!(take(&mut due, &store, 0).is_empty());
        let owner = json!({"kind": "Job", "name": "b", "uid": "u", "controller": true});
        store.put(pods.stored, key("b-1"), json!({"metadata": {"ownerReferences": [owner]}}));
        assert_eq!(take(&mut due, &store, 0), ["b"]);
        store.remove(pods.stored, &key("b-1"));
        assert_eq!(take(&mut due, &store, 0), ["b"], "its pod is deleted");
        due.set(key("a"), Some(now + SignedDuration::from_secs(5)));
        assert_eq!(due.next(), Some(now + SignedDuration::from_secs(5)));
        assert!(take(&mut due, &store, 4).is_empty());
        assert_eq!(take(&mut due, &store, 5), ["a"]);
        due.set(key("a"), None);
        assert_eq!((take(&mut due, &store, 9), due.next()), (Vec::new(), None));
        // Of a change that is forgotten nothing can be asked.
        store.put(pods.stored, key("other"), json!({"metadata": {}}));
        store.compact();
        assert_eq!(take(&mut due, &store, 9), ["a", "b"]);
    }
}
