//! What looks ask of an API server, and when they come again.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Resource;
use kube::core::DynamicObject;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};

use super::*;
use crate::api::{DaskCluster, Reason};
use crate::operator::caches::Kept;
use crate::operator::controller::Action;
use crate::operator::testing::{self, refusal, serve};
use crate::plan::Note;
use crate::plan::compat::adapter::{Cluster, Freed, RefusedGroups, plan_cluster};

/// An object of theirs that the API server has, of the cluster `a`.
fn theirs(kind: TheirKind, name: &str, spec: &Value) -> DynamicObject {
    let owner =
        json!({"apiVersion": "kubernetes.dask.org/v1", "kind": "DaskCluster", "name": "a", "uid": "uid-a"});
    let owners = if kind == TheirKind::Cluster { json!([]) } else { json!([owner]) };
    serde_json::from_value(json!({
        "apiVersion": "kubernetes.dask.org/v1", "kind": kind.as_str(), "spec": spec, "status": {"phase": "Pending"},
        "metadata": {
            "name": name, "namespace": "team", "uid": format!("uid-{name}"), "resourceVersion": "7",
            "annotations": {"daskflow.dev/cluster-replicas": "1"}, "ownerReferences": owners,
        },
    }))
    .unwrap()
}

/// The cluster of this image and the group that is made with it, and a further group of so many workers.
fn known(image: &str, replicas: u32) -> Known {
    let pod = |role: &str| json!({"containers": [{"name": role, "image": image, "args": [format!("dask-{role}")]}]});
    let worker = |replicas: u32| json!({"replicas": replicas, "spec": pod("worker")});
    let service =
        json!({"ports": [{"name": "tcp-comm", "port": 8786}, {"name": "http-dashboard", "port": 8787}]});
    let cluster = json!({"worker": worker(1), "scheduler": {"spec": pod("scheduler"), "service": service}});
    let group = |name: &str, replicas: u32| {
        Arc::new(theirs(TheirKind::Group, name, &json!({"cluster": "a", "worker": worker(replicas)})))
    };
    Known {
        subject: (TheirKind::Cluster, "team".to_owned(), "a".to_owned()),
        object: Arc::new(theirs(TheirKind::Cluster, "a", &cluster)),
        groups: vec![group("a-default", 1), group("a-more", replicas)],
        autoscalers: Vec::new(),
        cluster: None,
        freed: Freed::new(),
        refused: RefusedGroups::new(),
    }
}

/// The cluster of ours that is made for it.
fn made(known: &Known) -> DaskCluster {
    let plan = plan_cluster(&Cluster {
        object: &known.object,
        groups: &known.groups,
        autoscalers: &[],
        ours: None,
        service: None,
        schedulers: &[],
        beside: None,
        freed: &known.freed,
        refused: &known.refused,
        is_live: true,
    });
    let mut ours = plan.writes.iter().find_map(|write| write.ours()).unwrap().clone();
    ours.metadata.uid = Some("uid-ours".to_owned());
    ours.metadata.resource_version = Some("9".to_owned());
    ours
}

/// All that a cache has is this.
fn fill<K: Resource<DynamicType = ()> + Clone + 'static>(kept: &Kept<K>, object: K) {
    for event in [Event::Init, Event::InitApply(object), Event::InitDone] {
        kept.take(None, event);
    }
}

/// What an API server answers that refuses the first further group of our cluster.
fn refuses_the_group() -> (u16, Value) {
    let (code, mut status) = refusal(422, "Invalid", "too many arguments");
    let causes = json!([{"field": "spec.workerGroups[0].args", "message": "too many"}]);
    status["details"] = json!({"causes": causes});
    (code, status)
}

#[tokio::test]
async fn a_group_that_is_refused_again_as_it_was_is_a_failure() {
    let (context, server, _wakes) = testing::context(1);
    fill(&context.stores.clusters, made(&known("dask:1", 1)));
    let (asked, _server) = serve(server, |_| refuses_the_group());
    let (context, memory) = (Arc::new(context), Arc::<Memory>::default());
    let look_again = async |known: Known| {
        let refused = memory.refused(&known.subject);
        look(context.clone(), memory.clone(), Known { refused, ..known }).await
    };
    let at_once = Action::Requeue(Duration::from_millis(50));
    assert_eq!(look_again(known("dask:2", 1)).await, at_once, "the cluster is tried without it");
    // It is served already, and so goes on in ours as it was, which is refused too.
    let again = look_again(known("dask:2", 1)).await;
    assert!(matches!(again, Action::Retry(_)), "{again:?}");
    assert_eq!(look_again(known("dask:2", 3)).await, at_once, "an edited one is tried");
    assert_eq!(asked.all(), ["PUT a", "PUT a", "PUT a"]);
}

/// The pod of the scheduler.
fn scheduler(uid: &str) -> Pod {
    let owner =
        json!({"apiVersion": "daskflow.dev/v1alpha1", "kind": "DaskCluster", "name": "a", "uid": "uid-ours"});
    let labels = json!({
        "app.kubernetes.io/managed-by": "daskflow", "dask.org/cluster-name": "a", "dask.org/component": "scheduler",
    });
    let metadata = json!({
        "name": "a-scheduler", "namespace": "team", "uid": uid, "labels": labels, "ownerReferences": [owner],
    });
    let spec = json!({"containers": [{"name": "scheduler", "image": "dask:1"}]});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": {"phase": "Running"}}))
        .unwrap()
}

/// What an API server answers that has a Deployment of somebody else under each name.
fn has_another(what: &str) -> (u16, Value) {
    match what.split_once(' ') {
        Some(("GET", name)) => (
            200,
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "team"}}),
        ),
        _ => refusal(409, "AlreadyExists", "it is there"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_deployment_of_somebody_else_is_asked_for_once_in_a_while() {
    let (context, server, _wakes) = testing::context(1);
    let known = known("dask:1", 1);
    let mut ours = made(&known);
    ours.status = serde_json::from_value(json!({"schedulerReadySince": "2026-01-01T00:00:00Z"})).unwrap();
    fill(&context.stores.clusters, ours);
    fill(&context.stores.pods, scheduler("first"));
    let (asked, _server) = serve(server, has_another);
    let deployments = shown::Deployments::default();
    for event in [Event::Init, Event::InitDone] {
        deployments.take(&context.stores.watched, 0, event);
    }
    let both = ["POST a-scheduler", "GET a-scheduler"];
    let show = async |times: usize| {
        let notes = shown::show(&context, &deployments, &known).await.unwrap();
        assert!(matches!(&notes[..], [Note { reason: Reason::NameTaken, .. }]), "{notes:?}");
        assert_eq!(asked.all(), both.repeat(times));
    };
    show(1).await;
    show(1).await;
    // For another pod the name may be free.
    fill(&context.stores.pods, scheduler("second"));
    show(2).await;
    show(2).await;
    tokio::time::advance(Duration::from_secs(60)).await;
    show(3).await;
    show(3).await;
    // A cluster of the name that comes later.
    deployments.forget(&known.subject);
    show(4).await;
}
