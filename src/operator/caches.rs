//! What is watched, and kept in memory.
//!
//! Of built-in kinds only objects with our label are watched, so that memory grows with our objects and not with the
//! Kubernetes cluster.
//!
//! Where the operator watches some namespaces only, each kind has a watch for each of them and one cache for all.

pub(super) mod bounded;
mod cache;
#[cfg(test)]
mod fuzz;
pub(super) mod index;
mod kept;
#[cfg(test)]
mod tests;
mod watched;

use std::fmt::Debug;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use futures::{FutureExt, Stream, StreamExt, stream};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Api, ListParams};
use kube::core::{DeserializeGuard, ObjectMeta, PartialObjectMeta};
use kube::runtime::reflector::Store;
use kube::runtime::utils::ResetTimerBackoff;
use kube::runtime::watcher::ExponentialBackoff;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch::error::RecvError;

use bounded::{Bounded, guarded};
pub(super) use cache::Ticket;
pub use index::Index;
pub use kept::Kept;
pub use watched::Watched;

use super::context::Context;
use super::failure::chain;
use super::route::{self, Change};
use super::undecodable::Undecodable;
use crate::api::{DaskCluster, Flow, FlowBackfill, FlowRun, labels};
use crate::plan::run::Ground;

/// Seconds after which the API server ends a watch that had nothing to say; a dead connection is noticed five seconds
/// later. kube's default of 290 s would leave the operator blind for as long behind a silent NAT.
const WATCH_TIMEOUT_S: u32 = 60;
/// A watch that failed starts anew after this time, doubled at each failure up to the longest; kube's own longest wait
/// of 30 s would be as long a delay of all ticks after an outage of the API server.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// A watch that lived for so long has not failed in a row.
const RETRY_RESET: Duration = Duration::from_secs(60);

/// A LIST that fails again and again is asked for after this time, doubled at each failure in a row up to the longest, and
/// up to twice as long by chance; beside the times above, which begin anew with each LIST that is tried. What a LIST costs
/// the API server is the last that it needs while it is failing.
const LIST_RETRY_FIRST: Duration = Duration::from_millis(250);
const LIST_RETRY_MAX: Duration = Duration::from_secs(30);

/// How many kinds are watched.
const KINDS: usize = 9;

/// How long a watch rests that was refused, beside the time above.
const REFUSED: Duration = Duration::from_secs(10);

/// All caches.
#[derive(Clone)]
pub struct Stores {
    /// Where all of this is watched, and how far that is known.
    pub watched: Arc<Watched>,
    /// All `DaskCluster`s.
    pub clusters: Kept<DaskCluster>,
    /// All `Flow`s.
    pub flows: Kept<Flow>,
    /// All `FlowRun`s.
    pub runs: Kept<FlowRun>,
    /// All `FlowBackfill`s.
    pub backfills: Kept<FlowBackfill>,
    /// Our Jobs.
    pub jobs: Kept<Job>,
    /// Our pods.
    pub pods: Kept<Pod>,
    /// Our Services.
    pub services: Kept<Service>,
    /// Our NetworkPolicies.
    pub network_policies: Kept<NetworkPolicy>,
    /// Our ConfigMaps, without their content.
    pub code: Kept<PartialObjectMeta<ConfigMap>>,
    /// The same by other keys.
    pub by: Indexes,
}

/// What is looked up by something else than its name.
#[derive(Clone)]
pub struct Indexes {
    /// Clusters by the runs that have a place on them.
    pub clusters_by_run: Index<DaskCluster>,
    /// Flows by the cluster that they name.
    pub flows_by_cluster: Index<Flow>,
    /// Runs by their Flow, adopted or not.
    pub runs_by_flow: Index<FlowRun>,
    /// Runs by the cluster that they are on, or will be.
    pub runs_by_cluster: Index<FlowRun>,
    /// Backfills by their Flow.
    pub backfills_by_flow: Index<FlowBackfill>,
    /// Jobs by the ConfigMap that they mount.
    pub jobs_by_code: Index<Job>,
    /// Jobs that mount a Secret of a cluster, by no key.
    pub jobs_with_certificate: Index<Job>,
    /// Runners' pods by their run.
    pub pods_by_run: Index<Pod>,
    /// Runners' pods by their Flow.
    pub pods_by_flow: Index<Pod>,
    /// Pods by the cluster that they say they are part of.
    pub pods_by_cluster: Index<Pod>,
    /// Code by its Flow.
    pub code_by_flow: Index<PartialObjectMeta<ConfigMap>>,
}

