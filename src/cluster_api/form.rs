//! How objects are shown: whole, as metadata alone, or as a table; by themselves and in lists.

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::event;
use super::kinds::Kind;
use super::path::Form;
use super::table;
use super::value::set;

/// Where a list stands, for the next page of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Page {
    pub version: u64,
    /// The token for what is left, if anything is.
    pub next: Option<String>,
    /// How many objects are left, where that is known.
    pub left: Option<usize>,
}

impl Page {
    fn metadata(&self) -> Value {
        let mut metadata = json!({"resourceVersion": self.version.to_string()});
        if let Some(next) = &self.next {
            set(&mut metadata, "continue", json!(next));
        }
        if let Some(left) = self.left {
            set(&mut metadata, "remainingItemCount", json!(left));
        }
        metadata
    }
}

/// One object in its form of this kind.
fn whole<'a>(kind: &Kind, object: &'a Value) -> Cow<'a, Value> {
    if kind.is_new_event() { Cow::Owned(event::to_new(object.clone())) } else { Cow::Borrowed(object) }
}

fn partial(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object.get("metadata").cloned().unwrap_or_default(),
    })
}

/// One object.
pub(super) fn one<'a>(kind: &Kind, object: &'a Value, form: Form, now: Timestamp) -> Cow<'a, Value> {
    match form {
        Form::Whole | Form::Discovery => whole(kind, object),
        Form::Metadata => Cow::Owned(partial(object)),
        Form::Table | Form::FullTable => {
            let version = object.pointer("/metadata/resourceVersion").cloned().unwrap_or_default();
            Cow::Owned(table::table(kind, &[object], &json!({"resourceVersion": version}), (form, now)))
        }
    }
}

/// The text of a list.
pub(super) fn list(kind: &Kind, objects: &[&Value], page: &Page, form: Form, now: Timestamp) -> String {
    let metadata = page.metadata();
    match form {
        Form::Whole | Form::Discovery => {
            let (version, word) = (json!(kind.api_version()), json!(format!("{}List", kind.kind)));
            let items = objects.iter().map(|object| item(kind, object));
            let items = items.collect::<Vec<_>>().join(",");
            format!(r#"{{"apiVersion":{version},"items":[{items}],"kind":{word},"metadata":{metadata}}}"#)
        }
        Form::Metadata => {
            let items: Vec<Value> = objects.iter().map(|object| partial(object)).collect();
            let list = json!({
                "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
                "items": items,
            });
            list.to_string()
        }
        Form::Table | Form::FullTable => table::table(kind, objects, &metadata, (form, now)).to_string(),
    }
}

/// The text of an object in a list: of core kinds, the list alone says what they are.
fn item(kind: &Kind, object: &Value) -> String {
    let whole = whole(kind, object);
    match &*whole {
        Value::Object(fields) if kind.defined.is_none() => {
            let fields = fields.iter().filter(|(name, _)| !matches!(name.as_str(), "kind" | "apiVersion"));
            let fields = fields.map(|(name, value)| format!("{}:{value}", json!(name)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}

/// What a watch sends so that its client knows how far it is; at the end of the objects that were there it
/// says so.
pub(super) fn bookmark(kind: &Kind, version: u64, form: Form, is_initial_end: bool) -> Value {
    let mut metadata = Map::new();
    metadata.insert("resourceVersion".to_owned(), json!(version.to_string()));
    if is_initial_end {
        metadata.insert("annotations".to_owned(), json!({"k8s.io/initial-events-end": "true"}));
    }
    if matches!(form, Form::Table | Form::FullTable) {
        return json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "rows": []});
    }
    let (word, group_version) = match form {
        Form::Metadata => ("PartialObjectMetadata", "meta.k8s.io/v1".to_owned()),
        _ => (kind.kind.as_str(), kind.api_version()),
    };
    json!({"kind": word, "apiVersion": group_version, "metadata": metadata})
}
