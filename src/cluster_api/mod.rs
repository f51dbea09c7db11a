//! A Kubernetes API in this process: what the operator, the commands and `kubectl` run on where there is no
//! cluster.
//!
//! It is a [`tower::Service`] that a [`kube::Client`] is built on ([`ClusterApi::client`]), and it can listen
//! on loopback ([`ClusterApi::listen`]). Its objects live in memory, and end with it.
//!
//! What it serves: our kinds, with their schemas, defaults and rules from [`crate::manifest`], and the core
//! kinds that this project uses (Pod, Job, Service, `ConfigMap`, Secret, Event in both forms, Namespace,
//! Lease, `NetworkPolicy`, `ServiceAccount`; `CustomResourceDefinition` for reading). Get, list with
//! selectors and pages, watch with bookmarks, create, update, the four patches with field managers, delete
//! with preconditions, grace, propagation and finalizers, the subresources `status` and `scale`, tables,
//! discovery, and `OpenAPI` v3.
//!
//! What it leaves to others: no pod is started here. [`jobs`] makes pods of Jobs; owners and namespaces are
//! followed by [`ClusterApi::collect`]. There is no authentication, no authorization and no admission: it
//! belongs to one user, on one machine. It does not check core objects as deeply as Kubernetes does (see
//! `built_in`).
//!
//! What it refuses, with a `Status` that says so: kinds and paths that are not here (404), verbs that a kind
//! has not (405), forms of bodies and answers that it does not know (415, 406; protobuf above all, which
//! `kubectl create` sends for core kinds unless it reads a file), logs, exec, eviction and tokens (501).
//!
//! Time comes from a clock that the caller gives, names and uids from a seed: two that are asked the same
//! answer the same. Waiting is tokio's, so that a test may pause it.

mod apply;
mod built_in;
mod checks;
mod collect;
mod columns;
mod delete;
mod discovery;
mod event;
mod form;
mod job_status;
pub mod jobs;
mod kinds;
mod listen;
mod managed;
mod names;
mod openapi;
mod patch;
mod path;
mod read;
mod scale;
mod selector;
mod shape;
mod status;
mod store;
mod table;
mod value;
mod verbs;
mod watch;
mod write;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::Body;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode};
use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::watch as channel;

use names::Names;
use status::Refusal;
use store::{Key, Store};
use value::set;

pub use listen::Listening;

/// Gives the present moment.
type Clock = Box<dyn Fn() -> Timestamp + Send + Sync>;

/// How far the store is, and how many times all watches were broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct News {
    version: u64,
    broken: u64,
}

struct State {
    store: Store,
    names: Names,
}

struct Shared {
    state: Mutex<State>,
    news: channel::Sender<News>,
    clock: Clock,
}

/// The API. Clones are the same one.
#[derive(Clone)]
pub struct ClusterApi {
    shared: Arc<Shared>,
}

impl ClusterApi {
    /// An API with the namespace `default`, the definitions of our kinds, and nothing else.
    ///
    /// `clock` says what time it is; uids and generated names follow from `seed`.
    pub fn new(clock: impl Fn() -> Timestamp + Send + Sync + 'static, seed: u64) -> Self {
        let mut state = State { store: Store::default(), names: Names::new(seed) };
        install(&mut state, clock());
        let news = News { version: state.store.version(), broken: 0 };
        let shared =
            Shared { state: Mutex::new(state), news: channel::Sender::new(news), clock: Box::new(clock) };
        Self { shared: Arc::new(shared) }
    }

    /// A client of it, which must be made inside of a tokio runtime.
    pub fn client(&self) -> Client {
        Client::new(self.clone(), "default")
    }

    /// The version of the last change.
    pub fn version(&self) -> u64 {
        self.lock().store.version()
    }

    /// Forgets all versions before the present one: watches and pages that begin there get 410.
    pub fn compact(&self) {
        self.lock().store.compact();
    }

    /// Ends all watches that there are, as an API server does that is started anew.
    pub fn break_watches(&self) {
        self.shared.news.send_modify(|news| news.broken += 1);
    }

