//! Files that change, on the API in this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{Method, Request};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::ListParams;
use kube::client::Body;
use serde_json::Value;
use tower::{Service, service_fn};

use super::*;
use crate::api::{Flow, FlowRun};
use crate::cluster_api::ClusterApi;
use crate::manifest;

/// The objects of one file.
fn objects(text: &str) -> Objects {
    Objects::of(&[("flow.yaml".to_owned(), manifest::check(text))]).unwrap()
}

const FLOW: &str = "apiVersion: daskflow.dev/v1alpha1\nkind: Flow\nmetadata: {name: etl}\nspec: {cluster: {ref: {name: small}}, SPEC}\n---\n";
const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: words}\ndata: {DATA}\n---\n";
const RUN: &str =
    "apiVersion: daskflow.dev/v1alpha1\nkind: FlowRun\nmetadata: {name: now}\nspec: {flow: etl, SPEC}\n---\n";

fn flow(spec: &str) -> String {
    FLOW.replace("SPEC", spec)
}

fn map(data: &str) -> String {
    MAP.replace("DATA", data)
}

fn run(spec: &str) -> String {
    RUN.replace("SPEC", spec)
}

struct World {
    client: Client,
    applied: Applied,
}

impl World {
    async fn new(text: &str) -> Self {
        let client = ClusterApi::new(|| jiff::Timestamp::UNIX_EPOCH, 1).client();
        let applied = Applied::new(&client, objects(text)).await.unwrap();
        Self { client, applied }
    }

    async fn change(&mut self, text: &str) -> Vec<String> {
        self.applied.change(objects(text)).await.unwrap()
    }

    fn api(&self, kind: &str) -> Api<DynamicObject> {
        let (group, version) = if kind == "ConfigMap" { ("", "v1") } else { ("daskflow.dev", "v1alpha1") };
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        Api::default_namespaced_with(self.client.clone(), &resource)
    }

    /// What is at a place of an object; null where the object is not there.
    async fn at(&self, kind: &str, name: &str, pointer: &str) -> Value {
        match self.api(kind).get(name).await {
            Ok(found) => found.data.pointer(pointer).cloned().unwrap_or_default(),
            Err(error) => {
                assert!(error.to_string().contains("not found"), "{error}");
                Value::Null
            }
        }
    }
}

#[tokio::test]
async fn what_files_no_longer_say_is_taken_away_and_what_others_have_added_stays() {
    let text = [flow("timeout: 3m, suspend: true"), map("a: one, b: two")].concat();
    let mut world = World::new(&text).await;
    let patch = json!({"data": {"c": "three"}});
    world.api("ConfigMap").patch("words", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    assert_eq!(world.change(&format!("# a line more\n{text}")).await, [""; 0]);
    let lines = world.change(&[flow("suspend: false"), map("b: 2nd")].concat()).await;
    assert_eq!(lines, ["flow.yaml: ConfigMap words is changed", "flow.yaml: Flow etl is changed"]);
    assert_eq!(world.at("Flow", "etl", "/spec/timeout").await, Value::Null);
    assert_eq!(world.at("Flow", "etl", "/spec/suspend").await, false);
    assert_eq!(world.at("ConfigMap", "words", "/data").await, json!({"b": "2nd", "c": "three"}));
    // What a user has changed is as in the files again when they are saved.
    let patch = json!({"spec": {"suspend": true}});
    world.api("Flow").patch("etl", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    world.change(&[flow("suspend: false"), map("b: third")].concat()).await;
    assert_eq!(world.at("Flow", "etl", "/spec/suspend").await, false);
}

#[tokio::test]
async fn what_is_no_longer_in_files_is_deleted_and_nothing_else() {
    let mut world = World::new(&[flow(""), map("a: one")].concat()).await;
    let other = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}});
    let other = serde_json::from_value(other).unwrap();
    world.api("ConfigMap").create(&PostParams::default(), &other).await.unwrap();
    assert_eq!(world.change(&flow("")).await, ["flow.yaml: ConfigMap words is deleted"]);
    assert!(world.api("ConfigMap").get("other").await.is_ok());
    assert!(world.api("ConfigMap").get("words").await.is_err());
    // One of the same name that a user has created instead is the user's.
    world.change(&[flow(""), map("a: one")].concat()).await;
    world.api("ConfigMap").delete("words", &DeleteParams::default()).await.unwrap();
    let again = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "words"}});
    let again = serde_json::from_value(again).unwrap();
    world.api("ConfigMap").create(&PostParams::default(), &again).await.unwrap();
    assert_eq!(world.change(&flow("")).await, [""; 0]);
    assert!(world.api("ConfigMap").get("words").await.is_ok());
}

