//! Sets of fields, as `metadata.managedFields` has them, and the places that they name.
//!
//! A set is a tree of path elements as `FieldsV1` writes them: `f:NAME` for a field, `k:{KEYS}` for an item
//! of a list with keys, `v:VALUE` for one of a set. A field that nothing lies below is owned as a whole.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::shape::{ListKind, Shape, identity};

/// A set of fields in the form of `FieldsV1`. A place that is in the set beside what lies below it has the
/// mark `.`; one that nothing lies below is in the set as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Fields(Map<String, Value>);

/// The mark of a place that is in the set itself.
const ITSELF: &str = ".";

/// A path to a field, of the elements of `FieldsV1`.
pub(super) type Way = Vec<String>;

/// Metadata that is the API server's own, or names the object: it has no owner.
pub(super) const UNOWNED: &[&str] = &[
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generateName",
    "generation",
    "managedFields",
    "name",
    "namespace",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Through which path an object is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// Of a kind without a status subresource: everything.
    Only,
    /// All but the status.
    Main,
    Status,
}

impl Door {
    /// Whether a field at the top of an object is written here and has an owner.
    pub fn has(self, field: &str) -> bool {
        match field {
            "apiVersion" | "kind" => false,
            "status" => self != Self::Main,
            _ => self != Self::Status,
        }
    }
}

impl Fields {
    /// All fields of an object that are written at this door: its status, or all but that.
    pub fn of(object: &Value, shape: Shape<'_>, door: Door) -> Self {
        let mut all = Map::new();
        for (name, value) in object.as_object().into_iter().flatten().filter(|(name, _)| door.has(name)) {
            let shape = shape.field(name);
            if name != "metadata" {
                all.insert(format!("f:{name}"), Value::Object(of_value(value, shape)));
                continue;
            }
            let owned = value.as_object().into_iter().flatten();
            let owned = owned.filter(|(name, _)| !UNOWNED.contains(&name.as_str()));
            let owned: Map<String, Value> = owned
                .map(|(name, value)| (format!("f:{name}"), Value::Object(of_value(value, shape.field(name)))))
                .collect();
            if !owned.is_empty() {
                all.insert("f:metadata".to_owned(), Value::Object(owned));
            }
        }
        Self(all)
    }

    /// From the form of `fieldsV1`.
    pub fn read(value: &Value) -> Self {
        let mut fields = value.as_object().cloned().unwrap_or_default();
        fields.remove(ITSELF);
        Self(fields)
    }

    /// In the form of `fieldsV1`.
    pub fn write(self) -> Value {
        Value::Object(self.0)
    }

    /// The places that are in the set.
    pub fn ways(&self) -> Vec<Way> {
        let mut found = Vec::new();
        for (name, below) in &self.0 {
            collect(below, &mut vec![name.clone()], &mut found);
        }
        found
    }

    fn place(&self, way: &[String]) -> Option<&Map<String, Value>> {
        way.iter().try_fold(&self.0, |fields, element| fields.get(element).and_then(Value::as_object))
    }

    /// Whether a place is in the set.
    pub fn has(&self, way: &[String]) -> bool {
        self.place(way).is_some_and(|place| place.is_empty() || place.contains_key(ITSELF))
    }

    /// Whether a place, or any below it, is in the set.
    pub fn reaches(&self, way: &[String]) -> bool {
        self.place(way).is_some()
    }

    pub fn add(&mut self, way: &[String]) {
        add(&mut self.0, way);
    }

