//! Who is woken by a change.

use std::fmt::Debug;
use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::caches::{Cached, Stores, Ticket};
use super::schedulers::Schedulers;
use super::undecodable::condense;
use super::wakes::{Triggers, WakeTheirs};
use crate::api::flow::Concurrency;
use crate::api::kind::Visit;
use crate::api::{DaskCluster, Flow, FlowBackfill, FlowRun, Kind, Ours, Phase, labels};
use crate::plan::backfill::{is_concerned, is_unfinished};
use crate::plan::compat::adapter::TheirKind;
use crate::plan::facts::{is_run_now, phase_of};
use crate::plan::objects::cluster_of;
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

/// A kind whose changes wake somebody. Of a kind that comes later, the implementation is beside the one that
/// observes it.
pub(super) trait Watched:
    Cached + Resource<Scope = NamespaceResourceScope> + Debug + DeserializeOwned + Send + Sync
{
    /// Wakes whoever is concerned by an object that was created, changed or deleted.
    fn changed(routes: &Routes, object: &Self);

    /// The cache was filled anew: anything may have changed.
    fn listed(routes: &Routes) {
        everything(routes);
    }
}

/// Takes the answer to a write into the cache, and wakes whoever it concerns: the next look rests on it, and
/// not on what was before, which would be a conflict with oneself. The fields of its writers are left out, as
/// of what a watch tells: they are half of an object's memory.
pub(super) fn written<K: Watched>(routes: &Routes, ticket: Ticket, mut object: K) {
    condense(&mut object);
    if K::kept(&routes.stores).take_written(ticket, object.clone()) {
        K::changed(routes, &object);
    }
}

impl Watched for DaskCluster {
    /// A cluster concerns itself, the Flows that name it, and the unfinished runs on it.
    fn changed(routes: &Routes, cluster: &Self) {
        let (namespace, name) = key(cluster);
        let triggers = &routes.triggers;
        triggers.wake(Kind::DaskCluster, &namespace, &name);
        // One that is made for a cluster of dask-kubernetes has its name.
        triggers.wake_theirs(WakeTheirs::Cluster(namespace.clone(), name.clone()));
        if !exists(routes, &namespace, &name) {
            routes.schedulers.forget(&namespace, &name);
        }
        for flow in routes.stores.by.flows_by_cluster.of(&namespace, &name) {
            triggers.wake(Kind::Flow, &namespace, &flow.name_any());
        }
        let owners = cluster.owner_references().iter();
        for owner in owners.filter(|owner| Kind::of_owner(owner) == Some(Kind::FlowRun)) {
            triggers.wake(Kind::FlowRun, &namespace, &owner.name);
        }
        wake_runs_on(routes, &namespace, &name);
    }

    fn listed(routes: &Routes) {
        routes.schedulers.forget_unless(|namespace, name| exists(routes, namespace, name));
        everything(routes);
    }
}

fn exists(routes: &Routes, namespace: &str, cluster: &str) -> bool {
    routes.stores.clusters.get(&ObjectRef::new(cluster).within(namespace)).is_some()
}

impl Watched for Flow {
    /// A Flow concerns itself, its unfinished runs and its unfinished backfills.
    fn changed(routes: &Routes, flow: &Self) {
        let (namespace, name) = key(flow);
        routes.triggers.wake(Kind::Flow, &namespace, &name);
        wake_unfinished(routes, &namespace, &routes.stores.by.runs_by_flow.of(&namespace, &name));
        for backfill in routes.stores.by.backfills_by_flow.of(&namespace, &name) {
            if is_unfinished(&backfill) {
                routes.triggers.wake(Kind::FlowBackfill, &namespace, &backfill.name_any());
            }
        }
    }
}

