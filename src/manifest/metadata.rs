//! What every object of Kubernetes has.

use serde_json::{Value, json};

use super::fault::Finding;
use crate::plan::field::FieldPath;
use crate::plan::names::LABEL_MAX;

/// The characters that the API server puts behind a `generateName`.
const GENERATED: &str = "xxxxx";

/// What is wrong with the metadata, apart from its types. The form of the name itself is the kinds' own rule,
/// which is stricter than Kubernetes'.
pub(super) fn findings(object: &Value) -> Vec<Finding> {
    let metadata = FieldPath::default().field("metadata");
    let text = |field: &str| metadata.field(field).get(object).and_then(Value::as_str).unwrap_or_default();
    let mut found = Vec::new();
    if text("name").is_empty() && text("generateName").is_empty() {
        let finding =
            Finding::new(metadata.field("name"), "Required value: name or generateName is required");
        found.push(Finding { repair: Some(json!(GENERATED)), ..finding });
    }
    let namespace = text("namespace");
    if !namespace.is_empty()
        && !is_label(namespace, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    {
        let message = format!(
            "{namespace:?} is no name of a namespace: write up to {LABEL_MAX} lower-case letters, digits and '-', with a letter or digit first and last"
        );
        found.push(Finding::new(metadata.field("namespace"), message));
    }
    let labels = metadata.field("labels");
    for (key, value) in labels.get(object).and_then(Value::as_object).into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !value.is_empty() && !is_label(value, allowed) {
            let message = format!(
                "{value:?} is no value of a label: write up to {LABEL_MAX} letters, digits, '-', '_' and '.', with a letter or digit first and last"
            );
            found.push(Finding::new(labels.field(key), message));
        }
    }
    found
}

/// Whether a text is short enough, of these characters only, and begins and ends with a letter or digit.
fn is_label(text: &str, allowed: impl Fn(char) -> bool) -> bool {
    text.len() <= LABEL_MAX
        && text.chars().all(allowed)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
}

/// Gives the object the name that the API server would make of `generateName`, so that rules about names can
/// be asked.
pub(super) fn generate_name(object: &mut Value) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let given = |field: &str| metadata.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let (None, Some(start)) = (given("name"), given("generateName")) {
        // The server cuts it off so that the whole is a label.
        let start: String = start.chars().take(LABEL_MAX - GENERATED.len()).collect();
        metadata.insert("name".to_owned(), json!(format!("{start}{GENERATED}")));
    }
}
