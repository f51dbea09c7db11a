//! An operator for some namespaces, installed without anything cluster-scoped.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use daskflow::api::{DaskCluster, Flow, Phase, is_seen};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::Api;
use serde::Deserialize;
use serde_json::Value;

use super::account;
use crate::support::audit::{Asked, asked};
use crate::support::manifests::inline;
use crate::support::{Load, Namespace, operator, poll, small_cluster, test, within};

/// The operator under test, which looks after all namespaces, rests meanwhile.
#[tokio::test]
async fn namespaced_install_has_no_cluster_role() {
    test("namespaced_install_has_no_cluster_role", Load::OwnOperator, async |namespace| {
        let make = async |name| Namespace::make(namespace.client.clone(), namespace.settings, name).await;
        let (late, elsewhere) = (make("namespaced_late").await, make("namespaced_elsewhere").await);
        let image = operator_image(namespace).await;
        in_place_of_the_other(namespace, &late, &elsewhere, &image).await;
        late.delete().await;
        elsewhere.delete().await;
    })
    .await;
}

async fn in_place_of_the_other(namespace: &Namespace, late: &Namespace, elsewhere: &Namespace, image: &str) {
    let objects = render(namespace, &[&namespace.name, &late.name], image);
    assert_all_namespaced(&objects);
    let is_late = |object: &&Value| object["metadata"]["namespace"] == late.name.as_str();
    let (later, now): (Vec<&Value>, Vec<&Value>) = objects.iter().partition(is_late);
    assert_eq!(later.len(), 2, "a Role and a RoleBinding: {later:?}");
    apply(namespace, &now);

    // That rights are missing in one namespace keeps it from nothing in the other.
    let deployments: Api<Deployment> = namespace.api();
    poll(within(90, "the operator is available"), async || {
        let status = deployments.get(operator::DEPLOYMENT).await.map_err(|error| error.to_string())?.status;
        let available = status.and_then(|status| status.available_replicas).unwrap_or_default();
        if available > 0 { Ok(()) } else { Err("no available replica".to_owned()) }
    })
    .await;
    let cluster = || small_cluster("dask", &namespace.settings.dask, 1);
    elsewhere.create::<DaskCluster>(cluster()).await;
    late.create::<Flow>(inline("early", "pass", "dask")).await;
    namespace.ready_cluster(cluster()).await;
    namespace.create::<Flow>(inline("where", include_str!("../flows/where_dask.py"), "dask")).await;
    let is_told =
        |flow: &Flow| flow.status.as_ref().is_some_and(|status| is_seen(status.observed_generation));
    let run = namespace.start_run("where").await;
    namespace.until_phase(&run, Phase::Succeeded, 120).await;
    let early: Flow = late.get("early").await;
    assert!(!is_told(&early), "nothing is done without rights");

    // It takes up a namespace when its rights come.
    apply(namespace, &later);
    late.until("early", within(60, "the Flow has a status"), is_told).await;

    // What is not watched was not touched.
    let untouched: DaskCluster = elsewhere.get("dask").await;
    assert!(untouched.status.is_none_or(|status| !is_seen(status.observed_generation)));
    assert_eq!(elsewhere.list::<Pod>("").await.len(), 0);
    assert_eq!(elsewhere.list::<Service>("").await.len(), 0);
    if let Some(log) = &namespace.settings.audit_log {
        assert_asked_within(log, namespace, late);
    }
}

/// It asked nothing about other namespaces, or about all, and nothing was denied but what it was to come
/// later.
fn assert_asked_within(log: &Path, namespace: &Namespace, late: &Namespace) {
    let all = asked(log, &account(&namespace.name));
    assert!(all.iter().any(|one| one.what.verb == "create"), "the log has its requests: {all:?}");
    let is_ours = |one: &&Asked| {
        one.namespace.as_ref().is_some_and(|name| [&namespace.name, &late.name].contains(&name))
    };
    let others: Vec<&Asked> = all.iter().filter(|one| !is_ours(one)).collect();
    assert!(others.is_empty(), "asked about what it does not watch: {others:?}");
    let denied: Vec<&Asked> = all.iter().filter(|one| one.denied).collect();
    assert!(!denied.is_empty(), "it tried the namespace without rights");
    let denied: Vec<_> = denied.iter().filter(|one| one.namespace.as_ref() != Some(&late.name)).collect();
    assert!(denied.is_empty(), "denied: {denied:?}");
}

/// What the chart installs for these namespaces, but for the custom resource definitions.
fn render(namespace: &Namespace, watched: &[&str], image: &str) -> Vec<Value> {
    let (repository, tag) = image.rsplit_once(':').expect("the image has a tag");
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/daskflow");
    let output = Command::new(program(namespace, "helm"))
        .args(["template", operator::DEPLOYMENT])
        .arg(chart)
        .args(["--namespace", &namespace.name])
        .args(["--set", &format!("watchNamespaces={{{}}}", watched.join(","))])
        .args(["--set-string", &format!("image.repository={repository},image.tag={tag}")])
        .output()
        .expect("helm can be run");
    assert!(output.status.success(), "helm template: {}", String::from_utf8_lossy(&output.stderr));
    let documents = serde_yaml::Deserializer::from_slice(&output.stdout);
    let objects = documents.map(|document| Value::deserialize(document).unwrap());
    let (kinds, others): (Vec<Value>, Vec<Value>) = objects
        .filter(|object| !object.is_null())
        .partition(|object| object["kind"] == "CustomResourceDefinition");
    assert_eq!(kinds.len(), 4, "the chart has the custom resource definitions");
    others
}

fn assert_all_namespaced(objects: &[Value]) {
    assert!(objects.iter().any(|object| object["kind"] == "Deployment"), "{objects:?}");
    for object in objects {
        let name = format!("{} {}", object["kind"], object["metadata"]["name"]);
        assert!(object["metadata"]["namespace"].is_string(), "{name} is in no namespace");
        assert!(!object["kind"].as_str().unwrap().starts_with("Cluster"), "{name} is cluster-scoped");
        let is_wide = object["roleRef"]["kind"] == "ClusterRole";
        assert!(!is_wide, "{name} binds a ClusterRole");
    }
}

/// What `kubectl apply` does with these objects.
fn apply(namespace: &Namespace, objects: &[&Value]) {
    let mut kubectl = Command::new(program(namespace, "kubectl"))
        .args(["apply", "--server-side", "--filename", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("kubectl can be run");
    let mut input = kubectl.stdin.take().unwrap();
    for object in objects {
        writeln!(input, "---\n{object}").unwrap();
    }
    drop(input);
    assert!(kubectl.wait().unwrap().success(), "kubectl apply failed");
}

/// The embedded cluster's own, or what is installed.
fn program(namespace: &Namespace, name: &str) -> PathBuf {
    let beside = namespace.settings.cluster_tool.as_ref().and_then(|tool| tool.parent());
    beside.map_or_else(|| PathBuf::from(name), |folder| folder.join(name))
}

/// The image of the operator under test.
async fn operator_image(namespace: &Namespace) -> String {
    let deployments: Api<Deployment> = Api::namespaced(namespace.client.clone(), operator::NAMESPACE);
    let deployment = deployments.get(operator::DEPLOYMENT).await.unwrap();
    let pod = deployment.spec.and_then(|spec| spec.template.spec).unwrap();
    pod.containers.into_iter().find_map(|container| container.image).unwrap()
}
