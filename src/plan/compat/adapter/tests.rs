//! What is written for objects of theirs, state by state.

mod clusters;
mod groups;
mod jobs;
mod numbers;
mod parts;

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt;
use kube::core::DynamicObject;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::api::{DaskCluster, Reason, labels};
use crate::plan::conditions::Failure;
use crate::plan::site::Site;
use crate::plan::{Object, Step};

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