#[tokio::test]
async fn what_the_api_refuses_changes_nothing() {
    let mut world = World::new(&[flow(""), map("a: one"), run("parameters: {day: 1}")].concat()).await;
    let text = [flow("suspend: true"), run("parameters: {day: 2}")].concat();
    let refused = world.applied.change(objects(&text)).await.unwrap_err();
    let said: Vec<String> = refused.iter().map(|error| chain(error)).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("flow.yaml:6: FlowRun now is refused: "), "{said:?}");
    assert_eq!(world.at("Flow", "etl", "/spec/suspend").await, false);
    assert!(world.api("ConfigMap").get("words").await.is_ok());
    // It counts as if it had not been said.
    assert_eq!(
        world.change(&[flow(""), run("parameters: {day: 1}")].concat()).await,
        ["flow.yaml: ConfigMap words is deleted"]
    );
}

/// An API that breaks while `fails` where what is called `now` is to be written, and not only to be asked.
fn failing(fails: &Arc<AtomicBool>) -> Client {
    let (api, fails) = (ClusterApi::new(|| jiff::Timestamp::UNIX_EPOCH, 1), fails.clone());
    let service = service_fn(move |request: Request<Body>| {
        let (mut api, uri, method) = (api.clone(), request.uri().clone(), request.method().clone());
        let is_asked = method == Method::GET || uri.query().unwrap_or_default().contains("dryRun");
        let fails = !is_asked && uri.path().ends_with("/now") && fails.load(Ordering::Relaxed);
        async move {
            if fails {
                return Err(std::io::Error::other("it broke"));
            }
            Ok(api.call(request).await.unwrap())
        }
    });
    Client::new(service, "default")
}

#[tokio::test]
async fn what_could_not_be_written_does_not_count_as_applied() {
    let fails = Arc::new(AtomicBool::new(true));
    let client = failing(&fails);
    let path = std::env::temp_dir().join(format!("daskflow-record-fails-{}", std::process::id()));
    let record = Record::at(path.clone());
    let (applied, _) = Applied::over_stored(&client, objects(&flow("")), record).await.unwrap();
    let mut world = World { client, applied };
    let text = [flow("suspend: true"), run("")].concat();
    let lines = world.change(&text).await;
    assert_eq!(lines[0], "flow.yaml: Flow etl is changed");
    assert!(lines[1].starts_with("flow.yaml:6: FlowRun now is refused"), "{lines:?}");
    let recorded = || Record::at(path.clone()).read().unwrap().len();
    assert_eq!(recorded(), 0);
    fails.store(false, Ordering::Relaxed);
    assert_eq!(world.change(&text).await, ["flow.yaml: FlowRun now is created"]);
    assert_eq!(recorded(), 1);
    // The same of what could not be changed or deleted: it is there as it was before.
    fails.store(true, Ordering::Relaxed);
    let lines = world.change(&[flow("suspend: true"), run("suspend: true")].concat()).await;
    assert!(lines.len() == 1 && lines[0].contains("is refused"), "{lines:?}");
    let lines = world.change(&flow("suspend: true")).await;
    assert!(lines.len() == 1 && lines[0].contains("is refused"), "{lines:?}");
    assert_eq!(recorded(), 1);
    fails.store(false, Ordering::Relaxed);
    assert_eq!(world.change(&flow("suspend: true")).await, ["flow.yaml: FlowRun now is deleted"]);
    assert_eq!(recorded(), 0);
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test]
async fn a_run_that_was_deleted_does_not_run_again() {
    let mut world = World::new(&[flow(""), run("")].concat()).await;
    world.api("FlowRun").delete("now", &DeleteParams::default()).await.unwrap();
    let lines = world.change(&[flow("suspend: true"), run("")].concat()).await;
    assert_eq!(lines, ["flow.yaml: Flow etl is changed"]);
    let lines = world.change(&[flow("suspend: true"), run("parameters: {day: 2}")].concat()).await;
    assert_eq!(lines, ["flow.yaml: FlowRun now is created"]);
}

