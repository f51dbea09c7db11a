//! The fields of a kind, as the CRD has them.

use std::fs;

use serde_json::{Map, Value, json};

use crate::pages::root;

/// The kinds, and the files of their CRDs.
pub const KINDS: [(&str, &str); 4] = [
    ("Flow", "flows"),
    ("DaskCluster", "daskclusters"),
    ("FlowRun", "flowruns"),
    ("FlowBackfill", "flowbackfills"),
];

/// What the schema of a field lets in.
#[derive(Clone, Copy, Debug)]
pub enum Shape<'a> {
    /// Fields of these names.
    Object(&'a Map<String, Value>),
    /// Items of this schema.
    List(&'a Value),
    /// Values of this schema, by any key.
    Map(&'a Value),
    /// Anything: `x-kubernetes-preserve-unknown-fields`.
    Opaque,
    /// A text, a number, a boolean, or what is either of them.
    Leaf,
}

/// The schema of the spec of a kind.
pub fn of_spec(plural: &str) -> Value {
    let file = root().join("crds").join(format!("{plural}.yaml"));
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let crd: Value = serde_yaml::from_str(&text).unwrap();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone()
}

/// What a schema lets in.
pub fn shape(schema: &Value) -> Shape<'_> {
    if schema["x-kubernetes-preserve-unknown-fields"] == json!(true) {
        Shape::Opaque
    } else if let Some(fields) = schema["properties"].as_object() {
        Shape::Object(fields)
    } else if schema["items"].is_object() {
        Shape::List(&schema["items"])
    } else if schema["additionalProperties"].is_object() {
        Shape::Map(&schema["additionalProperties"])
    } else {
        Shape::Leaf
    }
}

/// Whether an object must have this field.
pub fn is_required(schema: &Value, field: &str) -> bool {
    schema["required"].as_array().into_iter().flatten().any(|name| name == field)
}

/// The CEL rules of a field, one after the other.
pub fn rules(schema: &Value) -> String {
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    rules.filter_map(|rule| rule["rule"].as_str()).collect::<Vec<_>>().join("\n")
}

/// Whether a rule forbids every change of the field.
pub fn is_fixed(schema: &Value) -> bool {
    rules(schema).contains("self == oldSelf")
}

/// The fields of an object of which there must be exactly one, if a rule says so.
pub fn alternatives(schema: &Value) -> Vec<String> {
    let rules = rules(schema);
    let Some(rule) = rules.lines().find(|rule| rule.ends_with("filter(x, x).size() == 1")) else {
        return Vec::new();
    };
    let names = rule.split("has(self.").skip(1).filter_map(|rest| rest.split(')').next());
    names.map(str::to_owned).collect()
}

/// All leaves of a schema that may be changed, such as `spec.env[].name`; maps and lists end in `{}` and
/// `[]`.
pub fn leaves(schema: &Value, path: &str, found: &mut Vec<String>) {
    if is_fixed(schema) {
        return;
    }
    match shape(schema) {
        Shape::Object(fields) => {
            for (name, field) in fields {
                leaves(field, &format!("{path}.{name}"), found);
            }
        }
        Shape::List(items) => leaves(items, &format!("{path}[]"), found),
        Shape::Map(values) => leaves(values, &format!("{path}{{}}"), found),
        Shape::Opaque | Shape::Leaf => found.push(path.to_owned()),
    }
}

#[test]
fn every_kind_has_leaves_and_what_cannot_change_is_none() {
    let leaves = |plural: &str| {
        let mut found = Vec::new();
        leaves(&of_spec(plural), "spec", &mut found);
        found
    };
    let flow = leaves("flows");
    assert!(flow.len() > 150, "{}", flow.len());
    for leaf in ["spec.env[].name", "spec.resources.limits{}", "spec.template", "spec.schedule.clocks[].cron"]
    {
        assert!(flow.iter().any(|found| found == leaf), "{leaf}: {flow:?}");
    }
    assert_eq!(leaves("flowruns"), ["spec.cancel", "spec.suspend"]);
    assert_eq!(
        alternatives(&of_spec("flows")["properties"]["cluster"]),
        ["ref", "template", "address", "gateway"]
    );
}
