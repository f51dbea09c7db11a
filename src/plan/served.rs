//! Whether the API server serves our kinds as this program knows them.
//!
//! `helm upgrade` leaves the CRDs of a chart's `crds/` folder alone, and somebody who installs by hand may
//! forget them: a field that the API server does not know is dropped without a word, and the operator would
//! do what nobody asked for. The comparison reads the OpenAPI document of our group, which every account may
//! read. Only what may be written and stored counts: descriptions and validation rules may differ.

use std::collections::BTreeSet;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

use crate::api::{GROUP, VERSION};

/// How many differences are named.
const NAMED_MAX: usize = 5;

/// How what is served differs from what this program knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// What this program knows and the API server does not: kinds (`Flow`), subresources
    /// (`daskclusters/scale`), fields (`Flow.spec.timeout`) and words (`Flow.spec.concurrency: Queue`).
    pub lacking: Vec<String>,
    /// What the API server knows and this program does not, as after a rollback of the program alone.
    pub unknown: Vec<String>,
}

impl Difference {
    /// What to tell of the lacking ones, if there are any.
    pub fn complaint(&self) -> Option<String> {
        let named = first_of(&self.lacking)?;
        Some(format!(
            "the CRDs of {GROUP} are older than this operator, or not installed: the API server does not know {named}; \
             apply the CRDs of version {}",
            env!("CARGO_PKG_VERSION")
        ))
    }

    /// What to tell of the unknown ones, if there are any.
    pub fn remark(&self) -> Option<String> {
        let named = first_of(&self.unknown)?;
        Some(format!("the CRDs of {GROUP} are newer than this operator, which takes no notice of {named}"))
    }
}

/// The first names of a list, in words.
fn first_of(names: &[String]) -> Option<String> {
    let told = names.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    let more = names.len().saturating_sub(NAMED_MAX);
    match (names.is_empty(), more) {
        (true, _) => None,
        (_, 0) => Some(told),
        (_, more) => Some(format!("{told} and {more} more")),
    }
}

/// Compares the definitions that this program knows with the OpenAPI v3 document of our group and version.
pub fn compare(known: &[CustomResourceDefinition], document: &Value) -> Difference {
    let mut difference = Difference::default();
    for crd in known {
        compare_kind(crd, document, &mut difference);
    }
    difference
}

fn compare_kind(crd: &CustomResourceDefinition, document: &Value, difference: &mut Difference) {
    let (kind, plural) = (&crd.spec.names.kind, &crd.spec.names.plural);
    let path = format!("/apis/{GROUP}/{VERSION}/namespaces/{{namespace}}/{plural}");
    let is_served = |path: &str| document.get("paths").is_some_and(|paths| paths.get(path).is_some());
    let Some(served) = served_schema(document, kind).filter(|_| is_served(&path)) else {
        return difference.lacking.push(kind.clone());
    };
    let Some(version) = crd.spec.versions.iter().find(|version| version.name == VERSION) else { return };
    let subresources = version.subresources.as_ref();
    let wanted = [
        ("status", subresources.is_some_and(|all| all.status.is_some())),
        ("scale", subresources.is_some_and(|all| all.scale.is_some())),
    ];
    for (name, _) in wanted.into_iter().filter(|(_, wanted)| *wanted) {
        if !is_served(&format!("{path}/{{name}}/{name}")) {
            difference.lacking.push(format!("{plural}/{name}"));
        }
    }
    let schema = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
    let Ok(known) = serde_json::to_value(schema) else { return };
    for part in ["spec", "status"] {
        let (known, served) = (property(&known, part), property(served, part));
        let path = format!("{kind}.{part}");
        if let (Some(known), Some(served)) = (known, served) {
            compare_schema(known, served, &path, difference);
        } else if known.is_some() {
            difference.lacking.push(path);
        }
    }
}

/// The schema of a kind in the document.
fn served_schema<'a>(document: &'a Value, kind: &str) -> Option<&'a Value> {
    let is_it = |one: &Value| {
        let is = |key: &str, value: &str| one.get(key).and_then(Value::as_str) == Some(value);
        is("group", GROUP) && is("version", VERSION) && is("kind", kind)
    };
    let mut schemas = document.get("components")?.get("schemas")?.as_object()?.values();
    schemas.find(|schema| {
        let kinds = schema.get("x-kubernetes-group-version-kind").and_then(Value::as_array);
        kinds.is_some_and(|kinds| kinds.iter().any(is_it))
    })
}

fn property<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    schema.get("properties")?.get(name)
}

fn compare_schema(known: &Value, served: &Value, path: &str, difference: &mut Difference) {
    compare_words(known, served, path, difference);
    for key in ["items", "additionalProperties"] {
        if let (Some(known), Some(served)) = (known.get(key), served.get(key)) {
            compare_schema(known, served, path, difference);
        }
    }
    let none = serde_json::Map::new();
    let fields = |schema: &'_ Value| schema.get("properties").and_then(Value::as_object).cloned();
    let (known_fields, served_fields) =
        (fields(known).unwrap_or_else(|| none.clone()), fields(served).unwrap_or(none));
    for (name, known) in &known_fields {
        let path = format!("{path}.{name}");
        match served_fields.get(name) {
            Some(served) => compare_schema(known, served, &path, difference),
            None if keeps_unknown(served) => {}
            None => difference.lacking.push(path),
        }
    }
    let unknown = served_fields.keys().filter(|name| !known_fields.contains_key(*name));
    difference.unknown.extend(unknown.filter(|_| !keeps_unknown(known)).map(|name| format!("{path}.{name}")));
}

