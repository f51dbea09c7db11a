//! What CEL needs beside its rules: which parts of a value an expression reads, names as CEL has them, and
//! the functions that it may call.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use kube_cel::KubeCelExt;
use kube_cel::cel::common::ast::Expr;
use kube_cel::cel::extractors::This;
use kube_cel::cel::{self, Context, ExecutionError, Program};
use regex::Regex;
use serde_json::Value;

/// The parts of a value that an expression reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Parts {
    /// It may read everything.
    All,
    /// It reads these fields, and of them these parts.
    Fields(BTreeMap<String, Parts>),
}

impl Default for Parts {
    fn default() -> Self {
        Self::Fields(BTreeMap::new())
    }
}

impl Parts {
    /// Adds what an expression reads of `self` and `oldSelf`.
    pub fn add(&mut self, expression: &Expr) {
        if let Some(path) = path_in_self(expression) {
            return self.add_path(&path);
        }
        match expression {
            Expr::Call(call) => {
                let all = call.target.as_deref().into_iter().chain(&call.args);
                all.for_each(|part| self.add(&part.expr));
            }
            Expr::Comprehension(over) => {
                let all = [&over.iter_range, &over.accu_init, &over.loop_cond, &over.loop_step, &over.result];
                for part in all {
                    self.add(&part.expr);
                }
            }
            Expr::List(list) => list.elements.iter().for_each(|part| self.add(&part.expr)),
            Expr::Select(select) => self.add(&select.operand.expr),
            // In no rule so far.
            Expr::Map(_) | Expr::Struct(_) => *self = Self::All,
            Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
        }
    }

    fn add_path(&mut self, path: &[&str]) {
        let Self::Fields(fields) = self else { return };
        match path.split_first() {
            // A name that CEL writes in another way than JSON is not followed.
            Some((first, rest)) if !first.contains("__") => {
                fields.entry((*first).to_owned()).or_default().add_path(rest);
            }
            _ => *self = Self::All,
        }
    }

    /// Of a field; none if it is not read.
    pub fn of(&self, field: &str) -> Option<&Self> {
        match self {
            Self::All => Some(self),
            Self::Fields(fields) => fields.get(field),
        }
    }

    /// Whether these parts are the same in both values.
    pub fn are_same(&self, one: &Value, other: &Value) -> bool {
        match self {
            Self::All => one == other,
            Self::Fields(fields) => {
                fields.iter().all(|(name, parts)| match (one.get(name), other.get(name)) {
                    (Some(one), Some(other)) => parts.are_same(one, other),
                    (one, other) => one.is_none() && other.is_none(),
                })
            }
        }
    }
}

/// The fields that lead from `self` to what the expression is, if it is a part of it.
fn path_in_self(expression: &Expr) -> Option<Vec<&str>> {
    match expression {
        Expr::Ident(name) if matches!(name.as_str(), "self" | "oldSelf") => Some(Vec::new()),
        Expr::Select(select) => {
            let mut path = path_in_self(&select.operand.expr)?;
            path.push(&select.field);
            Some(path)
        }
        _ => None,
    }
}

