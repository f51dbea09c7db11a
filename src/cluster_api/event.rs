//! The two forms of an event: `v1`, in which it is kept, and `events.k8s.io/v1`, in which the operator writes
//! it.

use serde_json::{Map, Value, json};

/// The names of an event's fields in the form of `v1`, and in that of `events.k8s.io`.
const EVENT_FIELDS: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// An event in the form in which it is kept.
pub(super) fn to_old(event: Value) -> Value {
    renamed(event, "v1", |name| EVENT_FIELDS.iter().find(|(_, new)| *new == name).map(|(old, _)| *old))
}

/// An event in the form of `events.k8s.io`.
pub(super) fn to_new(event: Value) -> Value {
    let new = |name: &str| EVENT_FIELDS.iter().find(|(old, _)| *old == name).map(|(_, new)| *new);
    renamed(event, "events.k8s.io/v1", new)
}

fn renamed<'a>(event: Value, version: &str, name: impl Fn(&str) -> Option<&'a str>) -> Value {
    let Value::Object(fields) = event else { return event };
    let renamed = fields.into_iter().map(|(field, value)| {
        let renamed = name(&field).map(str::to_owned);
        (renamed.unwrap_or(field), value)
    });
    let mut fields: Map<String, Value> = renamed.collect();
    fields.insert("apiVersion".to_owned(), json!(version));
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_two_forms() {
        let new =
            json!({"apiVersion": "events.k8s.io/v1", "note": "n", "regarding": {"name": "a"}, "reason": "R"});
        let old = to_old(new.clone());
        assert_eq!(
            old,
            json!({"apiVersion": "v1", "message": "n", "involvedObject": {"name": "a"}, "reason": "R"})
        );
        assert_eq!(to_new(old), new);
    }
}
