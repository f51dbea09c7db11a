//! Where in an object of theirs a field of ours is from.

use serde_json::Value;

use crate::plan::field::{FieldPath, Step};

/// Fields of ours, the longest first, and those of theirs that they are made of.
const PLACES: [(&str, &str, &str); 8] = [
    ("Flow", "spec.cluster.template.workers", "spec.cluster.spec.worker"),
    ("Flow", "spec.cluster.template.scheduler", "spec.cluster.spec.scheduler"),
    ("Flow", "spec.cluster.template", "spec.cluster.spec"),
    ("Flow", "spec.template", "spec.job"),
    ("Flow", "spec", "spec.job.spec"),
    ("DaskCluster", "spec.workers", "spec.worker"),
    ("DaskCluster", "spec.scheduler", "spec.scheduler"),
    ("DaskCluster", "spec", "spec"),
];

/// The field of theirs that a field of `ours` is made of, or the nearest around it that is there. Items of
/// lists are found by their names.
pub(super) fn in_theirs(field: &str, ours: &Value, theirs: &Value) -> FieldPath {
    let kind = ours.get("kind").and_then(Value::as_str).unwrap_or_default();
    let named = by_names(field, ours);
    let place = PLACES.into_iter().find_map(|(of, ours, theirs)| {
        let rest = named.strip_prefix(ours).filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']))?;
        // A role's pod is its template here.
        let rest = rest.strip_prefix(".template").unwrap_or(rest);
        (of == kind).then(|| format!("{theirs}{rest}"))
    });
    let mut found = FieldPath::default();
    for step in FieldPath::find(&place.unwrap_or(named), theirs).steps() {
        let further = found.join(step.clone());
        if further.get(theirs).is_none() {
            break;
        }
        found = further;
    }
    found
}

/// The path with the names of items in the place of their numbers.
fn by_names(field: &str, object: &Value) -> String {
    let mut path = FieldPath::default();
    let mut words = Vec::new();
    for step in FieldPath::find(field, object).steps() {
        path = path.join(step.clone());
        let name = path.get(object).and_then(|item| item.get("name")).and_then(Value::as_str);
        words.push(match (step, name) {
            (Step::Item(_), Some(name)) => format!("[{name}]"),
            (Step::Item(index), None) => format!("[{index}]"),
            (Step::Field(name), _) if name.contains(['.', '[', ']']) => format!("[{name}]"),
            (Step::Field(name), _) if words.is_empty() => name.clone(),
            (Step::Field(name), _) => format!(".{name}"),
        });
    }
    words.concat()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_of_ours_is_found_in_theirs() {
        let pod = |names: [&str; 2]| json!({"spec": {"containers": names.map(|name| json!({"name": name}))}});
        let theirs = json!({"metadata": {"name": "a"}, "spec": {"worker": pod(["x", "worker"]), "job": pod(["x", "job"])}});
        let cluster = json!({"kind": "DaskCluster", "spec": {"workers": {"template": pod(["worker", "x"])}}});
        let flow = json!({"kind": "Flow", "spec": {"template": pod(["flow", "x"])}});
        for (ours, field, expected) in [
            (&cluster, "spec.workers.template.spec.containers[1]", "spec.worker.spec.containers[0]"),
            (&cluster, "spec.workers.template.spec.containers[1].image", "spec.worker.spec.containers[0]"),
            (&cluster, "spec.workers.args", "spec.worker"),
            (&cluster, "metadata.name", "metadata.name"),
            (&flow, "spec.template.spec.containers[1]", "spec.job.spec.containers[0]"),
            (&flow, "spec.command", "spec.job.spec"),
            (&flow, "spec.cluster.template.workers.replicas", "spec"),
        ] {
            assert_eq!(in_theirs(field, ours, &theirs).to_string(), expected, "{field}");
        }
    }
}
