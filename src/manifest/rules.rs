//! The CEL rules of a kind, asked of one object.
//!
//! `kube-cel` compiles them and has the functions of Kubernetes. Its validator is not asked: it turns each
//! part of an object into CEL once for every level that it lies below, and compiles a pattern each time
//! that it is matched, which took longer than all else that is done for a write. `tests/files/api_rules.rs`
//! holds the validator against the same objects.
//!
//! A rule that reads nothing that differs from the object that was there is not asked again: what it says is
//! known. One about a change (`oldSelf`) always is, as in Kubernetes.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube_cel::cel::objects::{Key, Map};
use kube_cel::cel::{self, Context};
use kube_cel::{CompilationResult, CompiledSchema, SchemaFormat};
use serde_json::Value;

use super::cel::{FUNCTIONS, Parts, escaped, instant};
use super::fault::Finding;
use super::way::Way;
use crate::plan::field::FieldPath;

/// The rules at one place of a schema and below it.
#[derive(Debug)]
pub(super) struct Rules {
    here: Vec<Rule>,
    /// Why others that stand here cannot be asked.
    broken: Vec<String>,
    /// What the rules here read of the value.
    reads: Parts,
    fields: BTreeMap<String, Rules>,
    items: Option<Box<Rules>>,
    /// Of a map, the rules of its values. Keys of a map are no names of fields.
    values: Option<Box<Rules>>,
    is_map: bool,
    is_instant: bool,
    /// What is here or below.
    most: Most,
}

/// The most that is to be asked in a part of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Most {
    Nothing,
    Rules,
    /// Rules about a change, which are asked of what has not changed as well.
    RulesOfChange,
}

#[derive(Debug)]
struct Rule {
    compiled: CompilationResult,
    /// What it reads of the value.
    reads: Parts,
}

impl Rules {
    /// From the schema of a kind. Rules of alternatives (`anyOf` and its like) are not looked for: the API
    /// server takes none there.
    pub fn new(schema: CompiledSchema) -> Self {
        let (mut here, mut broken, mut reads) = (Vec::new(), Vec::new(), Parts::default());
        for compiled in schema.validations {
            match compiled {
                Ok(compiled) if compiled.rule.optional_old_self == Some(true) => {
                    broken.push("rules with optionalOldSelf are not asked here".to_owned());
                }
                Ok(compiled) => {
                    let rule = Rule::new(compiled);
                    reads.add(&rule.compiled.program.expression().expr);
                    // Its message may show what the rule does not read.
                    let message = rule.compiled.message_program.iter();
                    message.for_each(|message| reads.add(&message.expression().expr));
                    here.push(rule);
                }
                Err(error) => broken.push(error.to_string()),
            }
        }
        if matches!(schema.format, SchemaFormat::Duration | SchemaFormat::Bytes) {
            broken.push("values of this format are not turned into CEL".to_owned());
        }
        let below = |schema: Option<Box<CompiledSchema>>| schema.map(|schema| Box::new(Self::new(*schema)));
        let fields: BTreeMap<String, Self> =
            schema.properties.into_iter().map(|(name, schema)| (name, Self::new(schema))).collect();
        let (items, values) = (below(schema.items), below(schema.additional_properties));
        let below = || fields.values().chain(items.as_deref()).chain(values.as_deref());
        let most_here = match &here {
            rules if rules.iter().any(Rule::is_of_change) => Most::RulesOfChange,
            rules if rules.is_empty() && broken.is_empty() => Most::Nothing,
            _ => Most::Rules,
        };
        let most = below().map(|rules| rules.most).fold(most_here, Most::max);
        let is_instant = schema.format == SchemaFormat::DateTime;
        Self { here, broken, reads, is_map: schema.is_map, is_instant, most, fields, items, values }
    }

    fn field(&self, name: &str) -> Option<&Self> {
        self.fields.get(name).or(self.values.as_deref())
    }
}

impl Rule {
    fn new(compiled: CompilationResult) -> Self {
        let mut reads = Parts::default();
        reads.add(&compiled.program.expression().expr);
        Self { compiled, reads }
    }

    fn is_of_change(&self) -> bool {
        self.compiled.is_transition_rule
    }

