//! The objects in the files of a user, and how they come into the API.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::api::{GROUP, VERSION};
use crate::manifest::Checked;

/// The namespace of what names none.
const NAMESPACE: &str = "default";
/// The kinds that are created, in their order: what others need comes first.
pub const KINDS: [&str; 8] =
    ["Namespace", "ServiceAccount", "ConfigMap", "Secret", "DaskCluster", "Flow", "FlowRun", "FlowBackfill"];

/// How long a run waits for its cluster where each Flow is run once: a Dask cluster of one machine is there
/// in seconds, and whoever waits for the end would wait ten minutes else.
const CLUSTER_TIMEOUT_ONCE: &str = "2m";
/// What is read of a kustomization, or says nothing about objects.
const READ_OF_KUSTOMIZATION: [&str; 7] =
    ["apiVersion", "kind", "metadata", "namespace", "configMapGenerator", "generatorOptions", "resources"];

/// An object and the file that it is from.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// The file, as messages show it.
    pub file: String,
    /// The object.
    pub value: Value,
}

/// What the files hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Objects {
    /// What is created, in its order.
    pub all: Vec<Object>,
    /// What is left out, in lines.
    pub left_out: Vec<String>,
}

/// The files do not make sense together, or the API refuses what is in them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Two objects of one kind and name.
    #[error("{0} has {2}, and so has {1}: give one of them another name")]
    Twice(String, String, String),
    /// A file that a kustomization names is not there.
    #[error("{file}: configMapGenerator: {path} cannot be read")]
    Generator {
        /// The kustomization.
        file: String,
        /// What it names.
        path: String,
        /// Why it cannot be read.
        source: std::io::Error,
    },
    /// No Flow is there to be run.
    #[error("there is no Flow in the files: nothing can be run once")]
    NoFlow,
    /// There is nothing.
    #[error("there is no object of daskflow in the files")]
    Empty,
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
}

impl Object {
    /// A word at this place, or nothing.
    fn word(&self, pointer: &str) -> &str {
        self.value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// The kind.
    pub fn kind(&self) -> &str {
        self.word("/kind")
    }

    /// The name.
    pub fn name(&self) -> &str {
        self.word("/metadata/name")
    }

    /// The namespace, of what has one.
    pub fn namespace(&self) -> &str {
        match self.word("/metadata/namespace") {
            "" => NAMESPACE,
            namespace => namespace,
        }
    }

    fn title(&self) -> String {
        format!("{} {}", self.kind(), self.name())
    }

    /// Puts it into a namespace, as a kustomization does with all objects that can be in one.
    fn move_to(&mut self, namespace: &str) {
        if ["Namespace", "Kustomization"].contains(&self.kind()) {
            return;
        }
        if let Some(metadata) = self.value.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("namespace".to_owned(), json!(namespace));
        }
    }

    fn is_created(&self) -> bool {
        let is_ours = self.word("/apiVersion") == format!("{GROUP}/{VERSION}");
        (is_ours || self.word("/apiVersion") == "v1") && KINDS.contains(&self.kind())
    }
}

impl Objects {
    /// All objects of files that were checked and have no fault; of a kustomization, the ConfigMaps that it
    /// makes.
    ///
    /// # Errors
    ///
    /// Two have one name, a generated ConfigMap cannot be made, or there is none.
    pub fn of(files: &[(String, Checked)]) -> Result<Self, Error> {
        let mut objects = Self::default();
        let mut all = Vec::new();
        for (file, checked) in files {
            let ours = checked.manifests.iter().map(|manifest| manifest.object.clone());
            let foreign = checked.foreign.iter().map(|(_, object)| object.clone());
            all.extend(ours.chain(foreign).map(|value| Object { file: file.clone(), value }));
        }
        let namespaces = namespaces(&all);
        for mut object in all {
            if let Some(namespace) = namespaces.get(folder_of(&object.file)) {
                object.move_to(namespace);
            }
            objects.add(object)?;
        }
        if objects.all.is_empty() {
            return Err(Error::Empty);
        }
        let place = |object: &Object| KINDS.iter().position(|kind| *kind == object.kind());
        objects.all.sort_by_key(place);
        Ok(objects)
    }

    fn add(&mut self, object: Object) -> Result<(), Error> {
        if object.kind() == "Kustomization" {
            self.left_out.extend(unread(&object));
            for map in config_maps(&object)? {
                self.add(map)?;
            }
            return Ok(());
        }
        if !object.is_created() {
            self.left_out.push(format!("{}: {} is left out", object.file, object.title()));
            return Ok(());
        }
        let same = |other: &&Object| {
            (other.kind(), other.namespace(), other.name())
                == (object.kind(), object.namespace(), object.name())
        };
        // With generateName there may be several.
        if !object.name().is_empty()
            && let Some(other) = self.all.iter().find(same)
        {
            return Err(Error::Twice(other.file.clone(), object.file.clone(), object.title()));
        }
        self.all.push(object);
        Ok(())
    }

