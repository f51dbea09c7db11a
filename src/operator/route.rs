//! Who is woken by a change.

use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};

use super::caches::{Kept, Stores, Ticket};
use super::schedulers::Schedulers;
use super::undecodable::condense;
use super::wakes::Triggers;
use crate::api::flow::Concurrency;
use crate::api::{DaskCluster, Flow, FlowBackfill, FlowRun, Phase, labels};
use crate::plan::backfill::{is_concerned, is_unfinished};
use crate::plan::facts::{is_run_now, phase_of};
use crate::plan::pods::state;

/// Where a change leads: what there is, and who can be woken.
#[derive(Clone)]
pub struct Routes {
    /// What is cached.
    pub stores: Stores,
    /// The controllers' queues.
    pub triggers: Triggers,
    /// Connections to Dask schedulers, which end with their clusters.
    pub(super) schedulers: Arc<Schedulers>,
}

/// What changed.
#[derive(Clone, Copy, Debug)]
pub enum Change<T> {
    /// This object was created, changed or deleted.
    Of(T),
    /// A cache was filled anew: anything may have.
    Everything,
}

/// A kind of which a cache knows what is written here before its watch tells it.
pub(super) trait Cached: Resource<DynamicType = ()> + Clone + 'static {
    /// Its cache.
    fn kept(stores: &Stores) -> &Kept<Self>;
    /// Wakes whoever a change concerns.
    fn wake(routes: &Routes, change: Change<&Self>);
}

