//! Who is woken by a change.

use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use tokio::sync::mpsc;

use super::caches::{Kept, Stores, Ticket};
use super::context::Context;
use super::undecodable::condense;
use crate::api::flow::Concurrency;
use crate::api::{DaskCluster, Flow, FlowBackfill, FlowRun, Phase, labels};
use crate::plan::backfill::{is_concerned, is_unfinished};
use crate::plan::pods::state;
use crate::plan::run::{is_run_now, phase_of};

/// What changed.
#[derive(Clone, Copy, Debug)]
pub enum Change<T> {
    /// This object was created, changed or deleted.
    Of(T),
    /// A cache was filled anew: anything may have.
    Everything,
}

/// An object that is to be looked at.
#[derive(Clone, Debug)]
pub struct Wake<K: Resource<DynamicType = ()>> {
    /// The object.
    pub object: ObjectRef<K>,
    /// Whether somebody waits for what comes of it, rather than a clock.
    pub urgent: bool,
}

/// A kind of which a cache knows what is written here before its watch tells it.
pub(super) trait Cached: Resource<DynamicType = ()> + Clone + 'static {
    /// Its cache.
    fn kept(stores: &Stores) -> &Kept<Self>;
    /// Wakes whoever a change concerns.
    fn wake(context: &Context, change: Change<&Self>);
}

macro_rules! cached {
    ($($kind:ty, $kept:ident, $wake:ident;)*) => {$(
        impl Cached for $kind {
            fn kept(stores: &Stores) -> &Kept<Self> {
                &stores.$kept
            }

            fn wake(context: &Context, change: Change<&Self>) {
                $wake(context, change);
            }
        }
    )*};
}

cached! {
    DaskCluster, clusters, cluster;
    Flow, flows, flow;
    FlowRun, runs, run;
    FlowBackfill, backfills, backfill;
    Job, jobs, job;
}

/// Takes the answer to a write into the cache, and wakes whoever it concerns: the next look rests on it, and not on what was
/// before, which would be a conflict with oneself. The fields of its writers are left out, as of what a watch tells: they are
/// half of an object's memory.
pub(super) fn written<K: Cached>(context: &Context, ticket: Ticket, mut object: K) {
    condense(object.meta_mut(), &K::kind(&()));
    if K::kept(&context.stores).take_written(ticket, object.clone()) {
        K::wake(context, Change::Of(&object));
    }
}

/// The sending sides of the controllers' queues.
#[derive(Clone)]
pub struct Triggers {
    clusters: mpsc::UnboundedSender<Wake<DaskCluster>>,
    flows: mpsc::UnboundedSender<Wake<Flow>>,
    runs: mpsc::UnboundedSender<Wake<FlowRun>>,
    backfills: mpsc::UnboundedSender<Wake<FlowBackfill>>,
}

/// The receiving sides. The queues hold names only, and a controller keeps each name once.
pub struct Wakes {
    /// Clusters to look at.
    pub clusters: mpsc::UnboundedReceiver<Wake<DaskCluster>>,
    /// Flows to look at.
    pub flows: mpsc::UnboundedReceiver<Wake<Flow>>,
    /// Runs to look at.
    pub runs: mpsc::UnboundedReceiver<Wake<FlowRun>>,
    /// Backfills to look at.
    pub backfills: mpsc::UnboundedReceiver<Wake<FlowBackfill>>,
}

/// The queues of all controllers.
pub fn channels() -> (Triggers, Wakes) {
    let (clusters, cluster_wakes) = mpsc::unbounded_channel();
    let (flows, flow_wakes) = mpsc::unbounded_channel();
    let (runs, run_wakes) = mpsc::unbounded_channel();
    let (backfills, backfill_wakes) = mpsc::unbounded_channel();
    (
        Triggers { clusters, flows, runs, backfills },
        Wakes { clusters: cluster_wakes, flows: flow_wakes, runs: run_wakes, backfills: backfill_wakes },
    )
}

impl Wakes {
    /// Throws all wake-ups away for as long as it is polled: nobody works, and queues must not grow.
    pub(super) async fn discard(&mut self) {
        loop {
            let received = tokio::select! {
                wake = self.clusters.recv() => wake.is_some(),
                wake = self.flows.recv() => wake.is_some(),
                wake = self.runs.recv() => wake.is_some(),
                wake = self.backfills.recv() => wake.is_some(),
            };
            if !received {
                // The context holds the senders: this is the end of the process.
                return;
            }
        }
    }
}

impl Triggers {
    /// Wakes a cluster.
    pub fn cluster(&self, namespace: &str, name: &str) {
        // The receiver is gone only when the operator stops.
        let _ = self.clusters.send(wake_of(namespace, name));
    }

