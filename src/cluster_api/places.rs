//! Places in objects: what is at one, what is taken away from one, and how it is written in messages.

use serde_json::{Map, Value};

use super::shape::identity;

/// A path as messages have it, such as `.spec.containers[name="main"].image`.
pub(super) fn shown(way: &[String]) -> String {
    way.iter().fold(String::new(), |text, element| match element.split_at_checked(2) {
        Some(("f:", name)) => format!("{text}.{name}"),
        Some(("k:", keys)) => {
            let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
            let keys: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
            format!("{text}[{}]", keys.join(","))
        }
        Some((_, value)) => format!("{text}[={value}]"),
        None => text,
    })
}

/// What is at a place of an object.
pub(super) fn at<'a>(object: &'a Value, way: &[String]) -> Option<&'a Value> {
    way.iter().try_fold(object, |value, element| {
        if let Some(name) = element.strip_prefix("f:") {
            return value.get(name);
        }
        let named = Named::read(element)?;
        value.as_array()?.iter().find(|item| named.is(item))
    })
}

/// Which item of a list an element names.
enum Named {
    ByKeys(Map<String, Value>),
    ByValue(Value),
}

impl Named {
    fn read(element: &str) -> Option<Self> {
        match element.split_at_checked(2)? {
            ("k:", keys) => match keys.parse().ok()? {
                Value::Object(keys) => Some(Self::ByKeys(keys)),
                _ => None,
            },
            ("v:", value) => Some(Self::ByValue(value.parse().ok()?)),
            _ => None,
        }
    }

    fn is(&self, item: &Value) -> bool {
        match self {
            Self::ByKeys(keys) => {
                let names: Vec<&str> = keys.keys().map(String::as_str).collect();
                identity(item, &names).as_ref() == Some(keys)
            }
            Self::ByValue(value) => value == item,
        }
    }
}

/// Takes away what is at a place, and the maps and lists on the way to it that nothing is left in, but for
/// those that stay.
pub(super) fn take_away(object: &mut Value, way: &[String], stays: &impl Fn(&[String]) -> bool) {
    take_away_below(object, way, 0, stays);
}

/// From the place on that so many steps of the way lead to.
fn take_away_below(object: &mut Value, way: &[String], at: usize, stays: &impl Fn(&[String]) -> bool) {
    let (Some(step), Some(here)) = (way.get(at), way.get(..=at)) else { return };
    let is_last = at + 1 == way.len();
    match object {
        Value::Object(fields) => {
            let Some(name) = step.strip_prefix("f:") else { return };
            if is_last {
                fields.remove(name);
            } else if let Some(field) = fields.get_mut(name) {
                take_away_below(field, way, at + 1, stays);
                if is_empty(field) && !stays(here) {
                    fields.remove(name);
                }
            }
        }
        Value::Array(items) => {
            let Some(named) = Named::read(step) else { return };
            if is_last {
                items.retain(|item| !named.is(item));
            } else if let Some(item) = items.iter_mut().find(|item| named.is(item)) {
                take_away_below(item, way, at + 1, stays);
            }
        }
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}
