//! A Kubernetes API in this process: what the operator, the commands and `kubectl` run on where there is no
//! cluster.
//!
//! It is a [`tower::Service`] that a [`kube::Client`] is built on ([`ClusterApi::client`]), and it can listen
//! on loopback ([`ClusterApi::listen`], and with TLS and a token [`ClusterApi::listen_with`]). Its objects
//! live in memory, and end with it, unless they are kept in a file as well ([`ClusterApi::kept`]).
//!
//! What it serves: our kinds, with their schemas, defaults and rules from [`crate::manifest`], those of
//! dask-kubernetes where it is asked to ([`ClusterApi::serve_dask_kubernetes`]), and the core kinds that this
//! project uses (Pod, Job, Deployment, Service, `ConfigMap`, Secret, Event in both forms, Namespace, Lease,
//! `NetworkPolicy`, `ServiceAccount`; `CustomResourceDefinition` for reading). Get, list with selectors and
//! pages, watch with bookmarks, create, update, the four patches with field managers, delete with
//! preconditions, grace, propagation and finalizers, the subresources `status` and `scale`, tables,
//! discovery, and `OpenAPI` v3. What a user may do (all), and what containers have written, which a
//! [`LogSource`] knows.
//!
//! What it leaves to others: no pod is started here. [`jobs`] makes pods of Jobs, and nothing does of a
//! Deployment, which has to be paused; owners and namespaces are
//! followed by [`ClusterApi::collect`], which also ends Events after an hour. There is no authorization, no
//! admission and no quota, and no authentication but that token: it belongs to one user, on one machine. It
//! does not check core objects as deeply as Kubernetes does (see `built_in`).
//!
//! What it refuses, with a `Status` that says so: kinds and paths that are not here (404), verbs that a
//! kind has not (405), forms of bodies and answers that it does not know (415, 406; protobuf is read as far
//! as `kubectl create` needs it, and not written), logs where there is no source of them, ports of pods where
//! nothing says where they are ([`ClusterApi::reach_pods_at`]) and but over a WebSocket, exec, eviction,
//! tokens, a watch by name and an apply of `events.k8s.io` (501).
//!
//! Time comes from a clock that the caller gives, names and uids from a seed: two that are asked the same
//! answer the same. Waiting is tokio's, so that a test may pause it.

mod access;
mod ages;
mod api;
mod apply;
mod body;
mod built_in;
mod changes;
mod checks;
mod collect;
mod columns;
mod delete;
mod discovery;
mod disk;
mod due_jobs;
mod event;
mod fields;
mod form;
mod forward;
mod job_status;
pub mod jobs;
mod keeping;
mod kinds;
mod listen;
mod log_source;
mod logs;
mod managed;
mod names;
mod openapi;
mod patch;
mod path;
mod places;
mod protobuf;
mod read;
mod response;
mod reviews;
mod scale;
mod selector;
mod shape;
mod state;
mod status;
mod store;
mod table;
mod value;
mod verbs;
mod watch;
mod write;
mod writer;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::task::{Context, Poll};

use axum::body::Body;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};

use response::json_response;
use status::Refusal;

pub use access::{Access, AccessError};
pub use api::ClusterApi;
pub use changes::Changed;
pub use disk::{Disk, DiskError};
pub use listen::Listening;
pub use log_source::{Log, LogLine, LogRequest, LogSource};

impl ClusterApi {
    /// Answers a request whose body has been read. Where objects are kept, the answer comes when all that it
    /// rests on is on the disk: nobody acts on what a crash would undo.
    async fn answer(&self, parts: &http::request::Parts, body: &[u8]) -> Response<Body> {
        let answer = verbs::answer(self, parts, body);
        self.tell();
        let answer = match self.written().await {
            Ok(()) => answer,
            Err(fault) => Err(keeping::not_kept(&fault)),
        };
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
                Ok(bytes) => api.answer(&parts, &bytes).await,
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
