//! What is done for a request, by its method and where it goes.

use axum::body::Body;
use http::request::Parts;
use http::{Method, Response};
use serde_json::{Value, json};

use super::api::ClusterApi;
use super::apply::applied;
use super::delete::{self, Deleted, Options};
use super::patch::{Patch, patched};
use super::path::{self, Form, Part, Path, Query, Target};
use super::response::{json_response, text_response};
use super::selector::Selector;
use super::shape::Shape;
use super::status::{Cause, Refusal};
use super::store::Key;
use super::value::{part, set};
use super::write::{self, Validation, Write, Written};
use super::{body, discovery, event, form, logs, read, reviews, scale, watch};

/// One request about objects.
struct Asked<'a> {
    api: &'a ClusterApi,
    parts: &'a Parts,
    query: Query,
    form: Form,
    target: Target,
    body: &'a [u8],
}

/// Answers a request.
pub(super) fn answer(api: &ClusterApi, parts: &Parts, body: &[u8]) -> Result<Response<Body>, Refusal> {
    if let Some(answer) = reviews::answer(parts, body) {
        return answer;
    }
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let hidden = api.lock().hidden();
    match path::parse(parts.uri.path())? {
        Path::Document(document) if parts.method == Method::GET => {
            discovery::document(&document, path::form(&parts.headers).unwrap_or(Form::Whole), hidden)
        }
        Path::Document(document) if discovery::is_document(&document, hidden) => {
            Err(Refusal::no_such_method())
        }
        Path::Document(_) => Err(Refusal::no_such_path()),
        Path::Objects(target) if hidden == Some(target.kind.group.as_str()) => Err(Refusal::no_such_path()),
        Path::Objects(target) => {
            let mut form = path::form(&parts.headers)?;
            if form == Form::Table && query.get("includeObject") == Some("Object") {
                form = Form::FullTable;
            }
            Asked { api, parts, query, form, target, body }.answer()
        }
    }
}

