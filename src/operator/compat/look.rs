//! One look at an object of dask-kubernetes: what there is, what the planner says, and the writes.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{Api, DynamicObject, ListParams};
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tracing::Instrument;

use super::memory::{Known, Memory};
use super::shown;
use super::write::carry_out;
use crate::api::{DaskCluster, labels};
use crate::causes::chain;
use crate::operator::backoff::backoff;
use crate::operator::context::Context;
use crate::operator::controller::Action;
use crate::operator::failure::{Disposition, Error};
use crate::operator::{lookup, requests};
use crate::plan::Next;
use crate::plan::compat::adapter::{
    Cluster, Failed, Job, Plan, RefusedGroups, TheirKind, Write, failing, failing_job, plan_cluster,
    plan_job, refused_groups,
};
use crate::plan::names::scheduler_name;

/// A look that takes longer is given up. What its requests wait for their turn does not count.
const LIMIT: Duration = Duration::from_secs(60);
/// Each object is looked at once in this time even if nothing wakes it: a net under the watches.
const RESYNC: Duration = Duration::from_secs(600);
/// How soon to look again where something has changed meanwhile.
const CACHE_LAG: Duration = Duration::from_millis(50);
/// After this many conflicts in a row the cache is not merely behind.
const CONFLICTS_MAX: u32 = 5;

/// Looks at one object. It never fails: a failure is a later look.
pub(super) async fn look(context: Arc<Context>, memory: Arc<Memory>, known: Known) -> Action {
    if !context.pulse.claim.is_current() {
        return Action::Retry(Duration::from_secs(1));
    }
    let (kind, namespace, name) = &known.subject;
    let span = tracing::error_span!("reconcile", kind = kind.title(), namespace, name);
    bounded(&context, &memory, &known).instrument(span).await
}

async fn bounded(context: &Context, memory: &Memory, known: &Known) -> Action {
    let started = Instant::now();
    let subject = &known.subject;
    let work = AssertUnwindSafe(once(context, memory, known)).catch_unwind();
    let (result, action) = match requests::within(LIMIT, work).await {
        // The panic hook has logged where. One object must not take the others down.
        Some(Err(_)) => ("failure", Action::Retry(backoff(memory.failed(subject), &context.chance))),
        Some(Ok(Ok(next))) => {
            memory.succeeded(subject);
            ("success", Action::Requeue(delay(next, context)))
        }
        Some(Ok(Err(error)))
            if error.disposition() == Disposition::Conflict && memory.failed(subject) <= CONFLICTS_MAX =>
        {
            ("conflict", Action::Retry(CACHE_LAG))
        }
        Some(Ok(Err(error))) if error.is_of_ending_namespace() => ("success", Action::Requeue(RESYNC)),
        Some(Ok(Err(error))) if error.is_of_stop() => ("stopped", Action::AwaitChange),
        Some(Ok(Err(error))) => {
            let count = memory.failed(subject);
            tracing::warn!(count, error = chain(&error), "the reconcile failed");
            if error.is_worth_telling(count) {
                let told = tell_failure(context, memory, known, (&error, count));
                let said = requests::within(LIMIT, told).await;
                if let Some(Err(error)) = said {
                    tracing::warn!(error = chain(&error), "the failure could not be written down");
                }
            }
            ("failure", Action::Retry(backoff(count, &context.chance)))
        }
        None => {
            tracing::warn!(limit = ?LIMIT, "the reconcile took too long and was given up");
            ("timeout", Action::Retry(backoff(memory.failed(subject), &context.chance)))
        }
    };
    context.metrics.reconciled_as(subject.0.title(), result, started.elapsed());
    action
}

/// When to look again.
fn delay(next: Next, context: &Context) -> Duration {
    match next {
        Next::Change => RESYNC.mul_f64(0.9 + 0.2 * context.chance.jitter()),
        Next::After(after) => after.min(RESYNC),
        Next::At(at) => {
            Duration::try_from(at.duration_since(context.clock.now())).unwrap_or_default().min(RESYNC)
        }
    }
}

