//! The CEL rules of a kind, asked of one object.

use kube_cel::{CompiledSchema, ErrorKind, ValidationError, validate_compiled};
use serde_json::Value;

use super::fault::Finding;
use crate::plan::field::FieldPath;

/// The rules that `object` breaks. Those about a change are asked where there is an `old` object.
///
/// `fits` says that the object is of the right shape. In one that is not, rules stumble over what is wrong
/// already, and only those that give an answer are told.
pub(super) fn findings(
    rules: &CompiledSchema,
    object: &Value,
    old: Option<&Value>,
    fits: bool,
) -> Vec<Finding> {
    let errors = match validate_compiled(rules, object, old) {
        Ok(()) => return Vec::new(),
        Err(errors) => errors.into_vec(),
    };
    let told = errors.into_iter().filter_map(|error| {
        let path = FieldPath::find(&error.field_path, object);
        // The API server asks no rule of a field that is null.
        let is_null = path.get(object).is_none_or(Value::is_null);
        let is_answer = error.kind == ErrorKind::ValidationFailure;
        (!is_null && (is_answer || fits)).then(|| Finding::new(field(path, &error), error.message))
    });
    told.collect()
}

/// What a rule is about. One at the root has only the name of the metadata to look at, or whole parts of the
/// object.
fn field(path: FieldPath, error: &ValidationError) -> FieldPath {
    if path.steps().is_empty() && error.rule.contains("self.metadata.name") {
        return path.field("metadata").field("name");
    }
    path
}
