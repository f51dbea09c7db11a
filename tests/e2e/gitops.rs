//! GitOps: what was applied stays as it was applied, whatever the operator does with it.

use std::path::Path;
use std::process::Stdio;

use daskflow::api::{DaskCluster, Flow, FlowBackfill, FlowRun, Phase};
use futures::future::join;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service};
use kube::Api;
use kube::ResourceExt;
use kube::core::DynamicObject;
use kube::discovery::ApiResource;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::support::manifests::{backfill, named_run};
use crate::support::namespace::Kind;
use crate::support::{Load, Namespace, flow, poll, test, within};

/// The manager that Argo CD applies as.
const ARGO: &str = "argocd-controller";
/// What stands on each object that a GitOps tool applied, and on none of its children.
const OWNER: &str = "an-application";
const MARKS: [&str; 4] = [
    "app.kubernetes.io/instance",
    "argocd.argoproj.io/instance",
    "kustomize.toolkit.fluxcd.io/name",
    "helm.toolkit.fluxcd.io/name",
];
/// No node can pull it: the samples are looked at by the operator, and cost the machine nothing.
const NO_IMAGE: &str = "registry.invalid/none:1";

/// The two ways to apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    ServerSide,
    ClientSide,
}

impl Way {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::ServerSide => &["--server-side", "--field-manager", ARGO],
            Self::ClientSide => &[],
        }
    }

    /// The manager of the fields that were applied.
    fn manager(self) -> &'static str {
        match self {
            Self::ServerSide => ARGO,
            Self::ClientSide => "kubectl-client-side-apply",
        }
    }
}

#[tokio::test]
async fn gitops_sees_no_drift() {
    test("gitops_sees_no_drift", Load::Dask, async |namespace| {
        let other =
            Namespace::make(namespace.client.clone(), namespace.settings, "gitops_sees_no_drift_2").await;
        join(see_no_drift(namespace, Way::ServerSide), see_no_drift(&other, Way::ClientSide)).await;
        other.delete().await;
    })
    .await;
}

async fn see_no_drift(namespace: &Namespace, way: Way) {
    let mut objects = live_objects(&namespace.settings.dask);
    objects.extend(samples().await);
    objects.iter_mut().for_each(mark);
    let manifest = manifest(&objects);
    kubectl(namespace, "apply", way.arguments(), &manifest).await.succeeded();
    until_all_is_done(namespace).await;
    until_all_are_seen(namespace).await;

    assert_no_diff(namespace, way, &manifest).await;
    assert_second_apply_changes_nothing(namespace, way, &manifest).await;
    assert_nothing_of_users_is_ours(namespace, way).await;
    assert_children_are_unmarked(namespace).await;
    assert_scale_is_the_users(namespace, way, &manifest).await;
}

/// A cluster that serves, runs by hand, by a clock, by a backfill and on a cluster of their own, every
/// default left out.
fn live_objects(image: &str) -> Vec<Value> {
    let workers = json!({"threads": 1, "memory": "400Mi", "nanny": false});
    let script = "print('done')";
    let mut cluster =
        json!({"apiVersion": "daskflow.dev/v1alpha1", "kind": "DaskCluster", "metadata": {"name": "live"}});
    cluster["spec"] = json!({"image": image, "workers": workers});
    let once = json!({"clocks": [{"name": "once", "interval": "5s", "maxRuns": 1}]});
    let hourly = json!({"clocks": [{"name": "hourly", "interval": "1h"}]});
    let on_live = json!({"ref": {"name": "live"}});
    vec![
        cluster,
        flow("ticking", json!({"cluster": on_live, "code": {"inline": script}, "schedule": once})),
        flow("past", json!({"cluster": on_live, "code": {"inline": script}, "schedule": hourly})),
        backfill(
            "one-hour",
            json!({"flow": "past", "from": "2026-01-01T00:00:00Z", "to": "2026-01-01T00:30:00Z"}),
        ),
        flow(
            "own",
            json!({"cluster": {"template": {"image": image, "workers": workers}}, "code": {"inline": script}}),
        ),
        named_run("own", "own-by-hand", Value::Null),
    ]
}

/// Everything in `manifests/samples`, with an image that nobody can pull.
async fn samples() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/samples");
    let mut objects = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.join("kustomization.yaml").exists() {
            let output = Command::new("kubectl").arg("kustomize").arg(&path).output().await.unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            objects.extend(documents(&String::from_utf8(output.stdout).unwrap()));
        } else if path.is_dir() {
            for file in std::fs::read_dir(&path).unwrap() {
                objects.extend(documents(&std::fs::read_to_string(file.unwrap().path()).unwrap()));
            }
        }
    }
    for object in &mut objects {
        make_small(object);
        for pointer in ["/spec/image", "/spec/cluster/template/image"] {
            if let Some(image) = object.pointer_mut(pointer) {
                *image = json!(NO_IMAGE);
            }
        }
    }
    let clusters = objects.iter().filter(|object| object["kind"] == "DaskCluster").count();
    assert!(clusters >= 4, "{clusters} clusters in the samples");
    objects
}

