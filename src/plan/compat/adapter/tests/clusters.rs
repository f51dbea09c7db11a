//! A cluster of theirs: ours for it, its phase, and what is said of it.

use super::*;
use crate::plan::Note;

#[test]
fn a_new_cluster_has_one_of_ours_and_a_group() {
    let object = cluster(&json!({"metadata": {"labels": {"of": "me", "helm.sh/chart": "x"}}}));
    let observed = seen(&object, &[]);
    let plan = plan_cluster(&observed);
    assert_eq!(
        titles(&plan),
        [CREATED, "create DaskWorkerGroup.kubernetes.dask.org a-default", "carry out a step"]
    );
    let ours = made(&observed);
    let owner = &ours.metadata.owner_references.as_ref().unwrap()[0];
    assert_eq!(
        (owner.uid.as_str(), owner.kind.as_str(), owner.controller),
        ("uid-a", "DaskCluster", Some(true))
    );
    assert_eq!((ours.spec.image.as_str(), ours.spec.workers.replicas), ("dask:1", Some(2)));
    let of_me = [("of".to_owned(), "me".to_owned())];
    assert_eq!(ours.metadata.labels, Some(of_me.into()), "labels of tools that apply from Git stay away");
    let Write::Create(_, group) = &plan.writes[1] else { panic!("{:?}", plan.writes) };
    let labels =
        json!({"of": "me", "team": "a", "dask.org/cluster-name": "a", "dask.org/component": "workergroup"});
    assert_eq!(group["metadata"]["labels"], labels);
    assert_eq!(group["metadata"]["ownerReferences"][0]["uid"], "uid-a");
    let mut worker = spec()["worker"].clone();
    worker["spec"]["containers"][0].as_object_mut().unwrap().remove("env");
    assert_eq!(group["spec"], json!({"cluster": "a", "worker": worker}));
    let reasons: Vec<Reason> = plan.notes.iter().map(|note| note.reason).collect();
    assert_eq!(reasons, [Reason::Adapted], "{:?}", plan.notes);
    let said = &plan.notes[0].message;
    assert!(said.contains("no capabilities") && said.contains("one now: set threads"), "{said}");
    assert!(!said.contains("ENTRYPOINT"), "that is as before: {said}");
}

