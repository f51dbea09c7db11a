//! The objects in the files of a user.

mod kustomization;

use std::collections::BTreeSet;
use std::path::PathBuf;

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use crate::api::{GROUP, VERSION};
use crate::manifest::Checked;
use crate::manifest::kustomization::is_one;

/// The namespace of what names none.
const NAMESPACE: &str = "default";
/// The kinds that are created, in their order: what others need comes first.
pub const KINDS: [&str; 8] =
    ["Namespace", "ServiceAccount", "ConfigMap", "Secret", "DaskCluster", "Flow", "FlowRun", "FlowBackfill"];

/// How long a run waits for its cluster where each Flow is run once: a Dask cluster of one machine is there
/// in seconds, and whoever waits for the end would wait ten minutes else.
const CLUSTER_TIMEOUT_ONCE: &str = "2m";

/// An object and the file that it is from.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// The file, as messages show it.
    pub file: String,
    /// The line that it begins on, from 1.
    pub line: usize,
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

/// The kind, namespace and name of an object.
pub type Key<'a> = (&'a str, &'a str, &'a str);

/// The files do not make sense together.
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
}

impl Object {
    /// A word at this place, or nothing.
    pub fn word(&self, pointer: &str) -> &str {
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

    /// What it is known by.
    pub fn key(&self) -> Key<'_> {
        (self.kind(), self.namespace(), self.name())
    }

    /// Its kind and name, as messages have them.
    pub fn title(&self) -> String {
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

    /// Writes the texts of a Secret (`stringData`) where they are kept (`data`): what is written as
    /// `stringData` could not be taken away by a later apply.
    fn keep_texts(&mut self) {
        let Some(fields) = self.value.as_object_mut() else { return };
        let Some(Value::Object(texts)) = fields.remove("stringData") else { return };
        let data = fields.entry("data").or_insert_with(|| json!({}));
        for (name, text) in texts {
            let bytes = ByteString(text.as_str().unwrap_or_default().as_bytes().to_vec());
            if let Some(data) = data.as_object_mut() {
                data.insert(name, json!(bytes));
            }
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
    /// Two have one name, a generated ConfigMap cannot be made, or there is none in the files.
    pub fn of(files: &[(String, Checked)]) -> Result<Self, Error> {
        let mut objects = Self::default();
        let mut all = Vec::new();
        for (file, checked) in files {
            let ours = checked.manifests.iter().map(|manifest| (manifest.line, manifest.object.clone()));
            let foreign = checked.foreign.iter().cloned();
            all.extend(ours.chain(foreign).map(|(line, value)| Object { file: file.clone(), line, value }));
        }
        let namespaces = kustomization::namespaces(&all);
        for mut object in all {
            if let Some(namespace) = namespaces.get(kustomization::folder_of(&object.file)) {
                object.move_to(namespace);
            }
            if object.kind() == "Secret" {
                object.keep_texts();
            }
            objects.add(object)?;
        }
        // Without files, what is run comes from somewhere else.
        if objects.all.is_empty() && !files.is_empty() {
            return Err(Error::Empty);
        }
        objects.sort();
        Ok(objects)
    }

    fn sort(&mut self) {
        self.all.sort_by_key(|object| KINDS.iter().position(|kind| *kind == object.kind()));
    }

    /// Leaves those that could not be applied, or not be deleted, as they were before: neither at the next
    /// apply nor at the next start do they count as if that had been done.
    pub fn leave(&mut self, failed: &[Object], before: &Self) {
        self.all.retain(|object| !failed.contains(object));
        let named = failed.iter().filter(|object| !object.name().is_empty());
        self.all.extend(named.filter_map(|object| before.find(object.key()).cloned()));
        self.sort();
    }

    fn add(&mut self, object: Object) -> Result<(), Error> {
        if is_one(&object.value) {
            self.left_out.extend(kustomization::unread(&object));
            for map in kustomization::config_maps(&object)? {
                self.add(map)?;
            }
            return Ok(());
        }
        if !object.is_created() {
            self.left_out.push(format!("{}: {} is left out", object.file, object.title()));
            return Ok(());
        }
        // With generateName there may be several.
        if !object.name().is_empty()
            && let Some(other) = self.find(object.key())
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

    /// The object of this key.
    pub fn find(&self, key: Key<'_>) -> Option<&Object> {
        self.all.iter().find(|object| object.key() == key)
    }

    /// Namespace and name of each Flow.
    pub fn flows(&self) -> Vec<(String, String)> {
        let flows = self.all.iter().filter(|object| object.kind() == "Flow");
        flows.map(|flow| (flow.namespace().to_owned(), flow.name().to_owned())).collect()
    }
}

/// The files beside the manifests that objects are made of, whether they are there or not.
pub fn made_of(files: &[(String, Checked)]) -> BTreeSet<PathBuf> {
    let foreign = files.iter().flat_map(|(file, checked)| {
        checked.foreign.iter().map(move |(line, value)| Object {
            file: file.clone(),
            line: *line,
            value: value.clone(),
        })
    });
    foreign.filter(|object| is_one(&object.value)).flat_map(|one| kustomization::files(&one)).collect()
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
    fn texts_of_a_secret_are_kept_as_they_will_be() {
        let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: door}\ndata: {a: eA==}\nstringData: {key: open}\n";
        let objects = of(&[("a.yaml", secret)]).unwrap();
        assert_eq!(objects.all[0].value["data"], json!({"a": "eA==", "key": "b3Blbg=="}));
        assert_eq!(objects.all[0].value.get("stringData"), None);
    }

    #[test]
    fn what_config_maps_are_made_of_is_known_whether_it_is_there_or_not() {
        let kustomization = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nconfigMapGenerator: [{name: code, files: [nowhere.py, a=b/c.py]}]\n";
        let files = [("d/kustomization.yaml".to_owned(), manifest::check(kustomization))];
        assert_eq!(made_of(&files), ["d/b/c.py", "d/nowhere.py"].map(PathBuf::from).into());
        assert!(matches!(Objects::of(&files), Err(Error::Generator { .. })));
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
