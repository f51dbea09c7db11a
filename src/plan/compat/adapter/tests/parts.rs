//! What belongs to a cluster of theirs: autoscalers, the Service beside, labels, finalizers.

use k8s_openapi::api::core::v1::ObjectReference;

use super::*;
use crate::api::labels;
use crate::plan::pods::{scheduler, worker};
use crate::plan::{Applied, Note, VictimKind};

/// A further group.
pub(super) fn further(name: &str, rest: &Value) -> Arc<DynamicObject> {
    let mut object = json!({"spec": {"cluster": "a", "worker": spec()["worker"]}});
    merge(&mut object, rest);
    Arc::new(theirs(TheirKind::Group, name, &object))
}

/// The warnings that are said of this object beside the cluster.
pub(super) fn warned_of<'a>(plan: &'a Plan, name: &str) -> Vec<&'a Note> {
    let is_it = |about: &ObjectReference| about.name.as_deref() == Some(name);
    let said = plan.beside.iter().filter(|(about, note)| is_it(about) && note.warning);
    said.map(|(_, note)| note).collect()
}

#[test]
fn pods_that_are_there_keep_their_labels_and_pods_that_come_have_the_new_ones() {
    let with = |metadata: Value| {
        let object = cluster(&json!({"metadata": metadata, "status": {"phase": "Pending"}}));
        (made(&seen(&object, &[])), object)
    };
    let words =
        json!({"labels": {"cost": "7", "team": "all"}, "annotations": {"note": "x", "helm.sh/y": "z"}});
    let ((before, _), (after, object)) = (with(json!({})), with(words));
    let hashes = |ours: &DaskCluster| {
        let workers = worker::template_hash(&ours.spec, &ours.spec.workers, None);
        (workers, scheduler::template_hash(&ours.spec, None))
    };
    assert_eq!(hashes(&before), hashes(&after), "what pods are replaced for is the same");
    let group = ("default", &after.spec.workers);
    let pods = [
        worker::pod(&after, Site::Kubernetes, None, group, 7).unwrap(),
        scheduler::pod(&after, Site::Kubernetes, None).unwrap(),
    ];
    for pod in &pods {
        assert_eq!((&*pod.labels()["cost"], &*pod.annotations()["note"]), ("7", "x"));
        assert!(!pod.annotations().contains_key("helm.sh/y"));
    }
    assert_eq!((&*pods[0].labels()["team"], &*pods[1].labels()["team"]), ("a", "all"), "the role's own stay");
    // Of a cluster of a user's own the annotation says nothing.
    let mut own = after.clone();
    own.metadata.owner_references = None;
    let pod = scheduler::pod(&own, Site::Kubernetes, None).unwrap();
    assert!(!pod.labels().contains_key("cost"));
    // It follows theirs, also when nothing is left.
    let groups = [default_group(&json!({}))];
    let plan = plan_cluster(&Cluster { ours: Some(&before), ..seen(&object, &groups) });
    let [Write::Replace(written)] = plan.writes.as_slice() else { panic!("{:?}", plan.writes) };
    assert!(written.annotations()[labels::POD_METADATA].contains("cost"));
    let object = cluster(&json!({"status": {"phase": "Pending"}}));
    let plan = plan_cluster(&Cluster { ours: Some(&after), ..seen(&object, &groups) });
    let [Write::Replace(written)] = plan.writes.as_slice() else { panic!("{:?}", plan.writes) };
    assert!(!written.annotations().contains_key(labels::POD_METADATA));
}

