//! A cluster.

use jiff::Timestamp;
use kube::ResourceExt;

use super::detail::{GAP, events, faults, pod, state};
use super::shown::Shown;
use crate::api::dask_cluster::GroupStatus;
use crate::api::{DaskCluster, FlowRun, Kind};
use crate::view::tree::Tree;
use crate::view::{age, objects};

/// The cluster with what belongs to it.
pub(super) fn tree(cluster: &DaskCluster, shown: &Shown<'_>) -> Tree {
    let status = cluster.status.clone().unwrap_or_default();
    let mut branches = faults(&status.conditions, Kind::DaskCluster);
    if shown.detail {
        let addresses = [("scheduler", &status.scheduler_address), ("dashboard", &status.dashboard_address)];
        let known = addresses.into_iter().filter_map(|(what, address)| Some((what, address.as_ref()?)));
        branches.extend(known.map(|(what, address)| Tree::line(format!("{what} {address}"))));
        // Of one group the line above says it already.
        if status.groups.len() > 1 {
            let group = |group: &GroupStatus| {
                Tree::line(format!("group {}{GAP}{} of {} workers", group.name, group.ready, group.desired))
            };
            branches.extend(status.groups.iter().map(group));
        }
        branches.extend(runs_on(cluster, shown).into_iter().map(|run| super::run::line(run, shown.now)));
        branches
            .extend(shown.objects.pods_of_cluster(cluster).into_iter().map(|found| pod(found, shown.now)));
        branches.extend(events(cluster, shown));
    }
    line(cluster, shown.now).with(branches)
}

/// The runs on it that have not ended, the newest first.
fn runs_on<'a>(cluster: &DaskCluster, shown: &Shown<'a>) -> Vec<&'a FlowRun> {
    let name = cluster.name_any();
    let is_on = |run: &&FlowRun| {
        let status = run.status.as_ref();
        run.namespace() == cluster.namespace()
            && status.is_some_and(|status| {
                !status.phase.is_final() && status.cluster.as_deref() == Some(name.as_str())
            })
    };
    let mut runs: Vec<&FlowRun> = shown.objects.runs.iter().filter(is_on).collect();
    runs.sort_by_key(|run| std::cmp::Reverse(objects::place(run)));
    runs
}

/// The cluster in one line.
pub(super) fn line(cluster: &DaskCluster, now: Timestamp) -> Tree {
    let status = cluster.status.clone().unwrap_or_default();
    let (mark, state) = state(&status.conditions);
    let mut words = vec![state, format!("{} of {} workers", status.workers.ready, status.workers.desired)];
    let idle = status.idle.as_ref().filter(|idle| idle.asleep);
    words.extend(idle.map(|idle| format!("idle since {}", age::ago(idle.since.0, now))));
    if cluster.spec.suspend {
        words.push("suspended".to_owned());
    }
    Tree::line(format!("cluster/{}{GAP}{}", cluster.name_any(), words.join(", "))).marked(mark)
}
