//! The values, their schema and the file that sets all of them, held against each other.

use std::collections::BTreeSet;

use rstest::rstest;
use serde_json::{Value, json};

use super::render::{refused, rendered};
use super::{FULL, read};

const VALUES: &str = "charts/daskflow/values.yaml";
const SCHEMA: &str = "charts/daskflow/values.schema.json";
/// Objects of a pod, most of whose fields have no default.
const POD_OBJECTS: &[&str] = &["/podSecurityContext", "/securityContext", "/affinity"];
/// What a chart that has this one in it may add.
const OF_OTHER_CHARTS: &[&str] = &["global", "enabled"];

/// A schema, or the one that it refers to.
fn resolve<'a>(all: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => all.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}

/// Every object and list of these values, as JSON pointer, with its schema.
fn places<'a>(all: &'a Value, schema: &'a Value, values: &Value, place: &str) -> Vec<(String, &'a Value)> {
    let schema = resolve(all, schema);
    let mut found = vec![(place.to_owned(), schema)];
    match values {
        Value::Object(fields) => found.extend(fields.iter().flat_map(|(key, value)| {
            places(all, &schema["properties"][key], value, &format!("{place}/{}", key.replace('/', "~1")))
        })),
        Value::Array(items) => found.extend(
            items
                .iter()
                .enumerate()
                .flat_map(|(index, value)| places(all, &schema["items"], value, &format!("{place}/{index}"))),
        ),
        _ => {}
    }
    found
}

/// The values that are set one by one: what the schema divides no further.
fn leaves(schema: &Value, values: &Value) -> Vec<String> {
    let is_divided = |schema: &Value| schema["properties"].is_object();
    let inner: Vec<_> =
        places(schema, schema, values, "").into_iter().filter(|(_, at)| is_divided(at)).collect();
    let mut found = Vec::new();
    for (place, at) in &inner {
        let Some(Value::Object(fields)) = values.pointer(place) else { continue };
        for (key, value) in fields {
            let below = resolve(schema, &at["properties"][key]);
            if !(is_divided(below) && value.is_object()) {
                found.push(format!("{place}/{key}"));
            }
        }
    }
    // A list is one value.
    found.retain(|leaf| !leaf.split('/').any(|key| key.parse::<usize>().is_ok()));
    found.retain(|leaf| !POD_OBJECTS.iter().any(|object| leaf.starts_with(&format!("{object}/"))));
    found.extend(POD_OBJECTS.iter().map(|object| (*object).to_owned()));
    found
}

fn with(values: &Value, place: &str, value: Value) -> Value {
    let mut changed = values.clone();
    *changed.pointer_mut(place).unwrap_or_else(|| panic!("{place} is not in {FULL}")) = value;
    changed
}

