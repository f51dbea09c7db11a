//! Stands between whoever asks and the API server: each request waits for its turn, and no more are under way
//! than the API server answers swiftly.
//!
//! What goes first and how many may be under way is decided in `plan::requests`; here it is carried out, in a
//! layer around the client of watches and reconciles. Watches wait for no turn, as they take no time of
//! others. The Lease has a client of its own, without this.
//!
//! The layer is outside of all others: what limits a request in time, counts it, or refuses it to a process
//! that no longer leads, looks at it when it is sent and not while it waits. Whoever no longer waits for an
//! answer gives its place back.
//!
//! In a process that was asked to stop nothing waits: what can go at once goes, so that what was begun ends,
//! and the rest is left to the next operator, which then has the Lease soon.

mod asker;
mod retries;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use kube::client::Body;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::buffer::Buffer;
use tower::{BoxError, Layer, Service, ServiceExt};

use super::leader::DoesNotLead;
use super::metrics::{Metrics, RequestGauges};
use crate::daemon::clock::Chance;
use crate::plan::requests::line::{Line, Rank, Ticket};
use crate::plan::requests::pace::{Outcome, Pace};
use crate::plan::requests::{Asked, Class, ROUND};
pub(super) use asker::{Look, as_commit, within};
use retries::{Retries, copy_of, may_be_made_again, retry_after};

/// Requests that may be on their way to the layers below. They wait here and not there, so it is never full.
const BUFFER: usize = 1_024;

/// The layer.
#[derive(Clone)]
pub(super) struct Adapt(Arc<Gate>);

impl Adapt {
    /// Until `stop` requests wait for their turn.
    pub(super) fn new(metrics: &Metrics, stop: &CancellationToken, chance: &Chance) -> Self {
        let (gauges, stop, chance) = (metrics.request_gauges(), stop.clone(), chance.clone());
        let gate = Gate { state: Mutex::new(State::new()), began: Instant::now(), gauges, stop, chance };
        // The metrics say the limit from the start.
        gate.admit();
        Self(Arc::new(gate))
    }
}

impl<S, B> Layer<S> for Adapt
where
    S: Service<Request<Body>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError> + Send + Sync + 'static,
{
    type Service = Adapted<S::Future>;

    fn layer(&self, inner: S) -> Adapted<S::Future> {
        // A request that is tried again is a second call, and the client's own stack cannot be cloned.
        Adapted { gate: self.0.clone(), inner: Buffer::new(inner, BUFFER) }
    }
}

/// A service whose requests wait for their turn.
pub(super) struct Adapted<F> {
    gate: Arc<Gate>,
    inner: Buffer<Request<Body>, F>,
}

impl<F, B, E> Service<Request<Body>> for Adapted<F>
where
    F: Future<Output = Result<Response<B>, E>> + Send + 'static,
    E: Into<BoxError> + 'static,
    B: Send + 'static,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // The place in the line is taken by the future, in the task of whoever asks.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(answer(self.gate.clone(), self.inner.clone(), request))
    }
}

/// Asks, when it is its turn; and again, where the API server had too much to do.
async fn answer<F, B, E>(
    gate: Arc<Gate>,
    mut inner: Buffer<Request<Body>, F>,
    mut request: Request<Body>,
) -> Result<Response<B>, BoxError>
where
    F: Future<Output = Result<Response<B>, E>> + Send + 'static,
    E: Into<BoxError> + 'static,
{
    let uri = request.uri();
    let asked = Asked::of(request.method().as_str(), uri.path(), uri.query().unwrap_or_default());
    let class = asked.class().map(asker::class_of);
    if class.is_some_and(|class| class > Class::Work) {
        asker::only_tells();
    }
    let namespace = Arc::from(asked.namespace.as_str());
    let mut retries = None;
    loop {
        let again = copy_of(&request);
        let place = if let Some(class) = class {
            Some(Place::wait(&gate, class, &namespace).await?)
        } else {
            gate.until_open().await?;
            None
        };
        let sent = gate.now();
        let result = match inner.ready().await {
            Ok(ready) => ready.call(request).await,
            Err(error) => Err(error),
        };
        let outcome = outcome(&asked, &result);
        // Of a watch only what concerns all requests is of interest.
        if place.is_some() || matches!(outcome, Outcome::Busy(_)) {
            gate.ended(outcome, sent);
        }
        drop(place);
        let (Outcome::Busy(wish), Some(next)) = (outcome, again) else { return result };
        if !result.as_ref().is_ok_and(|answer| may_be_made_again(next.method(), answer)) {
            return result;
        }
        let retries = retries.get_or_insert_with(Retries::begin);
        let Some(pause) = retries.pause(wish, gate.chance.jitter()) else { return result };
        drop(result);
        gate.unless_stopped(tokio::time::sleep(pause)).await?;
        request = next;
    }
}

