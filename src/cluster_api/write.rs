//! Creating and changing objects: what is checked, what is filled in, and what is kept.
//!
//! Deleting is in [`super::delete`], what a patch or an apply makes of an object in [`super::patch`] and
//! [`super::apply`].

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::built_in;
use super::checks::{admitted, check, check_namespace};
use super::fields::Door;
use super::kinds::Kind;
use super::managed;
use super::path::{Part, Query};
use super::shape::Shape;
use super::state::State;
use super::status::{Cause, Refusal};
use super::store::Key;
use super::value::seconds;
use crate::manifest::admission;

/// What becomes of fields that the kind does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Validation {
    Ignore,
    Warn,
    Strict,
}

impl Validation {
    pub fn of(query: &Query) -> Result<Self, Refusal> {
        match query.get("fieldValidation") {
            None | Some("Warn") => Ok(Self::Warn),
            Some("Strict") => Ok(Self::Strict),
            Some("Ignore") => Ok(Self::Ignore),
            Some(other) => Err(Refusal::bad_request(format!(
                "fieldValidation: {other:?} is not supported: Ignore, Warn and Strict are"
            ))),
        }
    }
}

/// One write.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub kind: &'static Kind,
    pub key: Key,
    pub part: Option<Part>,
    pub manager: String,
    /// Whether it is a server-side apply, which brings the managers of its fields itself.
    pub applies: bool,
    pub dry_run: bool,
    pub validation: Validation,
    pub now: Timestamp,
}

/// What a write has come to.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub object: Arc<Value>,
    pub is_new: bool,
    pub warnings: Vec<String>,
}

impl Write {
    pub fn door(&self) -> Door {
        match (self.kind.status, self.part) {
            (_, Some(Part::Status)) => Door::Status,
            (true, _) => Door::Main,
            (false, _) => Door::Only,
        }
    }

    fn writer(&self, applies: bool) -> managed::Entry {
        managed::writer(&self.manager, applies, &self.kind.api_version(), self.door(), self.now)
    }

    /// The entry of an apply.
    pub fn applier(&self) -> managed::Entry {
        self.writer(true)
    }
}

pub(super) fn metadata<'a>(object: &'a Value, field: &str) -> Option<&'a Value> {
    object.get("metadata").and_then(|metadata| metadata.get(field)).filter(|value| !value.is_null())
}

/// A text of the metadata; empty if it is not there.
pub(super) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    metadata(object, field).and_then(Value::as_str).unwrap_or_default()
}

fn set(object: &mut Value, field: &str, value: Option<Value>) {
    let Some(object) = object.as_object_mut() else { return };
    let metadata = object.entry("metadata").or_insert_with(|| json!({}));
    let Some(metadata) = metadata.as_object_mut() else { return };
    match value {
        Some(value) => drop(metadata.insert(field.to_owned(), value)),
        None => drop(metadata.remove(field)),
    }
}

/// Whether an object that a path names may come to be there: it is of that name, and no other object is
/// meant.
pub(super) fn check_new(write: &Write, object: &Value) -> Result<(), Refusal> {
    let Write { kind, key, .. } = write;
    if text(object, "name") != key.name {
        return Err(other_name(text(object, "name"), &key.name));
    }
    let wanted = text(object, "uid");
    if wanted.is_empty() { Ok(()) } else { Err(Refusal::conflict(kind, &key.name, &other_uid(wanted, ""))) }
}

/// What is said where the object is of another name than the path.
pub(super) fn other_name(given: &str, wanted: &str) -> Refusal {
    Refusal::bad_request(format!(
        "the name of the object ({given}) does not match the name on the URL ({wanted})"
    ))
}

