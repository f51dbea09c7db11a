//! What has to be asked of a cluster's scheduler over and over, so that the cluster can be planned.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;

use super::groups::of_spec;
use super::load::Questions;
use super::scheduler::is_outdated;
use crate::api::DaskCluster;
use crate::api::dask_cluster::Rollout;
use crate::plan::certificates::TlsView;
use crate::plan::certificates::decision::chosen;

/// The shortest and the longest time between two questions. One costs the scheduler less than a millisecond
/// (measured, over a kept connection).
const EVERY_MIN: Duration = Duration::from_secs(1);
const EVERY_MAX: Duration = Duration::from_secs(5);
/// In how many questions a cluster is found to be idle.
const IDLE_QUESTIONS: u32 = 4;

/// What has to be asked of the scheduler of a cluster with these pods. None: nothing.
pub fn questions(cluster: &DaskCluster, pods: &[Arc<Pod>], tls: &TlsView) -> Option<Questions> {
    let spec = &cluster.spec;
    let autoscaled = || of_spec(cluster).filter_map(|(_, workers)| workers.autoscale.as_ref());
    let target = spec.workers.autoscale.as_ref().and_then(|autoscale| autoscale.target_duration.get());
    let resources = spec.worker_groups.iter().any(|group| group.workers.autoscale.is_some());
    let certificate = chosen(cluster, pods, tls).scheduler;
    let waits_for_idleness =
        spec.rollout == Rollout::WhenIdle && is_outdated(cluster, pods, certificate.as_ref());
    let activity = spec.idle.is_some() || waits_for_idleness;
    if spec.suspend || !(target.is_some() || resources || activity) {
        return None;
    }
    let idle = spec.idle.as_ref().and_then(|idle| idle.after.get());
    let shortest = autoscaled()
        .filter_map(|autoscale| autoscale.target_duration.get())
        .chain(idle.map(|after| after / IDLE_QUESTIONS))
        .fold(EVERY_MAX, Duration::min);
    Some(Questions {
        every: shortest.max(EVERY_MIN),
        target,
        resources,
        activity,
        memory: autoscaled()
            .filter_map(|autoscale| autoscale.scale_down_after.get())
            .max()
            .unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plan::pods::scheduler;
    use crate::plan::site::Site;

    fn questions(cluster: &DaskCluster, pods: &[Arc<Pod>]) -> Option<Questions> {
        super::questions(cluster, pods, &TlsView::default())
    }

    fn cluster(mut spec: Value) -> DaskCluster {
        spec["image"] = json!("a");
        DaskCluster::new("a", serde_json::from_value(spec).unwrap())
    }

    #[test]
    fn a_cluster_of_fixed_size_is_asked_nothing() {
        assert_eq!(questions(&cluster(json!({})), &[]), None);
    }

    #[test]
    fn each_wish_asks_for_what_it_needs() {
        let auto = json!({"maximum": 3, "targetDuration": "2s", "scaleDownAfter": "30s"});
        let asked = questions(&cluster(json!({"workers": {"autoscale": auto}})), &[]).unwrap();
        assert_eq!((asked.every, asked.target), (Duration::from_secs(2), Some(Duration::from_secs(2))));
        assert_eq!((asked.resources, asked.activity, asked.memory), (false, false, Duration::from_secs(30)));
        let group = json!([{"name": "gpu", "daskResources": {"GPU": 1}, "autoscale": {"maximum": 2}}]);
        let asked = questions(&cluster(json!({"workerGroups": group})), &[]).unwrap();
        assert_eq!((asked.target, asked.resources, asked.activity), (None, true, false));
        let asked = questions(&cluster(json!({"idle": {"after": "10m"}})), &[]).unwrap();
        assert_eq!((asked.every, asked.activity), (Duration::from_secs(5), true));
        let asked = questions(&cluster(json!({"idle": {"after": "2s"}})), &[]).unwrap();
        assert_eq!(asked.every, Duration::from_secs(1));
    }

    #[test]
    fn an_outdated_scheduler_is_asked_whether_it_is_idle() {
        let before = cluster(json!({}));
        let pods = [Arc::new(scheduler::pod(&before, Site::Kubernetes, None).unwrap())];
        assert_eq!(questions(&before, &pods), None);
        let after = cluster(json!({"scheduler": {"args": ["--no-show"]}}));
        assert!(questions(&after, &pods).unwrap().activity);
        let at_once = cluster(json!({"scheduler": {"args": ["--no-show"]}, "rollout": "Immediate"}));
        assert_eq!(questions(&at_once, &pods), None);
    }
}
