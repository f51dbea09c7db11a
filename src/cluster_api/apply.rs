//! Server-side apply: a manager says which fields it wants and how, and gets those alone.
//!
//! What is as in Kubernetes: fields with several managers, conflicts with their causes, `force`, and that a
//! field that the manager no longer applies goes, unless another one has it. What is simpler: a list with
//! keys keeps the order that it has, new items come behind; and an object that is empty after its last field
//! went, goes as well unless a manager has it as an empty one.

use serde_json::Value;

use super::fields::{Door, Fields, Way};
use super::managed::{self, Entry};
use super::places;
use super::shape::{ListKind, Shape, identity};
use super::status::Refusal;

/// The object after an apply, with its managers.
///
/// `live` is what is there, if anything; `config` what the manager sends.
pub(super) fn applied(
    live: Option<&Value>,
    config: &Value,
    shape: Shape<'_>,
    (door, force): (Door, bool),
    mut applier: Entry,
) -> Result<Value, Refusal> {
    let mut wanted = config.clone();
    without_nulls(&mut wanted);
    let fields = Fields::of(&wanted, shape, door);
    let mut all = live.map(managed::entries).unwrap_or_default();
    let own = all.iter().position(|entry| entry.is_same(&applier)).map(|at| all.remove(at));
    let mut conflicts = Vec::new();
    if let Some(live) = live {
        let ways = fields.ways();
        // Of an item, its fields are places of their own.
        let is_item = |way: &Way| way.last().is_some_and(|element| !element.starts_with("f:"));
        for entry in &mut all {
            for way in ways.iter().filter(|way| !is_item(way)) {
                if entry.fields.has(way) && places::at(live, way) != places::at(&wanted, way) {
                    conflicts.push((entry.shown(), places::shown(way)));
                    entry.fields.remove(way);
                }
            }
        }
    }
    if !conflicts.is_empty() && !force {
        return Err(Refusal::apply_conflict(&conflicts));
    }
    let mut object = live.cloned().unwrap_or_else(|| wanted.clone());
    let before = own.as_ref().map(|own| own.fields.clone()).unwrap_or_default();
    if live.is_some() {
        // A place stays as long as anything in it has a manager: what was empty may be full now, and what is
        // emptied may be wanted empty.
        let is_wanted =
            |way: &[String]| fields.reaches(way) || all.iter().any(|entry| entry.fields.reaches(way));
        // An item comes before its fields, by which it is found.
        for way in before.ways().into_iter().filter(|way| !is_wanted(way)) {
            places::take_away(&mut object, &way, &is_wanted);
        }
        // Last, so that what is wanted empty is there.
        merge(&mut object, &wanted_here(&wanted, door), shape);
    }
    if let Some(own) = own.filter(|own| own.fields == fields && own.api_version == applier.api_version) {
        applier.time = own.time;
    }
    applier.fields = fields;
    all.push(applier);
    managed::set_entries(&mut object, all);
    Ok(object)
}

/// What of an object is written at this door.
fn wanted_here(wanted: &Value, door: Door) -> Value {
    let Value::Object(fields) = wanted else { return wanted.clone() };
    let mut fields = fields.clone();
    match door {
        Door::Only => {}
        Door::Main => drop(fields.remove("status")),
        Door::Status => fields.retain(|name, _| matches!(name.as_str(), "status" | "metadata")),
    }
    Value::Object(fields)
}

fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