#[rstest]
#[case::nothing_in_front(None, PENDING)]
#[case::a_service(Some(json!({"spec": {"type": "ClusterIP"}})), RUNNING)]
#[case::a_balancer_without_address(Some(json!({"spec": {"type": "LoadBalancer"}})), PENDING)]
#[case::a_balancer(
    Some(json!({"spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}}})),
    RUNNING
)]
fn the_phase_is_that_of_the_service_once_the_scheduler_has_begun(
    #[case] of_service: Option<Value>,
    #[case] expected: &str,
) {
    let (object, groups) = (cluster(&json!({"status": {"phase": "Created"}})), [default_group(&json!({}))]);
    let observed = seen(&object, &groups);
    let (ours, service) = (made(&observed), of_service.as_ref().map(service));
    let observed = Cluster { ours: Some(&ours), service: service.as_ref(), ..observed };
    assert_eq!(titles(&plan_cluster(&observed)), [PENDING], "clients ask for the pod from then on");
    let schedulers = [Arc::new(Pod::default())];
    assert_eq!(titles(&plan_cluster(&Cluster { schedulers: &schedulers, ..observed })), [expected]);
    // A scheduler that is replaced changes nothing.
    let running = cluster(&json!({"status": {"phase": "Running"}}));
    let written = titles(&plan_cluster(&Cluster { object: &running, ..observed }));
    assert_eq!(written, if expected == RUNNING { vec![] } else { vec![PENDING.to_owned()] });
}

#[test]
fn what_is_as_it_should_be_is_not_written() {
    let (object, groups) = (cluster(&json!({"status": {"phase": "Running"}})), [default_group(&json!({}))]);
    let observed = seen(&object, &groups);
    let (ours, service) = (made(&observed), service(&json!({})));
    let plan = plan_cluster(&Cluster { ours: Some(&ours), service: Some(&service), ..observed });
    assert_eq!((titles(&plan), plan.wants_look), (vec![], false));
}

#[test]
fn ours_is_put_back_and_keeps_what_is_not_of_its_spec() {
    let (object, groups) = (cluster(&json!({"status": {"phase": "Pending"}})), [default_group(&json!({}))]);
    let observed = seen(&object, &groups);
    let wanted = made(&observed);
    let mut ours = wanted.clone();
    ours.spec.suspend = true;
    ours.spec.workers.replicas = Some(7);
    ours.metadata.annotations = Some([("of".to_owned(), "somebody".to_owned())].into());
    let plan = plan_cluster(&Cluster { ours: Some(&ours), ..observed });
    let [Write::Replace(written)] = plan.writes.as_slice() else { panic!("{:?}", plan.writes) };
    assert_eq!(written.spec, wanted.spec);
    assert_eq!(written.metadata, ours.metadata);
}

#[test]
fn an_edited_image_becomes_ours() {
    let (object, groups) = (cluster(&json!({})), [default_group(&json!({}))]);
    let ours = made(&seen(&object, &groups));
    let mut edited = cluster(&json!({"status": {"phase": "Pending"}}));
    for role in ["worker", "scheduler"] {
        edited.data["spec"][role]["spec"]["containers"][0]["image"] = json!("dask:2");
    }
    let plan = plan_cluster(&Cluster { ours: Some(&ours), ..seen(&edited, &groups) });
    let [Write::Change { patch, .. }, Write::Replace(written)] = plan.writes.as_slice() else {
        panic!("{:?}", plan.writes)
    };
    assert_eq!(written.spec.image, "dask:2");
    let mut containers = edited.data["spec"]["worker"]["spec"]["containers"].clone();
    containers[0].as_object_mut().unwrap().remove("env");
    assert_eq!(patch["spec"], json!({"worker": {"spec": {"containers": containers}}}));
}

#[test]
fn what_an_earlier_cluster_of_the_name_has_left_is_waited_for() {
    let object = cluster(&json!({"status": {"phase": "Created"}}));
    let owner = json!([{"uid": "before", "name": "a", "kind": "DaskCluster", "apiVersion": "kubernetes.dask.org/v1"}]);
    let mut left = (*default_group(&json!({}))).clone();
    left.metadata.owner_references = serde_json::from_value(owner.clone()).unwrap();
    let mut ours = made(&seen(&object, &[]));
    ours.metadata.owner_references = serde_json::from_value(owner).unwrap();
    let groups = [Arc::new(left)];
    let plan = plan_cluster(&Cluster { ours: Some(&ours), ..seen(&object, &groups) });
    assert_eq!(titles(&plan), Vec::<String>::new());
}

#[test]
fn a_cluster_of_ours_of_another_owner_is_left_alone() {
    let object = cluster(&json!({"status": {"phase": "Created"}}));
    let groups = [default_group(&json!({}))];
    let mut ours = made(&seen(&object, &groups));
    ours.metadata.owner_references = None;
    let plan = plan_cluster(&Cluster { ours: Some(&ours), ..seen(&object, &groups) });
    assert_eq!(titles(&plan), [ERROR]);
    assert!(plan.notes.iter().any(|note| note.reason == Reason::NameTaken && note.warning));
}

#[rstest]
#[case::long("a234567890123456789012345678901234567890123456789012345", true)]
#[case::dotted("a.b", true)]
#[case::capital("Ab", true)]
#[case::ends_so("ab-", true)]
#[case::short("a-1", false)]
fn a_name_that_theirs_refuses_is_an_error(#[case] name: &str, #[case] is_refused: bool) {
    let object = theirs(TheirKind::Cluster, name, &json!({"spec": spec()}));
    let plan = plan_cluster(&seen(&object, &[]));
    let words = "metadata.name: the name of a DaskCluster has at most 53 lower-case";
    let is_it = |note: &Note| note.reason == Reason::InvalidSpec && note.message.starts_with(words);
    let is_error = plan.notes.iter().any(is_it);
    assert_eq!((is_error, plan.writes.len() == 1), (is_refused, is_refused), "{:?}", plan.writes);
}

#[test]
fn what_cannot_be_honoured_is_said_and_spares_what_runs() {
    let args = json!({"worker": {"spec": {"containers": [
        {"name": "worker", "image": "dask:1", "args": ["dask-worker", "--nworkers", "2"]},
    ]}}});
    let object = cluster(&json!({"spec": args}));
    let plan = plan_cluster(&seen(&object, &[]));
    assert!(titles(&plan).contains(&ERROR.to_owned()), "{:?}", titles(&plan));
    let note = plan.notes.iter().find(|note| note.reason == Reason::InvalidSpec).unwrap();
    assert!(note.warning && note.message.starts_with("spec.worker.spec.containers[0].args: "), "{note:?}");
    // One that was good before runs on as it was.
    let good = cluster(&json!({}));
    let (ours, groups) = (made(&seen(&good, &[])), [default_group(&json!({}))]);
    let edited = cluster(&json!({"spec": args, "status": {"phase": "Running"}}));
    let service = service(&json!({}));
    let plan =
        plan_cluster(&Cluster { ours: Some(&ours), service: Some(&service), ..seen(&edited, &groups) });
    assert_eq!(titles(&plan), Vec::<String>::new());
}

#[test]
fn what_the_api_server_refuses_stays_an_error_until_it_takes_it() {
    let failure = Failure {
        reason: Reason::Rejected,
        message: "no".to_owned(),
        lasting: true,
        spares_what_serves: false,
    };
    let object = cluster(&json!({"status": {"phase": "Created"}}));
    let plan = failing(&seen(&object, &[]), &failure);
    assert_eq!((titles(&plan), plan.notes[0].reason), (vec![ERROR.to_owned()], Reason::Rejected));
    let groups = [default_group(&json!({}))];
    let again = cluster(&json!({"status": {"phase": "Error"}}));
    assert_eq!(titles(&plan_cluster(&seen(&again, &groups))), ["carry out a step"]);
}

#[test]
fn an_idle_cluster_of_theirs_is_deleted_after_a_look() {
    let object = cluster(&json!({"spec": {"idleTimeout": 60}, "status": {"phase": "Running"}}));
    let groups = [default_group(&json!({}))];
    let observed = seen(&object, &groups);
    let mut ours = made(&observed);
    let service = service(&json!({}));
    let plan = plan_cluster(&Cluster { ours: Some(&ours), service: Some(&service), ..observed });
    assert_eq!(titles(&plan), Vec::<String>::new());
    let idle = json!({"idle": {"asleep": true, "since": "2026-01-01T00:00:00Z", "generation": 1}});
    ours.status = serde_json::from_value(idle).unwrap();
    let observed = Cluster { ours: Some(&ours), service: Some(&service), ..seen(&object, &groups) };
    assert!(plan_cluster(&observed).wants_look);
    let plan = plan_cluster(&Cluster { is_live: true, ..observed });
    assert_eq!(titles(&plan), ["delete DaskCluster.kubernetes.dask.org a"]);
    assert_eq!((plan.wants_look, plan.notes[0].reason), (false, Reason::Idle));
}

#[test]
fn a_cluster_that_is_deleted_only_lets_go() {
    let finalizers = json!({"finalizers": ["kopf.zalando.org/KopfFinalizerMarker"]});
    let mut metadata = finalizers.clone();
    metadata["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let object = cluster(&json!({"metadata": metadata}));
    let groups = [default_group(&json!({"metadata": finalizers}))];
    let plan = plan_cluster(&seen(&object, &groups));
    assert_eq!(
        titles(&plan),
        ["change DaskWorkerGroup.kubernetes.dask.org a-default", "change DaskCluster.kubernetes.dask.org a"]
    );
}
