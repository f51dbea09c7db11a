//! Where the operator watches, and how far that is known.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::sync::watch::error::RecvError;

/// The namespaces that are watched. What is in one that is not fully known is left alone: a pod whose kind
/// could not be listed would count as missing.
pub struct Watched {
    /// A place is a namespace, or the one of all: `None`.
    places: Vec<Option<String>>,
    /// How many kinds are watched in each.
    kinds: usize,
    progress: Mutex<Vec<Progress>>,
    ready: watch::Sender<bool>,
}

/// How far one place is known.
#[derive(Clone, Debug, Default)]
struct Progress {
    /// The kinds that have been listed.
    listed: BTreeSet<String>,
    /// The kinds for which rights were missing the last time.
    refused: BTreeSet<String>,
}

impl Watched {
    /// Watches this many kinds in these namespaces; without one, in all.
    pub(in crate::operator) fn new(namespaces: &[String], kinds: usize) -> Self {
        let mut places: Vec<_> = namespaces.iter().cloned().map(Some).collect();
        if places.is_empty() {
            places.push(None);
        }
        let progress = Mutex::new(vec![Progress::default(); places.len()]);
        Self { places, kinds, progress, ready: watch::Sender::new(false) }
    }

    /// Whether all kinds in a namespace have been listed once. Nobody asks before the operator is ready, so
    /// that where all namespaces are watched together, each is known.
    pub fn is_known(&self, namespace: &str) -> bool {
        let place =
            self.places.iter().position(|place| place.as_deref().is_none_or(|name| name == namespace));
        let progress = self.lock();
        let progress = place.and_then(|place| progress.get(place));
        self.places == [None] || progress.is_some_and(|progress| progress.listed.len() >= self.kinds)
    }

    /// Waits until each place was listed or refused, and one was listed.
    pub(super) async fn wait_until_ready(&self) -> Result<(), RecvError> {
        self.ready.subscribe().wait_for(|ready| *ready).await.map(drop)
    }

    /// How many places there are.
    pub(in crate::operator) fn places(&self) -> usize {
        self.places.len()
    }

    /// The namespace that is this place; none where it is all of them.
    pub(in crate::operator) fn namespace(&self, place: usize) -> Option<&str> {
        self.places.get(place)?.as_deref()
    }

    /// A kind was listed. Whether with it the place has become fully known.
    pub(in crate::operator) fn listed(&self, place: usize, kind: &str) -> bool {
        let mut all = self.lock();
        let Some(progress) = all.get_mut(place) else { return false };
        let is_new = progress.listed.insert(kind.to_owned());
        let is_known = progress.listed.len() >= self.kinds;
        progress.refused.remove(kind);
        self.judge(&all);
        is_new && is_known
    }

    /// Rights on a kind are missing. Whether that is news.
    pub(in crate::operator) fn refused(&self, place: usize, kind: &str) -> bool {
        let mut all = self.lock();
        let Some(progress) = all.get_mut(place) else { return false };
        let news = progress.refused.insert(kind.to_owned());
        self.judge(&all);
        news
    }

    /// The kinds for which rights are missing, each with its namespace if that was named; empty while none
    /// is.
    pub fn refusals(&self) -> String {
        let progress = self.lock();
        let refused = self.places.iter().zip(progress.iter()).flat_map(|(place, progress)| {
            let place = place.as_deref().map_or_else(String::new, |namespace| format!(" in {namespace}"));
            progress.refused.iter().map(move |kind| format!("{kind}{place}"))
        });
        refused.collect::<Vec<_>>().join(", ")
    }

    fn judge(&self, all: &[Progress]) {
        let is_known = |progress: &Progress| progress.listed.len() >= self.kinds;
        let ready = all.iter().all(|progress| is_known(progress) || !progress.refused.is_empty())
            && all.iter().any(is_known);
        // Once ready, always ready: what is refused later fails where it is asked for.
        self.ready.send_if_modified(|now| ready && !std::mem::replace(now, true));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Progress>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
