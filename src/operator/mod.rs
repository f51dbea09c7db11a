//! The hands in Kubernetes: watches, observes, carries plans out, tells events, serves probes and metrics.
//!
//! It decides nothing. Each reconcile is: observe (reads only) → plan (pure) → execute (writes, in plan order) →
//! status → events → come back. Only the holder of the Lease works. If election is off, or a write arrives late, two
//! may work at once; that wastes work but breaks nothing: what must happen once is guarded by names and resourceVersions.

mod backfill;
pub mod caches;
mod certificates;
pub mod client;
pub mod clock;
mod cluster;
pub mod context;
mod controller;
mod crd_check;
mod events;
mod execute;
mod failure;
mod flow;
mod heartbeats;
mod http;
mod judged;
mod leader;
pub mod log;
mod lookup;
pub mod metrics;
mod reconcile;
mod requests;
pub mod rights;
mod route;
mod run;
mod schedulers;
#[cfg(test)]
mod stage;
mod status;
mod surroundings;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod undecodable;
mod unwritten;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::watch::error::RecvError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tower::timeout::TimeoutLayer;
use tracing::field::display;

use crate::plan::lease::Loss;
use caches::Stores;
use context::Context;
use controller::controller;
use leader::{Candidacy, Claim, Guard};
use metrics::{CountRequests, Metrics};
use requests::Adapt;

pub use self::http::listen;
pub use leader::{Candidature, LeaseOptions, Place};
pub use surroundings::Surroundings;

/// A request to the API server that takes longer is given up; kube's client has no limit of its own. What it
/// waits for its turn does not count.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long reconciles that are under way may go on after SIGTERM. Less than the pod's grace period of 30 s.
const DRAIN: Duration = Duration::from_secs(20);

/// The heartbeat of the task that polls watches and controllers.
const HEARTBEAT: &str = "the watches and controllers";

/// Why the operator ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No way to the API server is configured.
    #[error("there is neither a kubeconfig nor a service account to reach Kubernetes with")]
    Config(#[source] kube::config::InferConfigError),
    /// The client could not be built.
    #[error("the Kubernetes client could not be built")]
    Client(#[source] kube::Error),
    /// The thread of the Lease could not be started.
    #[error("the thread that keeps the Lease could not be started")]
    Thread(#[source] std::io::Error),
    /// The address for probes and metrics is taken.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Another operator leads, or may lead soon.
    #[error("this operator no longer leads")]
    Lost(#[source] Loss),
    /// A task that must never end has ended.
    #[error("{0} has ended unexpectedly")]
    TaskEnded(&'static str),
}

/// An operator's settings, and all that it needs of the world: nothing in it is global.
pub struct Options {
    /// The way to the API server ([`client::of_config`]).
    pub client: Client,
    /// How it comes to lead; none: it does, whoever else does.
    pub lease: Option<Candidature>,
    /// The namespaces that are watched; without one, all.
    pub namespaces: Vec<String>,
    /// The time, chance, and the ways to schedulers.
    pub surroundings: Surroundings,
    /// Where probes and metrics are served ([`listen`]).
    pub listener: TcpListener,
}

/// Runs until `stop` is cancelled, or something fails for good.
///
/// On `stop`: it is not ready any more, reconciles that are under way end, and with them the telling of their events, but for
/// requests that would have to wait for their turn; the Lease is released; then probes and metrics end.
pub async fn run(options: Options, stop: CancellationToken) -> Result<(), Error> {
    let Options { client, lease, namespaces, surroundings, listener } = options;
    let claim = Arc::new(if lease.is_some() { Claim::new() } else { Claim::forever() });
    let metrics = Metrics::default();
    let client = layered(client, &claim, &metrics, Adapt::new(&metrics, &stop, &surroundings.chance));
    let (triggers, wakes) = route::channels();
    let stores = Stores::new(&namespaces);
    let context = Context::new(client.clone(), stores.clone(), triggers.clone(), metrics, surroundings);
    let context = Arc::new(context.led_by(claim, stop.clone()));
    let listen = listener.local_addr().ok().map(display);
    let mut http = AbortOnDropHandle::new(tokio::spawn(http::serve(listener, context.clone())));
    tracing::info!(listen, version = env!("CARGO_PKG_VERSION"), "the operator has started");
    let mut election = Candidacy::start(lease, &context)?;
    // Nothing is watched before the kinds are served as this program knows them, so no controller starts either.
    let watches = async {
        crd_check::until_served(&context).await;
        stores.watch(&client, &context).await;
    };
    let controllers = controllers(&context, wakes, &stop);
    let ended = tokio::select! {
        loss = election.lost() => return Err(loss),
        () = watches => Err(Error::TaskEnded("the watch")),
        _ = &mut http => Err(Error::TaskEnded("the HTTP server")),
        () = controllers => if stop.is_cancelled() { Ok(()) } else { Err(Error::TaskEnded("a controller")) },
        () = undecodable::tell_all(&context) => Err(Error::TaskEnded("the telling of objects that do not decode")),
        () = drained(&stop) => Ok(()),
        () = context.heartbeats.keep(HEARTBEAT) => Ok(()),
    };
    // Watches and controllers are dropped by now, and with them what was still under way.
    election.release().await;
    ended
}

/// Ends when the operator was asked to stop and the time for draining is over.
async fn drained(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(DRAIN).await;
    tracing::warn!("reconciles are still under way; they are given up");
}

/// The client of watches and reconciles.
fn layered(given: Client, claim: &Arc<Claim>, metrics: &Metrics, adapt: Adapt) -> Client {
    let builder = client::over(given).with_layer(&TimeoutLayer::new(REQUEST_TIMEOUT));
    let builder = builder.with_layer(&Guard(claim.clone()));
    let builder = builder.with_layer(&CountRequests(metrics.clone()));
    // The outermost layer tries again, and lets others go in the meantime.
    builder.with_layer(&adapt).build()
}

/// All controllers. They start when this process leads and all caches are full, since a plan may look into any of them.
async fn controllers(context: &Arc<Context>, mut wakes: route::Wakes, stop: &CancellationToken) {
    let stores = &context.stores;
    let begin = async {
        stores.wait_until_ready().await?;
        context.caches_are_ready();
        tracing::info!("all caches are full");
        context.claim.begins().await;
        Ok::<_, RecvError>(())
    };
    tokio::select! {
        begin = begin => if begin.is_err() { return },
        () = wakes.discard() => return,
        () = stop.cancelled() => return,
    }
    // Nobody has listened to wake-ups until now.
    route::everything(context);
    tracing::info!("reconciling starts");
    let done = CancellationToken::new();
    let work = async {
        futures::future::join4(
            controller(context, stores.clusters.store(), wakes.clusters, stop),
            controller(context, stores.flows.store(), wakes.flows, stop),
            controller(context, stores.runs.store(), wakes.runs, stop),
            controller(context, stores.backfills.store(), wakes.backfills, stop),
        )
        .await;
        done.cancel();
    };
    futures::future::join(work, context.events.publish(&done)).await;
}
