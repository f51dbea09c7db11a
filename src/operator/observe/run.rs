//! Observes a `FlowRun`.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};

use super::flow::{flow_of, live_runners, runs_of, script};
use crate::api::tls::ClientTls;
use crate::api::{DaskCluster, Flow, FlowRun, Reason};
use crate::causes::chain;
use crate::dask::{self, Address, Scheduler};
use crate::operator::certificates::credentials::reason_of;
use crate::operator::context::Context;
use crate::operator::failure::Error;
use crate::operator::gateways::Asked;
use crate::operator::lookup;
use crate::operator::reconcile::Planned;
use crate::operator::unwritten::Unwritten;
use crate::plan::facts::{self, attempt_of, job_of, phase_of};
use crate::plan::pods::mounts::Certificate;
use crate::plan::pods::runner::CONTAINER;
use crate::plan::pods::{scheduler, state};
use crate::plan::run::{self, ForeignScheduler, GatewayView, Observed, Runners, ScriptView, Wiring, needs};
use crate::plan::{Plan, Wants, names};

/// How long a scheduler outside may take to answer.
const FOREIGN: Duration = Duration::from_secs(3);

impl Planned for FlowRun {
    async fn plan(
        &self,
        context: &Context,
        known: Wants,
        now: Timestamp,
    ) -> Result<Plan<Self::Status>, Error> {
        let observed = observe(context, self, known).await?;
        Ok(run::plan(self, &observed, now))
    }

    fn is_urgent(&self, _context: &Context) -> bool {
        facts::is_run_now(self)
    }

    fn is_commit(status: &Self::Status) -> bool {
        facts::is_let_through(status)
    }

    fn unwritten(context: &Context) -> Option<&Unwritten<Self::Status>> {
        Some(&context.unwritten)
    }
}

async fn observe(context: &Context, run: &FlowRun, known: Wants) -> Result<Observed, Error> {
    let namespace = run.namespace().unwrap_or_default();
    must_be_readable::<Flow>(context, run, &run.spec.flow)?;
    let flow = flow_of(context, (&namespace, &run.spec.flow), known).await?;
    let mut siblings = runs_of(context, (&namespace, &run.spec.flow), known).await?;
    siblings.retain(|other| other.name_any() != run.name_any() && !phase_of(other).is_final());
    let job = job(context, run, &namespace, known).await?;
    let runners = runners(context, run, job.as_deref(), &namespace, known).await?;
    let needs = needs(run, flow.as_deref());
    let script = match needs.script.as_ref().filter(|_| job.is_none()) {
        Some(key) => script(context, &namespace, key).await?,
        None => ScriptView::NotNeeded,
    };
    let foreign = match needs.scheduler.filter(|_| job.is_none()) {
        Some(scheduler) => ask(context, &namespace, scheduler).await?,
        None => ForeignScheduler::NotAsked,
    };
    let gateway = match &needs.gateway {
        Some(access) => {
            let has_ended = |pod: &Pod| state::terminated(pod, CONTAINER).is_some();
            let has_ended = runners.newest.as_deref().is_some_and(has_ended)
                || job.as_deref().is_some_and(state::has_ended);
            let is_over = phase_of(run).is_final() || run.metadata.deletion_timestamp.is_some();
            let with_workers = !is_over && (job.is_none() || has_ended);
            let asked = Asked { run, access, with_workers, now: context.clock.now() };
            // Boxed: few runs have a gateway, and all have this future.
            Box::pin(context.gateways.view(&context.stores, asked)).await
        }
        None => GatewayView::NotAsked,
    };
    if let Some(name) = run::cluster_to_observe(run, flow.as_deref()) {
        must_be_readable::<DaskCluster>(context, run, &name)?;
    }
    let cluster = cluster(context, run, flow.as_deref(), &namespace);
    let named = cluster.as_deref().map(ResourceExt::name_any);
    Ok(Observed {
        site: context.sites.of(named.as_deref().map(|name| (namespace.as_str(), name))),
        wiring: cluster.as_deref().map(|cluster| wiring(context, cluster, &namespace)).unwrap_or_default(),
        scheduler: cluster.as_deref().and_then(|cluster| scheduler(context, cluster, &namespace)),
        cluster,
        own: own_cluster(context, run, &namespace),
        siblings,
        flow,
        foreign,
        gateway,
        script,
        job,
        pod: runners.newest,
        another_runner: runners.another,
        unwritten: context.unwritten.has(run),
    })
}

