//! A DaskCluster that is made for one of dask-kubernetes and follows it: its spec is written from theirs, and
//! what others write there is put back. So theirs is changed in its stead, in the words of here.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;
use serde_json::Value;

use crate::api::dask_kubernetes::{GROUP, leader};
use crate::api::{DaskCluster, WorkersSpec, labels};
use crate::plan::pods::worker::DEFAULT_GROUP;

/// Why a cluster is neither suspended nor resumed, and what to do instead; none where it may be.
pub fn no_suspend(cluster: &DaskCluster) -> Option<String> {
    let leader = leader(cluster)?;
    Some(format!(
        "{}, which has no suspend: delete that one, or scale it to 0 workers",
        whose(cluster, leader)
    ))
}

/// Why the number of workers of a group is not written to a cluster, and what to do instead; none where it
/// may be.
pub fn no_scale(cluster: &DaskCluster, (group, spec): (&str, &WorkersSpec), workers: i32) -> Option<String> {
    let leader = leader(cluster)?;
    let namespace = cluster.namespace().map(|namespace| format!(" -n {namespace}")).unwrap_or_default();
    let whose = whose(cluster, leader);
    if spec.autoscale.is_some() {
        return Some(format!(
            "{whose}, whose DaskAutoscaler scales the group {group}: change its minimum and maximum \
             (`kubectl get daskautoscalers.{GROUP}{namespace}`), or delete it"
        ));
    }
    let Some(name) = group_of_theirs(cluster, group, spec) else {
        return Some(format!(
            "{whose}, which says how many workers it has: scale its DaskWorkerGroup \
             (`kubectl get daskworkergroups.{GROUP}{namespace}`)"
        ));
    };
    Some(format!(
        "{whose}, which says how many workers it has: \
         `kubectl scale daskworkergroups.{GROUP}/{name} --replicas={workers}{namespace}`"
    ))
}

fn whose(cluster: &DaskCluster, leader: &OwnerReference) -> String {
    format!(
        "the DaskCluster {} belongs to the {} {} of {GROUP}",
        cluster.name_any(),
        leader.kind,
        leader.name
    )
}

/// The name of the group of theirs that became this one, as its pods have it in a label.
fn group_of_theirs(cluster: &DaskCluster, group: &str, spec: &WorkersSpec) -> Option<String> {
    if group == DEFAULT_GROUP {
        return Some(format!("{}-{DEFAULT_GROUP}", cluster.name_any()));
    }
    let labels = spec.template.as_ref()?.pointer("/metadata/labels")?;
    labels.get(labels::WORKER_GROUP).and_then(Value::as_str).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cluster(owner: &Value) -> DaskCluster {
        serde_json::from_value(json!({
            "apiVersion": "daskflow.dev/v1alpha1", "kind": "DaskCluster",
            "metadata": {"name": "own", "namespace": "team", "ownerReferences": [owner]},
            "spec": {"image": "x", "workers": {"replicas": 2}, "workerGroups": [
                {"name": "gpu", "replicas": 1, "template": {"metadata": {"labels": {labels::WORKER_GROUP: "own-gpu"}}}},
                {"name": "long", "replicas": 1},
                {"name": "auto", "autoscale": {"minimum": 0, "maximum": 3}},
            ]},
        }))
        .unwrap()
    }

    fn theirs() -> DaskCluster {
        cluster(&json!({
            "apiVersion": "kubernetes.dask.org/v1", "kind": "DaskCluster", "name": "own", "uid": "1", "controller": true,
        }))
    }

    #[test]
    fn what_is_to_be_changed_instead_is_named() {
        let cluster = theirs();
        let whose = "the DaskCluster own belongs to the DaskCluster own of kubernetes.dask.org";
        assert_eq!(
            no_suspend(&cluster).unwrap(),
            format!("{whose}, which has no suspend: delete that one, or scale it to 0 workers")
        );
        let said = |group: &str| {
            let groups = &cluster.spec.worker_groups;
            let further = groups.iter().find(|one| one.name == group).map(|one| &one.workers);
            no_scale(&cluster, (group, further.unwrap_or(&cluster.spec.workers)), 3).unwrap()
        };
        for (group, words) in [
            (
                "default",
                "kubectl scale daskworkergroups.kubernetes.dask.org/own-default --replicas=3 -n team`",
            ),
            ("gpu", "kubectl scale daskworkergroups.kubernetes.dask.org/own-gpu --replicas=3 -n team`"),
            ("long", "(`kubectl get daskworkergroups.kubernetes.dask.org -n team`)"),
            ("auto", "whose DaskAutoscaler scales the group auto"),
        ] {
            let said = said(group);
            assert!(said.starts_with(whose) && said.contains(words), "{group}: {said}");
        }
    }

    #[test]
    fn a_cluster_of_a_run_or_of_a_person_may_be_changed() {
        let run = json!({
            "apiVersion": "daskflow.dev/v1alpha1", "kind": "FlowRun", "name": "a", "uid": "1", "controller": true,
        });
        // An owner that does not control it does not write it.
        let other =
            json!({"apiVersion": "kubernetes.dask.org/v1", "kind": "DaskCluster", "name": "own", "uid": "1"});
        for owner in [run, other] {
            let cluster = cluster(&owner);
            assert_eq!(no_suspend(&cluster), None, "{owner}");
            assert_eq!(no_scale(&cluster, ("default", &cluster.spec.workers), 3), None, "{owner}");
        }
    }
}
