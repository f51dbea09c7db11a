//! Who owns which fields: `metadata.managedFields`, and the sets of fields in it.
//!
//! A set is a tree of path elements as `FieldsV1` writes them: `f:NAME` for a field, `k:{KEYS}` for an item
//! of a list with keys, `v:VALUE` for one of a set. A field that nothing lies below is owned as a whole.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::shape::{ListKind, Shape, identity};
use super::value::{seconds, set};

/// A set of fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    /// Whether the place itself is in the set, beside what lies below.
    itself: bool,
    below: BTreeMap<String, Fields>,
}

/// A path to a field, of the elements of `FieldsV1`.
pub(super) type Way = Vec<String>;

/// Metadata that is the API server's own, or names the object: it has no owner.
const UNOWNED: &[&str] = &[
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generateName",
    "generation",
    "managedFields",
    "name",
    "namespace",
    "resourceVersion",
    "selfLink",
    "uid",
];

impl Fields {
    fn whole() -> Self {
        Self { itself: true, below: BTreeMap::new() }
    }

    /// All fields of an object that are written at this door: its status, or all but that.
    pub fn of(object: &Value, shape: Shape<'_>, door: Door) -> Self {
        let mut all = Self::of_value(object, shape);
        all.below.retain(|name, _| match name.as_str() {
            "f:apiVersion" | "f:kind" => false,
            "f:status" => door != Door::Main,
            _ => door != Door::Status,
        });
        if let Some(metadata) = all.below.get_mut("f:metadata") {
            metadata
                .below
                .retain(|name, _| name.strip_prefix("f:").is_none_or(|name| !UNOWNED.contains(&name)));
        }
        all.below.retain(|name, fields| name != "f:metadata" || !fields.below.is_empty());
        all
    }

    fn of_value(value: &Value, shape: Shape<'_>) -> Self {
        let mut below = BTreeMap::new();
        match value {
            Value::Object(fields) if !shape.is_atomic_map() => {
                for (name, value) in fields {
                    below.insert(format!("f:{name}"), Self::of_value(value, shape.field(name)));
                }
            }
            Value::Array(items) => match shape.list() {
                ListKind::Atomic => {}
                ListKind::Set => below.extend(items.iter().map(|item| (format!("v:{item}"), Self::whole()))),
                ListKind::Keyed(keys) => {
                    for item in items {
                        if let Some(keys) = identity(item, &keys) {
                            let fields = Self::of_value(item, shape.item());
                            below.insert(element(&keys), Self { itself: true, ..fields });
                        }
                    }
                }
            },
            _ => {}
        }
        Self { itself: below.is_empty(), below }
    }

    /// From the form of `fieldsV1`.
    pub fn read(value: &Value) -> Self {
        let Some(fields) = value.as_object() else { return Self::default() };
        let below: BTreeMap<String, Self> = fields
            .iter()
            .filter(|(name, _)| *name != ".")
            .map(|(name, value)| (name.clone(), Self::read(value)))
            .collect();
        Self { itself: below.is_empty() || fields.contains_key("."), below }
    }

    /// In the form of `fieldsV1`.
    pub fn write(&self) -> Value {
        let mut fields: Map<String, Value> =
            self.below.iter().map(|(name, fields)| (name.clone(), fields.write())).collect();
        if self.itself && !self.below.is_empty() {
            fields.insert(".".to_owned(), json!({}));
        }
        Value::Object(fields)
    }

    /// The places that are in the set.
    pub fn ways(&self) -> Vec<Way> {
        let mut found = Vec::new();
        self.collect(&mut Vec::new(), &mut found);
        found
    }

    fn collect(&self, way: &mut Way, found: &mut Vec<Way>) {
        if self.itself && !way.is_empty() {
            found.push(way.clone());
        }
        for (name, fields) in &self.below {
            way.push(name.clone());
            fields.collect(way, found);
            way.pop();
        }
    }

    /// Whether a place is in the set.
    pub fn has(&self, way: &[String]) -> bool {
        let place = way.iter().try_fold(self, |fields, element| fields.below.get(element));
        place.is_some_and(|place| place.itself)
    }

    /// Whether a place, or any below it, is in the set.
    pub fn reaches(&self, way: &[String]) -> bool {
        let place = way.iter().try_fold(self, |fields, element| fields.below.get(element));
        place.is_some_and(|place| !place.is_empty())
    }

    pub fn add(&mut self, way: &[String]) {
        let place = way.iter().fold(self, |fields, element| fields.below.entry(element.clone()).or_default());
        place.itself = true;
    }

    pub fn remove(&mut self, way: &[String]) {
        let Some((first, rest)) = way.split_first() else {
            self.itself = false;
            return;
        };
        if let Some(fields) = self.below.get_mut(first) {
            fields.remove(rest);
            if fields.is_empty() {
                self.below.remove(first);
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        !self.itself && self.below.is_empty()
    }
}

/// The element of an item with these keys.
fn element(keys: &Map<String, Value>) -> String {
    format!("k:{}", Value::Object(keys.clone()))
}

/// A path as messages have it, such as `.spec.containers[name="main"].image`.
pub(super) fn shown(way: &[String]) -> String {
    way.iter().fold(String::new(), |text, element| match element.split_at_checked(2) {
        Some(("f:", name)) => format!("{text}.{name}"),
        Some(("k:", keys)) => {
            let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
            let keys: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
            format!("{text}[{}]", keys.join(","))
        }
        Some((_, value)) => format!("{text}[={value}]"),
        None => text,
    })
}

/// What is at a place of an object.
pub(super) fn at<'a>(object: &'a Value, way: &[String]) -> Option<&'a Value> {
    way.iter().try_fold(object, |value, element| {
        if let Some(name) = element.strip_prefix("f:") {
            return value.get(name);
        }
        value.as_array()?.iter().find(|item| is_item(item, element))
    })
}

