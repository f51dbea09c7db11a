//! What every reconcile shares.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::Client;

use super::caches::Stores;
use super::certificates::Views;
use super::clock;
use super::cluster_pods::ClusterPods;
use super::events::Events;
use super::metrics::Metrics;
use super::route::Triggers;
use super::schedulers::Schedulers;

/// The first wait after a failure.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// The longest wait after failures.
const BACKOFF_MAX: Duration = Duration::from_secs(300);

/// What every reconcile shares.
pub struct Context {
    /// The way to the API server.
    pub client: Client,
    /// What is cached.
    pub stores: Stores,
    /// The controllers' queues.
    pub triggers: Triggers,
    /// The pods of the cache, by cluster.
    pub(super) cluster_pods: ClusterPods,
    /// Connections to Dask schedulers.
    pub(super) schedulers: Schedulers,
    /// What the Secrets of clusters with TLS said last.
    pub(super) certificates: Views,
    /// The teller of events.
    pub(super) events: Events,
    /// The counters.
    pub(super) metrics: Metrics,
    /// Whether this replica is the one that reconciles.
    pub leader: Arc<AtomicBool>,
    failures: Mutex<HashMap<String, u32>>,
    ready: AtomicBool,
}

impl Context {
    /// A context in which nothing has happened yet, that counts into `metrics`.
    pub(super) fn new(client: Client, stores: Stores, triggers: Triggers, metrics: Metrics) -> Self {
        Self {
            events: Events::new(client.clone(), metrics.clone()),
            schedulers: Schedulers::new(client.clone(), triggers.clone()),
            certificates: Views::default(),
            metrics,
            leader: Arc::new(AtomicBool::new(true)),
            cluster_pods: ClusterPods::default(),
            failures: Mutex::default(),
            ready: AtomicBool::new(false),
            client,
            stores,
            triggers,
        }
    }

    /// The caches have been filled once.
    pub fn caches_are_ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }

    /// Whether the caches have been filled once.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// Counts a failure of this object, and says how many there were in a row.
    pub(super) fn failed(&self, key: &str) -> u32 {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(key.to_owned()).or_default();
        *count = count.saturating_add(1);
        *count
    }

    /// Forgets the failures of this object.
    pub(super) fn succeeded(&self, key: &str) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// How many objects of each kind have failed and not succeeded since.
    pub(super) fn in_backoff(&self) -> BTreeMap<String, i64> {
        let mut kinds = BTreeMap::new();
        for key in self.failures.lock().unwrap_or_else(PoisonError::into_inner).keys() {
            let kind = key.split('/').next().unwrap_or_default();
            *kinds.entry(kind.to_owned()).or_default() += 1;
        }
        kinds
    }
}

/// How long to wait after the `count`th failure in a row: doubling from a second to five minutes, with full jitter, so
/// that a thousand objects that fail together do not come back together.
pub(super) fn backoff(count: u32) -> Duration {
    backoff_within(count, BACKOFF_MAX)
}

/// The same, but at most `longest`.
pub(super) fn backoff_within(count: u32, longest: Duration) -> Duration {
    let doubled = BACKOFF_FIRST.saturating_mul(2_u32.saturating_pow(count.saturating_sub(1).min(16)));
    doubled.min(longest).mul_f64(clock::jitter()).max(Duration::from_millis(50))
}