impl Indexes {
    fn new() -> Self {
        Self {
            clusters_by_run: Index::new(|cluster| {
                let admitted = cluster.status.as_ref().map(|status| status.admitted.as_slice());
                admitted.unwrap_or_default().iter().map(String::as_str).collect()
            }),
            flows_by_cluster: Index::new(|flow| Ground::of(flow).shared().into_iter().collect()),
            runs_by_flow: Index::new(|run| vec![&run.spec.flow]),
            runs_by_cluster: Index::new(|run| {
                run.status.iter().filter_map(|status| status.cluster.as_deref()).collect()
            }),
            backfills_by_flow: Index::new(|backfill| vec![&backfill.spec.flow]),
            jobs_by_code: Index::new(|job| label(&job.metadata, labels::CODE)),
            jobs_with_certificate: Index::new(|job| {
                let annotations = job.metadata.annotations.as_ref();
                annotations
                    .filter(|all| all.contains_key(labels::CERTIFICATE))
                    .map(|_| "")
                    .into_iter()
                    .collect()
            }),
            pods_by_run: Index::new(|pod| label(&pod.metadata, labels::RUN)),
            pods_by_flow: Index::new(|pod| label(&pod.metadata, labels::FLOW)),
            pods_by_cluster: Index::new(|pod| label(&pod.metadata, labels::CLUSTER_NAME)),
            code_by_flow: Index::new(|map| label(&map.metadata, labels::FLOW)),
        }
    }
}

/// What a label says, if it is there.
fn label<'a>(metadata: &'a ObjectMeta, label: &str) -> Vec<&'a str> {
    metadata.labels.iter().filter_map(|all| all.get(label)).map(String::as_str).collect()
}

impl Stores {
    /// Empty caches of what is in these namespaces; without one, of what is in all.
    pub fn new(namespaces: &[String]) -> Self {
        let by = Indexes::new();
        Self {
            watched: Arc::new(Watched::new(namespaces, KINDS)),
            clusters: Kept::new(&[&by.clusters_by_run]),
            flows: Kept::new(&[&by.flows_by_cluster]),
            runs: Kept::new(&[&by.runs_by_flow, &by.runs_by_cluster]),
            backfills: Kept::new(&[&by.backfills_by_flow]),
            jobs: Kept::new(&[&by.jobs_by_code, &by.jobs_with_certificate]),
            pods: Kept::new(&[&by.pods_by_run, &by.pods_by_flow, &by.pods_by_cluster]),
            services: Kept::new(&[]),
            network_policies: Kept::new(&[]),
            code: Kept::new(&[&by.code_by_flow]),
            by,
        }
    }

    /// Waits until each cache has been filled once. Namespaces in which rights are missing are not waited for while
    /// there are others.
    pub async fn wait_until_ready(&self) -> Result<(), RecvError> {
        self.watched.wait_until_ready().await
    }

    /// Fills the caches for as long as it is polled, and wakes whoever a change concerns.
    pub fn watch(&self, client: &Client, context: &Arc<Context>) -> impl Future<Output = ()> + use<> {
        let all = watcher::Config::default().timeout(WATCH_TIMEOUT_S);
        let ours = all.clone().labels(&format!("{}={}", labels::APP_MANAGED_BY, labels::APP));
        let watches: [_; KINDS] = [
            keep(client, &all, &self.clusters, context, route::cluster).boxed(),
            keep(client, &all, &self.flows, context, route::flow).boxed(),
            keep(client, &all, &self.runs, context, route::run).boxed(),
            keep(client, &all, &self.backfills, context, route::backfill).boxed(),
            keep(client, &ours, &self.jobs, context, route::job).boxed(),
            keep(client, &ours, &self.pods, context, route::pod).boxed(),
            keep(client, &ours, &self.services, context, route::service).boxed(),
            keep(client, &ours, &self.network_policies, context, route::network_policy).boxed(),
            keep(client, &ours, &self.code, context, route::code).boxed(),
        ];
        async move {
            futures::future::select_all(watches).await;
        }
    }
}

fn retries() -> ResetTimerBackoff<ExponentialBackoff> {
    let steps = ExponentialBuilder::new().with_min_delay(RETRY_FIRST).with_max_delay(RETRY_MAX).with_jitter();
    ResetTimerBackoff::new(steps.without_max_times().into(), RETRY_RESET)
}

/// What the API server lists now. An object that does not decode is as the cache knew it.
pub(super) async fn list_live<K>(
    client: &Client,
    namespace: &str,
    params: &ListParams,
    store: &Store<K>,
) -> Result<Vec<Arc<K>>, kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + 'static,
{
    let list = Api::<Bounded<K>>::namespaced(client.clone(), namespace).list(params).await?;
    Ok(list.items.into_iter().filter_map(|object| object.known(store)).collect())
}