#[tokio::test]
async fn a_run_without_a_name_is_created_once_and_in_its_namespace() {
    let text = "apiVersion: daskflow.dev/v1alpha1\nkind: FlowRun\nmetadata: {generateName: now-, namespace: team}\nspec: {flow: etl}\n---\n";
    let mut world = World::new(text).await;
    world.change(&[text, &flow("")].concat()).await;
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("daskflow.dev", "v1alpha1", "FlowRun"));
    let runs: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), "team", &resource);
    assert_eq!(runs.list(&kube::api::ListParams::default()).await.unwrap().items.len(), 1);
}

const SECRET: &str =
    "apiVersion: v1\nkind: Secret\nmetadata: {name: door, namespace: team}\nstringData: {DATA}\n---\n";

/// An API that goes on over several starts, and its record.
struct Kept {
    client: Client,
    path: std::path::PathBuf,
}

impl Kept {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("daskflow-record-{test}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        Self { client: ClusterApi::new(|| jiff::Timestamp::UNIX_EPOCH, 1).client(), path }
    }

    /// Applies these files as at a start.
    async fn start(&self, text: &str) -> Result<(Applied, usize), Error> {
        Applied::over_stored(&self.client, objects(text), Record::at(self.path.clone())).await
    }

    /// How many were deleted by it.
    async fn deleted(&self, text: &str) -> usize {
        self.start(text).await.unwrap().1
    }

    fn runs(&self) -> Api<FlowRun> {
        Api::default_namespaced(self.client.clone())
    }