    pub fn remove(&mut self, way: &[String]) {
        if let Some((first, rest)) = way.split_first()
            && let Some(Value::Object(below)) = self.0.get_mut(first)
            && remove(below, rest)
        {
            self.0.remove(first);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The places of a value, below the place where it is.
fn of_value(value: &Value, shape: Shape<'_>) -> Map<String, Value> {
    let mut below = Map::new();
    match value {
        Value::Object(fields) if !shape.is_atomic_map() => {
            for (name, value) in fields {
                below.insert(format!("f:{name}"), Value::Object(of_value(value, shape.field(name))));
            }
        }
        Value::Array(items) => match shape.list() {
            ListKind::Atomic => {}
            ListKind::Set => below.extend(items.iter().map(|item| (format!("v:{item}"), json!({})))),
            ListKind::Keyed(keys) => {
                for item in items {
                    if let Some(keys) = identity(item, &keys) {
                        let mut fields = of_value(item, shape.item());
                        if !fields.is_empty() {
                            fields.insert(ITSELF.to_owned(), json!({}));
                        }
                        below.insert(element(keys), Value::Object(fields));
                    }
                }
            }
        },
        _ => {}
    }
    below
}

/// The places of a value, from the place where it is.
fn ways_of(value: &Value, shape: Shape<'_>) -> Vec<Way> {
    let mut found = Vec::new();
    collect(&Value::Object(of_value(value, shape)), &mut Vec::new(), &mut found);
    found
}

fn collect(place: &Value, way: &mut Way, found: &mut Vec<Way>) {
    let Some(place) = place.as_object() else { return };
    if place.is_empty() || place.contains_key(ITSELF) {
        found.push(way.clone());
    }
    for (name, below) in place.iter().filter(|(name, _)| *name != ITSELF) {
        way.push(name.clone());
        collect(below, way, found);
        way.pop();
    }
}

fn add(fields: &mut Map<String, Value>, way: &[String]) {
    let Some((first, rest)) = way.split_first() else { return };
    let is_new = !fields.contains_key(first);
    let Value::Object(below) = fields.entry(first.clone()).or_insert_with(|| json!({})) else { return };
    let is_whole = !is_new && below.is_empty();
    match rest {
        // One that was in the set as a whole is so still.
        [] if !below.is_empty() => drop(below.insert(ITSELF.to_owned(), json!({}))),
        [] => {}
        rest => {
            if is_whole {
                below.insert(ITSELF.to_owned(), json!({}));
            }
            add(below, rest);
        }
    }
}

/// Takes a place out of a set; true when nothing is left here.
fn remove(here: &mut Map<String, Value>, way: &[String]) -> bool {
    let Some((first, rest)) = way.split_first() else {
        here.remove(ITSELF);
        return here.is_empty();
    };
    // As a whole it has nothing below that could go.
    if here.is_empty() {
        return false;
    }
    if let Some(Value::Object(below)) = here.get_mut(first)
        && remove(below, rest)
    {
        here.remove(first);
    }
    if here.len() == 1 && here.contains_key(ITSELF) {
        here.clear();
        return false;
    }
    here.is_empty()
}

/// The element of an item with these keys.
fn element(keys: Map<String, Value>) -> String {
    format!("k:{}", Value::Object(keys))
}

/// What a write has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// Places that are there no longer.
    pub gone: Vec<Way>,
    /// Places that are new, or have something else.
    pub changed: Vec<Way>,
}

impl Changes {
    /// Between two objects, at one door.
    pub fn between(old: &Value, new: &Value, shape: Shape<'_>, door: Door) -> Self {
        let mut changes = Self::default();
        for name in names(old, new).filter(|name| door.has(name)) {
            let (old, new, shape) = (old.get(name), new.get(name), shape.field(name));
            let mut way = vec![format!("f:{name}")];
            if name != "metadata" {
                changes.compare(old, new, shape, &mut way);
                continue;
            }
            let (old, new) = (old.unwrap_or(&Value::Null), new.unwrap_or(&Value::Null));
            for name in names(old, new).filter(|name| !UNOWNED.contains(name)) {
                way.push(format!("f:{name}"));
                changes.compare(old.get(name), new.get(name), shape.field(name), &mut way);
                way.pop();
            }
        }
        changes
    }

    pub fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.changed.is_empty()
    }

    /// Looks at one place. What is the same in both is not looked into.
    fn compare(&mut self, old: Option<&Value>, new: Option<&Value>, shape: Shape<'_>, way: &mut Way) {
        if old == new {
            return;
        }
        match (old, new) {
            (Some(old @ Value::Object(before)), Some(new @ Value::Object(after)))
                if !shape.is_atomic_map() =>
            {
                self.place(before.is_empty(), after.is_empty(), way);
                self.compare_fields(old, new, shape, way);
            }
            (Some(Value::Array(before)), Some(Value::Array(after))) if shape.list() != ListKind::Atomic => {
                let list = shape.list();
                let (before, after) = (elements(before, &list), elements(after, &list));
                self.place(before.is_empty(), after.is_empty(), way);
                let new = after.keys().filter(|name| !before.contains_key(*name));
                for name in before.keys().chain(new) {
                    way.push(name.clone());
                    match (before.get(name), after.get(name)) {
                        // Of an item, its coming is the change; its fields are places of their own.
                        (Some(old), Some(new)) => self.compare_fields(old, new, shape.item(), way),
                        (old, new) => self.item(old.copied(), new.copied(), &list, (shape, &*way)),
                    }
                    way.pop();
                }
            }
            (old, new) => {
                let of = |value: Option<&Value>| value.map(|value| ways_of(value, shape)).unwrap_or_default();
                let (before, after) = (of(old), of(new));
                let full = |rest: &Way| -> Way { way.iter().chain(rest).cloned().collect() };
                self.gone.extend(before.iter().filter(|rest| !after.contains(rest)).map(full));
                // What is in both is the place itself, whose value differs.
                self.changed.extend(after.iter().map(full));
            }
        }
    }

    /// A map or list that nothing lies below is a place by itself. Two of them differ here.
    fn place(&mut self, was_empty: bool, is_empty: bool, way: &[String]) {
        match (was_empty, is_empty) {
            (true, false) => self.gone.push(way.to_vec()),
            (_, true) => self.changed.push(way.to_vec()),
            (false, false) => {}
        }
    }

    fn compare_fields(&mut self, old: &Value, new: &Value, shape: Shape<'_>, way: &mut Way) {
        for name in names(old, new) {
            way.push(format!("f:{name}"));
            self.compare(old.get(name), new.get(name), shape.field(name), way);
            way.pop();
        }
    }

    /// An item that has come or gone.
    fn item(
        &mut self,
        old: Option<&Value>,
        new: Option<&Value>,
        list: &ListKind<'_>,
        (shape, way): (Shape<'_>, &[String]),
    ) {
        let of = |value: &Value| -> Vec<Way> {
            let mut all = vec![way.to_vec()];
            if matches!(list, ListKind::Keyed(_)) {
                let below = ways_of(value, shape.item()).into_iter().filter(|rest| !rest.is_empty());
                all.extend(below.map(|rest| way.iter().cloned().chain(rest).collect()));
            }
            all
        };
        self.gone.extend(old.into_iter().flat_map(of));
        self.changed.extend(new.into_iter().flat_map(of));
    }
}

/// The names of the fields of two objects, each once.
fn names<'a>(old: &'a Value, new: &'a Value) -> impl Iterator<Item = &'a str> {
    let of = |value: &'a Value| value.as_object().into_iter().flat_map(Map::keys).map(String::as_str);
    of(old).chain(of(new).filter(|name| old.get(*name).is_none()))
}

/// The items of a list by their elements.
fn elements<'a>(items: &'a [Value], list: &ListKind<'_>) -> BTreeMap<String, &'a Value> {
    let named = items.iter().filter_map(|item| match list {
        ListKind::Keyed(keys) => Some((element(identity(item, keys)?), item)),
        ListKind::Set => Some((format!("v:{item}"), item)),
        ListKind::Atomic => None,
    });
    named.collect()
}
