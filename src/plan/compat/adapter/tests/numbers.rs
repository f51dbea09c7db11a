//! How many workers there are: who says so, and who is followed.

use super::*;
use crate::api::DaskClusterStatus;

#[test]
fn the_group_says_how_many_workers_there_are() {
    let object = cluster(&json!({}));
    let groups = [default_group(&json!({"spec": {"worker": {"replicas": 5}}}))];
    let observed = seen(&object, &groups);
    assert_eq!(made(&observed).spec.workers.replicas, Some(5));
    assert_eq!(patch_of(&plan_cluster(&observed), "a-default"), None, "it was scaled by its client");
}

#[test]
fn the_number_of_a_cluster_is_given_to_its_group_when_it_changes() {
    let object = cluster(&json!({"spec": {"worker": {"replicas": 3}}}));
    let groups = [default_group(&json!({"spec": {"worker": {"replicas": 5}}}))];
    let patch = patch_of(&plan_cluster(&seen(&object, &groups)), "a-default").unwrap();
    assert_eq!(patch["spec"], json!({"worker": {"replicas": 3}}));
    let metadata = json!({
        "annotations": {"daskflow.dev/cluster-replicas": "3"}, "uid": "uid-a-default", "resourceVersion": "7",
    });
    assert_eq!(patch["metadata"], metadata);
}

#[test]
fn a_group_of_their_operator_keeps_its_number_and_nothing_holds_up_its_end() {
    let object =
        cluster(&json!({"metadata": {"finalizers": ["kopf.zalando.org/KopfFinalizerMarker", "x/y"]}}));
    let group = theirs(
        TheirKind::Group,
        "a-default",
        &json!({
            "metadata": {"ownerReferences": [{"uid": "h", "name": "h", "kind": "Release", "apiVersion": "x/v1", "controller": true}]},
            "spec": {"cluster": "a", "worker": {"replicas": 9, "spec": spec()["worker"]["spec"], "metadata": spec()["worker"]["metadata"]}},
        }),
    );
    let groups = [Arc::new(group)];
    let plan = plan_cluster(&Cluster { is_live: true, ..seen(&object, &groups) });
    assert_eq!(patch_of(&plan, "a").unwrap()["metadata"]["finalizers"], json!(["x/y"]));
    let patch = patch_of(&plan, "a-default").unwrap();
    assert_eq!(patch["spec"], Value::Null);
    assert_eq!(patch["metadata"]["annotations"]["daskflow.dev/cluster-replicas"], "2");
    let owners = patch["metadata"]["ownerReferences"].as_array().unwrap();
    let controllers: Vec<_> = owners.iter().map(|owner| (&owner["uid"], &owner["controller"])).collect();
    assert_eq!(controllers, [(&json!("h"), &json!(true)), (&json!("uid-a"), &json!(false))]);
}

/// Ours with an autoscaler that wants so many.
fn scaled(observed: &Cluster<'_>, wanted: i32) -> DaskCluster {
    let mut ours = made(observed);
    let status =
        json!({"observedGeneration": 1, "groups": [{"name": "default", "desired": wanted, "ready": 0}]});
    ours.status = serde_json::from_value::<Option<DaskClusterStatus>>(status).unwrap();
    ours
}

#[test]
fn a_group_follows_its_autoscaler_and_who_scales_is_looked_for_first() {
    let object = cluster(&json!({"status": {"phase": "Pending"}}));
    let (groups, autoscalers) = ([default_group(&json!({}))], [autoscaler()]);
    let observed = Cluster { autoscalers: &autoscalers, ..seen(&object, &groups) };
    let ours = scaled(&observed, 4);
    assert!(ours.spec.workers.autoscale.is_some() && ours.spec.workers.replicas.is_none());
    let observed = Cluster { ours: Some(&ours), ..observed };
    let plan = plan_cluster(&observed);
    assert!(plan.wants_look);
    let plan = plan_cluster(&Cluster { is_live: true, ..observed });
    assert!(!plan.wants_look);
    assert_eq!(patch_of(&plan, "a-default").unwrap()["spec"], json!({"worker": {"replicas": 4}}));
    // Without the autoscaler the group keeps what it has.
    let plan = plan_cluster(&Cluster { autoscalers: &[], ours: Some(&ours), ..seen(&object, &groups) });
    assert_eq!(patch_of(&plan, "a-default"), None);
}