    /// What is there to run each Flow once, by hand: no tick of a schedule, and no run of the files.
    ///
    /// # Errors
    ///
    /// There is no Flow.
    pub fn for_once(mut self) -> Result<Self, Error> {
        let (kept, runs): (Vec<_>, Vec<_>) =
            self.all.into_iter().partition(|object| !["FlowRun", "FlowBackfill"].contains(&object.kind()));
        let why = "each Flow is run once instead";
        let left_out = runs.iter().map(|run| format!("{}: {} is left out: {why}", run.file, run.title()));
        self.left_out.extend(left_out);
        self.all = kept;
        for flow in self.all.iter_mut().filter(|object| object.kind() == "Flow") {
            if let Some(spec) = flow.value.get_mut("spec").and_then(Value::as_object_mut) {
                spec.insert("suspend".to_owned(), json!(true));
                // Nothing else is started here that a cluster might wait for.
                spec.entry("clusterTimeout").or_insert_with(|| json!(CLUSTER_TIMEOUT_ONCE));
            }
        }
        if self.flows().is_empty() { Err(Error::NoFlow) } else { Ok(self) }
    }

    /// Namespace and name of each Flow.
    pub fn flows(&self) -> Vec<(String, String)> {
        let flows = self.all.iter().filter(|object| object.kind() == "Flow");
        flows.map(|flow| (flow.namespace().to_owned(), flow.name().to_owned())).collect()
    }

    /// Creates them all, and the namespaces that they are in.
    ///
    /// # Errors
    ///
    /// The API refuses one.
    pub async fn create(&self, client: &Client) -> Result<(), Error> {
        let mut namespaces: Vec<&str> = vec![NAMESPACE];
        for object in &self.all {
            if object.kind() == "Namespace" {
                namespaces.push(object.name());
            } else if !namespaces.contains(&object.namespace()) {
                namespaces.push(object.namespace());
                let value = json!({
                    "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": object.namespace()},
                });
                create(client, &Object { file: object.file.clone(), value }).await?;
            }
            create(client, object).await?;
        }
        Ok(())
    }
}

async fn create(client: &Client, object: &Object) -> Result<(), Error> {
    let refused = |source: kube::Error| Error::Refused {
        file: object.file.clone(),
        object: object.title(),
        source: Box::new(source),
    };
    let (group, version) = object.word("/apiVersion").split_once('/').unwrap_or(("", "v1"));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, object.kind()));
    let api: Api<DynamicObject> = if object.kind() == "Namespace" {
        Api::all_with(client.clone(), &resource)
    } else {
        Api::namespaced_with(client.clone(), object.namespace(), &resource)
    };
    let body = serde_json::from_value(object.value.clone());
    let body = body.map_err(|error| refused(kube::Error::SerdeError(error)))?;
    api.create(&PostParams::default(), &body).await.map_err(refused)?;
    Ok(())
}

fn folder_of(file: &str) -> &Path {
    Path::new(file).parent().unwrap_or(Path::new("."))
}

/// The folders whose kustomization names a namespace for all that is in them.
fn namespaces(all: &[Object]) -> BTreeMap<PathBuf, String> {
    let kustomizations = all.iter().filter(|object| object.kind() == "Kustomization");
    let named = kustomizations.filter(|object| !object.word("/namespace").is_empty());
    named.map(|object| (folder_of(&object.file).to_owned(), object.word("/namespace").to_owned())).collect()
}

/// What a kustomization says and is not read.
fn unread(kustomization: &Object) -> Option<String> {
    let fields = kustomization.value.as_object()?.keys();
    let unread: Vec<&str> =
        fields.map(String::as_str).filter(|field| !READ_OF_KUSTOMIZATION.contains(field)).collect();
    let file = &kustomization.file;
    (!unread.is_empty()).then(|| {
        let (fields, folder) = (unread.join(", "), folder_of(file).display());
        format!(
            "{file}: {fields}: not read here; pipe `kubectl kustomize {folder}` into `daskflow local -f -`"
        )
    })
}

