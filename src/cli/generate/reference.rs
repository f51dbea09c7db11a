//! The field reference: what the definitions of the kinds say, as a page for people.
//!
//! Nothing is written here that the API server does not have: descriptions, defaults, bounds and rules come
//! from the schemas alone.

use std::fmt::Write as _;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

const HEAD: &str = "\
# Field reference

<!-- Written by `make generate` from the types in src/api: change the descriptions there. -->

Every field of every kind, as `kubectl explain` has them. A field of an object is written `a.b`, of the entries of a list
`a[].b`. Times are RFC 3339 in UTC.
";

/// Fields whose own fields are Kubernetes', which describes them.
const FOREIGN: [(&str, &str); 2] = [
    ("env", "As in any container."),
    (
        "conditions",
        "With `type`, `status`, `reason`, `message`, `observedGeneration` and `lastTransitionTime`.",
    ),
];

/// The page.
///
/// # Errors
///
/// A definition that is no JSON, which is never so.
pub(super) fn page(crds: &[CustomResourceDefinition]) -> Result<String, serde_json::Error> {
    let mut page = HEAD.to_owned();
    for crd in crds {
        let crd = serde_json::to_value(crd)?;
        kind(&mut page, at(&crd, "/spec"));
    }
    Ok(page)
}

fn kind(page: &mut String, spec: &Value) {
    let (names, version) = (at(spec, "/names"), at(spec, "/versions/0"));
    let schema = at(version, "/schema/openAPIV3Schema");
    let api_version = format!("{}/{}", text(&spec["group"]), text(&version["name"]));
    add(page, &format!("\n## {}\n", text(&names["kind"])));
    add(page, &format!("{}\n", text(&schema["description"])));
    let short: Vec<_> = each(&names["shortNames"]).map(|name| code(text(name))).collect();
    add(page, &format!("`apiVersion: {api_version}`; short name {}.\n", short.join(", ")));
    write_rules(page, &rules(schema, ""));
    for part in ["spec", "status"] {
        add(page, &format!("### {}: `{part}`\n", text(&names["kind"])));
        add(page, "| Field | Type | Default | Allowed | |\n| --- | --- | --- | --- | --- |");
        let schema = at(schema, &format!("/properties/{part}"));
        let mut found = rules(schema, "");
        fields(page, schema, "", &mut found);
        add(page, "");
        write_rules(page, &found);
    }
    columns(page, names, version);
}

/// A line for each field below `schema`, and the rules on the way.
fn fields(page: &mut String, schema: &Value, path: &str, found: &mut Vec<Rule>) {
    let required: Vec<_> = each(&schema["required"]).map(text).collect();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let default = match &field["default"] {
            _ if required.contains(&name.as_str()) => "required".to_owned(),
            Value::Null | Value::Object(_) => String::new(),
            Value::String(word) => code(word),
            value => code(&value.to_string()),
        };
        let foreign = FOREIGN.iter().find(|(foreign, _)| foreign == name).map(|(_, words)| *words);
        let description = format!("{} {}", text(&field["description"]), foreign.unwrap_or_default());
        let cells = [code(&path), type_of(field), default, allowed(field), description];
        let cells =
            cells.map(|cell| cell.replace('|', "\\|").split_whitespace().collect::<Vec<_>>().join(" "));
        add(page, &format!("| {} |", cells.join(" | ")));
        let of_field = rules(field, &path);
        let is_list = field["items"].is_object();
        let (inner, path) = if is_list { (&field["items"], path + "[]") } else { (field, path) };
        let of_entries = if is_list { rules(inner, &path) } else { Vec::new() };
        found.extend(of_field.into_iter().chain(of_entries));
        if foreign.is_none() && is_described(inner) {
            fields(page, inner, &path, found);
        }
    }
}

/// Whether any field below has a description.
fn is_described(schema: &Value) -> bool {
    let fields = schema["properties"].as_object().into_iter().flatten();
    fields.map(|(_, field)| field).any(|field| field["description"].is_string() || is_described(field))
}

fn type_of(field: &Value) -> String {
    let format = text(&field["format"]);
    if field["x-kubernetes-int-or-string"] == true {
        return "quantity".to_owned();
    }
    match text(&field["type"]) {
        "array" => format!("list of {}", type_of(&field["items"])),
        "object" if field["additionalProperties"].is_object() => {
            format!("map of {}", type_of(&field["additionalProperties"]))
        }
        "string" if format == "date-time" => "time".to_owned(),
        "" => "any".to_owned(),
        other => other.to_owned(),
    }
}

/// Words and bounds.
fn allowed(field: &Value) -> String {
    let mut parts = Vec::new();
    let words: Vec<_> =
        each(&field["enum"]).filter(|word| word.is_string()).map(|word| code(text(word))).collect();
    parts.extend((!words.is_empty()).then(|| words.join(", ")));
    for (least, most, unit) in [
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " entries"),
        ("minProperties", "maxProperties", " entries"),
    ] {
        parts.extend(match (number(&field[least]), number(&field[most])) {
            (Some(least), Some(most)) => Some(format!("{least} to {most}{unit}")),
            (Some(least), None) => Some(format!("at least {least}{unit}")),
            (None, Some(most)) => Some(format!("at most {most}{unit}")),
            (None, None) => None,
        });
    }
    parts.join("; ")
}

/// A rule: the field that it is about, and what it says to whoever breaks it.
type Rule = (String, String);

/// The rules of a schema itself, without those of its fields.
fn rules(schema: &Value, path: &str) -> Vec<Rule> {
    let messages = each(&schema["x-kubernetes-validations"]).map(|rule| text(&rule["message"]));
    messages.map(|message| (path.to_owned(), message.to_owned())).collect()
}

fn write_rules(page: &mut String, found: &[Rule]) {
    if found.is_empty() {
        return;
    }
    add(page, "Rules, which the API server checks:\n");
    for (path, message) in found {
        let place = if path.is_empty() { String::new() } else { format!("{}: ", code(path)) };
        add(page, &format!("- {place}{message}"));
    }
    add(page, "");
}

fn columns(page: &mut String, names: &Value, version: &Value) {
    add(
        page,
        &format!("### {}: columns of `kubectl get {}`\n", text(&names["kind"]), text(&names["plural"])),
    );
    add(page, "| Column | Shows | |\n| --- | --- | --- |");
    for column in each(&version["additionalPrinterColumns"]) {
        let wide = if number(&column["priority"]).is_some() { "with `-o wide`" } else { "" };
        let name = text(&column["name"]).to_uppercase();
        let path = code(text(&column["jsonPath"]).trim_start_matches('.'));
        add(page, &format!("| {name} | {path} | {wide} |"));
    }
    let selectable: Vec<_> = each(&version["selectableFields"])
        .map(|field| code(text(&field["jsonPath"]).trim_start_matches('.')))
        .collect();
    if !selectable.is_empty() {
        add(page, &format!("\n`--field-selector` takes {}.", selectable.join(", ")));
    }
}

fn add(page: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(page, "{line}");
}

/// What lies there; null if there is nothing.
fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn each(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// A bound without the fraction that JSON gives it.
fn number(value: &Value) -> Option<String> {
    value.as_f64().map(|number| number.to_string())
}
