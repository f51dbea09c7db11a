//! Watches: what changes, from a version on, one event for each line.
//!
//! A watch reads the changes from the store and keeps none of its own, so that a slow client costs nothing
//! but what was there when it began, if it asks for that; one that is too slow for the changes that the
//! store keeps is told so with 410, as is one that begins at too old a version.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures::stream;
use serde_json::{Value, json};
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep_until};

use super::api::ClusterApi;
use super::form;
use super::kinds::Kind;
use super::path::{Form, Query, Target};
use super::selector::Selector;
use super::state::News;
use super::status::Refusal;
use super::store::Change;
use super::value::{part, set};

/// How often a client that asks for it is told how far the watch is.
const BOOKMARKS_EVERY: Duration = Duration::from_secs(60);

/// How long a watch lasts that says nothing of it.
const LASTS: Duration = Duration::from_secs(30 * 60);

/// How long a watch lasts at most.
const LASTS_AT_MOST: Duration = Duration::from_secs(24 * 3600);

/// One watch.
struct Watching {
    api: ClusterApi,
    news: Receiver<News>,
    /// How many times all watches had been broken when this one began.
    broken: u64,
    kind: &'static Kind,
    namespace: Option<String>,
    selector: Selector,
    form: Form,
    /// All changes up to this version have been told.
    version: u64,
    waiting: VecDeque<Value>,
    bookmarks: bool,
    next_bookmark: Instant,
    until: Instant,
    is_over: bool,
}

/// Begins a watch, and gives the body of its answer.
pub(super) fn begin(api: &ClusterApi, target: &Target, query: &Query, form: Form) -> Result<Body, Refusal> {
    let selector = Selector::parse(target.kind, query.get("labelSelector"), query.get("fieldSelector"))?;
    let lasts = query.number("timeoutSeconds")?.filter(|seconds| *seconds > 0).map(Duration::from_secs);
    let lasts = lasts.map_or(LASTS, |lasts| lasts.min(LASTS_AT_MOST));
    let from = query.number("resourceVersion")?.filter(|version| *version > 0);
    let wants_initial = query.is_set("sendInitialEvents");
    if wants_initial && query.get("resourceVersionMatch") != Some("NotOlderThan") {
        return Err(Refusal::bad_request(
            "sendInitialEvents is only allowed with resourceVersionMatch=NotOlderThan",
        ));
    }
    let news = api.shared.news.subscribe();
    let broken = news.borrow().broken;
    let began = Instant::now();
    let mut watching = Watching {
        api: api.clone(),
        news,
        broken,
        kind: target.kind,
        namespace: target.namespace.clone().filter(|_| target.kind.namespaced),
        selector,
        form,
        version: from.unwrap_or_default(),
        waiting: VecDeque::new(),
        bookmarks: query.is_set("allowWatchBookmarks"),
        next_bookmark: began + BOOKMARKS_EVERY,
        until: began + lasts,
        is_over: false,
    };
    if wants_initial || from.is_none() {
        watching.tell_what_is_there(wants_initial);
    }
    let lines = stream::unfold(watching, |mut watching| async move {
        let line = watching.next().await?;
        Some((Ok::<Bytes, Infallible>(line), watching))
    });
    Ok(Body::from_stream(lines))
}

impl Watching {
    fn tell_what_is_there(&mut self, with_end: bool) {
        let api = self.api.clone();
        let state = api.lock();
        self.version = state.store.version();
        let there = state.store.list(self.kind.stored, self.namespace.as_deref());
        let meant: Vec<Arc<Value>> =
            there.map(|(_, object)| object).filter(|object| self.selector.matches(object)).cloned().collect();
        drop(state);
        for object in meant {
            self.tell("ADDED", &object);
        }
        if with_end {
            let end = form::bookmark(self.kind, self.version, self.form, true);
            self.waiting.push_back(json!({"type": "BOOKMARK", "object": end}));
        }
    }

    fn tell(&mut self, what: &str, object: &Value) {
        let object = form::one(self.kind, object, self.form, self.api.now());
        self.waiting.push_back(json!({"type": what, "object": object}));
    }

    fn bookmark(&mut self) {
        if self.bookmarks {
            let object = form::bookmark(self.kind, self.version, self.form, false);
            self.waiting.push_back(json!({"type": "BOOKMARK", "object": object}));
        }
    }

    /// The next line; none at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                let mut line = event.to_string().into_bytes();
                line.push(b'\n');
                return Some(line.into());
            }
            if self.is_over || self.news.borrow_and_update().broken != self.broken {
                return None;
            }
            if self.read_change() {
                continue;
            }
            tokio::select! {
                // What has happened is told before the end.
                biased;
                changed = self.news.changed() => changed.ok()?,
                () = sleep_until(self.until) => {
                    self.bookmark();
                    self.is_over = true;
                }
                () = sleep_until(self.next_bookmark) => {
                    self.bookmark();
                    self.next_bookmark += BOOKMARKS_EVERY;
                }
            }
        }
    }

    /// Reads one change from the store; false when there is none.
    fn read_change(&mut self) -> bool {
        let api = self.api.clone();
        let state = api.lock();
        match state.store.next_change(self.kind.stored, self.version) {
            Ok(Some(change)) => {
                let change = change.clone();
                drop(state);
                self.version = change.version;
                self.tell_change(&change);
                true
            }
            Ok(None) => {
                self.version = self.version.max(state.store.version());
                false
            }
            Err(too_old) => {
                let message = format!("too old resource version: {} ({})", self.version, too_old.oldest);
                let object = Refusal::expired(message).body();
                self.waiting.push_back(json!({"type": "ERROR", "object": object}));
                self.is_over = true;
                true
            }
        }
    }

    fn tell_change(&mut self, change: &Change) {
        if self.namespace.as_ref().is_some_and(|namespace| *namespace != change.key.namespace) {
            return;
        }
        let meant =
            |object: &Option<Arc<Value>>| object.clone().filter(|object| self.selector.matches(object));
        match (meant(&change.before), meant(&change.after)) {
            (None, Some(now)) => self.tell("ADDED", &now),
            (Some(_), Some(now)) => self.tell("MODIFIED", &now),
            // It has gone, or is no longer what the selector means; it is shown as it was, with the version
            // of its end.
            (Some(before), None) => {
                let mut last = (*before).clone();
                set(part(&mut last, "metadata"), "resourceVersion", json!(change.version.to_string()));
                self.tell("DELETED", &last);
            }
            (None, None) => {}
        }
    }
}