impl Watched for FlowRun {
    /// A run concerns itself, its Flow, the backfills that its tick is part of, and its cluster, which gives
    /// it its place and may wait for its end.
    fn changed(routes: &Routes, run: &Self) {
        let (namespace, name) = key(run);
        routes.triggers.wake(Kind::FlowRun, &namespace, &name);
        routes.triggers.wake(Kind::Flow, &namespace, &run.spec.flow);
        if is_run_now(run) {
            routes.triggers.wake_now(Kind::Flow, &namespace, &run.spec.flow);
        }
        for backfill in routes.stores.by.backfills_by_flow.of(&namespace, &run.spec.flow) {
            if is_concerned(&backfill, run) {
                routes.triggers.wake(Kind::FlowBackfill, &namespace, &backfill.name_any());
            }
        }
        if phase_of(run) == Phase::Queued {
            wake_those_that_give_way(routes, &namespace, run);
        }
        if let Some(cluster) = run.status.as_ref().and_then(|status| status.cluster.as_deref()) {
            if is_run_now(run) {
                routes.triggers.wake_now(Kind::DaskCluster, &namespace, cluster);
            } else {
                routes.triggers.wake(Kind::DaskCluster, &namespace, cluster);
            }
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

impl Watched for FlowBackfill {
    /// A backfill concerns itself, and its Flow, which forgets runs once the backfill has ended.
    fn changed(routes: &Routes, backfill: &Self) {
        let (namespace, name) = key(backfill);
        routes.triggers.wake(Kind::FlowBackfill, &namespace, &name);
        if !is_unfinished(backfill) || routes.stores.backfills.get(&ObjectRef::from_obj(backfill)).is_none() {
            routes.triggers.wake(Kind::Flow, &namespace, &backfill.spec.flow);
        }
    }
}

impl Watched for Job {
    /// A Job concerns its run.
    fn changed(routes: &Routes, job: &Self) {
        wake_run(routes, job);
    }
}

impl Watched for Pod {
    /// A pod concerns its run or its cluster.
    fn changed(routes: &Routes, pod: &Self) {
        wake_run(routes, pod);
        wake_cluster(routes, pod);
        let Some(namespace) = &pod.metadata.namespace else { return };
        for owner in pod.owner_references() {
            if TheirKind::of_owner(owner) == Some(TheirKind::Job) {
                routes.triggers.wake_theirs(WakeTheirs::Job(namespace.clone(), owner.name.clone()));
            }
        }
        // Where its cluster is made for one of dask-kubernetes, that shows which pods there are, and its
        // clients wait for the first scheduler.
        if let Some(cluster) = cluster_of(&pod.metadata) {
            routes.triggers.wake_theirs(WakeTheirs::Cluster(namespace.clone(), cluster.to_owned()));
        }
        // The end of a runner frees its place, of its Flow and of its cluster; its run may be gone, and
        // cannot say which.
        if let Some(flow) = pod.labels().get(labels::FLOW) {
            routes.triggers.wake(Kind::Flow, namespace, flow);
        }
        if let Some(run) = pod.labels().get(labels::RUN) {
            for cluster in routes.stores.by.clusters_by_run.of(namespace, run) {
                routes.triggers.wake(Kind::DaskCluster, namespace, &cluster.name_any());
            }
        }
        // A scheduler that is started anew has lost what runs had on it.
        if let Some(cluster) = cluster_of(&pod.metadata)
            && state::is_component(pod, labels::SCHEDULER)
        {
            wake_runs_on(routes, namespace, cluster);
        }
    }
}

fn wake_runs_on(routes: &Routes, namespace: &str, cluster: &str) {
    wake_unfinished(routes, namespace, &routes.stores.by.runs_by_cluster.of(namespace, cluster));
}

fn wake_unfinished(routes: &Routes, namespace: &str, runs: &[Arc<FlowRun>]) {
    for run in runs.iter().filter(|run| !phase_of(run).is_final()) {
        routes.triggers.wake(Kind::FlowRun, namespace, &run.name_any());
    }
}

impl Watched for Service {
    /// A Service concerns its cluster, and with it the one of dask-kubernetes that this was made for.
    fn changed(routes: &Routes, service: &Self) {
        wake_cluster(routes, service);
        let namespace = service.metadata.namespace.clone().unwrap_or_default();
        if let Some(cluster) = service.labels().get(labels::CLUSTER_NAME) {
            routes.triggers.wake_theirs(WakeTheirs::Cluster(namespace, cluster.clone()));
        }
    }
}

impl Watched for NetworkPolicy {
    /// A NetworkPolicy concerns its cluster.
    fn changed(routes: &Routes, policy: &Self) {
        wake_cluster(routes, policy);
    }
}

impl Watched for PartialObjectMeta<ConfigMap> {
    /// Code concerns no other object by itself.
    fn changed(_routes: &Routes, _code: &Self) {}
}

fn wake_run(routes: &Routes, object: &impl Resource) {
    let namespace = object.meta().namespace.as_deref().unwrap_or_default();
    if let Some(run) = object.meta().labels.as_ref().and_then(|all| all.get(labels::RUN)) {
        routes.triggers.wake(Kind::FlowRun, namespace, run);
    }
}

/// Wakes the cluster whose label an object has, and the one that owns it: somebody may have taken the label
/// away.
fn wake_cluster(routes: &Routes, object: &impl Resource) {
    let namespace = object.meta().namespace.as_deref().unwrap_or_default();
    let labelled = cluster_of(object.meta());
    if let Some(cluster) = labelled {
        routes.triggers.wake(Kind::DaskCluster, namespace, cluster);
    }
    for owner in object.meta().owner_references.iter().flatten() {
        if Kind::of_owner(owner) == Some(Kind::DaskCluster) && Some(owner.name.as_str()) != labelled {
            routes.triggers.wake(Kind::DaskCluster, namespace, &owner.name);
        }
    }
}

/// Everything there is of our kinds wakes itself, and everything of dask-kubernetes.
pub fn everything(routes: &Routes) {
    Kind::each(&mut Everything(routes));
    routes.triggers.wake_theirs(WakeTheirs::All);
}

struct Everything<'a>(&'a Routes);

impl<K: Ours + Cached> Visit<K> for Everything<'_> {
    fn visit(&mut self) {
        for object in K::kept(&self.0.stores).all() {
            let (namespace, name) = key(object.as_ref());
            self.0.triggers.wake(K::KIND, &namespace, &name);
        }
    }
}

fn key(object: &impl ResourceExt) -> (String, String) {
    (object.namespace().unwrap_or_default(), object.name_any())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::operator::testing::context;

    /// The clusters that are woken by a Service and by a scheduler's pod with this owner.
    fn woken_by(api_version: &str) -> Vec<String> {
        let (context, _server, mut wakes) = context(1);
        let metadata = json!({
            "name": "demo-scheduler", "namespace": "team",
            "labels": {labels::CLUSTER_NAME: "demo", labels::COMPONENT: labels::SCHEDULER},
            "ownerReferences": [{"apiVersion": api_version, "kind": "DaskCluster", "name": "demo", "uid": "u"}],
        });
        let object = json!({"metadata": metadata});
        Service::changed(&context.routes, &serde_json::from_value(object.clone()).unwrap());
        Pod::changed(&context.routes, &serde_json::from_value(object).unwrap());
        std::iter::from_fn(|| wakes.try_recv(Kind::DaskCluster)).map(|wake| wake.key.1.to_string()).collect()
    }

    #[tokio::test]
    async fn what_a_cluster_of_another_group_owns_wakes_none_of_ours() {
        assert_eq!(woken_by("daskflow.dev/v1alpha1"), ["demo", "demo"]);
        assert_eq!(woken_by("kubernetes.dask.org/v1"), [""; 0]);
    }
}