/// A field that is in one of the two alone is either refused or unknown to users.
#[test]
fn schema_and_values_have_the_same_fields() {
    let (values, schema) = (read(VALUES), read(SCHEMA));
    let mut wrong = Vec::new();
    for (place, at) in places(&schema, &schema, &values, "") {
        let (Some(known), Some(Value::Object(named))) =
            (at["properties"].as_object(), values.pointer(&place))
        else {
            continue;
        };
        let (known, named): (BTreeSet<_>, BTreeSet<_>) = (known.keys().collect(), named.keys().collect());
        wrong.extend(named.difference(&known).map(|key| format!("{place}/{key} is not in the schema")));
        // Structures that several values share, such as probes, need not have a default for each field.
        let is_own =
            schema.pointer(&place.replace('/', "/properties/")).is_some_and(|at| at["$ref"].is_null());
        if is_own && !POD_OBJECTS.contains(&place.as_str()) {
            let missing = known.difference(&named).filter(|key| !OF_OTHER_CHARTS.contains(&key.as_str()));
            wrong.extend(missing.map(|key| format!("{place}/{key} has no default")));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// No value is there that does nothing: with its default, something else comes of the file that sets all of
/// them.
#[test]
fn every_value_changes_what_is_rendered() {
    let (defaults, full, schema) = (read(VALUES), read(FULL), read(SCHEMA));
    let Some(all) = rendered(&full) else { return };
    let mut dead = Vec::new();
    for leaf in leaves(&schema, &defaults) {
        let Some(value) = full.pointer(&leaf) else {
            dead.push(format!("{leaf} is not in {FULL}"));
            continue;
        };
        let default = defaults.pointer(&leaf).unwrap();
        let other = match (leaf.as_str(), value) {
            ("/updateStrategy/type", _) => json!("Recreate"),
            (_, Value::Bool(on)) => json!(!on),
            _ => default.clone(),
        };
        if other == *value {
            dead.push(format!("{leaf} has its default in {FULL}"));
            continue;
        }
        let base = companions(&leaf).into_iter().fold(full.clone(), |all, (at, value)| with(&all, at, value));
        let before = if base == full { all.clone() } else { rendered(&base).unwrap() };
        if rendered(&with(&base, &leaf, other)).unwrap() == before {
            dead.push(format!("{leaf} changes nothing"));
        }
    }
    assert_eq!(dead, Vec::<String>::new());
}

/// What must be different for a value to count.
fn companions(leaf: &str) -> Vec<(&'static str, Value)> {
    match leaf {
        "/nameOverride" => vec![("/fullnameOverride", json!(""))],
        "/crds/keep" | "/crds/annotations" | "/compatibility/daskKubernetes/crds" => {
            vec![("/crds/enabled", json!(true))]
        }
        "/podDisruptionBudget/maxUnavailable" => vec![("/podDisruptionBudget/minAvailable", json!(""))],
        // One who sees some namespaces only installs nothing for all of them.
        "/rbac/aggregate" | "/flowSchema/enabled" => vec![("/watchNamespaces", json!([]))],
        "/leaderElection/enabled" => vec![("/replicas", json!(1))],
        _ => Vec::new(),
    }
}

/// In every object that the schema describes.
#[test]
fn misspelt_values_are_refused() {
    let (full, schema) = (read(FULL), read(SCHEMA));
    let mut count = 0;
    for (place, at) in places(&schema, &schema, &full, "") {
        let is_volume = place.starts_with("/extraVolumes/"); // of many kinds
        if !at["properties"].is_object() || is_volume {
            continue;
        }
        let mut object = full.pointer(&place).unwrap().clone();
        object["mispelt"] = json!("x");
        let Some(why) = refused(&with(&full, &place, object)) else { return };
        assert!(why.contains("mispelt"), "{place}: {why}");
        count += 1;
    }
    assert!(count >= 30, "{count}");
}

#[rstest]
#[case("/replicas", json!(-1))]
#[case("/replicas", json!("2"))]
#[case("/image/repository", json!(""))]
#[case("/image/repository", json!("flows@sha256:1"))]
#[case("/image/registry", json!("mirror.example/"))]
#[case("/image/tag", json!("1:2"))]
#[case("/image/tag", json!(1.2))]
#[case("/image/digest", json!("sha256:12"))]
#[case("/image/pullPolicy", json!("always"))]
#[case("/imagePullSecrets", json!(["registry"]))]
#[case("/fullnameOverride", json!("Flows"))]
#[case("/commonLabels", json!({"team": 1}))]
#[case("/commonLabels", json!({"team": "two words"}))]
#[case("/watchNamespaces", json!("a,b"))]
#[case("/watchNamespaces", json!(["a", "a"]))]
#[case("/watchNamespaces", json!(["a,b"]))]
#[case("/leaderElection/enabled", json!("yes"))]
#[case("/flowSchema/enabled", json!("yes"))]
#[case("/updateStrategy/type", json!("Rolling"))]
#[case("/podDisruptionBudget/maxUnavailable", json!("half"))]
#[case("/logFormat", json!("xml"))]
#[case("/extraEnv", json!([{"name": "POD_NAME", "value": "x"}]))]
#[case("/extraEnv", json!([{"name": "A", "value": 1}]))]
#[case("/extraArgs", json!("--listen"))]
#[case("/resources/limits", json!({"memory": true}))]
#[case("/livenessProbe/periodSeconds", json!(0))]
#[case("/tolerations", json!([{"effect": "Never"}]))]
#[case("/topologySpreadConstraints", json!([{"maxSkew": 1}]))]
#[case("/service/port", json!(0))]
#[case("/service/type", json!("Headless"))]
#[case("/networkPolicy/from", json!({}))]
#[case("/ui/links/dashboard", json!("dask.example"))]
#[case("/ui/from", json!({}))]
#[case("/serviceMonitor/interval", json!("15"))]
#[case("/dashboard/labels", json!({"grafana_dashboard": 1}))]
fn senseless_values_are_refused(#[case] place: &str, #[case] value: Value) {
    let Some(why) = refused(&with(&read(FULL), place, value)) else { return };
    let field = place.rsplit('/').next().unwrap();
    assert!(why.contains(field), "{place}: {why}");
}

/// A chart that has this one in it hands down `global`, and whatever it calls the condition of its
/// dependency.
#[test]
fn values_of_a_chart_around_this_one_are_let_in() {
    let values = json!({"global": {"anything": 1}, "enabled": true, "crds": {"enabled": false}});
    let Some(objects) = rendered(&values) else { return };
    assert_eq!(objects, rendered(&json!({"crds": {"enabled": false}})).unwrap());
}
