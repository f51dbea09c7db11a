//! Observes a `DaskCluster`.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use kube::runtime::reflector::ObjectRef;

use super::clock;
use super::context::Context;
use super::failure::{Error, chain};
use super::flow::runs_at_work;
use super::reconcile::Planned;
use crate::api::{DaskCluster, DaskClusterStatus, FlowRun, Reason, labels};
use crate::plan::cluster::{self, Observed, SchedulerView};
use crate::plan::conditions::{Failure, failing, held, told};
use crate::plan::pods::{scheduler, state};
use crate::plan::run::phase_of;
use crate::plan::{Plan, names};

impl Planned for DaskCluster {
    type Status = DaskClusterStatus;
    const KIND: &'static str = "DaskCluster";

    fn status(&self) -> Option<&Self::Status> {
        self.status.as_ref()
    }

    async fn plan(&self, context: &Context, live: bool, now: Timestamp) -> Result<Plan<Self::Status>, Error> {
        let observed = observe(context, self, live).await?;
        Ok(cluster::plan(self, &observed, now))
    }

    fn told(&self, reason: Reason) -> Option<&str> {
        told(&self.status.as_ref()?.conditions, self.metadata.generation, reason)
    }

    fn hold(&self, status: &mut Self::Status, message: &str, now: Timestamp) {
        let old = self.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
        let planned = std::mem::take(&mut status.conditions);
        status.conditions = held(old, planned, message, now);
    }

    fn failing(&self, planned: Option<Self::Status>, failure: &Failure, now: Timestamp) -> Self::Status {
        // What was observed is so, whatever became of the steps.
        let status = planned.or_else(|| self.status.clone()).unwrap_or_default();
        let old = self.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
        let conditions = failing((old, &status.conditions), self.metadata.generation, now, failure);
        DaskClusterStatus { conditions, observed_generation: self.metadata.generation, ..status }
    }
}

async fn observe(context: &Context, cluster: &DaskCluster, live: bool) -> Result<Observed, Error> {
    let (namespace, name) = (cluster.namespace().unwrap_or_default(), cluster.name_any());
    let service = ObjectRef::new(&names::scheduler_name(&name)).within(&namespace);
    let mut pods = if live {
        live_pods(context, &namespace, &name).await?
    } else {
        cached_pods(context, &namespace, &name)
    };
    // Pods of an earlier cluster of the same name are on their way out.
    pods.retain(|pod| {
        pod.owner_references().iter().any(|owner| Some(&owner.uid) == cluster.metadata.uid.as_ref())
    });
    let mut scheduler = follow(context, cluster, &pods);
    if live && scheduler.registered().is_some() {
        scheduler = ask(context, &namespace, &name).await;
    }
    let surplus = scheduler
        .registered()
        .map_or(0, |workers| workers.len().saturating_sub(cluster.spec.workers.fixed_size()));
    let closable =
        if live && surplus > 0 { closable(context, &namespace, &name, surplus).await } else { None };
    Ok(Observed {
        service: context.stores.services.get(&service),
        live,
        scheduler,
        closable,
        runs: runs_on(context, &namespace, &name),
        runners: runners(context, cluster, &namespace),
        seed: clock::seed(),
        pods,
        ..Observed::default()
    })
}

/// The runs on a cluster that have not ended.
fn runs_on(context: &Context, namespace: &str, cluster: &str) -> Vec<Arc<FlowRun>> {
    let on_it = |run: &Arc<FlowRun>| {
        run.metadata.namespace.as_deref() == Some(namespace)
            && run.status.as_ref().and_then(|status| status.cluster.as_deref()) == Some(cluster)
            && !phase_of(run).is_final()
    };
    context.stores.runs.state().into_iter().filter(on_it).collect()
}

/// Of the runs that hold a place, those whose runner's pod has not ended.
fn runners(context: &Context, cluster: &DaskCluster, namespace: &str) -> BTreeSet<String> {
    let admitted = cluster.status.as_ref().map(|status| status.admitted.as_slice()).unwrap_or_default();
    if admitted.is_empty() {
        return BTreeSet::new();
    }
    runs_at_work(context, namespace, |_| true).into_iter().filter(|run| admitted.contains(run)).collect()
}

fn cached_pods(context: &Context, namespace: &str, cluster: &str) -> Vec<Arc<Pod>> {
    let of_cluster = |pod: &Arc<Pod>| {
        pod.metadata.namespace.as_deref() == Some(namespace)
            && state::label(pod, labels::CLUSTER_NAME) == Some(cluster)
    };
    context.stores.pods.state().into_iter().filter(of_cluster).collect()
}

async fn live_pods(context: &Context, namespace: &str, cluster: &str) -> Result<Vec<Arc<Pod>>, Error> {
    let api: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
    let selector = format!("{}={cluster},{}={}", labels::CLUSTER_NAME, labels::APP_MANAGED_BY, labels::APP);
    let list = api.list(&ListParams::default().labels(&selector)).await?;
    Ok(list.items.into_iter().map(Arc::new).collect())
}

/// Follows the scheduler once its container runs.
fn follow(context: &Context, cluster: &DaskCluster, pods: &[Arc<Pod>]) -> SchedulerView {
    let (namespace, name) = (cluster.namespace().unwrap_or_default(), cluster.name_any());
    let running = pods.iter().find(|pod| {
        state::is_component(pod, labels::SCHEDULER)
            && state::life(pod) == state::PodLife::Alive
            && state::runs(pod, scheduler::CONTAINER)
    });
    match running.and_then(|pod| Some((pod.metadata.uid.as_deref()?, state::ip(pod)?))) {
        Some(pod) if cluster.metadata.deletion_timestamp.is_none() => {
            context.schedulers.follow(&namespace, &name, pod)
        }
        _ => {
            context.schedulers.forget(&namespace, &name);
            SchedulerView::Unknown
        }
    }
}

/// Asks the scheduler itself for its workers, before a pod is deleted as one that it does not know: a subscription
/// may have been taken over unseen.
async fn ask(context: &Context, namespace: &str, cluster: &str) -> SchedulerView {
    let answer = async { context.schedulers.connect(namespace, cluster).await?.identity().await };
    match answer.await {
        Ok(identity) => SchedulerView::Answering {
            workers: identity.workers.values().map(|worker| worker.name.to_string()).collect(),
        },
        Err(error) => SchedulerView::Unreachable(chain(&error)),
    }
}

/// The workers that the scheduler would close first. A scheduler that does not answer leaves the size as it is.
async fn closable(context: &Context, namespace: &str, cluster: &str, surplus: usize) -> Option<Vec<String>> {
    let ask = async {
        let mut scheduler = context.schedulers.connect(namespace, cluster).await?;
        scheduler.workers_to_close(u64::try_from(surplus).unwrap_or(u64::MAX)).await
    };
    match ask.await {
        Ok(names) => Some(names.iter().map(ToString::to_string).collect()),
        Err(error) => {
            tracing::warn!(
                namespace,
                cluster,
                error = &error as &dyn std::error::Error,
                "the scheduler did not say which workers may go"
            );
            None
        }
    }
}
