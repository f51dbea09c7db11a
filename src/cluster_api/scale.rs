//! The subresource `scale`: the number of replicas, wherever a kind has it.

use serde_json::{Map, Value, json};

use super::kinds::Kind;
use super::status::{Cause, Refusal};
use super::table::json_path;
use super::value::{part, set};

/// The scale of an object.
pub(super) fn of(kind: &Kind, object: &Value) -> Value {
    let at =
        |path: Option<&str>| path.and_then(|path| json_path(object, path)).filter(|value| !value.is_null());
    let places = kind.scale.as_ref();
    let metadata = object.get("metadata");
    let kept = ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"].into_iter();
    let metadata: Map<String, Value> =
        kept.filter_map(|name| Some((name.to_owned(), metadata?.get(name)?.clone()))).collect();
    let mut status = json!({"replicas": at(places.map(|places| places.status.as_str())).unwrap_or(json!(0))});
    if let Some(selector) = at(places.and_then(|places| places.selector.as_deref())) {
        set(&mut status, "selector", selector);
    }
    let replicas = at(places.map(|places| places.spec.as_str())).unwrap_or(json!(0));
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
        "spec": {"replicas": replicas}, "status": status,
    })
}

/// The object with the replicas of a scale.
pub(super) fn scaled(kind: &Kind, object: &Value, scale: &Value) -> Result<Value, Refusal> {
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let replicas = scale.pointer("/spec/replicas").cloned().unwrap_or(json!(0));
    if replicas.as_i64().is_none_or(|count| count < 0) {
        let cause = Cause::invalid("spec.replicas", &replicas, "should be a non-negative integer");
        return Err(Refusal::invalid(kind, name, &[cause]));
    }
    let mut object = object.clone();
    let path = kind.scale.as_ref().map(|places| places.spec.as_str()).unwrap_or_default();
    let mut place = &mut object;
    for field in path.trim_start_matches('.').split('.') {
        if !place.is_object() {
            *place = json!({});
        }
        place = &mut place[field];
    }
    *place = replicas;
    for field in ["uid", "resourceVersion"] {
        if let Some(value) = scale.get("metadata").and_then(|metadata| metadata.get(field)) {
            set(part(&mut object, "metadata"), field, value.clone());
        }
    }
    Ok(object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster_api::kinds;

    #[test]
    fn a_scale_shows_and_sets_the_replicas_of_the_workers() {
        let kind = kinds::find("daskflow.dev", "v1alpha1", "daskclusters").unwrap();
        let object = json!({
            "metadata": {"name": "dask", "resourceVersion": "5", "labels": {"a": "b"}},
            "spec": {"workers": {"replicas": 2}},
            "status": {"replicas": 1, "selector": "a=b"},
        });
        let mut shown = of(kind, &object);
        assert_eq!(shown["spec"], json!({"replicas": 2}));
        assert_eq!(shown["status"], json!({"replicas": 1, "selector": "a=b"}));
        assert_eq!(shown["metadata"], json!({"name": "dask", "resourceVersion": "5"}));
        shown["spec"]["replicas"] = json!(4);
        let after = scaled(kind, &object, &shown).unwrap();
        assert_eq!(after["spec"]["workers"]["replicas"], 4);
        shown["spec"]["replicas"] = json!(-1);
        assert_eq!(scaled(kind, &object, &shown).unwrap_err().code, 422);
    }
}
