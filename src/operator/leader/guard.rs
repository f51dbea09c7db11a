//! Stands between reconciles and the API server: nothing is written by a process that does not lead.
//!
//! A claim may end while a reconcile is under way, and a process may be stopped anywhere. So the clock is
//! looked at when a request is made, and again each time that it is polled: a request that is to be tried
//! again, or that waits for a connection, goes no further. What is handed to the kernel cannot be taken back;
//! for that there is time between the end of a claim and the end of the Lease.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Method, Request};
use kube::client::Body;
use tower::{BoxError, Layer, Service};

use super::claim::{Claim, DoesNotLead};

/// Lets through what only reads, and writes while the claim holds.
#[derive(Clone)]
pub(crate) struct Guard(pub(crate) Arc<Claim>);

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { claim: self.0.clone(), inner }
    }
}

/// A service behind the guard.
#[derive(Clone)]
pub(crate) struct Guarded<S> {
    claim: Arc<Claim>,
    inner: S,
}

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let writes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        if writes && let Err(refusal) = self.claim.check() {
            return Box::pin(async move { Err(refusal.into()) });
        }
        let answer = self.inner.call(request);
        if !writes {
            return Box::pin(async { answer.await.map_err(Into::into) });
        }
        let claim = self.claim.clone();
        Box::pin(async move {
            let (mut answer, mut ends) = (pin!(answer), pin!(claim.ends()));
            poll_fn(|context| {
                // A timer may not have gone off yet in a process that has just been let go on; the clock is
                // right.
                if !claim.is_current() || ends.as_mut().poll(context).is_ready() {
                    return Poll::Ready(Err(DoesNotLead.into()));
                }
                answer.as_mut().poll(context).map_err(Into::into)
            })
            .await
        })
    }
}
