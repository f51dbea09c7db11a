//! Manifests of dask-kubernetes that people have, in twenty shapes: what `daskflow migrate` makes of each.
//!
//! A file of `shapes/` begins with what is to come of it:
//!
//! ```yaml
//! # ours: FIELD = JSON             (a field of the first object that is written; null: it is not there)
//! # beside: KIND/NAME FIELD = JSON (of another one)
//! # changed: FIELD                 (a remark about a field of theirs; all of them are listed)
//! # refused: FIELD                 (the same; nothing is written then)
//! # others: 1                      (objects of other kinds)
//! ```

mod adapter;
mod living;

use std::fs;
use std::path::{Path, PathBuf};

use daskflow::api::DaskCluster;
use daskflow::manifest::check;
use daskflow::manifest::migration::migrate;
use daskflow::plan::compat::{Effect, translate};
use daskflow::plan::field::FieldPath;
use daskflow::plan::pods::{scheduler, worker};
use daskflow::plan::site::Site;
use daskflow::plan::subset::is_subset;
use serde::Deserialize;
use serde_json::{Value, json};

use super::program::{self, daskflow};

struct Shape {
    file: PathBuf,
    text: String,
    objects: Vec<Value>,
}

impl Shape {
    fn name(&self) -> String {
        self.file.file_stem().unwrap().to_string_lossy().into_owned()
    }

    /// What follows this word in the header, once for each line.
    fn expected(&self, word: &str) -> Vec<&str> {
        let prefix = format!("# {word}: ");
        let mut found: Vec<&str> = self.text.lines().filter_map(|line| line.strip_prefix(&prefix)).collect();
        found.sort_unstable();
        found
    }

    /// Objects of dask-kubernetes.
    fn theirs(&self) -> Vec<Value> {
        let is_theirs = |object: &&Value| object["apiVersion"] == "kubernetes.dask.org/v1";
        self.objects.iter().filter(is_theirs).cloned().collect()
    }
}

fn shapes() -> Vec<Shape> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat/shapes");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let shape = |file: PathBuf| {
        let text = fs::read_to_string(&file).unwrap();
        let objects = documents(&text);
        Shape { file, text, objects }
    };
    files.into_iter().map(shape).collect()
}

fn documents(text: &str) -> Vec<Value> {
    if text.is_empty() {
        return Vec::new();
    }
    serde_yaml::Deserializer::from_str(text).map(|document| Value::deserialize(document).unwrap()).collect()
}

/// `FIELD = JSON`
fn assert_field(object: &Value, expected: &str, shape: &Shape) {
    let (field, value) = expected.split_once(" = ").unwrap();
    let value: Value = serde_json::from_str(value).unwrap_or_else(|error| panic!("{expected}: {error}"));
    let found = FieldPath::find(field, object).get(object).cloned().unwrap_or_default();
    assert_eq!(found, value, "{}: {field} of {object:#}", shape.name());
}

#[test]
fn there_are_twenty_shapes() {
    let numbers: Vec<String> = shapes().iter().map(|shape| shape.name()[..3].to_owned()).collect();
    let expected: Vec<String> = (1..=20).map(|number| format!("m{number:02}")).collect();
    assert_eq!(numbers, expected);
}

#[test]
fn every_shape_becomes_what_its_header_says() {
    for shape in shapes() {
        let migration = migrate(&[&shape.text]);
        let written = documents(&migration.text);
        let others: usize = shape.expected("others").first().map_or(0, |number| number.parse().unwrap());
        // An Ingress that was written for the Service of the scheduler stays.
        let stays = shape.objects.len() - shape.theirs().len();
        assert!(others <= stays, "{}", shape.name());
        assert_eq!((migration.theirs, migration.others), (shape.theirs().len(), stays), "{}", shape.name());
        for expected in shape.expected("ours") {
            assert_field(&written[0], expected, &shape);
        }
        for expected in shape.expected("beside") {
            let (object, expected) = expected.split_once(' ').unwrap();
            let is_it = |one: &&Value| {
                let metadata = &one["metadata"];
                let name = metadata["name"].as_str().or(metadata["generateName"].as_str()).unwrap();
                format!("{}/{name}", one["kind"].as_str().unwrap()) == object
            };
            assert_field(written.iter().find(is_it).unwrap(), expected, &shape);
        }
        let is_refused = !shape.expected("refused").is_empty();
        assert_eq!(written.is_empty(), is_refused, "{}: {:?}", shape.name(), migration.faults);
        let has_faults = migration.faults.iter().any(|(_, fault)| !fault.hint);
        assert_eq!(has_faults, is_refused, "{}: {:?}", shape.name(), migration.faults);
    }
}

