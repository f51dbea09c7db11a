//! Counts the requests to the API server, in a layer around the client that all of them pass.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::http::{Method, Request, Response, Uri};
use tokio::time::Instant;
use tower::{Layer, Service};

use super::Metrics;

/// The layer. It must be outside of whatever gives requests up, so that those are counted with what they waited.
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
            asked: asked(request.method(), request.uri()),
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

/// Verb and resource of a request, as Kubernetes has them:
/// <https://kubernetes.io/docs/reference/access-authn-authz/authorization/#determine-the-request-verb>. A subresource is
/// written behind its resource, such as `flows/status`; a path that leads to no resource is `other`.
fn asked(method: &Method, uri: &Uri) -> (&'static str, String) {
    let path: Vec<&str> = uri.path().split('/').filter(|part| !part.is_empty()).collect();
    let rest = match path.as_slice() {
        ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
        _ => &[],
    };
    // A namespace that is asked for itself is a resource.
    let rest = match rest {
        ["namespaces", _, rest @ ..] if !rest.is_empty() => rest,
        rest => rest,
    };
    let (resource, named) = match rest {
        [resource] => ((*resource).to_owned(), false),
        [resource, _name] => ((*resource).to_owned(), true),
        [resource, _name, subresource, ..] => (format!("{resource}/{subresource}"), true),
        [] => ("other".to_owned(), true),
    };
    let watches =
        uri.query().unwrap_or_default().split('&').any(|part| matches!(part, "watch=true" | "watch=1"));
    let verb = match method.as_str() {
        "GET" | "HEAD" if watches => "watch",
        "GET" | "HEAD" if named => "get",
        "GET" | "HEAD" => "list",
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" if named => "delete",
        "DELETE" => "deletecollection",
        _ => "other",
    };
    (verb, resource)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

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

    #[rstest]
    #[case("GET", "/api/v1/namespaces/team/pods/a", "get", "pods")]
    #[case("GET", "/api/v1/pods?labelSelector=a%3Db&limit=500", "list", "pods")]
    #[case("GET", "/apis/daskflow.dev/v1alpha1/flows?&watch=true&timeoutSeconds=60", "watch", "flows")]
    #[case(
        "PATCH",
        "/apis/daskflow.dev/v1alpha1/namespaces/team/flows/a/status?force=true",
        "patch",
        "flows/status"
    )]
    #[case("POST", "/apis/batch/v1/namespaces/team/jobs", "create", "jobs")]
    #[case("PUT", "/apis/coordination.k8s.io/v1/namespaces/team/leases/a", "update", "leases")]
    #[case("DELETE", "/api/v1/namespaces/team/pods/a", "delete", "pods")]
    #[case("DELETE", "/api/v1/namespaces/team/pods", "deletecollection", "pods")]
    #[case("GET", "/api/v1/namespaces/team", "get", "namespaces")]
    #[case("GET", "/version", "get", "other")]
    fn verb_and_resource_are_those_of_kubernetes(
        #[case] method: &str,
        #[case] uri: &str,
        #[case] verb: &str,
        #[case] resource: &str,
    ) {
        let asked = asked(&method.parse().unwrap(), &uri.parse().unwrap());
        assert_eq!((asked.0, asked.1.as_str()), (verb, resource));
    }
}
