//! Which pods the API server has taken in a dry run, and when.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// So many kinds of pods are remembered of a namespace; with one more all of it are forgotten, which costs a dry run each.
const KINDS_MAX: usize = 1_000;

/// And of so many namespaces: those that are gone are not forgotten one by one.
const NAMESPACES_MAX: usize = 5_000;

/// When each kind of pods was taken last, by namespace.
#[derive(Default)]
pub(super) struct Judged {
    taken: Mutex<HashMap<String, HashMap<String, Instant>>>,
}

impl Judged {
    /// Whether a pod of this kind was taken.
    pub(super) fn has(&self, namespace: &str, kind: &str) -> bool {
        self.has_within(namespace, kind, Duration::MAX)
    }

    /// Whether a pod of this kind was taken within this time.
    pub(super) fn has_within(&self, namespace: &str, kind: &str, time: Duration) -> bool {
        let taken = self.lock();
        taken.get(namespace).and_then(|kinds| kinds.get(kind)).is_some_and(|at| at.elapsed() <= time)
    }

    /// A pod of this kind was taken.
    pub(super) fn add(&self, namespace: &str, kind: String) {
        let mut taken = self.lock();
        if taken.len() >= NAMESPACES_MAX && !taken.contains_key(namespace) {
            taken.clear();
        }
        let kinds = taken.entry(namespace.to_owned()).or_default();
        if kinds.len() >= KINDS_MAX && !kinds.contains_key(&kind) {
            kinds.clear();
        }
        kinds.insert(kind, Instant::now());
    }

    /// A pod was refused in this namespace: nobody knows what else is by now.
    pub(super) fn forget(&self, namespace: &str) {
        self.lock().remove(namespace);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, HashMap<String, Instant>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_taken_is_lately_taken_for_as_long_as_that_is() {
        let (judged, time) = (Judged::default(), Duration::from_secs(10));
        judged.add("a", "one".into());
        tokio::time::advance(time).await;
        assert!(judged.has_within("a", "one", time));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!judged.has_within("a", "one", time) && judged.has("a", "one"));
        judged.add("a", "one".into());
        assert!(judged.has_within("a", "one", time), "taken once more");
    }

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
        (0..NAMESPACES_MAX).for_each(|namespace| judged.add(&namespace.to_string(), "one".into()));
        assert!(judged.has(&(NAMESPACES_MAX - 1).to_string(), "one") && !judged.has("b", "2"));
    }
}