macro_rules! cached {
    ($($kind:ty, $kept:ident, $wake:ident;)*) => {$(
        impl Cached for $kind {
            fn kept(stores: &Stores) -> &Kept<Self> {
                &stores.$kept
            }

            fn wake(routes: &Routes, change: Change<&Self>) {
                $wake(routes, change);
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

/// Takes the answer to a write into the cache, and wakes whoever it concerns: the next look rests on it, and
/// not on what was before, which would be a conflict with oneself. The fields of its writers are left out, as
/// of what a watch tells: they are half of an object's memory.
pub(super) fn written<K: Cached>(routes: &Routes, ticket: Ticket, mut object: K) {
    condense(object.meta_mut(), &K::kind(&()));
    if K::kept(&routes.stores).take_written(ticket, object.clone()) {
        K::wake(routes, Change::Of(&object));
    }
}

/// A cluster concerns itself, the Flows that name it, and the unfinished runs on it.
pub fn cluster(routes: &Routes, change: Change<&DaskCluster>) {
    let exists = |namespace: &str, name: &str| {
        routes.stores.clusters.get(&ObjectRef::new(name).within(namespace)).is_some()
    };
    let Change::Of(cluster) = change else {
        routes.schedulers.forget_unless(exists);
        return everything(routes);
    };
    let (namespace, name) = key(cluster);
    let triggers = &routes.triggers;
    triggers.cluster(&namespace, &name);
    if !exists(&namespace, &name) {
        routes.schedulers.forget(&namespace, &name);
    }
    for flow in routes.stores.by.flows_by_cluster.of(&namespace, &name) {
        triggers.flow(&namespace, &flow.name_any());
    }
    for owner in cluster.owner_references().iter().filter(|owner| owner.kind == FlowRun::kind(&())) {
        triggers.run(&namespace, &owner.name);
    }
    wake_runs_on(routes, &namespace, &name);
}

/// A Flow concerns itself, its unfinished runs and its unfinished backfills.
pub fn flow(routes: &Routes, change: Change<&Flow>) {
    let Change::Of(flow) = change else { return everything(routes) };
    let (namespace, name) = key(flow);
    routes.triggers.flow(&namespace, &name);
    wake_unfinished(routes, &namespace, &routes.stores.by.runs_by_flow.of(&namespace, &name));
    for backfill in routes.stores.by.backfills_by_flow.of(&namespace, &name) {
        if is_unfinished(&backfill) {
            routes.triggers.backfill(&namespace, &backfill.name_any());
        }
    }
}

/// A run concerns itself, its Flow, the backfills that its tick is part of, and its cluster, which gives it
/// its place and may wait for its end.
pub fn run(routes: &Routes, change: Change<&FlowRun>) {
    let Change::Of(run) = change else { return everything(routes) };
    let (namespace, name) = key(run);
    routes.triggers.run(&namespace, &name);
    routes.triggers.flow(&namespace, &run.spec.flow);
    if is_run_now(run) {
        routes.triggers.flow_now(&namespace, &run.spec.flow);
    }
    for backfill in routes.stores.by.backfills_by_flow.of(&namespace, &run.spec.flow) {
        if is_concerned(&backfill, run) {
            routes.triggers.backfill(&namespace, &backfill.name_any());
        }
    }
    if phase_of(run) == Phase::Queued {
        wake_those_that_give_way(routes, &namespace, run);
    }
    if let Some(cluster) = run.status.as_ref().and_then(|status| status.cluster.as_deref()) {
        if is_run_now(run) {
            routes.triggers.cluster_now(&namespace, cluster);
        } else {
            routes.triggers.cluster(&namespace, cluster);
        }
    }
}

/// A run that waits may take the place of its siblings.
fn wake_those_that_give_way(routes: &Routes, namespace: &str, run: &FlowRun) {
    let flow = routes.stores.flows.get(&ObjectRef::new(&run.spec.flow).within(namespace));
    let newest_only =
        |flow: Arc<Flow>| matches!(flow.spec.concurrency, Concurrency::Forbid | Concurrency::Replace);
    if !flow.is_some_and(newest_only) {
        return;
    }
    wake_unfinished(routes, namespace, &routes.stores.by.runs_by_flow.of(namespace, &run.spec.flow));
}

/// A backfill concerns itself, and its Flow, which forgets runs once the backfill has ended.
pub fn backfill(routes: &Routes, change: Change<&FlowBackfill>) {
    let Change::Of(backfill) = change else { return everything(routes) };
    let (namespace, name) = key(backfill);
    routes.triggers.backfill(&namespace, &name);
    if !is_unfinished(backfill) || routes.stores.backfills.get(&ObjectRef::from_obj(backfill)).is_none() {
        routes.triggers.flow(&namespace, &backfill.spec.flow);
    }
}

/// A Job concerns its run.
pub fn job(routes: &Routes, change: Change<&Job>) {
    let Change::Of(job) = change else { return everything(routes) };
    wake_run(routes, job);
}

/// A pod concerns its run or its cluster.
pub fn pod(routes: &Routes, change: Change<&Pod>) {
    let Change::Of(pod) = change else { return everything(routes) };
    wake_run(routes, pod);
    wake_cluster(routes, pod);
    let Some(namespace) = &pod.metadata.namespace else { return };
    // The end of a runner frees its place, of its Flow and of its cluster; its run may be gone, and cannot
    // say which.
    if let Some(flow) = pod.labels().get(labels::FLOW) {
        routes.triggers.flow(namespace, flow);
    }
    if let Some(run) = pod.labels().get(labels::RUN) {
        for cluster in routes.stores.by.clusters_by_run.of(namespace, run) {
            routes.triggers.cluster(namespace, &cluster.name_any());
        }
    }
    // A scheduler that is started anew has lost what runs had on it.
    if let Some(cluster) = pod.labels().get(labels::CLUSTER_NAME)
        && state::is_component(pod, labels::SCHEDULER)
    {
        wake_runs_on(routes, namespace, cluster);
    }
}

fn wake_runs_on(routes: &Routes, namespace: &str, cluster: &str) {
    wake_unfinished(routes, namespace, &routes.stores.by.runs_by_cluster.of(namespace, cluster));
}

fn wake_unfinished(routes: &Routes, namespace: &str, runs: &[Arc<FlowRun>]) {
    for run in runs.iter().filter(|run| !phase_of(run).is_final()) {
        routes.triggers.run(namespace, &run.name_any());
    }
}

/// A Service concerns its cluster.
pub fn service(routes: &Routes, change: Change<&Service>) {
    let Change::Of(service) = change else { return everything(routes) };
    wake_cluster(routes, service);
}

/// A NetworkPolicy concerns its cluster.
pub fn network_policy(routes: &Routes, change: Change<&NetworkPolicy>) {
    let Change::Of(policy) = change else { return everything(routes) };
    wake_cluster(routes, policy);
}

/// Code concerns nobody by itself.
pub fn code(routes: &Routes, change: Change<&PartialObjectMeta<ConfigMap>>) {
    if let Change::Everything = change {
        everything(routes);
    }
}

fn wake_run(routes: &Routes, object: &impl Resource) {
    let namespace = object.meta().namespace.as_deref().unwrap_or_default();
    if let Some(run) = object.meta().labels.as_ref().and_then(|all| all.get(labels::RUN)) {
        routes.triggers.run(namespace, run);
    }
}

/// Wakes the cluster whose label an object has, and the one that owns it: somebody may have taken the label
/// away.
fn wake_cluster(routes: &Routes, object: &impl Resource) {
    let namespace = object.meta().namespace.as_deref().unwrap_or_default();
    let labelled = object.meta().labels.as_ref().and_then(|all| all.get(labels::CLUSTER_NAME));
    if let Some(cluster) = labelled {
        routes.triggers.cluster(namespace, cluster);
    }
    let owners = object.meta().owner_references.iter().flatten();
    for owner in owners.filter(|owner| owner.kind == DaskCluster::kind(&()) && Some(&owner.name) != labelled)
    {
        routes.triggers.cluster(namespace, &owner.name);
    }
}

/// Everything there is wakes itself.
pub fn everything(routes: &Routes) {
    let stores = &routes.stores;
    stores
        .clusters
        .all()
        .iter()
        .for_each(|object| wake(object.as_ref(), |ns, name| routes.triggers.cluster(ns, name)));
    stores
        .flows
        .all()
        .iter()
        .for_each(|object| wake(object.as_ref(), |ns, name| routes.triggers.flow(ns, name)));
    stores
        .runs
        .all()
        .iter()
        .for_each(|object| wake(object.as_ref(), |ns, name| routes.triggers.run(ns, name)));
    stores
        .backfills
        .all()
        .iter()
        .for_each(|object| wake(object.as_ref(), |ns, name| routes.triggers.backfill(ns, name)));
}

fn wake(object: &impl ResourceExt, send: impl Fn(&str, &str)) {
    send(&object.namespace().unwrap_or_default(), &object.name_any());
}

fn key(object: &impl ResourceExt) -> (String, String) {
    (object.namespace().unwrap_or_default(), object.name_any())
}
