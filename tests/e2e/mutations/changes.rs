//! Every change of one field that a spec and its schema have, as JSON patches.

use serde_json::{Map, Value, json};

use super::schema::{Shape, alternatives, is_required, shape};
use super::values::{Class, key, opaque, values};

/// Items of a list that are changed, the first ones: further ones are like them.
const ITEMS: usize = 4;

/// One change of one field.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The field, such as `spec.env[].name`.
    pub leaf: String,
    /// What the value is there for; none for a removal and the like.
    pub class: Option<Class>,
    /// The JSON patch.
    pub patch: Value,
}

/// How many values each field gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// All that there are.
    All,
    /// One good value, and the field's removal.
    One,
}

/// All changes of a spec.
pub fn changes(schema: &Value, spec: &Value, amount: Amount) -> Vec<Change> {
    let mut maker = Maker { amount, all: Vec::new() };
    maker.present(schema, spec, &Place { pointer: "/spec".into(), leaf: "spec".into() });
    maker.all
}

/// Where a field is: in JSON pointers of this object, and in the schema.
#[derive(Clone)]
struct Place {
    pointer: String,
    leaf: String,
}

impl Place {
    fn field(&self, name: &str) -> Self {
        let escaped = name.replace('~', "~0").replace('/', "~1");
        Self { pointer: format!("{}/{escaped}", self.pointer), leaf: format!("{}.{name}", self.leaf) }
    }

    fn item(&self, index: usize) -> Self {
        Self { pointer: format!("{}/{index}", self.pointer), leaf: format!("{}[]", self.leaf) }
    }

    fn value(&self, key: &str) -> Self {
        Self { leaf: format!("{}{{}}", self.leaf), ..self.field(key) }
    }
}

struct Maker {
    amount: Amount,
    all: Vec<Change>,
}

impl Maker {
    fn push(&mut self, leaf: &str, class: Option<Class>, operation: &Value) {
        self.all.push(Change { leaf: leaf.to_owned(), class, patch: json!([operation]) });
    }

    fn replace(&mut self, place: &Place, class: Option<Class>, value: &Value) {
        self.push(&place.leaf, class, &set("replace", &place.pointer, value));
    }

    fn remove(&mut self, place: &Place) {
        self.push(&place.leaf, None, &json!({"op": "remove", "path": place.pointer}));
    }

    /// The changes of a field that is there.
    fn present(&mut self, schema: &Value, value: &Value, place: &Place) {
        match shape(schema) {
            Shape::Object(fields) => self.object(schema, fields, value, place),
            Shape::List(items) => self.list(items, value, place),
            Shape::Map(of) => self.map(of, value, place),
            Shape::Opaque => self.values_of(opaque(&place.leaf), value, place),
            Shape::Leaf => self.values_of(values(&place.leaf, schema), value, place),
        }
    }

    fn values_of(&mut self, values: Vec<(Class, Value)>, present: &Value, place: &Place) {
        let others = values.into_iter().filter(|(_, value)| value != present);
        for (class, value) in chosen(others, self.amount) {
            self.replace(place, Some(class), &value);
        }
    }

    fn object(&mut self, schema: &Value, fields: &Map<String, Value>, value: &Value, place: &Place) {
        let one_of = alternatives(schema);
        for (name, field) in fields {
            let there = place.field(name);
            let Some(present) = value.get(name) else {
                for (leaf, class, example) in examples(field, &there.leaf, self.amount) {
                    let operation = if one_of.contains(name) {
                        // It takes the place of the alternative that is there.
                        let mut whole = value.as_object().cloned().unwrap_or_default();
                        whole.retain(|other, _| !one_of.contains(other));
                        whole.insert(name.clone(), example);
                        set("replace", &place.pointer, &Value::Object(whole))
                    } else {
                        set("add", &there.pointer, &example)
                    };
                    self.push(&leaf, class, &operation);
                }
                continue;
            };
            if self.amount == Amount::All || !is_required(schema, name) {
                self.remove(&there);
            }
            if self.amount == Amount::All {
                self.replace(&there, None, &Value::Null);
            }
            self.present(field, present, &there);
        }
    }

