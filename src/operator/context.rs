//! What every reconcile shares: the parts, each of which knows no more than it needs. What lies below a
//! reconcile takes the parts, and not this.

use std::sync::Arc;

use kube::Client;
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::caches::Stores;
use super::certificates::Certificates;
use super::events::Events;
use super::gateways::Gateways;
use super::judged::Judged;
use super::leader::Claim;
use super::metrics::{Metrics, Now};
use super::pulse::Pulse;
use super::route::Routes;
use super::schedulers::Schedulers;
use super::surroundings::{Sites, Surroundings};
use super::undecodable::Register;
use super::unwritten::Unwritten;
use crate::api::{FlowRunStatus, FlowStatus};
use crate::daemon::clock::{Chance, Clock};
use crate::dask::Connector;

/// What every reconcile shares.
pub struct Context {
    /// The way to the API server.
    pub client: Client,
    /// What is cached.
    pub stores: Stores,
    /// Connections to Dask schedulers.
    pub(super) schedulers: Arc<Schedulers>,
    /// What the Secrets of clusters with TLS say.
    pub(super) certificates: Certificates,
    /// The objects that cannot be read.
    pub(super) undecodable: Arc<Register>,
    /// Whom a change concerns.
    pub routes: Arc<Routes>,
    /// The teller of events.
    pub(super) events: Events,
    /// The counters.
    pub(super) metrics: Metrics,
    /// Whether this process may work.
    pub pulse: Arc<Pulse>,
    /// The objects that have failed.
    pub(super) backoff: Backoff,
    /// Where its clusters and runs live.
    pub(super) sites: Sites,
    /// The time of day.
    pub(super) clock: Clock,
    /// Chance.
    pub(super) chance: Chance,
    /// The way to the addresses that people write for a scheduler.
    pub(super) addresses: Connector,
    /// Dask Gateways, and what came of what they were asked.
    pub(super) gateways: Gateways,
    /// Which runners' pods the API server has taken.
    pub(super) judged: Judged,
    /// The statuses of runs that are not written yet.
    pub(super) unwritten: Unwritten<FlowRunStatus>,
    /// Those of Flows.
    pub(super) unwritten_flows: Unwritten<FlowStatus>,
}

impl Context {
    /// A context in which nothing has happened yet, of a process that leads, which counts into `metrics`.
    pub(super) fn new(client: Client, routes: Routes, metrics: Metrics, surroundings: Surroundings) -> Self {
        let Surroundings { sites, clock, chance, addresses, .. } = surroundings;
        Self {
            stores: routes.stores.clone(),
            schedulers: routes.schedulers.clone(),
            certificates: Certificates::new(client.clone(), routes.stores.clone()),
            gateways: Gateways::new(client.clone(), addresses.clone(), chance.clone()),
            sites,
            addresses,
            chance,
            undecodable: Arc::default(),
            routes: Arc::new(routes),
            events: Events::new(client.clone(), metrics.clone(), clock.clone()),
            clock,
            metrics,
            pulse: Arc::new(Pulse::new(Arc::new(Claim::forever()), CancellationToken::new())),
            backoff: Backoff::default(),
            judged: Judged::default(),
            unwritten: Unwritten::default(),
            unwritten_flows: Unwritten::default(),
            client,
        }
    }

    /// The same, of a process with this pulse.
    #[must_use]
    pub fn led_by(self, pulse: Pulse) -> Self {
        Self { pulse: Arc::new(pulse), ..self }
    }

    /// What is counted, and what is so at this moment, as a scrape is answered.
    pub(super) fn scrape(&self) -> String {
        let now =
            Now::of(&self.stores, self.schedulers.connections(), self.backoff.by_kind(), self.pulse.leads());
        self.metrics.text(&now)
    }
}
