//! `daskflow status`: an object, and what belongs to it, as a tree.

mod backfill;
mod cluster;
mod detail;
mod flow;
mod past;
mod run;
mod shown;

use kube::ResourceExt;

use super::tree::Tree;
use crate::api::{DaskCluster, Flow, FlowBackfill, FlowRun, labels};
use crate::plan::run::Ground;

pub use shown::Shown;

/// A Flow with its cluster, its runs and its backfills.
pub fn flow(flow: &Flow, shown: &Shown<'_>) -> Tree {
    flow::tree(flow, shown)
}

/// A run with what it waits for, its cluster and its pods.
pub fn run(run: &FlowRun, shown: &Shown<'_>) -> Tree {
    run::tree(run, shown)
}

/// How a run ended that was waited for, in one line.
pub fn outcome(run: &FlowRun) -> Tree {
    run::outcome(run)
}

/// A cluster with its groups, its runs and its pods.
pub fn cluster(cluster: &DaskCluster, shown: &Shown<'_>) -> Tree {
    cluster::tree(cluster, shown)
}

/// A backfill with its runs.
pub fn backfill(backfill: &FlowBackfill, shown: &Shown<'_>) -> Tree {
    backfill::tree(backfill, shown)
}

/// All: each Flow with what belongs to it, then what belongs to none.
pub fn all(shown: &Shown<'_>) -> Vec<Tree> {
    let objects = shown.objects;
    let mut trees: Vec<Tree> = objects.flows.iter().map(|flow| flow::tree(flow, shown)).collect();
    let is_used = |cluster: &DaskCluster| {
        let by_flow = objects.flows.iter().any(|flow| {
            flow.namespace() == cluster.namespace()
                && Ground::of(flow).shared() == Some(cluster.name_any().as_str())
        });
        // A run's own is shown with the run.
        by_flow || cluster.metadata.labels.as_ref().is_some_and(|all| all.contains_key(labels::RUN))
    };
    let clusters = objects.clusters.iter().filter(|cluster| !is_used(cluster));
    trees.extend(clusters.map(|cluster| cluster::tree(cluster, shown)));
    let has_flow = |namespace: Option<String>, name: &str| {
        objects.flows.iter().any(|flow| flow.namespace() == namespace && flow.name_any() == name)
    };
    let runs = objects.runs.iter().filter(|run| !has_flow(run.namespace(), &run.spec.flow));
    trees.extend(runs.map(|run| run::tree(run, shown)));
    let backfills = objects.backfills.iter().filter(|fill| !has_flow(fill.namespace(), &fill.spec.flow));
    trees.extend(backfills.map(|fill| backfill::tree(fill, shown)));
    trees
}

#[cfg(test)]
mod tests;
