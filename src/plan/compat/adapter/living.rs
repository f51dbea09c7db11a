//! A cluster that dask-kubernetes' own operator has made, and that still serves.
//!
//! Its scheduler and its workers are Deployments, which Kubernetes keeps up without any operator. It goes on
//! as it was left until it is deleted: a scheduler of ours beside its own would be selected by the same
//! Service, and its workers and clients would reach either. What it needs of an operator is its phase, and
//! that its deletion is not held up.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;
use kube::core::DynamicObject;

use super::kind::TheirKind;
use super::observed::{Cluster, ERROR, RUNNING, is_reachable};
use super::parts::{self, Changes};
use super::write::{Plan, status_of};
use crate::api::{Kind, Reason, labels};
use crate::plan::compat::group::default_name;
use crate::plan::{Next, Note};

/// How soon to look again: nothing tells of the end of what is not ours.
const LOOK: Duration = Duration::from_secs(60);

/// Whether an operator may have begun with it before, and made something of it. Its phase alone does not say
/// so: whoever replaces the whole object takes that away. A default group that is not ours does.
pub(super) fn may_be(observed: &Cluster<'_>) -> bool {
    let default = default_name(&observed.object.name_any());
    let is_theirs = |group: &Arc<DynamicObject>| {
        group.name_any() == default && !group.annotations().contains_key(labels::CLUSTER_REPLICAS)
    };
    observed.groups.iter().any(is_theirs) || !matches!(status_of(observed.object, "phase"), "" | ERROR)
}

/// What there is of it, each with its kind; empty: nothing.
pub(super) fn objects(observed: &Cluster<'_>, owner: &OwnerReference) -> Vec<String> {
    let service = observed.service.filter(|service| is_service(service, owner));
    let service = service.map(|service| format!("the Service {}", service.name_any()));
    let pods = observed.schedulers.iter().filter(|pod| is_of_another(pod));
    service.into_iter().chain(pods.map(|pod| format!("the Pod {}", pod.name_any()))).collect()
}

/// Leaves it as it is, and says so.
pub(super) fn leave(observed: &Cluster<'_>, owner: &OwnerReference, objects: &[String], plan: &mut Plan) {
    let cluster = observed.object;
    plan.writes.extend(Changes::of(TheirKind::Cluster, cluster).let_go(observed.freed).write());
    plan.notes.extend(parts::served_twice(cluster, observed.freed));
    for (kind, object) in observed.parts() {
        let mut changes = Changes::of(kind, object).let_go(observed.freed);
        if !parts::is_of_former(&object.metadata, owner) {
            changes = changes.owned_by(owner);
        }
        plan.writes.extend(changes.write());
    }
    if observed.service.is_some_and(|service| is_service(service, owner) && is_reachable(service)) {
        plan.phase(cluster, RUNNING);
    }
    let message = format!(
        "{} {} of dask-kubernetes' own operator: this cluster goes on as that has left it until it is deleted, is not scaled, \
         and its idleTimeout does not count. To have it made anew, which ends its tasks: kubectl delete \
         deployments,services --namespace {} --selector {}={}",
        objects.join(" and "),
        if objects.len() == 1 { "is" } else { "are" },
        cluster.namespace().unwrap_or_default(),
        labels::CLUSTER_NAME,
        cluster.name_any(),
    );
    plan.notes.push(Note::warning(Reason::NotTakenOver, message));
    plan.next = Next::After(LOOK);
}

/// Whether a Service is the one that their operator makes for this cluster: ours belongs to a cluster of
/// ours.
fn is_service(service: &Service, owner: &OwnerReference) -> bool {
    service.metadata.deletion_timestamp.is_none() && parts::is_owned(&service.metadata, owner)
}

