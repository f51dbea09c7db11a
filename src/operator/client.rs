//! Clients of the API server: the one that an operator is to be given, and what is built on it.

use std::time::Duration;

use http::header::USER_AGENT;
use http::{HeaderValue, Request, Response};
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use tower::Service;

/// A connection from which nothing was read for this long is given up, in the middle of an answer or of a
/// watch, which the API server is asked to end after 60 s (`caches`).
const READ_TIMEOUT: Duration = Duration::from_secs(75);

/// How requests of this program are told from others, in audit logs too.
const AGENT: &str = concat!("daskflow/", env!("CARGO_PKG_VERSION"));

/// A client for an operator, with connections of its own. It tries nothing again: the operator's own layers
/// do so, and let others go in the meantime, and the candidacy for the Lease knows better when to, since it
/// knows of deadlines.
///
/// # Errors
/// As of [`ClientBuilder`]: certificates or proxies that cannot be used.
pub fn of_config(mut config: Config) -> kube::Result<Client> {
    config.default_retry = false;
    // An API server that dies in the middle of an answer is noticed: it ends each watch after a shorter time
    // itself.
    config.read_timeout = Some(READ_TIMEOUT);
    config.headers.push((USER_AGENT, HeaderValue::from_static(AGENT)));
    Client::try_from(config)
}

/// What passes all requests on to this client, for layers around it.
pub(super) fn over(
    client: Client,
) -> ClientBuilder<
    impl Service<Request<Body>, Response = Response<Body>, Error = kube::Error, Future: Send + 'static>
    + Clone
    + Send
    + 'static,
> {
    let namespace = client.default_namespace().to_owned();
    let service = tower::service_fn(move |request| {
        let client = client.clone();
        async move { client.send(request).await }
    });
    ClientBuilder::new(service, namespace)
}