impl Asked<'_> {
    fn answer(self) -> Result<Response<Body>, Refusal> {
        let (kind, part) = (self.target.kind, self.target.part);
        let is_one = self.target.name.is_some();
        if self.parts.method != Method::GET && !kind.writable {
            return Err(Refusal::not_allowed(kind, &self.parts.method.as_str().to_lowercase()));
        }
        match (self.parts.method.as_str(), is_one, part) {
            ("GET", true, Some(Part::Log)) => logs::answer(self.api, &self.target, &self.query),
            (method, true, Some(Part::Log)) => Err(Refusal::not_allowed(kind, &method.to_lowercase())),
            // Over a WebSocket it does not come here.
            (_, true, Some(Part::PortForward)) => {
                Err(Refusal::not_done_here("pods/portforward", path::CONNECT))
            }
            ("GET", false, _) if self.query.is_set("watch") => {
                let body = watch::begin(self.api, &self.target, &self.query, self.form)?;
                let mut response = Response::new(body);
                let json = http::HeaderValue::from_static("application/json");
                response.headers_mut().insert(http::header::CONTENT_TYPE, json);
                Ok(response)
            }
            ("GET", true, _) if self.query.is_set("watch") => {
                Err(Refusal::not_implemented("a watch by name: select metadata.name instead"))
            }
            ("GET", false, _) => self.list(),
            ("GET", true, Some(Part::Scale)) => {
                let object = read::get(&self.api.lock(), &self.target)?;
                Ok(json_response(200, &scale::of(kind, &object), &[]))
            }
            ("GET", true, _) => {
                let object = read::get(&self.api.lock(), &self.target)?;
                Ok(self.show(200, &object, &[]))
            }
            ("POST", false, None) => self.create(),
            ("PUT" | "PATCH", true, Some(Part::Scale)) => self.scale(),
            ("PUT", true, _) => self.update(),
            ("PATCH", true, _) => self.patch(),
            ("DELETE", true, None) => self.delete(),
            ("DELETE", false, None) => self.delete_all(),
            (method, ..) => Err(Refusal::not_allowed(kind, &method.to_lowercase())),
        }
    }

    fn show(&self, code: u16, object: &Value, warnings: &[String]) -> Response<Body> {
        let shown = form::one(self.target.kind, object, self.form, self.api.now());
        json_response(code, &shown, warnings)
    }

    fn written(&self, written: &Written) -> Response<Body> {
        self.show(if written.is_new { 201 } else { 200 }, &written.object, &written.warnings)
    }

    fn list(&self) -> Result<Response<Body>, Refusal> {
        let state = self.api.lock();
        let (objects, page) = read::list(&state, &self.target, &self.query)?;
        drop(state);
        let objects: Vec<&Value> = objects.iter().map(|object| &**object).collect();
        let list = form::list(self.target.kind, &objects, &page, self.form, self.api.now());
        Ok(text_response(200, list, &[]))
    }

    /// The body as an object.
    fn object(&self) -> Result<Value, Refusal> {
        body::object(&self.parts.headers, self.body)
    }

    fn write(&self) -> Result<Write, Refusal> {
        Ok(Write {
            kind: self.target.kind,
            key: self.key()?,
            part: self.target.part,
            manager: path::manager(&self.parts.headers, &self.query),
            applies: false,
            dry_run: self.query.is_dry_run()?,
            validation: Validation::of(&self.query)?,
            now: self.api.now(),
        })
    }

    /// Where the object is. What is written is in a namespace, unless its kind is in none.
    fn key(&self) -> Result<Key, Refusal> {
        let namespace = self.target.namespace.as_deref();
        let namespace =
            namespace.ok_or_else(|| Refusal::not_allowed(self.target.kind, "a write without a namespace"))?;
        Ok(Key::new(namespace, self.target.name.as_deref().unwrap_or_default()))
    }

    fn create(&self) -> Result<Response<Body>, Refusal> {
        let (write, object) = (self.write()?, self.object()?);
        let written = write::create(&mut self.api.lock(), write, object)?;
        Ok(self.written(&written))
    }

    fn update(&self) -> Result<Response<Body>, Refusal> {
        let (write, object) = (self.write()?, self.object()?);
        let written = write::update(&mut self.api.lock(), &write, object)?;
        Ok(self.written(&written))
    }

    fn patch(&self) -> Result<Response<Body>, Refusal> {
        let (kind, write) = (self.target.kind, self.write()?);
        let form = Patch::of(path::content_type(&self.parts.headers), kind)?;
        if form == Patch::Apply {
            return self.apply(write, &body::yaml(self.body)?);
        }
        let body = body::patch(self.body)?;
        if self.query.get("force").is_some() {
            return Err(Refusal::bad_request("force is only for apply patches"));
        }
        let mut state = self.api.lock();
        let Some(there) = state.store.get(kind.stored, &write.key).cloned() else {
            return Err(Refusal::not_found(kind, &write.key.name));
        };
        let object = if kind.is_new_event() {
            patched(form, kind, &event::to_new((*there).clone()), body)?
        } else {
            patched(form, kind, &there, body)?
        };
        let written = write::update(&mut state, &write, object)?;
        drop(state);
        Ok(self.written(&written))
    }

    fn apply(&self, write: Write, config: &Value) -> Result<Response<Body>, Refusal> {
        let (kind, write) = (self.target.kind, Write { applies: true, ..write });
        if kind.is_new_event() {
            return Err(Refusal::not_implemented(
                "server-side apply of events.k8s.io: apply the event as v1",
            ));
        }
        if self.query.get("fieldManager").is_none() {
            let cause = Cause::required("fieldManager", "is required for apply patch");
            let message =
                format!("PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: {}", cause.message);
            return Err(Refusal { message, ..Refusal::invalid(kind, "", &[cause]) });
        }
        if config.pointer("/metadata/managedFields").is_some_and(|fields| !fields.is_null()) {
            return Err(Refusal::bad_request("metadata.managedFields must be nil"));
        }
        for (field, wanted) in [("/apiVersion", kind.api_version()), ("/kind", kind.kind.clone())] {
            if config.pointer(field) != Some(&json!(wanted)) {
                return Err(Refusal::bad_request(format!(
                    "an apply must say {} {wanted:?}",
                    field.trim_start_matches('/')
                )));
            }
        }
        let name = write::text(config, "name");
        if !name.is_empty() && name != write.key.name {
            return Err(write::other_name(name, &write.key.name));
        }
        let mut state = self.api.lock();
        let live = state.store.get(kind.stored, &write.key).cloned();
        if live.is_none() && write.part.is_some() {
            return Err(Refusal::not_found(kind, &write.key.name));
        }
        let how = (write.door(), self.query.is_set("force"));
        let mut object = applied(live.as_deref(), config, Shape::of(kind), how, write.applier())?;
        // The version and the uid that the applier means, if it says any.
        for field in ["resourceVersion", "uid"] {
            if let Some(value) = config.get("metadata").and_then(|metadata| metadata.get(field)) {
                set(part(&mut object, "metadata"), field, value.clone());
            }
        }
        set(part(&mut object, "metadata"), "name", json!(write.key.name));
        let written = if live.is_some() {
            write::update(&mut state, &write, object)?
        } else {
            write::check_new(&write, &object)?;
            write::create(&mut state, write, object)?
        };
        drop(state);
        Ok(self.written(&written))
    }

    fn scale(&self) -> Result<Response<Body>, Refusal> {
        let (kind, write) = (self.target.kind, Write { part: None, ..self.write()? });
        let mut state = self.api.lock();
        let Some(there) = state.store.get(kind.stored, &write.key).cloned() else {
            return Err(Refusal::not_found(kind, &write.key.name));
        };
        let shown = scale::of(kind, &there);
        let scale = if self.parts.method == Method::PUT {
            self.object()?
        } else {
            let form = Patch::of(path::content_type(&self.parts.headers), kind)?;
            let patch = body::patch(self.body)?;
            patched(form, kind, &shown, patch)?
        };
        let object = scale::scaled(kind, &there, &scale)?;
        let written = write::update(&mut state, &write, object)?;
        drop(state);
        Ok(json_response(200, &scale::of(kind, &written.object), &written.warnings))
    }

    fn options(&self) -> Result<Options, Refusal> {
        let body = if self.body.is_empty() { Value::Null } else { self.object()? };
        Options::read(&self.query, &body)
    }

    fn delete(&self) -> Result<Response<Body>, Refusal> {
        let (key, options, now) = (self.key()?, self.options()?, self.api.now());
        let deleted = delete::delete(&mut self.api.lock(), self.target.kind, &key, &options, now)?;
        match deleted {
            Deleted::Ending(object) | Deleted::Last(object) => Ok(self.show(200, &object, &[])),
            Deleted::Gone(status) => Ok(json_response(200, &status, &[])),
        }
    }

    fn delete_all(&self) -> Result<Response<Body>, Refusal> {
        let (kind, options) = (self.target.kind, self.options()?);
        let (labels, fields) = (self.query.get("labelSelector"), self.query.get("fieldSelector"));
        let selector = Selector::parse(kind, labels, fields)?;
        self.key()?;
        // Before the lock: the clock is the caller's, and may ask something of this API.
        let now = self.api.now();
        let mut state = self.api.lock();
        let meant: Vec<(Key, _)> = state
            .store
            .list(kind.stored, self.target.namespace.as_deref().filter(|_| kind.namespaced))
            .filter(|(_, object)| selector.matches(object))
            .map(|(key, object)| (key.clone(), object.clone()))
            .collect();
        for (key, _) in &meant {
            delete::delete(&mut state, kind, key, &options, now)?;
        }
        let page = form::Page { version: state.store.version(), ..form::Page::default() };
        drop(state);
        let objects: Vec<&Value> = meant.iter().map(|(_, object)| &**object).collect();
        let list = form::list(kind, &objects, &page, self.form, self.api.now());
        Ok(text_response(200, list, &[]))
    }
}
