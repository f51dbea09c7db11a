//! Tables, as `kubectl get` shows them: the columns of our kinds from their definitions, those that users
//! know of pods, Jobs and a few others, and name and age of the rest.

use jiff::Timestamp;
use serde_json::{Value, json};

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
    if kind.ours.is_some() {
        let own = kind.columns.iter().map(|own| column(&own.name, &own.type_, own.priority));
        return std::iter::once(column("Name", "string", 0)).chain(own).collect();
    }
    columns::of(kind).iter().map(|(name, priority)| column(name, "string", *priority)).collect()
}

fn cells(kind: &Kind, object: &Value, now: Timestamp) -> Vec<Value> {
    if kind.ours.is_none() {
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

/// How long ago an instant was, as `kubectl` shows it.
pub(super) fn age(instant: &Value, now: Timestamp) -> String {
    match instant.as_str().map(str::parse::<Timestamp>) {
        None => "<unknown>".to_owned(),
        Some(Err(_)) => "<invalid>".to_owned(),
        Some(Ok(instant)) => human(now.duration_since(instant).as_secs()),
    }
}

/// So many seconds in at most two units, as Kubernetes' `HumanDuration` has them.
pub(super) fn human(seconds: i64) -> String {
    let two = |first: i64, unit: char, second: i64, smaller: char| {
        if second == 0 { format!("{first}{unit}") } else { format!("{first}{unit}{second}{smaller}") }
    };
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let days = hours / 24;
    match seconds {
        ..=-2 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, 'm', seconds % 60, 's'),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, 'h', minutes % 60, 'm'),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 24 * 8 => two(days, 'd', hours % 24, 'h'),
        _ if days < 365 * 2 => format!("{days}d"),
        _ if days < 365 * 8 => two(days / 365, 'y', days % 365, 'd'),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster_api::kinds;

    #[test]
    fn ages_are_short() {
        for (seconds, expected) in [
            (-5, "<invalid>"),
            (-1, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (3600, "60m"),
            (4 * 3600 + 60, "4h1m"),
            (47 * 3600, "47h"),
            (49 * 3600, "2d1h"),
            (100 * 86400, "100d"),
            (1000 * 86400, "2y270d"),
            (4000 * 86400, "10y"),
        ] {
            assert_eq!(human(seconds), expected, "{seconds}");
        }
    }

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
