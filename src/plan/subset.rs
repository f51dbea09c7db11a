//! Whether an object already is what it should be.

use serde_json::Value;

/// Whether all that `wanted` says is so in `actual`. What `wanted` leaves out is free, as under server-side
/// apply: the API server adds defaults. Lists of items with names are merged by name, so that others may add
/// items of theirs; other lists must have the same length and match item by item.
pub fn is_subset(wanted: &Value, actual: &Value) -> bool {
    match (wanted, actual) {
        (Value::Object(wanted), Value::Object(actual)) => wanted.iter().all(|(key, value)| {
            actual.get(key).is_some_and(|other| is_subset(value, other)) || is_empty(value)
        }),
        (Value::Array(wanted), Value::Array(actual)) if wanted.iter().all(|item| name(item).is_some()) => {
            let same = |item: &Value, other: &&Value| name(item) == name(other);
            wanted.iter().all(|item| {
                actual.iter().find(|other| same(item, other)).is_some_and(|other| is_subset(item, other))
            })
        }
        (Value::Array(wanted), Value::Array(actual)) => {
            wanted.len() == actual.len() && wanted.iter().zip(actual).all(|(a, b)| is_subset(a, b))
        }
        _ => wanted == actual,
    }
}

/// The path of the first field of `given` that is missing in `understood`, such as `spec.containrs`.
///
/// `understood` is `given` after a round trip through a typed object, which drops what it does not know.
pub fn first_unknown(given: &Value, understood: &Value) -> Option<String> {
    match (given, understood) {
        (Value::Object(given), Value::Object(understood)) => {
            given.iter().find_map(|(key, value)| match understood.get(key) {
                Some(other) => first_unknown(value, other).map(|rest| join(key, &rest)),
                None if is_empty(value) => None,
                None => Some(key.clone()),
            })
        }
        (Value::Array(given), Value::Array(understood)) => {
            given.iter().zip(understood).enumerate().find_map(|(index, (value, other))| {
                first_unknown(value, other).map(|rest| join(&format!("[{index}]"), &rest))
            })
        }
        _ => None,
    }
}

fn name(item: &Value) -> Option<&str> {
    item.get("name")?.as_str()
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.values().all(is_empty),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

fn join(head: &str, rest: &str) -> String {
    if rest.starts_with('[') { format!("{head}{rest}") } else { format!("{head}.{rest}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn defaults_of_the_server_do_not_matter() {
        let wanted = json!({"spec": {"ports": [{"port": 1}], "type": "ClusterIP"}, "status": {}});
        assert!(is_subset(
            &wanted,
            &json!({"spec": {"ports": [{"port": 1, "protocol": "TCP"}], "type": "ClusterIP"}})
        ));
        assert!(!is_subset(&wanted, &json!({"spec": {"ports": [{"port": 2}], "type": "ClusterIP"}})));
        assert!(!is_subset(
            &wanted,
            &json!({"spec": {"ports": [{"port": 1}, {"port": 2}], "type": "ClusterIP"}})
        ));
    }

    #[test]
    fn items_that_others_add_to_a_list_of_named_ones_do_not_matter() {
        let wanted = json!([{"name": "a", "port": 1}, {"name": "b", "port": 2}]);
        let mesh = json!({"name": "mesh", "port": 15090});
        let with = |items: &[Value]| Value::Array(items.to_vec());
        let (a, b) = (json!({"name": "a", "port": 1, "protocol": "TCP"}), json!({"name": "b", "port": 2}));
        assert!(is_subset(&wanted, &with(&[mesh.clone(), a.clone(), b.clone()])));
        assert!(!is_subset(&wanted, &with(&[mesh, a.clone()])), "one is gone");
        assert!(!is_subset(&wanted, &with(&[a, json!({"name": "b", "port": 3})])), "one was changed");
    }

    #[test]
    fn an_unknown_field_is_named_with_its_path() {
        let given = json!({"spec": {"containers": [{"name": "a", "imge": "x"}]}});
        let understood = json!({"spec": {"containers": [{"name": "a"}]}});
        assert_eq!(first_unknown(&given, &understood).as_deref(), Some("spec.containers[0].imge"));
        assert_eq!(first_unknown(&understood, &understood), None);
    }
}
