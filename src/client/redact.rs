//! What must not leave a cluster, taken out of objects and of texts: what a person sends with a question is
//! read by others.
//!
//! Secrets are never read at all. Here it is about what is written elsewhere: values of environment
//! variables, parameters and options whose names say that they are secret, credentials in addresses and in
//! logs.

use regex::{Captures, Regex};
use serde_json::{Map, Value};

/// What stands in the place of what is taken out.
pub const REDACTED: &str = "REDACTED";
/// Values that are shorter are not looked for elsewhere: they would be found in any word.
const VALUE_MIN: usize = 6;
/// Words of names whose values are secret.
const SECRET: [&str; 11] = [
    "password",
    "passwd",
    "pwd",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "accountkey",
    "credential",
    "privatekey",
    "passphrase",
];
/// Fields of Kubernetes and of ours with such names that say where a secret is, or whether there is one.
const REFERENCES: [&str; 5] = [
    "secretName",
    "secretNamespace",
    "automountServiceAccountToken",
    "gmsaCredentialSpecName",
    "credentialBundlePath",
];
/// How the names of the variables begin that daskflow itself gives to pods: their values are no secrets.
const OURS: [&str; 7] = [
    "DASKFLOW_",
    "DASK_",
    "PREFECT__CONTEXT__",
    "PREFECT__ENGINE__EXECUTOR__",
    "PREFECT__FLOWS__RUN_ON_SCHEDULE",
    "PYTHONUNBUFFERED",
    "PYTZDATA_TZDATADIR",
];
/// Annotations that hold a copy of an object as it was applied.
const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The forms that credentials have, and what is put in their place.
const FORMS: [(&str, &str); 9] = [
    (
        r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|\z)",
        "REDACTED",
    ),
    // The end of a log may begin inside a key.
    (r"\A[\s\S]*-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----", "REDACTED"),
    (r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}", "$1 REDACTED"),
    // A password may have any sign in it: all is taken up to the last @.
    (r#"://[^\s/@:"'<>]*:[^\s"'<>]*@"#, "://REDACTED@"),
    (r"://[^\s/]+@", "://REDACTED@"),
    // Tokens of JSON.
    (r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*", "REDACTED"),
    // Tokens of GitHub, GitLab, Slack, AWS and others, by how they begin.
    (r"\b(?:gh[opsu]_|github_pat_|glpat-|xox[abprs]-|AKIA|ASIA|sk-|pnu_)[A-Za-z0-9_-]{12,}", "REDACTED"),
    (r"\bsv=[0-9-]+&[^\s]*sig=[^\s&]+", "REDACTED"),
    // Addresses that are signed, as those of S3, of Google and of CloudFront.
    (r#"(?i)((?:^|[?&;,\s]|\bx-[a-z]+-)sig(?:nature)?=)[^\s&;,"']+"#, "${1}REDACTED"),
];
/// A name that is secret, and its value, as in settings, options, JSON and Python.
const ASSIGNED: &str = r#"(?i)([\w.-]*(?:password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|account[_-]?key|credential|private[_-]?key|passphrase)[\w.-]*\\?["']?\s*[:=]\s*)("[^"]*"|'[^']*'|\\"[^"]*"|[^\s,;&"'}\)\]]+)"#;

/// Where a field is.
#[derive(Clone, Copy)]
struct Place {
    /// In an object that a person has written: Pods have variables of daskflow's own too.
    is_written: bool,
    /// Where all names are a user's: below parameters, labels and the like.
    is_named: bool,
}

/// Takes out what is secret.
pub struct Redactor {
    forms: Vec<(Regex, &'static str)>,
    assigned: Regex,
    /// Values that were taken out of objects, the longest first.
    values: Vec<String>,
}

impl Redactor {
    /// One that has seen no object yet.
    ///
    /// # Errors
    /// A form is no regular expression, which is never so.
    pub fn new() -> Result<Self, regex::Error> {
        let forms = FORMS.into_iter().map(|(form, by)| Ok((Regex::new(form)?, by)));
        Ok(Self {
            forms: forms.collect::<Result<_, _>>()?,
            assigned: Regex::new(ASSIGNED)?,
            values: Vec::new(),
        })
    }

    /// Takes out what is secret in an object, but for texts that have it from elsewhere: for those all
    /// objects must have been seen.
    pub fn object(&mut self, object: &mut Value) {
        let is_written = object.get("kind").and_then(Value::as_str) != Some("Pod");
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
            if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
                annotations.remove(APPLIED);
            }
        }
        self.fields(object, Place { is_written, is_named: false });
    }

    fn fields(&mut self, value: &mut Value, place: Place) {
        match value {
            Value::Object(fields) => {
                for (name, field) in fields.iter_mut() {
                    if place.is_named {
                        self.named(name, field, place);
                    } else {
                        self.field(name, field, place);
                    }
                }
                // A header of a request, or a parameter in a list.
                let is_pair = fields.get("name").and_then(Value::as_str).is_some_and(is_secret);
                if let Some(value) = fields.get_mut("value").filter(|_| is_pair) {
                    self.take(value, true);
                }
            }
            Value::Array(entries) => self.entries(entries, place),
            _ => {}
        }
    }

    fn field(&mut self, name: &str, field: &mut Value, place: Place) {
        match (name, &mut *field) {
            ("env", Value::Array(variables)) => {
                for variable in variables.iter_mut().filter_map(Value::as_object_mut) {
                    self.variable(variable, place);
                }
            }
            // It is a whole program of the user's.
            ("inline", Value::String(script)) => {
                *field =
                    Value::from(format!("{REDACTED}: a script of {} characters", script.chars().count()));
            }
            (
                "parameters" | "mergedParameters" | "labels" | "annotations" | "values",
                Value::Object(_) | Value::Array(_),
            ) => {
                self.fields(field, Place { is_named: true, ..place });
            }
            (_, Value::String(_) | Value::Number(_)) if is_secret(name) && !REFERENCES.contains(&name) => {
                self.take(field, true);
            }
            _ => self.fields(field, place),
        }
    }

    /// The value of an environment variable is taken out whatever its name is.
    fn variable(&mut self, variable: &mut Map<String, Value>, place: Place) {
        let name = variable.get("name").and_then(Value::as_str).unwrap_or_default();
        let is_ours = !place.is_written && OURS.iter().any(|begin| name.starts_with(begin));
        let is_known = !is_ours || is_secret(name);
        if let Some(value) = variable.get_mut("value") {
            self.take(value, is_known);
        }
    }

    /// An entry whose name is a user's.
    fn named(&mut self, name: &str, entry: &mut Value, place: Place) {
        if is_secret(name) {
            self.take(entry, true);
        } else {
            self.fields(entry, place);
        }
    }

    /// Of a command, what stands behind an option whose name is secret.
    fn entries(&mut self, entries: &mut [Value], place: Place) {
        let mut is_behind = false;
        for entry in entries {
            let option = entry.as_str().filter(|text| text.starts_with('-') && !text.contains('='));
            let is_option = option.is_some_and(is_secret);
            if is_behind && entry.is_string() {
                self.take(entry, true);
            } else {
                self.fields(entry, place);
            }
            is_behind = is_option;
        }
    }

    /// Takes a value out, and remembers it if it is to be looked for elsewhere.
    fn take(&mut self, value: &mut Value, is_known: bool) {
        if is_known {
            self.remember_all(value);
        }
        *value = Value::from(REDACTED);
    }

    /// Each part is remembered by itself: a log may have any one of them.
    fn remember_all(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.remember(text),
            Value::Number(number) => self.remember(&number.to_string()),
            Value::Array(entries) => entries.iter().for_each(|entry| self.remember_all(entry)),
            Value::Object(fields) => fields.values().for_each(|field| self.remember_all(field)),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn remember(&mut self, text: &str) {
        for part in text.lines().map(str::trim).filter(|part| part.len() >= VALUE_MIN) {
            self.values.push(part.to_owned());
            // As it is in JSON, and in most of what Python prints.
            let quoted = Value::from(part).to_string();
            let quoted = quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
            self.values.extend(quoted.filter(|quoted| *quoted != part).map(str::to_owned));
        }
        // Of two of which one begins with the other the longer one goes first.
        self.values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        self.values.dedup();
    }

    /// A text without what is secret in it.
    pub fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for value in &self.values {
            text = text.replace(value, REDACTED);
        }
        for (form, by) in &self.forms {
            text = form.replace_all(&text, *by).into_owned();
        }
        let by =
            |found: &Captures<'_>| format!("{}{REDACTED}", found.get(1).map_or("", |name| name.as_str()));
        self.assigned.replace_all(&text, by).into_owned()
    }

    /// The texts of an object, without what is secret in them.
    pub fn texts(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(entries) => entries.iter_mut().for_each(|entry| self.texts(entry)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.texts(field)),
            _ => {}
        }
    }
}

/// Whether a name says that its value is secret.
fn is_secret(name: &str) -> bool {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
    SECRET.iter().any(|word| plain.contains(word))
}

#[cfg(test)]
mod tests;