#[test]
fn a_service_beside_that_is_not_asked_for_any_more_is_deleted_after_a_look() {
    let object = cluster(&json!({"status": {"phase": "Pending"}}));
    let groups = [default_group(&json!({}))];
    let ours = made(&seen(&object, &groups));
    let beside = |annotations: Value, uid: &str| {
        service(&json!({"metadata": {
            "name": "a-service", "uid": "s", "annotations": annotations,
            "ownerReferences": [{"apiVersion": "kubernetes.dask.org/v1", "kind": "DaskCluster", "name": "a", "uid": uid}],
        }}))
    };
    let hash = json!({labels::TEMPLATE_HASH: "x"});
    let old = beside(hash.clone(), "uid-a");
    let observed = Cluster { ours: Some(&ours), beside: Some(&old), ..seen(&object, &groups) };
    assert!(plan_cluster(&observed).wants_look);
    let plan = plan_cluster(&Cluster { is_live: true, ..observed });
    let [Write::Step(step)] = plan.writes.as_slice() else { panic!("{:?}", plan.writes) };
    let Step::Delete(victim) = step.as_ref() else { panic!("{step:?}") };
    let found = (victim.kind, victim.name.as_str(), victim.uid.as_deref());
    assert_eq!((found, plan.wants_look), ((VictimKind::Service, "a-service", Some("s")), false));
    // One of somebody else stays.
    for other in [beside(hash, "other"), beside(json!({}), "uid-a")] {
        let observed = Cluster { ours: Some(&ours), beside: Some(&other), ..seen(&object, &groups) };
        assert_eq!(titles(&plan_cluster(&observed)), Vec::<String>::new());
    }
}

/// What their operator puts on an object.
fn claimed() -> Value {
    json!({"finalizers": ["kopf.zalando.org/KopfFinalizerMarker"]})
}

