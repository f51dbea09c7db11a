//! Observes a `DaskCluster`.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use kube::runtime::reflector::ObjectRef;

use super::flow::{live_runners, runs_at_work};
use crate::api::dask_cluster::Refusal;
use crate::api::{DaskCluster, FlowRun, Kind, labels};
use crate::operator::caches::list_live;
use crate::operator::context::Context;
use crate::operator::failure::Error;
use crate::operator::reconcile::Planned;
use crate::operator::schedulers::{Asks, Look, Membership, look};
use crate::plan::cluster::load::Questions;
use crate::plan::cluster::{self, Load, Observed, Retirements, SchedulerView};
use crate::plan::facts::is_run_now;
use crate::plan::pods::mounts::Certificate;
use crate::plan::pods::{is_of_theirs, scheduler, state};
use crate::plan::{Plan, Wants, names};

impl Planned for DaskCluster {
    async fn plan(
        &self,
        context: &Context,
        known: Wants,
        now: Timestamp,
    ) -> Result<Plan<Self::Status>, Error> {
        let observed = observe(context, self, known).await?;
        let plan = cluster::plan(self, &observed, now);
        if !known.covers(Wants::PODS) && plan.wants.without(known).is_nothing() {
            // No live look comes after it, so what the caches show is followed.
            follow_and_poll(context, self, &observed);
        }
        Ok(plan)
    }

    fn is_urgent(&self, context: &Context) -> bool {
        // That of a run which somebody made by hand.
        let namespace = self.metadata.namespace.as_deref().unwrap_or_default();
        let owners = self.owner_references().iter();
        owners
            .filter(|owner| Kind::of_owner(owner) == Some(Kind::FlowRun))
            .filter_map(|owner| context.stores.runs.get(&ObjectRef::new(&owner.name).within(namespace)))
            .any(|run| is_run_now(&run))
    }

    fn lacks_room(&self) -> bool {
        self.status.as_ref().is_some_and(|status| status.refusal == Some(Refusal::Quota))
    }

    fn gone(context: &Context, namespace: &str, name: &str) {
        context.schedulers.forget(namespace, name);
        context.certificates.forget(namespace, name);
    }
}

async fn observe(context: &Context, cluster: &DaskCluster, known: Wants) -> Result<Observed, Error> {
    let (namespace, name) = (cluster.namespace().unwrap_or_default(), cluster.name_any());
    let service = ObjectRef::new(&names::scheduler_name(&name)).within(&namespace);
    let policy = ObjectRef::new(&names::network_policy_name(&name)).within(&namespace);
    let mut pods = if known.covers(Wants::PODS) {
        live_pods(context, &namespace, &name).await?
    } else {
        context.stores.by.pods_by_cluster.of(&namespace, &name)
    };
    // Pods of an earlier cluster of the same name are on their way out.
    pods.retain(|pod| {
        pod.owner_references().iter().any(|owner| Some(&owner.uid) == cluster.metadata.uid.as_ref())
    });
    let tls = context.certificates.view(cluster, known.covers(Wants::SECRETS), context.clock.now()).await?;
    let questions = cluster::questions(cluster, &pods, &tls);
    let Heard { view, mut load, is_followed } = if known.covers(Wants::PODS) {
        let view = follow(context, cluster, &pods);
        let load = context.schedulers.poll(&namespace, &name, questions.as_ref());
        Heard { view, load, is_followed: true }
    } else {
        heard(context, cluster, &pods, questions.as_ref())
    };
    let began = context.clock.now();
    let look = match context.schedulers.line(&namespace, &name) {
        // Nobody asks a scheduler that is not there yet, or not any more.
        Some(kept) if known.covers(Wants::WORKERS) && view.registered().is_some() => {
            let asks = Asks { busy: known.covers(Wants::BUSY), activity: known.covers(Wants::ACTIVITY) };
            let look = look(&kept, asks, (&namespace, &name)).await;
            context.schedulers.hang_up_if_idle(&namespace, &name);
            look
        }
        _ => Look { view, ..Look::default() },
    };
    if let Some(registered) = look.view.registered().filter(|_| known.covers(Wants::WORKERS)) {
        context.schedulers.see((&namespace, &name), &pods, registered, began);
    }
    if let Some(answer) = look.activity {
        let memory = questions.map(|questions| questions.memory).unwrap_or_default();
        load.renew(answer, context.clock.now(), memory);
    }
    let (runs, last_run_end) = runs_on(context, cluster, known).await?;
    let runners = runners(context, cluster, &namespace);
    let retirements =
        if is_followed { context.schedulers.retirements(&namespace, &name) } else { Retirements::default() };
    Ok(Observed {
        site: context.sites.of(Some((&namespace, &name))),
        service: context.stores.services.get(&service),
        network_policy: context.stores.network_policies.get(&policy),
        known,
        scheduler: look.view,
        closable: look.closing_order,
        closing: look.closing,
        retirements,
        busy: look.busy,
        closes: look.closes,
        load,
        runs,
        last_run_end,
        found: found(context, cluster, &namespace, &runners).await?,
        runners,
        tls,
        seed: context.chance.seed(),
        pods,
    })
}