    /// Whether it may say something else than it said of what was there.
    fn is_open(&self, value: &Value, old: Option<&Value>) -> bool {
        match old {
            Some(old) => self.is_of_change() || !self.reads.are_same(value, old),
            None => !self.is_of_change(),
        }
    }

    /// What it says; nothing if all is well. An answer is more than that it cannot be asked.
    fn ask(&self, scope: &Context<'_>) -> Option<(bool, String)> {
        let rule = &self.compiled.rule;
        match self.compiled.program.execute(scope) {
            Ok(cel::Value::Bool(true)) => None,
            Ok(cel::Value::Bool(false)) => Some((true, self.message(scope))),
            Ok(_) => Some((false, format!("rule \"{}\" did not evaluate to bool", rule.rule))),
            Err(error) => Some((false, format!("rule evaluation error: {error}"))),
        }
    }

    fn message(&self, scope: &Context<'_>) -> String {
        let said = self.compiled.message_program.as_ref().map(|message| message.execute(scope));
        if let Some(Ok(cel::Value::String(said))) = said {
            return said.to_string();
        }
        let rule = &self.compiled.rule;
        rule.message.clone().unwrap_or_else(|| format!("failed rule: {}", rule.rule))
    }

    /// What it is about. One at the root has only the name of the metadata to look at, or whole parts of the
    /// object.
    fn path(&self, way: &Way<'_>, value: &Value) -> FieldPath {
        let (rule, path) = (&self.compiled.rule, way.path());
        if let Some(further) = &rule.field_path {
            let further = FieldPath::find(further.trim_start_matches('.'), value);
            return further.steps().iter().fold(path, |path, step| path.join(step.clone()));
        }
        if path.steps().is_empty() && rule.rule.contains("self.metadata.name") {
            return path.field("metadata").field("name");
        }
        path
    }
}

/// The rules that `object` breaks. Those about a change are asked where there is an `old` object, which must
/// have been admitted.
///
/// `fits` says that the object is of the right shape. In one that is not, rules stumble over what is wrong
/// already, and only those that give an answer are told.
pub(super) fn findings(rules: &Rules, object: &Value, old: Option<&Value>, fits: bool) -> Vec<Finding> {
    let mut asking = Asking { fits, found: Vec::new() };
    asking.value(&Way::Root, rules, object, old);
    asking.found
}

struct Asking {
    fits: bool,
    found: Vec<Finding>,
}

impl Asking {
    fn value(&mut self, way: &Way<'_>, rules: &Rules, value: &Value, old: Option<&Value>) {
        let is_known = rules.most < Most::RulesOfChange && old == Some(value);
        // The API server asks no rule of a field that is null.
        if rules.most == Most::Nothing || value.is_null() || is_known {
            return;
        }
        self.here(way, rules, value, old);
        match value {
            Value::Object(fields) => {
                for (name, field) in fields {
                    if let Some(rules) = rules.field(name) {
                        self.value(&way.field(name), rules, field, old.and_then(|old| old.get(name)));
                    }
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    if let Some(rules) = rules.items.as_deref() {
                        self.value(&way.item(index), rules, item, old.and_then(|old| old.get(index)));
                    }
                }
            }
            _ => {}
        }
    }

    fn here(&mut self, way: &Way<'_>, rules: &Rules, value: &Value, old: Option<&Value>) {
        if self.fits {
            self.found.extend(rules.broken.iter().map(|why| Finding::new(way.path(), why)));
        }
        let mut open = rules.here.iter().filter(|rule| rule.is_open(value, old)).peekable();
        if open.peek().is_none() {
            return;
        }
        let mut scope = FUNCTIONS.new_inner_scope();
        scope.add_variable_from_value("self", in_cel(value, Some(rules), &rules.reads));
        if let Some(old) = old.filter(|_| rules.here.iter().any(Rule::is_of_change)) {
            scope.add_variable_from_value("oldSelf", in_cel(old, Some(rules), &rules.reads));
        }
        for rule in open {
            if let Some((is_answer, message)) = rule.ask(&scope)
                && (is_answer || self.fits)
            {
                self.found.push(Finding::new(rule.path(way, value), message));
            }
        }
    }
}

