//! What an object must be like before it is kept: of its kind and place, and as the rules of its kind want
//! it.

use serde_json::{Value, json};

use super::kinds::{self, Kind};
use super::state::State;
use super::status::{Cause, Refusal};
use super::store::Key;
use super::write::{Validation, Write, metadata, text};
use super::{built_in, event};
use crate::api::object_name::is_object_name;
use crate::manifest::admission;

/// Takes an object in: it must be of its kind and place, and loses what the kind does not know.
///
/// `old` is what is there, in whose place it comes, if anything is: parts that are in both are not looked at
/// again.
pub(super) fn admitted(
    write: &Write,
    object: Value,
    old: Option<&Value>,
) -> Result<(Value, Vec<String>), Refusal> {
    let kind = write.kind;
    let mut object = object;
    let Some(fields) = object.as_object_mut() else {
        return Err(Refusal::bad_request("the body of the request is no object"));
    };
    for (field, wanted) in [("apiVersion", kind.api_version()), ("kind", kind.kind.clone())] {
        let given = fields.entry(field).or_insert_with(|| json!(wanted));
        if *given != json!(wanted) {
            return Err(Refusal::bad_request(format!(
                "the {field} of the object, {given}, is not that of the request, {wanted:?}"
            )));
        }
    }
    let namespace = text(&object, "namespace");
    if !namespace.is_empty() && namespace != write.key.namespace {
        return Err(Refusal::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    if kind.is_new_event() {
        object = event::to_old(object);
    }
    let (object, unknown) = match kind.defined {
        Some(defined) => {
            let unknown = admission::prune(defined, &mut object, old);
            (object, unknown)
        }
        None => built_in::typed(kinds::stored_at(kind.stored).unwrap_or(kind), object, old)?,
    };
    let mut object = object;
    without_empty(&mut object);
    let said: Vec<String> = unknown.iter().map(|path| format!("unknown field {path:?}")).collect();
    match write.validation {
        Validation::Strict if !said.is_empty() => {
            Err(Refusal::bad_request(format!("strict decoding error: {}", said.join(", "))))
        }
        Validation::Warn => Ok((object, said)),
        Validation::Strict | Validation::Ignore => Ok((object, Vec::new())),
    }
}

/// Of the metadata, what is empty counts as not given.
fn without_empty(object: &mut Value) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    metadata.retain(|_, value| match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::String(text) => !text.is_empty(),
        Value::Null => false,
        _ => true,
    });
}

/// Whether an object may come into that namespace.
pub(super) fn check_namespace(state: &State, write: &Write) -> Result<(), Refusal> {
    if !write.kind.namespaced {
        return Ok(());
    }
    let namespaces = kinds::find("", "v1", "namespaces").ok_or_else(Refusal::no_such_path)?;
    let namespace = state.store.get(namespaces.stored, &Key::new("", &write.key.namespace));
    let Some(namespace) = namespace else {
        return Err(Refusal::not_found(namespaces, &write.key.namespace));
    };
    if metadata(namespace, "deletionTimestamp").is_some() {
        let why = format!(
            "unable to create new content in namespace {} because it is being terminated",
            write.key.namespace
        );
        return Err(Refusal::forbidden(write.kind, &write.key.name, &why));
    }
    Ok(())
}

/// Holds an object against the rules of its kind.
pub(super) fn check(kind: &Kind, object: &Value, old: Option<&Value>) -> Result<(), Refusal> {
    let name = text(object, "name");
    let mut causes = Vec::new();
    if name.is_empty() {
        causes.push(Cause::required("metadata.name", "name or generateName is required"));
    } else if !is_object_name(name) {
        let message = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
        causes.push(Cause::invalid("metadata.name", &json!(name), message));
    }
    match kind.defined {
        Some(defined) => {
            causes.extend(admission::violations(defined, object, old).into_iter().map(cause));
        }
        None => causes.extend(built_in::violations(kind, object, old)),
    }
    if causes.is_empty() { Ok(()) } else { Err(Refusal::invalid(kind, name, &causes)) }
}

/// A violation in the words of the API server.
fn cause(violation: admission::Violation) -> Cause {
    let admission::Violation { field, value, message, by_rule } = violation;
    let value = value.unwrap_or_default();
    let word = match &value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if by_rule {
        let shown = if value.is_string() || value.is_number() { value } else { json!(word) };
        return Cause::invalid(field, &shown, &message);
    }
    let (reason, message) = if message.starts_with("Required value") {
        ("FieldValueRequired", message)
    } else if message.starts_with("Unsupported value") {
        ("FieldValueNotSupported", message)
    } else if message.starts_with("Duplicate value") {
        ("FieldValueDuplicate", message)
    } else if let Some((limit, _)) =
        message.split_once("; it has").filter(|(limit, _)| limit.contains("at most"))
    {
        let count = value.as_array().map(Vec::len).or_else(|| value.as_object().map(serde_json::Map::len));
        ("FieldValueTooMany", format!("Too many: {}: {limit}", count.unwrap_or_default()))
    } else if message.starts_with("may not be more than") {
        ("FieldValueTooLong", format!("Too long: {message}"))
    } else if let Some((wanted, _)) = message.split_once(';').filter(|_| message.contains("type date-time")) {
        ("FieldValueInvalid", format!("Invalid value: {value}: {field} in body {wanted}"))
    } else if let Some((wanted, _)) =
        message.split_once(';').filter(|_| message.starts_with("must be of type"))
    {
        ("FieldValueInvalid", format!("Invalid value: {word:?}: {field} in body {wanted}: {word:?}"))
    } else {
        ("FieldValueInvalid", format!("Invalid value: {value}: {field} in body {message}"))
    };
    Cause::new(reason, field, message)
}
