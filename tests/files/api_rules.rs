//! Every rule of the kinds, asked without a cluster: good objects pass, bad ones are refused with the message
//! that tells what to write instead. The same objects go to a real API server in the end-to-end tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use super::cases::{self, Case, Judge};
use daskflow::api::duration::DURATION_LENGTH_MAX;
use daskflow::api::{self, DaskCluster, Flow, FlowBackfill, FlowRun};
use kube_cel::{CompiledSchema, ErrorKind, Validator, compile_schema};
use serde_json::{Map, Value};

/// The schemas as the API server gets them, by kind.
static SCHEMAS: LazyLock<BTreeMap<String, Value>> = LazyLock::new(|| {
    let schema = |crd: &Value| crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
    let crds = api::crds().into_iter().map(|crd| serde_json::to_value(crd).unwrap());
    crds.map(|crd| (crd["spec"]["names"]["kind"].as_str().unwrap().to_owned(), schema(&crd))).collect()
});

/// The same, with the rules compiled.
static COMPILED: LazyLock<BTreeMap<String, CompiledSchema>> =
    LazyLock::new(|| SCHEMAS.iter().map(|(kind, schema)| (kind.clone(), compile_schema(schema))).collect());

/// What the CEL rules say of a case: path and message of each rule that it breaks.
fn broken_rules(case: &Case) -> Vec<(String, String)> {
    let schema = &COMPILED[case.kind()];
    match Validator::new().validate_compiled(schema, &case.object, case.before.as_ref()) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.iter().map(|error| (error.field_path.clone(), error.message.clone())).collect(),
    }
}

/// The rules that are broken, without those that cannot be asked of values of this type.
fn answers(case: &Case) -> Vec<(String, String)> {
    let errors =
        Validator::new().validate_compiled(&COMPILED[case.kind()], &case.object, case.before.as_ref());
    let answers =
        errors.err().into_iter().flatten().filter(|error| error.kind == ErrorKind::ValidationFailure);
    answers.map(|error| (error.field_path.clone(), error.message.clone())).collect()
}

#[test]
fn good_objects_break_no_rule() {
    for case in cases::good() {
        assert_eq!(broken_rules(&case), [], "{}", case.name);
        assert_eq!(broken_bounds(&SCHEMAS[case.kind()], &case.object, ""), [], "{}", case.name);
    }
}

#[test]
fn good_objects_are_read_without_loss() {
    for case in cases::good() {
        let object = case.object.clone();
        let read = match case.kind() {
            "DaskCluster" => serde_json::to_value(serde_json::from_value::<DaskCluster>(object).unwrap()),
            "Flow" => serde_json::to_value(serde_json::from_value::<Flow>(object).unwrap()),
            "FlowRun" => serde_json::to_value(serde_json::from_value::<FlowRun>(object).unwrap()),
            "FlowBackfill" => serde_json::to_value(serde_json::from_value::<FlowBackfill>(object).unwrap()),
            other => panic!("{other} is no kind of ours"),
        };
        assert_contains(&read.unwrap(), &case.object, &case.name);
    }
}

