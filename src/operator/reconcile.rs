//! One reconcile, the same for every kind.

use std::convert::Infallible;
use std::fmt::Debug;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use kube::api::{Api, Patch, PatchParams};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::Instant;
use tracing::Instrument;

use super::context::{Context, backoff, backoff_within};
use super::controller::Action;
use super::execute::Bounds;
use super::failure::{Disposition, Error, chain};
use super::{clock, execute, requests};
use crate::api::Reason;
use crate::plan::conditions::Failure;
use crate::plan::{Next, Note, Plan};

/// A reconcile that takes longer is given up. What its requests wait for their turn does not count.
const LIMIT: Duration = Duration::from_secs(60);
/// Each object is looked at once in this time even if nothing wakes it: a net under the watches.
const RESYNC: Duration = Duration::from_secs(600);
/// How soon to look again when the cache was behind.
const CACHE_LAG: Duration = Duration::from_millis(50);
/// After this many conflicts in a row the cache is not merely behind.
const CONFLICTS_MAX: u32 = 5;
/// The longest wait where the quota has no room: who frees some expects pods soon after, and no watch tells of it.
const QUOTA_BACKOFF_MAX: Duration = Duration::from_secs(15);
/// The field manager of statuses.
pub(super) const STATUS_MANAGER: &str = "daskflow/status";

/// A kind that has a planner.
pub(super) trait Planned:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// The kind's status.
    type Status: Clone + Debug + Default + PartialEq + Serialize + Send + Sync + 'static;
    /// The kind's name.
    const KIND: &'static str;

    /// The status that was written last.
    fn status(&self) -> Option<&Self::Status>;

    /// Observes and plans. `live`: what the plan depends on is read from the API server, not from caches.
    fn plan(
        &self,
        context: &Context,
        live: bool,
        now: Timestamp,
    ) -> impl Future<Output = Result<Plan<Self::Status>, Error>> + Send;

    /// What the last status, of this generation, says with this reason.
    fn told(&self, reason: Reason) -> Option<&str>;

    /// Says in the status that workers stay.
    fn hold(&self, _status: &mut Self::Status, _message: &str, _now: Timestamp) {}

    /// Whether somebody waits for what comes of it, rather than a clock: it goes before the rest of its namespace.
    fn is_urgent(&self) -> bool {
        false
    }

    /// Whether something is created once this status is written, which it therefore is before the statuses that only tell.
    fn is_commit(_status: &Self::Status) -> bool {
        false
    }

    /// The object is gone: what is kept of it is forgotten.
    fn gone(_context: &Context, _namespace: &str, _name: &str) {}

    /// The status of the object when a step failed; `planned` is what it would have been.
    fn failing(&self, planned: Option<Self::Status>, failure: &Failure, now: Timestamp) -> Self::Status;
}

/// Reconciles one object. It never fails: a failure is a later look.
pub(super) async fn reconcile<K: Planned>(
    object: Arc<K>,
    context: Arc<Context>,
) -> Result<Action, Infallible> {
    if !context.claim.is_current() {
        // The process is about to end, and whoever leads now looks at everything; or a renewal is about to be answered.
        return Ok(Action::requeue(Duration::from_secs(1)));
    }
    if !context.stores.watched.is_known(object.meta().namespace.as_deref().unwrap_or_default()) {
        // It is woken when all of its namespace is known.
        return Ok(Action::await_change());
    }
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    // At ERROR, so that a filter such as `warn` keeps the span, and with it the object's name on each line.
    let span = tracing::error_span!("reconcile", kind = K::KIND, namespace, name);
    let action = bounded(object, context, &key::<K>(&namespace, &name)).instrument(span).await;
    Ok(action)
}

fn key<K: Planned>(namespace: &str, name: &str) -> String {
    format!("{}/{namespace}/{name}", K::KIND)
}

/// The object is gone: nothing is kept of it.
pub(super) fn gone<K: Planned>(context: &Context, namespace: &str, name: &str) {
    context.succeeded(&key::<K>(namespace, name));
    K::gone(context, namespace, name);
}

/// Reconciles in a bounded time, and says when to look again.
async fn bounded<K: Planned>(object: Arc<K>, context: Arc<Context>, key: &str) -> Action {
    let started = Instant::now();
    let work = AssertUnwindSafe(once(&context, object.clone())).catch_unwind();
    let (result, action) = match requests::within(LIMIT, work).await {
        Some(Ok(Ok(next))) => {
            context.succeeded(key);
            ("success", Action::requeue(delay(next, clock::now())))
        }
        Some(Ok(Err(stop)))
            if stop.error.disposition() == Disposition::Conflict && context.failed(key) <= CONFLICTS_MAX =>
        {
            ("conflict", Action::requeue(CACHE_LAG))
        }
        // What was begun ends here; the deletion of the object is the change that comes next.
        Some(Ok(Err(stop))) if stop.error.is_of_ending_namespace() => {
            tracing::debug!("the namespace is being deleted");
            context.succeeded(key);
            ("success", Action::requeue(delay(Next::Change, clock::now())))
        }
        Some(Ok(Err(stop))) => ("failure", failed(&context, object.as_ref(), key, stop).await),
        Some(Err(_)) => {
            // The panic hook has logged where. One object must not take the others down.
            ("failure", Action::requeue(backoff(context.failed(key))))
        }
        None => {
            tracing::warn!(limit = ?LIMIT, "the reconcile took too long and was given up");
            ("timeout", Action::requeue(backoff(context.failed(key))))
        }
    };
    context.metrics.reconciled(K::KIND, result, started.elapsed());
    action
}