/// Whether the pod of a scheduler belongs to something else than a cluster of ours.
fn is_of_another(pod: &Pod) -> bool {
    let owners = pod.owner_references();
    let is_ours = owners.iter().any(|owner| Kind::of_owner(owner).is_some());
    pod.metadata.deletion_timestamp.is_none() && !owners.is_empty() && !is_ours
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::plan::compat::adapter::{Freed, RefusedGroups, plan_cluster};

    /// A reference to a cluster "a" of this group.
    fn owner(group: &str) -> Value {
        let uid = if group == "kubernetes.dask.org" { "uid-a" } else { "uid-ours" };
        json!([{"apiVersion": format!("{group}/v1"), "kind": "DaskCluster", "name": "a", "uid": uid, "controller": true}])
    }

    fn service(group: &str) -> Service {
        let owners = owner(group);
        serde_json::from_value(json!({"metadata": {"name": "a-scheduler", "ownerReferences": owners}}))
            .unwrap()
    }

    fn pod(owners: &Value) -> Arc<Pod> {
        let pod = json!({"metadata": {"name": "a-scheduler-5d-x", "ownerReferences": owners}});
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    fn of_replica_set() -> Arc<Pod> {
        pod(&json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "a-scheduler-5d", "uid": "r"}]))
    }

    fn cluster(phase: &str) -> DynamicObject {
        let pod =
            |role: &str| json!({"spec": {"containers": [{"name": role, "image": "dask:1", "args": [role]}]}});
        let mut scheduler = pod("dask-scheduler");
        scheduler["service"] = json!({"ports": [{"name": "tcp-comm", "port": 8786}]});
        let object = json!({
            "apiVersion": "kubernetes.dask.org/v1", "kind": "DaskCluster",
            "metadata": {
                "name": "a", "namespace": "team", "uid": "uid-a", "resourceVersion": "7",
                "finalizers": ["kopf.zalando.org/KopfFinalizerMarker"],
            },
            "spec": {"worker": pod("dask-worker"), "scheduler": scheduler}, "status": {"phase": phase},
        });
        serde_json::from_value(object).unwrap()
    }

    /// What is done about a cluster in this phase with these, as the API server has them.
    fn planned(phase: &str, service: Option<&Service>, schedulers: &[Arc<Pod>], is_live: bool) -> Plan {
        let object = cluster(phase);
        let group = json!({
            "apiVersion": "kubernetes.dask.org/v1", "kind": "DaskWorkerGroup",
            "metadata": {"name": "a-default", "namespace": "team", "uid": "g", "ownerReferences": owner("kubernetes.dask.org")},
            "spec": {"cluster": "a", "worker": {"replicas": 9}},
        });
        let groups = [Arc::new(serde_json::from_value(group).unwrap())];
        plan_cluster(&Cluster {
            object: &object,
            groups: &groups,
            autoscalers: &[],
            ours: None,
            service,
            schedulers,
            beside: None,
            freed: &Freed::new(),
            refused: &RefusedGroups::new(),
            is_live,
        })
    }

    #[rstest]
    #[case::all(Some(service("kubernetes.dask.org")), vec![of_replica_set()], "the Service a-scheduler and the Pod a-scheduler-5d-x are of")]
    #[case::without_service(None, vec![of_replica_set()], "the Pod a-scheduler-5d-x is of")]
    #[case::without_scheduler(Some(service("kubernetes.dask.org")), vec![], "the Service a-scheduler is of")]
    fn what_their_operator_has_made_goes_on_and_can_be_deleted(
        #[case] service: Option<Service>,
        #[case] schedulers: Vec<Arc<Pod>>,
        #[case] words: &str,
    ) {
        let plan = planned("Running", service.as_ref(), &schedulers, true);
        let titles: Vec<String> = plan.writes.iter().map(super::super::Write::title).collect();
        assert_eq!(
            titles,
            ["change DaskCluster.kubernetes.dask.org a"],
            "its finalizer is taken away, and no more"
        );
        assert_eq!((plan.next, plan.wants_look), (Next::After(LOOK), false));
        let [note] = &plan.notes[..] else { panic!("{:?}", plan.notes) };
        assert!(
            note.warning && note.reason == Reason::NotTakenOver && note.message.starts_with(words),
            "{note:?}"
        );
        assert!(
            note.message.ends_with("services --namespace team --selector dask.org/cluster-name=a"),
            "{note:?}"
        );
    }

    #[test]
    fn its_phase_is_as_its_service_is() {
        let made = service("kubernetes.dask.org");
        let plan = planned("Pending", Some(&made), &[of_replica_set()], true);
        let title = "set the status of DaskCluster.kubernetes.dask.org a: {\"phase\":\"Running\"}";
        assert!(plan.writes.iter().any(|write| write.title() == title), "{:?}", plan.writes);
        let mut balanced = made;
        balanced.spec = serde_json::from_value(json!({"type": "LoadBalancer"})).unwrap();
        let plan = planned("Pending", Some(&balanced), &[of_replica_set()], true);
        assert!(plan.writes.iter().all(|write| write.title() != title), "{:?}", plan.writes);
    }

    #[test]
    fn caches_have_nothing_of_it_so_the_api_server_is_asked_first() {
        // Whoever replaces the object takes its phase away, and a refusal makes it an error.
        for phase in ["Running", "", "Error"] {
            let plan = planned(phase, None, &[], false);
            assert_eq!((plan.writes.len(), plan.wants_look), (0, true), "{phase}: {:?}", plan.writes);
        }
    }

    /// What is left of an earlier cluster of ours, about to be collected, is not theirs.
    #[rstest]
    #[case::nothing(None, vec![])]
    #[case::of_ours(Some(service("daskflow.dev")), vec![pod(&owner("daskflow.dev"))])]
    fn without_anything_of_theirs_ours_is_made(
        #[case] service: Option<Service>,
        #[case] schedulers: Vec<Arc<Pod>>,
    ) {
        for phase in ["", "Created", "Pending", "Running"] {
            let plan = planned(phase, service.as_ref(), &schedulers, true);
            let makes = plan.writes.iter().any(|write| matches!(write, super::super::Write::Step(_)));
            assert!(makes, "{phase}: {plan:?}");
        }
    }
}
