//! Counts the requests to the API server, in a layer around the client that all of them pass.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::http::{Request, Response};
use tokio::time::Instant;
use tower::{Layer, Service};

use super::Metrics;
use crate::plan::requests::Asked;

/// The layer. It must be outside of whatever gives requests up, so that those are counted as well.
#[derive(Clone)]
pub(in crate::operator) struct CountRequests(pub(in crate::operator) Metrics);

impl<S> Layer<S> for CountRequests {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, metrics: self.0.clone() }
    }
}

/// A service whose requests are counted.
#[derive(Clone)]
pub(in crate::operator) struct Counted<S> {
    inner: S,
    metrics: Metrics,
}

impl<S, B, R> Service<Request<B>> for Counted<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut count = Count {
            asked: asked(&request),
            metrics: self.metrics.clone(),
            begun: Instant::now(),
            code: None,
        };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            count.answered(answer.as_ref().ok().map(|answer| answer.status().as_u16()));
            answer
        })
    }
}

/// Counts a request when it has ended: also one that nobody waits for any longer.
struct Count {
    asked: (&'static str, String),
    metrics: Metrics,
    begun: Instant,
    code: Option<u16>,
}

impl Count {
    /// A method, so that the future that calls it takes the whole count along, to be dropped with it.
    fn answered(&mut self, code: Option<u16>) {
        self.code = code;
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        let (verb, resource) = (self.asked.0, std::mem::take(&mut self.asked.1));
        self.metrics.requested((verb, resource), self.code, self.begun.elapsed());
    }
}

/// Verb and resource of a request.
fn asked<B>(request: &Request<B>) -> (&'static str, String) {
    let (method, uri) = (request.method().as_str(), request.uri());
    let asked = Asked::of(method, uri.path(), uri.query().unwrap_or_default());
    (asked.verb, asked.resource)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_counts_also_when_nobody_waits_for_its_answer() {
        let metrics = Metrics::default();
        let silent = tower::service_fn(|_: Request<()>| std::future::pending::<Result<Response<()>, ()>>());
        let request = Request::put("/apis/coordination.k8s.io/v1/namespaces/team/leases/a").body(()).unwrap();
        drop(CountRequests(metrics.clone()).layer(silent).call(request));
        let counted =
            super::super::Request { verb: "update", resource: "leases".to_owned(), code: "none".to_owned() };
        assert_eq!(metrics.api_requests.get_or_create(&counted).get(), 1);
    }
}
