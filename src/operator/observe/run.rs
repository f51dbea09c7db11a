//! Observes a `FlowRun`.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, ListParams};
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};

use super::flow::{live_runs, runs_of, script};
use crate::api::tls::ClientTls;
use crate::api::{DaskCluster, Flow, FlowRun, FlowRunStatus, Phase, Reason, labels};
use crate::causes::chain;
use crate::dask::{self, Address, Scheduler};
use crate::operator::certificates::credentials::reason_of;
use crate::operator::context::Context;
use crate::operator::failure::Error;
use crate::operator::lookup;
use crate::operator::reconcile::Planned;
use crate::operator::unwritten::Unwritten;
use crate::plan::conditions::{Failure, told};
use crate::plan::facts::{self, attempt_of, job_of, phase_of};
use crate::plan::pods::mounts::Certificate;
use crate::plan::pods::{runner, scheduler, state};
use crate::plan::run::{self, ForeignScheduler, Observed, ScriptView, Wiring, needs};
use crate::plan::{Plan, failing, names};

/// How long a scheduler outside may take to answer.
const FOREIGN: Duration = Duration::from_secs(3);
/// The label by which the Job controller marks its pods:
/// <https://kubernetes.io/docs/reference/labels-annotations-taints/#batch-kubernetes-io-job-name>.
const JOB_NAME: &str = "batch.kubernetes.io/job-name";

impl Planned for FlowRun {
    type Status = FlowRunStatus;
    const KIND: &'static str = "FlowRun";

    fn status(&self) -> Option<&Self::Status> {
        self.status.as_ref()
    }

    fn set_status(&mut self, status: Self::Status) {
        self.status = Some(status);
    }

