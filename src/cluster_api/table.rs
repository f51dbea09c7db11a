//! Tables, as `kubectl get` shows them: the columns of our kinds from their definitions, those that users
//! know of pods, Jobs and a few others, and name and age of the rest.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::ages::age;
use super::kinds::Kind;
use super::path::Form;
use super::{columns, form};

/// A table of objects, with their metadata or, in the full form, all of them.
pub(super) fn table(
    kind: &Kind,
    objects: &[&Value],
    metadata: &Value,
    (form, now): (Form, Timestamp),
) -> Value {
    let columns: Vec<Value> = definitions(kind);
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let shown = match form {
                Form::FullTable => form::one(kind, object, Form::Whole, now),
                _ => form::one(kind, object, Form::Metadata, now),
            };
            json!({"cells": cells(kind, object, now), "object": shown})
        })
        .collect();
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "columnDefinitions": columns,
        "rows": rows,
    })
}

fn definitions(kind: &Kind) -> Vec<Value> {
    let column = |name: &str, type_: &str, priority: i32| {
        let format = if name == "Name" { "name" } else { "" };
        json!({"name": name, "type": type_, "format": format, "description": "", "priority": priority})
    };
    if kind.defined.is_some() {
        let own = kind.columns.iter().map(|own| column(&own.name, &own.type_, own.priority));
        return std::iter::once(column("Name", "string", 0)).chain(own).collect();
    }
    columns::of(kind).iter().map(|(name, priority)| column(name, "string", *priority)).collect()
}

fn cells(kind: &Kind, object: &Value, now: Timestamp) -> Vec<Value> {
    if kind.defined.is_none() {
        return columns::cells(kind, object, now);
    }
    let name = object.pointer("/metadata/name").cloned().unwrap_or_default();
    let own = kind.columns.iter().map(|column| {
        let value = json_path(object, &column.path).unwrap_or_default();
        match (column.type_.as_str(), value) {
            (_, Value::Null) => Value::Null,
            ("date", value) => json!(age(&value, now)),
            ("string", value) if !value.is_string() => json!(value.to_string()),
            (_, value) => value,
        }
    });
    std::iter::once(name).chain(own).collect()
}

/// The value at a path such as `.status.conditions[?(@.type=="Ready")].status`.
pub(super) fn json_path(object: &Value, path: &str) -> Option<Value> {
    let (mut value, mut rest) = (object.clone(), path);
    while let Some(next) = rest.strip_prefix('.') {
        let end = next.find(['.', '[']).unwrap_or(next.len());
        let (name, behind) = next.split_at(end);
        value = value.get(name)?.clone();
        rest = behind;
        if let Some(filter) = rest.strip_prefix("[?(@.") {
            let (condition, behind) = filter.split_once(")]")?;
            let (field, wanted) = condition.split_once("==")?;
            let wanted = wanted.trim_matches('"');
            let is_it = |item: &&Value| item.get(field).and_then(Value::as_str) == Some(wanted);
            value = value.as_array()?.iter().find(is_it)?.clone();
            rest = behind;
        }
    }
    rest.is_empty().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster_api::kinds;

    #[test]
    fn our_columns_are_those_of_the_definition() {
        let flows = kinds::find("daskflow.dev", "v1alpha1", "flows").unwrap();
        let flow = json!({
            "metadata": {"name": "etl", "creationTimestamp": "1970-01-01T00:00:00Z"},
            "spec": {"suspend": true},
            "status": {"active": 2, "conditions": [{"type": "Ready", "status": "True", "reason": "Scheduled"}]},
        });
        let now = Timestamp::from_second(60).unwrap();
        let table = table(flows, &[&flow], &json!({"resourceVersion": "7"}), (Form::Table, now));
        let names: Vec<&str> = table["columnDefinitions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["name"].as_str().unwrap())
            .collect();
        let cell =
            |name: &str| table["rows"][0]["cells"][names.iter().position(|n| *n == name).unwrap()].clone();
        assert_eq!((cell("Name"), cell("Suspend"), cell("Active")), (json!("etl"), json!(true), json!(2)));
        assert_eq!(
            (cell("Ready"), cell("Reason"), cell("Age")),
            (json!("True"), json!("Scheduled"), json!("60s"))
        );
        assert_eq!((cell("Ended"), cell("Message")), (Value::Null, Value::Null));
    }
}