/// The words that a field may have, where it has a closed set of them on both sides.
fn compare_words(known: &Value, served: &Value, path: &str, difference: &mut Difference) {
    let words = |schema: &Value| -> Option<BTreeSet<String>> {
        let words = schema.get("enum")?.as_array()?.iter().filter_map(Value::as_str);
        Some(words.map(str::to_owned).collect())
    };
    let (Some(known), Some(served)) = (words(known), words(served)) else { return };
    let told = |word: &String| format!("{path}: {word}");
    difference.lacking.extend(known.difference(&served).map(told));
    difference.unknown.extend(served.difference(&known).map(told));
}

fn keeps_unknown(schema: &Value) -> bool {
    schema.get("x-kubernetes-preserve-unknown-fields").and_then(Value::as_bool) == Some(true)
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;
    use crate::api;

    /// The document that an API server makes of these definitions.
    pub(crate) fn document(crds: &[CustomResourceDefinition]) -> Value {
        let mut document = json!({"paths": {}, "components": {"schemas": {}}});
        for crd in crds {
            let (kind, plural) = (&crd.spec.names.kind, &crd.spec.names.plural);
            let version = &crd.spec.versions[0];
            let mut schema =
                serde_json::to_value(version.schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap())
                    .unwrap();
            schema["x-kubernetes-group-version-kind"] =
                json!([{"group": GROUP, "kind": kind, "version": VERSION}]);
            schema["properties"]["metadata"] =
                json!({"allOf": [{"$ref": "#/components/schemas/ObjectMeta"}]});
            document["components"]["schemas"][format!("dev.daskflow.v1alpha1.{kind}")] = schema;
            let path = format!("/apis/{GROUP}/{VERSION}/namespaces/{{namespace}}/{plural}");
            document["paths"][&path] = json!({});
            document["paths"][format!("{path}/{{name}}/status")] = json!({});
            if version.subresources.as_ref().unwrap().scale.is_some() {
                document["paths"][format!("{path}/{{name}}/scale")] = json!({});
            }
        }
        document
    }

    fn schema<'a>(document: &'a mut Value, kind: &str) -> &'a mut Value {
        &mut document["components"]["schemas"][format!("dev.daskflow.v1alpha1.{kind}")]["properties"]
    }

    fn remove(properties: &mut Value, name: &str) {
        assert!(properties["properties"].as_object_mut().unwrap().remove(name).is_some(), "{name}");
    }

    #[test]
    fn our_own_definitions_lack_nothing_and_have_nothing_unknown() {
        let difference = compare(&api::crds(), &document(&api::crds()));
        assert_eq!(difference, Difference::default());
        assert_eq!((difference.complaint(), difference.remark()), (None, None));
    }

    #[test]
    fn nothing_served_lacks_every_kind() {
        let difference = compare(&api::crds(), &json!({}));
        assert_eq!(difference.lacking, ["DaskCluster", "Flow", "FlowRun", "FlowBackfill"]);
        let one = document(&api::crds()[..1]);
        assert_eq!(compare(&api::crds(), &one).lacking, ["Flow", "FlowRun", "FlowBackfill"]);
    }

    #[test]
    fn a_field_a_word_and_a_subresource_that_are_not_served_are_named() {
        let mut served = document(&api::crds());
        remove(&mut schema(&mut served, "Flow")["spec"], "timeout");
        remove(&mut schema(&mut served, "Flow")["status"]["properties"]["lastRun"], "finishedAt");
        remove(
            &mut schema(&mut served, "DaskCluster")["spec"]["properties"]["workerGroups"]["items"],
            "drain",
        );
        let words = &mut schema(&mut served, "Flow")["spec"]["properties"]["concurrency"]["enum"];
        words.as_array_mut().unwrap().retain(|word| word != "Queue");
        let scale = format!("/apis/{GROUP}/{VERSION}/namespaces/{{namespace}}/daskclusters/{{name}}/scale");
        served["paths"].as_object_mut().unwrap().remove(&scale).unwrap();
        let mut lacking = compare(&api::crds(), &served).lacking;
        lacking.sort();
        let wanted = [
            "DaskCluster.spec.workerGroups.drain",
            "Flow.spec.concurrency: Queue",
            "Flow.spec.timeout",
            "Flow.status.lastRun.finishedAt",
            "daskclusters/scale",
        ];
        assert_eq!(lacking, wanted);
    }

    #[test]
    fn a_field_of_an_opaque_object_is_not_lacking() {
        let mut served = document(&api::crds());
        let spec = &mut schema(&mut served, "Flow")["spec"];
        spec["x-kubernetes-preserve-unknown-fields"] = json!(true);
        remove(spec, "timeout");
        assert_eq!(compare(&api::crds(), &served).lacking, Vec::<String>::new());
    }

    #[test]
    fn newer_definitions_are_remarked_on_and_lack_nothing() {
        let mut served = document(&api::crds());
        schema(&mut served, "Flow")["spec"]["properties"]["colour"] = json!({"type": "string"});
        let difference = compare(&api::crds(), &served);
        assert_eq!(
            (difference.lacking.len(), difference.unknown.clone()),
            (0, vec!["Flow.spec.colour".to_owned()])
        );
        assert!(difference.remark().unwrap().contains("Flow.spec.colour"));
        assert_eq!(difference.complaint(), None);
    }

    #[test]
    fn a_complaint_names_the_first_and_counts_the_rest() {
        let lacking = (0..7).map(|index| format!("Flow.spec.f{index}")).collect();
        let complaint = Difference { lacking, ..Difference::default() }.complaint().unwrap();
        assert!(complaint.contains("Flow.spec.f4 and 2 more; apply the CRDs of version"), "{complaint}");
    }
}