/// The ConfigMaps that a kustomization makes of files. What else it says is left to kustomize: pipe its
/// output in.
fn config_maps(kustomization: &Object) -> Result<Vec<Object>, Error> {
    let folder = folder_of(&kustomization.file);
    let list =
        |value: &Value, field: &str| value.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    let namespace = kustomization.word("/namespace");
    let mut maps = Vec::new();
    for generator in list(&kustomization.value, "configMapGenerator") {
        let mut data = BTreeMap::new();
        for file in list(&generator, "files") {
            let text = file.as_str().unwrap_or_default();
            let (key, path) = match text.split_once('=') {
                Some((key, path)) => (key, path),
                None => (text.rsplit('/').next().unwrap_or(text), text),
            };
            let bytes = std::fs::read(folder.join(path)).map_err(|source| Error::Generator {
                file: kustomization.file.clone(),
                path: path.to_owned(),
                source,
            })?;
            data.insert(key.to_owned(), bytes);
        }
        for literal in list(&generator, "literals") {
            let (key, value) = literal.as_str().and_then(|text| text.split_once('=')).unwrap_or_default();
            data.insert(key.to_owned(), value.as_bytes().to_vec());
        }
        let map = config_map(generator.get("name").and_then(Value::as_str), namespace, data);
        maps.push(Object { file: kustomization.file.clone(), value: map });
    }
    Ok(maps)
}

fn config_map(name: Option<&str>, namespace: &str, data: BTreeMap<String, Vec<u8>>) -> Value {
    let (mut texts, mut binary) = (BTreeMap::new(), BTreeMap::new());
    for (key, bytes) in data {
        match String::from_utf8(bytes) {
            Ok(text) => _ = texts.insert(key, text),
            Err(error) => _ = binary.insert(key, ByteString(error.into_bytes())),
        }
    }
    let map = ConfigMap {
        metadata: ObjectMeta {
            name: name.map(str::to_owned),
            namespace: Some(namespace.to_owned()).filter(|namespace| !namespace.is_empty()),
            ..ObjectMeta::default()
        },
        data: Some(texts),
        binary_data: (!binary.is_empty()).then_some(binary),
        ..ConfigMap::default()
    };
    serde_json::to_value(map).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest;

    fn of(texts: &[(&str, &str)]) -> Result<Objects, Error> {
        let files: Vec<(String, Checked)> =
            texts.iter().map(|(file, text)| ((*file).to_owned(), manifest::check(text))).collect();
        Objects::of(&files)
    }

    const FLOW: &str = "apiVersion: daskflow.dev/v1alpha1\nkind: Flow\nmetadata: {name: etl}\nspec: {}\n";

    #[test]
    fn what_others_need_comes_first_and_other_kinds_are_named() {
        let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n";
        let objects = of(&[("flow.yaml", FLOW), ("map.yaml", map)]).unwrap();
        assert_eq!(objects.all.iter().map(Object::kind).collect::<Vec<_>>(), ["ConfigMap", "Flow"]);
        assert_eq!(objects.left_out, ["map.yaml: Deployment d is left out"]);
        assert_eq!(objects.flows(), [("default".to_owned(), "etl".to_owned())]);
    }

    #[test]
    fn one_name_is_one_object() {
        let error = of(&[("a.yaml", FLOW), ("b.yaml", FLOW)]).unwrap_err().to_string();
        assert_eq!(error, "a.yaml has Flow etl, and so has b.yaml: give one of them another name");
        assert!(matches!(of(&[("a.yaml", "")]), Err(Error::Empty)));
    }

    #[test]
    fn a_kustomization_names_the_namespace_of_its_folder_and_what_is_not_read_is_said() {
        let kustomization = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: team\nnamePrefix: a-\nconfigMapGenerator: [{name: code, literals: [a=b]}]\n";
        let objects = of(&[("d/flow.yaml", FLOW), ("d/kustomization.yaml", kustomization)]).unwrap();
        assert_eq!(objects.all.iter().map(Object::namespace).collect::<Vec<_>>(), ["team", "team"]);
        assert!(objects.left_out[0].starts_with("d/kustomization.yaml: namePrefix: not read"), "{objects:?}");
        let elsewhere = of(&[("flow.yaml", FLOW), ("d/kustomization.yaml", kustomization)]).unwrap();
        assert_eq!(elsewhere.flows(), [("default".to_owned(), "etl".to_owned())]);
    }

    #[test]
    fn once_means_no_tick_and_no_run_of_the_files() {
        let run =
            "apiVersion: daskflow.dev/v1alpha1\nkind: FlowRun\nmetadata: {name: now}\nspec: {flow: etl}\n";
        let objects = of(&[("flow.yaml", FLOW), ("run.yaml", run)]).unwrap().for_once().unwrap();
        assert_eq!(objects.all.len(), 1);
        assert_eq!(objects.all[0].value["spec"]["suspend"], true);
        assert_eq!(objects.all[0].value["spec"]["clusterTimeout"], "2m");
        assert!(objects.left_out[0].starts_with("run.yaml: FlowRun now is left out"), "{objects:?}");
        assert!(matches!(of(&[("run.yaml", run)]).unwrap().for_once(), Err(Error::NoFlow)));
    }
}
