//! What is written for objects of theirs, state by state.

mod groups;
mod parts;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt;
use kube::core::DynamicObject;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::api::{DaskCluster, DaskClusterStatus, Reason, labels};
use crate::plan::conditions::Failure;
use crate::plan::pods::worker;
use crate::plan::site::Site;
use crate::plan::{Applied, Next, Object, Step};

/// Nothing was taken from any.
static FREED: Freed = Freed::new();
/// None was refused.
static REFUSED: RefusedGroups = RefusedGroups::new();

/// An object of theirs that the API server has.
fn theirs(kind: TheirKind, name: &str, rest: &Value) -> DynamicObject {
    let mut object = json!({
        "apiVersion": "kubernetes.dask.org/v1", "kind": kind.as_str(),
        "metadata": {"name": name, "namespace": "team", "uid": format!("uid-{name}"), "resourceVersion": "7"},
    });
    merge(&mut object, rest);
    serde_json::from_value(object).unwrap()
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

fn spec() -> Value {
    let pod = |role: &str| {
        let args = json!([format!("dask-{role}"), "--name", "$(DASK_WORKER_NAME)"]);
        json!({"containers": [{"name": role, "image": "dask:1", "args": args, "env": null}]})
    };
    json!({
        "idleTimeout": 0,
        "worker": {"replicas": 2, "spec": pod("worker"), "metadata": {"labels": {"team": "a"}}},
        "scheduler": {"spec": pod("scheduler"), "service": {
            "selector": {"dask.org/cluster-name": "a", "dask.org/component": "scheduler"},
            "ports": [{"name": "tcp-comm", "port": 8786}, {"name": "http-dashboard", "port": 8787}],
        }},
    })
}

fn cluster(rest: &Value) -> DynamicObject {
    let mut object = json!({"spec": spec()});
    merge(&mut object, rest);
    theirs(TheirKind::Cluster, "a", &object)
}

/// The group of it, as the adapter makes it.
fn default_group(rest: &Value) -> Arc<DynamicObject> {
    let mut object = json!({
        "metadata": {
            "annotations": {"daskflow.dev/cluster-replicas": "2"}, "ownerReferences": [{"uid": "uid-a", "name": "a", "kind": "DaskCluster", "apiVersion": "kubernetes.dask.org/v1"}],
        },
        "spec": {"cluster": "a", "worker": spec()["worker"]},
    });
    merge(&mut object, rest);
    Arc::new(theirs(TheirKind::Group, "a-default", &object))
}

fn autoscaler() -> Arc<DynamicObject> {
    let object = json!({
        "metadata": {"ownerReferences": [{"uid": "uid-a", "name": "a", "kind": "DaskCluster", "apiVersion": "kubernetes.dask.org/v1"}]},
        "spec": {"cluster": "a", "minimum": 0, "maximum": 5},
    });
    Arc::new(theirs(TheirKind::Autoscaler, "a", &object))
}

/// What there is, with nothing of ours.
fn seen<'a>(object: &'a DynamicObject, groups: &'a [Arc<DynamicObject>]) -> Cluster<'a> {
    Cluster {
        object,
        groups,
        autoscalers: &[],
        ours: None,
        service: None,
        schedulers: &[],
        beside: None,
        freed: &FREED,
        refused: &REFUSED,
        is_live: false,
    }
}

/// The cluster of ours that is made for this one.
fn made(observed: &Cluster<'_>) -> DaskCluster {
    let plan = plan_cluster(&Cluster { ours: None, is_live: true, ..*observed });
    let made = plan.writes.into_iter().find_map(|write| match write {
        Write::Step(step) => match *step {
            Step::Create(object) => match *object {
                Object::Cluster(cluster) => Some(cluster),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    });
    let mut made = made.unwrap_or_else(|| panic!("{:?}", plan.notes));
    made.metadata.uid = Some("uid-ours".to_owned());
    made.metadata.resource_version = Some("9".to_owned());
    made.metadata.generation = Some(1);
    made
}

fn titles(plan: &Plan) -> Vec<String> {
    plan.writes.iter().map(Write::title).collect()
}

/// The patch of this object.
fn patch_of(plan: &Plan, of: &str) -> Option<Value> {
    plan.writes.iter().find_map(|write| match write {
        Write::Change { name, patch, .. } if name == of => Some(patch.clone()),
        _ => None,
    })
}

fn service(rest: &Value) -> Service {
    serde_json::from_value(rest.clone()).unwrap()
}

const CREATED: &str = r#"set the status of DaskCluster.kubernetes.dask.org a: {"phase":"Created"}"#;
const PENDING: &str = r#"set the status of DaskCluster.kubernetes.dask.org a: {"phase":"Pending"}"#;
const RUNNING: &str = r#"set the status of DaskCluster.kubernetes.dask.org a: {"phase":"Running"}"#;
const ERROR: &str = r#"set the status of DaskCluster.kubernetes.dask.org a: {"phase":"Error"}"#;

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

#[test]
fn a_hand_made_group_goes_with_the_cluster() {
    let object = cluster(&json!({}));
    let more =
        theirs(TheirKind::Group, "a-more", &json!({"spec": {"cluster": "a", "worker": spec()["worker"]}}));
    let groups = [default_group(&json!({})), Arc::new(more)];
    let observed = seen(&object, &groups);
    let patch = patch_of(&plan_cluster(&observed), "a-more").unwrap();
    assert_eq!(patch["metadata"]["ownerReferences"][0]["uid"], "uid-a");
    assert_eq!(
        patch["metadata"]["labels"],
        Value::Null,
        "their clients count the groups that have the label"
    );
    let groups: Vec<String> =
        made(&observed).spec.worker_groups.into_iter().map(|group| group.name).collect();
    assert_eq!(groups, ["more"]);
}

#[test]
fn workers_are_called_and_labelled_after_the_groups_of_theirs() {
    let object = cluster(&json!({}));
    let more =
        theirs(TheirKind::Group, "a-more", &json!({"spec": {"cluster": "a", "worker": spec()["worker"]}}));
    let ours = made(&seen(&object, &[Arc::new(more)]));
    let groups = [("default", &ours.spec.workers), ("more", &ours.spec.worker_groups[0].workers)];
    for (name, workers) in groups {
        let pod = worker::pod(&ours, Site::Kubernetes, None, (name, workers), 7).unwrap();
        let prefix = format!("a-{name}-worker-");
        assert!(pod.metadata.name.as_ref().unwrap().starts_with(&prefix), "{:?}", pod.metadata.name);
        assert_eq!(pod.labels()["dask.org/workergroup-name"], format!("a-{name}"));
        assert_eq!(worker::group_of_pod(&pod), name);
    }
    // Of a cluster of a user's own, a template does not say which group a pod is of.
    let own = DaskCluster {
        metadata: kube::core::ObjectMeta { owner_references: None, ..ours.metadata.clone() },
        ..ours.clone()
    };
    let pod = worker::pod(&own, Site::Kubernetes, None, ("default", &own.spec.workers), 7).unwrap();
    assert_eq!(pod.labels()["dask.org/workergroup-name"], "default");
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
    let is_error = plan.notes.iter().any(|note| note.reason == Reason::InvalidSpec);
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

#[test]
fn a_further_group_changes_no_pod_of_the_others() {
    let env = json!([{"name": "A", "value": "1"}]);
    let mut object = json!({"spec": spec()});
    for role in ["worker", "scheduler"] {
        let pod = &mut object["spec"][role]["spec"];
        pod["containers"][0]["env"] = env.clone();
        pod["imagePullSecrets"] = json!([{"name": "registry"}]);
    }
    let group = json!({"spec": {"worker": object["spec"]["worker"]}});
    let object = theirs(TheirKind::Cluster, "a", &object);
    let further = json!({"spec": {"cluster": "a", "worker": spec()["worker"]}});
    let groups = [default_group(&group), Arc::new(theirs(TheirKind::Group, "a-gpu", &further))];
    let (one, two) = (made(&seen(&object, &groups[..1])), made(&seen(&object, &groups)));
    assert_eq!(two.spec.worker_groups.len(), 1);
    assert_eq!(crate::api::DaskClusterSpec { worker_groups: Vec::new(), ..two.spec }, one.spec);
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

fn job(status: &Value) -> DynamicObject {
    let pod = json!({"containers": [{
        "name": "job", "image": "job:1", "args": ["python", "x.py"], "env": [{"name": "A", "value": "1"}],
        "resources": {"limits": {"cpu": 1}},
    }]});
    let spec = json!({
        "job": {"spec": pod, "metadata": {"annotations": {"b": "c"}}},
        "cluster": {"spec": {"idleTimeout": 5, "worker": spec()["worker"], "scheduler": spec()["scheduler"]}},
    });
    theirs(TheirKind::Job, "j", &json!({"spec": spec, "status": status}))
}

fn runner(phase: &str) -> Pod {
    let owners =
        json!([{"uid": "uid-j", "name": "j", "kind": "DaskJob", "apiVersion": "kubernetes.dask.org/v1"}]);
    let metadata = json!({"name": "j-runner", "ownerReferences": owners});
    serde_json::from_value(json!({"metadata": metadata, "status": {"phase": phase}})).unwrap()
}

fn cluster_of_job() -> DynamicObject {
    let owners =
        json!([{"uid": "uid-j", "name": "j", "kind": "DaskJob", "apiVersion": "kubernetes.dask.org/v1"}]);
    theirs(TheirKind::Cluster, "j", &json!({"metadata": {"ownerReferences": owners}, "spec": spec()}))
}

fn look<'a>(object: &'a DynamicObject, cluster: Option<&'a DynamicObject>, pod: Option<&'a Pod>) -> Job<'a> {
    let now = Timestamp::from_second(1_764_500_000).unwrap();
    Job { object, cluster, pod, site: Site::Kubernetes, now, freed: &FREED, is_live: true }
}

#[test]
fn a_new_job_says_its_names_before_it_has_anything() {
    let object = job(&Value::Null);
    let plan = plan_job(&look(&object, None, None));
    assert_eq!(
        titles(&plan),
        [
            r#"set the status of DaskJob.kubernetes.dask.org j: {"clusterName":"j","jobRunnerPodName":"j-runner","jobStatus":"JobCreated"}"#,
            "carry out a step",
            "create DaskCluster.kubernetes.dask.org j",
            r#"set the status of DaskJob.kubernetes.dask.org j: {"jobStatus":"ClusterCreated"}"#,
        ]
    );
    let Write::Create(_, cluster) = &plan.writes[2] else { panic!("{:?}", plan.writes) };
    assert_eq!(cluster["spec"]["idleTimeout"], Value::Null, "of a job theirs has never taken it");
    let Write::Step(step) = &plan.writes[1] else { panic!("{:?}", plan.writes) };
    let Step::Create(pod) = step.as_ref() else { panic!("{step:?}") };
    let Object::Pod(pod) = pod.as_ref() else { panic!("{pod:?}") };
    let pod = serde_json::to_value(pod).unwrap();
    assert_eq!(pod["metadata"]["name"], "j-runner");
    assert_eq!(pod["metadata"]["annotations"], json!({"b": "c"}));
    assert_eq!(pod["metadata"]["labels"]["dask.org/component"], "job-runner");
    assert_eq!(pod["spec"]["restartPolicy"], "OnFailure");
    let env = json!([
        {"name": "A", "value": "1"},
        {"name": "DASK_SCHEDULER_ADDRESS", "value": "tcp://j-scheduler.team.svc:8786"},
    ]);
    assert_eq!(pod["spec"]["containers"][0]["env"], env);
}

const ENDED: &str = r#"{"clusterName":"j","endTime":"2025-11-30T10:53:20Z","jobRunnerPodName":"j-runner","jobStatus":"S","startTime":"2025-11-30T10:53:20Z"}"#;

#[rstest]
#[case::it_starts(
    "ClusterCreated",
    "Running",
    r#"{"jobStatus":"Running","startTime":"2025-11-30T10:53:20Z"}"#,
    false
)]
#[case::it_waits("ClusterCreated", "Pending", "", false)]
#[case::it_ends_well("ClusterCreated", "Succeeded", "Successful", true)]
#[case::it_fails("ClusterCreated", "Failed", "Failed", true)]
fn the_status_is_that_of_the_pod(
    #[case] status: &str,
    #[case] phase: &str,
    #[case] written: &str,
    #[case] ends: bool,
) {
    let (object, cluster, pod) = (job(&json!({"jobStatus": status})), cluster_of_job(), runner(phase));
    let plan = plan_job(&look(&object, Some(&cluster), Some(&pod)));
    let written = if ends { ENDED.replace(r#""S""#, &format!("{written:?}")) } else { written.to_owned() };
    let mut expected = vec![format!("set the status of DaskJob.kubernetes.dask.org j: {written}")];
    if written.is_empty() {
        expected.clear();
    }
    if ends {
        // Behind the status: a cluster that has ended is not all that is left.
        expected.push("delete DaskCluster.kubernetes.dask.org j".to_owned());
    }
    assert_eq!(titles(&plan), expected);
}

#[test]
fn a_pod_that_was_deleted_while_it_ran_is_a_failure_after_a_look() {
    let started = json!({"jobStatus": "Running", "startTime": "2025-11-30T10:00:00Z"});
    let (object, cluster) = (job(&started), cluster_of_job());
    let observed = look(&object, Some(&cluster), None);
    assert!(plan_job(&Job { is_live: false, ..look(&object, Some(&cluster), None) }).wants_look);
    let plan = plan_job(&observed);
    assert_eq!((plan.wants_look, plan.notes[0].reason), (false, Reason::JobDeleted));
    assert_eq!(
        titles(&plan),
        [
            r#"set the status of DaskJob.kubernetes.dask.org j: {"endTime":"2025-11-30T10:53:20Z","jobStatus":"Failed"}"#,
            "delete DaskCluster.kubernetes.dask.org j",
        ]
    );
}

#[test]
fn a_pod_that_their_operator_has_made_is_looked_at_again() {
    let (object, cluster) = (job(&json!({"jobStatus": "Running"})), cluster_of_job());
    let mut pod = runner("Running");
    let plan = plan_job(&look(&object, Some(&cluster), Some(&pod)));
    assert!(matches!(plan.next, Next::After(_)), "no watch tells of it: {plan:?}");
    pod.labels_mut().insert(labels::APP_MANAGED_BY.to_owned(), labels::APP.to_owned());
    let plan = plan_job(&look(&object, Some(&cluster), Some(&pod)));
    assert_eq!(plan.next, Next::Change);
}

#[test]
fn a_job_whose_name_no_cluster_can_have_fails_at_once() {
    let mut object = job(&json!({}));
    object.metadata.name = Some("j.v2".to_owned());
    let plan = plan_job(&look(&object, None, None));
    assert_eq!(plan.notes[0].reason, Reason::InvalidSpec);
    assert_eq!(titles(&plan).len(), 1, "{plan:?}");
    assert!(titles(&plan)[0].ends_with(r#""jobStatus":"Failed"}"#), "{plan:?}");
}

#[test]
fn a_job_that_has_ended_keeps_no_cluster_and_starts_no_second_pod() {
    let (object, cluster) = (job(&json!({"jobStatus": "Successful"})), cluster_of_job());
    let plan = plan_job(&look(&object, Some(&cluster), None));
    assert_eq!(titles(&plan), ["delete DaskCluster.kubernetes.dask.org j"]);
    let plan = plan_job(&look(&object, None, None));
    assert_eq!(titles(&plan), Vec::<String>::new());
    // One that the cache has lost sight of may have run already.
    let object = job(&json!({"jobStatus": "ClusterCreated"}));
    assert!(plan_job(&Job { is_live: false, ..look(&object, Some(&cluster), None) }).wants_look);
}

/// What the API server has said.
fn refusal(reason: Reason, (code, times): (u16, u32)) -> Failed {
    let failure = Failure { reason, message: "no".to_owned(), lasting: true, spares_what_serves: false };
    Failed { failure, code: Some(code), times }
}

#[rstest]
#[case::refused(Reason::Rejected, (422, 1), None, true)]
#[case::it_may_come(Reason::Rejected, (403, 1), None, false)]
#[case::it_has_not_come(Reason::Rejected, (403, 6), None, true)]
#[case::our_rights(Reason::Forbidden, (403, 9), None, false)]
#[case::the_cluster_was_refused(Reason::Rejected, (422, 1), Some("Pending"), false)]
fn a_job_whose_pod_is_refused_has_failed(
    #[case] reason: Reason,
    #[case] answer: (u16, u32),
    #[case] pod: Option<&str>,
    #[case] fails: bool,
) {
    let (object, pod) = (job(&json!({"jobStatus": "JobCreated"})), pod.map(runner));
    let cluster = cluster_of_job();
    let plan = failing_job(&look(&object, Some(&cluster), pod.as_ref()), &refusal(reason, answer));
    assert_eq!(plan.notes, [crate::plan::Note::warning(reason, "no")]);
    let titles = titles(&plan);
    assert_eq!(titles.len(), if fails { 2 } else { 0 }, "{titles:?}");
    if fails {
        assert!(titles[0].contains(r#""jobStatus":"Failed""#), "{titles:?}");
        assert_eq!(titles[1], "delete DaskCluster.kubernetes.dask.org j");
    }
    let ended = job(&json!({"jobStatus": "Successful"}));
    let plan = failing_job(&look(&ended, None, None), &refusal(reason, answer));
    assert_eq!(plan.writes, Vec::new(), "that is final");
}

#[test]
fn a_job_that_has_no_pod_in_it_makes_no_cluster() {
    let mut object = job(&json!({"jobStatus": "JobCreated"}));
    object.data["spec"]["job"]["spec"] = json!({"containers": "none"});
    let plan = plan_job(&look(&object, None, None));
    assert_eq!(plan.notes[0].reason, Reason::InvalidSpec);
    assert!(plan.notes[0].message.starts_with("spec.job.spec: "), "{:?}", plan.notes);
    let titles = titles(&plan);
    assert!(titles.len() == 1 && titles[0].contains(r#""jobStatus":"Failed""#), "{titles:?}");
}

#[test]
fn the_pod_of_an_earlier_job_of_the_name_is_waited_for() {
    let (object, mut pod) = (job(&json!({"jobStatus": "JobCreated"})), runner("Running"));
    pod.metadata.owner_references.as_mut().unwrap()[0].uid = "before".to_owned();
    let plan = plan_job(&look(&object, None, Some(&pod)));
    assert_eq!((titles(&plan), plan.notes), (Vec::new(), Vec::new()));
    pod.metadata.owner_references = None;
    let plan = plan_job(&look(&object, None, Some(&pod)));
    assert_eq!((titles(&plan), plan.notes[0].reason), (Vec::new(), Reason::NameTaken));
}
