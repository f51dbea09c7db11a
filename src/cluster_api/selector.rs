//! Label and field selectors, as `labelSelector` and `fieldSelector` of a request write them.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::Value;

use super::kinds::Kind;
use super::status::Refusal;

/// Which objects a request is about. Without requirements it is about all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<(String, bool, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    /// Whether the label must be there at all.
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
    /// The label is a whole number, and to this one it is so.
    Compares(Ordering, i64),
}

/// The fields that objects of every kind are selected by.
const COMMON: &[&str] = &["metadata.name", "metadata.namespace"];

/// Further fields, by kind.
fn fields_of(kind: &Kind) -> &'static [&'static str] {
    match (kind.defined.is_some(), kind.kind.as_str()) {
        (false, "Pod") => &["status.phase", "spec.nodeName", "spec.restartPolicy", "spec.serviceAccountName"],
        (false, "Namespace") => &["status.phase"],
        (false, "Job") => &["status.successful"],
        (false, "Secret") => &["type"],
        (false, "Event") => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "type",
            "source",
        ],
        _ => &[],
    }
}

impl Selector {
    /// Reads the selectors of a request.
    pub fn parse(kind: &Kind, labels: Option<&str>, fields: Option<&str>) -> Result<Self, Refusal> {
        let labels = requirements(labels.unwrap_or_default()).map_err(|word| {
            Refusal::bad_request(format!("unable to parse requirement: {word} makes no label selector"))
        })?;
        let fields = conditions(kind, fields.unwrap_or_default())?;
        Ok(Self { labels, fields })
    }

    /// Whether an object, in the form in which it is kept, is meant.
    pub fn matches(&self, object: &Value) -> bool {
        let labels = object.pointer("/metadata/labels");
        let label = |key: &str| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
        let fits = |requirement: &Requirement| {
            let has = label(&requirement.key);
            match &requirement.test {
                Test::In(values) => has.is_some_and(|has| values.iter().any(|value| value == has)),
                Test::NotIn(values) => has.is_none_or(|has| values.iter().all(|value| value != has)),
                Test::Exists => has.is_some(),
                Test::Absent => has.is_none(),
                Test::Compares(order, number) => {
                    has.and_then(|has| has.parse::<i64>().ok()).is_some_and(|has| has.cmp(number) == *order)
                }
            }
        };
        self.labels.iter().all(fits)
            && self.fields.iter().all(|(path, equal, value)| (field(object, path) == *value) == *equal)
    }
}

/// The value of a field as a selector compares it: nothing is an empty text.
fn field(object: &Value, path: &str) -> String {
    let path = match path {
        "source" => "source.component",
        "status.successful" => "status.succeeded",
        other => other,
    };
    let value = path.split('.').try_fold(object, |value, name| value.get(name));
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None if path == "status.succeeded" => "0".to_owned(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

fn conditions(kind: &Kind, text: &str) -> Result<Vec<(String, bool, String)>, Refusal> {
    let mut found = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (path, equal, value) = if let Some((path, value)) = part.split_once("!=") {
            (path, false, value)
        } else if let Some((path, value)) = part.split_once('=') {
            (path, true, value.strip_prefix('=').unwrap_or(value))
        } else {
            return Err(Refusal::bad_request(format!("invalid selector: {part:?}; can't understand it")));
        };
        let path = kept_at(kind, path);
        let is_known = COMMON.contains(&&*path)
            || fields_of(kind).contains(&&*path)
            || kind.selectable.iter().any(|field| **field == *path);
        if !is_known {
            return Err(Refusal::bad_request(format!("field label not supported: {path}")));
        }
        found.push((path.into_owned(), equal, value.to_owned()));
    }
    Ok(found)
}

/// Where a field is in the form in which the kind's objects are kept.
fn kept_at<'a>(kind: &Kind, path: &'a str) -> Cow<'a, str> {
    if !kind.is_new_event() {
        return path.into();
    }
    match (path, path.strip_prefix("regarding.")) {
        ("reportingController", _) => "reportingComponent".into(),
        (_, Some(field)) => format!("involvedObject.{field}").into(),
        _ => path.into(),
    }
}

