//! Patches: JSON patch (RFC 6902), merge patch (RFC 7396) and, for core kinds, strategic merge patch.
//!
//! Server-side apply is in [`super::apply`].

use json_patch::PatchOperation;
use serde_json::{Map, Value};

use super::kinds::Kind;
use super::shape::{ListKind, Shape};
use super::status::Refusal;

/// The forms of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patch {
    Json,
    Merge,
    Strategic,
    Apply,
}

impl Patch {
    /// The form of the body of a request.
    pub fn of(content_type: &str, kind: &Kind) -> Result<Self, Refusal> {
        match content_type {
            "application/json-patch+json" => Ok(Self::Json),
            "application/merge-patch+json" => Ok(Self::Merge),
            "application/apply-patch+yaml" => Ok(Self::Apply),
            "application/strategic-merge-patch+json" if kind.defined.is_none() => Ok(Self::Strategic),
            _ => {
                let ours =
                    "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
                let strategic =
                    if kind.defined.is_none() { ", application/strategic-merge-patch+json" } else { "" };
                Err(Refusal::unsupported_media(&format!("{ours}{strategic}")))
            }
        }
    }
}

/// Carries out a patch that is no apply.
pub(super) fn patched(form: Patch, kind: &Kind, object: &Value, patch: Value) -> Result<Value, Refusal> {
    let mut patched = object.clone();
    match form {
        Patch::Json => {
            let operations: json_patch::Patch = serde_json::from_value(patch)
                .map_err(|error| Refusal::bad_request(format!("error decoding patch: {error}")))?;
            carry_out(&mut patched, &operations)?;
        }
        Patch::Merge if patch.is_object() => json_patch::merge(&mut patched, &patch),
        Patch::Strategic if patch.is_object() => strategic(&mut patched, patch, Shape::of(kind))?,
        Patch::Merge | Patch::Strategic => {
            return Err(Refusal::bad_request("error decoding patch: it must be an object"));
        }
        Patch::Apply => return Err(Refusal::bad_request("an apply is not merged as a patch")),
    }
    Ok(patched)
}

/// How many operations a JSON patch may have, as with Kubernetes.
const OPERATIONS_MAX: usize = 10_000;
/// How many bytes the copies and the moves of a JSON patch may carry: as many as a body may have.
const CARRIED_MAX: usize = 3 * 1024 * 1024;
/// How deep an object may be: as deep as one that is read from JSON.
const DEPTH_MAX: usize = 128;

/// Carries out a JSON patch. One of few bytes could make an object of any size and depth: each copy of what
/// the one before has made doubles it.
fn carry_out(target: &mut Value, operations: &[PatchOperation]) -> Result<(), Refusal> {
    if operations.len() > OPERATIONS_MAX {
        let count = operations.len();
        return Err(Refusal::too_large(format!(
            "The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {count}"
        )));
    }
    let mut carried = 0;
    for (at, operation) in operations.iter().enumerate() {
        let (new, from) = match operation {
            PatchOperation::Add(add) => (Some(&add.value), None),
            PatchOperation::Replace(replace) => (Some(&replace.value), None),
            PatchOperation::Copy(copy) => (None, Some(&copy.from)),
            PatchOperation::Move(moved) => (None, Some(&moved.from)),
            PatchOperation::Remove(_) | PatchOperation::Test(_) => (None, None),
        };
        let source = from.and_then(|from| target.pointer(from.as_str()));
        if let Some(value) = new.or(source) {
            let (depth, bytes) = measure(value);
            if source.is_some() {
                carried += bytes;
            }
            if carried > CARRIED_MAX {
                let message = format!("a JSON patch may copy and move at most {CARRIED_MAX} bytes");
                return Err(Refusal::too_large(message));
            }
            if operation.path().as_str().matches('/').count() + depth > DEPTH_MAX {
                let message = format!("a JSON patch may make an object at most {DEPTH_MAX} levels deep");
                return Err(Refusal::too_large(message));
            }
        }
        // The target is a copy: nothing has to be undone.
        json_patch::patch_unsafe(target, std::slice::from_ref(operation)).map_err(|mut error| {
            error.operation = at;
            Refusal {
                code: 422,
                reason: "Invalid",
                message: format!("the server rejected our request due to an error in our request: {error}"),
                details: Value::Null,
            }
        })?;
    }
    Ok(())
}

