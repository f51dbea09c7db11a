//! What a failed request means for the object it was made for.

use std::borrow::Cow;

use super::certificates::issue;
use super::leader::DoesNotLead;
use super::requests::is_of_stop;
use crate::api::Reason;
use crate::causes::chain;
use crate::dask;
use crate::plan::Wants;
use crate::plan::conditions::Failure;
use crate::plan::order::Refusal;

/// Why a reconcile did not get to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The API server answered no, or not at all.
    #[error("a request to the API server failed")]
    Api(#[from] kube::Error),
    /// An object of the name exists and belongs to somebody else.
    #[error("the {kind} {name} exists and is not ours: rename it or delete it")]
    NameTaken { kind: Cow<'static, str>, name: String },
    /// An object of the name is on its way out.
    #[error("the {kind} {name} is still being deleted")]
    BeingDeleted { kind: Cow<'static, str>, name: String },
    /// An object is not as it was a moment ago.
    #[error("the {kind} {name} has changed meanwhile")]
    Changed { kind: Cow<'static, str>, name: String },
    /// What the plan rests on was not looked at, because the caches said that it would not be needed.
    #[error("the caches are behind: a plan from them did not ask for {lacking:?}")]
    Behind { lacking: Wants },
    /// An object that this one needs does not decode.
    #[error("the {kind} {name} cannot be read by this operator: its conditions say why")]
    Unreadable { kind: Cow<'static, str>, name: String },
    /// The API server does not know cert-manager's kinds.
    #[error("cert-manager is not installed in this cluster: install it, or write tls.issuer: Operator")]
    NoCertManager,
    /// One part was refused. What serves already goes on.
    #[error("{part} cannot be had as the spec wants it")]
    Part {
        /// What users call it.
        part: String,
        /// The refusal.
        #[source]
        cause: Box<Error>,
    },
    /// What a cluster is to be served with next cannot be had. What serves it now goes on.
    #[error("the certificate cannot be had")]
    Certificate(#[source] Box<Error>),
    /// A certificate could not be made.
    #[error("the certificate could not be made")]
    Issue(#[from] issue::Error),
    /// The process is about to end.
    #[error(transparent)]
    DoesNotLead(#[from] DoesNotLead),
    /// The Dask Gateway did not do what it was asked.
    #[error("{message}")]
    Gateway { reason: Reason, message: String },
    /// The Dask scheduler did not do what it was asked.
    #[error("the Dask scheduler could not be asked")]
    Scheduler(#[from] dask::Error),
}

/// Who has to act next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disposition {
    /// Nobody: the cache was behind. Look again at once.
    Conflict,
    /// Trying again may help.
    Transient,
    /// Somebody has to change something.
    Lasting,
}

impl Error {
    /// Who has to act next.
    pub(super) fn disposition(&self) -> Disposition {
        match self {
            Self::Certificate(cause) | Self::Part { cause, .. } => cause.disposition(),
            Self::Api(kube::Error::Api(status)) if status.code == 409 => Disposition::Conflict,
            Self::Api(kube::Error::Api(status)) if is_quota(status) => Disposition::Transient,
            Self::Api(kube::Error::Api(status)) if matches!(status.code, 400 | 403 | 422) => {
                Disposition::Lasting
            }
            Self::Changed { .. } | Self::Behind { .. } => Disposition::Conflict,
            Self::NameTaken { .. } | Self::NoCertManager | Self::Unreadable { .. } => Disposition::Lasting,
            _ => Disposition::Transient,
        }
    }

    /// How users are told of it.
    pub(super) fn tell(&self) -> Failure {
        match self {
            Self::Certificate(cause) => return Failure { spares_what_serves: true, ..cause.tell() },
            Self::Part { part, cause } => {
                let failure = cause.tell();
                let message = format!("{part}: {}", failure.message);
                return Failure { spares_what_serves: true, message, ..failure };
            }
            _ => {}
        }
        let reason = match self {
            Self::Api(kube::Error::Api(status)) if is_quota(status) => Reason::QuotaExceeded,
            Self::Api(kube::Error::Api(status)) if lacks_right(status) => Reason::Forbidden,
            Self::Api(kube::Error::Api(status)) if matches!(status.code, 400 | 403 | 422) => Reason::Rejected,
            Self::NameTaken { .. } => Reason::NameTaken,
            Self::Unreadable { .. } => Reason::Unreadable,
            Self::NoCertManager => Reason::CertificateNotReady,
            Self::Gateway { reason, .. } => *reason,
            _ => Reason::ReconcileFailing,
        };
        let message = match self {
            Self::Api(kube::Error::Api(status)) => status.message.clone(),
            other => chain(other),
        };
        let lasting = self.disposition() == Disposition::Lasting;
        Failure { reason, message, lasting, spares_what_serves: self.is_quota() }
    }

    /// Whether the status should say so at the first time: where waiting alone does not help.
    pub(super) fn is_worth_telling(&self, count: u32) -> bool {
        self.disposition() == Disposition::Lasting || self.is_quota() || count >= 3
    }

    /// Whether the object's namespace is being deleted, and the object with it: nothing can be created, and
    /// nobody has to know.
    pub(super) fn is_of_ending_namespace(&self) -> bool {
        match self {
            Self::Certificate(cause) | Self::Part { cause, .. } => cause.is_of_ending_namespace(),
            Self::Api(kube::Error::Api(status)) => is_of_ending_namespace(status),
            _ => false,
        }
    }

    /// Whether a plan rested on what the caches alone did not show. It is no failure: what was lacking is
    /// looked at the next time.
    pub(super) fn is_of_caches(&self) -> bool {
        matches!(self, Self::Behind { .. })
    }

    /// Whether a request was not made because the process was asked to stop.
    pub(super) fn is_of_stop(&self) -> bool {
        match self {
            Self::Certificate(cause) | Self::Part { cause, .. } => cause.is_of_stop(),
            Self::Api(error) => is_of_stop(error),
            _ => false,
        }
    }

    /// Whether the namespace's quota has no room.
    pub(super) fn is_quota(&self) -> bool {
        match self {
            Self::Certificate(cause) | Self::Part { cause, .. } => cause.is_quota(),
            Self::Api(kube::Error::Api(status)) => is_quota(status),
            _ => false,
        }
    }

    /// Where the API server, or the owner of a name, says no to what was asked, and to nothing else: what is
    /// asked of it next may well be granted.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        if matches!(self, Self::Unreadable { .. }) || self.is_of_ending_namespace() {
            return None;
        }
        if self.is_quota() {
            return Some(Refusal::Quota);
        }
        if matches!(self, Self::NameTaken { .. }) {
            return Some(Refusal::Name);
        }
        (self.disposition() == Disposition::Lasting).then_some(Refusal::Part)
    }
}

/// Whether a 403 is about our rights, in the words of the API server's authorizer, rather than about the
/// object.
fn lacks_right(status: &kube::core::Status) -> bool {
    status.code == 403 && status.message.contains("User \"") && status.message.contains(" cannot ")
}

fn is_quota(status: &kube::core::Status) -> bool {
    status.code == 403 && status.message.contains("exceeded quota")
}

/// Whether the API server refuses an object because its namespace is being deleted.
fn is_of_ending_namespace(status: &kube::core::Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.code == 403 && { causes }.any(|cause| cause.reason == "NamespaceTerminating")
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use serde_json::json;

    use super::*;

    fn refusal(body: serde_json::Value) -> Error {
        let status: Status = serde_json::from_value(body).unwrap();
        Error::Api(kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn the_whole_status_of_the_api_server_is_in_no_line() {
        let error = refusal(json!({
            "status": "Failure", "code": 403, "reason": "Forbidden", "message": "pods \"a\" is forbidden: no",
            "details": {"name": "a", "kind": "pods"},
        }));
        assert_eq!(
            chain(&error),
            "a request to the API server failed: ApiError: pods \"a\" is forbidden: no: Forbidden"
        );
        let io = std::io::Error::other("refused");
        let error = Error::Api(kube::Error::ReadEvents(io));
        assert_eq!(chain(&error), "a request to the API server failed: Error reading events stream: refused");
    }

    #[test]
    fn a_namespace_that_is_being_deleted_is_nobodys_fault() {
        let causes =
            json!([{"reason": "NamespaceTerminating", "message": "namespace a is being terminated"}]);
        let ending = |causes: &serde_json::Value| {
            refusal(json!({
                "status": "Failure", "code": 403, "reason": "Forbidden", "message": "unable to create new content",
                "details": {"causes": causes},
            }))
        };
        assert!(ending(&causes).is_of_ending_namespace());
        assert!(Error::Certificate(Box::new(ending(&causes))).is_of_ending_namespace());
        assert!(!ending(&json!([])).is_of_ending_namespace());
    }
}
