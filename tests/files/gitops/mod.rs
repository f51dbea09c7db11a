//! What GitOps tools make of our objects: kstatus (Flux), the health scripts and actions of Argo CD, and
//! labels of theirs, without a cluster.

mod argocd;
mod children;
mod kstatus;
mod scenarios;
