//! An object as YAML, with comments above its fields.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::manifest::first::text;
use crate::plan::field::{FieldPath, Step};

/// The most characters of a line with a comment.
const WIDTH: usize = 110;
/// Fields that come before the others of their object, in this order.
const FIRST: [&str; 15] = [
    "apiVersion",
    "kind",
    "metadata",
    "spec",
    "name",
    "namespace",
    "image",
    "command",
    "args",
    "replicas",
    "autoscale",
    "minimum",
    "threads",
    "memory",
    "daskResources",
];
/// Ends of amounts and durations, with which a number is no number for any reader.
const UNITS: [&str; 13] = ["h", "m", "s", "Ki", "Mi", "Gi", "Ti", "k", "M", "G", "T", "MB", "GB"];
/// Words that some readers take for something else than texts.
const OTHERS: [&str; 12] =
    ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "inf", "nan", "infinity"];

/// Comments by the path of the field that they stand above.
pub(super) type Comments = BTreeMap<FieldPath, Vec<String>>;

/// A document, which ends with a line break.
pub(super) fn document(object: &Value, comments: &Comments) -> String {
    let mut writer = Writer { out: String::new(), comments };
    writer.comment(&FieldPath::default(), 0);
    match object {
        Value::Object(fields) => writer.fields(fields, &FieldPath::default(), 0),
        other => {
            writer.out.push_str(&scalar(other));
            writer.out.push('\n');
        }
    }
    writer.out
}

struct Writer<'a> {
    out: String,
    comments: &'a Comments,
}

impl Writer<'_> {
    /// The fields of an object, one below the other.
    fn fields(&mut self, fields: &Map<String, Value>, path: &FieldPath, indent: usize) {
        for (name, value) in in_order(fields) {
            let path = path.field(name);
            self.comment(&path, indent);
            self.indent(indent);
            self.out.push_str(&key(name));
            self.out.push(':');
            self.value(value, &path, indent);
        }
    }

    /// What follows a colon.
    fn value(&mut self, value: &Value, path: &FieldPath, indent: usize) {
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                self.out.push('\n');
                self.fields(fields, path, indent + 2);
            }
            Value::Array(items) if !items.is_empty() => {
                self.out.push('\n');
                self.items(items, path, indent + 2);
            }
            Value::String(words) if words.contains('\n') => {
                self.out.push(' ');
                self.out.push_str(&text::block(words, indent + 2));
            }
            other => {
                self.out.push(' ');
                self.out.push_str(&scalar(other));
                self.out.push('\n');
            }
        }
    }

    /// The items of a list; each begins with a dash in which its fields are indented.
    fn items(&mut self, items: &[Value], path: &FieldPath, indent: usize) {
        for (at, item) in items.iter().enumerate() {
            let path = path.join(Step::Item(at));
            self.comment(&path, indent);
            self.indent(indent);
            self.out.push('-');
            match item {
                Value::Object(fields) if !fields.is_empty() => {
                    let mut inside = Writer { out: String::new(), comments: self.comments };
                    inside.fields(fields, &path, indent + 2);
                    self.out.push(' ');
                    self.take(&inside.out, indent + 2);
                }
                other => self.value(other, &path, indent),
            }
        }
    }

    /// Takes the fields of an item: the first one stands beside the dash, unless a comment is above it.
    fn take(&mut self, fields: &str, indent: usize) {
        if fields.trim_start().starts_with('#') {
            self.out.truncate(self.out.len() - 1);
            self.out.push('\n');
            self.out.push_str(fields);
        } else {
            self.out.push_str(fields.get(indent..).unwrap_or(fields));
        }
    }

    fn comment(&mut self, path: &FieldPath, indent: usize) {
        for comment in self.comments.get(path).into_iter().flatten() {
            let mut line = String::new();
            for word in text::comment(comment).split_whitespace() {
                if !line.is_empty() && indent + 3 + line.chars().count() + word.chars().count() > WIDTH {
                    self.line(&line, indent);
                    // The rest stands further in, so that two comments are told apart.
                    " ".clone_into(&mut line);
                }
                line.push(' ');
                line.push_str(word);
            }
            self.line(&line, indent);
        }
    }

    fn line(&mut self, words: &str, indent: usize) {
        self.indent(indent);
        self.out.push('#');
        self.out.push_str(words);
        self.out.push('\n');
    }

    fn indent(&mut self, indent: usize) {
        self.out.extend(std::iter::repeat_n(' ', indent));
    }
}

fn in_order(fields: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut all: Vec<(&String, &Value)> = fields.iter().collect();
    let rank = |name: &str| FIRST.iter().position(|first| *first == name).unwrap_or(FIRST.len());
    all.sort_by_key(|(name, _)| (rank(name), *name));
    all
}

fn key(name: &str) -> String {
    if is_plain(name) { name.to_owned() } else { text::quoted(name) }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(words) if is_plain(words) || is_amount(words) => words.clone(),
        other => text::json(other),
    }
}

/// Whether every reader of YAML takes these letters for a text, and for this one.
fn is_plain(words: &str) -> bool {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "_./-+@".contains(letter);
    let is_inside = |letter: char| is_letter(letter) || letter == ' ' || letter == ':' || letter == '=';
    let begins = words.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '/');
    let ends = words.ends_with(is_letter);
    let no_sign = !words.contains(": ") && !words.contains("  ");
    begins
        && ends
        && no_sign
        && words.chars().all(is_inside)
        && !OTHERS.contains(&words.to_lowercase().as_str())
}

/// Whether it is a whole number with a unit, such as `4Gi` or `90s`.
fn is_amount(words: &str) -> bool {
    let unit = words.trim_start_matches(|letter: char| letter.is_ascii_digit());
    unit.len() < words.len() && UNITS.contains(&unit)
}