/// Everything in `part` that says something is in `whole` as well.
fn assert_contains(whole: &Value, part: &Value, path: &str) {
    match part {
        Value::Object(fields) => {
            for (name, value) in fields.iter().filter(|(_, value)| !says_nothing(value)) {
                assert_contains(&whole[name], value, &format!("{path}.{name}"));
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                assert_contains(&whole[index], item, &format!("{path}[{index}]"));
            }
        }
        // An amount is read as a fraction: 1 and 1.0 are one number.
        Value::Number(_) => assert_eq!(whole.as_f64(), part.as_f64(), "{path}"),
        _ => assert_eq!(whole, part, "{path}"),
    }
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Bool(on) => !on,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

#[test]
fn bad_objects_break_exactly_the_rule_that_they_name() {
    for case in cases::bad() {
        let refusal = case.refusal.clone().unwrap();
        let expected = (refusal.field, refusal.message);
        match refusal.by {
            Judge::Rule => assert_eq!(broken_rules(&case), [expected], "{}", case.name),
            Judge::Schema => {
                assert_eq!(
                    broken_bounds(&SCHEMAS[case.kind()], &case.object, ""),
                    [expected],
                    "{}",
                    case.name
                );
            }
            // It asks no rule of an object that does not fit the schema; asked all the same, some have no
            // answer.
            Judge::Server => assert_eq!(answers(&case), [], "{}", case.name),
        }
        let before = case.before.map(|object| Case { object, before: None, refusal: None, name: case.name });
        assert!(
            before.iter().all(|before| broken_rules(before).is_empty()),
            "the object before must be good"
        );
    }
}

#[test]
fn every_rule_has_a_good_and_a_bad_object() {
    let (good, bad) = (cases::good(), cases::bad());
    let broken: BTreeSet<(String, String, String)> = (bad.iter())
        .flat_map(|case| {
            let paths = broken_rules(case).into_iter();
            paths.map(|(path, message)| (case.kind().to_owned(), without_indexes(&path), message))
        })
        .collect();
    for (kind, schema) in SCHEMAS.iter() {
        let mut rules = Vec::new();
        collect_rules(schema, "", &mut rules);
        assert!(!rules.is_empty(), "{kind} has no rules");
        for (path, rule) in rules.into_iter().filter(|(path, _)| !path.starts_with(EMBEDDED)) {
            let message =
                rule["message"].as_str().unwrap_or_else(|| panic!("{kind} {path}: no message: {rule}"));
            let key = (kind.clone(), path.clone(), message.to_owned());
            assert!(broken.contains(&key), "{kind} {path}: no bad object for: {message}");
            let is_change = rule["rule"].as_str().unwrap().contains("oldSelf");
            let tried = good.iter().filter(|case| case.kind() == kind).any(|case| {
                let old = case.before.as_ref().is_some_and(|old| has(old, &path));
                has(&case.object, &path) && (old || !is_change)
            });
            assert!(tried, "{kind} {path}: no good object for: {message}");
        }
    }
}

/// Where a Flow has the spec of a `DaskCluster`.
const EMBEDDED: &str = "spec.cluster.template";

/// So the objects of one kind try the rules of both.
#[test]
fn a_cluster_in_a_flow_has_the_rules_and_bounds_of_a_cluster() {
    let mut spec = SCHEMAS["DaskCluster"]["properties"]["spec"].clone();
    let mut embedded =
        SCHEMAS["Flow"]["properties"]["spec"]["properties"]["cluster"]["properties"]["template"].clone();
    assert_eq!(embedded["nullable"], true, "a Flow may do without");
    embedded.as_object_mut().unwrap().remove("nullable");
    forget_descriptions(&mut spec);
    forget_descriptions(&mut embedded);
    assert_eq!(embedded, spec);
    let mut rules = Vec::new();
    collect_rules(&embedded, EMBEDDED, &mut rules);
    assert!(rules.len() > 10, "only {} rules", rules.len());
}

/// A field that is called "description" is a schema, and stays.
fn forget_descriptions(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.retain(|name, value| name != "description" || !value.is_string());
            fields.values_mut().for_each(forget_descriptions);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_descriptions),
        _ => {}
    }
}

/// The type of a duration bounds its length. Which of the rules of `api::duration` it has stands at the
/// field.
#[test]
fn every_duration_has_a_rule() {
    let mut found = 0;
    for schema in SCHEMAS.values() {
        let mut fields = vec![&schema["properties"]["spec"]];
        while let Some(field) = fields.pop() {
            if field["type"] == "string" && field["maxLength"] == DURATION_LENGTH_MAX {
                assert!(field["x-kubernetes-validations"].is_array(), "{field}");
                found += 1;
            }
            fields.extend(field["properties"].as_object().into_iter().flat_map(Map::values));
            fields.extend(field.get("items"));
        }
    }
    assert!(found > 16, "only {found}");
}

#[test]
fn every_range_and_set_of_words_has_a_bad_object() {
    let bad = cases::bad();
    let mut broken = BTreeSet::new();
    for case in &bad {
        for (path, message) in broken_bounds(&SCHEMAS[case.kind()], &case.object, "") {
            broken.insert((case.kind().to_owned(), path, words_of(&message)));
        }
    }
    for (kind, schema) in SCHEMAS.iter() {
        let mut bounds = Vec::new();
        collect_bounds(&schema["properties"]["spec"], "spec", &mut bounds);
        for (path, words) in bounds {
            let key = (kind.clone(), path.clone(), words.to_owned());
            assert!(broken.contains(&key), "{kind} {path}: no bad object that {words}");
        }
    }
}