/// Keeps one cache, by one watch for each namespace.
fn keep<K>(
    client: &Client,
    config: &watcher::Config,
    kept: &Kept<K>,
    context: &Arc<Context>,
    wake: fn(&Context, Change<&K>),
) -> impl Future<Output = ()> + Send + use<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
    <K as Resource>::DynamicType: Eq + Hash + Clone,
{
    let context = context.clone();
    let watches = (0..context.stores.watched.places()).map(|place| {
        let client = client.clone();
        let api = match context.stores.watched.namespace(place) {
            Some(namespace) => Api::<Bounded<K>>::namespaced(client, namespace),
            None => Api::all(client),
        };
        let events = watcher(api, config.clone()).backoff(retries());
        paused(events).map(move |event| (place, event.map(guarded))).boxed()
    });
    let watches: Vec<_> = watches.collect();
    let kept = kept.clone();
    let gauge = context.metrics.undecodable(&K::kind(&()));
    let mut undecodable: Vec<Undecodable> =
        watches.iter().map(|_| Undecodable::new(gauge.clone(), context.undecodable.clone())).collect();
    stream::select_all(watches).for_each(move |(place, event)| {
        if let Some(undecodable) = undecodable.get_mut(place) {
            take((&kept, undecodable), &context, wake, (place, event));
        }
        std::future::ready(())
    })
}

/// Takes in what a watch tells, and wakes whoever it concerns.
fn take<K>(
    (kept, undecodable): (&Kept<K>, &mut Undecodable),
    context: &Context,
    wake: fn(&Context, Change<&K>),
    (place, event): (usize, Result<watcher::Event<DeserializeGuard<K>>, watcher::Error>),
) where
    K: Resource<DynamicType = ()> + Clone + Debug + 'static,
    <K as Resource>::DynamicType: Eq + Hash + Clone,
{
    let watched = &context.stores.watched;
    let event = match event {
        Ok(event) => event,
        Err(error) => {
            context.metrics.watch_failed(&K::kind(&()));
            return log_failure::<K>(watched, place, &error);
        }
    };
    let is_list = matches!(event, watcher::Event::InitDone);
    let gone = kept.lock().take_undecodable(watched.namespace(place), &event);
    for object in gone {
        wake(context, Change::Of(&object));
    }
    let Some(event) = undecodable.open(event) else { return };
    let changed = kept.take(watched.namespace(place), event);
    for object in changed {
        wake(context, Change::Of(&object));
    }
    if is_list {
        if watched.listed(place, &K::kind(&())) {
            tracing::info!(namespace = watched.namespace(place), "all that is watched is known");
        }
        // What else a list tells: everyone looks.
        wake(context, Change::Everything);
    }
}

/// How often in a row a watch could not begin.
struct Pauses {
    refusals: u32,
    /// The waits that are left; none while no LIST has failed.
    lists: Option<backon::ExponentialBackoff>,
}

impl Pauses {
    /// How long to rest after this, before the next is asked for.
    fn after<T>(&mut self, event: &Result<watcher::Event<T>, watcher::Error>) -> Duration {
        let refused = event.as_ref().err().is_some_and(is_refusal);
        self.refusals = if refused { self.refusals.saturating_add(1) } else { 0 };
        match event {
            // Said before each LIST, so it means nothing.
            Ok(watcher::Event::Init) => Duration::ZERO,
            Ok(_) => {
                self.lists = None;
                Duration::ZERO
            }
            Err(_) if refused => {
                if self.refusals > 1 {
                    REFUSED
                } else {
                    Duration::ZERO
                }
            }
            Err(watcher::Error::InitialListFailed(_)) => {
                self.lists.get_or_insert_with(list_retries).next().unwrap_or(LIST_RETRY_MAX)
            }
            Err(_) => Duration::ZERO,
        }
    }
}

fn list_retries() -> backon::ExponentialBackoff {
    let steps = ExponentialBuilder::new().with_min_delay(LIST_RETRY_FIRST).with_max_delay(LIST_RETRY_MAX);
    steps.with_jitter().without_max_times().build()
}

/// The same events; after a second refusal in a row the watch rests, since rights do not come by themselves. The first may be
/// of an API server that has just started and has not read the rights yet. After a LIST that failed it rests the longer the
/// more have failed in a row.
fn paused<T: Send + 'static>(
    events: impl Stream<Item = Result<watcher::Event<T>, watcher::Error>> + Send + 'static,
) -> impl Stream<Item = Result<watcher::Event<T>, watcher::Error>> + Send {
    let pauses = Pauses { refusals: 0, lists: None };
    stream::unfold((Box::pin(events), pauses, Duration::ZERO), |(mut events, mut pauses, pause)| async move {
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        let event = events.next().await?;
        let pause = pauses.after(&event);
        Some((event, (events, pauses, pause)))
    })
}

/// Whether the API server said that rights are missing.
fn is_refusal(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => status.code == 403,
        _ => false,
    }
}

fn log_failure<K: Resource<DynamicType = ()>>(watched: &Watched, place: usize, error: &watcher::Error) {
    let (kind, namespace) = (K::kind(&()), watched.namespace(place));
    let cause = chain(error);
    if !is_refusal(error) {
        tracing::warn!(%kind, namespace, error = cause, "the watch failed and starts anew");
    } else if watched.refused(place, &kind) {
        tracing::warn!(%kind, namespace, error = cause, "rights are missing; it is tried again and again");
    }
}
