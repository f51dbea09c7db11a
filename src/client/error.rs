//! What can go wrong, in words that name the object and the next step.

use kube::core::Status;

use crate::causes::chain;

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No object of this name.
    #[error("there is no {kinds} called {name} in the namespace {namespace}: {hint}")]
    NotFound {
        /// The kinds that were looked for, in words.
        kinds: String,
        /// The name.
        name: String,
        /// Where.
        namespace: String,
        /// What to do.
        hint: String,
    },
    /// Several objects have the name.
    #[error("{name} is the name of a {kinds}: write which one is meant, such as {example}")]
    Ambiguous {
        /// The name.
        name: String,
        /// The kinds, in words.
        kinds: String,
        /// The name with a kind before it.
        example: String,
    },
    /// The caller lacks a right.
    #[error(
        "you may not {action}: ask an administrator for the ClusterRole daskflow-{role}, or for {role} of the namespace"
    )]
    Forbidden {
        /// What was tried.
        action: String,
        /// Which of the two roles has it: `view` or `edit`.
        role: &'static str,
    },
    /// The caller is not known.
    #[error(
        "the API server does not accept your credentials ({why}): they may have expired; log in again as for kubectl, and try `kubectl auth whoami`"
    )]
    Unauthorized {
        /// What was said.
        why: String,
    },
    /// There was no answer.
    #[error(
        "the API server cannot be reached ({why}): look at `kubectl config current-context` and at the network, or name another cluster with --context"
    )]
    Unreachable {
        /// What happened.
        why: String,
    },
    /// The kinds are not there.
    #[error(
        "the cluster does not serve daskflow.dev/v1alpha1: an administrator has to install daskflow in it, or --context names another cluster"
    )]
    NotInstalled,
    /// The API server does not take it.
    #[error("the API server refuses to {action}: {why}")]
    Refused {
        /// What was tried.
        action: String,
        /// Its words.
        why: String,
    },
    /// An object was there, and is no more.
    #[error("the {kind} {name} was deleted meanwhile: {hint}")]
    Deleted {
        /// The kind.
        kind: &'static str,
        /// The name.
        name: String,
        /// What to do.
        hint: String,
    },
    /// The request does not make sense, as it names what the object does not have.
    #[error("{0}")]
    Senseless(String),
    /// Anything else.
    #[error("cannot {action}")]
    Request {
        /// What was tried.
        action: String,
        /// Why not.
        source: Box<kube::Error>,
    },
}

impl Error {
    /// What a failed request means. `action` goes on after "you may not".
    pub fn of(error: kube::Error, action: &str) -> Self {
        match error {
            kube::Error::Api(status) => Self::of_status(&status, action),
            // Of the certificates, of the connection, and of the proxy.
            kube::Error::HyperError(_) | kube::Error::Service(_) => Self::Unreachable { why: chain(&error) },
            kube::Error::Auth(_) => Self::Unauthorized { why: chain(&error) },
            other => Self::Request { action: action.to_owned(), source: Box::new(other) },
        }
    }

    fn of_status(status: &Status, action: &str) -> Self {
        let why = status.message.clone();
        match status.code {
            401 => Self::Unauthorized { why },
            403 if is_of_rights(status) => {
                let reads = ["get", "list", "watch", "read"].iter().any(|verb| action.starts_with(verb));
                Self::Forbidden { action: action.to_owned(), role: if reads { "view" } else { "edit" } }
            }
            404 if !is_of_object(status) => Self::NotInstalled,
            _ => Self::Refused { action: action.to_owned(), why },
        }
    }
}

/// Whether it is the caller who may not, rather than a quota or a webhook that forbids the object.
fn is_of_rights(status: &Status) -> bool {
    !status.message.contains("exceeded quota") && !status.message.contains("admission webhook")
}

/// Whether it is an object that is not there, rather than its kind.
pub fn is_of_object(status: &Status) -> bool {
    status.details.as_ref().is_some_and(|details| !details.name.is_empty())
}