/// A reconcile that did not get to its end, and the status that it would have written.
struct Stop<S> {
    error: Error,
    planned: Option<S>,
    /// What the plan would have told.
    events: Vec<Note>,
}

impl<S, E: Into<Error>> From<E> for Stop<S> {
    fn from(error: E) -> Self {
        Self { error: error.into(), planned: None, events: Vec::new() }
    }
}

/// Observe, plan, execute.
async fn once<K: Planned>(context: &Context, object: Arc<K>) -> Result<Next, Stop<K::Status>> {
    let mut object = object;
    let now = clock::now();
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    if context.undecodable.has::<K>(&namespace, &name) {
        // What the cache has of it is older than what it is.
        return Ok(Next::Change);
    }
    // Boxed, so that a reconcile that has only its status to write takes little memory: hundreds may wait for that.
    let mut plan = Box::pin(object.plan(context, false, now)).await?;
    if plan.look_again {
        let api: Api<K> = Api::namespaced(context.client.clone(), &namespace);
        let Some(fresh) = api.get_opt(&object.name_any()).await? else { return Ok(Next::Change) };
        object = Arc::new(fresh);
        plan = Box::pin(object.plan(context, true, now)).await?;
    }
    let no_room = object.told(Reason::QuotaExceeded).is_some();
    let bounds = if no_room { Bounds::CAREFUL } else { Bounds::USUAL };
    let steps = Box::pin(execute::steps(context, (&namespace, &name), &plan.steps, bounds));
    let held = match steps.await {
        Ok(held) => held,
        Err(error) => return Err(Stop { error, planned: Some(plan.status), events: plan.events }),
    };
    let done = clock::now();
    if let Some(message) = held.message() {
        object.hold(&mut plan.status, &message, now);
        if object.told(Reason::WorkersHeld).is_none() {
            plan.events.push(Note::warning(Reason::WorkersHeld, message));
        }
    }
    if write_status(context, object.as_ref(), &plan.status).await? {
        plan.figures.iter().for_each(|figure| context.metrics.count(*figure, done));
    }
    for note in &plan.events {
        context.events.tell(note, &object.object_ref(&())).await;
    }
    Ok(plan.next)
}

/// Writes the status if it differs, and only over the version of the object that it was computed from. Whether it did.
async fn write_status<K: Planned>(context: &Context, object: &K, status: &K::Status) -> Result<bool, Error> {
    if object.status() == Some(status) {
        return Ok(false);
    }
    let api: Api<K> = Api::namespaced(context.client.clone(), &object.namespace().unwrap_or_default());
    let patch = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {"name": object.name_any(), "resourceVersion": object.resource_version()},
        "status": status,
    });
    let params = PatchParams::apply(STATUS_MANAGER).force();
    let (name, patch) = (object.name_any(), Patch::Apply(patch));
    match requests::as_commit(K::is_commit(status), api.patch_status(&name, &params, &patch)).await {
        // Deleted in the meantime: nobody is left to be told.
        Err(kube::Error::Api(answer)) if answer.is_not_found() => Ok(false),
        other => other.map(|_| true).map_err(Error::Api),
    }
}

/// Whether a plan of which a step failed can still tell this: what it was to create may not have been created.
fn is_so_without_steps(note: &Note) -> bool {
    use Reason::{
        ClusterCreated, RunCreated, RunnerCreated, SchedulerCreated, SchedulerReplaced, TickMissed,
        WorkersCreated,
    };
    !matches!(
        note.reason,
        SchedulerCreated
            | SchedulerReplaced
            | WorkersCreated
            | ClusterCreated
            | RunCreated
            | RunnerCreated
            | TickMissed
    )
}

/// After a failure: tell it where it is worth telling, and come back later and later.
async fn failed<K: Planned>(context: &Context, object: &K, key: &str, stop: Stop<K::Status>) -> Action {
    let count = context.failed(key);
    let error = &stop.error;
    let wait = wait_after(error, count);
    tracing::warn!(count, error = chain(error), "the reconcile failed");
    if error.is_worth_telling(count) {
        let mut failure = error.tell();
        // Messages of the API server name the object that it refused, and a new one has a new name: one that was told
        // stays, or each write would bring on the next.
        let told = object.told(failure.reason).map(str::to_owned);
        let news = told.is_none();
        failure.message = told.unwrap_or(failure.message);
        let status = object.failing(stop.planned, &failure, clock::now());
        let written = write_status(context, object, &status).await;
        let mut notes = Vec::new();
        if written.as_ref().is_ok_and(|is_written| *is_written) {
            // The next plan begins from this status, and tells them no more.
            notes.extend(stop.events.into_iter().filter(is_so_without_steps));
        }
        if written.is_ok() && news {
            notes.push(Note::warning(failure.reason, failure.message));
        }
        for note in notes {
            context.events.tell(&note, &object.object_ref(&())).await;
        }
    }
    Action::requeue(wait)
}

/// How long to wait after this failure, the `count`th in a row.
fn wait_after(error: &Error, count: u32) -> Duration {
    if error.is_quota() { backoff_within(count, QUOTA_BACKOFF_MAX) } else { backoff(count) }
}

/// When to look again. The net under the watches is spread by a tenth, so that it does not fall on all at once.
fn delay(next: Next, now: Timestamp) -> Duration {
    let resync = RESYNC.mul_f64(0.9 + 0.2 * clock::jitter());
    let wanted = match next {
        Next::Change => resync,
        Next::After(after) => after,
        // Rounded up to a millisecond: waking just before the moment would be for nothing.
        Next::At(at) => {
            Duration::try_from(at.duration_since(now)).unwrap_or_default() + Duration::from_millis(1)
        }
    };
    wanted.min(resync)
}

#[cfg(test)]
mod tests;