#[test]
fn every_remark_on_a_shape_is_in_its_header_and_in_the_text() {
    for shape in shapes() {
        let remarks: Vec<_> =
            translate(&shape.theirs()).into_iter().flat_map(|translated| translated.remarks).collect();
        let of = |effect: Effect| {
            let fields = remarks.iter().filter(|remark| remark.effect == effect);
            let mut fields: Vec<&str> = fields.map(|remark| remark.field.as_str()).collect();
            fields.sort_unstable();
            fields
        };
        assert_eq!(of(Effect::Refused), shape.expected("refused"), "{}: {remarks:#?}", shape.name());
        if shape.expected("refused").is_empty() {
            assert_eq!(of(Effect::Changed), shape.expected("changed"), "{}: {remarks:#?}", shape.name());
            let text = migrate(&[&shape.text]).text;
            for remark in &remarks {
                let comment = format!("{}: ", remark.field);
                assert!(text.contains(&comment), "{}: {comment}: {text}", shape.name());
            }
        }
    }
}

#[test]
fn what_is_written_is_good() {
    for shape in shapes() {
        let text = migrate(&[&shape.text]).text;
        let checked = check(&text);
        let faults: Vec<_> =
            checked.manifests.iter().flat_map(|manifest| &manifest.faults).chain(&checked.faults).collect();
        assert!(faults.is_empty(), "{}: {faults:#?}", shape.name());
    }
}

/// Fields of a container that are another one here: how it is started, ports and a probe of its own.
const OTHERWISE: [&str; 5] = ["name", "args", "command", "ports", "readinessProbe"];

/// Whether all of their pod is in ours.
fn assert_kept(theirs: &Value, ours: &Value, (container, shape): (&str, &Shape)) {
    let mut pod = as_kubernetes_writes(theirs.clone());
    let containers = pod.as_object_mut().unwrap().remove("containers").unwrap();
    pod.as_object_mut().unwrap().remove("restartPolicy");
    assert!(is_subset(&pod, &ours["spec"]), "{}: {pod:#} is not in {ours:#}", shape.name());
    let named = |name: &str| {
        let all = ours["spec"]["containers"].as_array().unwrap();
        all.iter()
            .find(|one| one["name"] == name)
            .cloned()
            .unwrap_or_else(|| panic!("{}: {name}", shape.name()))
    };
    for (at, mut theirs) in containers.as_array().unwrap().iter().cloned().enumerate() {
        let ours = if at == 0 { named(container) } else { named(theirs["name"].as_str().unwrap()) };
        let fields = theirs.as_object_mut().unwrap();
        fields.retain(|name, value| !(value.is_null() || at == 0 && OTHERWISE.contains(&name.as_str())));
        if let Some(port) = theirs.pointer_mut("/livenessProbe/httpGet/port") {
            *port = json!(8787);
        }
        assert!(is_subset(&theirs, &ours), "{}: {theirs:#} is not in {ours:#}", shape.name());
    }
}

/// Quantities are texts there.
fn as_kubernetes_writes(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                if name == "sizeLimit" && field.is_number() {
                    *field = json!(field.to_string());
                }
                if ["requests", "limits"].contains(&name.as_str()) {
                    let amounts = field.as_object_mut().unwrap().values_mut();
                    for amount in amounts.filter(|amount| amount.is_number()) {
                        *amount = json!(amount.to_string());
                    }
                }
                *field = as_kubernetes_writes(field.take());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = as_kubernetes_writes(item.take())),
        _ => {}
    }
    value
}

/// The cluster that is written for a shape, and what it was; none where nothing is written.
fn cluster_of(shape: &Shape) -> Option<(DaskCluster, Value)> {
    let written = documents(&migrate(&[&shape.text]).text);
    let first = written.first()?.clone();
    let spec =
        if first["kind"] == "DaskCluster" { &first["spec"] } else { &first["spec"]["cluster"]["template"] };
    let object = json!({
        "apiVersion": "daskflow.dev/v1alpha1", "kind": "DaskCluster",
        "metadata": {"name": "shape", "namespace": "a", "uid": "u"}, "spec": spec,
    });
    let theirs =
        shape.theirs().into_iter().find(|one| one["kind"] == "DaskCluster" || one["kind"] == "DaskJob");
    let theirs = theirs.unwrap();
    let spec = if theirs["kind"] == "DaskJob" { &theirs["spec"]["cluster"]["spec"] } else { &theirs["spec"] };
    Some((serde_json::from_value(object).unwrap(), spec.clone()))
}

