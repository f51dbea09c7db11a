//! What is watched, and kept in memory.
//!
//! Of built-in kinds only objects with our label are watched, so that memory grows with our objects and not with the
//! Kubernetes cluster.

use std::fmt::Debug;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use backon::ExponentialBuilder;
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::Api;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::reflector::store::{Writer, WriterDropped};
use kube::runtime::reflector::{self, Store};
use kube::runtime::utils::ResetTimerBackoff;
use kube::runtime::watcher::ExponentialBackoff;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;

use super::context::Context;
use super::metrics::Metrics;
use super::route::{self, Change};
use super::undecodable::Undecodable;
use crate::api::{DaskCluster, Flow, FlowBackfill, FlowRun, labels};

/// Seconds after which the API server ends a watch that had nothing to say; a dead connection is noticed five seconds
/// later. kube's default of 290 s would leave the operator blind for as long behind a silent NAT.
const WATCH_TIMEOUT_S: u32 = 60;
/// A watch that failed starts anew after this time, doubled at each failure up to the longest; kube's own longest wait
/// of 30 s would be as long a delay of all ticks after an outage of the API server.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// A watch that lived for so long has not failed in a row.
const RETRY_RESET: Duration = Duration::from_secs(60);

/// The readable sides of all caches.
#[derive(Clone)]
pub struct Stores {
    /// All `DaskCluster`s.
    pub clusters: Store<DaskCluster>,
    /// All `Flow`s.
    pub flows: Store<Flow>,
    /// All `FlowRun`s.
    pub runs: Store<FlowRun>,
    /// All `FlowBackfill`s.
    pub backfills: Store<FlowBackfill>,
    /// Our Jobs.
    pub jobs: Store<Job>,
    /// Our pods.
    pub pods: Store<Pod>,
    /// Our Services.
    pub services: Store<Service>,
    /// Our NetworkPolicies.
    pub network_policies: Store<NetworkPolicy>,
    /// Our ConfigMaps, without their content.
    pub code: Store<PartialObjectMeta<ConfigMap>>,
}

impl Stores {
    /// Waits until each cache has been filled once.
    pub async fn wait_until_ready(&self) -> Result<(), WriterDropped> {
        self.clusters.wait_until_ready().await?;
        self.flows.wait_until_ready().await?;
        self.runs.wait_until_ready().await?;
        self.backfills.wait_until_ready().await?;
        self.jobs.wait_until_ready().await?;
        self.pods.wait_until_ready().await?;
        self.services.wait_until_ready().await?;
        self.network_policies.wait_until_ready().await?;
        self.code.wait_until_ready().await
    }
}

/// The writable sides.
pub struct Caches {
    /// The readable sides.
    pub stores: Stores,
    clusters: Writer<DaskCluster>,
    flows: Writer<Flow>,
    runs: Writer<FlowRun>,
    backfills: Writer<FlowBackfill>,
    jobs: Writer<Job>,
    pods: Writer<Pod>,
    services: Writer<Service>,
    network_policies: Writer<NetworkPolicy>,
    code: Writer<PartialObjectMeta<ConfigMap>>,
}

impl Caches {
    /// Empty caches.
    pub fn new() -> Self {
        let (clusters, flows, runs, backfills) =
            (Writer::default(), Writer::default(), Writer::default(), Writer::default());
        let (jobs, pods, services, code) =
            (Writer::default(), Writer::default(), Writer::default(), Writer::default());
        let network_policies = Writer::default();
        let stores = Stores {
            clusters: clusters.as_reader(),
            flows: flows.as_reader(),
            runs: runs.as_reader(),
            backfills: backfills.as_reader(),
            jobs: jobs.as_reader(),
            pods: pods.as_reader(),
            services: services.as_reader(),
            network_policies: network_policies.as_reader(),
            code: code.as_reader(),
        };
        Self { stores, clusters, flows, runs, backfills, jobs, pods, services, network_policies, code }
    }

