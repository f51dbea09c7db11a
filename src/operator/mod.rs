//! The hands in Kubernetes: watches, observes, carries plans out, tells events, serves probes and metrics.
//!
//! It decides nothing. Each reconcile is: observe (reads only) → plan (pure) → execute (writes, in plan
//! order) → status → events → come back. Only the holder of the Lease works. If election is off, or a write
//! arrives late, two may work at once; that wastes work but breaks nothing: what must happen once is guarded
//! by names and resourceVersions.

mod backoff;
pub mod caches;
mod certificates;
pub mod client;
mod compat;
pub mod context;
mod controller;
mod crd_check;
mod error;
mod events;
mod execute;
mod failure;
mod gateways;
mod judged;
mod leader;
mod lookup;
pub mod metrics;
mod observe;
mod probes;
mod pulse;
mod reconcile;
mod requests;
pub mod rights;
mod route;
mod schedulers;
mod status;
mod surroundings;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod undecodable;
mod unwritten;
mod wakes;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::watch::error::RecvError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tower::timeout::TimeoutLayer;
use tracing::field::display;

use caches::Stores;
use context::Context;
use controller::controller;
use leader::{Candidacy, Claim, Guard};
use metrics::{CountRequests, Metrics};
use pulse::Pulse;
use reconcile::Planned;
use requests::Adapt;
use route::Routes;
use schedulers::Schedulers;
use wakes::Wakes;
use watch::Watches;

use crate::api::Kind;
use crate::api::kind::Visit;
use crate::daemon::http::{self, Served};

pub use error::Error;
pub use leader::{Candidature, LeaseOptions, Place};
pub use surroundings::{Sites, Surroundings};

/// A request to the API server that takes longer is given up; kube's client has no limit of its own. What it
/// waits for its turn does not count.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long reconciles that are under way may go on after SIGTERM. Less than the pod's grace period of 30 s.
const DRAIN: Duration = Duration::from_secs(20);

/// The heartbeat of the task that polls watches and controllers.
const HEARTBEAT: &str = "the watches and controllers";

/// An operator's settings, and all that it needs of the world: nothing in it is global.
pub struct Options {
    /// The way to the API server ([`client::of_config`]).
    pub client: Client,
    /// How it comes to lead; none: it does, whoever else does.
    pub lease: Option<Candidature>,
    /// The namespaces that are watched; without one, all.
    pub namespaces: Vec<String>,
    /// Whether the kinds of dask-kubernetes are served too ([`crate::plan::compat`]).
    pub dask_kubernetes: bool,
    /// The time, chance, and the ways to schedulers.
    pub surroundings: Surroundings,
    /// Where probes and metrics are served ([`http::listen`]).
    pub listener: TcpListener,
}

/// Runs until `stop` is cancelled, or something fails for good.
///
/// On `stop`: it is not ready any more, reconciles that are under way end, and with them the telling of their
/// events, but for requests that would have to wait for their turn; the Lease is released; then probes and
/// metrics end.
pub async fn run(options: Options, stop: CancellationToken) -> Result<(), Error> {
    let Options { client, lease, namespaces, dask_kubernetes, surroundings, listener } = options;
    let claim = Arc::new(if lease.is_some() { Claim::new() } else { Claim::forever() });
    let metrics = Metrics::default();
    let client = layered(client, &claim, &metrics, &Adapt::new(&metrics, &stop, &surroundings.chance));
    let (triggers, wakes) = wakes::channels();
    let schedulers = Arc::new(Schedulers::new(client.clone(), triggers.clone(), &surroundings));
    let routes = Routes { stores: Stores::new(&namespaces), triggers, schedulers };
    let context = Context::new(client.clone(), routes, metrics, surroundings);
    let context = Arc::new(context.led_by(Pulse::new(claim, stop.clone())));
    let listen = listener.local_addr().ok().map(display);
    let mut http = AbortOnDropHandle::new(tokio::spawn(http::serve(listener, served(&context))));
    tracing::info!(listen, version = env!("CARGO_PKG_VERSION"), "the operator has started");
    let given = (context.clock.clone(), context.chance.clone());
    let mut election =
        Candidacy::start(lease, client.default_namespace(), (&context.metrics, &context.pulse), given)?;
    // Nothing is watched before the kinds are served as this program knows them, so no controller starts
    // either.
    let watches = async {
        crd_check::until_served(&client, &context.pulse).await;
        if dask_kubernetes {
            crd_check::until_dask_kubernetes_is_served(&client, &context.pulse).await;
        }
        watches(&context).keep_all().await;
    };
    let controllers = controllers(&context, (wakes, dask_kubernetes), &stop);
    let untold = undecodable::tell_all(
        (&client, &context.clock),
        &context.undecodable,
        &context.events,
        &context.pulse.claim,
    );
    let ended = tokio::select! {
        // In one order, so that under a paused clock the same happens each time. What waits for a time comes
        // before what may have much to do, which would use up its budget.
        biased;
        loss = election.lost() => return Err(loss),
        () = context.pulse.heartbeats.keep(HEARTBEAT) => Ok(()),
        () = drained(&stop) => Ok(()),
        () = watches => Err(Error::TaskEnded("the watch")),
        _ = &mut http => Err(Error::TaskEnded("the HTTP server")),
        () = controllers => if stop.is_cancelled() { Ok(()) } else { Err(Error::TaskEnded("a controller")) },
        () = untold => Err(Error::TaskEnded("the telling of objects that do not decode")),
    };
    // Watches and controllers are dropped by now, and with them what was still under way.
    election.release().await;
    ended
}

