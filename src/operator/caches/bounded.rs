//! Objects as the API server sends them, read one by one: one that cannot be decoded must not fail the list
//! or the watch that it comes in.
//!
//! The API server takes objects of 10,000 levels; the parser of JSON gives up a whole answer at 128. So what
//! lies deeper than [`LEVELS_MAX`] is skipped as it passes, which takes neither stack nor memory, and the
//! object counts as one that does not decode. What lies below the first level of managed fields, which is as
//! much text as the object itself and which nobody here asks for, is skipped as well.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::DeserializeGuard;
use kube::core::error_boundary::InvalidObject;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Event;
use serde::Deserialize;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::{Map, Value};

/// The most levels of lists and maps that an object may have. A run holds its Flow's cluster some levels
/// deeper, and a list its objects, and managed fields are three levels deeper than what they manage; all of
/// this must stay below the 128 levels that the parser takes.
pub(in crate::operator) const LEVELS_MAX: usize = 100;

/// An object, or why it is none.
#[derive(Clone, Debug)]
pub(in crate::operator) struct Bounded<K>(DeserializeGuard<K>);

impl<K> Bounded<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    /// The object; one that does not decode as this cache knows it, if it is the same.
    pub(super) fn known(self, store: &Store<K>) -> Option<Arc<K>> {
        match self.0.0 {
            Ok(object) => Some(Arc::new(object)),
            Err(invalid) => {
                let named = ObjectRef::new(invalid.metadata.name.as_deref()?);
                let known = store.get(&named.within(invalid.metadata.namespace.as_deref()?))?;
                (known.meta().uid == invalid.metadata.uid).then_some(known)
            }
        }
    }
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Bounded<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut too_deep = false;
        let value = Level::root(&mut too_deep).deserialize(deserializer)?;
        // Only of an object that does not decode, which is rare, the metadata is wanted twice.
        let metadata = metadata(&value);
        let decoded = if too_deep {
            Err(format!("it has more than {LEVELS_MAX} levels of lists and maps within each other"))
        } else {
            serde_json::from_value(value).map_err(|error| error.to_string())
        };
        Ok(Self(DeserializeGuard(decoded.map_err(|error| InvalidObject { error, metadata }))))
    }
}

/// An object of any kind, without what lies too deep in it.
pub(in crate::operator) struct Shallow(pub(in crate::operator) Value);

impl<'de> Deserialize<'de> for Shallow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Level::root(&mut false).deserialize(deserializer).map(Self)
    }
}

/// What can be read of the metadata: whose object it is, without who manages which fields, which is asked
/// for by nothing here.
fn metadata(value: &Value) -> ObjectMeta {
    let mut fields = value.get("metadata").and_then(Value::as_object).cloned().unwrap_or_default();
    fields.remove("managedFields");
    serde_json::from_value(Value::Object(fields)).unwrap_or_default()
}

impl<K: Resource> Resource for Bounded<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(dt)
    }

    fn group(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::group(dt)
    }

    fn version(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::version(dt)
    }

    fn api_version(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::api_version(dt)
    }

    fn plural(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(dt)
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.meta()
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.meta_mut()
    }
}

/// The same event, of what is inside.
pub(in crate::operator) fn guarded<K>(event: Event<Bounded<K>>) -> Event<DeserializeGuard<K>> {
    match event {
        Event::Apply(object) => Event::Apply(object.0),
        Event::Delete(object) => Event::Delete(object.0),
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(object.0),
        Event::InitDone => Event::InitDone,
    }
}

/// Where in an object a value is, as far as that matters.
#[derive(Clone, Copy)]
enum Place {
    Root,
    Metadata,
    ManagedFields,
    FieldsV1,
    BelowFieldsV1,
    Elsewhere,
}

impl Place {
    /// The place of what has this key here.
    fn of(self, key: &str) -> Self {
        match (self, key) {
            (Self::Root, "metadata") => Self::Metadata,
            (Self::Metadata, "managedFields") => Self::ManagedFields,
            // An item of a list is where the list is.
            (Self::ManagedFields, "fieldsV1") => Self::FieldsV1,
            (Self::FieldsV1, _) => Self::BelowFieldsV1,
            _ => Self::Elsewhere,
        }
    }
}

/// Reads a value that is so deep within an object.
struct Level<'a> {
    depth: usize,
    place: Place,
    too_deep: &'a mut bool,
}

impl<'a> Level<'a> {
    fn root(too_deep: &'a mut bool) -> Self {
        Self { depth: 0, place: Place::Root, too_deep }
    }