/// How deep a value is, and about how many bytes it is written in.
fn measure(value: &Value) -> (usize, usize) {
    let (mut deepest, mut bytes) = (0, 0);
    let mut left = vec![(value, 1)];
    while let Some((value, depth)) = left.pop() {
        deepest = deepest.max(depth);
        bytes += 2;
        match value {
            Value::String(text) => bytes += text.len(),
            Value::Array(items) => left.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(fields) => {
                bytes += fields.keys().map(|name| name.len() + 3).sum::<usize>();
                left.extend(fields.values().map(|field| (field, depth + 1)));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => bytes += 2,
        }
    }
    (deepest, bytes)
}

/// The directive that an object or an item of a list may carry.
const DIRECTIVE: &str = "$patch";

fn strategic(target: &mut Value, patch: Value, shape: Shape<'_>) -> Result<(), Refusal> {
    let Value::Object(mut patch) = patch else {
        *target = patch;
        return Ok(());
    };
    match patch.remove(DIRECTIVE).as_ref().and_then(Value::as_str) {
        None | Some("merge") => {}
        Some("replace") => {
            *target = Value::Object(patch);
            return Ok(());
        }
        Some("delete") => {
            *target = Value::Object(Map::new());
            return Ok(());
        }
        Some(other) => return Err(Refusal::bad_request(format!("Unknown patch type found: {other}"))),
    }
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(fields) = target else { return Ok(()) };
    retain_keys(fields, patch.remove("$retainKeys"));
    for (name, value) in patch {
        if let Some(list) = name.strip_prefix("$deleteFromPrimitiveList/") {
            if let (Some(Value::Array(items)), Value::Array(removed)) = (fields.get_mut(list), value) {
                items.retain(|item| !removed.contains(item));
            }
        } else if name.starts_with("$setElementOrder/") {
            // The order of a list that is merged by key means nothing to the core kinds here.
        } else if name.starts_with('$') {
            return Err(Refusal::bad_request(format!("the directive {name} is not supported")));
        } else if value.is_null() {
            fields.remove(&name);
        } else {
            let shape = shape.field(&name);
            let field = fields.entry(name.clone()).or_insert(Value::Null);
            match value {
                Value::Array(items) => strategic_list(field, items, shape)?,
                other => strategic(field, other, shape)?,
            }
        }
    }
    Ok(())
}

/// Takes out what is not to stay, as for a union of which another member is now meant.
fn retain_keys(fields: &mut Map<String, Value>, keys: Option<Value>) {
    if let Some(Value::Array(keys)) = keys {
        fields.retain(|name, _| keys.iter().any(|key| key == name));
    }
}

fn strategic_list(target: &mut Value, items: Vec<Value>, shape: Shape<'_>) -> Result<(), Refusal> {
    let key = match shape.list() {
        ListKind::Keyed(keys) => keys.first().copied().unwrap_or("name").to_owned(),
        ListKind::Set => {
            let mut all = target.as_array().cloned().unwrap_or_default();
            all.extend(items);
            let mut once: Vec<Value> = Vec::new();
            for item in all {
                if !once.contains(&item) {
                    once.push(item);
                }
            }
            *target = Value::Array(once);
            return Ok(());
        }
        ListKind::Atomic => {
            *target = Value::Array(items);
            return Ok(());
        }
    };
    let directive = |item: &Value| item.get(DIRECTIVE).and_then(Value::as_str).map(str::to_owned);
    let replaces = items.iter().any(|item| directive(item).as_deref() == Some("replace"));
    let mut all = if replaces { Vec::new() } else { target.as_array().cloned().unwrap_or_default() };
    for item in items {
        let same = |there: &Value| there.get(&key) == item.get(&key);
        match directive(&item).as_deref() {
            Some("replace") => {}
            Some("delete") => all.retain(|there| !same(there)),
            _ if item.get(&key).is_none() => {
                let message = format!("map: {item} does not contain declared merge key: {key}");
                return Err(Refusal::bad_request(message));
            }
            _ => {
                if let Some(there) = all.iter_mut().find(|there| same(there)) {
                    strategic(there, item, shape.item())?;
                } else {
                    let mut new = Value::Null;
                    strategic(&mut new, item, shape.item())?;
                    all.push(new);
                }
            }
        }
    }
    *target = Value::Array(all);
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster_api::kinds;

    fn pods() -> &'static Kind {
        kinds::find("", "v1", "pods").unwrap()
    }

    #[test]
    fn forms_are_known_by_their_media_types() {
        let flows = kinds::find("daskflow.dev", "v1alpha1", "flows").unwrap();
        assert_eq!(Patch::of("application/strategic-merge-patch+json", pods()).unwrap(), Patch::Strategic);
        assert_eq!(Patch::of("application/strategic-merge-patch+json", flows).unwrap_err().code, 415);
        assert_eq!(Patch::of("application/json", flows).unwrap_err().code, 415);
    }

    #[test]
    fn json_patches_and_merge_patches_are_those_of_the_rfcs() {
        let object = json!({"spec": {"a": 1, "b": 2}});
        let patch =
            json!([{"op": "add", "path": "/spec/c", "value": 3}, {"op": "remove", "path": "/spec/a"}]);
        assert_eq!(patched(Patch::Json, pods(), &object, patch).unwrap(), json!({"spec": {"b": 2, "c": 3}}));
        let failing = json!([{"op": "test", "path": "/spec/a", "value": 2}]);
        assert_eq!(patched(Patch::Json, pods(), &object, failing).unwrap_err().code, 422);
        let merged = patched(Patch::Merge, pods(), &object, json!({"spec": {"a": null, "c": [1]}}));
        assert_eq!(merged.unwrap(), json!({"spec": {"b": 2, "c": [1]}}));
        assert_eq!(patched(Patch::Merge, pods(), &object, json!([])).unwrap_err().code, 400);
    }

    #[test]
    fn a_json_patch_is_limited() {
        let object = json!({"spec": {"a": {"x": "0123456789"}}});
        let doubling: Vec<Value> = (0..40)
            .map(|at| json!({"op": "copy", "from": "/spec", "path": format!("/spec/a/{at}")}))
            .collect();
        let nesting: Vec<Value> = (0..200)
            .map(|_| json!({"op": "copy", "from": "/spec/a/x", "path": "/spec/b"}))
            .chain((0..200).flat_map(|_| {
                [
                    json!({"op": "move", "from": "/spec/b", "path": "/c"}),
                    json!({"op": "add", "path": "/spec/b", "value": {}}),
                    json!({"op": "move", "from": "/c", "path": "/spec/b/c"}),
                ]
            }))
            .collect();
        let many = vec![json!({"op": "test", "path": "/spec/a/x", "value": "0123456789"}); 10_001];
        for (patch, message) in [(doubling, "bytes"), (nesting, "deep"), (many, "operations")] {
            let refused = patched(Patch::Json, pods(), &object, json!(patch)).unwrap_err();
            assert_eq!(refused.code, 413);
            assert!(refused.message.contains(message), "{}", refused.message);
        }
        let failing = json!([
            {"op": "add", "path": "/spec/b", "value": 1}, {"op": "remove", "path": "/spec/none"}
        ]);
        let refused = patched(Patch::Json, pods(), &object, failing).unwrap_err();
        assert!(refused.message.contains("operation '/1' failed"), "{}", refused.message);
    }

    #[test]
    fn lists_of_core_kinds_are_merged_by_their_keys() {
        let object = json!({
            "metadata": {"finalizers": ["a"]},
            "spec": {
                "containers": [{"name": "main", "image": "a", "env": [{"name": "X", "value": "1"}]}],
                "tolerations": [{"key": "a"}],
            }
        });
        let patch = json!({
            "metadata": {"finalizers": ["b"], "$deleteFromPrimitiveList/finalizers": ["a"]},
            "spec": {
                "$setElementOrder/containers": [{"name": "main"}],
                "containers": [
                    {"name": "main", "env": [{"name": "X", "$patch": "delete"}, {"name": "Y", "value": "2"}]},
                    {"name": "side", "image": "b"},
                ],
                "tolerations": [{"key": "b"}],
            }
        });
        let merged = patched(Patch::Strategic, pods(), &object, patch).unwrap();
        assert_eq!(
            merged["spec"],
            json!({
                "containers": [
                    {"name": "main", "image": "a", "env": [{"name": "Y", "value": "2"}]},
                    {"name": "side", "image": "b"},
                ],
                "tolerations": [{"key": "b"}],
            })
        );
        assert_eq!(merged["metadata"]["finalizers"], json!(["b"]));
    }

    #[test]
    fn an_object_can_be_replaced_and_an_unknown_directive_is_refused() {
        let object = json!({"spec": {"volumes": [{"name": "a", "emptyDir": {}}], "affinity": {"x": 1}}});
        let patch = json!({"spec": {
            "affinity": {"$patch": "replace", "y": 2},
            "volumes": [{"name": "a", "$retainKeys": ["name", "secret"], "secret": {"secretName": "s"}}],
        }});
        let merged = patched(Patch::Strategic, pods(), &object, patch).unwrap();
        assert_eq!(
            merged["spec"],
            json!({"volumes": [{"name": "a", "secret": {"secretName": "s"}}], "affinity": {"y": 2}})
        );
        for bad in
            [json!({"$patch": "odd"}), json!({"$odd": 1}), json!({"spec": {"volumes": [{"emptyDir": {}}]}})]
        {
            assert_eq!(patched(Patch::Strategic, pods(), &object, bad).unwrap_err().code, 400);
        }
    }
}