/// What has no image to run needs no room, which others want.
fn make_small(value: &mut Value) {
    if let Some(requests) = value.get_mut("requests") {
        *requests = json!({"cpu": "1m", "memory": "1Mi"});
    }
    let inner: Vec<&mut Value> = match value {
        Value::Object(fields) => fields.values_mut().collect(),
        Value::Array(items) => items.iter_mut().collect(),
        _ => Vec::new(),
    };
    inner.into_iter().for_each(make_small);
}

fn documents(text: &str) -> Vec<Value> {
    let all = serde_yaml::Deserializer::from_str(text);
    all.map(|one| Value::deserialize(one).unwrap()).filter(|one| !one.is_null()).collect()
}

fn mark(object: &mut Value) {
    for key in MARKS {
        object["metadata"]["labels"][key] = json!(OWNER);
    }
    object["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"] = json!(OWNER);
    object["metadata"]["annotations"]["kustomize.toolkit.fluxcd.io/prune"] = json!(OWNER);
}

fn manifest(objects: &[Value]) -> String {
    let texts: Vec<_> = objects.iter().map(|object| serde_yaml::to_string(object).unwrap()).collect();
    texts.join("---\n")
}

/// What kubectl said.
struct Said {
    code: i32,
    text: String,
}

impl Said {
    fn succeeded(self) -> String {
        assert_eq!(self.code, 0, "{}", self.text);
        self.text
    }
}