    fn below(&mut self, place: Place) -> Level<'_> {
        Level { depth: self.depth.saturating_add(1), place, too_deep: self.too_deep }
    }
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if let Place::BelowFieldsV1 = self.place {
            return IgnoredAny::deserialize(deserializer).map(|_| Value::Object(Map::new()));
        }
        if self.depth > LEVELS_MAX {
            *self.too_deep = true;
            // Skipping does not recurse.
            return IgnoredAny::deserialize(deserializer).map(|_| Value::Null);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self.below(self.place))? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let place = self.place.of(&key);
            let value = map.next_value_seed(self.below(place))?;
            fields.insert(key, value);
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use kube::core::{ObjectList, WatchEvent};
    use serde_json::json;

    use super::*;
    use crate::api::FlowRun;

    /// A FlowRun as text, whose parameters are nested so deep.
    fn run(name: &str, levels: usize) -> String {
        let (open, close) = (r#"{"a":"#.repeat(levels), "}".repeat(levels));
        format!(
            r#"{{"apiVersion":"daskflow.dev/v1alpha1","kind":"FlowRun","metadata":{{"name":"{name}","namespace":"team","uid":"u",
            "managedFields":[{{"manager":"kubectl","operation":"Apply","fieldsType":"FieldsV1","fieldsV1":{open}{{}}{close}}}]}},
            "spec":{{"flow":"etl","parameters":{{"x":{open}1{close}}}}}}}"#
        )
    }

    fn list(levels: &[usize]) -> String {
        let items: Vec<_> = levels.iter().map(|levels| run(&format!("run-{levels}"), *levels)).collect();
        format!(
            r#"{{"kind":"FlowRunList","apiVersion":"daskflow.dev/v1alpha1","metadata":{{"resourceVersion":"7"}},"items":[{}]}}"#,
            items.join(",")
        )
    }

    #[test]
    fn one_deep_object_does_not_fail_the_list_it_is_in() {
        let sent = list(&[0, 90, 97, 98, 150, 1_000, 10_000, 1]);
        assert!(
            serde_json::from_str::<ObjectList<DeserializeGuard<FlowRun>>>(&sent).is_err(),
            "a guard is not enough"
        );
        let list: ObjectList<Bounded<FlowRun>> = serde_json::from_str(&sent).unwrap();
        assert_eq!(list.metadata.resource_version.as_deref(), Some("7"));
        let read: Vec<_> =
            list.items.iter().map(|item| (item.meta().name.as_deref(), item.0.0.is_ok())).collect();
        let expected = [
            ("run-0", true),
            ("run-90", true),
            ("run-97", true),
            ("run-98", false),
            ("run-150", false),
            ("run-1000", false),
            ("run-10000", false),
            ("run-1", true),
        ];
        assert_eq!(read, expected.map(|(name, is_read)| (Some(name), is_read)));
        let invalid = list.items[5].0.0.as_ref().unwrap_err();
        assert_eq!(invalid.error, "it has more than 100 levels of lists and maps within each other");
        assert_eq!(invalid.metadata.namespace.as_deref(), Some("team"));
        assert_eq!(invalid.metadata.uid.as_deref(), Some("u"));
    }

    #[test]
    fn one_deep_object_does_not_fail_the_watch_it_comes_in() {
        let text = format!(r#"{{"type":"MODIFIED","object":{}}}"#, run("deep", 5_000));
        let event: WatchEvent<Bounded<FlowRun>> = serde_json::from_str(&text).unwrap();
        let WatchEvent::Modified(object) = event else { panic!("another event") };
        assert_eq!(object.meta().name.as_deref(), Some("deep"));
        assert!(object.0.0.is_err());
    }

    #[test]
    fn what_is_read_is_what_was_sent() {
        let sent = run("flat", 3);
        let Bounded::<FlowRun>(DeserializeGuard(read)) = serde_json::from_str(&sent).unwrap();
        let plain: FlowRun = serde_json::from_str(
            &sent.replace(r#""fieldsV1":{"a":{"a":{"a":{}}}}"#, r#""fieldsV1":{"a":{}}"#),
        )
        .unwrap();
        assert_eq!(serde_json::to_value(read.unwrap()).unwrap(), serde_json::to_value(plain).unwrap());
    }

    #[test]
    fn of_managed_fields_the_first_level_is_read_and_parameters_of_that_name_are_whole() {
        let metadata = json!({"name": "etl", "namespace": "team", "managedFields": [{"fieldsV1": {"f:spec": {"f:flow": {}}}}]});
        let parameters = json!({"managedFields": [{"fieldsV1": {"f:spec": {"f:flow": {}}}}]});
        let sent = json!({"apiVersion": "daskflow.dev/v1alpha1", "kind": "FlowRun", "metadata": metadata,
            "spec": {"flow": "etl", "parameters": {"metadata": parameters}}});
        let Bounded::<FlowRun>(DeserializeGuard(read)) = serde_json::from_str(&sent.to_string()).unwrap();
        let read = serde_json::to_value(read.unwrap()).unwrap();
        assert_eq!(read["metadata"]["managedFields"][0]["fieldsV1"], json!({"f:spec": {}}));
        assert_eq!(read["spec"]["parameters"]["metadata"], parameters);
    }
}
