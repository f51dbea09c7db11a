//! The objects of the files, over those that are stored: as `kubectl apply --prune` does it.
//!
//! What came from files is known by who applied it ([`MANAGER`]), and by nothing beside the objects: so it
//! is known after a restart too.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams,
};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::objects::{KINDS, Object, Objects};
use crate::api::{GROUP, VERSION};

/// Who applies what is in files. A FlowRun that is applied by others than daskflow itself stays until its
/// file goes, however old it is: else it would be made and run again.
const MANAGER: &str = "local-files";
/// The kind that is left where its file goes, with all that is in it.
const NAMESPACE: &str = "Namespace";

/// The files cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An object has no name.
    #[error(
        "{file}: {kind} {name}: generateName is not for objects that are kept with --state, where each start would make \
         another one: give it a name"
    )]
    Generated {
        /// The file.
        file: String,
        /// The kind.
        kind: String,
        /// What its name begins with.
        name: String,
    },
    /// The API refuses an object.
    #[error("{file}: {object} is refused")]
    Refused {
        /// The file.
        file: String,
        /// Kind and name.
        object: String,
        /// Its answer.
        source: Box<kube::Error>,
    },
    /// What is stored cannot be listed or deleted.
    #[error("what the files have no more cannot be deleted")]
    Prune(#[source] Box<kube::Error>),
}

/// Makes the stored objects those of the files: changes what is there, creates what is not, and deletes what
/// came from files and is in none of them any more. Gives how many it deleted.
///
/// # Errors
///
/// An object has no name, or the API refuses one.
pub async fn apply(client: &Client, objects: &Objects) -> Result<usize, Error> {
    if let Some(object) = objects.all.iter().find(|object| object.name().is_empty()) {
        let name = object.value.pointer("/metadata/generateName").and_then(Value::as_str);
        return Err(Error::Generated {
            file: object.file.clone(),
            kind: object.kind().to_owned(),
            name: name.unwrap_or_default().to_owned(),
        });
    }
    let mut namespaces: Vec<&str> = Vec::new();
    for object in &objects.all {
        if object.kind() != NAMESPACE && !namespaces.contains(&object.namespace()) {
            namespaces.push(object.namespace());
            make_namespace(client, object).await?;
        }
        let how = PatchParams::apply(MANAGER).force();
        let body = Patch::Apply(configuration(object));
        let applied = api(client, object).patch(object.name(), &how, &body).await;
        applied.map_err(|error| refused(object, error))?;
    }
    prune(client, objects).await.map_err(|error| Error::Prune(Box::new(error)))
}

/// Makes the namespace of an object, if it is not there.
async fn make_namespace(client: &Client, object: &Object) -> Result<(), Error> {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource("", "v1", NAMESPACE));
    let namespace = DynamicObject::new(object.namespace(), &resource("", "v1", NAMESPACE));
    let made = api.create(&PostParams::default(), &namespace).await;
    if matches!(&made, Err(kube::Error::Api(status)) if status.code == 409) {
        return Ok(());
    }
    made.map(drop).map_err(|error| refused(object, error))
}

fn refused(object: &Object, error: kube::Error) -> Error {
    Error::Refused {
        file: object.file.clone(),
        object: format!("{} {}", object.kind(), object.name()),
        source: Box::new(error),
    }
}

fn resource(group: &str, version: &str, kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

fn api(client: &Client, object: &Object) -> Api<DynamicObject> {
    let version = object.value.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let resource = resource(group, version, object.kind());
    if object.kind() == NAMESPACE {
        Api::all_with(client.clone(), &resource)
    } else {
        Api::namespaced_with(client.clone(), object.namespace(), &resource)
    }
}

/// What is applied. The texts of a Secret are written as its data: else a key that its file has no more would
/// stay there.
fn configuration(object: &Object) -> Value {
    let mut value = object.value.clone();
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut)
        && object.kind() != NAMESPACE
    {
        metadata.insert("namespace".to_owned(), json!(object.namespace()));
    }
    let Some(fields) = value.as_object_mut().filter(|_| object.kind() == "Secret") else { return value };
    if let Some(Value::Object(texts)) = fields.remove("stringData") {
        let bytes = |text: Value| ByteString(text.as_str().unwrap_or_default().as_bytes().to_vec());
        let texts: BTreeMap<String, ByteString> =
            texts.into_iter().map(|(key, text)| (key, bytes(text))).collect();
        let data = fields.entry("data").or_insert_with(|| json!({}));
        if let (Some(data), Ok(Value::Object(texts))) = (data.as_object_mut(), serde_json::to_value(texts)) {
            data.extend(texts);
        }
    }
    value
}