/// The runs on a cluster that have not ended, and when the last of the others ended.
async fn runs_on(
    context: &Context,
    cluster: &DaskCluster,
    known: Wants,
) -> Result<(Vec<Arc<FlowRun>>, Option<Timestamp>), Error> {
    let namespace = cluster.namespace().unwrap_or_default();
    let all = if known.covers(Wants::RUNS) {
        list_live(&context.client, &namespace, &ListParams::default(), &context.stores.runs.store()).await?
    } else {
        context.stores.by.runs_by_cluster.of(&namespace, &cluster.name_any())
    };
    Ok(cluster::on_cluster(all, cluster))
}

/// The runs that hold a place.
fn admitted(cluster: &DaskCluster) -> &[String] {
    cluster.status.as_ref().map(|status| status.admitted.as_slice()).unwrap_or_default()
}

/// Of the runs that hold a place, those whose runner's pod has not ended.
fn runners(context: &Context, cluster: &DaskCluster, namespace: &str) -> BTreeSet<String> {
    let pods = admitted(cluster).iter().flat_map(|run| context.stores.by.pods_by_run.of(namespace, run));
    runs_at_work(pods)
}

/// Of the runs that hold a place, those that are gone, and whose runner the API server knows to be at work
/// and the cache does not.
async fn found(
    context: &Context,
    cluster: &DaskCluster,
    namespace: &str,
    runners: &BTreeSet<String>,
) -> Result<BTreeSet<String>, Error> {
    let mut found = BTreeSet::new();
    for run in admitted(cluster).iter().filter(|run| !runners.contains(*run)) {
        if context.stores.runs.get(&ObjectRef::new(run).within(namespace)).is_none() {
            found.extend(runs_at_work(live_runners(context, namespace, run).await?));
        }
    }
    Ok(found)
}

async fn live_pods(context: &Context, namespace: &str, cluster: &str) -> Result<Vec<Arc<Pod>>, Error> {
    let api: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
    let selector = format!("{}={cluster},{}={}", labels::CLUSTER_NAME, labels::APP_MANAGED_BY, labels::APP);
    let list = api.list(&ListParams::default().labels(&selector)).await?;
    Ok(list.items.into_iter().map(Arc::new).collect())
}

/// What was heard of a scheduler, and whether it is the one that is followed.
#[derive(Default)]
struct Heard {
    view: SchedulerView,
    load: Load,
    is_followed: bool,
}

/// The start of the scheduler that is at work, and what it is shown.
struct AtWork<'a> {
    start: String,
    ip: &'a str,
    secret: Option<(String, Option<String>)>,
}

impl AtWork<'_> {
    fn start(&self) -> (&str, &str) {
        (&self.start, self.ip)
    }

    fn secret(&self) -> Option<(&str, Option<String>)> {
        self.secret.as_ref().map(|(secret, host)| (secret.as_str(), host.clone()))
    }
}

/// The scheduler whose container runs, as these pods show it.
fn at_work<'a>(cluster: &DaskCluster, pods: &'a [Arc<Pod>]) -> Option<AtWork<'a>> {
    if cluster.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let pod = pods.iter().find(|pod| {
        state::is_component(pod, labels::SCHEDULER)
            && state::life(pod) == state::PodLife::Alive
            && state::runs(pod, scheduler::CONTAINER)
    })?;
    let checks_name = cluster.spec.tls.as_ref().is_some_and(|tls| tls.verify_host_name);
    let host = checks_name.then(|| names::scheduler_name(&cluster.name_any()));
    let secret = Certificate::of(pod).map(|one| (one.secret, host));
    Some(AtWork { start: state::start_of(pod, scheduler::CONTAINER)?, ip: state::ip(pod)?, secret })
}

