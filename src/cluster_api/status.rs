//! The answers of an API server that refuses: `Status` bodies with the reasons, codes and words of the real
//! one.

use serde_json::{Value, json};

use super::kinds::Kind;
use super::value::set;

/// A request that is not carried out.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub code: u16,
    pub reason: &'static str,
    pub message: String,
    /// The field `details` of the answer; null for none.
    pub details: Value,
}

/// What is wrong with one field of an object.
#[derive(Clone, Debug)]
pub(super) struct Cause {
    /// Such as `FieldValueInvalid`.
    pub reason: &'static str,
    pub field: String,
    /// Without the field's name.
    pub message: String,
}

impl Cause {
    pub fn new(reason: &'static str, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { reason, field: field.into(), message: message.into() }
    }

    /// A value that makes no sense where it stands.
    pub fn invalid(field: impl Into<String>, value: &Value, message: &str) -> Self {
        Self::new("FieldValueInvalid", field, format!("Invalid value: {value}: {message}"))
    }

    /// A value that must be given and is not.
    pub fn required(field: impl Into<String>, message: &str) -> Self {
        let more = if message.is_empty() { String::new() } else { format!(": {message}") };
        Self::new("FieldValueRequired", field, format!("Required value{more}"))
    }
}

impl Refusal {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: Value::Null }
    }

    fn about(code: u16, reason: &'static str, kind: &Kind, name: &str, message: String) -> Self {
        let mut details = json!({"name": name, "kind": kind.plural});
        if !kind.group.is_empty() {
            set(&mut details, "group", json!(kind.group));
        }
        Self { details, ..Self::new(code, reason, message) }
    }

    /// No object of that name.
    pub fn not_found(kind: &Kind, name: &str) -> Self {
        let message = format!("{} {name:?} not found", kind.qualified());
        Self::about(404, "NotFound", kind, name, message)
    }

    /// The path leads nowhere.
    pub fn no_such_path() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource")
    }

    /// There is an object of that name.
    pub fn already_exists(kind: &Kind, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", kind.qualified());
        Self::about(409, "AlreadyExists", kind, name, message)
    }

    /// The object is another one, or another version, than the request supposes.
    pub fn conflict(kind: &Kind, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", kind.qualified());
        Self::about(409, "Conflict", kind, name, message)
    }

    /// As [`Self::conflict`], for another version.
    pub fn stale(kind: &Kind, name: &str) -> Self {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(kind, name, why)
    }

    /// Fields that other managers own, each with its manager's description.
    pub fn apply_conflict(conflicts: &[(String, String)]) -> Self {
        let causes = conflicts.iter().map(|(manager, path)| {
            json!({"reason": "FieldManagerConflict", "message": format!("conflict with {manager}"), "field": path})
        });
        let details = json!({"causes": causes.collect::<Vec<_>>()});
        let message = if let [(manager, path)] = conflicts {
            format!("Apply failed with 1 conflict: conflict with {manager}: {path}")
        } else {
            let mut lines = Vec::new();
            let mut managers: Vec<&String> = conflicts.iter().map(|(manager, _)| manager).collect();
            managers.sort();
            managers.dedup();
            for manager in managers {
                lines.push(format!("conflicts with {manager}:"));
                let theirs = conflicts.iter().filter(|(other, _)| other == manager);
                lines.extend(theirs.map(|(_, path)| format!("- {path}")));
            }
            format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
        };
        Self { details, ..Self::new(409, "Conflict", message) }
    }

    /// An object that breaks the rules of its kind.
    pub fn invalid(kind: &Kind, name: &str, causes: &[Cause]) -> Self {
        // The object as a whole has no path.
        let shown = |field: &str| if field.is_empty() { "<nil>".to_owned() } else { field.to_owned() };
        let said: Vec<String> =
            causes.iter().map(|cause| format!("{}: {}", shown(&cause.field), cause.message)).collect();
        let said = if let [one] = said.as_slice() { one.clone() } else { format!("[{}]", said.join(", ")) };
        let qualified = kind.qualified_kind();
        let message = format!("{qualified} {name:?} is invalid: {said}");
        let list: Vec<Value> = causes
            .iter()
            .map(|cause| json!({"reason": cause.reason, "message": cause.message, "field": cause.field}))
            .collect();
        let mut details = json!({"name": name, "kind": kind.kind, "causes": list});
        if !kind.group.is_empty() {
            set(&mut details, "group", json!(kind.group));
        }
        Self { details, ..Self::new(422, "Invalid", message) }
    }

    /// An account, here a namespace that ends, may not do that.
    pub fn forbidden(kind: &Kind, name: &str, why: &str) -> Self {
        let message = format!("{} {name:?} is forbidden: {why}", kind.qualified());
        Self::about(403, "Forbidden", kind, name, message)
    }

    /// As much as can be done at the same time is being done.
    pub fn too_many(message: impl Into<String>) -> Self {
        Self::new(429, "TooManyRequests", message)
    }

    /// The request makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// The kind does not offer this verb.
    pub fn not_allowed(kind: &Kind, action: &str) -> Self {
        let message = format!("{action} is not supported on resources of kind {:?}", kind.qualified());
        Self::about(405, "MethodNotAllowed", kind, "", message)
    }

    /// Nothing at this path offers this method.
    pub fn no_such_method() -> Self {
        Self::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    }

    /// None of the forms that the client reads is one that is written here.
    pub fn not_acceptable(offered: &str) -> Self {
        let message = format!("only the following media types are accepted: {offered}");
        Self::new(406, "NotAcceptable", message)
    }

    /// The body is of a form that is not read here.
    pub fn unsupported_media(accepted: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {accepted}"
        );
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// The body asks for more than is done for one request.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(413, "RequestEntityTooLarge", message)
    }

    /// A version that is no longer known.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// What a real API server does and this one does not.
    pub fn not_implemented(what: &str) -> Self {
        Self::new(501, "NotImplemented", format!("{what} is not part of the API in this process"))
    }

    /// The same, with what a user does instead.
    pub fn not_done_here(what: &str, instead: &str) -> Self {
        let refusal = Self::not_implemented(what);
        let more = if instead.is_empty() { String::new() } else { format!(": {instead}") };
        Self { message: refusal.message + &more, ..refusal }
    }

    /// The body of the answer.
    pub fn body(&self) -> Value {
        let mut body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if !self.details.is_null() {
            set(&mut body, "details", self.details.clone());
        }
        body
    }
}