/// The message without the bound itself.
fn words_of(message: &str) -> String {
    let end = message.find(|c: char| c.is_ascii_digit() || c == ':').unwrap_or(message.len());
    message[..end].trim_end().to_owned()
}

fn collect_rules(schema: &Value, path: &str, rules: &mut Vec<(String, Value)>) {
    let own = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    rules.extend(own.map(|rule| (path.to_owned(), rule.clone())));
    for (name, child) in schema["properties"].as_object().into_iter().flatten() {
        collect_rules(child, &join(path, name), rules);
    }
    if schema["items"].is_object() {
        collect_rules(&schema["items"], &format!("{path}[]"), rules);
    }
}

/// The ranges and sets of words of a schema. A cluster's spec inside a Flow is the same type as a
/// `DaskCluster`'s.
fn collect_bounds(schema: &Value, path: &str, bounds: &mut Vec<(String, &'static str)>) {
    if path == EMBEDDED {
        return;
    }
    let words = [
        ("minimum", "should be greater than or equal to"),
        ("maximum", "should be less than or equal to"),
        ("minItems", "should have at least"),
        ("enum", "Unsupported value"),
    ];
    for (_, words) in words.iter().filter(|(keyword, _)| !schema[keyword].is_null()) {
        bounds.push((path.to_owned(), words));
    }
    for (name, child) in schema["properties"].as_object().into_iter().flatten() {
        collect_bounds(child, &join(path, name), bounds);
    }
}

/// What the API server says of the bounds in a schema: path and message, in its words.
fn broken_bounds(schema: &Value, value: &Value, path: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut say = |message: String| found.push((path.to_owned(), message));
    let bound = |keyword: &str| schema[keyword].as_f64();
    if let Some(number) = value.as_f64() {
        bound("minimum")
            .filter(|least| number < *least)
            .inspect(|least| say(format!("should be greater than or equal to {least}")));
        bound("maximum")
            .filter(|most| number > *most)
            .inspect(|most| say(format!("should be less than or equal to {most}")));
    }
    if let Some(text) = value.as_str() {
        let length = f64::from(u32::try_from(text.chars().count()).unwrap());
        bound("minLength")
            .filter(|least| length < *least)
            .inspect(|least| say(format!("should be at least {least} chars long")));
        bound("maxLength")
            .filter(|most| length > *most)
            .inspect(|most| say(format!("may not be more than {most} bytes")));
        let words: Vec<_> = schema["enum"].as_array().into_iter().flatten().map(Value::to_string).collect();
        if !words.is_empty() && !words.contains(&value.to_string()) {
            say(format!("Unsupported value: {value}: supported values: {}", words.join(", ")));
        }
    }
    if let Some(items) = value.as_array() {
        let length = f64::from(u32::try_from(items.len()).unwrap());
        bound("minItems")
            .filter(|least| length < *least)
            .inspect(|least| say(format!("should have at least {least} items")));
        bound("maxItems")
            .filter(|most| length > *most)
            .inspect(|most| say(format!("must have at most {most} items")));
        for (index, item) in items.iter().enumerate() {
            found.extend(broken_bounds(&schema["items"], item, &format!("{path}[{index}]")));
        }
    }
    if let Some(fields) = value.as_object() {
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                found.push((join(path, name), "Required value".to_owned()));
            }
        }
        for (name, field) in fields {
            let named = schema["properties"].get(name).unwrap_or(&schema["additionalProperties"]);
            found.extend(broken_bounds(named, field, &join(path, name)));
        }
    }
    found
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// `a[3].b` as `a[].b`.
fn without_indexes(path: &str) -> String {
    path.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// Whether an object has a value at a path of its schema.
fn has(object: &Value, path: &str) -> bool {
    let Some((first, rest)) = path.split_once('.').or((!path.is_empty()).then_some((path, ""))) else {
        return true;
    };
    match first.strip_suffix("[]") {
        Some(list) => object[list].as_array().is_some_and(|items| items.iter().any(|item| has(item, rest))),
        None => object.get(first).is_some_and(|value| has(value, rest)),
    }
}