/// How the cluster's Dask scheduler is spoken to.
fn wiring(context: &Context, cluster: &DaskCluster, namespace: &str) -> Wiring {
    let name = names::scheduler_name(&cluster.name_any());
    let Some(pod) = context.stores.pods.get(&ObjectRef::new(&name).within(namespace)) else {
        return Wiring::Unknown;
    };
    Certificate::of(&pod).map_or(Wiring::Plain, |certificate| Wiring::Tls(certificate.secret))
}

/// Which start of the cluster's Dask scheduler is at work.
fn scheduler(context: &Context, cluster: &DaskCluster, namespace: &str) -> Option<String> {
    let name = names::scheduler_name(&cluster.name_any());
    let pod = context.stores.pods.get(&ObjectRef::new(&name).within(namespace))?;
    let ours = pod.owner_references().iter().any(|owner| Some(&owner.uid) == cluster.metadata.uid.as_ref());
    state::start_of(&pod, scheduler::CONTAINER).filter(|_| ours)
}

/// Nothing is decided about a run that goes on over an object that exists and cannot be read: it would count
/// as deleted.
fn must_be_readable<K: Resource<DynamicType = ()>>(
    context: &Context,
    run: &FlowRun,
    name: &str,
) -> Result<(), Error> {
    let namespace = run.namespace().unwrap_or_default();
    if !phase_of(run).is_final() && context.undecodable.has::<K>(&namespace, name) {
        return Err(Error::Unreadable { kind: K::kind(&()), name: name.to_owned() });
    }
    Ok(())
}

/// The cluster that the run is on, or will be.
fn cluster(
    context: &Context,
    run: &FlowRun,
    flow: Option<&Flow>,
    namespace: &str,
) -> Option<Arc<DaskCluster>> {
    let name = run::cluster_to_observe(run, flow)?;
    let cluster = context.stores.clusters.get(&ObjectRef::new(&name).within(namespace))?;
    run::is_usable(run, flow, &cluster).then_some(cluster)
}

/// The cluster that was made for the run, whichever it is on now.
fn own_cluster(context: &Context, run: &FlowRun, namespace: &str) -> Option<Arc<DaskCluster>> {
    let name = names::cluster_name_for_run(&run.name_any());
    context.stores.clusters.get(&ObjectRef::new(&name).within(namespace))
}

/// The Job of the run's attempt. One that was created and is in no cache is asked for before it counts as
/// deleted.
async fn job(
    context: &Context,
    run: &FlowRun,
    namespace: &str,
    known: Wants,
) -> Result<Option<Arc<Job>>, Error> {
    let name = names::job_name(&run.name_any(), attempt_of(run));
    let ours =
        |job: &Job| job.owner_references().iter().any(|owner| Some(&owner.uid) == run.metadata.uid.as_ref());
    let cached = context.stores.jobs.get(&ObjectRef::new(&name).within(namespace));
    let is_unknown = cached.is_none() && job_of(run).is_some();
    let job = cached.filter(|job| ours(job));
    if job.is_some() || phase_of(run).is_final() || !(is_unknown || known.covers(Wants::JOB)) {
        return Ok(job);
    }
    let api: Api<Job> = Api::namespaced(context.client.clone(), namespace);
    Ok(lookup::by_name(&api, &name).await?.filter(ours).map(Arc::new))
}

/// The pods of the run, which may outlive their Job by a grace period.
async fn runners(
    context: &Context,
    run: &FlowRun,
    job: Option<&Job>,
    namespace: &str,
    known: Wants,
) -> Result<Runners, Error> {
    let cached = Runners::of(run, job, context.stores.by.pods_by_run.of(namespace, &run.name_any()));
    // A Job says where its own pod stands.
    let unseen = known.covers(Wants::PODS) && job.is_none();
    if phase_of(run).is_final() || !(unseen || cached.are_behind(job)) {
        return Ok(cached);
    }
    let live = Runners::of(run, job, live_runners(context, namespace, &run.name_any()).await?);
    Ok(Runners { newest: live.newest.or(cached.newest), ..live })
}

