//! A script that is not in the image: inline in its Flow, or a key of a ConfigMap, whose other keys are files
//! beside it.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, KeyToPath};

use crate::api::common::ConfigMapKey;
use crate::api::labels;

/// The name of an inline script; it shows in tracebacks.
const INLINE_FILE: &str = "flow.py";
/// So many bytes of a user's ConfigMap are copied at most, since the runner's own files have to fit into the
/// copy as well, and a ConfigMap holds 1 MiB: <https://kubernetes.io/docs/concepts/configuration/configmap/>.
const BYTES_MAX: usize = 800_000;
/// The longest name of a file beside the script: a key has 253 characters, and ours begin with a prefix.
const NAME_MAX: usize = 240;

/// The content of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A text in UTF-8.
    Text(String),
    /// Anything else, such as a script in Latin-1.
    Bytes(Vec<u8>),
}

impl Content {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }
}

/// A script that is not in the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Its file name.
    pub file: String,
    /// The files by their names, the script among them.
    pub files: BTreeMap<String, Content>,
    /// So many files of its ConfigMap are not here, since they do not fit.
    pub left_out: usize,
}

impl Script {
    /// A script written inline in a Flow.
    pub fn inline(text: &str) -> Self {
        let files = [(INLINE_FILE.to_owned(), Content::Text(text.to_owned()))].into();
        Self { file: INLINE_FILE.to_owned(), files, left_out: 0 }
    }

    /// The script that `key` names in its ConfigMap, with the other keys beside it: all of them, or, where
    /// they do not fit, none.
    ///
    /// # Errors
    ///
    /// A sentence that names the keys that are there, where this one is not.
    pub fn of(map: ConfigMap, key: &ConfigMapKey) -> Result<Self, String> {
        let texts = map.data.unwrap_or_default().into_iter().map(|(name, text)| (name, Content::Text(text)));
        let bytes = map.binary_data.unwrap_or_default().into_iter();
        let bytes = bytes.map(|(name, content)| (name, Content::Bytes(content.0)));
        let mut files: BTreeMap<String, Content> = texts.chain(bytes).collect();
        if !files.contains_key(&key.key) {
            let keys: Vec<&str> = files.keys().map(String::as_str).collect();
            let there = if keys.is_empty() {
                "it has none".to_owned()
            } else {
                format!("it has {}", keys.join(", "))
            };
            return Err(format!("the ConfigMap {} has no key {}: {there}", key.name, key.key));
        }
        if key.key.starts_with(PREFIX)
            && map.metadata.labels.is_some_and(|all| all.contains_key(labels::FLOW))
        {
            // Ours, of an earlier attempt: what is in it has been judged.
            return Ok(Self { file: key.key.clone(), files, left_out: 0 });
        }
        let all = files.len();
        files.retain(|name, _| *name == key.key || name.len() <= NAME_MAX);
        if files.values().map(Content::len).sum::<usize>() > BYTES_MAX {
            files.retain(|name, _| *name == key.key);
        }
        Ok(Self { file: key.key.clone(), left_out: all.saturating_sub(files.len()), files })
    }

    /// The script of this name as an earlier attempt had it, which was read from the ConfigMap that was made
    /// for that.
    pub(in crate::plan) fn kept(&self, file: &str) -> Self {
        let files = self
            .files
            .iter()
            .filter_map(|(name, content)| Some((name.strip_prefix(PREFIX)?.to_owned(), content.clone())));
        Self { file: file.to_owned(), files: files.collect(), left_out: 0 }
    }

    /// Puts the files into a ConfigMap, under names that nothing else has.
    pub(super) fn put(&self, data: &mut BTreeMap<String, String>, binary: &mut BTreeMap<String, ByteString>) {
        for (name, content) in &self.files {
            match content {
                Content::Text(text) => drop(data.insert(key(name), text.clone())),
                Content::Bytes(bytes) => drop(binary.insert(key(name), ByteString(bytes.clone()))),
            }
        }
    }

    /// What mounts them as the files that they are, in this folder.
    pub(super) fn items(&self, folder: &str) -> impl Iterator<Item = KeyToPath> {
        let item =
            move |name: &String| KeyToPath { key: key(name), path: format!("{folder}/{name}"), mode: None };
        self.files.keys().map(item)
    }
}

/// What the keys of a script's files begin with, which keeps them apart from the runner's own.
const PREFIX: &str = "script-";

/// The key of a file.
pub(in crate::plan) fn key(file: &str) -> String {
    format!("{PREFIX}{file}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(key: &str) -> ConfigMapKey {
        ConfigMapKey { name: "code".into(), key: key.into() }
    }

    fn map(texts: &[(&str, &str)], bytes: &[(&str, &[u8])]) -> ConfigMap {
        let text = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        let content = |(name, bytes): &(&str, &[u8])| ((*name).to_owned(), ByteString(bytes.to_vec()));
        ConfigMap {
            data: Some(texts.iter().map(text).collect()),
            binary_data: Some(bytes.iter().map(content).collect()),
            ..ConfigMap::default()
        }
    }

    #[test]
    fn all_keys_are_files_beside_the_script() {
        let map = map(&[("report.py", "import helpers"), ("helpers.py", "x = 1")], &[("logo.png", &[0xff])]);
        let script = Script::of(map, &key_of("report.py")).unwrap();
        let (mut data, mut binary) = (BTreeMap::new(), BTreeMap::new());
        script.put(&mut data, &mut binary);
        assert_eq!(data.get("script-helpers.py").map(String::as_str), Some("x = 1"));
        assert_eq!(binary.get("script-logo.png"), Some(&ByteString(vec![0xff])));
        let paths: Vec<String> = script.items("code").map(|item| item.path).collect();
        assert_eq!(paths, ["code/helpers.py", "code/logo.png", "code/report.py"]);
        assert_eq!(script.left_out, 0);
    }

    #[test]
    fn a_script_that_is_no_utf_8_is_taken_as_it_is() {
        let latin = b"# -*- coding: latin-1 -*-\nprint('\xe9')\n";
        let script = Script::of(map(&[], &[("flow.py", latin)]), &key_of("flow.py")).unwrap();
        assert_eq!(script.files.get("flow.py"), Some(&Content::Bytes(latin.to_vec())));
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_counted() {
        let large = "x".repeat(BYTES_MAX);
        let script = Script::of(map(&[("a.py", "1"), ("b.csv", &large)], &[]), &key_of("a.py")).unwrap();
        assert_eq!((script.files.len(), script.left_out), (1, 1));
        let long = "x".repeat(250);
        let script = Script::of(map(&[("a.py", "1"), (&long, "")], &[]), &key_of("a.py")).unwrap();
        assert_eq!((script.files.len(), script.left_out), (1, 1));
    }

    #[test]
    fn a_missing_key_names_those_that_are_there() {
        let missing = Script::of(map(&[("a.py", "")], &[("b.py", &[])]), &key_of("flow.py"));
        assert_eq!(missing, Err("the ConfigMap code has no key flow.py: it has a.py, b.py".into()));
        let empty = Script::of(ConfigMap::default(), &key_of("flow.py"));
        assert_eq!(empty, Err("the ConfigMap code has no key flow.py: it has none".into()));
    }
}
