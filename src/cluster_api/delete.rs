//! Deleting objects: preconditions, grace, finalizers, and what becomes of what they own.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::kinds::Kind;
use super::path::Query;
use super::state::State;
use super::status::{self, Refusal};
use super::store::Key;
use super::value::seconds;
use super::write::{finalizers, other_uid, text};

/// The finalizer that keeps an owner until what it owns has gone.
pub(super) const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer that keeps an owner until what it owned is without owner.
pub(super) const ORPHAN: &str = "orphan";

/// What becomes of what an object owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Propagation {
    Orphan,
    Background,
    Foreground,
}

/// How an object is deleted.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    pub uid: Option<String>,
    pub version: Option<String>,
    pub grace: Option<i64>,
    pub propagation: Option<Propagation>,
    pub dry_run: bool,
}

impl Options {
    /// From the query, and from the body if there is one.
    pub fn read(query: &Query, body: &Value) -> Result<Self, Refusal> {
        let is_set = |value: Option<&Value>| value.is_some_and(|value| !value.is_null());
        if is_set(body.get("orphanDependents")) || query.get("orphanDependents").is_some() {
            return Err(Refusal::not_implemented("orphanDependents (write propagationPolicy instead)"));
        }
        let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let propagation =
            text("/propagationPolicy").or_else(|| query.get("propagationPolicy").map(str::to_owned));
        let propagation = match propagation.as_deref() {
            None => None,
            Some("Orphan") => Some(Propagation::Orphan),
            Some("Background") => Some(Propagation::Background),
            Some("Foreground") => Some(Propagation::Foreground),
            Some(other) => {
                return Err(Refusal::bad_request(format!("propagationPolicy: {other:?} is not supported")));
            }
        };
        let grace = body.get("gracePeriodSeconds").and_then(Value::as_i64);
        let asked = query.number("gracePeriodSeconds")?.and_then(|seconds| i64::try_from(seconds).ok());
        let dry_run = body.get("dryRun").and_then(Value::as_array).is_some_and(|all| !all.is_empty());
        Ok(Self {
            uid: text("/preconditions/uid"),
            version: text("/preconditions/resourceVersion"),
            grace: grace.or(asked),
            propagation,
            dry_run: dry_run || query.is_dry_run()?,
        })
    }
}

/// What a deletion has come to.
#[derive(Clone, Debug)]
pub(super) enum Deleted {
    /// It is there still, and is on its way out.
    Ending(Arc<Value>),
    /// It has gone; a `Status` says so.
    Gone(Value),
    /// It has gone; the answer shows it once more.
    Last(Arc<Value>),
}

/// Deletes one object.
pub(super) fn delete(
    state: &mut State,
    kind: &Kind,
    key: &Key,
    options: &Options,
    now: Timestamp,
) -> Result<Deleted, Refusal> {
    let Some(old) = state.store.get(kind.stored, key).cloned() else {
        return Err(Refusal::not_found(kind, &key.name));
    };
    check_preconditions(kind, key, options, &old)?;
    let mut object = (*old).clone();
    add_finalizer(kind, options, &mut object);
    let grace = grace(kind, options, &object);
    let waits = grace > 0 || !finalizers(&object).is_empty() || kind.is("Namespace");
    if !waits {
        if !options.dry_run {
            state.store.remove(kind.stored, key);
        }
        // Of these the real API server shows what was deleted.
        let shows = ["Pod", "Service", "ServiceAccount"].iter().any(|word| kind.is(word));
        let uid = old.pointer("/metadata/uid").cloned().unwrap_or_default();
        return Ok(if shows {
            Deleted::Last(old)
        } else {
            Deleted::Gone(status::deleted(kind, &key.name, &uid))
        });
    }
    mark(&mut object, grace, now);
    if kind.is("Namespace")
        && let Some(status) = object.pointer_mut("/status/phase")
    {
        *status = json!("Terminating");
    }
    if object == *old || options.dry_run {
        return Ok(Deleted::Ending(Arc::new(object)));
    }
    Ok(Deleted::Ending(state.store.put(kind.stored, key.clone(), object)))
}

fn check_preconditions(kind: &Kind, key: &Key, options: &Options, old: &Value) -> Result<(), Refusal> {
    let there = text(old, "uid");
    if let Some(wanted) = options.uid.as_deref().filter(|wanted| *wanted != there) {
        return Err(Refusal::conflict(kind, &key.name, &other_uid(wanted, there)));
    }
    let there = text(old, "resourceVersion");
    if let Some(wanted) = options.version.as_deref().filter(|wanted| *wanted != there) {
        let why = format!(
            "Precondition failed: ResourceVersion in precondition: {wanted}, ResourceVersion in object meta: {there}"
        );
        return Err(Refusal::conflict(kind, &key.name, &why));
    }
    Ok(())
}

/// How long the object may take to end. Only pods that a kubelet has take any time.
fn grace(kind: &Kind, options: &Options, object: &Value) -> i64 {
    let spec = |field: &str| object.pointer("/spec").and_then(|spec| spec.get(field));
    let phase = object.pointer("/status/phase").and_then(Value::as_str).unwrap_or_default();
    let is_on_a_node = spec("nodeName").and_then(Value::as_str).is_some_and(|node| !node.is_empty());
    if !kind.is("Pod") || !is_on_a_node || matches!(phase, "Succeeded" | "Failed") {
        return 0;
    }
    let own = spec("terminationGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(30);
    let wanted = options.grace.unwrap_or(own).max(0);
    // A second deletion can only make it shorter.
    let before = object.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64);
    before.map_or(wanted, |before| wanted.min(before))
}

fn add_finalizer(kind: &Kind, options: &Options, object: &mut Value) {
    // For the sake of old clients a Job leaves its pods behind unless the request says otherwise.
    let default = if kind.is("Job") { Propagation::Orphan } else { Propagation::Background };
    let finalizer = match options.propagation.unwrap_or(default) {
        Propagation::Background => None,
        Propagation::Foreground => Some(FOREGROUND),
        Propagation::Orphan => Some(ORPHAN),
    };
    let mut all: Vec<Value> = finalizers(object)
        .into_iter()
        .filter(|name| options.propagation.is_none() || !matches!(*name, FOREGROUND | ORPHAN))
        .map(|name| json!(name))
        .collect();
    if let Some(finalizer) = finalizer
        && !all.iter().any(|there| there == finalizer)
    {
        all.push(json!(finalizer));
    }
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    if all.is_empty() {
        metadata.remove("finalizers");
    } else {
        metadata.insert("finalizers".to_owned(), Value::Array(all));
    }
}

/// Writes down that and until when an object ends.
fn mark(object: &mut Value, grace: i64, now: Timestamp) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let before = metadata.get("deletionGracePeriodSeconds").and_then(Value::as_i64);
    if before == Some(grace) && metadata.contains_key("deletionTimestamp") {
        return;
    }
    let end = now.saturating_add(SignedDuration::from_secs(grace)).unwrap_or(now);
    metadata.insert("deletionTimestamp".to_owned(), json!(seconds(end)));
    metadata.insert("deletionGracePeriodSeconds".to_owned(), json!(grace));
    if let Some(generation) = metadata.get("generation").and_then(Value::as_i64).filter(|_| before.is_none())
    {
        metadata.insert("generation".to_owned(), json!(generation + 1));
    }
}