    /// Fills the caches for as long as it is polled, and wakes whoever a change concerns.
    pub fn watch(self, client: &Client, context: &Arc<Context>) -> impl Future<Output = ()> + use<> {
        let all = watcher::Config::default().timeout(WATCH_TIMEOUT_S);
        let ours = all.clone().labels(&format!("{}={}", labels::APP_MANAGED_BY, labels::APP));
        let watches = [
            keep(client, &all, self.clusters, context, route::cluster).boxed(),
            keep(client, &all, self.flows, context, route::flow).boxed(),
            keep(client, &all, self.runs, context, route::run).boxed(),
            keep(client, &all, self.backfills, context, route::backfill).boxed(),
            keep(client, &ours, self.jobs, context, route::job).boxed(),
            keep(client, &ours, self.pods, context, route::pod).boxed(),
            keep(client, &ours, self.services, context, route::service).boxed(),
            keep(client, &ours, self.network_policies, context, route::network_policy).boxed(),
            keep_metadata(client, &ours, self.code, context).boxed(),
        ];
        async move {
            futures::future::select_all(watches).await;
        }
    }
}

impl Default for Caches {
    fn default() -> Self {
        Self::new()
    }
}

fn retries() -> ResetTimerBackoff<ExponentialBackoff> {
    let steps = ExponentialBuilder::new().with_min_delay(RETRY_FIRST).with_max_delay(RETRY_MAX).with_jitter();
    ResetTimerBackoff::new(steps.without_max_times().into(), RETRY_RESET)
}

/// Keeps one cache.
fn keep<K>(
    client: &Client,
    config: &watcher::Config,
    writer: Writer<K>,
    context: &Arc<Context>,
    wake: fn(&Context, Change<&K>),
) -> impl Future<Output = ()> + Send + use<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    <K as Resource>::DynamicType: Eq + Hash + Clone,
{
    let context = context.clone();
    let metrics = context.metrics.clone();
    let mut undecodable = Undecodable::new(metrics.undecodable(&K::kind(&())));
    let events = watcher(Api::<DeserializeGuard<K>>::all(client.clone()), config.clone())
        .backoff(retries())
        .filter_map(move |event| std::future::ready(log_failure::<K, _>(event, &metrics)))
        .filter_map(move |event| std::future::ready(undecodable.open(event)))
        .map(Ok::<_, watcher::Error>);
    reflector::reflector(writer, events).for_each(move |event| {
        match event {
            Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                wake(&context, Change::Of(&object));
            }
            Ok(watcher::Event::Delete(object)) => wake(&context, Change::Of(&object)),
            // What went away while nobody watched is told by nobody: everyone looks.
            Ok(watcher::Event::InitDone) => wake(&context, Change::Everything),
            Ok(watcher::Event::Init) | Err(_) => {}
        }
        std::future::ready(())
    })
}

/// Keeps the cache of code, which wakes nobody.
fn keep_metadata(
    client: &Client,
    config: &watcher::Config,
    writer: Writer<PartialObjectMeta<ConfigMap>>,
    context: &Arc<Context>,
) -> impl Future<Output = ()> + Send + use<> {
    let metrics = context.metrics.clone();
    let api: Api<PartialObjectMeta<ConfigMap>> = Api::all(client.clone());
    let events = watcher(api, config.clone())
        .backoff(retries())
        .filter_map(move |event| std::future::ready(log_failure::<ConfigMap, _>(event, &metrics)))
        .map(|event| Ok::<_, watcher::Error>(event.modify(|map| map.metadata.managed_fields = None)));
    reflector::reflector(writer, events).for_each(|_| std::future::ready(()))
}

fn log_failure<K: Resource<DynamicType = ()>, E>(
    event: Result<E, watcher::Error>,
    metrics: &Metrics,
) -> Option<E> {
    event
        .inspect_err(|error| {
            let kind = K::kind(&());
            metrics.watch_failed(&kind);
            tracing::warn!(%kind, error = error as &dyn std::error::Error, "the watch failed and starts anew");
        })
        .ok()
}