fn merge(target: &mut Value, wanted: &Value, shape: Shape<'_>) {
    match (target, wanted) {
        (Value::Object(fields), Value::Object(wanted)) if !shape.is_atomic_map() => {
            for (name, wanted) in wanted {
                let shape = shape.field(name);
                match fields.get_mut(name) {
                    Some(field) => merge(field, wanted, shape),
                    None => drop(fields.insert(name.clone(), wanted.clone())),
                }
            }
        }
        (Value::Array(items), Value::Array(wanted)) => match shape.list() {
            ListKind::Atomic => items.clone_from(wanted),
            ListKind::Set => {
                for item in wanted {
                    if !items.contains(item) {
                        items.push(item.clone());
                    }
                }
            }
            ListKind::Keyed(keys) => {
                for item in wanted {
                    let own = identity(item, &keys);
                    let there = items.iter_mut().find(|there| own.is_some() && identity(there, &keys) == own);
                    match there {
                        Some(there) => merge(there, item, shape.item()),
                        None => items.push(item.clone()),
                    }
                }
            }
        },
        (target, wanted) => target.clone_from(wanted),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::cluster_api::kinds;

    fn apply(live: Option<&Value>, spec: Value, manager: &str, force: bool) -> Result<Value, Refusal> {
        let shape = Shape::of(kinds::find("", "v1", "services").unwrap());
        let mut config = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}});
        config["spec"] = spec;
        let applier = managed::writer(manager, true, "v1", Door::Main, Timestamp::UNIX_EPOCH);
        applied(live, &config, shape, (Door::Main, force), applier)
    }

    #[test]
    fn a_field_that_is_no_longer_applied_goes_unless_another_manager_has_it() {
        let ports = |number: u16| json!([{"name": "a", "port": number, "protocol": "TCP"}]);
        let first =
            apply(None, json!({"ports": ports(1), "type": "ClusterIP", "x": 1}), "one", false).unwrap();
        let both =
            apply(Some(&first), json!({"ports": ports(2), "type": "ClusterIP"}), "two", false).unwrap();
        assert_eq!(both["spec"]["ports"].as_array().unwrap().len(), 2);
        let less = apply(Some(&both), json!({"ports": ports(1)}), "one", false).unwrap();
        assert_eq!(less["spec"], json!({"ports": both["spec"]["ports"], "type": "ClusterIP"}));
        let none = apply(Some(&less), json!({"type": "ClusterIP"}), "two", false).unwrap();
        assert_eq!(none["spec"], json!({"ports": ports(1), "type": "ClusterIP"}));
        assert_eq!(managed::entries(&none).len(), 2);
    }

    #[test]
    fn another_managers_field_is_a_conflict_until_it_is_forced() {
        let first = apply(None, json!({"type": "ClusterIP", "selector": {"a": "1"}}), "one", false).unwrap();
        let same = apply(Some(&first), json!({"type": "ClusterIP"}), "two", false).unwrap();
        assert_eq!(managed::entries(&same).len(), 2);
        let refused = apply(Some(&first), json!({"type": "NodePort"}), "two", false).unwrap_err();
        assert_eq!(refused.message, "Apply failed with 1 conflict: conflict with \"one\": .spec.type");
        let forced = apply(Some(&first), json!({"type": "NodePort"}), "two", true).unwrap();
        assert_eq!(forced["spec"]["type"], "NodePort");
        let all = managed::entries(&forced);
        assert_eq!(all[0].fields.clone().write(), json!({"f:spec": {"f:selector": {}}}));
        // What the first no longer has does not go with it.
        let after = apply(Some(&forced), json!({"selector": {"a": "1"}}), "one", false).unwrap();
        assert_eq!(after["spec"]["type"], "NodePort");
    }

    #[test]
    fn what_was_empty_may_be_filled_and_emptied_again() {
        let with = |value: Value| json!({"type": "ClusterIP", "x": value});
        let mut object = apply(None, with(json!({})), "one", false).unwrap();
        for value in [json!({"a": 1}), json!({}), json!([]), json!([1])] {
            object = apply(Some(&object), with(value.clone()), "one", false).unwrap();
            assert_eq!(object["spec"], with(value));
        }
    }

    #[test]
    fn what_another_manager_has_put_in_stays() {
        let first = apply(None, json!({"type": "ClusterIP", "x": {}}), "one", false).unwrap();
        let both = apply(Some(&first), json!({"x": {"a": 1}}), "two", false).unwrap();
        let less = apply(Some(&both), json!({"type": "ClusterIP"}), "one", false).unwrap();
        assert_eq!(less["spec"], json!({"type": "ClusterIP", "x": {"a": 1}}));
    }

    #[test]
    fn what_another_manager_wants_empty_stays_when_it_is_emptied() {
        let with = |value: Value| json!({"type": "ClusterIP", "x": value});
        let first = apply(None, with(json!({})), "one", false).unwrap();
        let both = apply(Some(&first), json!({"x": {}}), "two", false).unwrap();
        let full = apply(Some(&both), with(json!({"a": {"b": 1}})), "one", false).unwrap();
        assert_eq!(full["spec"]["x"], json!({"a": {"b": 1}}));
        let emptied = apply(Some(&full), json!({"type": "ClusterIP"}), "one", false).unwrap();
        assert_eq!(emptied["spec"], with(json!({})));
        let none = apply(Some(&emptied), json!({"y": 1}), "two", false).unwrap();
        assert_eq!(none["spec"], json!({"type": "ClusterIP", "y": 1}));
    }

    #[test]
    fn the_same_once_more_changes_nothing() {
        let spec = json!({"type": "ClusterIP", "ports": [{"port": 1}], "nothing": null});
        let first = apply(None, spec.clone(), "one", false).unwrap();
        assert_eq!(apply(Some(&first), spec, "one", false).unwrap(), first);
        assert_eq!(first["spec"].get("nothing"), None);
    }
}