/// Whether an item of a list is the one that the element names.
fn is_item(item: &Value, name: &str) -> bool {
    match name.split_at_checked(2) {
        Some(("k:", keys)) => {
            let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
            let names: Vec<&str> = keys.keys().map(String::as_str).collect();
            identity(item, &names).as_ref() == Some(&keys)
        }
        Some(("v:", value)) => serde_json::from_str::<Value>(value).is_ok_and(|value| value == *item),
        _ => false,
    }
}

/// Takes away what is at a place, and the maps and lists that nothing is left in.
pub(super) fn take_away(object: &mut Value, way: &[String]) {
    let Some((first, rest)) = way.split_first() else { return };
    let is_left = |value: &Value| match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => true,
    };
    match object {
        Value::Object(fields) => {
            let Some(name) = first.strip_prefix("f:") else { return };
            if rest.is_empty() {
                fields.remove(name);
            } else if let Some(field) = fields.get_mut(name) {
                take_away(field, rest);
                if !is_left(field) {
                    fields.remove(name);
                }
            }
        }
        Value::Array(items) => {
            if rest.is_empty() {
                items.retain(|item| !is_item(item, first));
            } else if let Some(item) = items.iter_mut().find(|item| is_item(item, first)) {
                take_away(item, rest);
            }
        }
        _ => {}
    }
}

/// Through which path an object is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// Of a kind without a status subresource: everything.
    Only,
    /// All but the status.
    Main,
    Status,
}

/// One entry of `metadata.managedFields`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub manager: String,
    /// Whether by server-side apply, rather than by any other write.
    pub applies: bool,
    pub api_version: String,
    /// `status`, or nothing.
    pub subresource: String,
    pub time: Value,
    pub fields: Fields,
}

impl Entry {
    /// Whether it is of the same manager, and of the same way of writing.
    pub fn is_same(&self, other: &Self) -> bool {
        let key = |entry: &Self| (entry.manager.clone(), entry.applies, entry.subresource.clone());
        key(self) == key(other)
    }

    /// The manager as messages have it.
    pub fn shown(&self) -> String {
        let subresource = if self.subresource.is_empty() {
            String::new()
        } else {
            format!(" with subresource {:?}", self.subresource)
        };
        let manager = format!("{:?}{subresource}", self.manager);
        if self.applies {
            return manager;
        }
        format!("{manager} using {} at {}", self.api_version, self.time.as_str().unwrap_or_default())
    }
}

/// The entries of an object.
pub(super) fn entries(object: &Value) -> Vec<Entry> {
    let all = object.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten();
    all.map(|entry| {
        let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        Entry {
            manager: text("manager"),
            applies: text("operation") == "Apply",
            api_version: text("apiVersion"),
            subresource: text("subresource"),
            time: entry.get("time").cloned().unwrap_or_default(),
            fields: entry.get("fieldsV1").map(Fields::read).unwrap_or_default(),
        }
    })
    .collect()
}

/// Writes the entries, without those that own nothing.
pub(super) fn set_entries(object: &mut Value, entries: Vec<Entry>) {
    let all = entries.into_iter().filter(|entry| !entry.fields.is_empty()).map(|entry| {
        let mut written = json!({
            "manager": entry.manager,
            "operation": if entry.applies { "Apply" } else { "Update" },
            "apiVersion": entry.api_version,
            "time": entry.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": entry.fields.write(),
        });
        if !entry.subresource.is_empty() {
            set(&mut written, "subresource", json!(entry.subresource));
        }
        written
    });
    let all: Vec<Value> = all.collect();
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    if all.is_empty() {
        metadata.remove("managedFields");
    } else {
        metadata.insert("managedFields".to_owned(), Value::Array(all));
    }
}

/// Gives the fields that a write (that is no apply) has changed to its manager, and takes from all what
/// has gone.
pub(super) fn after_update(
    old: Option<&Value>,
    new: &mut Value,
    shape: Shape<'_>,
    door: Door,
    mut writer: Entry,
) {
    let after = Fields::of(new, shape, door);
    let before = old.map(|old| Fields::of(old, shape, door)).unwrap_or_default();
    let mut all = old.map(entries).unwrap_or_default();
    let gone: Vec<Way> = before.ways().into_iter().filter(|way| !after.has(way)).collect();
    let is_changed = |way: &Way| {
        // Of an item with keys, its coming is the change; its fields are places of their own.
        let is_item = way.last().is_some_and(|element| !element.starts_with("f:"));
        !before.has(way) || (!is_item && old.is_some_and(|old| at(old, way) != at(new, way)))
    };
    let changed: Vec<Way> = after.ways().into_iter().filter(is_changed).collect();
    if gone.is_empty() && changed.is_empty() {
        return set_entries(new, all);
    }
    let own = all.iter().position(|entry| entry.is_same(&writer)).map(|at| all.remove(at));
    writer.fields = own.map(|own| own.fields).unwrap_or_default();
    for way in &gone {
        writer.fields.remove(way);
        for entry in &mut all {
            entry.fields.remove(way);
        }
    }
    for way in &changed {
        for entry in &mut all {
            entry.fields.remove(way);
        }
        writer.fields.add(way);
    }
    all.push(writer);
    set_entries(new, all);
}

/// An entry without fields yet.
pub(super) fn writer(manager: &str, applies: bool, api_version: &str, door: Door, now: Timestamp) -> Entry {
    Entry {
        manager: manager.to_owned(),
        applies,
        api_version: api_version.to_owned(),
        subresource: if door == Door::Status { "status".to_owned() } else { String::new() },
        time: json!(seconds(now)),
        fields: Fields::default(),
    }
}

#[cfg(test)]
mod tests;
