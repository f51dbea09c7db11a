//! When things came to be. Creation timestamps have whole seconds only, so a test watches and looks at the
//! clock.

use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use jiff::Timestamp;
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher};
use tokio::task::JoinHandle;

use super::clock::{now, poll, within};
use super::namespace::{Kind, Namespace};

/// One version of an object.
#[derive(Clone, Debug)]
pub struct Seen<K> {
    /// When it was seen.
    pub at: Timestamp,
    /// The object.
    pub object: K,
    /// Whether it is the last version: the object was deleted.
    pub gone: bool,
}

/// All versions of all objects of one kind in a namespace, with the time at which each was seen.
pub struct Timeline<K> {
    seen: Arc<Mutex<Vec<Seen<K>>>>,
    watch: JoinHandle<()>,
}

impl<K: Kind> Timeline<K> {
    /// Starts to watch.
    pub fn watch(namespace: &Namespace) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut events =
            Box::pin(watcher(namespace.api::<K>(), watcher::Config::default()).default_backoff());
        let log = Arc::clone(&seen);
        let watch = tokio::spawn(async move {
            while let Some(event) = events.next().await {
                let (object, gone) = match event {
                    Ok(Event::Apply(object) | Event::InitApply(object)) => (object, false),
                    Ok(Event::Delete(object)) => (object, true),
                    Ok(Event::Init | Event::InitDone) | Err(_) => continue,
                };
                log.lock().unwrap_or_else(PoisonError::into_inner).push(Seen { at: now(), object, gone });
            }
        });
        Self { seen, watch }
    }

    /// When the first version was seen of which this is true.
    pub fn first(&self, is_it: impl Fn(&K) -> bool) -> Option<Timestamp> {
        self.read(|seen| seen.iter().find(|version| is_it(&version.object)).map(|version| version.at))
    }

    /// The same, of something that has happened and that this watch may not have heard of yet.
    pub async fn when(&self, what: impl Into<String>, is_it: impl Fn(&K) -> bool) -> Timestamp {
        poll(within(10, what), async || self.first(&is_it).ok_or_else(|| "it was not seen".to_owned())).await
    }

    /// Looks at all that was seen.
    pub fn read<T>(&self, look: impl FnOnce(&[Seen<K>]) -> T) -> T {
        look(&self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<K> Drop for Timeline<K> {
    fn drop(&mut self) {
        self.watch.abort();
    }
}
