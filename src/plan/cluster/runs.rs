//! The runs on a cluster.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;

use crate::api::{DaskCluster, FlowRun};
use crate::plan::facts::phase_of;

/// Of all these runs, the ones on the cluster that have not ended, and when the last of its others ended.
pub fn on_cluster(
    mut runs: Vec<Arc<FlowRun>>,
    cluster: &DaskCluster,
) -> (Vec<Arc<FlowRun>>, Option<Timestamp>) {
    let (namespace, name) = (cluster.metadata.namespace.as_deref(), cluster.name_any());
    runs.retain(|run| {
        run.metadata.namespace.as_deref() == namespace
            && run.status.as_ref().and_then(|status| status.cluster.as_ref()) == Some(&name)
    });
    let (ended, going): (Vec<_>, Vec<_>) = runs.into_iter().partition(|run| phase_of(run).is_final());
    let ends = ended.iter().filter_map(|run| run.status.as_ref()?.finished_at.as_ref().map(|time| time.0));
    (going, ends.max())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(name: &str, namespace: &str, status: serde_json::Value) -> Arc<FlowRun> {
        let mut run = FlowRun::new(name, serde_json::from_value(json!({"flow": "f"})).unwrap());
        run.metadata.namespace = Some(namespace.to_owned());
        run.status = Some(serde_json::from_value(status).unwrap());
        Arc::new(run)
    }

    #[test]
    fn the_last_end_is_that_of_a_finished_run_on_this_cluster() {
        let ended =
            |cluster: &str, at: &str| json!({"phase": "Failed", "cluster": cluster, "finishedAt": at});
        let runs = vec![
            run("early", "a", ended("demo", "2026-01-01T00:00:00Z")),
            run("late", "a", ended("demo", "2026-01-02T00:00:00Z")),
            run("elsewhere", "a", ended("other", "2026-01-03T00:00:00Z")),
            run("far", "b", ended("demo", "2026-01-04T00:00:00Z")),
            run("going", "a", json!({"phase": "Running", "cluster": "demo"})),
        ];
        let mut cluster = DaskCluster::new("demo", serde_json::from_value(json!({"image": "a"})).unwrap());
        cluster.metadata.namespace = Some("a".to_owned());
        let (going, last_end) = on_cluster(runs, &cluster);
        assert_eq!(going.iter().map(|run| run.name_any()).collect::<Vec<_>>(), ["going"]);
        assert_eq!(last_end, Some("2026-01-02T00:00:00Z".parse().unwrap()));
    }
}