/// The parts of a text between commas that stand in no brackets.
fn parts(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (0_usize, 0, Vec::new());
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                found.extend(text.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    found.extend(text.get(start..));
    found.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect()
}

/// Reads label requirements; the error is the part that is none.
fn requirements(text: &str) -> Result<Vec<Requirement>, String> {
    parts(text).into_iter().map(|part| requirement(part).ok_or_else(|| format!("{part:?}"))).collect()
}

fn requirement(part: &str) -> Option<Requirement> {
    let of = |key: &str, test: Test| {
        let key = key.trim();
        let is_key = !key.is_empty()
            && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'));
        is_key.then(|| Requirement { key: key.to_owned(), test })
    };
    let value = |text: &str| Some(text.trim()).filter(|value| is_value(value)).map(str::to_owned);
    let values = |text: &str| -> Option<Vec<String>> {
        let inside = text.trim().strip_prefix('(')?.strip_suffix(')')?;
        inside.split(',').map(value).collect()
    };
    // No key and no value has a sign in it, and a value may begin with a word.
    if let Some((key, text)) = part.split_once("!=") {
        return of(key, Test::NotIn(vec![value(text)?]));
    }
    if let Some((key, text)) = part.split_once('=') {
        return of(key, Test::In(vec![value(text.strip_prefix('=').unwrap_or(text))?]));
    }
    for (sign, order) in [('>', Ordering::Greater), ('<', Ordering::Less)] {
        if let Some((key, text)) = part.split_once(sign) {
            return of(key, Test::Compares(order, value(text)?.parse().ok()?));
        }
    }
    if let Some((key, rest)) = part.split_once(" notin") {
        return of(key, Test::NotIn(values(rest)?));
    }
    if let Some((key, rest)) = part.split_once(" in") {
        return of(key, Test::In(values(rest)?));
    }
    match part.strip_prefix('!') {
        Some(key) => of(key, Test::Absent),
        None => of(part, Test::Exists),
    }
}

/// Whether a text may be the value of a label.
fn is_value(text: &str) -> bool {
    let outer = |c: char| c.is_ascii_alphanumeric();
    text.is_empty()
        || text.len() <= 63
            && text.starts_with(outer)
            && text.ends_with(outer)
            && text.chars().all(|c| outer(c) || matches!(c, '-' | '_' | '.'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster_api::kinds;

    fn pods(labels: &str, fields: &str) -> Result<Selector, Refusal> {
        Selector::parse(kinds::find("", "v1", "pods").unwrap(), Some(labels), Some(fields))
    }

    #[test]
    fn labels_select() {
        let object =
            json!({"metadata": {"name": "a", "labels": {"app": "x", "tier/a": "1", "tier": "internal"}}});
        for (text, expected) in [
            ("", true),
            ("app=x", true),
            ("app==x,tier/a=1", true),
            ("app!=x", false),
            ("other!=x", true),
            ("app in (x, y),tier/a", true),
            ("app in (y)", false),
            ("app notin (y,z)", true),
            ("other notin (y)", true),
            ("!app", false),
            ("!other", true),
            ("other", false),
            ("tier = internal", true),
            ("tier = notin1", false),
            ("tier/a>0,tier/a<2", true),
            ("tier/a>1", false),
            ("tier>1", false),
        ] {
            assert_eq!(pods(text, "").unwrap().matches(&object), expected, "{text}");
        }
        for bad in ["app in x", "a b", "a=b=c", "a=x y", "a in (x y)", "a>b", "a>=1", "a=-"] {
            assert_eq!(pods(bad, "").unwrap_err().code, 400, "{bad}");
        }
    }

    #[test]
    fn fields_select() {
        let object = json!({
            "metadata": {"name": "a", "namespace": "n"}, "spec": {"nodeName": "one"}, "status": {"phase": "Running"}
        });
        for (text, expected) in [
            ("metadata.name=a,metadata.namespace=n", true),
            ("status.phase!=Running", false),
            ("spec.nodeName==one", true),
            ("spec.nodeName=", false),
        ] {
            assert_eq!(pods("", text).unwrap().matches(&object), expected, "{text}");
        }
        assert_eq!(pods("", "spec.image=x").unwrap_err().message, "field label not supported: spec.image");
    }

    #[test]
    fn events_are_found_by_what_they_are_about_in_both_forms() {
        let event = json!({
            "metadata": {"name": "e"}, "reportingComponent": "daskflow",
            "involvedObject": {"name": "etl", "uid": "1", "apiVersion": "v1"},
        });
        let new = kinds::find("events.k8s.io", "v1", "events").unwrap();
        let old = kinds::find("", "v1", "events").unwrap();
        for (kind, text) in [
            (new, "regarding.name=etl,regarding.apiVersion=v1,reportingController=daskflow"),
            (old, "involvedObject.name=etl,involvedObject.uid=1,reportingComponent=daskflow"),
        ] {
            assert!(Selector::parse(kind, None, Some(text)).unwrap().matches(&event), "{text}");
        }
        assert!(Selector::parse(old, None, Some("regarding.name=etl")).is_err());
    }

    #[test]
    fn our_kinds_are_selected_by_what_their_definitions_name() {
        let runs = kinds::find("daskflow.dev", "v1alpha1", "flowruns").unwrap();
        let selector = Selector::parse(runs, None, Some("spec.flow=etl")).unwrap();
        assert!(selector.matches(&json!({"spec": {"flow": "etl"}})));
        assert!(!selector.matches(&json!({"spec": {"flow": "elt"}})));
        assert!(Selector::parse(runs, None, Some("spec.cancel=true")).is_err());
    }
}