/// The body of an answer that has no object to show: what was deleted.
pub(super) fn deleted(kind: &Kind, name: &str, uid: &Value) -> Value {
    let mut details = json!({"name": name, "kind": kind.plural, "uid": uid});
    if !kind.group.is_empty() {
        set(&mut details, "group", json!(kind.group));
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster_api::kinds;

    #[test]
    fn refusals_have_the_words_of_the_real_api_server() {
        let flows = kinds::find("daskflow.dev", "v1alpha1", "flows").unwrap();
        let pods = kinds::find("", "v1", "pods").unwrap();
        let one = Refusal::not_found(flows, "etl").body();
        assert_eq!(one["message"], "flows.daskflow.dev \"etl\" not found");
        assert_eq!(one["details"], json!({"name": "etl", "group": "daskflow.dev", "kind": "flows"}));
        let two = Refusal::already_exists(pods, "a");
        assert_eq!((two.code, two.message.as_str()), (409, "pods \"a\" already exists"));
        let causes = [Cause::required("spec.flow", ""), Cause::invalid("spec.at", &json!(1), "no")];
        let three = Refusal::invalid(flows, "etl", &causes);
        assert_eq!(
            three.message,
            "Flow.daskflow.dev \"etl\" is invalid: [spec.flow: Required value, spec.at: Invalid value: 1: no]"
        );
        assert_eq!(three.body()["details"]["causes"][0]["reason"], "FieldValueRequired");
    }

    #[test]
    fn conflicts_of_managers_are_listed_by_manager() {
        let conflict = |manager: &str, path: &str| (format!("{manager:?}"), path.to_owned());
        let one = Refusal::apply_conflict(&[conflict("a", ".spec.x")]);
        assert_eq!(one.message, "Apply failed with 1 conflict: conflict with \"a\": .spec.x");
        let two = Refusal::apply_conflict(&[conflict("b", ".spec.y"), conflict("a", ".spec.x")]);
        assert_eq!(
            two.message,
            "Apply failed with 2 conflicts: conflicts with \"a\":\n- .spec.x\nconflicts with \"b\":\n- .spec.y"
        );
    }
}
