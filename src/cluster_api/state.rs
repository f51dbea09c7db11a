//! What is kept of an API, and what its clones share.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock};

use jiff::Timestamp;
use tokio::sync::watch as channel;

use super::kinds::{self, Kind};
use super::log_source::LogSource;
use super::names::Names;
use super::store::Store;
use super::writer::Writer;
use crate::api::dask_kubernetes;

/// Gives the present moment.
pub(super) type Clock = Box<dyn Fn() -> Timestamp + Send + Sync>;

/// Wakes those who wait for a change.
#[derive(Debug)]
pub(super) struct News {
    /// Of any kind: how far the store is.
    pub(super) any: channel::Sender<u64>,
    /// Of one kind, by its place in the table of kinds: a watch has nothing to do for a change of another.
    kinds: Vec<channel::Sender<Told>>,
}

/// What the watches of a kind are woken by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// The last change of the kind.
    pub(super) version: u64,
    /// How many times all watches were broken.
    pub(super) broken: u64,
}

impl News {
    pub(super) fn new(version: u64) -> Self {
        let kinds = kinds::all().iter().map(|_| channel::Sender::new(Told::default())).collect();
        Self { any: channel::Sender::new(version), kinds }
    }

    /// What the watches of a kind wait for.
    pub(super) fn of(&self, kind: &Kind) -> channel::Receiver<Told> {
        // Each place of a kind has one.
        self.kinds
            .get(kind.stored)
            .map_or_else(|| channel::channel(Told::default()).1, channel::Sender::subscribe)
    }

    /// Wakes the watches of these kinds, and those who wait for any change.
    pub(super) fn tell(&self, changed: &BTreeSet<usize>, version: u64) {
        for news in changed.iter().filter_map(|stored| self.kinds.get(*stored)) {
            news.send_modify(|told| told.version = version);
        }
        if !changed.is_empty() {
            self.any.send_replace(version);
        }
    }

    /// Ends all watches.
    pub(super) fn break_all(&self) {
        self.kinds.iter().for_each(|news| news.send_modify(|told| told.broken += 1));
    }
}

/// What is kept.
pub(super) struct State {
    pub(super) store: Store,
    pub(super) names: Names,
    /// When old events were last looked for.
    pub(super) events_looked: Option<Timestamp>,
    /// Whether the kinds of dask-kubernetes are served.
    pub(super) dask_kubernetes: bool,
}

impl State {
    /// With these, nothing has happened yet.
    pub(super) fn new(store: Store, names: Names) -> Self {
        Self { store, names, events_looked: None, dask_kubernetes: false }
    }

    /// The group that is not served, as if its definitions were not there.
    pub(super) fn hidden(&self) -> Option<&'static str> {
        (!self.dask_kubernetes).then_some(dask_kubernetes::GROUP)
    }
}

/// What the clones of an API share.
pub(super) struct Shared {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) news: Arc<News>,
    pub(super) clock: Clock,
    pub(super) logs: OnceLock<Arc<dyn LogSource>>,
    /// Where the ports of pods are reached, if they are.
    pub(super) pods: OnceLock<IpAddr>,
    /// What keeps the objects, if anything does.
    pub(super) writer: Option<Writer>,
}
