//! What is seen of a kustomization, which is built by kustomize and not here.
//!
//! kustomize asks for neither `apiVersion` nor `kind` in one.

use serde_json::Value;

use super::shell;
use super::yaml::{Content, Entry, Node};

const GROUP: &str = "kustomize.config.k8s.io";
const KIND: &str = "Kustomization";

/// What changes nothing of an object in another file but its namespace.
const HARMLESS: [&str; 7] =
    ["apiVersion", "kind", "metadata", "namespace", "configMapGenerator", "generatorOptions", "resources"];

/// The other fields that one has.
const FIELDS: [&str; 29] = [
    "bases",
    "buildMetadata",
    "commonAnnotations",
    "commonLabels",
    "components",
    "configurations",
    "crds",
    "generators",
    "helmChartInflationGenerator",
    "helmCharts",
    "helmGlobals",
    "imageTags",
    "images",
    "inventory",
    "labels",
    "namePrefix",
    "nameSuffix",
    "openapi",
    "patches",
    "patchesJson6902",
    "patchesStrategicMerge",
    "replacements",
    "replicas",
    "secretGenerator",
    "sortOptions",
    "transformers",
    "validators",
    "vars",
    "legacySortOptions",
];

/// Whether it is one.
pub fn is_one(object: &Value) -> bool {
    let word = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
    word("kind") == KIND && word("apiVersion").split('/').next() == Some(GROUP)
}

/// What it says that is not read here, and may change objects of other files.
pub fn unread(kustomization: &Value) -> Vec<&str> {
    let fields = kustomization.as_object().into_iter().flatten().map(|(field, _)| field.as_str());
    fields.filter(|field| !HARMLESS.contains(field)).collect()
}

/// What to do with one in this folder, for a command that reads `-f -`.
pub fn advice(folder: &str, command: &str) -> String {
    let folder = if folder.is_empty() { "." } else { folder };
    format!("not read here; pipe `kubectl kustomize {}` into `daskflow {command} -f -`", shell::word(folder))
}

/// The same node with the words that say what it is, where nothing but its fields does.
pub(super) fn named(node: &Node) -> Option<Node> {
    let Content::Map(entries) = &node.content else { return None };
    let is_field = |key: &str| FIELDS.contains(&key) || HARMLESS.contains(&key);
    // Such as a ConfigMap that has lost its head.
    let is_told = entries.iter().any(|entry| !["metadata", "namespace"].contains(&entry.key.as_str()));
    let has_its_fields = is_told && entries.iter().all(|entry| is_field(&entry.key));
    if !has_its_fields || node.get("kind").is_some() && node.get("apiVersion").is_some() {
        return None;
    }
    let words = [("apiVersion", format!("{GROUP}/v1beta1")), ("kind", KIND.to_owned())];
    let missing = words.into_iter().filter(|(field, _)| node.get(field).is_none());
    let missing = missing.map(|(field, word)| Entry {
        key: field.to_owned(),
        line: node.line,
        value: Node { line: node.line, content: Content::Scalar(Value::String(word)) },
    });
    let content = Content::Map(entries.iter().cloned().chain(missing).collect());
    let named = Node { line: node.line, content };
    is_one(&named.to_value()).then_some(named)
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;

    #[test]
    fn a_folder_is_one_word_of_a_shell() {
        assert!(advice("", "local").contains("`kubectl kustomize .`"));
        assert!(advice("../übung/a-b_1", "local").contains("kustomize ../übung/a-b_1`"));
        assert!(advice("my flows/it's", "local").contains(r"kustomize 'my flows/it'\''s'`"));
    }

    #[test]
    fn a_kustomization_without_a_kind_is_one() {
        let checked = check("resources: [base]\nnamePrefix: a-\n");
        assert_eq!((checked.others, checked.faults.len()), (1, 0));
        let [(line, value)] = checked.foreign.as_slice() else { panic!("{:?}", checked.foreign) };
        assert!(*line == 1 && is_one(value), "{value}");
        assert_eq!(unread(value), ["namePrefix"]);
        for other in ["metadata: {name: a}\n", "resources: []\nspec: {}\n", "kind: Flow\nresources: []\n"] {
            assert!(!check(other).faults.is_empty(), "{other}");
        }
        let of_flux = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nspec: {}\n";
        assert!(check(of_flux).foreign.iter().all(|(_, value)| !is_one(value)));
    }
}