/// Observe, plan, write, tell.
async fn once(context: &Context, memory: &Memory, known: &Known) -> Result<Next, Error> {
    let now = context.clock.now();
    let mut plan = from_caches(context, known, now);
    if plan.wants_look {
        let Some(live) = live(context, known, now).await? else { return Ok(Next::Change) };
        plan = live;
    }
    let (_, namespace, name) = &known.subject;
    for write in &plan.writes {
        tracing::info!(write = %write.title(), "write");
        if let Err(error) = carry_out(context, (namespace, name), &memory.statuses, write).await {
            let groups = groups_of_refusal(known, write, &error);
            if groups.is_empty() {
                return Err(error);
            }
            if !memory.has_refused(known, groups) {
                return Err(error);
            }
            tracing::warn!(error = chain(&error), "groups are left out of a cluster");
            return Ok(Next::After(CACHE_LAG));
        }
        if let Some(freed) = write.frees() {
            memory.has_freed(known, freed);
        }
    }
    for line in &plan.lines {
        tracing::info!("{line}");
    }
    let next = plan.next;
    // That pods cannot be shown keeps nothing else from being said.
    let shown = shown::show(context, &memory.deployments, known).await;
    plan.notes.extend(shown.as_ref().ok().cloned().unwrap_or_default());
    tell(context, memory, known, plan);
    shown.map(|_| next)
}

/// The groups that the API server has refused as parts of our cluster. The others are as good without them.
fn groups_of_refusal(known: &Known, write: &Write, error: &Error) -> RefusedGroups {
    let (Some(ours), Error::Api(kube::Error::Api(status))) = (write.ours(), error) else {
        return RefusedGroups::new();
    };
    let causes = status.details.iter().filter(|_| status.code == 422).flat_map(|details| &details.causes);
    let causes: Vec<_> = causes.map(|fault| (fault.field.clone(), fault.message.clone())).collect();
    refused_groups(ours, &known.groups, &causes)
}

/// Says what was not said before, of it and of what belongs to it.
fn tell(context: &Context, memory: &Memory, known: &Known, plan: Plan) {
    let about = known.subject.0.reference(&known.object);
    let own = plan.notes.into_iter().map(|note| (about.clone(), note));
    for (about, note) in memory.news(&known.subject, own.chain(plan.beside).collect()) {
        context.events.tell(&note, about);
    }
}

/// Says that a plan could not be carried out.
async fn tell_failure(
    context: &Context,
    memory: &Memory,
    known: &Known,
    (error, times): (&Error, u32),
) -> Result<(), Error> {
    let failure = error.tell();
    let (_, namespace, name) = &known.subject;
    let plan = if known.subject.0 == TheirKind::Job {
        // What a job has come to is final: its pod may be there by now.
        let pod: Option<Pod> = by_name(context, namespace, &format!("{name}-runner")).await?;
        let failed = Failed { failure, code: code_of(error), times };
        failing_job(&job(context, known, pod.as_ref(), context.clock.now()), &failed)
    } else {
        failing(&cluster(known, &cached(context, known)), &failure)
    };
    let writes = plan.writes.clone();
    tell(context, memory, known, plan);
    for write in &writes {
        carry_out(context, (namespace, name), &memory.statuses, write).await?;
    }
    Ok(())
}

/// The code that the API server has answered with.
fn code_of(error: &Error) -> Option<u16> {
    match error {
        Error::Api(kube::Error::Api(status)) => Some(status.code),
        _ => None,
    }
}

/// What there is for a cluster: as the caches have it, and so of ours alone, or as the API server has it.
struct There {
    ours: Option<Arc<DaskCluster>>,
    service: Option<Arc<Service>>,
    schedulers: Vec<Arc<Pod>>,
    beside: Option<Arc<Service>>,
}

fn cached(context: &Context, known: &Known) -> There {
    let (_, namespace, name) = &known.subject;
    let stores = &context.stores;
    let service = |name: &str| stores.services.get(&ObjectRef::new(name).within(namespace));
    let scheduler = scheduler_name(name);
    There {
        ours: stores.clusters.get(&ObjectRef::new(name).within(namespace)),
        service: service(&scheduler),
        schedulers: stores.pods.get(&ObjectRef::new(&scheduler).within(namespace)).into_iter().collect(),
        beside: service(&format!("{name}-service")),
    }
}