/// Runs `kubectl COMMAND … --filename -` on a manifest.
async fn kubectl(namespace: &Namespace, command: &str, arguments: &[&str], manifest: &str) -> Said {
    let mut child = Command::new("kubectl")
        .args([command, "--namespace", &namespace.name, "--filename", "-"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("kubectl is on the PATH");
    child.stdin.take().unwrap().write_all(manifest.as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    Said { code: output.status.code().unwrap_or(-1), text: String::from_utf8_lossy(&text).into_owned() }
}

/// Waits until there was a run of each making, and the cluster is at rest.
async fn until_all_is_done(namespace: &Namespace) {
    namespace.until_ready("live", 1).await;
    namespace.until_phase("own-by-hand", Phase::Succeeded, 180).await;
    let wait = within(120, "the backfill has run");
    namespace
        .until("one-hour", wait, |backfill: &FlowBackfill| {
            backfill.status.as_ref().is_some_and(|status| status.succeeded == 1)
        })
        .await;
    let wait = within(120, "the clock has had its run");
    namespace
        .until("ticking", wait, |flow: &Flow| {
            let last = flow.status.as_ref().and_then(|status| status.last_run.as_ref());
            last.is_some_and(|run| run.phase == Phase::Succeeded)
        })
        .await;
}

/// Waits until the operator has looked at each object.
async fn until_all_are_seen(namespace: &Namespace) {
    poll(within(60, "the operator has looked at each object"), async || {
        let mut behind = Vec::new();
        for (kind, plural) in KINDS {
            for object in all_of(namespace, kind, plural).await {
                let status = &object.data["status"];
                let seen = status["observedGeneration"] == json!(object.metadata.generation);
                if !seen {
                    behind.push(format!("{kind} {}", object.name_any()));
                }
            }
        }
        if behind.is_empty() { Ok(()) } else { Err(behind.join(", ")) }
    })
    .await;
}

const KINDS: [(&str, &str); 4] = [
    ("DaskCluster", "daskclusters"),
    ("Flow", "flows"),
    ("FlowRun", "flowruns"),
    ("FlowBackfill", "flowbackfills"),
];

/// The objects of one of our kinds, with all that stands in them.
async fn all_of(namespace: &Namespace, kind: &str, plural: &str) -> Vec<DynamicObject> {
    let resource = ApiResource {
        group: daskflow::api::GROUP.to_owned(),
        version: daskflow::api::VERSION.to_owned(),
        api_version: format!("{}/{}", daskflow::api::GROUP, daskflow::api::VERSION),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    };
    let api: Api<DynamicObject> = Api::namespaced_with(namespace.client.clone(), &namespace.name, &resource);
    api.list(&kube::api::ListParams::default()).await.unwrap().items
}

/// The objects that a user applied: they have the mark.
async fn applied(namespace: &Namespace) -> Vec<(&'static str, DynamicObject)> {
    let mut found = Vec::new();
    for (kind, plural) in KINDS {
        let all = all_of(namespace, kind, plural).await.into_iter();
        found.extend(all.filter(|one| one.labels().contains_key(MARKS[1])).map(|one| (kind, one)));
    }
    assert!(found.len() >= 11, "{} objects were applied", found.len());
    found
}

async fn assert_no_diff(namespace: &Namespace, way: Way, manifest: &str) {
    let said = kubectl(namespace, "diff", way.arguments(), manifest).await;
    assert_eq!((said.code, said.text.as_str()), (0, ""), "kubectl diff, {way:?}");
}

/// Generation, and when the manager of what was applied wrote last.
async fn versions(namespace: &Namespace, way: Way) -> Vec<(String, Option<i64>, String)> {
    let version = |(kind, object): (&str, DynamicObject)| {
        let fields =
            object.managed_fields().iter().find(|entry| entry.manager.as_deref() == Some(way.manager()));
        let entry =
            fields.unwrap_or_else(|| panic!("{} has no fields of {}", object.name_any(), way.manager()));
        (format!("{kind} {}", object.name_any()), object.metadata.generation, format!("{:?}", entry.time))
    };
    applied(namespace).await.into_iter().map(version).collect()
}

async fn assert_second_apply_changes_nothing(namespace: &Namespace, way: Way, manifest: &str) {
    let before = versions(namespace, way).await;
    // Client-side, kubectl says "configured" where items of a list have defaults, and the API server finds
    // nothing to write.
    kubectl(namespace, "apply", way.arguments(), manifest).await.succeeded();
    assert_eq!(versions(namespace, way).await, before, "the second apply wrote something");
}

/// The operator owns the status of what users write. A run that was made by hand gets its Flow as an owner,
/// and the label that its Flow finds it by; beyond that nothing.
async fn assert_nothing_of_users_is_ours(namespace: &Namespace, way: Way) {
    for (kind, object) in applied(namespace).await {
        for entry in object.managed_fields() {
            let manager = entry.manager.as_deref().unwrap_or_default();
            let fields = serde_json::to_value(&entry.fields_v1).unwrap();
            if manager == way.manager() || entry.subresource.as_deref() == Some("status") {
                let spec = &fields["f:spec"];
                assert!(
                    manager == way.manager() || spec.is_null(),
                    "{kind} {}: {manager} owns {spec}",
                    object.name_any()
                );
                continue;
            }
            let mut owned = fields.clone();
            if kind == "FlowRun" {
                let metadata = owned["f:metadata"].as_object_mut().unwrap();
                metadata.remove("f:ownerReferences");
                let labels = metadata.remove("f:labels").unwrap_or_default();
                let keys: Vec<&String> =
                    labels.as_object().into_iter().flat_map(serde_json::Map::keys).collect();
                assert!(keys.iter().all(|key| *key == "f:daskflow.dev/flow" || *key == "."), "{keys:?}");
                assert!(metadata.is_empty(), "{fields}");
                owned.as_object_mut().unwrap().remove("f:metadata");
            }
            assert_eq!(owned, json!({}), "{kind} {}: {manager} owns {fields}", object.name_any());
        }
    }
}

/// Nothing that stands on what was applied stands on what the operator made of it.
async fn assert_children_are_unmarked(namespace: &Namespace) {
    let mut seen = 0;
    seen += assert_unmarked::<Pod>(namespace).await;
    seen += assert_unmarked::<Service>(namespace).await;
    seen += assert_unmarked::<Job>(namespace).await;
    seen += assert_unmarked::<ConfigMap>(namespace).await;
    seen += assert_unmarked::<Secret>(namespace).await;
    seen += assert_unmarked::<FlowRun>(namespace).await;
    seen += assert_unmarked::<DaskCluster>(namespace).await;
    assert!(seen >= 12, "only {seen} children were found");
}

async fn assert_unmarked<K: Kind>(namespace: &Namespace) -> usize {
    let children: Vec<K> = namespace.list::<K>("app.kubernetes.io/managed-by=daskflow").await;
    for child in &children {
        let all = child.labels().iter().chain(child.annotations());
        for (key, value) in all {
            let foreign = ["argoproj.io", "fluxcd.io", "kubectl.kubernetes.io", "helm.sh"];
            assert!(!foreign.iter().any(|word| key.contains(word)), "{} has {key}", child.name_any());
            assert_ne!(value, OWNER, "{} has {key}", child.name_any());
        }
    }
    children.len()
}

/// Workers that were scaled by hand, or by a HorizontalPodAutoscaler, are no drift where the manifest leaves
/// their number to others; the operator does not put it back either.
async fn assert_scale_is_the_users(namespace: &Namespace, way: Way, manifest: &str) {
    // The scale subresource needs a number to start from.
    kubectl_on_live(
        namespace,
        &["patch", "--type=merge", "--patch", r#"{"spec":{"workers":{"replicas":1}}}"#],
    )
    .await;
    kubectl_on_live(namespace, &["scale", "--replicas=2"]).await;
    namespace.until_ready("live", 2).await;
    assert_no_diff(namespace, way, manifest).await;
    kubectl(namespace, "apply", way.arguments(), manifest).await.succeeded();
    let cluster: DaskCluster = namespace.get("live").await;
    assert_eq!(cluster.spec.workers.replicas, Some(2), "an apply without replicas leaves them");
}

async fn kubectl_on_live(namespace: &Namespace, arguments: &[&str]) {
    let output = Command::new("kubectl")
        .args(arguments)
        .args(["daskclusters.daskflow.dev/live", "--namespace", &namespace.name])
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
