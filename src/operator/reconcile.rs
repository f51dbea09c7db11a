//! One reconcile, the same for every kind.

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::Api;
use tokio::time::Instant;
use tracing::Instrument;

use super::backoff::{Id, backoff, backoff_within};
use super::context::Context;
use super::controller::Action;
use super::execute::Bounds;
use super::failure::{Disposition, Error};
use super::route::{Watched, written};
use super::unwritten::Unwritten;
use super::{execute, lookup, requests};
use crate::causes::chain;
use crate::daemon::clock::Chance;
use crate::plan::subject::Subject;
use crate::plan::{Next, Note, Plan, Urgency, Wants};

/// A reconcile that takes longer is given up. What its requests wait for their turn does not count.
const LIMIT: Duration = Duration::from_secs(60);
/// Each object is looked at once in this time even if nothing wakes it: a net under the watches.
const RESYNC: Duration = Duration::from_secs(600);
/// How soon to look again when the cache was behind.
const CACHE_LAG: Duration = Duration::from_millis(50);
/// After this many conflicts in a row the cache is not merely behind.
const CONFLICTS_MAX: u32 = 5;
/// So often a look goes on from a status that is not written yet.
const TURNS_MAX: u32 = 3;
/// The longest wait where the quota has no room: who frees some expects pods soon after, and no watch tells
/// of it.
const QUOTA_BACKOFF_MAX: Duration = Duration::from_secs(15);

/// A kind that has a planner.
pub(super) trait Planned: Subject + Watched {
    /// Observes and plans. What is in `known` is looked at live, the object itself was before; the rest is
    /// taken from the caches.
    fn plan(
        &self,
        context: &Context,
        known: Wants,
        now: Timestamp,
    ) -> impl Future<Output = Result<Plan<Self::Status>, Error>> + Send;

    /// Whether the quota had no room for its pods the last time.
    fn lacks_room(&self) -> bool {
        false
    }

    /// Whether somebody waits for what comes of it, rather than a clock: it goes before the rest of its
    /// namespace.
    fn is_urgent(&self, _context: &Context) -> bool {
        false
    }

    /// Whether something is created once this status is written, which it therefore is before the statuses
    /// that only tell.
    fn is_commit(_status: &Self::Status) -> bool {
        false
    }

    /// The statuses of this kind that are not written yet. None: each is written at once.
    fn unwritten(_context: &Context) -> Option<&Unwritten<Self::Status>> {
        None
    }

    /// The object is gone: what is kept of it is forgotten.
    fn gone(_context: &Context, _namespace: &str, _name: &str) {}
}

/// Reconciles one object. It never fails: a failure is a later look.
pub(super) async fn reconcile<K: Planned>(
    object: Arc<K>,
    context: Arc<Context>,
) -> Result<Action, Infallible> {
    if !context.pulse.claim.is_current() {
        // The process is about to end, and whoever leads now looks at everything; or a renewal is about to be
        // answered.
        return Ok(Action::Retry(Duration::from_secs(1)));
    }
    if !context.stores.watched.is_known(object.meta().namespace.as_deref().unwrap_or_default()) {
        // It is woken when all of its namespace is known.
        return Ok(Action::AwaitChange);
    }
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    // At ERROR, so that a filter such as `warn` keeps the span, and with it the object's name on each line.
    let span = tracing::error_span!("reconcile", kind = K::KIND.as_str(), namespace, name);
    let action = bounded(object, context, &id::<K>(&namespace, &name)).instrument(span).await;
    Ok(action)
}

fn id<K: Planned>(namespace: &str, name: &str) -> Id {
    (K::KIND, namespace.to_owned(), name.to_owned())
}

/// The object is gone: nothing is kept of it.
pub(super) fn gone<K: Planned>(context: &Context, namespace: &str, name: &str) {
    context.backoff.succeeded(&id::<K>(namespace, name));
    forget_unwritten::<K>(context, namespace, name);
    K::gone(context, namespace, name);
}