/// Creates an object. The name in `write.key` is not read; it is the object's own, or made of its
/// `generateName`.
pub(super) fn create(state: &mut State, mut write: Write, object: Value) -> Result<Written, Refusal> {
    let (mut object, warnings) = admitted(&write, object, None)?;
    if !text(&object, "resourceVersion").is_empty() {
        return Err(Refusal::bad_request("resourceVersion should not be set on objects to be created"));
    }
    if text(&object, "name").is_empty() && !text(&object, "generateName").is_empty() {
        // As the API server does it: the whole is a label.
        let start: String = text(&object, "generateName").chars().take(58).collect();
        let name = format!("{start}{}", state.names.suffix());
        set(&mut object, "name", Some(json!(name)));
    }
    write.key.name = text(&object, "name").to_owned();
    check_namespace(state, &write)?;
    let Write { kind, key, .. } = &write;
    if write.kind.namespaced {
        set(&mut object, "namespace", Some(json!(key.namespace)));
    }
    set(&mut object, "uid", Some(json!(state.names.uid())));
    set(&mut object, "creationTimestamp", Some(json!(seconds(write.now))));
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"] {
        set(&mut object, field, None);
    }
    if kind.status
        && let Some(fields) = object.as_object_mut()
    {
        fields.remove("status");
    }
    fill_in(state, kind, &mut object, None);
    if kind.generation {
        set(&mut object, "generation", Some(json!(1)));
    }
    check(kind, &object, None)?;
    if state.store.get(kind.stored, key).is_some() {
        return Err(Refusal::already_exists(kind, &key.name));
    }
    if !write.applies {
        set(&mut object, "managedFields", None);
        let door = if kind.status { Door::Main } else { Door::Only };
        managed::after_update(None, &mut object, Shape::of(kind), door, write.writer(false));
    }
    let object =
        if write.dry_run { Arc::new(object) } else { state.store.put(kind.stored, key.clone(), object) };
    Ok(Written { object, is_new: true, warnings })
}

fn fill_in(state: &mut State, kind: &Kind, object: &mut Value, old: Option<&Value>) {
    if let Some(defined) = kind.defined {
        return admission::fill_in(defined, object, old);
    }
    let needs_address = kind.is("Service") && object.pointer("/spec/clusterIP").is_none();
    let number = if needs_address { state.names.number() } else { 0 };
    built_in::fill_in(kind, object, number);
}

/// Changes an object into another one. `object` is all of it, as an update sends it, or as a patch makes it.
pub(super) fn update(state: &mut State, write: &Write, object: Value) -> Result<Written, Refusal> {
    let Write { kind, key, .. } = write;
    let Some(old) = state.store.get(kind.stored, key).cloned() else {
        if kind.creates_on_update && write.part.is_none() {
            check_new(write, &object)?;
            return create(state, write.clone(), object);
        }
        return Err(Refusal::not_found(kind, &key.name));
    };
    let (mut object, warnings) = admitted(write, object, Some(&*old))?;
    check_identity(write, &old, &object)?;
    for field in ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"]
    {
        set(&mut object, field, metadata(&old, field).cloned());
    }
    for field in ["name", "resourceVersion"] {
        set(&mut object, field, metadata(&old, field).cloned());
    }
    if kind.namespaced {
        set(&mut object, "namespace", Some(json!(key.namespace)));
    }
    keep_other_part(write, &old, &mut object);
    if kind.is("Service") {
        built_in::keep_address(&old, &mut object);
    }
    fill_in(state, kind, &mut object, Some(&*old));
    keep_finalizers(&old, &object, write)?;
    let is_changed = !is_same_spec(kind, &old, &object);
    if kind.generation && is_changed && write.part != Some(Part::Status) {
        let generation = metadata(&old, "generation").and_then(Value::as_i64).unwrap_or_default();
        set(&mut object, "generation", Some(json!(generation + 1)));
    }
    check(kind, &object, Some(&*old))?;
    if !write.applies {
        let (shape, door) = (Shape::of(kind), write.door());
        managed::after_update(Some(&*old), &mut object, shape, door, write.writer(false));
    }
    let object = keep(state, write, &old, object);
    Ok(Written { object, is_new: false, warnings })
}

/// Keeps a changed object, if anything changed; one whose deletion waited for no more than its finalizers
/// goes.
fn keep(state: &mut State, write: &Write, old: &Arc<Value>, object: Value) -> Arc<Value> {
    let Write { kind, key, .. } = write;
    if is_same(old, &object) {
        return old.clone();
    }
    if write.dry_run {
        return Arc::new(object);
    }
    let has_grace = metadata(&object, "deletionGracePeriodSeconds").and_then(Value::as_i64) > Some(0);
    let is_ended =
        metadata(&object, "deletionTimestamp").is_some() && !has_grace && finalizers(&object).is_empty();
    if is_ended && !kind.is("Namespace") {
        state.store.remove(kind.stored, key);
        return Arc::new(object);
    }
    state.store.put(kind.stored, key.clone(), object)
}