fn cluster<'a>(known: &'a Known, there: &'a There) -> Cluster<'a> {
    Cluster {
        object: &known.object,
        groups: &known.groups,
        autoscalers: &known.autoscalers,
        ours: there.ours.as_deref(),
        service: there.service.as_deref(),
        schedulers: &there.schedulers,
        beside: there.beside.as_deref(),
        freed: &known.freed,
        refused: &known.refused,
        is_live: false,
    }
}

fn from_caches(context: &Context, known: &Known, now: Timestamp) -> Plan {
    let (_, namespace, name) = &known.subject;
    if known.subject.0 == TheirKind::Job {
        let pod = context.stores.pods.get(&ObjectRef::new(&format!("{name}-runner")).within(namespace));
        return plan_job(&job(context, known, pod.as_deref(), now));
    }
    plan_cluster(&cluster(known, &cached(context, known)))
}

fn job<'a>(context: &Context, known: &'a Known, pod: Option<&'a Pod>, now: Timestamp) -> Job<'a> {
    let (_, namespace, name) = &known.subject;
    let site = context.sites.of(Some((namespace, name)));
    let (object, cluster, freed) = (&known.object, known.cluster.as_deref(), &known.freed);
    Job { object, cluster, pod, site, now, freed, is_live: false }
}

/// The same from what the API server has now. None: the object is not there any more.
async fn live(context: &Context, known: &Known, now: Timestamp) -> Result<Option<Plan>, Error> {
    let (kind, namespace, name) = &known.subject;
    let Some(object) = read(context, *kind, namespace, name).await? else { return Ok(None) };
    let mut fresh = Known {
        subject: known.subject.clone(),
        object: Arc::new(object),
        groups: read_all(context, TheirKind::Group, namespace, &known.groups).await?,
        autoscalers: read_all(context, TheirKind::Autoscaler, namespace, &known.autoscalers).await?,
        cluster: None,
        freed: known.freed.clone(),
        refused: known.refused.clone(),
    };
    if *kind == TheirKind::Job {
        fresh.cluster = read(context, TheirKind::Cluster, namespace, name).await?.map(Arc::new);
        let pod: Option<Pod> = by_name(context, namespace, &format!("{name}-runner")).await?;
        return Ok(Some(plan_job(&Job { is_live: true, ..job(context, &fresh, pod.as_ref(), now) })));
    }
    let mut there = cached(context, known);
    there.ours = by_name(context, namespace, name).await?.map(Arc::new);
    if there.ours.is_none() {
        there.service = by_name(context, namespace, &scheduler_name(name)).await?.map(Arc::new);
        there.schedulers = schedulers(context, namespace, name).await?;
    }
    Ok(Some(plan_cluster(&Cluster { is_live: true, ..cluster(&fresh, &there) })))
}

/// The pods of the scheduler of this cluster, whoever has made them.
async fn schedulers(context: &Context, namespace: &str, cluster: &str) -> Result<Vec<Arc<Pod>>, Error> {
    let api: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
    let selector = format!("{}={cluster},{}={}", labels::CLUSTER_NAME, labels::COMPONENT, labels::SCHEDULER);
    let list = api.list(&ListParams::default().labels(&selector)).await?;
    Ok(list.items.into_iter().map(Arc::new).collect())
}

async fn by_name<K>(context: &Context, namespace: &str, name: &str) -> Result<Option<K>, Error>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(context.client.clone(), namespace);
    Ok(lookup::by_name(&api, name).await?)
}

async fn read(
    context: &Context,
    kind: TheirKind,
    namespace: &str,
    name: &str,
) -> Result<Option<DynamicObject>, Error> {
    let api: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), namespace, &kind.resource());
    Ok(lookup::by_name(&api, name).await?)
}

/// Those of these objects that are there.
async fn read_all(
    context: &Context,
    kind: TheirKind,
    namespace: &str,
    known: &[Arc<DynamicObject>],
) -> Result<Vec<Arc<DynamicObject>>, Error> {
    let mut there = Vec::with_capacity(known.len());
    for object in known {
        there.extend(read(context, kind, namespace, &object.name_any()).await?.map(Arc::new));
    }
    Ok(there)
}