/// Reconciles in a bounded time, and says when to look again.
async fn bounded<K: Planned>(object: Arc<K>, context: Arc<Context>, id: &Id) -> Action {
    let started = Instant::now();
    let work = AssertUnwindSafe(once(&context, object.clone())).catch_unwind();
    let (result, action) = match requests::within(LIMIT, work).await {
        Some(Ok(Ok(action))) => {
            context.backoff.succeeded(id);
            ("success", action)
        }
        // Each time it is another part that was not looked at, and from then on is: it comes to an end.
        Some(Ok(Err(stop))) if stop.error.is_of_caches() => ("conflict", Action::Retry(CACHE_LAG)),
        Some(Ok(Err(stop)))
            if stop.error.disposition() == Disposition::Conflict
                && context.backoff.failed(id) <= CONFLICTS_MAX =>
        {
            ("conflict", Action::Retry(CACHE_LAG))
        }
        // What was begun ends here; the deletion of the object is the change that comes next.
        Some(Ok(Err(stop))) if stop.error.is_of_ending_namespace() => {
            tracing::debug!("the namespace is being deleted");
            context.backoff.succeeded(id);
            ("success", Action::Requeue(delay(Next::Change, &context)))
        }
        // It had to wait when the process was asked to stop. The next one looks at everything.
        Some(Ok(Err(stop))) if stop.error.is_of_stop() => {
            tracing::debug!("it is left to the next operator");
            ("stopped", Action::AwaitChange)
        }
        Some(Ok(Err(stop))) => {
            let begun = Begun::of(&context, object);
            let failures = context.backoff.failed(id);
            // What is to be said waits for its turn as well.
            let said = requests::within(LIMIT, failed(&context, &begun, failures, stop)).await;
            ("failure", said.unwrap_or_else(|| Action::Retry(backoff(failures, &context.chance))))
        }
        Some(Err(_)) => {
            // The panic hook has logged where. One object must not take the others down.
            ("failure", Action::Retry(backoff(context.backoff.failed(id), &context.chance)))
        }
        None => {
            tracing::warn!(limit = ?LIMIT, "the reconcile took too long and was given up");
            ("timeout", Action::Retry(backoff(context.backoff.failed(id), &context.chance)))
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

/// An object as the next plan begins from it.
struct Begun<K: Planned> {
    /// As it is.
    stored: Arc<K>,
    /// With the status that is to be written, where that is not written yet.
    object: Arc<K>,
    /// The status that is written.
    written: Option<K::Status>,
}

impl<K: Planned> Begun<K> {
    fn of(context: &Context, object: Arc<K>) -> Self {
        let written = object.status().cloned();
        match K::unwritten(context).and_then(|all| all.of(object.as_ref(), written.as_ref())) {
            Some(status) => {
                let mut changed = object.as_ref().clone();
                *changed.status_mut() = Some(status);
                Self { stored: object, object: Arc::new(changed), written }
            }
            None => Self { stored: object.clone(), object, written },
        }
    }

    /// Whether all is written that is to be.
    fn is_written(&self) -> bool {
        self.object.status() == self.written.as_ref()
    }
}

/// What follows from a turn.
enum Turn<K> {
    /// The object is looked at again then.
    Over(Next),
    /// It is planned again at once, from the status that is not written yet over this one.
    GoesOn(Arc<K>),
    /// Its status is written with the next look, after those at all others that wait.
    Again,
}

/// Observe, plan, execute. When to look again.
async fn once<K: Planned>(context: &Context, object: Arc<K>) -> Result<Action, Stop<K::Status>> {
    let mut object = object;
    for _ in 0..TURNS_MAX {
        // Boxed: what bounds and catches it would have room for it twice.
        match Box::pin(turn(context, object)).await? {
            Turn::Over(next) => return Ok(Action::Requeue(delay(next, context))),
            Turn::GoesOn(stored) => object = stored,
            Turn::Again => return Ok(Action::Retry(Duration::ZERO)),
        }
    }
    // It is not at its end yet.
    Ok(Action::Retry(CACHE_LAG))
}

async fn turn<K: Planned>(context: &Context, object: Arc<K>) -> Result<Turn<K>, Stop<K::Status>> {
    let now = context.clock.now();
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    // Boxed, so that a reconcile that has only its status to write takes little memory: hundreds may wait for
    // that.
    let planned = Box::pin(planned(context, (&namespace, &name), object, now));
    let Some((begun, plan)) = planned.await? else { return Ok(Turn::Over(Next::Change)) };
    let object = begun.object.as_ref();
    let bounds = if object.lacks_room() { Bounds::CAREFUL } else { Bounds::USUAL };
    let steps = Box::pin(execute::steps(context, (&namespace, &name), &plan.steps, bounds));
    if let Err(error) = steps.await {
        return Err(Stop { error, planned: Some(plan.status), events: plan.events });
    }
    let done = context.clock.now();
    tell(context, &begun, plan, (now, done)).await
}

/// What may be carried out. None: nothing until the object changes.
async fn planned<K: Planned>(
    context: &Context,
    (namespace, name): (&str, &str),
    object: Arc<K>,
    now: Timestamp,
) -> Result<Option<(Begun<K>, Plan<K::Status>)>, Error> {
    if context.undecodable.has::<K>(namespace, name) {
        // What the cache has of it is older than what it is.
        return Ok(None);
    }
    let begun = Begun::of(context, object);
    let plan = begun.object.plan(context, Wants::NOTHING, now).await?;
    if plan.wants.is_nothing() {
        return Ok(Some((begun, plan)));
    }
    drop(begun);
    look(context, (namespace, name), plan.wants, now).await
}

/// Looks at what a plan wants, and plans once more. That plan is given only if it rests on nothing else: the
/// caches were behind otherwise, and the next look asks for that as well. None: the object is gone.
async fn look<K: Planned>(
    context: &Context,
    (namespace, name): (&str, &str),
    wants: Wants,
    now: Timestamp,
) -> Result<Option<(Begun<K>, Plan<K::Status>)>, Error> {
    debug_assert!(wants.covers(Wants::OBJECT), "what is looked at live begins with the object: {wants:?}");
    let id = id::<K>(namespace, name);
    let known = wants | context.backoff.lacked(&id);
    let api: Api<K> = Api::namespaced(context.client.clone(), namespace);
    let Some(fresh) = lookup::by_name(&api, name).await? else { return Ok(None) };
    let begun = Begun::of(context, Arc::new(fresh));
    let plan = begun.object.plan(context, known, now).await?;
    let lacking = plan.wants.without(known);
    if lacking.is_nothing() {
        return Ok(Some((begun, plan)));
    }
    context.backoff.lacks(&id, lacking);
    Err(Error::Behind { lacking })
}

/// Writes the status, or keeps it until it has to be written, and tells the events. The steps were `done`
/// then.
async fn tell<K: Planned>(
    context: &Context,
    begun: &Begun<K>,
    plan: Plan<K::Status>,
    (now, done): (Timestamp, Timestamp),
) -> Result<Turn<K>, Stop<K::Status>> {
    let object = begun.object.as_ref();
    let by = match plan.urgency {
        Urgency::Now => None,
        Urgency::InTurn => Some(now).filter(|_| begun.is_written()),
        Urgency::By(at) | Urgency::GoOn(at) => Some(at).filter(|at| *at > now),
    };
    let news = object.status() != Some(&plan.status);
    let later = by.zip(K::unwritten(context)).filter(|_| begun.written.as_ref() != Some(&plan.status));
    let (counts, turn) = match later {
        Some((by, unwritten)) => {
            unwritten.keep(object, begun.written.clone(), plan.status);
            let turn = match plan.urgency {
                Urgency::GoOn(_) if news => Turn::GoesOn(begun.stored.clone()),
                Urgency::InTurn => Turn::Again,
                _ => Turn::Over(plan.next.sooner(Next::At(by), now)),
            };
            (news, turn)
        }
        None => (write_status(context, begun, &plan.status).await?, Turn::Over(plan.next)),
    };
    if counts {
        plan.figures.iter().for_each(|figure| context.metrics.count(*figure, done));
    }
    for note in &plan.events {
        context.events.tell(note, object.object_ref(&()));
    }
    Ok(turn)
}

/// Writes the status if it differs from what is written, and only over the version of the object that it was
/// computed from. Whether it did.
async fn write_status<K: Planned>(
    context: &Context,
    begun: &Begun<K>,
    status: &K::Status,
) -> Result<bool, Error> {
    let object = begun.object.as_ref();
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    if begun.written.as_ref() == Some(status) {
        forget_unwritten::<K>(context, &namespace, &name);
        return Ok(false);
    }
    let api: Api<K> = Api::namespaced(context.client.clone(), &namespace);
    let (params, patch) = super::status::over(object.resource_version().as_deref(), status)?;
    let ticket = K::kept(&context.stores).ticket();
    match requests::as_commit(K::is_commit(status), api.patch_status(&name, &params, &patch)).await {
        // Deleted in the meantime: nobody is left to be told.
        Err(kube::Error::Api(answer)) if answer.is_not_found() => Ok(false),
        Err(error) => Err(Error::Api(error)),
        Ok(answer) => {
            forget_unwritten::<K>(context, &namespace, &name);
            written(&context.routes, ticket, answer);
            Ok(true)
        }
    }
}

fn forget_unwritten<K: Planned>(context: &Context, namespace: &str, name: &str) {
    if let Some(unwritten) = K::unwritten(context) {
        unwritten.forget(namespace, name);
    }
}

/// After a failure: tell it where it is worth telling, and come back later and later.
async fn failed<K: Planned>(
    context: &Context,
    begun: &Begun<K>,
    count: u32,
    stop: Stop<K::Status>,
) -> Action {
    let object = begun.object.as_ref();
    let error = &stop.error;
    let wait = wait_after(error, count, &context.chance);
    tracing::warn!(count, error = chain(error), "the reconcile failed");
    if error.is_worth_telling(count) {
        let mut failure = error.tell();
        // Messages of the API server name the object that it refused, and a new one has a new name: one that
        // was told stays, or each write would bring on the next.
        let told = object.told(failure.reason).map(str::to_owned);
        let news = told.is_none();
        failure.message = told.unwrap_or(failure.message);
        let status = object.failing(stop.planned, &failure, context.clock.now());
        let written = write_status(context, begun, &status).await;
        let mut notes = Vec::new();
        if written.as_ref().is_ok_and(|is_written| *is_written) {
            // The next plan begins from this status, and tells them no more.
            notes.extend(stop.events.into_iter().filter(|note| !note.needs_steps));
        }
        if written.is_ok() && news {
            notes.push(Note::warning(failure.reason, failure.message));
        }
        for note in notes {
            context.events.tell(&note, object.object_ref(&()));
        }
    }
    Action::Retry(wait)
}

/// How long to wait after this failure, the `count`th in a row.
fn wait_after(error: &Error, count: u32, chance: &Chance) -> Duration {
    if error.is_quota() { backoff_within(count, QUOTA_BACKOFF_MAX, chance) } else { backoff(count, chance) }
}

/// When to look again. The net under the watches is spread by a tenth, so that it does not fall on all at
/// once.
fn delay(next: Next, context: &Context) -> Duration {
    let resync = RESYNC.mul_f64(0.9 + 0.2 * context.chance.jitter());
    let wanted = match next {
        Next::Change => resync,
        Next::After(after) => after,
        // Rounded up to a millisecond: waking just before the moment would be for nothing.
        Next::At(at) => {
            Duration::try_from(at.duration_since(context.clock.now())).unwrap_or_default()
                + Duration::from_millis(1)
        }
    };
    wanted.min(resync)
}

#[cfg(test)]
mod tests;