    async fn plan(&self, context: &Context, live: bool, now: Timestamp) -> Result<Plan<Self::Status>, Error> {
        let mut observed = observe(context, self, live).await?;
        let plan = run::plan(self, &observed, now);
        if !live || run::starts_a_runner(&plan) {
            // That its Job is there already is what creating it answers.
            return Ok(plan);
        }
        look_live(context, self, &mut observed).await?;
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

    fn told(&self, reason: Reason) -> Option<&str> {
        told(&self.status.as_ref()?.conditions, self.metadata.generation, reason)
    }

    fn failing(&self, _planned: Option<Self::Status>, failure: &Failure, now: Timestamp) -> Self::Status {
        failing::run(self, failure, now)
    }
}

async fn observe(context: &Context, run: &FlowRun, live: bool) -> Result<Observed, Error> {
    let namespace = run.namespace().unwrap_or_default();
    must_be_readable::<Flow>(context, run, "the Flow", &run.spec.flow)?;
    let (flow, siblings) = flow_and_siblings(context, run, &namespace);
    let job = job(context, run, &namespace).await?;
    let pods = pods(context, run, job.as_deref(), &namespace, live).await?;
    let needs = needs(run, flow.as_deref());
    let script = match needs.script.as_ref().filter(|_| job.is_none()) {
        Some(key) => script(context, &namespace, key).await?,
        None => ScriptView::NotNeeded,
    };
    let foreign = match needs.scheduler.filter(|_| job.is_none()) {
        Some(scheduler) => ask(context, &namespace, scheduler).await?,
        None => ForeignScheduler::NotAsked,
    };
    if let Some(name) = run::cluster_to_observe(run, flow.as_deref()) {
        must_be_readable::<DaskCluster>(context, run, "the DaskCluster", &name)?;
    }
    let cluster = cluster(context, run, flow.as_deref(), &namespace);
    Ok(Observed {
        site: context.site,
        wiring: cluster.as_deref().map(|cluster| wiring(context, cluster, &namespace)).unwrap_or_default(),
        scheduler: cluster.as_deref().and_then(|cluster| scheduler(context, cluster, &namespace)),
        cluster,
        own: own_cluster(context, run, &namespace),
        siblings,
        flow,
        foreign,
        script,
        job,
        pod: pods.newest,
        another_runner: pods.another_runner,
        unwritten: context.unwritten.has(run),
        live,
    })
}

/// Reads what the end of a run, or its way back into the queue, depends on: its Job, and of a run in the
/// queue its Flow and the runs that it may be skipped for.
async fn look_live(context: &Context, run: &FlowRun, observed: &mut Observed) -> Result<(), Error> {
    let namespace = run.namespace().unwrap_or_default();
    if observed.job.is_none() && !phase_of(run).is_final() {
        observed.job = live_job(context, run, &namespace).await?;
        if observed.job.is_some() {
            let pods = pods(context, run, observed.job.as_deref(), &namespace, true).await?;
            (observed.pod, observed.another_runner) = (pods.newest, pods.another_runner);
        }
    }
    if phase_of(run) == Phase::Queued {
        let name = &run.spec.flow;
        let api: Api<Flow> = Api::namespaced(context.client.clone(), &namespace);
        observed.flow = lookup::by_name(&api, name).await?.map(Arc::new);
        observed.siblings = others(run, live_runs(context, &namespace, name).await?);
    }
    Ok(())
}

/// The Flow and its other unfinished runs.
fn flow_and_siblings(
    context: &Context,
    run: &FlowRun,
    namespace: &str,
) -> (Option<Arc<Flow>>, Vec<Arc<FlowRun>>) {
    let name = &run.spec.flow;
    let flow = context.stores.flows.get(&ObjectRef::<Flow>::new(name).within(namespace));
    (flow, others(run, runs_of(context, namespace, name)))
}

fn others(run: &FlowRun, mut runs: Vec<Arc<FlowRun>>) -> Vec<Arc<FlowRun>> {
    runs.retain(|other| other.name_any() != run.name_any() && !phase_of(other).is_final());
    runs
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
    kind: &'static str,
    name: &str,
) -> Result<(), Error> {
    let namespace = run.namespace().unwrap_or_default();
    if !phase_of(run).is_final() && context.undecodable.has::<K>(&namespace, name) {
        return Err(Error::Unreadable { kind, name: name.to_owned() });
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
async fn job(context: &Context, run: &FlowRun, namespace: &str) -> Result<Option<Arc<Job>>, Error> {
    let name = names::job_name(&run.name_any(), attempt_of(run));
    if let Some(job) = context.stores.jobs.get(&ObjectRef::new(&name).within(namespace)) {
        let ours = job.owner_references().iter().any(|owner| Some(&owner.uid) == run.metadata.uid.as_ref());
        return Ok(ours.then_some(job));
    }
    if job_of(run).is_none() || phase_of(run).is_final() {
        return Ok(None);
    }
    live_job(context, run, namespace).await
}

async fn live_job(context: &Context, run: &FlowRun, namespace: &str) -> Result<Option<Arc<Job>>, Error> {
    let name = names::job_name(&run.name_any(), attempt_of(run));
    let api: Api<Job> = Api::namespaced(context.client.clone(), namespace);
    let ours =
        |job: &Job| job.owner_references().iter().any(|owner| Some(&owner.uid) == run.metadata.uid.as_ref());
    Ok(lookup::by_name(&api, &name).await?.filter(ours).map(Arc::new))
}

/// The pods of a run, as far as they matter.
#[derive(Default)]
struct Pods {
    /// The newest of the current attempt.
    newest: Option<Arc<Pod>>,
    /// Whether one of another attempt is at work.
    another_runner: bool,
}

impl Pods {
    fn of(run: &FlowRun, job: Option<&Job>, namespace: &str, pods: Vec<Arc<Pod>>) -> Self {
        let name = run.name_any();
        let of_run = |pod: &Arc<Pod>| {
            pod.metadata.namespace.as_deref() == Some(namespace)
                && state::label(pod, labels::RUN) == Some(&name)
        };
        let job_name = names::job_name(&name, attempt_of(run));
        // A pod of an earlier run of the same name, in whose place this one was made, tells nothing of this
        // one.
        let of_job = |pod: &Arc<Pod>| {
            state::label(pod, JOB_NAME) == Some(&job_name)
                && job.is_none_or(|job| is_owned_by(pod.owner_references(), job))
        };
        let (current, others): (Vec<_>, Vec<_>) = pods.into_iter().filter(of_run).partition(of_job);
        Self {
            newest: current.into_iter().max_by_key(|pod| pod.creation_timestamp().map(|time| time.0)),
            another_runner: others.iter().any(|pod| state::is_at_work(pod, runner::CONTAINER)),
        }
    }
}

/// The pods of the run, which may outlive their Job by a grace period. When the Job has ended and the cached
/// pod has not, the cache is behind. A run that may have a runner, or is about to get another one, is looked
/// at live.
async fn pods(
    context: &Context,
    run: &FlowRun,
    job: Option<&Job>,
    namespace: &str,
    live: bool,
) -> Result<Pods, Error> {
    let of_run = context.stores.by.pods_by_run.of(namespace, &run.name_any());
    let cached = Pods::of(run, job, namespace, of_run);
    let settled =
        cached.newest.as_ref().is_some_and(|pod| state::terminated(pod, runner::CONTAINER).is_some());
    let behind = !settled && job.is_some_and(state::has_ended);
    let stopping = run.status.as_ref().is_some_and(|status| status.stop.is_some());
    let may_be_at_work = attempt_of(run) > 1 || job_of(run).is_some() || stopping;
    let unseen = live && job.is_none() && may_be_at_work;
    if phase_of(run).is_final() || !(behind || unseen) {
        return Ok(cached);
    }
    let api: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
    let list =
        api.list(&ListParams::default().labels(&format!("{}={}", labels::RUN, run.name_any()))).await?;
    let mut pods = Pods::of(run, job, namespace, list.items.into_iter().map(Arc::new).collect());
    pods.newest = pods.newest.or(cached.newest);
    Ok(pods)
}

/// Whether a Job of this uid stands among the owners.
fn is_owned_by(owners: &[OwnerReference], job: &Job) -> bool {
    owners.iter().any(|owner| Some(&owner.uid) == job.metadata.uid.as_ref())
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
