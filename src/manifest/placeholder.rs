//! What stands for a value that another program is to put in: Helm and Jinja write `{{ … }}` and `{% … %}`,
//! envsubst and Flux `${…}`, kustomize's old variables `$(…)`.

use serde_json::Value;

use super::fault::{Fault, Finding};
use crate::plan::field::{FieldPath, Step};

/// Fields whose texts are the user's own: what looks like a placeholder there is for a shell, a script or the
/// kubelet.
const OWN: [&str; 8] =
    ["inline", "command", "args", "env", "parameters", "template", "annotations", "serviceAnnotations"];

/// What a text is that looks like a template, and what to do with it.
pub(super) const TEMPLATE: &str =
    "this looks like a template: check what comes of it, as in `helm template . | daskflow validate -f -`";

/// What to say of a text that is a template, where one can be seen in the line that is broken, or the one
/// before it.
pub(super) fn of_template(text: &str, line: usize) -> Option<&'static str> {
    let mut near = text.lines().skip(line.saturating_sub(2)).take(2);
    let is_template = near.any(|line| line.contains("{{") || line.contains("{%"));
    is_template.then_some(TEMPLATE)
}

/// Says of a fault that the value at fault is still to be put in.
pub(super) fn explain(fault: &mut Fault, object: &Value) {
    let path = FieldPath::find(&fault.field, object);
    let value = path.steps().iter().try_fold(object, |value, step| match step {
        Step::Field(name) => value.get(name),
        Step::Item(index) => value.get(index),
    });
    if let Some(what) = value.and_then(Value::as_str).and_then(placeholder) {
        fault.message = format!("{what} looks like a placeholder that was not filled in: {}", fault.message);
    }
}

/// Placeholders in values that are right all the same, such as an image.
pub(super) fn hints(object: &Value) -> Vec<Finding> {
    let mut found = Vec::new();
    look(object, &FieldPath::default(), &mut found);
    found
}

fn look(value: &Value, path: &FieldPath, found: &mut Vec<Finding>) {
    match value {
        Value::String(text) => found.extend(placeholder(text).map(|what| {
            let message =
                format!("{what} looks like a placeholder that was not filled in; it is taken as it stands");
            Finding::new(path.clone(), message)
        })),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, item)| look(item, &path.join(Step::Item(index)), found)),
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| !OWN.contains(&name.as_str()))
            .for_each(|(name, value)| look(value, &path.field(name), found)),
        _ => {}
    }
}

/// The first placeholder in a text.
fn placeholder(text: &str) -> Option<&str> {
    [("{{", "}}"), ("{%", "%}"), ("${", "}"), ("$(", ")")].into_iter().find_map(|(open, close)| {
        let at = text.find(open)?;
        let inside = text.get(at..)?;
        inside.get(..inside.find(close)?.checked_add(close.len())?)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn placeholders_are_seen_where_no_shell_reads_them() {
        let object = json!({
            "metadata": {"name": "a", "annotations": {"x": "${Y}"}},
            "spec": {
                "image": "flows:${TAG}", "args": ["$(NAME)"], "env": [{"name": "A", "value": "$(B)"}],
                "code": {"inline": "print('{{ ds }}')"}, "parameters": {"sql": "${x}"},
                "cluster": {"ref": {"name": "{{ .Values.cluster }}"}},
            },
        });
        let told: Vec<String> = hints(&object)
            .into_iter()
            .map(|finding| format!("{} {}", finding.path, finding.message))
            .collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told.iter().any(|hint| hint.starts_with("spec.image ${TAG} looks like")), "{told:?}");
        assert!(
            told.iter().any(|hint| hint.starts_with("spec.cluster.ref.name {{ .Values.cluster }}")),
            "{told:?}"
        );
    }

    #[test]
    fn dollars_and_braces_alone_are_none() {
        for text in ["5$", "${", "{}", "$5", "a {b}"] {
            assert_eq!(placeholder(text), None, "{text}");
        }
    }
}