/// The parts of a value that rules read, as CEL has them.
fn in_cel(value: &Value, rules: Option<&Rules>, parts: &Parts) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(is_true) => cel::Value::Bool(*is_true),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => cel::Value::Int(whole),
            (None, Some(whole)) => cel::Value::UInt(whole),
            (None, None) => cel::Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) if rules.is_some_and(|rules| rules.is_instant) => instant(text),
        Value::String(text) => cel::Value::String(Arc::new(text.clone())),
        Value::Array(items) => {
            let rules = rules.and_then(|rules| rules.items.as_deref());
            let items = items.iter().map(|item| in_cel(item, rules, &Parts::All)).collect();
            cel::Value::List(Arc::new(items))
        }
        Value::Object(fields) => {
            let is_map = rules.is_some_and(|rules| rules.is_map);
            let entries = fields.iter().filter_map(|(name, field)| {
                let parts = parts.of(name)?;
                let below = rules.and_then(|rules| rules.field(name));
                let key = if is_map { name.clone() } else { escaped(name) };
                Some((Key::String(Arc::new(key)), in_cel(field, below, parts)))
            });
            cel::Value::Map(Map { map: Arc::new(entries.collect()) })
        }
    }
}

#[cfg(test)]
mod tests {
    use kube_cel::compile_schema;
    use serde_json::json;

    use super::*;

    fn rules() -> Rules {
        let count = json!({
            "type": "integer",
            "x-kubernetes-validations": [{"rule": "self < 3", "message": "too many"}],
        });
        let word = json!({
            "type": "string",
            "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "must not change"}],
        });
        Rules::new(compile_schema(&json!({
            "type": "object",
            "properties": {
                "metadata": {"type": "object"},
                "at": {"type": "string", "format": "date-time"},
                "counts": {"type": "array", "items": count},
                "word": word,
            },
            "x-kubernetes-validations": [
                {"rule": "self.metadata.name != 'bad'", "messageExpression": "'not ' + self.metadata.name"},
                {"rule": "!has(self.at) || self.at < timestamp('2027-01-01T00:00:00Z')", "fieldPath": ".at"},
            ],
        })))
    }

    fn told(object: &Value, old: Option<&Value>) -> Vec<String> {
        let found = findings(&rules(), object, old, true);
        found.into_iter().map(|finding| format!("{}: {}", finding.path, finding.message)).collect()
    }

    #[test]
    fn rules_say_what_is_wrong_and_where() {
        let object =
            json!({"metadata": {"name": "bad"}, "at": "2028-01-01T00:00:00Z", "counts": [1, 5], "word": "a"});
        let late = "at: failed rule: !has(self.at) || self.at < timestamp('2027-01-01T00:00:00Z')";
        assert_eq!(told(&object, None), ["metadata.name: not bad", late, "counts[1]: too many"]);
        let other = json!({"metadata": {"name": "good"}, "counts": [1], "word": "a"});
        assert_eq!(told(&other, Some(&object)), Vec::<String>::new());
        let changed = json!({"metadata": {"name": "good"}, "word": "b"});
        assert_eq!(told(&changed, Some(&object)), ["word: must not change"]);
    }

    #[test]
    fn what_has_not_changed_is_not_asked_again_but_for_rules_about_a_change() {
        let before = json!({"metadata": {"name": "bad", "uid": "u"}, "counts": [5], "word": "a"});
        let mut after = before.clone();
        after["metadata"]["uid"] = json!("v");
        assert_eq!(told(&after, Some(&before)), Vec::<String>::new());
        after["counts"] = json!([5, 6]);
        assert_eq!(told(&after, Some(&before)), ["counts[1]: too many"]);
        let always =
            json!({"x-kubernetes-validations": [{"rule": "self.a == oldSelf.a + 1", "message": "count"}]});
        let rules = Rules::new(compile_schema(&always));
        let same = json!({"a": 1});
        assert_eq!(findings(&rules, &same, Some(&same), true).len(), 1);
    }

    #[test]
    fn a_rule_that_cannot_be_asked_is_said_of_what_fits() {
        let text = json!({"x-kubernetes-validations": [{"rule": "self.size() >"}, {"rule": "self.b == 1"}]});
        let rules = Rules::new(compile_schema(&text));
        assert_eq!(findings(&rules, &json!({"a": 1}), None, true).len(), 2);
        assert_eq!(findings(&rules, &json!({"a": 1}), None, false).len(), 0);
    }
}
