//! Which pods the API server has taken in a dry run, and when.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// So many kinds of pods are remembered of a namespace; with one more all of it are forgotten, which costs a
/// dry run each.
const KINDS_MAX: usize = 1_000;

/// And of so many namespaces: those that are gone are not forgotten one by one.
const NAMESPACES_MAX: usize = 5_000;

/// What is known of one kind of pods.
struct Judgement {
    /// When it was asked about last.
    asked: Instant,
    taken: bool,
}

/// The kinds of pods, by namespace.
type Kinds = HashMap<String, HashMap<String, Judgement>>;

/// What is known of each kind of pods.
#[derive(Default)]
pub(super) struct Judged {
    kinds: Mutex<Kinds>,
}

impl Judged {
    /// Whether a pod of this kind was taken.
    pub(super) fn has(&self, namespace: &str, kind: &str) -> bool {
        let kinds = self.lock();
        kinds.get(namespace).and_then(|kinds| kinds.get(kind)).is_some_and(|known| known.taken)
    }

    /// Whether to ask about a pod of this kind once more: nobody has within this time. Whoever is told so
    /// asks.
    pub(super) fn is_to_ask(&self, namespace: &str, kind: &str, time: Duration) -> bool {
        let mut kinds = self.lock();
        let known = kinds.get_mut(namespace).and_then(|kinds| kinds.get_mut(kind));
        if let Some(known) = known {
            let is_due = known.asked.elapsed() > time;
            if is_due {
                known.asked = Instant::now();
            }
            return is_due;
        }
        keep(&mut kinds, namespace, kind.to_owned(), false);
        true
    }

    /// A pod of this kind was taken.
    pub(super) fn add(&self, namespace: &str, kind: String) {
        keep(&mut self.lock(), namespace, kind, true);
    }

    /// A pod was refused in this namespace: nobody knows what else is by now.
    pub(super) fn forget(&self, namespace: &str) {
        self.lock().remove(namespace);
    }

    fn lock(&self) -> MutexGuard<'_, Kinds> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keep(all: &mut Kinds, namespace: &str, kind: String, taken: bool) {
    if all.len() >= NAMESPACES_MAX && !all.contains_key(namespace) {
        all.clear();
    }
    let kinds = all.entry(namespace.to_owned()).or_default();
    if kinds.len() >= KINDS_MAX && !kinds.contains_key(&kind) {
        kinds.clear();
    }
    kinds.insert(kind, Judgement { asked: Instant::now(), taken });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_asks_about_a_kind_asks_for_all_for_a_while() {
        let (judged, time) = (Judged::default(), Duration::from_secs(9));
        let is_to_ask = || judged.is_to_ask("a", "one", time);
        assert!(
            is_to_ask() && !is_to_ask() && !judged.has("a", "one"),
            "the first asks, and is not answered yet"
        );
        judged.add("a", "one".into());
        tokio::time::advance(time).await;
        assert!(!is_to_ask() && judged.has("a", "one"));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(is_to_ask() && !is_to_ask() && judged.has("a", "one"), "it counts as taken meanwhile");
        judged.forget("a");
        assert!(is_to_ask(), "what is refused is asked about anew");
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
