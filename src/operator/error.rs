//! Why the operator ended.

use crate::daemon::http::CannotListen;
use crate::plan::lease::Loss;

/// Why the operator ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No way to the API server is configured.
    #[error("there is neither a kubeconfig nor a service account to reach Kubernetes with")]
    Config(#[source] kube::config::InferConfigError),
    /// The client could not be built.
    #[error("the Kubernetes client could not be built")]
    Client(#[source] kube::Error),
    /// The thread of the Lease could not be started.
    #[error("the thread that keeps the Lease could not be started")]
    Thread(#[source] std::io::Error),
    /// The address for probes and metrics is taken.
    #[error(transparent)]
    Listen(#[from] CannotListen),
    /// Another operator leads, or may lead soon.
    #[error("this operator no longer leads")]
    Lost(#[source] Loss),
    /// A task that must never end has ended.
    #[error("{0} has ended unexpectedly")]
    TaskEnded(&'static str),
}
