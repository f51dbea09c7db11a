//! Paths to fields, as users read them in messages: `spec.schedule.clocks[0].cron`.
//!
//! An item of a list may also be named instead of counted, as in `spec.schedule.clocks[nightly]`:
//! [`FieldPath::find`] turns both into the place in a given object. It is no query language: a path leads to
//! one place.

use std::fmt;

use serde_json::Value;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Into a field of an object, or a key of a map.
    Field(String),
    /// Into an item of a list, counted from 0.
    Item(usize),
}

/// A path from the root of an object; empty for the object itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldPath(Vec<Step>);

impl FieldPath {
    /// Its steps, from the root on.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The path one step further.
    #[must_use]
    pub fn join(&self, step: Step) -> Self {
        Self(self.0.iter().cloned().chain([step]).collect())
    }

    /// The path of a field of the object that this path leads to.
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        self.join(Step::Field(name.to_owned()))
    }

    /// Whether `other` is this path, or leads further in.
    pub fn holds(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }

    /// Reads a path as messages have it. What stands in brackets is the number of an item, the `name` of an
    /// item, or a key of a map, whichever `object` has.
    pub fn find(text: &str, object: &Value) -> Self {
        let mut path = Self::default();
        let mut place = Some(object);
        for word in words(text) {
            let step = match (word, place) {
                (Word::Field(name), _) => Step::Field(name.to_owned()),
                (Word::Bracket(inside), Some(Value::Array(items))) => {
                    let named = |item: &Value| item.get("name").and_then(Value::as_str) == Some(inside);
                    let index = items.iter().position(named).or_else(|| inside.parse().ok());
                    index.map_or_else(|| Step::Field(inside.to_owned()), Step::Item)
                }
                (Word::Bracket(inside), None) if inside.parse::<usize>().is_ok() => {
                    Step::Item(inside.parse().unwrap_or_default())
                }
                (Word::Bracket(inside), _) => Step::Field(inside.to_owned()),
            };
            place = place.and_then(|place| into(place, &step));
            path.0.push(step);
        }
        path
    }

    /// What is there in `object`.
    pub fn get<'a>(&self, object: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(object, into)
    }

    /// Puts `value` there, if everything on the way exists. A field may be new, an item may not.
    pub fn put(&self, object: &mut Value, value: Value) {
        let Some((last, way)) = self.0.split_last() else { return *object = value };
        let Some(parent) = way.iter().try_fold(object, into_mut) else { return };
        match (parent, last) {
            (Value::Object(fields), Step::Field(name)) => drop(fields.insert(name.clone(), value)),
            (Value::Array(items), Step::Item(index)) => {
                if let Some(item) = items.get_mut(*index) {
                    *item = value;
                }
            }
            _ => {}
        }
    }

    /// Takes away what is there; false when nothing was.
    pub fn remove(&self, object: &mut Value) -> bool {
        let Some((last, way)) = self.0.split_last() else { return false };
        match (way.iter().try_fold(object, into_mut), last) {
            (Some(Value::Object(fields)), Step::Field(name)) => fields.remove(name).is_some(),
            (Some(Value::Array(items)), Step::Item(index)) if *index < items.len() => {
                items.remove(*index);
                true
            }
            _ => false,
        }
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Item(index) => write!(f, "[{index}]")?,
                // A dot in a key would read as two fields.
                Step::Field(name) if at > 0 && name.contains(['.', '[', ']']) => write!(f, "[{name}]")?,
                Step::Field(name) if at > 0 => write!(f, ".{name}")?,
                Step::Field(name) => f.write_str(name)?,
            }
        }
        Ok(())
    }
}

enum Word<'a> {
    Field(&'a str),
    Bracket(&'a str),
}

/// The parts of a path: names between dots, and what is in brackets.
fn words(text: &str) -> Vec<Word<'_>> {
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some((inside, behind)) = rest.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            found.push(Word::Bracket(inside));
            rest = behind.strip_prefix('.').unwrap_or(behind);
            continue;
        }
        // The first character is never an end, so that every turn takes something.
        let end = rest.char_indices().skip(1).find(|(_, c)| matches!(c, '.' | '[')).map(|(at, _)| at);
        let (name, behind) = rest.split_at(end.unwrap_or(rest.len()));
        found.push(Word::Field(name));
        rest = behind.strip_prefix('.').unwrap_or(behind);
    }
    found
}

fn into<'a>(value: &'a Value, step: &Step) -> Option<&'a Value> {
    match step {
        Step::Field(name) => value.get(name),
        Step::Item(index) => value.get(index),
    }
}

fn into_mut<'a>(value: &'a mut Value, step: &Step) -> Option<&'a mut Value> {
    match step {
        Step::Field(name) => value.get_mut(name),
        Step::Item(index) => value.get_mut(index),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn object() -> Value {
        json!({"spec": {"clocks": [{"name": "a", "cron": "x"}, {"name": "7", "cron": "y"}], "map": {"a.b/c": 1}}})
    }

    #[test]
    fn an_item_is_found_by_number_and_by_name() {
        let object = object();
        for (text, found, shown) in [
            ("spec.clocks[0].cron", Some(json!("x")), "spec.clocks[0].cron"),
            ("spec.clocks[a].cron", Some(json!("x")), "spec.clocks[0].cron"),
            ("spec.clocks[7].cron", Some(json!("y")), "spec.clocks[1].cron"),
            ("spec.map[a.b/c]", Some(json!(1)), "spec.map[a.b/c]"),
            ("spec.clocks[0].every", None, "spec.clocks[0].every"),
            ("", Some(object.clone()), ""),
        ] {
            let path = FieldPath::find(text, &object);
            assert_eq!(path.get(&object), found.as_ref(), "{text}");
            assert_eq!(path.to_string(), shown);
        }
    }

    #[test]
    fn what_is_there_can_be_changed() {
        let mut object = object();
        FieldPath::find("spec.clocks[a].cron", &object).put(&mut object, json!("z"));
        assert_eq!(object["spec"]["clocks"][0]["cron"], json!("z"));
        assert!(FieldPath::find("spec.clocks[0]", &object).remove(&mut object));
        assert!(!FieldPath::find("spec.clocks[0].every", &object).remove(&mut object));
        assert_eq!(object["spec"]["clocks"], json!([{"name": "7", "cron": "y"}]));
    }

    proptest! {
        #[test]
        fn any_text_is_some_path(text in "[a.\\[\\]0 é]{0,12}") {
            let mut object = object();
            let path = FieldPath::find(&text, &object);
            path.put(&mut object, json!(0));
            path.remove(&mut object);
        }
    }
}
