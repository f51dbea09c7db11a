//! What follows when an owner or a namespace goes: what it owned goes too, or is without owner. And events
//! end here, an hour after their last time.
//!
//! One pass, [`collect`], does what can be done now; a pass may make the next one possible. It goes over all
//! objects, so it is not made where nothing that has changed asks for one ([`is_due`]). Whoever runs this
//! server says when: [`super::ClusterApi::collect`] or [`super::ClusterApi::collect_always`]. An owner of a
//! kind that is not served here counts as being there: nothing is known of it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::delete::{self, FOREGROUND, ORPHAN, Options, Propagation};
use super::kinds::{self, Kind};
use super::state::State;
use super::store::{Change, Key};
use super::write::{finalizers, text};

/// How long an event is kept, as with Kubernetes.
const EVENTS_KEPT: SignedDuration = SignedDuration::from_hours(1);
/// How many events are kept at the most: here they are in memory, some 4 KiB each, and a hundred Flows that
/// run each minute have 400 a minute.
const EVENTS_MOST: usize = 2000;
/// How many more there may be until they are looked for: to look for the oldest is dear.
const EVENTS_MORE: usize = 200;
/// How often old ones are looked for.
const EVENTS_LOOK: SignedDuration = SignedDuration::from_mins(1);

/// An object and where it is.
type Placed = (&'static Kind, Key, Arc<Value>);

/// Whether a change since that version may ask for a pass: an object has gone or is to go, or has owners that
/// it did not have. Events own nothing, and end with the passes that other changes ask for.
pub(super) fn is_due(state: &State, since: u64) -> bool {
    let asks = |change: &Change| {
        let Some(after) = &change.after else {
            return kinds::stored_at(change.stored).is_none_or(|kind| !kind.is("Event"));
        };
        let before = change.before.as_deref();
        is_ending(after) || before.map(owners_of).unwrap_or_default() != owners_of(after)
    };
    // Of what is forgotten nothing is known.
    state.store.changes_after(since).map_or(true, |mut changes| changes.any(asks))
}

fn owners_of(object: &Value) -> &[Value] {
    let all = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    all.map(Vec::as_slice).unwrap_or_default()
}

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
    end_events(state, &all, now);
    usize::try_from(state.store.version() - before).unwrap_or(usize::MAX)
}

fn owners(object: &Value) -> impl Iterator<Item = &Value> {
    owners_of(object).iter()
}

fn field<'a>(owner: &'a Value, name: &str) -> &'a str {
    owner.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn is_ending(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some()
}

/// Writes an object that is still the one that was read, or takes it away if nothing keeps it any more. A
/// namespace ends with its contents: see [`end_namespaces`].
fn write(state: &mut State, (kind, key, read): &Placed, object: Value) {
    if state.store.get(kind.stored, key).is_none_or(|there| !Arc::ptr_eq(there, read)) {
        return;
    }
    let grace = object.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64);
    let is_ended = is_ending(&object) && grace.unwrap_or_default() == 0 && finalizers(&object).is_empty();
    if is_ended && !kind.is("Namespace") {
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

fn without_owners(object: &Value, uids: &[&str]) -> Value {
    let others: Vec<Value> =
        owners(object).filter(|one| !uids.contains(&field(one, "uid"))).cloned().collect();
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        if others.is_empty() {
            metadata.remove("ownerReferences");
        } else {
            metadata.insert("ownerReferences".to_owned(), Value::Array(others));
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
            write(state, owned, without_owners(&owned.2, &[uid]));
        }
        write(state, owner, without_finalizer(&owner.2, ORPHAN));
    }
}

/// Deletes what none of its owners is left of, or whose owners wait for it to go. What has yet another owner
/// stays, and with it that one alone: the others wait for it no longer.
fn follow_owners(state: &mut State, all: &[Placed], now: Timestamp) {
    let hidden = state.hidden();
    let is_known = |owner: &Value| {
        let kind = kinds::of(field(owner, "apiVersion"), field(owner, "kind"));
        kind.is_some_and(|kind| Some(kind.group.as_str()) != hidden)
    };
    let owning = all.iter().filter(|(kind, ..)| !kind.is("Event"));
    let there: HashMap<&str, &Placed> = owning.map(|placed| (text(&placed.2, "uid"), placed)).collect();
    for placed in all.iter().filter(|(_, _, object)| !owners_of(object).is_empty()) {
        let (kind, key, object) = placed;
        // Read anew: what lost its owner just now stays.
        if state.store.get(kind.stored, key).is_none_or(|present| !Arc::ptr_eq(present, object)) {
            continue;
        }
        let (mut wait, mut stay, mut lost) = (false, false, Vec::new());
        for owner in owners(object) {
            let uid = field(owner, "uid");
            match there.get(uid) {
                _ if !is_known(owner) => stay = true,
                // An owner is in the same namespace, or in none.
                Some((_, place, _)) if !place.namespace.is_empty() && place.namespace != key.namespace => {
                    lost.push(uid);
                }
                Some((_, _, owner)) if is_ending(owner) && finalizers(owner).contains(&FOREGROUND) => {
                    wait = true;
                    lost.push(uid);
                }
                Some(_) => stay = true,
                None => lost.push(uid),
            }
        }
        if lost.is_empty() || is_ending(object) {
            continue;
        }
        if stay {
            write(state, placed, without_owners(object, &lost));
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
        let is_kept = state.store.get(kind.stored, key).is_some_and(|there| !finalizers(there).is_empty());
        if !is_kept && !state.store.all().any(|(_, inside, _)| inside.namespace == key.name) {
            state.store.remove(kind.stored, key);
        }
    }
}

/// Takes away what has happened long ago, and the oldest of too many.
fn end_events(state: &mut State, all: &[Placed], now: Timestamp) {
    let events: Vec<&Placed> = all.iter().filter(|(kind, ..)| kind.is("Event")).collect();
    let is_time = state.events_looked.is_none_or(|looked| now.duration_since(looked).abs() >= EVENTS_LOOK);
    if !is_time && events.len() <= EVENTS_MOST + EVENTS_MORE {
        return;
    }
    state.events_looked = Some(now);
    let mut events: Vec<(Option<Timestamp>, &Placed)> =
        events.into_iter().map(|event| (last_time(&event.2), event)).collect();
    let surplus = events.len().saturating_sub(EVENTS_MOST);
    events.sort_by_key(|(last, _)| *last);
    for (place, (last, (kind, key, object))) in events.into_iter().enumerate() {
        let is_old = last.is_some_and(|last| now.duration_since(last) > EVENTS_KEPT);
        let is_same = |there: &Arc<Value>| Arc::ptr_eq(there, object);
        if (is_old || place < surplus) && state.store.get(kind.stored, key).is_some_and(is_same) {
            state.store.remove(kind.stored, key);
        }
    }
}

fn last_time(event: &Value) -> Option<Timestamp> {
    let times = ["/metadata/creationTimestamp", "/lastTimestamp", "/series/lastObservedTime"].into_iter();
    times.filter_map(|place| event.pointer(place)?.as_str()?.parse().ok()).max()
}
