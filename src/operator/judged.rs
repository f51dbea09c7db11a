//! Which runners' pods the API server has taken in a dry run.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// So many kinds of pods are remembered of a namespace; with one more all of it are forgotten, which costs a dry run each.
const KINDS_MAX: usize = 1_000;

/// The kinds of pods that were taken, by namespace.
#[derive(Default)]
pub(super) struct Judged {
    taken: Mutex<HashMap<String, HashSet<String>>>,
}

impl Judged {
    /// Whether a pod of this kind was taken.
    pub(super) fn has(&self, namespace: &str, kind: &str) -> bool {
        self.lock().get(namespace).is_some_and(|kinds| kinds.contains(kind))
    }

    /// A pod of this kind was taken.
    pub(super) fn add(&self, namespace: &str, kind: String) {
        let mut taken = self.lock();
        let kinds = taken.entry(namespace.to_owned()).or_default();
        if kinds.len() >= KINDS_MAX {
            kinds.clear();
        }
        kinds.insert(kind);
    }

    /// A pod was refused in this namespace: nobody knows what else is by now.
    pub(super) fn forget(&self, namespace: &str) {
        self.lock().remove(namespace);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, HashSet<String>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_known_until_something_is_refused_or_there_is_too_much() {
        let judged = Judged::default();
        judged.add("a", "one".into());
        judged.add("b", "one".into());
        assert!(judged.has("a", "one") && !judged.has("a", "two"));
        judged.forget("a");
        assert!(!judged.has("a", "one") && judged.has("b", "one"));
        (0..KINDS_MAX).for_each(|kind| judged.add("b", kind.to_string()));
        assert!(!judged.has("b", "one"), "no more than so many are kept");
    }
}