/// Words that are no names in CEL.
const RESERVED: &[&str] = &[
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// The name of a field as rules have it (Kubernetes, `apiserver/schema/cel/model`).
pub(super) fn escaped(name: &str) -> String {
    if RESERVED.contains(&name) {
        return format!("__{name}__");
    }
    if !name.contains(['_', '.', '-', '/']) {
        return name.to_owned();
    }
    let mut escaped = String::with_capacity(name.len() * 2);
    for c in name.chars() {
        match c {
            '_' => escaped.push_str("__"),
            '.' => escaped.push_str("__dot__"),
            '-' => escaped.push_str("__dash__"),
            '/' => escaped.push_str("__slash__"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// The functions of CEL and of Kubernetes, as a scope that others are made in.
pub(super) static FUNCTIONS: LazyLock<Context<'static>> = LazyLock::new(|| {
    let mut functions = Context::default().with_all();
    functions.add_function("matches", matches);
    functions
});

/// How many patterns are kept: those of all rules are far fewer.
const PATTERNS_MAX: usize = 1_000;

/// In place of CEL's own, which compiles the pattern at each call.
fn matches(This(text): This<Arc<String>>, pattern: Arc<String>) -> Result<bool, ExecutionError> {
    static KNOWN: LazyLock<Mutex<HashMap<Arc<String>, Regex>>> = LazyLock::new(Mutex::default);
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner).get(&pattern).cloned();
    if let Some(regex) = known {
        return Ok(regex.is_match(&text));
    }
    let regex = Regex::new(&pattern).map_err(|error| {
        ExecutionError::function_error("matches", format!("{pattern:?} is no regular expression: {error}"))
    })?;
    let is_match = regex.is_match(&text);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if known.len() < PATTERNS_MAX {
        known.insert(pattern, regex);
    }
    Ok(is_match)
}

/// An instant as CEL has it; a text that is none stays one.
pub(super) fn instant(text: &str) -> cel::Value {
    static READ: LazyLock<Option<Program>> = LazyLock::new(|| Program::compile("timestamp(text)").ok());
    let text = cel::Value::String(Arc::new(text.to_owned()));
    let mut scope = FUNCTIONS.new_inner_scope();
    scope.add_variable_from_value("text", text.clone());
    let read = READ.as_ref().and_then(|read| read.execute(&scope).ok());
    read.unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parts(rule: &str) -> Parts {
        let mut parts = Parts::default();
        parts.add(&Program::compile(rule).unwrap().expression().expr);
        parts
    }

    #[test]
    fn a_rule_reads_what_it_names() {
        let only =
            parts("has(self.a) && self.metadata.name.size() <= oldSelf.b.c && self.list.all(x, x > 1)");
        let one = json!({"a": 1, "metadata": {"name": "n", "uid": "u"}, "b": {"c": 2}, "list": [2], "d": 1});
        let mut other = one.clone();
        other["metadata"]["uid"] = json!("v");
        other["b"]["e"] = json!(1);
        other["d"] = json!(2);
        assert!(only.are_same(&one, &other));
        for (at, value) in [("/a", json!(2)), ("/b/c", json!(3)), ("/list/0", json!(3))] {
            let mut other = one.clone();
            *other.pointer_mut(at).unwrap() = value;
            assert!(!only.are_same(&one, &other), "{at}");
        }
        other.as_object_mut().unwrap().remove("a");
        assert!(!only.are_same(&one, &other));
        for all in
            ["self == oldSelf", "self.all(x, x > 1)", "size(self) > 1", "self.__in__ > 1", "{1: self.a}[1]"]
        {
            assert_eq!(parts(all), Parts::All, "{all}");
        }
    }

    #[test]
    fn names_are_written_as_rules_have_them() {
        for (name, expected) in [
            ("plain", "plain"),
            ("in", "__in__"),
            ("a_b", "a__b"),
            ("a.b-c/d", "a__dot__b__dash__c__slash__d"),
        ] {
            assert_eq!(escaped(name), expected);
        }
    }

    #[test]
    fn patterns_and_instants_are_those_of_cel() {
        let scope = FUNCTIONS.new_inner_scope();
        let ask = |rule: &str| Program::compile(rule).unwrap().execute(&scope);
        for _ in 0..2 {
            assert_eq!(ask("'abc'.matches('^a.c$')").unwrap(), cel::Value::Bool(true));
            assert_eq!(ask("'abcd'.matches('^a.c$')").unwrap(), cel::Value::Bool(false));
            assert!(ask("'a'.matches('(')").is_err());
        }
        assert_eq!(instant("2026-01-01T00:00:00Z"), ask("timestamp('2026-01-01T00:00:00Z')").unwrap());
        assert_eq!(instant("soon"), cel::Value::String(Arc::new("soon".to_owned())));
    }
}