    /// Follows the owners and namespaces that have gone, one step; gives how many objects it changed.
    pub fn collect(&self) -> usize {
        let now = self.now();
        let count = collect::collect(&mut self.lock(), now);
        self.tell();
        count
    }

    /// Collects after every change, for as long as it is polled.
    pub async fn collect_always(&self) {
        let mut news = self.shared.news.subscribe();
        loop {
            while self.collect() > 0 {}
            news.borrow_and_update();
            // A change that came in between.
            while self.collect() > 0 {}
            // The sender lives as long as this does.
            let _ = news.changed().await;
        }
    }

    fn now(&self) -> Timestamp {
        (self.shared.clock)()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the watches how far the store is.
    fn tell(&self) {
        let version = self.lock().store.version();
        self.shared.news.send_if_modified(|news| {
            let is_new = news.version < version;
            news.version = news.version.max(version);
            is_new
        });
    }

    /// Answers a request whose body has been read.
    fn answer(&self, parts: &http::request::Parts, body: &[u8]) -> Response<Body> {
        let answer = verbs::answer(self, parts, body);
        self.tell();
        answer.unwrap_or_else(|refusal: Refusal| json_response(refusal.code, &refusal.body(), &[]))
    }
}

impl tower::Service<Request<kube::client::Body>> for ClusterApi {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        let api = self.clone();
        async move {
            let (parts, body) = request.into_parts();
            let answer = match body.collect_bytes().await {
                Ok(bytes) => api.answer(&parts, &bytes),
                Err(error) => {
                    let refusal = Refusal::bad_request(format!("the body cannot be read: {error}"));
                    json_response(refusal.code, &refusal.body(), &[])
                }
            };
            Ok(answer)
        }
        .boxed()
    }
}

/// An answer of JSON, with warnings for the client to show.
fn json_response(code: u16, body: &Value, warnings: &[String]) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    for warning in warnings {
        // RFC 7234: a code, who warns, and a quoted text.
        let quoted = format!("299 - {}", json!(warning));
        if let Ok(value) = http::HeaderValue::from_str(&quoted) {
            headers.append(http::header::WARNING, value);
        }
    }
    response
}

/// An instant as metadata has it.
fn seconds(instant: Timestamp) -> String {
    instant.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Puts in what is there from the start.
fn install(state: &mut State, now: Timestamp) {
    let created = seconds(now);
    if let Some(namespaces) = kinds::find("", "v1", "namespaces") {
        let mut object = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": "default", "uid": state.names.uid(), "creationTimestamp": created},
        });
        built_in::fill_in(namespaces, &mut object, 0);
        state.store.put(namespaces.stored, Key::new("", "default"), object);
    }
    let Some(kind) = kinds::find("apiextensions.k8s.io", "v1", "customresourcedefinitions") else { return };
    for (name, crd) in &*DEFINITIONS {
        let mut object = crd.clone();
        let condition = |type_: &str, reason: &str| json!({"type": type_, "status": "True", "reason": reason, "message": "", "lastTransitionTime": created});
        let status = json!({
            "acceptedNames": object.pointer("/spec/names"),
            "conditions": [condition("NamesAccepted", "NoConflicts"), condition("Established", "InitialNamesAccepted")],
            "storedVersions": [crate::api::VERSION],
        });
        set(&mut object, "status", status);
        let metadata = json!({
            "name": name, "uid": state.names.uid(), "creationTimestamp": created, "generation": 1,
        });
        set(&mut object, "metadata", metadata);
        state.store.put(kind.stored, Key::new("", name), object);
    }
}

/// The definitions of our kinds by their names. To write them takes longer than anything else at a start.
static DEFINITIONS: LazyLock<Vec<(String, Value)>> = LazyLock::new(|| {
    let named = |crd: CustomResourceDefinition| {
        let name = format!("{}.{}", crd.spec.names.plural, crd.spec.group);
        Some((name, serde_json::to_value(crd).ok()?))
    };
    crate::api::crds().into_iter().filter_map(named).collect()
});
