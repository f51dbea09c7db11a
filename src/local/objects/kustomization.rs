//! What is read of a kustomization: the ConfigMaps that it makes, and the namespace of what is in its folder.
//! What else it says is left to kustomize.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use super::{Error, Object};
use crate::manifest::kustomization as words;

/// The folder that a file is in.
pub(super) fn folder_of(file: &str) -> &Path {
    Path::new(file).parent().unwrap_or(Path::new("."))
}

/// The folders whose kustomization names a namespace for all that is in them.
pub(super) fn namespaces(all: &[Object]) -> BTreeMap<PathBuf, String> {
    let kustomizations = all.iter().filter(|object| words::is_one(&object.value));
    let named = kustomizations.filter(|object| !object.word("/namespace").is_empty());
    named.map(|object| (folder_of(&object.file).to_owned(), object.word("/namespace").to_owned())).collect()
}

/// What a kustomization says and is not read.
pub(super) fn unread(kustomization: &Object) -> Option<String> {
    let unread = words::unread(&kustomization.value);
    let file = &kustomization.file;
    (!unread.is_empty()).then(|| {
        let (fields, folder) = (unread.join(", "), folder_of(file).display().to_string());
        format!("{file}: {fields}: {}", words::advice(&folder, "local"))
    })
}

/// The ConfigMaps that a kustomization makes of files. What else it says is left to kustomize: pipe its
/// output in.
pub(super) fn config_maps(kustomization: &Object) -> Result<Vec<Object>, Error> {
    let folder = folder_of(&kustomization.file);
    let namespace = kustomization.word("/namespace");
    let mut maps = Vec::new();
    for generator in list(&kustomization.value, "configMapGenerator") {
        let mut data = BTreeMap::new();
        for (key, path) in list(generator, "files").iter().map(key_and_path) {
            let bytes = std::fs::read(folder.join(path)).map_err(|source| Error::Generator {
                file: kustomization.file.clone(),
                path: path.to_owned(),
                source,
            })?;
            data.insert(key.to_owned(), bytes);
        }
        for literal in list(generator, "literals") {
            let (key, value) = literal.as_str().and_then(|text| text.split_once('=')).unwrap_or_default();
            data.insert(key.to_owned(), value.as_bytes().to_vec());
        }
        let map = config_map(generator.get("name").and_then(Value::as_str), namespace, data);
        maps.push(Object { file: kustomization.file.clone(), line: kustomization.line, value: map });
    }
    Ok(maps)
}

/// The files that it makes ConfigMaps of.
pub(super) fn files(kustomization: &Object) -> Vec<PathBuf> {
    let folder = folder_of(&kustomization.file);
    let generators = list(&kustomization.value, "configMapGenerator").iter();
    let files = generators.flat_map(|generator| list(generator, "files"));
    files.map(|file| folder.join(key_and_path(file).1)).collect()
}

fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The key that a file is to have in a ConfigMap, and its path.
fn key_and_path(file: &Value) -> (&str, &str) {
    let text = file.as_str().unwrap_or_default();
    text.split_once('=').unwrap_or_else(|| (text.rsplit('/').next().unwrap_or(text), text))
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
