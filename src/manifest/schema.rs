//! A value held against the schema of its kind, as the API server does it.
//!
//! It knows the keywords of Kubernetes' structural schemas, which are few, and the ones that no general
//! validator has: `nullable`, `x-kubernetes-int-or-string`, `x-kubernetes-preserve-unknown-fields` and lists
//! with keys. A field that no schema names is a fault, as under the strict decoding that `kubectl apply` asks
//! for. The words are the API server's where it has good ones.

use std::collections::HashSet;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::fault::Finding;
use super::meant::meant;
use super::way::Way;

/// What is wrong with `value`.
pub(super) fn findings(schema: &Value, value: &Value) -> Vec<Finding> {
    findings_of_change(schema, value, None)
}

/// What is wrong with `value`, which takes the place of `old`. Nothing is said of parts that are in both:
/// they were looked at before, and the API server lets them be as well if they were not (it "ratchets").
pub(super) fn findings_of_change(schema: &Value, value: &Value, old: Option<&Value>) -> Vec<Finding> {
    let mut walk = Walk::default();
    walk.value(&Way::Root, schema, value, old);
    walk.found
}

/// Takes out what the API server takes out before it looks: a field that is null where null is no value
/// counts as not given. Parts that are those of `old` are left as they are.
pub(super) fn prune_nulls(schema: &Value, value: &mut Value, old: Option<&Value>) {
    if old == Some(value) {
        return;
    }
    match value {
        Value::Object(fields) => {
            fields.retain(|name, field| !field.is_null() || schema_of(schema, name).is_none_or(allows_null));
            for (name, field) in fields.iter_mut() {
                if let Some(schema) = schema_of(schema, name) {
                    prune_nulls(schema, field, old.and_then(|old| old.get(name)));
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                for (index, item) in items.iter_mut().enumerate() {
                    prune_nulls(schema, item, old.and_then(|old| old.get(index)));
                }
            }
        }
        _ => {}
    }
}

/// Fills in what the schema has a default for and the value does not say. Parts that are those of `old` have
/// theirs.
pub(super) fn fill_in(schema: &Value, value: &mut Value, old: Option<&Value>) {
    if old == Some(value) {
        return;
    }
    match value {
        Value::Object(fields) => {
            let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
            for (name, schema) in properties {
                if let Some(default) = schema.get("default").filter(|_| !fields.contains_key(name)) {
                    fields.insert(name.clone(), default.clone());
                }
            }
            for (name, field) in fields.iter_mut() {
                if let Some(schema) = schema_of(schema, name) {
                    fill_in(schema, field, old.and_then(|old| old.get(name)));
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                for (index, item) in items.iter_mut().enumerate() {
                    fill_in(schema, item, old.and_then(|old| old.get(index)));
                }
            }
        }
        _ => {}
    }
}

/// The schema of a field, or of the values of a map.
pub(super) fn schema_of<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    let property = schema.get("properties").and_then(|properties| properties.get(name));
    property.or_else(|| schema.get("additionalProperties").filter(|values| values.is_object()))
}

fn is_set(schema: &Value, keyword: &str) -> bool {
    schema.get(keyword).and_then(Value::as_bool) == Some(true)
}

fn allows_null(schema: &Value) -> bool {
    is_set(schema, "nullable") || (schema.get("type").is_none() && is_set(schema, PRESERVE))
}

const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";
const INT_OR_STRING: &str = "x-kubernetes-int-or-string";

#[derive(Default)]
struct Walk {
    found: Vec<Finding>,
}

impl Walk {
    fn say(&mut self, way: &Way<'_>, message: impl Into<String>) {
        self.found.push(Finding::new(way.path(), message));
    }

    /// Says that the value is none of its type, so that something else has to stand in for it.
    fn refuse(&mut self, way: &Way<'_>, schema: &Value, message: impl Into<String>) {
        let repair = Some(placeholder(schema));
        self.found.push(Finding { repair, ..Finding::new(way.path(), message) });
    }

    fn value(&mut self, way: &Way<'_>, schema: &Value, value: &Value, old: Option<&Value>) {
        if old == Some(value) {
            return;
        }
        if value.is_null() && allows_null(schema) {
            return;
        }
        if !has_type(schema, value) {
            let wanted = if is_set(schema, INT_OR_STRING) {
                "integer or string"
            } else {
                schema.get("type").and_then(Value::as_str).unwrap_or("nothing")
            };
            let repair = Some(as_text(schema, value).unwrap_or_else(|| placeholder(schema)));
            let message = format!("must be of type {wanted}; {}", described(way, schema, value));
            return self.found.push(Finding { repair, ..Finding::new(way.path(), message) });
        }
        if let Some(words) = schema.get("enum").and_then(Value::as_array)
            && !words.contains(value)
        {
            let supported: Vec<String> = words.iter().map(Value::to_string).collect();
            let message = format!("Unsupported value: {value}: supported values: {}", supported.join(", "));
            self.refuse(way, schema, message);
        }
        match value {
            Value::Number(_) => self.number(way, schema, value),
            Value::String(text) => self.text(way, schema, text),
            Value::Array(items) => self.list(way, schema, items, old),
            Value::Object(fields) => self.object(way, schema, fields, old),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn number(&mut self, way: &Way<'_>, schema: &Value, value: &Value) {
        let Some(number) = value.as_f64() else { return };
        let bound = |keyword: &str| schema.get(keyword).and_then(Value::as_f64);
        if let Some(least) = bound("minimum").filter(|least| number < *least) {
            self.say(way, format!("should be greater than or equal to {least}"));
        }
        if let Some(most) = bound("maximum").filter(|most| number > *most) {
            self.say(way, format!("should be less than or equal to {most}"));
        }
        let bits = match schema.get("format").and_then(Value::as_str) {
            Some("int32") => i32::BITS,
            Some("int64") => i64::BITS,
            _ => return,
        };
        let fits = whole(value).is_some_and(|number| match bits {
            i32::BITS => i32::try_from(number).is_ok(),
            _ => i64::try_from(number).is_ok(),
        });
        if !fits {
            self.refuse(way, schema, format!("{value} does not fit into an integer of {bits} bits"));
        }
    }

    fn text(&mut self, way: &Way<'_>, schema: &Value, text: &str) {
        let length = text.chars().count();
        if let Some(least) = limit(schema, "minLength").filter(|least| length < *least) {
            self.say(way, format!("should be at least {least} chars long"));
        }
        if let Some(most) = limit(schema, "maxLength").filter(|most| length > *most) {
            self.say(way, format!("may not be more than {most} bytes"));
        }
        if schema.get("format").and_then(Value::as_str) == Some("date-time") && !is_date_time(text) {
            let message = format!(
                "must be of type date-time: {text:?}; write a date, a time and a zone, such as 2026-02-01T00:00:00Z"
            );
            self.refuse(way, schema, message);
        }
    }

    fn list(&mut self, way: &Way<'_>, schema: &Value, items: &[Value], old: Option<&Value>) {
        if let Some(least) = limit(schema, "minItems").filter(|least| items.len() < *least) {
            self.say(way, format!("should have at least {least} items"));
        }
        if let Some(most) = limit(schema, "maxItems").filter(|most| items.len() > *most) {
            self.say(way, format!("must have at most {most} items; it has {}", items.len()));
        }
        if let Some(schema) = schema.get("items") {
            for (index, item) in items.iter().enumerate() {
                self.value(&way.item(index), schema, item, old.and_then(|old| old.get(index)));
            }
        }
        self.keys(way, schema, items);
    }

    /// Items of a list with keys must differ in them.
    fn keys(&mut self, way: &Way<'_>, schema: &Value, items: &[Value]) {
        let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
        let is_set = schema.get("x-kubernetes-list-type").and_then(Value::as_str) == Some("set");
        let mut seen = HashSet::new();
        for (index, item) in items.iter().enumerate() {
            let (identity, repair) = match keys {
                Some(keys) => {
                    let names = keys.iter().filter_map(Value::as_str);
                    let own: Vec<(&str, &Value)> =
                        names.filter_map(|name| Some((name, item.get(name)?))).collect();
                    if own.is_empty() {
                        continue;
                    }
                    let identity = own.iter().map(|(key, value)| ((*key).to_owned(), (*value).clone()));
                    (Value::Object(identity.collect()), Some(renamed(item, &own, index)))
                }
                None if is_set => (item.clone(), None),
                None => return,
            };
            let text = identity.to_string();
            if !seen.insert(text.clone()) {
                let path = way.item(index).path();
                let message = format!("Duplicate value: {text}");
                self.found.push(Finding { repair, ..Finding::new(path, message) });
            }
        }
    }

    fn object(&mut self, way: &Way<'_>, schema: &Value, fields: &Map<String, Value>, old: Option<&Value>) {
        if let Some(most) = limit(schema, "maxProperties").filter(|most| fields.len() > *most) {
            self.say(way, format!("must have at most {most} entries; it has {}", fields.len()));
        }
        if let Some(least) = limit(schema, "minProperties").filter(|least| fields.len() < *least) {
            self.say(way, format!("should have at least {least} entries"));
        }
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        for name in required.filter_map(Value::as_str).filter(|name| !fields.contains_key(*name)) {
            let schema = schema_of(schema, name).unwrap_or(&Value::Null);
            self.refuse(&way.field(name), schema, "Required value");
        }
        for (name, value) in fields {
            let known = schema_of(schema, name);
            let way = way.field(name);
            match known {
                Some(schema) => self.value(&way, schema, value, old.and_then(|old| old.get(name))),
                None if is_set(schema, PRESERVE) => {}
                None => self.unknown(&way, schema, name),
            }
        }
    }

    fn unknown(&mut self, way: &Way<'_>, schema: &Value, name: &str) {
        let hint = meant(schema, name).map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
        self.say(way, format!("unknown field \"{}\"{hint}", way.path()));
    }
}

fn limit(schema: &Value, keyword: &str) -> Option<usize> {
    schema.get(keyword).and_then(whole).and_then(|number| usize::try_from(number).ok())
}

/// A whole number, however it is written: JSON knows no difference between 2 and 2.0.
fn whole(value: &Value) -> Option<i128> {
    let exact = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from));
    #[allow(clippy::cast_possible_truncation, reason = "a cast of a float ends at the largest number")]
    exact.or_else(|| value.as_f64().filter(|number| number.fract() == 0.0).map(|number| number as i128))
}

fn has_type(schema: &Value, value: &Value) -> bool {
    let is_integer = || value.is_number() && whole(value).is_some();
    if is_set(schema, INT_OR_STRING) {
        return value.is_string() || is_integer();
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => is_integer(),
        Some("number") => value.is_number(),
        _ => true,
    }
}

fn described(way: &Way<'_>, schema: &Value, value: &Value) -> String {
    let takes_text =
        is_set(schema, INT_OR_STRING) || schema.get("type").and_then(Value::as_str) == Some("string");
    let hint = if is_length_of_time(schema) && value.is_number() {
        format!(" (write it with a unit: {})", with_units(value, schema))
    } else if takes_text && matches!(way, Way::Field(_, "cron")) {
        " (write five fields in quotes, such as \"0 5 * * *\")".to_owned()
    } else if takes_text {
        " (write it in quotes to make it a text)".to_owned()
    } else {
        String::new()
    };
    match value {
        Value::Null => "null is none".to_owned(),
        Value::Object(_) => "this is an object".to_owned(),
        Value::Array(_) => "this is a list".to_owned(),
        Value::Bool(_) => format!("{value} is a boolean{hint}"),
        Value::Number(_) => format!("{value} is a number{hint}"),
        Value::String(_) => format!("{value} is a text"),
    }
}

/// The rules of CEL of this schema.
fn rules(schema: &Value) -> impl Iterator<Item = &str> {
    let rules = schema.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten();
    rules.filter_map(|rule| rule.get("rule").and_then(Value::as_str))
}

/// Whether a text of this schema is a duration, an interval or an age, whose rules name the units.
fn is_length_of_time(schema: &Value) -> bool {
    rules(schema).any(|rule| rule.contains("(h|m|s)"))
}

/// A number as it may have been meant: `300s or 5m`. Where days may be written, nothing says that it is
/// seconds.
fn with_units(number: &Value, schema: &Value) -> String {
    if rules(schema).any(|rule| rule.contains("+d") || rule.contains("(d|")) {
        return format!("such as {number}s, {number}m, {number}h or {number}d");
    }
    match number.as_u64() {
        Some(seconds) if seconds > 0 && seconds % 60 == 0 => format!("{seconds}s or {}m", seconds / 60),
        Some(number) => format!("{number}s or {number}m"),
        None => "90s or 5m".to_owned(),
    }
}

/// What is no text and was written where one belongs, as a text: it says what is there for the rules that ask
/// for one of several fields.
fn as_text(schema: &Value, value: &Value) -> Option<Value> {
    let is_any_text = schema.get("type").and_then(Value::as_str) == Some("string")
        && schema.get("enum").is_none()
        && schema.get("format").is_none();
    (is_any_text && (value.is_number() || value.is_boolean())).then(|| Value::String(value.to_string()))
}

/// RFC 3339, with a zone, as the `date-time` of a schema wants it. Other forms that jiff reads are none.
pub(super) fn is_date_time(text: &str) -> bool {
    let shape = text.len() > 19
        && text.chars().take(19).enumerate().all(|(at, c)| match at {
            4 | 7 => c == '-',
            10 => c.eq_ignore_ascii_case(&'T'),
            13 | 16 => c == ':',
            _ => c.is_ascii_digit(),
        });
    let behind = |c: char| c.is_ascii_digit() || matches!(c, '.' | ':' | '+' | '-' | 'z' | 'Z');
    shape && text.chars().skip(19).all(behind) && text.parse::<Timestamp>().is_ok()
}

/// A value of the schema's type that says as little as possible.
fn placeholder(schema: &Value) -> Value {
    if let Some(default) = schema.get("default") {
        return default.clone();
    }
    if allows_null(schema) {
        return Value::Null;
    }
    if let Some(word) = schema.get("enum").and_then(Value::as_array).and_then(|words| words.first()) {
        return word.clone();
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => {
            let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
            let field =
                |name: &str| (name.to_owned(), schema_of(schema, name).map_or(Value::Null, placeholder));
            Value::Object(required.filter_map(Value::as_str).map(field).collect())
        }
        Some("array") => Value::Array(Vec::new()),
        Some("integer" | "number") => Value::from(0),
        Some("boolean") => Value::Bool(false),
        _ => Value::String(String::new()),
    }
}

/// The item with a key that no other has.
fn renamed(item: &Value, keys: &[(&str, &Value)], index: usize) -> Value {
    let mut item = item.clone();
    for (key, value) in keys {
        if let (Some(field), Some(text)) = (item.get_mut(*key), value.as_str()) {
            *field = Value::String(format!("{text}-{index}"));
        }
    }
    item
}

#[cfg(test)]
mod tests;