/// What was heard of the scheduler that caches show at work, if that one is followed. Nothing begins or ends
/// by it: a cache that is behind shows none, or an earlier one, and each live look that comes after it would
/// begin to follow anew, which wakes the cluster, and so on.
fn heard(
    context: &Context,
    cluster: &DaskCluster,
    pods: &[Arc<Pod>],
    questions: Option<&Questions>,
) -> Heard {
    let (namespace, name) = (cluster.namespace().unwrap_or_default(), cluster.name_any());
    let heard = at_work(cluster, pods).and_then(|at_work| {
        context.schedulers.heard((&namespace, &name), at_work.start(), at_work.secret(), questions)
    });
    heard.map(|(view, load)| Heard { view, load, is_followed: true }).unwrap_or_default()
}

/// Follows the scheduler and asks it what is to be asked.
fn follow_and_poll(context: &Context, cluster: &DaskCluster, observed: &Observed) {
    let (namespace, name) = (cluster.namespace().unwrap_or_default(), cluster.name_any());
    follow(context, cluster, &observed.pods);
    let questions = cluster::questions(cluster, &observed.pods, &observed.tls);
    context.schedulers.poll(&namespace, &name, questions.as_ref());
}

/// Follows the scheduler once its container runs.
fn follow(context: &Context, cluster: &DaskCluster, pods: &[Arc<Pod>]) -> SchedulerView {
    let (namespace, name) = (cluster.namespace().unwrap_or_default(), cluster.name_any());
    if let Some(at_work) = at_work(cluster, pods) {
        let view = context.schedulers.follow(
            (&namespace, &name),
            at_work.start(),
            at_work.secret(),
            membership(cluster),
        );
        // Only now: a cluster that went while this look was under way was forgotten before.
        if is_cached(context, cluster) {
            return view;
        }
    }
    context.schedulers.forget(&namespace, &name);
    SchedulerView::Unknown
}

/// How its workers are learned. To the schedulers of clusters of dask-kubernetes its clients subscribe.
fn membership(cluster: &DaskCluster) -> Membership {
    if is_of_theirs(cluster) { Membership::Asked } else { Membership::Subscribed }
}

/// Whether the cache has this very cluster.
fn is_cached(context: &Context, cluster: &DaskCluster) -> bool {
    let cached = context.stores.clusters.get(&ObjectRef::from_obj(cluster));
    cached.is_some_and(|cached| cached.metadata.uid == cluster.metadata.uid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn cluster() -> DaskCluster {
        let mut cluster = DaskCluster::new("demo", serde_json::from_value(json!({"image": "a"})).unwrap());
        cluster.metadata.namespace = Some("default".to_owned());
        cluster.metadata.uid = Some("u".to_owned());
        cluster
    }

    fn scheduler_at_work() -> Vec<Arc<Pod>> {
        let pod = json!({
            "metadata": {"name": "demo-scheduler", "uid": "p", "labels": {labels::COMPONENT: labels::SCHEDULER}},
            "status": {"podIP": "127.0.0.1", "containerStatuses": [{"name": scheduler::CONTAINER, "image": "a",
                "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}}}]},
        });
        vec![Arc::new(serde_json::from_value(pod).unwrap())]
    }

    #[tokio::test]
    async fn the_scheduler_of_a_cluster_that_has_gone_is_not_followed() {
        let (context, _server, _wakes) = crate::operator::testing::context(1);
        assert_eq!(follow(&context, &cluster(), &scheduler_at_work()), SchedulerView::Unknown);
        assert!(context.schedulers.line("default", "demo").is_none());
    }

    #[tokio::test]
    async fn a_cache_that_is_behind_ends_no_connection() {
        let (context, _server, _wakes) = crate::operator::testing::context(1);
        context.schedulers.follow(("default", "demo"), ("p/0", "127.0.0.1"), None, Membership::Subscribed);
        let line = context.schedulers.line("default", "demo").unwrap();
        let known = |pods: &[Arc<Pod>]| heard(&context, &cluster(), pods, None).is_followed;
        assert!(known(&scheduler_at_work()), "it is the one that is followed");
        let mut earlier = Pod::clone(&scheduler_at_work()[0]);
        earlier.metadata.uid = Some("earlier".to_owned());
        assert!(!known(&[]) && !known(&[Arc::new(earlier)]), "what is known is of another one");
        let kept = context.schedulers.line("default", "demo").unwrap();
        assert!(Arc::ptr_eq(&line, &kept));
    }
}