    fn list(&mut self, items: &Value, value: &Value, place: &Place) {
        let present = value.as_array().map(Vec::as_slice).unwrap_or_default();
        let end = format!("{}/-", place.pointer);
        self.push(&place.leaf, None, &set("add", &end, &example(items, &place.item(0).leaf)));
        if self.amount == Amount::All {
            self.replace(place, None, &json!([]));
            if let Some(last) = present.last() {
                self.push(&place.leaf, None, &set("add", &end, last));
                self.remove(&Place { leaf: place.leaf.clone(), ..place.item(0) });
            }
            if present.len() > 1 {
                self.replace(place, None, &present.iter().rev().cloned().collect());
            }
        }
        for (index, item) in present.iter().enumerate().take(ITEMS) {
            self.present(items, item, &place.item(index));
        }
    }

    fn map(&mut self, of: &Value, value: &Value, place: &Place) {
        let more = place.value(key(&place.leaf));
        self.push(&more.leaf, None, &set("add", &more.pointer, &example(of, &more.leaf)));
        if self.amount == Amount::All {
            self.replace(place, None, &json!({}));
            for odd in ["not a key!", "", "ünïcode"] {
                let odd = place.value(odd);
                self.push(&odd.leaf, Some(Class::Odd), &set("add", &odd.pointer, &example(of, &odd.leaf)));
            }
        }
        for (key, present) in value.as_object().into_iter().flatten() {
            let there = place.value(key);
            self.remove(&there);
            self.present(of, present, &there);
        }
    }
}

/// The operation of a JSON patch that sets a value.
fn set(operation: &str, pointer: &str, value: &Value) -> Value {
    json!({"op": operation, "path": pointer, "value": value})
}

/// What is taken of the values of a field.
fn chosen(
    values: impl Iterator<Item = (Class, Value)>,
    amount: Amount,
) -> impl Iterator<Item = (Class, Value)> {
    values.take(if amount == Amount::All { usize::MAX } else { 1 })
}

/// What a field that is not there may be set to: once for each leaf in it. Only a leaf gets several values.
fn examples(schema: &Value, leaf: &str, amount: Amount) -> Vec<(String, Option<Class>, Value)> {
    let of_leaf = |values: Vec<(Class, Value)>| -> Vec<_> {
        let chosen = chosen(values.into_iter(), amount);
        chosen.map(|(class, value)| (leaf.to_owned(), Some(class), value)).collect()
    };
    match shape(schema) {
        Shape::Opaque => of_leaf(opaque(leaf)),
        Shape::Leaf => of_leaf(values(leaf, schema)),
        Shape::List(items) => {
            let each = examples(items, &format!("{leaf}[]"), Amount::One).into_iter();
            each.map(|(leaf, class, item)| (leaf, class, json!([item]))).collect()
        }
        Shape::Map(of) => {
            let each = examples(of, &format!("{leaf}{{}}"), Amount::One).into_iter();
            each.map(|(inner, class, value)| (inner, class, json!({key(leaf): value}))).collect()
        }
        Shape::Object(fields) => {
            let one_of = alternatives(schema);
            let mut all = Vec::new();
            for (name, field) in fields {
                let mut rest = example(schema, leaf);
                if let Some(rest) = rest.as_object_mut().filter(|_| one_of.contains(name)) {
                    rest.retain(|other, _| !one_of.contains(other));
                }
                for (inner, class, value) in examples(field, &format!("{leaf}.{name}"), Amount::One) {
                    let mut whole = rest.clone();
                    whole[name] = value;
                    all.push((inner, class, whole));
                }
            }
            all
        }
    }
}