/// Asks a scheduler outside of any `DaskCluster` how many workers it has. It is not followed: a scheduler has
/// one follower only, and somebody else may be it.
async fn ask(
    context: &Context,
    namespace: &str,
    (address, tls): (&str, Option<&ClientTls>),
) -> Result<ForeignScheduler, Error> {
    let refused = |reason, message| Ok(ForeignScheduler::Unreachable { reason, message });
    let parsed = match address.parse::<Address>() {
        Ok(parsed) => parsed,
        Err(error) => return refused(Reason::SchedulerUnreachable, error.to_string()),
    };
    let (mut credentials, mut files) = (None, None);
    if let Some(tls) = tls {
        let host = tls.verify_host_name.then(|| parsed.host());
        match context.certificates.of_client(namespace, (&tls.secret_name, host), context.clock.now()).await?
        {
            Ok(found) => (credentials, files) = (Some(found.0), Some(found.1)),
            Err(fault) => return refused(fault.reason, fault.message),
        }
    }
    let answer = async {
        let scheduler =
            Scheduler::connect_by(&context.addresses, &parsed, credentials.as_ref(), FOREIGN).await?;
        scheduler.with_call_limit(FOREIGN).ncores().await
    };
    Ok(match answer.await {
        Ok(workers) => ForeignScheduler::Answering { workers: workers.len(), tls: files },
        Err(error) => {
            let cause = chain(&error);
            tracing::info!(address, error = cause, "the scheduler of an address does not answer");
            ForeignScheduler::Unreachable { reason: reason_of(&error), message: why(address, &error, &cause) }
        }
    })
}

/// Why an address that somebody has written is of no use. That nobody answers, or no Dask scheduler, is one
/// text for all, since it is the operator that asks, from its own place in the network; what a peer of Dask
/// or TLS answers is told.
fn why(address: &str, error: &dask::Error, cause: &str) -> String {
    use dask::Error::{
        Closed, Decode, NotADaskPeer, OutOfReach, Timeout, Tls, Unended, UnknownOperation, Unreachable,
    };
    match error {
        OutOfReach { host } => format!(
            "the scheduler at {address} is not asked: {host} is not in the networks that the operator connects to \
             (never a loopback, link-local or metadata address, unless its administrator allows it): write \
             the name of a Service, such as tcp://scheduler.team.svc:8786"
        ),
        Unreachable(_)
        | Closed(_)
        | Timeout { .. }
        | Unended { .. }
        | NotADaskPeer(_)
        | Decode(_)
        | Tls(_)
        | UnknownOperation { .. } => {
            format!(
                "the scheduler at {address} does not answer the operator as a Dask scheduler does: is the address right, with its \
                 port and tcp:// or tls://, does the scheduler run, and does no NetworkPolicy keep the operator out?"
            )
        }
        _ => format!("the scheduler at {address} does not answer: {cause}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::dask::error::DecodeError;
    use crate::dask::frame::FrameError;

    #[test]
    fn what_a_network_answers_is_one_text() {
        let io = |text: &str| std::io::Error::other(text.to_owned());
        let causes = [
            dask::Error::Unreachable(io("refused")),
            dask::Error::Unreachable(io("no route")),
            dask::Error::Closed(None),
            dask::Error::Timeout { what: "answer", limit: Duration::from_secs(3) },
            dask::Error::NotADaskPeer("its first message is no handshake"),
            dask::Error::Decode(DecodeError::Frame(FrameError::Malformed)),
        ];
        let mut texts: Vec<String> =
            causes.iter().map(|error| why("tcp://10.0.0.1:1", error, &chain(error))).collect();
        texts.dedup();
        assert_eq!(texts.len(), 1, "{texts:?}");
        let own = dask::Error::OutOfReach { host: "localhost".to_owned() };
        assert!(why("tcp://localhost", &own, "").contains("write the name of a Service"));
    }
}