    async fn count_runs(&self) -> usize {
        self.runs().list(&ListParams::default()).await.unwrap().items.len()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[tokio::test]
async fn files_are_applied_over_what_is_stored_and_what_they_have_no_more_goes() {
    let kept = Kept::new("over");
    let client = kept.client.clone();
    let secret = |data: &str| SECRET.replace("DATA", data);
    assert_eq!(kept.deleted(&[flow(""), run(""), secret("key: open, old: x")].concat()).await, 0);
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let map = serde_json::from_value(json!({"metadata": {"name": "by-hand"}})).unwrap();
    maps.create(&PostParams::default(), &map).await.unwrap();
    let flows: Api<Flow> = Api::default_namespaced(client.clone());
    let suspend = json!({"spec": {"suspend": true}});
    flows.patch("etl", &PatchParams::default(), &Patch::Merge(&suspend)).await.unwrap();
    let before = flows.get("etl").await.unwrap();

    assert_eq!(kept.deleted(&[flow(""), secret("key: shut")].concat()).await, 1);
    assert_eq!(kept.count_runs().await, 0, "its file has it no more");
    maps.get("by-hand").await.unwrap();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "team");
    let data = secrets.get("door").await.unwrap().data.unwrap();
    assert_eq!(data, [("key".to_owned(), ByteString(b"shut".to_vec()))].into());
    let after = flows.get("etl").await.unwrap();
    assert_eq!((after.spec, after.status), (before.spec, before.status), "what no file says stays");
    assert_eq!(after.metadata.generation, before.metadata.generation);
}

#[tokio::test]
async fn a_run_that_was_deleted_does_not_run_again_at_the_next_start() {
    let kept = Kept::new("again");
    let text = [flow(""), run("")].concat();
    kept.deleted(&text).await;
    kept.runs().delete("now", &DeleteParams::default()).await.unwrap();
    assert_eq!(kept.deleted(&text).await, 0);
    assert_eq!(kept.count_runs().await, 0, "its file is as it was");
    // Files that were saved in between count as well.
    let (mut applied, _) = kept.start(&text).await.unwrap();
    let changed = [flow(""), run("parameters: {day: 2}")].concat();
    assert_eq!(applied.change(objects(&changed)).await.unwrap(), ["flow.yaml: FlowRun now is created"]);
    kept.runs().delete("now", &DeleteParams::default()).await.unwrap();
    kept.deleted(&changed).await;
    assert_eq!(kept.count_runs().await, 0, "it is as it was when it was saved");
    kept.deleted(&[flow(""), run("parameters: {day: 3}")].concat()).await;
    assert_eq!(kept.count_runs().await, 1);
    // One that is stored and not in the record, as after a crash, is the file's.
    std::fs::remove_file(&kept.path).unwrap();
    assert_eq!(kept.deleted(&flow("")).await, 1);
}

/// It waits for a finalizer, which only what starts later takes away.
#[tokio::test]
async fn what_is_being_deleted_at_a_start_is_made_anew_after_its_end() {
    let kept = Kept::new("ending");
    let flows: Api<Flow> = Api::default_namespaced(kept.client.clone());
    kept.deleted(&flow("")).await;
    let finalizers = |all: Value| Patch::Merge(json!({"metadata": {"finalizers": all}}));
    flows.patch("etl", &PatchParams::default(), &finalizers(json!(["example.org/wait"]))).await.unwrap();
    flows.delete("etl", &DeleteParams::default()).await.unwrap();
    let (mut applied, deleted) = kept.start(&flow("suspend: true")).await.unwrap();
    let ending = flows.get("etl").await.unwrap();
    assert!(deleted == 0 && ending.metadata.deletion_timestamp.is_some());
    let none = finalizers(json!([]));
    let end = async { flows.patch("etl", &PatchParams::default(), &none).await.unwrap() };
    let (lines, _) = futures::future::join(applied.finish(), end).await;
    assert_eq!(lines.unwrap(), ["flow.yaml: Flow etl is created"]);
    let new = flows.get("etl").await.unwrap();
    assert!(new.metadata.deletion_timestamp.is_none() && new.metadata.uid != ending.metadata.uid);
    assert!(new.spec.suspend, "it is as the files say");
    assert_eq!(applied.finish().await.unwrap(), [""; 0], "once");
}

#[tokio::test]
async fn a_start_whose_files_are_refused_changes_nothing_and_remembers_nothing() {
    let kept = Kept::new("refused");
    kept.deleted(&[flow(""), map("a: one")].concat()).await;
    let text = [flow("timeout: soon"), run("")].concat();
    let error = kept.start(&text).await.err().unwrap().to_string();
    assert!(error.starts_with("flow.yaml:1: Flow etl is refused"), "{error}");
    assert_eq!(kept.count_runs().await, 0);
    kept.deleted(&[flow(""), run("")].concat()).await;
    assert_eq!(kept.count_runs().await, 1);
    std::fs::write(&kept.path, "[").unwrap();
    let error = kept.start(&flow("")).await.err().unwrap().to_string();
    assert!(error.ends_with("another program wrote it: name another folder with --state"), "{error}");
}

#[tokio::test]
async fn an_object_without_a_name_is_not_for_what_is_kept() {
    let kept = Kept::new("unnamed");
    let text = run("").replace("name: now", "generateName: now-");
    let error = kept.start(&text).await.err().unwrap().to_string();
    assert!(error.starts_with("flow.yaml:1: FlowRun now-: generateName is not for objects"), "{error}");
    let (mut applied, _) = kept.start(&flow("")).await.unwrap();
    assert_eq!(applied.change(objects(&[flow(""), text].concat())).await.unwrap_err().len(), 1);
    assert_eq!(kept.count_runs().await, 0);
}
