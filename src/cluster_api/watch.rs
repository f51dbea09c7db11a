//! Watches: what changes, from a version on, one event for each line.
//!
//! A watch reads the changes from the store and keeps none of its own, so that a slow client costs nothing
//! but what was there when it began, if it asks for that; one that is too slow for the changes that the
//! store keeps is told so with 410, as is one that begins at too old a version.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures::stream;
use serde_json::{Value, json};
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, Sleep, sleep_until};

use super::api::ClusterApi;
use super::form;
use super::kinds::Kind;
use super::path::{Form, Query, Target};
use super::selector::Selector;
use super::state::Told;
use super::status::Refusal;
use super::store::{Change, TooOld};
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
    news: Receiver<Told>,
    /// How many times all watches had been broken when this one began.
    broken: u64,
    kind: &'static Kind,
    namespace: Option<String>,
    selector: Selector,
    form: Form,
    /// All changes up to this version have been told.
    version: u64,
    /// Lines that are not sent yet.
    waiting: VecDeque<String>,
    bookmarks: bool,
    next_bookmark: Instant,
    until: Instant,
    /// Ends at whichever of the two comes first.
    timer: Pin<Box<Sleep>>,
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
    let news = api.shared.news.of(target.kind);
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
        timer: Box::pin(sleep_until(began + lasts.min(BOOKMARKS_EVERY))),
        is_over: false,
    };
    if wants_initial || from.is_none() {
        watching.tell_what_is_there(wants_initial);
    } else {
        watching.check_begin();
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
            self.say("BOOKMARK", &end);
        }
    }

    fn say(&mut self, what: &str, object: &Value) {
        self.waiting.push_back(format!("{{\"type\":\"{what}\",\"object\":{object}}}\n"));
    }

    fn tell(&mut self, what: &str, object: &Value) {
        let now = self.api.now();
        self.say(what, &form::one(self.kind, object, self.form, now));
    }

    fn bookmark(&mut self) {
        if self.bookmarks {
            let object = form::bookmark(self.kind, self.version, self.form, false);
            self.say("BOOKMARK", &object);
        }
    }

    /// What the clock says: a bookmark, or the end.
    fn tick(&mut self) {
        let now = Instant::now();
        self.bookmark();
        self.is_over = now >= self.until;
        while self.next_bookmark <= now {
            self.next_bookmark += BOOKMARKS_EVERY;
        }
        let next = self.until.min(self.next_bookmark);
        self.timer.as_mut().reset(next);
    }

    /// The next line; none at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.waiting.pop_front() {
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
                // Nothing of the kind has changed, so that the watch is as far as the store.
                () = &mut self.timer => if !self.read_change() { self.tick() },
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
                self.expire(too_old);
                true
            }
        }
    }

    /// Refuses a version that is too old to begin at.
    fn check_begin(&mut self) {
        let checked = self.api.lock().store.check_begin(self.version);
        if let Err(too_old) = checked {
            self.expire(too_old);
        }
    }

    fn expire(&mut self, too_old: TooOld) {
        let message = format!("too old resource version: {} ({})", self.version, too_old.oldest);
        self.say("ERROR", &Refusal::expired(message).body());
        self.is_over = true;
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