/// Deletes what came from files and is in none of them.
async fn prune(client: &Client, objects: &Objects) -> kube::Result<usize> {
    let mut count = 0;
    for kind in KINDS.iter().rev().filter(|kind| **kind != NAMESPACE) {
        let is_core = ["ServiceAccount", "ConfigMap", "Secret"].contains(kind);
        let resource = if is_core { resource("", "v1", kind) } else { resource(GROUP, VERSION, kind) };
        let all: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        for stored in all.list(&ListParams::default()).await? {
            let (namespace, name) = (stored.namespace().unwrap_or_default(), stored.name_any());
            let is_there = objects
                .all
                .iter()
                .any(|one| (one.kind(), one.namespace(), one.name()) == (*kind, &*namespace, &*name));
            if is_there || !is_of_files(&stored) {
                continue;
            }
            let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &resource);
            match api.delete(&name, &DeleteParams::background()).await {
                // Its owner may have gone just now, and it with that.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(error),
                Ok(_) => count += 1,
            }
        }
    }
    Ok(count)
}

fn is_of_files(object: &DynamicObject) -> bool {
    object
        .managed_fields()
        .iter()
        .any(|entry| entry.manager.as_deref() == Some(MANAGER) && entry.operation.as_deref() == Some("Apply"))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{ConfigMap, Secret};

    use super::*;
    use crate::api::{Flow, FlowRun};
    use crate::cluster_api::ClusterApi;
    use crate::manifest;

    const FLOW: &str = "apiVersion: daskflow.dev/v1alpha1\nkind: Flow\nmetadata: {name: etl}\nspec: {cluster: {ref: {name: c}}, command: ['true']}\n---\n";
    const RUN: &str =
        "apiVersion: daskflow.dev/v1alpha1\nkind: FlowRun\nmetadata: {name: now}\nspec: {flow: etl}\n---\n";
    const SECRET: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: door, namespace: team}\n";

    fn objects(text: &str) -> Objects {
        Objects::of(&[("a.yaml".to_owned(), manifest::check(text))]).unwrap()
    }

    #[tokio::test]
    async fn files_are_applied_over_what_is_stored_and_what_they_have_no_more_goes() {
        let client = ClusterApi::new(|| jiff::Timestamp::UNIX_EPOCH, 1).client();
        let first = format!("{FLOW}{RUN}{SECRET}stringData: {{key: open, old: x}}\n");
        assert_eq!(apply(&client, &objects(&first)).await.unwrap(), 0);
        let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
        let map = serde_json::from_value(json!({"metadata": {"name": "by-hand"}})).unwrap();
        maps.create(&PostParams::default(), &map).await.unwrap();
        let flows: Api<Flow> = Api::default_namespaced(client.clone());
        let suspend = json!({"spec": {"suspend": true}});
        flows.patch("etl", &PatchParams::default(), &Patch::Merge(&suspend)).await.unwrap();
        let before = flows.get("etl").await.unwrap();

        let second = format!("{FLOW}{SECRET}stringData: {{key: shut}}\n");
        assert_eq!(apply(&client, &objects(&second)).await.unwrap(), 1);
        let runs: Api<FlowRun> = Api::default_namespaced(client.clone());
        assert!(runs.list(&ListParams::default()).await.unwrap().items.is_empty(), "its file has it no more");
        maps.get("by-hand").await.unwrap();
        let secrets: Api<Secret> = Api::namespaced(client.clone(), "team");
        let data = secrets.get("door").await.unwrap().data.unwrap();
        assert_eq!(data, [("key".to_owned(), ByteString(b"shut".to_vec()))].into());
        let after = flows.get("etl").await.unwrap();
        assert_eq!((after.spec, after.status), (before.spec, before.status), "what no file says stays");
        assert_eq!(after.metadata.generation, before.metadata.generation);
    }

    #[tokio::test]
    async fn an_object_without_a_name_is_refused() {
        let client = ClusterApi::new(|| jiff::Timestamp::UNIX_EPOCH, 1).client();
        let text = RUN.replace("name: now", "generateName: now-");
        let error = apply(&client, &objects(&text)).await.unwrap_err().to_string();
        assert!(error.starts_with("a.yaml: FlowRun now-: generateName is not for objects"), "{error}");
    }
}
