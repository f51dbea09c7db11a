//! What an operator does so that objects of dask-kubernetes in a Kubernetes cluster are served: what it has
//! to write, decided from what is there.
//!
//! What it is: for each `DaskCluster` of theirs one of ours, of the same name and owned by it, as
//! [`super::translate_served`] says; the objects and the words that their clients look for (the group
//! `NAME-default`, `status.phase`); for each `DaskJob` a `DaskCluster` of theirs and the pod of its program.
//!
//! What it is not: it looks after no scheduler and no worker. That is the planner of our clusters, for these
//! as for all others. What dask-kubernetes' own operator has made goes on as it is ([`living`]).
//!
//! Always: each write is decided from how things are, and not from what has happened; but for the number of
//! workers of their `DaskCluster`, which is given to its group when it changes, as their clients scale the
//! group alone ([`parts`]).

mod cluster;
mod job;
mod kind;
mod living;
mod observed;
mod parts;
mod shown;
#[cfg(test)]
mod tests;
mod wanted;
mod write;

pub use cluster::{failing, plan as plan_cluster};
pub use job::{Failed, Job, failing as failing_job, plan as plan_job};
pub use kind::TheirKind;
pub use observed::Cluster;
pub use parts::{Freed, RefusedGroups, refused_groups};
pub use shown::{Namesake, Show, Shown, judge as judge_shown, plan as plan_shown};
pub use write::{Plan, Write};
