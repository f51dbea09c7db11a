//! Reading objects: one, or a list, page by page.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::form::Page;
use super::path::{Query, Target};
use super::selector::Selector;
use super::state::State;
use super::status::Refusal;
use super::store::Key;

/// One object.
pub(super) fn get(state: &State, target: &Target) -> Result<Arc<Value>, Refusal> {
    let name = target.name.as_deref().unwrap_or_default();
    let key = Key::new(target.namespace.as_deref().unwrap_or_default(), name);
    let found = state.store.get(target.kind.stored, &key);
    found.cloned().ok_or_else(|| Refusal::not_found(target.kind, name))
}

/// Where a list goes on.
struct From {
    version: u64,
    after: Option<Key>,
}

/// The token for the next page: the version of the list, and the last object of the page. Clients must not
/// read it.
fn token(version: u64, last: &Key) -> String {
    format!("{version}:{}/{}", last.namespace, last.name)
}

fn read_token(text: &str) -> Result<From, Refusal> {
    let read = || {
        let (version, key) = text.split_once(':')?;
        let (namespace, name) = key.split_once('/')?;
        Some(From { version: version.parse().ok()?, after: Some(Key::new(namespace, name)) })
    };
    read().ok_or_else(|| Refusal::bad_request(format!("continue key is not valid: {text:?}")))
}

/// Which state of the store is asked for.
fn from(state: &State, query: &Query) -> Result<From, Refusal> {
    let now = state.store.version();
    if let Some(token) = query.get("continue") {
        return read_token(token);
    }
    let wanted = query.number("resourceVersion")?.unwrap_or_default();
    if wanted > now {
        return Err(Refusal {
            code: 504,
            reason: "Timeout",
            message: format!("Too large resource version: {wanted}, current: {now}"),
            details: json!({
                "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
                "retryAfterSeconds": 1,
            }),
        });
    }
    match query.get("resourceVersionMatch") {
        Some("Exact") if wanted > 0 => Ok(From { version: wanted, after: None }),
        None | Some("NotOlderThan") => Ok(From { version: now, after: None }),
        Some(other) => {
            Err(Refusal::bad_request(format!("resourceVersionMatch: {other:?} makes no sense here")))
        }
    }
}

/// The objects of a list, and where it stands.
pub(super) fn list(
    state: &State,
    target: &Target,
    query: &Query,
) -> Result<(Vec<Arc<Value>>, Page), Refusal> {
    let kind = target.kind;
    let (labels, fields) = (query.get("labelSelector"), query.get("fieldSelector"));
    let selector = Selector::parse(kind, labels, fields)?;
    let limit = query.number("limit")?.filter(|limit| *limit > 0);
    let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let from = from(state, query)?;
    let namespace = target.namespace.as_deref().filter(|_| kind.namespaced);
    let then: BTreeMap<Key, Arc<Value>>;
    let all: Box<dyn Iterator<Item = (&Key, &Arc<Value>)> + '_> = if from.version == state.store.version() {
        Box::new(state.store.list(kind.stored, namespace))
    } else {
        then = state.store.list_at(kind.stored, namespace, from.version).map_err(|_| {
            Refusal::expired(if from.after.is_some() {
                "The provided continue parameter is too old to display a consistent list result. You can start a new \
                 list without the continue parameter."
            } else {
                "The resourceVersion for the provided list is too old."
            })
        })?;
        Box::new(then.iter())
    };
    let meant = |object: &Value| selector.matches(object);
    let mut left = all
        .filter(|(key, object)| from.after.as_ref().is_none_or(|after| *key > after) && meant(object))
        .map(|(key, object)| (key.clone(), object.clone()));
    let page: Vec<(Key, Arc<Value>)> = left.by_ref().take(limit).collect();
    let rest = left.count();
    let next = page.last().filter(|_| rest > 0).map(|(last, _)| token(from.version, last));
    // Behind a selector the real API server does not count.
    let is_counted = labels.is_none() && fields.is_none() && next.is_some();
    let objects = page.into_iter().map(|(_, object)| object).collect();
    Ok((objects, Page { version: from.version, next, left: is_counted.then_some(rest) }))
}