    pub(super) fn flow(&self, namespace: &str, name: &str) {
        let _ = self.flows.send(wake_of(namespace, name));
    }

    /// Wakes a Flow before the others of its namespace: somebody waits for a place.
    fn flow_now(&self, namespace: &str, name: &str) {
        let _ = self.flows.send(Wake { urgent: true, ..wake_of(namespace, name) });
    }

    /// The same for a cluster.
    fn cluster_now(&self, namespace: &str, name: &str) {
        let _ = self.clusters.send(Wake { urgent: true, ..wake_of(namespace, name) });
    }

    fn run(&self, namespace: &str, name: &str) {
        let _ = self.runs.send(wake_of(namespace, name));
    }

    fn backfill(&self, namespace: &str, name: &str) {
        let _ = self.backfills.send(wake_of(namespace, name));
    }
}

fn wake_of<K: Resource<DynamicType = ()>>(namespace: &str, name: &str) -> Wake<K> {
    Wake { object: ObjectRef::new(name).within(namespace), urgent: false }
}

/// A cluster concerns itself, the Flows that name it, and the unfinished runs on it.
pub fn cluster(context: &Context, change: Change<&DaskCluster>) {
    let exists = |namespace: &str, name: &str| {
        context.stores.clusters.get(&ObjectRef::new(name).within(namespace)).is_some()
    };
    let Change::Of(cluster) = change else {
        context.schedulers.forget_unless(exists);
        return everything(context);
    };
    let (namespace, name) = key(cluster);
    let triggers = &context.triggers;
    triggers.cluster(&namespace, &name);
    if !exists(&namespace, &name) {
        context.schedulers.forget(&namespace, &name);
    }
    for flow in context.stores.by.flows_by_cluster.of(&namespace, &name) {
        triggers.flow(&namespace, &flow.name_any());
    }
    for owner in cluster.owner_references().iter().filter(|owner| owner.kind == FlowRun::kind(&())) {
        triggers.run(&namespace, &owner.name);
    }
    wake_runs_on(context, &namespace, &name);
}

/// A Flow concerns itself, its unfinished runs and its unfinished backfills.
pub fn flow(context: &Context, change: Change<&Flow>) {
    let Change::Of(flow) = change else { return everything(context) };
    let (namespace, name) = key(flow);
    context.triggers.flow(&namespace, &name);
    wake_unfinished(context, &namespace, &context.stores.by.runs_by_flow.of(&namespace, &name));
    for backfill in context.stores.by.backfills_by_flow.of(&namespace, &name) {
        if is_unfinished(&backfill) {
            context.triggers.backfill(&namespace, &backfill.name_any());
        }
    }
}

/// A run concerns itself, its Flow, the backfills that its tick is part of, and its cluster, which gives it its place
/// and may wait for its end.
pub fn run(context: &Context, change: Change<&FlowRun>) {
    let Change::Of(run) = change else { return everything(context) };
    let (namespace, name) = key(run);
    context.triggers.run(&namespace, &name);
    context.triggers.flow(&namespace, &run.spec.flow);
    if is_run_now(run) {
        context.triggers.flow_now(&namespace, &run.spec.flow);
    }
    for backfill in context.stores.by.backfills_by_flow.of(&namespace, &run.spec.flow) {
        if is_concerned(&backfill, run) {
            context.triggers.backfill(&namespace, &backfill.name_any());
        }
    }
    if phase_of(run) == Phase::Queued {
        wake_those_that_give_way(context, &namespace, run);
    }
    if let Some(cluster) = run.status.as_ref().and_then(|status| status.cluster.as_deref()) {
        if is_run_now(run) {
            context.triggers.cluster_now(&namespace, cluster);
        } else {
            context.triggers.cluster(&namespace, cluster);
        }
    }
}

/// A run that waits may take the place of its siblings.
fn wake_those_that_give_way(context: &Context, namespace: &str, run: &FlowRun) {
    let flow = context.stores.flows.get(&ObjectRef::new(&run.spec.flow).within(namespace));
    let newest_only =
        |flow: Arc<Flow>| matches!(flow.spec.concurrency, Concurrency::Forbid | Concurrency::Replace);
    if !flow.is_some_and(newest_only) {
        return;
    }
    wake_unfinished(context, namespace, &context.stores.by.runs_by_flow.of(namespace, &run.spec.flow));
}

