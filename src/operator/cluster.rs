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
use super::failure::Error;
use super::flow::runs_at_work;
use super::reconcile::Planned;
use super::schedulers::{Look, look};
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
        context.cluster_pods.of(&namespace, &name)
    };
    // Pods of an earlier cluster of the same name are on their way out.
    pods.retain(|pod| {
        pod.owner_references().iter().any(|owner| Some(&owner.uid) == cluster.metadata.uid.as_ref())
    });
    let followed = follow(context, cluster, &pods);
    let questions = cluster::questions(cluster, &pods);
    let load = context.schedulers.poll(&namespace, &name, questions.as_ref());
    let look = match context.schedulers.line(&namespace, &name) {
        // Nobody asks a scheduler that is not there yet, or not any more.
        Some(kept) if live && followed.registered().is_some() => {
            let look = look(&kept, cluster::asks_who_is_busy(cluster)).await;
            context.schedulers.hang_up_if_idle(&namespace, &name);
            look
        }
        _ => Look { view: followed, ..Look::default() },
    };
    let (runs, last_run_end) = runs_on(context, cluster, live).await?;
    Ok(Observed {
        service: context.stores.services.get(&service),
        live,
        scheduler: look.view,
        closable: look.closing_order,
        closing: look.closing,
        busy: look.busy,
        load,
        runs,
        last_run_end,
        runners: runners(context, cluster, &namespace),
        seed: clock::seed(),
        pods,
    })
}

/// The runs on a cluster that have not ended, and when the last of the others ended. A run that is starting must not find its
/// cluster put to rest, so before that they are listed live.
async fn runs_on(
    context: &Context,
    cluster: &DaskCluster,
    live: bool,
) -> Result<(Vec<Arc<FlowRun>>, Option<Timestamp>), Error> {
    let (namespace, name) = (cluster.namespace().unwrap_or_default(), cluster.name_any());
    let all = if live && cluster.spec.idle.is_some() {
        let api: Api<FlowRun> = Api::namespaced(context.client.clone(), &namespace);
        api.list(&ListParams::default()).await?.items.into_iter().map(Arc::new).collect()
    } else {
        context.stores.runs.state()
    };
    Ok(split_runs(all, &namespace, &name))
}

/// Of all runs, the ones on a cluster that have not ended, and when the last of its others ended.
fn split_runs(
    mut runs: Vec<Arc<FlowRun>>,
    namespace: &str,
    cluster: &str,
) -> (Vec<Arc<FlowRun>>, Option<Timestamp>) {
    runs.retain(|run| {
        run.metadata.namespace.as_deref() == Some(namespace)
            && run.status.as_ref().and_then(|status| status.cluster.as_deref()) == Some(cluster)
    });
    let (ended, going): (Vec<_>, Vec<_>) = runs.into_iter().partition(|run| phase_of(run).is_final());
    let ends = ended.iter().filter_map(|run| run.status.as_ref()?.finished_at.as_ref().map(|time| time.0));
    (going, ends.max())
}

/// Of the runs that hold a place, those whose runner's pod has not ended.
fn runners(context: &Context, cluster: &DaskCluster, namespace: &str) -> BTreeSet<String> {
    let admitted = cluster.status.as_ref().map(|status| status.admitted.as_slice()).unwrap_or_default();
    if admitted.is_empty() {
        return BTreeSet::new();
    }
    runs_at_work(context, namespace, |_| true).into_iter().filter(|run| admitted.contains(run)).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run(name: &str, namespace: &str, status: serde_json::Value) -> Arc<FlowRun> {
        let mut run = FlowRun::new(name, serde_json::from_value(json!({"flow": "f"})).unwrap());
        run.metadata.namespace = Some(namespace.to_owned());
        run.status = Some(serde_json::from_value(status).unwrap());
        Arc::new(run)
    }

    #[test]
    fn the_last_end_is_that_of_a_finished_run_on_this_cluster() {
        let ended =
            |cluster: &str, at: &str| json!({"phase": "Failed", "cluster": cluster, "finishedAt": at});
        let runs = vec![
            run("early", "a", ended("demo", "2026-01-01T00:00:00Z")),
            run("late", "a", ended("demo", "2026-01-02T00:00:00Z")),
            run("elsewhere", "a", ended("other", "2026-01-03T00:00:00Z")),
            run("far", "b", ended("demo", "2026-01-04T00:00:00Z")),
            run("going", "a", json!({"phase": "Running", "cluster": "demo"})),
        ];
        let (going, last_end) = split_runs(runs, "a", "demo");
        assert_eq!(going.iter().map(|run| run.name_any()).collect::<Vec<_>>(), ["going"]);
        assert_eq!(last_end, Some("2026-01-02T00:00:00Z".parse().unwrap()));
    }
}
