//! When things came to be. Creation timestamps have whole seconds only, so a test watches and looks at the clock.

use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use jiff::Timestamp;
use kube::runtime::{WatchStreamExt, watcher};
use tokio::task::JoinHandle;

use super::clock::now;
use super::namespace::{Kind, Namespace};

/// All versions of all objects of one kind in a namespace, with the time at which each was seen.
pub struct Timeline<K> {
    seen: Arc<Mutex<Vec<(Timestamp, K)>>>,
    watch: JoinHandle<()>,
}

impl<K: Kind> Timeline<K> {
    /// Starts to watch.
    pub fn watch(namespace: &Namespace) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut versions = Box::pin(
            watcher(namespace.api::<K>(), watcher::Config::default()).default_backoff().touched_objects(),
        );
        let log = Arc::clone(&seen);
        let watch = tokio::spawn(async move {
            while let Some(version) = versions.next().await {
                if let Ok(version) = version {
                    log.lock().unwrap_or_else(PoisonError::into_inner).push((now(), version));
                }
            }
        });
        Self { seen, watch }
    }

    /// When the first version was seen of which this is true.
    pub fn first(&self, is_it: impl Fn(&K) -> bool) -> Option<Timestamp> {
        self.read(|seen| seen.iter().find(|(_, version)| is_it(version)).map(|(at, _)| *at))
    }

    /// Looks at all that was seen.
    pub fn read<T>(&self, look: impl FnOnce(&[(Timestamp, K)]) -> T) -> T {
        look(&self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<K> Drop for Timeline<K> {
    fn drop(&mut self) {
        self.watch.abort();
    }
}