/// A backfill concerns itself, and its Flow, which forgets runs once the backfill has ended.
pub fn backfill(context: &Context, change: Change<&FlowBackfill>) {
    let Change::Of(backfill) = change else { return everything(context) };
    let (namespace, name) = key(backfill);
    context.triggers.backfill(&namespace, &name);
    if !is_unfinished(backfill) || context.stores.backfills.get(&ObjectRef::from_obj(backfill)).is_none() {
        context.triggers.flow(&namespace, &backfill.spec.flow);
    }
}

/// A Job concerns its run.
pub fn job(context: &Context, change: Change<&Job>) {
    let Change::Of(job) = change else { return everything(context) };
    wake_run(context, job);
}

/// A pod concerns its run or its cluster.
pub fn pod(context: &Context, change: Change<&Pod>) {
    let Change::Of(pod) = change else { return everything(context) };
    wake_run(context, pod);
    wake_cluster(context, pod);
    let Some(namespace) = &pod.metadata.namespace else { return };
    // The end of a runner frees its place, of its Flow and of its cluster; its run may be gone, and cannot say which.
    if let Some(flow) = pod.labels().get(labels::FLOW) {
        context.triggers.flow(namespace, flow);
    }
    if let Some(run) = pod.labels().get(labels::RUN) {
        for cluster in context.stores.by.clusters_by_run.of(namespace, run) {
            context.triggers.cluster(namespace, &cluster.name_any());
        }
    }
    // A scheduler that is started anew has lost what runs had on it.
    if let Some(cluster) = pod.labels().get(labels::CLUSTER_NAME)
        && state::is_component(pod, labels::SCHEDULER)
    {
        wake_runs_on(context, namespace, cluster);
    }
}

fn wake_runs_on(context: &Context, namespace: &str, cluster: &str) {
    wake_unfinished(context, namespace, &context.stores.by.runs_by_cluster.of(namespace, cluster));
}

fn wake_unfinished(context: &Context, namespace: &str, runs: &[Arc<FlowRun>]) {
    for run in runs.iter().filter(|run| !phase_of(run).is_final()) {
        context.triggers.run(namespace, &run.name_any());
    }
}

/// A Service concerns its cluster.
pub fn service(context: &Context, change: Change<&Service>) {
    let Change::Of(service) = change else { return everything(context) };
    wake_cluster(context, service);
}

/// A NetworkPolicy concerns its cluster.
pub fn network_policy(context: &Context, change: Change<&NetworkPolicy>) {
    let Change::Of(policy) = change else { return everything(context) };
    wake_cluster(context, policy);
}

/// Code concerns nobody by itself.
pub fn code(context: &Context, change: Change<&PartialObjectMeta<ConfigMap>>) {
    if let Change::Everything = change {
        everything(context);
    }
}

fn wake_run(context: &Context, object: &impl Resource) {
    let namespace = object.meta().namespace.as_deref().unwrap_or_default();
    if let Some(run) = object.meta().labels.as_ref().and_then(|all| all.get(labels::RUN)) {
        context.triggers.run(namespace, run);
    }
}

/// Wakes the cluster whose label an object has, and the one that owns it: somebody may have taken the label away.
fn wake_cluster(context: &Context, object: &impl Resource) {
    let namespace = object.meta().namespace.as_deref().unwrap_or_default();
    let labelled = object.meta().labels.as_ref().and_then(|all| all.get(labels::CLUSTER_NAME));
    if let Some(cluster) = labelled {
        context.triggers.cluster(namespace, cluster);
    }
    let owners = object.meta().owner_references.iter().flatten();
    for owner in owners.filter(|owner| owner.kind == DaskCluster::kind(&()) && Some(&owner.name) != labelled)
    {
        context.triggers.cluster(namespace, &owner.name);
    }
}

/// Everything there is wakes itself.
pub fn everything(context: &Context) {
    let stores = &context.stores;
    stores
        .clusters
        .all()
        .iter()
        .for_each(|object| wake(object.as_ref(), |ns, name| context.triggers.cluster(ns, name)));
    stores
        .flows
        .all()
        .iter()
        .for_each(|object| wake(object.as_ref(), |ns, name| context.triggers.flow(ns, name)));
    stores
        .runs
        .all()
        .iter()
        .for_each(|object| wake(object.as_ref(), |ns, name| context.triggers.run(ns, name)));
    stores
        .backfills
        .all()
        .iter()
        .for_each(|object| wake(object.as_ref(), |ns, name| context.triggers.backfill(ns, name)));
}

fn wake(object: &impl ResourceExt, send: impl Fn(&str, &str)) {
    send(&object.namespace().unwrap_or_default(), &object.name_any());
}

fn key(object: &impl ResourceExt) -> (String, String) {
    (object.namespace().unwrap_or_default(), object.name_any())
}