/// What came of a request.
fn outcome<'a, B>(asked: &'a Asked, result: &Result<Response<B>, BoxError>) -> Outcome<'a> {
    match result {
        Ok(answer) if matches!(answer.status().as_u16(), 429 | 503 | 504) => {
            Outcome::Busy(retry_after(answer))
        }
        // So says kube-apiserver that its etcd did not answer (`NewServerTimeout` of apimachinery).
        Ok(answer) if answer.status().is_server_error() && retry_after(answer).is_some() => {
            Outcome::Busy(retry_after(answer))
        }
        Ok(answer) if answer.status().is_success() => asked.kind().map_or(Outcome::Answered, Outcome::Done),
        Ok(_) => Outcome::Answered,
        // It was not sent.
        Err(error) if error.is::<DoesNotLead>() => Outcome::Answered,
        Err(_) => Outcome::Lost,
    }
}

/// The line, and the pace at which it goes on.
struct Gate {
    state: Mutex<State>,
    began: Instant,
    gauges: RequestGauges,
    stop: CancellationToken,
    chance: Chance,
}

/// Why a request was not made.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the operator is stopping, and the request would have had to wait for its turn")]
struct Stopped;

/// Whether a request was not made because the process was asked to stop.
pub(super) fn is_of_stop(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Service(error) if error.is::<Stopped>())
}

struct State {
    pace: Pace,
    line: Line<oneshot::Sender<()>>,
}

impl State {
    fn new() -> Self {
        Self { pace: Pace::default(), line: Line::new(Class::ALL.len(), ROUND) }
    }
}

impl Gate {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits, unless the process is asked to stop before that has an end.
    async fn unless_stopped<T>(&self, wait: impl Future<Output = T>) -> Result<T, Stopped> {
        let end = async {
            tokio::select! {
                biased;
                end = wait => Ok(end),
                () = self.stop.cancelled() => Err(Stopped),
            }
        };
        asker::waiting(end).await
    }

    /// Waits for as long as the API server wishes to be left alone.
    async fn until_open(&self) -> Result<(), Stopped> {
        loop {
            let closed = self.state().pace.closed_until(self.now());
            let Some(until) = closed else { return Ok(()) };
            self.unless_stopped(tokio::time::sleep_until(self.began + until)).await?;
        }
    }

    /// Lets through whoever may go.
    fn admit(&self) {
        let mut state = self.state();
        let State { pace, line } = &mut *state;
        let is_closed = pace.closed_until(self.now()).is_some();
        while !is_closed && let Some(go) = line.next(pace.limit()) {
            // Who has just stopped waiting gives its place back itself.
            let _ = go.send(());
        }
        // A quarter is kept for namespaces that have none.
        if !is_closed && !line.is_empty() && line.at_work() >= pace.limit() - pace.limit() / 4 {
            pace.is_full();
        }
        self.gauges.limit(pace.limit());
        for class in Class::ALL {
            self.gauges.waiting(class, line.waiting(class.index()));
        }
    }

    /// A request that was sent then has come to this.
    fn ended(self: &Arc<Self>, outcome: Outcome<'_>, sent: Duration) {
        let now = self.now();
        let closed = {
            let mut state = self.state();
            state.pace.ended(outcome, sent, now);
            state.pace.closed_until(now)
        };
        if let (Outcome::Busy(Some(_)), Some(until)) = (outcome, closed) {
            // Whoever waits then may all have come after this, and nobody else may be under way to let them
            // through.
            let (gate, until) = (self.clone(), self.began + until);
            tokio::spawn(async move {
                tokio::time::sleep_until(until).await;
                gate.admit();
            });
        }
    }
}

/// A place: in the line, and then under way.
struct Place {
    gate: Arc<Gate>,
    ticket: Ticket,
}

impl Place {
    /// Ends when it is the turn of this request.
    async fn wait(gate: &Arc<Gate>, class: Class, namespace: &Arc<str>) -> Result<Self, Stopped> {
        let (go, mut come) = oneshot::channel();
        let mut rank = asker::rank();
        let now = rank.as_mut().map(|rank| *rank.borrow_and_update()).unwrap_or_default();
        let ticket = gate.state().line.join(class.index(), namespace, now, go);
        let mut place = Self { gate: gate.clone(), ticket };
        gate.admit();
        if come.try_recv().is_err() {
            // The gate drops no sender that it has not used.
            gate.unless_stopped(place.come(come, rank)).await?;
        }
        Ok(place)
    }

    /// Waits; from the moment on at which somebody waits for it, as urgent.
    async fn come(&mut self, come: oneshot::Receiver<()>, rank: Option<watch::Receiver<Rank>>) {
        let mut come = pin!(come);
        if let Some(mut rank) = rank {
            tokio::select! {
                biased;
                _ = &mut come => return,
                // The look is at its end where nobody can change it.
                raised = rank.changed() => if raised.is_ok() {
                    self.gate.state().line.raise(&mut self.ticket);
                },
            }
        }
        let _ = come.await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        {
            let mut state = self.gate.state();
            if state.line.leave(&self.ticket).is_none() {
                state.line.end(&self.ticket);
            }
        }
        self.gate.admit();
    }
}
