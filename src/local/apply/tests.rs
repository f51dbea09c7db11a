//! Files that change, on the API in this process.

use serde_json::Value;

use super::*;
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
