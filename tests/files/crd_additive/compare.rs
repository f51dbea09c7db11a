//! What keeps one definition from being an addition to another.

use std::collections::BTreeSet;

use serde_json::Value;

/// Bounds that may only fall, and bounds that may only rise. One that was not there must not come.
const LOWER_BOUNDS: [&str; 4] = ["minimum", "minLength", "minItems", "minProperties"];
const UPPER_BOUNDS: [&str; 4] = ["maximum", "maxLength", "maxItems", "maxProperties"];
/// What must stay as it is; of those, what may go.
const FIXED: [&str; 13] = [
    "type",
    "format",
    "pattern",
    "multipleOf",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "uniqueItems",
    "default",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-embedded-resource",
    "not",
];
const MAY_GO: [&str; 7] =
    ["format", "pattern", "multipleOf", "exclusiveMinimum", "exclusiveMaximum", "uniqueItems", "not"];
/// Freedoms that must not be taken away.
const FREEDOMS: [&str; 3] =
    ["nullable", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string"];

/// All that `new` takes away from `old`. `ratcheted` holds new CEL rules that are known to shut out no stored
/// object.
pub fn violations(old: &Value, new: &Value, ratcheted: &[(&str, &str)]) -> Vec<String> {
    let mut found = Vec::new();
    for pointer in
        ["/spec/group", "/spec/scope", "/spec/names/kind", "/spec/names/plural", "/spec/names/singular"]
    {
        if old.pointer(pointer) != new.pointer(pointer) {
            found.push(format!("{pointer} is another one"));
        }
    }
    for pointer in ["/spec/names/shortNames", "/spec/names/categories"] {
        let gone =
            words(old.pointer(pointer)).difference(&words(new.pointer(pointer))).cloned().collect::<Vec<_>>();
        found.extend(gone.iter().map(|name| format!("{pointer}: {name} is gone")));
    }
    for version in old["spec"]["versions"].as_array().into_iter().flatten() {
        let name = version["name"].as_str().unwrap();
        let versions = new["spec"]["versions"].as_array().into_iter().flatten();
        match versions.into_iter().find(|other| other["name"] == name) {
            None => found.push(format!("the version {name} is gone")),
            Some(other) => found.extend(of_version(version, other, ratcheted)),
        }
    }
    found
}

fn of_version(old: &Value, new: &Value, ratcheted: &[(&str, &str)]) -> Vec<String> {
    let mut found = Vec::new();
    if old["served"] == true && new["served"] != true {
        found.push("the version is no longer served".to_owned());
    }
    for name in ["status", "scale"] {
        let (old, new) = (&old["subresources"][name], &new["subresources"][name]);
        if !old.is_null() && old != new {
            found.push(format!("the subresource {name} is gone or another one"));
        }
    }
    for column in old["additionalPrinterColumns"].as_array().into_iter().flatten() {
        let others = new["additionalPrinterColumns"].as_array().into_iter().flatten();
        let other = others.into_iter().find(|other| other["name"] == column["name"]);
        if other.is_none_or(|other| other["type"] != column["type"]) {
            found.push(format!("the printer column {} is gone or of another type", column["name"]));
        }
    }
    for field in old["selectableFields"].as_array().into_iter().flatten() {
        if !new["selectableFields"].as_array().is_some_and(|fields| fields.contains(field)) {
            found.push(format!("the selectable field {} is gone", field["jsonPath"]));
        }
    }
    let schema = |version: &Value| version["schema"]["openAPIV3Schema"].clone();
    of_schema((&schema(old), &schema(new)), "", ratcheted, &mut found);
    found
}

fn of_schema((old, new): (&Value, &Value), path: &str, ratcheted: &[(&str, &str)], found: &mut Vec<String>) {
    let mut say = |what: String| found.push(format!("{}: {what}", if path.is_empty() { "." } else { path }));
    for key in FIXED {
        let may = MAY_GO.contains(&key) && new[key].is_null();
        if old[key] != new[key] && !may {
            say(format!("{key} was {} and is {}", old[key], new[key]));
        }
    }
    for key in FREEDOMS {
        if old[key] == true && new[key] != true {
            say(format!("{key} is gone"));
        }
    }
    // A map in place of an opaque object, or the other way round, stores other fields than before.
    if old["x-kubernetes-preserve-unknown-fields"] != true
        && new["x-kubernetes-preserve-unknown-fields"] == true
    {
        say("x-kubernetes-preserve-unknown-fields came: what was dropped is kept".to_owned());
    }
    for (keys, rises) in [(LOWER_BOUNDS, true), (UPPER_BOUNDS, false)] {
        for key in keys {
            let tighter = match (old[key].as_f64(), new[key].as_f64()) {
                (None, Some(_)) => true,
                (Some(old), Some(new)) => {
                    if rises {
                        new > old
                    } else {
                        new < old
                    }
                }
                (_, None) => false,
            };
            if tighter {
                say(format!("{key} was {} and is {}", old[key], new[key]));
            }
        }
    }
    let (before, after) = (words(old.get("enum")), words(new.get("enum")));
    match (old["enum"].is_null(), new["enum"].is_null()) {
        (true, false) => say("enum came".to_owned()),
        (false, false) => before.difference(&after).for_each(|word| say(format!("enum lost {word}"))),
        _ => {}
    }
    for name in words(new.get("required")).difference(&words(old.get("required"))) {
        say(format!("{name} is required now"));
    }
    for rule in new["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let text = rule["rule"].as_str().unwrap();
        let rules = old["x-kubernetes-validations"].as_array().into_iter().flatten();
        let known = rules.into_iter().any(|old| old["rule"] == text) || ratcheted.contains(&(path, text));
        if !known {
            say(format!("new rule {text}"));
        }
    }
    parts((old, new), path, ratcheted, found);
}

/// What a schema is made of.
fn parts((old, new): (&Value, &Value), path: &str, ratcheted: &[(&str, &str)], found: &mut Vec<String>) {
    for (name, property) in old["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        match new["properties"].get(name) {
            None => found.push(format!("{path}: is gone")),
            Some(other) => of_schema((property, other), &path, ratcheted, found),
        }
    }
    for (key, sign) in [("items", "[]"), ("additionalProperties", "{}")] {
        let path = format!("{path}{sign}");
        match (old.get(key), new.get(key)) {
            (Some(old), Some(new)) => of_schema((old, new), &path, ratcheted, found),
            (Some(_), None) => found.push(format!("{path}: is gone")),
            (None, Some(_)) if !old["properties"].is_null() => found.push(format!("{path}: came")),
            _ => {}
        }
    }
    for key in ["anyOf", "allOf", "oneOf"] {
        if old[key] != new[key] {
            found.push(format!("{path}: {key} is another one"));
        }
    }
}

fn words(list: Option<&Value>) -> BTreeSet<String> {
    let words = list.and_then(Value::as_array).into_iter().flatten();
    words.map(|word| word.as_str().map_or_else(|| word.to_string(), str::to_owned)).collect()
}