#[test]
fn what_is_being_deleted_is_let_go_while_its_cluster_lives() {
    let mut metadata = claimed();
    metadata["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let mut going = (*autoscaler()).clone();
    going.metadata.finalizers = serde_json::from_value(metadata["finalizers"].clone()).unwrap();
    going.metadata.deletion_timestamp =
        serde_json::from_value(metadata["deletionTimestamp"].clone()).unwrap();
    let (autoscalers, object) = ([Arc::new(going)], cluster(&json!({})));
    let groups = [default_group(&json!({})), further("a-more", &json!({"metadata": metadata}))];
    let plan = plan_cluster(&Cluster { autoscalers: &autoscalers, ..seen(&object, &groups) });
    for name in ["a-more", "a"] {
        let patch = patch_of(&plan, name).unwrap();
        assert_eq!(patch["metadata"]["finalizers"], json!([]), "{name}");
        assert_eq!(patch["metadata"]["ownerReferences"], Value::Null, "{name}");
    }
    assert!(
        made(&Cluster { autoscalers: &autoscalers, ..seen(&object, &groups) })
            .spec
            .workers
            .autoscale
            .is_none()
    );
}

#[test]
fn a_finalizer_that_comes_back_is_said_and_not_taken_away_again() {
    let object = cluster(&json!({"metadata": claimed()}));
    let groups = [default_group(&json!({"metadata": claimed()}))];
    let plan = plan_cluster(&seen(&object, &groups));
    let freed: Freed = plan.writes.iter().filter_map(Write::frees).collect();
    assert_eq!(freed.keys().collect::<Vec<_>>(), ["uid-a", "uid-a-default"]);
    // The cache is only behind.
    let plan = plan_cluster(&Cluster { freed: &freed, ..seen(&object, &groups) });
    assert_eq!((patch_of(&plan, "a"), patch_of(&plan, "a-default")), (None, None));
    assert!(plan.beside.is_empty() && !plan.notes.iter().any(|note| note.warning), "{plan:?}");
    let mut metadata = claimed();
    metadata["resourceVersion"] = json!("9");
    let object = cluster(&json!({"metadata": metadata}));
    let groups = [default_group(&json!({"metadata": metadata}))];
    let plan = plan_cluster(&Cluster { freed: &freed, ..seen(&object, &groups) });
    assert_eq!((patch_of(&plan, "a"), patch_of(&plan, "a-default")), (None, None));
    let twice = |note: &Note| note.reason == Reason::ServedTwice && note.warning;
    assert!(plan.notes.iter().any(twice) && twice(warned_of(&plan, "a-default")[0]), "{plan:?}");
    // What is deleted is not held up by it, nor what goes with it.
    metadata["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let object = cluster(&json!({"metadata": metadata}));
    let plan = plan_cluster(&Cluster { freed: &freed, ..seen(&object, &groups) });
    let expected =
        ["change DaskWorkerGroup.kubernetes.dask.org a-default", "change DaskCluster.kubernetes.dask.org a"];
    assert_eq!(titles(&plan), expected);
}

#[test]
fn of_two_autoscalers_the_older_one_counts_and_the_other_says_so() {
    let made_at = |name: &str, created: &str, maximum: u32| {
        let spec = json!({"cluster": "a", "minimum": 0, "maximum": maximum});
        let object = json!({"metadata": {"creationTimestamp": created}, "spec": spec});
        Arc::new(theirs(TheirKind::Autoscaler, name, &object))
    };
    let object = cluster(&json!({}));
    let groups = [default_group(&json!({}))];
    let autoscalers =
        [made_at("first", "2026-01-02T00:00:00Z", 9), made_at("second", "2026-01-01T00:00:00Z", 4)];
    let observed = Cluster { autoscalers: &autoscalers, ..seen(&object, &groups) };
    assert_eq!(made(&observed).spec.workers.autoscale.unwrap().maximum.get(), 4);
    let plan = plan_cluster(&observed);
    let said = warned_of(&plan, "first");
    assert!(said.len() == 1 && said[0].message.starts_with("spec.cluster: "), "{said:?}");
    assert!(warned_of(&plan, "second").is_empty());
}

#[test]
fn an_autoscaler_that_cannot_be_had_any_more_goes_on_as_it_was() {
    let object = cluster(&json!({"status": {"phase": "Pending"}}));
    let groups = [default_group(&json!({}))];
    let good = [autoscaler()];
    let ours = made(&Cluster { autoscalers: &good, ..seen(&object, &groups) });
    let mut bad = (*autoscaler()).clone();
    bad.data["spec"]["minimum"] = json!(7);
    let bad = [Arc::new(bad)];
    let observed = Cluster { autoscalers: &bad, ours: Some(&ours), ..seen(&object, &groups) };
    let plan = plan_cluster(&observed);
    assert_eq!(titles(&plan), Vec::<String>::new());
    assert!(warned_of(&plan, "a")[0].message.starts_with("spec.minimum: "), "{plan:?}");
    // A new cluster has the number of its group meanwhile.
    let ours = made(&observed);
    assert_eq!((ours.spec.workers.autoscale, ours.spec.workers.replicas), (None, Some(2)));
}

#[test]
fn the_phase_waits_for_no_write_that_may_be_refused() {
    let object = cluster(&json!({
        "spec": {"scheduler": {"service": {"type": "NodePort", "ports": [{"name": "tcp-comm", "port": 8786, "nodePort": 1}]}}},
        "status": {"phase": "Pending"},
    }));
    let groups = [default_group(&json!({})), further("a-more", &json!({}))];
    let ours = made(&seen(&object, &groups));
    let (service, schedulers) = (service(&json!({})), [Arc::new(Pod::default())]);
    let observed = Cluster { ours: Some(&ours), service: Some(&service), ..seen(&object, &groups) };
    let plan = plan_cluster(&Cluster { schedulers: &schedulers, ..observed });
    let expected = [RUNNING, "change DaskWorkerGroup.kubernetes.dask.org a-more", "carry out a step"];
    assert_eq!(titles(&plan), expected);
}

#[test]
fn a_service_that_ours_cannot_be_is_written_beside_once() {
    let object = cluster(&json!({
        "spec": {"scheduler": {"service": {"type": "NodePort", "ports": [{"name": "tcp-comm", "port": 8786, "nodePort": 30007}]}}},
        "status": {"phase": "Pending"},
    }));
    let groups = [default_group(&json!({}))];
    let observed = seen(&object, &groups);
    let ours = made(&observed);
    let observed = Cluster { ours: Some(&ours), ..observed };
    let plan = plan_cluster(&observed);
    let [Write::Step(step)] = plan.writes.as_slice() else { panic!("{:?}", plan.writes) };
    let Step::Apply(applied) = step.as_ref() else { panic!("{step:?}") };
    let Applied::Service(beside) = applied.as_ref() else { panic!("{applied:?}") };
    assert_eq!(beside.metadata.name.as_deref(), Some("a-service"));
    assert_eq!(beside.metadata.owner_references.as_ref().unwrap()[0].uid, "uid-a");
    let plan = plan_cluster(&Cluster { beside: Some(beside), ..observed });
    assert_eq!(titles(&plan), Vec::<String>::new());
}