#[test]
fn nothing_of_a_pod_is_lost() {
    let mut count = 0;
    for shape in shapes() {
        let Some((cluster, theirs)) = cluster_of(&shape) else { continue };
        let pod = serde_json::to_value(scheduler::pod(&cluster, Site::Kubernetes, None).unwrap()).unwrap();
        assert_kept(&theirs["scheduler"]["spec"], &pod, ("scheduler", &shape));
        let group = (worker::DEFAULT_GROUP, &cluster.spec.workers);
        let pod = worker::pod(&cluster, Site::Kubernetes, None, group, 0).unwrap();
        let pod = serde_json::to_value(pod).unwrap();
        assert_kept(&theirs["worker"]["spec"], &pod, ("worker", &shape));
        count += 1;
    }
    assert_eq!(count, 19, "all but the refused one");
}

#[test]
fn the_command_prints_manifests_and_says_the_rest() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat/shapes");
    let file = folder.join("m06-shells-secrets-and-sidecars.yaml");
    let ran = daskflow(Path::new("/"), &["migrate", "-f", file.to_str().unwrap()], "");
    let said = "2 objects of dask-kubernetes, 1 object written, 1 of other kinds passed over\n";
    assert_eq!((ran.code, ran.err.as_str()), (0, said));
    let checked = daskflow(Path::new("/"), &["validate", "-f", "-"], &ran.out);
    assert_eq!((checked.code, checked.out.as_str()), (0, "1 object checked\n"));

    // All of the folder: the refused one does not keep the others from being written.
    let ran = daskflow(Path::new("/"), &["migrate", "-f", folder.to_str().unwrap()], "");
    assert_eq!(ran.code, 1);
    let said: Vec<&str> = ran.err.lines().filter(|line| !line.contains(": hint: ")).collect();
    let refused = "m14-own-tls.yaml:17: spec.worker.spec.containers[0].args: ";
    assert_eq!(said.len(), 5, "{}", ran.err);
    assert!(said.iter().any(|line| line.contains(refused)), "{}", ran.err);
    assert!(said[4].starts_with("25 objects of dask-kubernetes, 22 objects written, "), "{}", ran.err);
    let checked = daskflow(Path::new("/"), &["validate", "-f", "-"], &ran.out);
    assert_eq!(checked.code, 0, "{}", checked.out);
}

#[test]
fn two_jobs_of_one_flow_are_a_fault_with_both_places() {
    let job = fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat/shapes/m18-generated-name.yaml"),
    );
    let job = job.unwrap();
    let named = job.replace("{generateName: attributes-,", "{name: attributes,");
    let folder = program::folder("migrate_twice", &[("a.yaml", &named), ("b.yaml", &job)]);
    let ran = daskflow(&folder, &["migrate", "-f", "a.yaml", "-f", "b.yaml"], "");
    assert_eq!(ran.code, 1);
    let line = 1 + job.lines().position(|line| line.starts_with("metadata:")).unwrap();
    let said = [
        format!(
            "a.yaml:{line}: hint: metadata.name: the Flow attributes is written for this, and not for the DaskJob attributes- too"
        ),
        format!(
            "b.yaml:{line}: metadata.generateName: the Flow attributes is written for the DaskJob attributes already: give one of \
             them another name"
        ),
        "2 objects of dask-kubernetes, 2 objects written, 1 fault".to_owned(),
    ];
    assert_eq!(ran.err.lines().collect::<Vec<_>>(), said);
    let checked = daskflow(&folder, &["validate", "-f", "-"], &ran.out);
    assert_eq!((checked.code, checked.out.as_str()), (0, "2 objects checked\n"));
}

#[test]
fn the_command_ends_with_a_fault_where_there_is_nothing_of_theirs() {
    let ran = daskflow(Path::new("/"), &["migrate", "-f", "-"], "{apiVersion: v1, kind: Secret}");
    let said = "daskflow: there is no object of dask-kubernetes in what was given, but 1 Secret\n";
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (1, "", said));
    assert_eq!(daskflow(Path::new("/"), &["migrate"], "").code, 2);
}
