//! The hands in Kubernetes: watches, observes, carries plans out, tells events, serves probes and metrics.
//!
//! It decides nothing. Each reconcile is: observe (reads only) → plan (pure) → execute (writes, in plan order) →
//! status → events → come back. Two operators at once do no harm, only double work: what must happen once is guarded
//! by names and resourceVersions.

mod backfill;
pub mod caches;
mod certificates;
pub mod clock;
mod cluster;
mod cluster_pods;
pub mod context;
mod events;
mod execute;
mod failure;
mod flow;
mod http;
pub mod log;
pub mod metrics;
mod reconcile;
mod route;
mod run;
mod schedulers;
#[cfg(test)]
mod testing;
mod undecodable;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::runtime::Controller;
use kube::runtime::controller::{Action, Config};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, client::ClientBuilder};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use caches::Caches;
use context::Context;
use metrics::{CountRequests, Metrics};
use reconcile::Planned;

/// Objects of one kind that are reconciled side by side.
const CONCURRENCY: u16 = 32;
/// A request to the API server that takes longer is given up; kube's client has no limit of its own.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long reconciles that are under way may go on after SIGTERM. Less than the pod's grace period of 30 s.
const DRAIN: Duration = Duration::from_secs(20);

/// Why the operator ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No way to the API server is configured.
    #[error("neither a kubeconfig nor a service account tells how to reach Kubernetes")]
    Config(#[source] kube::config::InferConfigError),
    /// The client could not be built.
    #[error("the Kubernetes client could not be built")]
    Client(#[source] kube::Error),
    /// The address for probes and metrics is taken.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A task that must never end has ended.
    #[error("{0} has ended unexpectedly")]
    TaskEnded(&'static str),
}

/// Settings of the operator.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where probes and metrics are served.
    pub listen: SocketAddr,
    /// Where the filter of the log is told and changed: a loopback address.
    pub admin_listen: SocketAddr,
    /// That filter.
    pub log: log::Level,
}

/// Runs until `stop` is cancelled, or something fails for good.
pub async fn run(options: Options, stop: CancellationToken) -> Result<(), Error> {
    let metrics = Metrics::default();
    let client = client(&metrics).await?;
    let (triggers, wakes) = route::channels();
    let caches = Caches::new();
    let context = Arc::new(Context::new(client.clone(), caches.stores.clone(), triggers, metrics));
    let http = http::serve(options.listen, context.clone()).await?;
    let admin = log::level::serve(options.admin_listen, options.log);
    tracing::info!(listen = %options.listen, version = env!("CARGO_PKG_VERSION"), "the operator has started");
    let watches = caches.watch(&client, &context);
    let controllers = controllers(&context, wakes, &stop);
    tokio::select! {
        () = watches => Err(Error::TaskEnded("the watch")),
        () = http => Err(Error::TaskEnded("the HTTP server")),
        () = admin => Err(Error::TaskEnded("the HTTP server of the log's filter")),
        () = controllers => if stop.is_cancelled() { Ok(()) } else { Err(Error::TaskEnded("a controller")) },
        () = drained(&stop) => Ok(()),
    }
}

/// Ends when the operator was asked to stop and the time for draining is over.
async fn drained(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(DRAIN).await;
    tracing::warn!("reconciles are still under way; they are given up");
}

async fn client(metrics: &Metrics) -> Result<Client, Error> {
    let config = kube::Config::infer().await.map_err(Error::Config)?;
    let builder = ClientBuilder::try_from(config).map_err(Error::Client)?;
    let bounded = builder.with_layer(&tower::timeout::TimeoutLayer::new(REQUEST_TIMEOUT));
    Ok(bounded.with_layer(&CountRequests(metrics.clone())).build())
}

/// All controllers. They start when all caches are full, since a plan may look into any of them.
async fn controllers(context: &Arc<Context>, wakes: route::Wakes, stop: &CancellationToken) {
    let stores = &context.stores;
    if stores.wait_until_ready().await.is_err() {
        return;
    }
    context.caches_are_ready();
    tracing::info!("all caches are full; reconciling starts");
    futures::future::join4(
        controller(context, stores.clusters.clone(), wakes.clusters, stop),
        controller(context, stores.flows.clone(), wakes.flows, stop),
        controller(context, stores.runs.clone(), wakes.runs, stop),
        controller(context, stores.backfills.clone(), wakes.backfills, stop),
    )
    .await;
}

/// One controller, fed by wake-ups alone. There is no debounce: planning costs microseconds and writes nothing when
/// nothing changed, and a tick should not wait.
fn controller<K: Planned>(
    context: &Arc<Context>,
    store: Store<K>,
    wakes: mpsc::UnboundedReceiver<ObjectRef<K>>,
    stop: &CancellationToken,
) -> impl Future<Output = ()> + use<K> {
    let stopped = stop.clone().cancelled_owned();
    let wakes =
        futures::stream::unfold(wakes, |mut wakes| async { wakes.recv().await.map(|wake| (wake, wakes)) });
    Controller::for_stream(futures::stream::pending(), store)
        .with_config(Config::default().concurrency(CONCURRENCY))
        .reconcile_on(wakes)
        .graceful_shutdown_on(stopped)
        .run(reconcile::reconcile::<K>, |_, _, _| Action::await_change(), context.clone())
        .for_each({
            let context = context.clone();
            move |result| {
                // An object that is gone when its turn comes is the normal end of an object.
                if let Err(kube::runtime::controller::Error::ObjectNotFound(gone)) = &result {
                    reconcile::gone::<K>(&context, gone.namespace.as_deref().unwrap_or_default(), &gone.name);
                }
                if let Err(error) = result {
                    tracing::debug!(error = &error as &dyn std::error::Error, "nothing to reconcile");
                }
                std::future::ready(())
            }
        })
}