/// Whether two objects differ in nothing but the times of their managers.
fn is_same(old: &Value, new: &Value) -> bool {
    let is_same_entry = |old: &Value, new: &Value| is_same_but("time", old, new, |_, _| true);
    let are_same_entries = |old: &Value, new: &Value| match (old.as_array(), new.as_array()) {
        (Some(old), Some(new)) => {
            old.len() == new.len() && old.iter().zip(new).all(|(old, new)| is_same_entry(old, new))
        }
        _ => old == new,
    };
    is_same_but("metadata", old, new, |old, new| is_same_but("managedFields", old, new, are_same_entries))
}

/// Whether two objects are the same, where one field is judged by itself.
fn is_same_but(field: &str, old: &Value, new: &Value, judge: impl Fn(&Value, &Value) -> bool) -> bool {
    let (Value::Object(old), Value::Object(new)) = (old, new) else { return old == new };
    old.len() == new.len()
        && old.iter().all(|(name, old)| {
            new.get(name).is_some_and(|new| if name == field { judge(old, new) } else { old == new })
        })
}

/// The finalizers of an object.
pub(super) fn finalizers(object: &Value) -> Vec<&str> {
    let all = metadata(object, "finalizers").and_then(Value::as_array).into_iter().flatten();
    all.filter_map(Value::as_str).collect()
}

/// Whether a change is none that counts as a new generation: those are of all but the metadata and the
/// status. The status of a defined kind counts where it has no subresource.
fn is_same_spec(kind: &Kind, old: &Value, new: &Value) -> bool {
    let counts_status = kind.defined.is_some() && !kind.status;
    let names = [old, new].into_iter().filter_map(Value::as_object).flat_map(serde_json::Map::keys);
    let mut counted = names.filter(|name| match name.as_str() {
        "metadata" | "apiVersion" | "kind" => false,
        "status" => counts_status,
        _ => true,
    });
    counted.all(|name| old.get(name) == new.get(name))
}

/// The object must be the one that is there, and in the version that the writer knows.
fn check_identity(write: &Write, old: &Value, object: &Value) -> Result<(), Refusal> {
    let Write { kind, key, .. } = write;
    let name = text(object, "name");
    if !name.is_empty() && name != key.name {
        return Err(other_name(name, &key.name));
    }
    let version = text(object, "resourceVersion");
    if matches!(version, "" | "0") && !kind.unconditional {
        let cause = Cause::invalid("metadata.resourceVersion", &json!(0), "must be specified for an update");
        return Err(Refusal::invalid(kind, &key.name, &[cause]));
    }
    if !version.is_empty() && version != "0" && version != text(old, "resourceVersion") {
        return Err(Refusal::stale(kind, &key.name));
    }
    let (wanted, there) = (text(object, "uid"), text(old, "uid"));
    if !wanted.is_empty() && wanted != there {
        return Err(Refusal::conflict(kind, &key.name, &other_uid(wanted, there)));
    }
    Ok(())
}

/// What is said where an object of another uid was meant.
pub(super) fn other_uid(wanted: &str, there: &str) -> String {
    format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {there}")
}

/// Of the parts that are written by themselves, the other one stays as it is.
fn keep_other_part(write: &Write, old: &Value, object: &mut Value) {
    match write.door() {
        Door::Only => {}
        Door::Main => put(object, "status", old.get("status")),
        Door::Status => {
            let status = object.get("status").cloned();
            // With it come the managers, which an apply has reckoned.
            let managed = metadata(object, "managedFields").cloned();
            *object = old.clone();
            put(object, "status", status.as_ref());
            if write.applies {
                set(object, "managedFields", managed);
            }
        }
    }
}

fn put(object: &mut Value, field: &str, value: Option<&Value>) {
    let Some(fields) = object.as_object_mut() else { return };
    match value.filter(|value| !value.is_null()) {
        Some(value) => drop(fields.insert(field.to_owned(), value.clone())),
        None => drop(fields.remove(field)),
    }
}

/// An object that is being deleted gets no new finalizers.
fn keep_finalizers(old: &Value, object: &Value, write: &Write) -> Result<(), Refusal> {
    if metadata(old, "deletionTimestamp").is_none() {
        return Ok(());
    }
    let before = finalizers(old);
    let new: Vec<&str> = finalizers(object).into_iter().filter(|one| !before.contains(one)).collect();
    if new.is_empty() {
        return Ok(());
    }
    let message = format!(
        "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers {new:?}"
    );
    let cause = Cause::new("FieldValueForbidden", "metadata.finalizers", message);
    Err(Refusal::invalid(write.kind, &write.key.name, &[cause]))
}
