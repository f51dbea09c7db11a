//! Fields of objects, by their names.

use jiff::Timestamp;
use serde_json::{Value, json};

/// Sets a field. What is no object becomes one.
pub(super) fn set(object: &mut Value, field: &str, value: impl Into<Value>) {
    if !object.is_object() {
        *object = json!({});
    }
    if let Some(fields) = object.as_object_mut() {
        fields.insert(field.to_owned(), value.into());
    }
}

/// Sets a field that is not there.
pub(super) fn fill(object: &mut Value, field: &str, value: Value) {
    if object.get(field).is_none_or(Value::is_null) {
        set(object, field, value);
    }
}

/// A part of an object, made if it is not there.
pub(super) fn part<'a>(object: &'a mut Value, field: &str) -> &'a mut Value {
    fill(object, field, json!({}));
    &mut object[field]
}

/// An instant as metadata has it.
pub(super) fn seconds(instant: Timestamp) -> String {
    instant.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_set_wherever_they_are() {
        let mut object = Value::Null;
        set(part(&mut object, "metadata"), "name", "a");
        fill(&mut object, "kind", json!("A"));
        fill(&mut object, "kind", json!("B"));
        set(&mut object, "count", 1);
        assert_eq!(object, json!({"metadata": {"name": "a"}, "kind": "A", "count": 1}));
    }
}
