//! What follows when an owner or a namespace goes: what it owned goes too, or is without owner.
//!
//! One pass, [`collect`], does what can be done now; a pass may make the next one possible. Whoever runs this
//! server says when: [`super::ClusterApi::collect`] or [`super::ClusterApi::collect_always`]. An owner of a
//! kind that is not served here counts as being there: nothing is known of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::delete::{self, FOREGROUND, ORPHAN, Options, Propagation};
use super::kinds::{self, Kind};
use super::state::State;
use super::store::Key;
use super::write::{finalizers, text};

/// An object and where it is.
type Placed = (&'static Kind, Key, Arc<Value>);

/// One pass; gives how many objects it changed or took away.
pub(super) fn collect(state: &mut State, now: Timestamp) -> usize {
    let all: Vec<Placed> = state
        .store
        .all()
        .filter_map(|(stored, key, object)| Some((kinds::stored_at(stored)?, key.clone(), object.clone())))
        .collect();
    let before = state.store.version();
    orphan(state, &all);
    follow_owners(state, &all, now);
    end_foreground(state, &all);
    end_namespaces(state, &all, now);
    usize::try_from(state.store.version() - before).unwrap_or(usize::MAX)
}

fn owners(object: &Value) -> impl Iterator<Item = &Value> {
    object.pointer("/metadata/ownerReferences").and_then(Value::as_array).into_iter().flatten()
}

fn field<'a>(owner: &'a Value, name: &str) -> &'a str {
    owner.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn is_ending(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some()
}

/// Writes an object that is still the one that was read, or takes it away if nothing keeps it any more.
fn write(state: &mut State, (kind, key, read): &Placed, object: Value) {
    if state.store.get(kind.stored, key).is_none_or(|there| !Arc::ptr_eq(there, read)) {
        return;
    }
    let grace = object.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64);
    if is_ending(&object) && grace.unwrap_or_default() == 0 && finalizers(&object).is_empty() {
        state.store.remove(kind.stored, key);
    } else {
        state.store.put(kind.stored, key.clone(), object);
    }
}

fn without_finalizer(object: &Value, finalizer: &str) -> Value {
    let left: Vec<Value> =
        finalizers(object).into_iter().filter(|name| *name != finalizer).map(|name| json!(name)).collect();
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        if left.is_empty() {
            metadata.remove("finalizers");
        } else {
            metadata.insert("finalizers".to_owned(), Value::Array(left));
        }
    }
    object
}

/// Takes the owners out of what is to stay, and lets these owners go.
fn orphan(state: &mut State, all: &[Placed]) {
    let ending =
        all.iter().filter(|(_, _, object)| is_ending(object) && finalizers(object).contains(&ORPHAN));
    for owner in ending {
        let uid = text(&owner.2, "uid");
        for owned in all.iter().filter(|(_, _, object)| owners(object).any(|one| field(one, "uid") == uid)) {
            let mut object = (*owned.2).clone();
            let others: Vec<Value> =
                owners(&object).filter(|one| field(one, "uid") != uid).cloned().collect();
            if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
                if others.is_empty() {
                    metadata.remove("ownerReferences");
                } else {
                    metadata.insert("ownerReferences".to_owned(), Value::Array(others));
                }
            }
            write(state, owned, object);
        }
        write(state, owner, without_finalizer(&owner.2, ORPHAN));
    }
}

/// Deletes what none of its owners is left of, or whose owners wait for it to go.
fn follow_owners(state: &mut State, all: &[Placed], now: Timestamp) {
    let mut there: BTreeMap<&str, &Placed> = BTreeMap::new();
    for placed in all {
        there.insert(text(&placed.2, "uid"), placed);
    }
    for (kind, key, object) in all {
        // Read anew: what lost its owner just now stays.
        let Some(present) = state.store.get(kind.stored, key).filter(|present| Arc::ptr_eq(present, object))
        else {
            continue;
        };
        let mut has_owners = false;
        let (mut wait, mut stay) = (false, false);
        for owner in owners(present) {
            has_owners = true;
            match there.get(field(owner, "uid")) {
                _ if kinds::of(field(owner, "apiVersion"), field(owner, "kind")).is_none() => stay = true,
                // An owner is in the same namespace, or in none.
                Some((_, place, _)) if !place.namespace.is_empty() && place.namespace != key.namespace => {}
                Some((_, _, owner)) if is_ending(owner) && finalizers(owner).contains(&FOREGROUND) => {
                    wait = true;
                }
                Some(_) => stay = true,
                None => {}
            }
        }
        if !has_owners || stay || is_ending(object) {
            continue;
        }
        let propagation = if wait { Propagation::Foreground } else { Propagation::Background };
        let uid = Some(text(object, "uid").to_owned());
        let options = Options { uid, propagation: Some(propagation), ..Options::default() };
        // It is there, and the same: it was just read.
        let _ = delete::delete(state, kind, key, &options, now);
    }
}

/// Lets owners go that waited for what they own.
fn end_foreground(state: &mut State, all: &[Placed]) {
    let waits = |object: &Value| is_ending(object) && finalizers(object).contains(&FOREGROUND);
    for placed in all.iter().filter(|(_, _, object)| waits(object)) {
        let uid = text(&placed.2, "uid");
        let blocks = |owner: &Value| {
            field(owner, "uid") == uid && owner.get("blockOwnerDeletion") == Some(&Value::Bool(true))
        };
        if !state.store.all().any(|(_, _, object)| owners(object).any(blocks)) {
            write(state, placed, without_finalizer(&placed.2, FOREGROUND));
        }
    }
}

/// Deletes what is in namespaces that end, and then the namespaces.
fn end_namespaces(state: &mut State, all: &[Placed], now: Timestamp) {
    let ending: BTreeSet<&str> = all
        .iter()
        .filter(|(kind, _, object)| kind.is("Namespace") && is_ending(object))
        .map(|(_, key, _)| key.name.as_str())
        .collect();
    if ending.is_empty() {
        return;
    }
    for (kind, key, object) in all {
        if ending.contains(key.namespace.as_str()) && !is_ending(object) {
            let options = Options { propagation: Some(Propagation::Background), ..Options::default() };
            // It may have gone with its owner just now.
            let _ = delete::delete(state, kind, key, &options, now);
        }
    }
    for (kind, key, _) in
        all.iter().filter(|(kind, key, _)| kind.is("Namespace") && ending.contains(key.name.as_str()))
    {
        if !state.store.all().any(|(_, inside, _)| inside.namespace == key.name) {
            state.store.remove(kind.stored, key);
        }
    }
}