/// A small value that the rules of the field let in.
fn example(schema: &Value, leaf: &str) -> Value {
    match shape(schema) {
        Shape::Opaque | Shape::Map(_) => json!({}),
        Shape::Leaf => values(leaf, schema).swap_remove(0).1,
        Shape::List(items) => json!([example(items, &format!("{leaf}[]"))]),
        Shape::Object(fields) => {
            let mut whole = beside(leaf);
            for (name, field) in fields.iter().filter(|(name, _)| is_required(schema, name)) {
                if whole.get(name).is_none() {
                    whole[name] = example(field, &format!("{leaf}.{name}"));
                }
            }
            whole
        }
    }
}

/// What an object needs by its rules, and not by its schema.
fn beside(leaf: &str) -> Value {
    let last = leaf.rsplit('.').next().unwrap_or(leaf);
    match last {
        "clocks[]" => json!({"cron": "0 4 1 1 *"}),
        "code" => json!({"inline": "pass\n"}),
        "env[]" => json!({"value": "x"}),
        "envFrom[]" => json!({"secretRef": {"name": "there"}}),
        "autoscale" => json!({"maximum": 3}),
        "workerGroups[]" => json!({"replicas": 0}),
        _ => json!({}),
    }
}

#[cfg(test)]
mod tests {
    use super::super::schema::of_spec;
    use super::*;

    fn all(plural: &str, spec: &Value) -> Vec<Change> {
        changes(&of_spec(plural), spec, Amount::All)
    }

    fn has(changes: &[Change], operation: &Value) -> bool {
        changes.iter().any(|change| change.patch == json!([operation]))
    }

    #[test]
    fn fields_that_are_there_are_changed_and_removed_and_others_added() {
        let spec = json!({"flow": "f", "from": "2030-01-01T00:00:00Z", "to": "2031-01-01T00:00:00Z", "parallelism": 3});
        let changes = all("flowbackfills", &spec);
        assert!(has(&changes, &json!({"op": "replace", "path": "/spec/parallelism", "value": 100})));
        assert!(has(&changes, &json!({"op": "remove", "path": "/spec/parallelism"})));
        assert!(has(&changes, &json!({"op": "add", "path": "/spec/order", "value": "NewestFirst"})));
        assert!(
            has(&changes, &json!({"op": "add", "path": "/spec/clocks", "value": ["there"]})),
            "{changes:?}"
        );
    }

    #[test]
    fn an_alternative_takes_the_place_of_the_other() {
        let spec = json!({"cluster": {"ref": {"name": "a"}}, "schedule": {"clocks": [{"name": "b", "interval": "1y"}]}});
        let changes = all("flows", &spec);
        let value = json!({"address": "tcp://elsewhere.example:8786"});
        assert!(has(&changes, &json!({"op": "replace", "path": "/spec/cluster", "value": value})));
        let value = json!({"name": "b", "cron": "30 4 29 2 *"});
        assert!(has(&changes, &json!({"op": "replace", "path": "/spec/schedule/clocks/0", "value": value})));
        assert!(has(
            &changes,
            &json!({"op": "add", "path": "/spec/code", "value": {"path": "/flows/other.py"}})
        ));
    }

    #[test]
    fn one_is_a_value_and_a_removal() {
        let spec = json!({"flow": "f", "suspend": true});
        let changes = changes(&of_spec("flowruns"), &spec, Amount::One);
        let suspend: Vec<_> = changes.iter().filter(|change| change.leaf == "spec.suspend").collect();
        assert_eq!(suspend.len(), 2, "{suspend:?}");
    }

    #[test]
    fn keys_are_written_as_json_pointers_want_them() {
        let spec = json!({"image": "x", "scheduler": {"service": {"annotations": {"a/b": "c"}}}});
        let changes = all("daskclusters", &spec);
        assert!(has(&changes, &json!({"op": "remove", "path": "/spec/scheduler/service/annotations/a~1b"})));
    }
}
