//! What GitOps tools make of our objects: kstatus (Flux), the health scripts and actions of Argo CD, and labels of
//! theirs, without a cluster.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod argocd;
mod children;
mod kstatus;
mod scenarios;
