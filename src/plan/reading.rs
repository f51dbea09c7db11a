//! Values as types: whole numbers, and the field that keeps a value from being read.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::field::{FieldPath, Step};

/// Why a value cannot be read.
#[derive(Debug)]
pub struct Unreadable {
    /// The field that keeps it from being read; empty for the value itself.
    pub field: FieldPath,
    /// What is wrong with it, and what to write instead, where that is plain.
    pub message: String,
}

/// Reads a value, or names the first field that does not fit.
///
/// # Errors
///
/// A field is of another type.
pub fn read<T: DeserializeOwned>(value: &Value) -> Result<T, Unreadable> {
    serde_json::from_value(value.clone()).map_err(|error| {
        let error = error.to_string();
        let field = first_unreadable::<T>(value, &error);
        let is_bare = matches!(field.get(value), Some(Value::Number(_) | Value::Bool(_)));
        let hint = if is_bare && error.ends_with("expected a string") { "; write it in quotes" } else { "" };
        Unreadable { field, message: format!("this cannot be read: {error}{hint}") }
    })
}

/// The field that `error` is about. Fields are read in their order and the first that does not fit is an
/// error, so it is the last field of the shortest beginning that has the same error.
fn first_unreadable<T: DeserializeOwned>(value: &Value, error: &str) -> FieldPath {
    let mut path = FieldPath::default();
    // What is missing is in no field.
    if error.starts_with("missing field") {
        return path;
    }
    let mut whole = value.clone();
    while let Some(part) = path.get(&whole).cloned() {
        let of_beginning = |count: usize| {
            let mut shorter = whole.clone();
            path.put(&mut shorter, beginning(&part, count));
            shorter
        };
        let fails = |count: usize| {
            serde_json::from_value::<T>(of_beginning(count)).is_err_and(|other| other.to_string() == error)
        };
        let (mut good, mut bad) = (0, size(&part));
        if bad == 0 || fails(0) {
            break;
        }
        while bad - good > 1 {
            let middle = good.midpoint(bad);
            if fails(middle) { bad = middle } else { good = middle }
        }
        let Some(step) = step(&part, good) else { break };
        whole = of_beginning(bad);
        path = path.join(step);
    }
    path
}

fn size(value: &Value) -> usize {
    match value {
        Value::Object(fields) => fields.len(),
        Value::Array(items) => items.len(),
        _ => 0,
    }
}

fn beginning(value: &Value, count: usize) -> Value {
    match value {
        Value::Object(fields) => {
            fields.iter().take(count).map(|(name, value)| (name.clone(), value.clone())).collect()
        }
        Value::Array(items) => items.iter().take(count).cloned().collect(),
        other => other.clone(),
    }
}

fn step(value: &Value, index: usize) -> Option<Step> {
    match value {
        Value::Object(fields) => fields.keys().nth(index).cloned().map(Step::Field),
        Value::Array(_) => Some(Step::Item(index)),
        _ => None,
    }
}

/// Writes whole numbers as such, as Kubernetes does: JSON knows no difference between 2 and 2.0.
pub fn write_whole(value: &mut Value) {
    /// Above it not every whole number is one of a float.
    const LARGEST: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Array(items) => items.iter_mut().for_each(write_whole),
        Value::Object(fields) => fields.values_mut().for_each(write_whole),
        Value::Number(number) => {
            let float = number.as_f64().filter(|_| number.is_f64());
            if let Some(float) = float.filter(|float| float.fract() == 0.0 && float.abs() <= LARGEST) {
                #[allow(clippy::cast_possible_truncation, reason = "it is whole and fits")]
                let whole = float as i64;
                *value = Value::from(whole);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::PodSpec;
    use serde_json::json;

    use super::*;
    use crate::api::dask_kubernetes::{AutoscalerSpec, ClusterSpec};

    fn unreadable<T: DeserializeOwned>(value: &Value) -> (String, String) {
        let error = read::<T>(value).map(drop).unwrap_err();
        (error.field.to_string(), error.message)
    }

    #[test]
    fn the_first_field_that_does_not_fit_is_named() {
        for (container, field) in [
            (
                json!({"name": "w", "env": [{"name": "A", "value": "1"}, {"name": "N", "value": 2}]}),
                "env[1].value",
            ),
            (json!({"name": "w", "args": ["dask-worker", 1, 2]}), "args[1]"),
            (json!({"args": {"a": 1}}), "args"),
            (json!({"image": 1, "name": 1}), "image"),
            (json!("worker"), ""),
        ] {
            let pod = json!({"containers": [{"name": "a"}, container], "volumes": [{"name": 1}]});
            let dot = if field.is_empty() { "" } else { "." };
            assert_eq!(unreadable::<PodSpec>(&pod).0, format!("containers[1]{dot}{field}"));
        }
        assert!(read::<PodSpec>(&json!({"containers": []})).is_ok());
    }

    #[test]
    fn of_numbers_labels_and_missing_fields_as_well() {
        for (spec, field) in [
            (json!({"worker": {"replicas": "2"}}), "worker.replicas"),
            (json!({"idleTimeout": "60", "worker": {"replicas": "2"}}), "idleTimeout"),
            (
                json!({"worker": {"metadata": {"labels": {"a": "1", "b.c/d": 1}}}}),
                "worker.metadata.labels[b.c/d]",
            ),
            (json!("x"), ""),
        ] {
            assert_eq!(unreadable::<ClusterSpec>(&spec).0, field);
        }
        let (field, message) = unreadable::<AutoscalerSpec>(&json!({"cluster": "a", "minimum": 1}));
        assert_eq!(field, "");
        assert!(message.contains("missing field `maximum`"), "{message}");
        let (_, message) = unreadable::<PodSpec>(&json!({"nodeName": 1}));
        assert_eq!(
            message,
            "this cannot be read: invalid type: integer `1`, expected a string; write it in quotes"
        );
    }

    #[test]
    fn whole_numbers_are_written_as_such() {
        let mut value = json!({"a": [2.0, -1.0, 0.5, 1e300], "b": {"c": 3}, "d": "4.0"});
        write_whole(&mut value);
        assert_eq!(value.to_string(), r#"{"a":[2,-1,0.5,1e+300],"b":{"c":3},"d":"4.0"}"#);
    }
}