/// What probes and scrapes are answered with.
fn served(context: &Arc<Context>) -> Served {
    let (alive, ready, scraped) = (context.pulse.clone(), context.clone(), context.clone());
    Served {
        alive: Box::new(move || probes::alive(&alive)),
        ready: Box::new(move || probes::ready(&ready.pulse, &ready.stores.watched, &ready.undecodable)),
        scrape: Box::new(move || scraped.scrape()),
    }
}

/// The watches, none of which has begun.
fn watches(context: &Context) -> Watches {
    Watches {
        client: context.client.clone(),
        routes: context.routes.clone(),
        metrics: context.metrics.clone(),
        undecodable: context.undecodable.clone(),
    }
}

/// Ends when the operator was asked to stop and the time for draining is over.
async fn drained(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(DRAIN).await;
    tracing::warn!("reconciles are still under way; they are given up");
}

/// The client of watches and reconciles.
fn layered(given: Client, claim: &Arc<Claim>, metrics: &Metrics, adapt: &Adapt) -> Client {
    let builder = client::over(given).with_layer(&TimeoutLayer::new(REQUEST_TIMEOUT));
    let builder = builder.with_layer(&Guard(claim.clone()));
    let builder = builder.with_layer(&CountRequests(metrics.clone()));
    // The outermost layer tries again, and lets others go in the meantime.
    builder.with_layer(adapt).build()
}

/// All controllers. They start when this process leads and all caches are full, since a plan may look into
/// any of them.
async fn controllers(
    context: &Arc<Context>,
    (mut wakes, dask_kubernetes): (Wakes, bool),
    stop: &CancellationToken,
) {
    let stores = &context.stores;
    let begin = async {
        stores.wait_until_ready().await?;
        context.pulse.caches_are_ready();
        tracing::info!("all caches are full");
        context.pulse.claim.begins().await;
        Ok::<_, RecvError>(())
    };
    tokio::select! {
        biased;
        begin = begin => if begin.is_err() { return },
        () = wakes.discard() => return,
        () = stop.cancelled() => return,
    }
    // Without a receiver nothing is kept for it.
    let theirs = wakes.take_theirs().filter(|_| dask_kubernetes);
    // Nobody has listened to wake-ups until now.
    route::everything(&context.routes);
    tracing::info!("reconciling starts");
    let done = CancellationToken::new();
    let work = async {
        let mut started = Begun { context, wakes, stop, all: Vec::new() };
        Kind::each(&mut started);
        if let Some(theirs) = theirs {
            started.all.push(compat::adapt(context, theirs, stop).boxed());
        }
        futures::future::join_all(started.all).await;
        done.cancel();
    };
    futures::future::join(work, context.events.publish(&done)).await;
}

/// The controllers of all kinds.
struct Begun<'a> {
    context: &'a Arc<Context>,
    wakes: Wakes,
    stop: &'a CancellationToken,
    all: Vec<BoxFuture<'a, ()>>,
}

impl<K: Planned> Visit<K> for Begun<'_> {
    fn visit(&mut self) {
        let store = K::kept(&self.context.stores).store();
        if let Some(wakes) = self.wakes.take(K::KIND) {
            self.all.push(controller(self.context, store, wakes, self.stop).boxed());
        }
    }
}
