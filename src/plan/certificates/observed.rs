//! What was observed of the certificates of a cluster.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use super::{Certificates, Fault};

/// What was observed of the certificates of a cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TlsView {
    /// The Secret that the issuer fills. None: it was not read.
    pub source: Option<Result<Certificates, Fault>>,
    /// The Secret of our own authority. None: it was not read.
    pub authority: Option<Result<Certificates, Fault>>,
    /// Whether the copy of the source that pods are made with is there.
    pub copied: bool,
    /// The object by which cert-manager is asked.
    pub request: Option<Value>,
    /// The Secrets that runners have which have not ended.
    pub of_runners: BTreeSet<String>,
}

/// What is decided about certificates from.
#[derive(Clone, Copy, Debug)]
pub(in crate::plan) struct Seen<'a> {
    /// The pods of the cluster.
    pub(in crate::plan) pods: &'a [Arc<Pod>],
    /// Its Secrets.
    pub(in crate::plan) tls: &'a TlsView,
    /// Whether runs are on the cluster.
    pub(in crate::plan) has_runs: bool,
}
