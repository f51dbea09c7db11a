//! What every reconcile shares.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::Client;
use tokio_util::sync::CancellationToken;

use super::caches::Stores;
use super::certificates::Views;
use super::clock::{Chance, Clock};
use super::events::Events;
use super::heartbeats::Heartbeats;
use super::judged::Judged;
use super::leader::Claim;
use super::metrics::Metrics;
use super::route::Triggers;
use super::schedulers::Schedulers;
use super::surroundings::Surroundings;
use super::undecodable::Register;
use super::unwritten::Unwritten;
use crate::api::FlowRunStatus;
use crate::dask::Connector;
use crate::plan::site::Site;

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
    /// Connections to Dask schedulers.
    pub(super) schedulers: Schedulers,
    /// What the Secrets of clusters with TLS said last.
    pub(super) certificates: Views,
    /// The teller of events.
    pub(super) events: Events,
    /// The counters.
    pub(super) metrics: Metrics,
    /// Whether this process leads. For metrics only, never decide by it: it can lag behind the claim.
    pub leader: Arc<AtomicBool>,
    /// Until when this process may write.
    pub(super) claim: Arc<Claim>,
    /// Whether the loops turn.
    pub(super) heartbeats: Arc<Heartbeats>,
    /// Where its clusters and runs live.
    pub(super) site: Site,
    /// The time of day.
    pub(super) clock: Clock,
    /// Chance.
    pub(super) chance: Chance,
    /// The way to the addresses that people write for a scheduler.
    pub(super) addresses: Connector,
    /// Which runners' pods the API server has taken.
    pub(super) judged: Judged,
    /// The statuses of runs that are not written yet.
    pub(super) unwritten: Unwritten<FlowRunStatus>,
    /// The objects that cannot be read.
    pub(super) undecodable: Arc<Register>,
    stop: CancellationToken,
    failures: Mutex<HashMap<String, u32>>,
    obstacle: Mutex<Option<String>>,
    /// Cancelled once all caches are full: before, this process cannot work, and leaves the Lease to others.
    pub(super) full: CancellationToken,
}

impl Context {
    /// A context in which nothing has happened yet, of a process that leads, which counts into `metrics`.
    pub(super) fn new(
        client: Client,
        stores: Stores,
        triggers: Triggers,
        metrics: Metrics,
        surroundings: Surroundings,
    ) -> Self {
        let schedulers = Schedulers::new(client.clone(), triggers.clone(), &surroundings);
        let Surroundings { site, clock, chance, addresses, .. } = surroundings;
        let claim = Arc::new(Claim::forever());
        Self {
            leader: claim.flag(),
            claim,
            heartbeats: Arc::default(),
            stop: CancellationToken::new(),
            events: Events::new(client.clone(), metrics.clone(), clock.clone()),
            schedulers,
            site,
            certificates: Views::default(),
            metrics,
            clock,
            chance,
            addresses,
            undecodable: Arc::default(),
            judged: Judged::default(),
            unwritten: Unwritten::default(),
            failures: Mutex::default(),
            obstacle: Mutex::default(),
            full: CancellationToken::new(),
            client,
            stores,
            triggers,
        }
    }

    /// The same, of a process that leads while it has this claim, and that ends when it is asked to stop.
    #[must_use]
    pub fn led_by(self, claim: Arc<Claim>, stop: CancellationToken) -> Self {
        Self { leader: claim.flag(), claim, stop, ..self }
    }

    /// Whether the process was asked to stop.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// The caches have been filled once.
    pub fn caches_are_ready(&self) {
        self.full.cancel();
    }

    /// Whether the caches have been filled once.
    pub fn is_ready(&self) -> bool {
        self.full.is_cancelled()
    }

    /// Says what the start waits for, if anything.
    pub(super) fn waits_for(&self, obstacle: Option<String>) {
        *self.obstacle.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = obstacle;
    }

    /// What the start waits for, if anything.
    pub(super) fn obstacle(&self) -> Option<String> {
        self.obstacle.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
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
pub(super) fn backoff(count: u32, chance: &Chance) -> Duration {
    backoff_within(count, BACKOFF_MAX, chance)
}

/// The same, but at most `longest`.
pub(super) fn backoff_within(count: u32, longest: Duration, chance: &Chance) -> Duration {
    let doubled = BACKOFF_FIRST.saturating_mul(2_u32.saturating_pow(count.saturating_sub(1).min(16)));
    doubled.min(longest).mul_f64(chance.jitter()).max(Duration::from_millis(50))
}
