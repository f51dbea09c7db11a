//! What the documentation says, held against the types: reason words exist, manifests have no field that does not,
//! links lead somewhere.

#![allow(clippy::panic, reason = "a test stops at what it cannot read")]

use std::fs;
use std::path::{Path, PathBuf};

use daskflow::api::{DaskCluster, Flow, FlowBackfill, FlowRun, Reason};
use serde::Serialize;
use serde::de::{Deserialize, DeserializeOwned};
use serde_json::Value;

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Files below `folder` of this kind, at any depth.
fn files(folder: &Path, kind: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.flatten().map(|entry| entry.path());
    let found = paths
        .flat_map(|path| if path.is_dir() { files(&path, kind) } else { vec![path] })
        .collect::<Vec<_>>();
    found.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == kind)).collect()
}

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = files(&root.join("docs"), "md");
    pages.extend(["README.md", "CONTRIBUTING.md", "SECURITY.md"].map(|name| root.join(name)));
    pages
}

/// The text of the YAML blocks of a page.
fn yaml_blocks(page: &str) -> Vec<&str> {
    page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("\n```").next()).collect()
}

/// Fields of `written` that are not in `known`, which is the same object as its type has it.
fn unknown_fields(written: &Value, known: &Value, place: &str) -> Vec<String> {
    match (written, known) {
        (Value::Object(written), Value::Object(known)) => {
            let check = |(name, value): (&String, &Value)| match known.get(name) {
                Some(there) => unknown_fields(value, there, &format!("{place}.{name}")),
                None => vec![format!("{place}.{name}")],
            };
            written.iter().flat_map(check).collect()
        }
        (Value::Array(written), Value::Array(known)) => {
            let pairs = written.iter().zip(known);
            pairs.flat_map(|(value, there)| unknown_fields(value, there, &format!("{place}[]"))).collect()
        }
        _ => Vec::new(),
    }
}

fn checked<K: Serialize + DeserializeOwned>(object: &Value) -> Vec<String> {
    match serde_json::from_value::<K>(object.clone()) {
        Ok(typed) => unknown_fields(object, &serde_json::to_value(typed).unwrap_or_default(), ""),
        Err(error) => vec![error.to_string()],
    }
}

/// What is wrong with the objects of ours in `yaml`, and how many there are.
fn faults(yaml: &str, place: &Path) -> (usize, Vec<String>) {
    let (mut count, mut found) = (0, Vec::new());
    for document in serde_yaml::Deserializer::from_str(yaml) {
        let object =
            Value::deserialize(document).unwrap_or_else(|error| panic!("{}: {error}", place.display()));
        if object.get("apiVersion").and_then(Value::as_str) != Some("daskflow.dev/v1alpha1") {
            continue;
        }
        count += 1;
        found.extend(match object.get("kind").and_then(Value::as_str) {
            Some("DaskCluster") => checked::<DaskCluster>(&object),
            Some("Flow") => checked::<Flow>(&object),
            Some("FlowRun") => checked::<FlowRun>(&object),
            Some("FlowBackfill") => checked::<FlowBackfill>(&object),
            other => vec![format!("kind {other:?}")],
        });
    }
    (count, found.into_iter().map(|fault| format!("{}: {fault}", place.display())).collect())
}

#[test]
fn manifests_have_only_fields_that_exist() {
    let samples = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/samples"), "yaml");
    let (mut count, mut wrong) = (0, Vec::new());
    let mut check = |yaml: &str, place: &Path| {
        let (more, faults) = faults(yaml, place);
        count += more;
        wrong.extend(faults);
    };
    for path in &samples {
        check(&read(path), path);
    }
    for page in pages() {
        for block in yaml_blocks(&read(&page)) {
            check(block, &page);
        }
    }
    assert!(count >= 10, "only {count} objects were found");
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn misspelt_field_is_found() {
    let yaml = "apiVersion: daskflow.dev/v1alpha1\nkind: FlowRun\nmetadata: {name: a}\nspec: {flow: a, cancle: true}";
    assert_eq!(faults(yaml, Path::new("x")).1, ["x: .spec.cancle"]);
}

/// The words in the columns called Reason.
#[test]
fn tables_of_reasons_have_words_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for page in ["docs/troubleshooting.md", "README.md"] {
        let text = read(&root.join(page));
        let is_table = |line: &&str| line.starts_with("| Reason |") || line.starts_with("| Phase | Reason |");
        let mut lines = text.lines();
        while let Some(head) = lines.find(is_table) {
            let column = head.split('|').position(|cell| cell.trim() == "Reason").unwrap_or_default();
            for row in lines.by_ref().skip(1).take_while(|line| line.starts_with('|')) {
                let cell = row.split('|').nth(column).unwrap_or_default();
                for word in cell.split('`').skip(1).step_by(2) {
                    assert!(Reason::from_word(word).is_some(), "{page}: {word} is no reason");
                    count += 1;
                }
            }
        }
    }
    assert!(count > 40, "only {count} reasons were found");
}

#[test]
fn links_lead_somewhere() {
    for page in pages() {
        for rest in read(&page).split("](").skip(1) {
            let target = rest.split([')', '#']).next().unwrap_or_default();
            let exists = page.parent().is_some_and(|folder| folder.join(target).exists());
            assert!(exists || target.starts_with("https://"), "{}: {target}", page.display());
        }
    }
}
