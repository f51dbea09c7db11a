//! Who owns which fields: `metadata.managedFields`.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::fields::{Changes, Door, Fields};
use super::shape::Shape;
use super::value::{seconds, set};

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
        self.applies == other.applies
            && self.manager == other.manager
            && self.subresource == other.subresource
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
    set_written(object, (!all.is_empty()).then_some(Value::Array(all)));
}

fn set_written(object: &mut Value, entries: Option<Value>) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    match entries {
        Some(entries) => drop(metadata.insert("managedFields".to_owned(), entries)),
        None => drop(metadata.remove("managedFields")),
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
    let Some(old) = old else {
        writer.fields = Fields::of(new, shape, door);
        return set_entries(new, vec![writer]);
    };
    let changes = Changes::between(old, new, shape, door);
    if changes.is_empty() {
        let all = old.pointer("/metadata/managedFields").cloned();
        return set_written(new, all);
    }
    let mut all = entries(old);
    let own = all.iter().position(|entry| entry.is_same(&writer)).map(|at| all.remove(at));
    writer.fields = own.map(|own| own.fields).unwrap_or_default();
    for way in &changes.gone {
        writer.fields.remove(way);
        for entry in &mut all {
            entry.fields.remove(way);
        }
    }
    for way in &changes.changed {
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
