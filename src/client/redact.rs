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
const SECRET: [&str; 9] = [
    "password",
    "passwd",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "credential",
    "privatekey",
    "passphrase",
];
/// Annotations that hold a copy of an object as it was applied.
const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The forms that credentials have, and what is put in their place.
const FORMS: [(&str, &str); 6] = [
    (r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)", "REDACTED"),
    (r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}", "$1 REDACTED"),
    (r"://[^/\s:@]*:[^/\s@]+@", "://REDACTED@"),
    // Tokens of JSON.
    (r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*", "REDACTED"),
    // Tokens of GitHub, GitLab, Slack, AWS and others, by how they begin.
    (r"\b(?:gh[opsu]_|github_pat_|glpat-|xox[abprs]-|AKIA|ASIA|sk-|pnu_)[A-Za-z0-9_-]{12,}", "REDACTED"),
    (r"\bsv=[0-9-]+&[^\s]*sig=[^\s&]+", "REDACTED"),
];
/// A name that is secret, and its value, as in settings, options, JSON and Python.
const ASSIGNED: &str = r#"(?i)([\w.-]*(?:password|passwd|secret|token|api[_-]?key|access[_-]?key|credential|private[_-]?key|passphrase)[\w.-]*\\?["']?\s*[:=]\s*)("[^"]*"|'[^']*'|\\"[^"]*"|[^\s,;&"'}\)\]]+)"#;

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
        // Pods have variables of daskflow's own too, such as the Flow's name, which is no secret.
        let is_written = object.get("kind").and_then(Value::as_str) != Some("Pod");
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
            if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
                annotations.remove(APPLIED);
            }
        }
        self.fields(object, is_written);
    }

    fn fields(&mut self, value: &mut Value, is_written: bool) {
        match value {
            Value::Object(fields) => {
                for (name, field) in fields.iter_mut() {
                    self.field(name, field, is_written);
                }
            }
            Value::Array(entries) => self.entries(entries, is_written),
            _ => {}
        }
    }

    fn field(&mut self, name: &str, field: &mut Value, is_written: bool) {
        match (name, &mut *field) {
            ("env", Value::Array(variables)) => {
                for variable in variables.iter_mut().filter_map(Value::as_object_mut) {
                    self.variable(variable, is_written);
                }
            }
            // It is a whole program of the user's.
            ("inline", Value::String(script)) => {
                *field =
                    Value::from(format!("{REDACTED}: a script of {} characters", script.chars().count()));
            }
            (
                "parameters" | "mergedParameters" | "labels" | "annotations" | "values",
                Value::Object(entries),
            ) => {
                self.named(entries, is_written);
            }
            _ => self.fields(field, is_written),
        }
    }

    /// The value of an environment variable is taken out whatever its name is.
    fn variable(&mut self, variable: &mut Map<String, Value>, is_written: bool) {
        let is_secret = variable.get("name").and_then(Value::as_str).is_some_and(is_secret);
        if let Some(value) = variable.get_mut("value") {
            self.take(value, is_written || is_secret);
        }
    }

    /// Entries whose names are a user's.
    fn named(&mut self, entries: &mut Map<String, Value>, is_written: bool) {
        for (name, entry) in entries.iter_mut() {
            if is_secret(name) {
                self.take(entry, true);
            } else if let Value::Object(inner) = entry {
                self.named(inner, is_written);
            } else {
                self.fields(entry, is_written);
            }
        }
    }

    /// Of a command, what stands behind an option whose name is secret.
    fn entries(&mut self, entries: &mut [Value], is_written: bool) {
        let mut is_behind = false;
        for entry in entries {
            let option = entry.as_str().filter(|text| text.starts_with('-') && !text.contains('='));
            let is_option = option.is_some_and(is_secret);
            if is_behind && entry.is_string() {
                self.take(entry, true);
            } else {
                self.fields(entry, is_written);
            }
            is_behind = is_option;
        }
    }

    /// Takes a value out, and remembers it if it is to be looked for elsewhere.
    fn take(&mut self, value: &mut Value, is_known: bool) {
        if is_known {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            self.remember(&text);
        }
        *value = Value::from(REDACTED);
    }

    fn remember(&mut self, text: &str) {
        for part in text.lines().map(str::trim).filter(|part| part.len() >= VALUE_MIN) {
            self.values.push(part.to_owned());
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
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn credentials_in_texts_are_taken_out() {
        let redactor = Redactor::new().unwrap();
        for (text, rest) in [
            ("Authorization: Bearer abcdefgh.ijkl", "Authorization: Bearer REDACTED"),
            ("postgres://me:hunter2@db/x?a=1", "postgres://REDACTED@db/x?a=1"),
            ("password=hunter2 next", "password=REDACTED next"),
            ("DB_PASSWORD: hunter2, ok", "DB_PASSWORD: REDACTED, ok"),
            ("{\"api_key\": \"hunter 2\", \"a\": 1}", "{\"api_key\": REDACTED, \"a\": 1}"),
            ("connect(token='hunter 2')", "connect(token=REDACTED)"),
            ("eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM.c2lnbmF0dXJl!", "REDACTED!"),
            ("ghp_0123456789abcdefABCD", "REDACTED"),
            ("AKIA0123456789ABCDEF", "REDACTED"),
            ("a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\n", "a\nREDACTED"),
            ("the Secret team/x has no tls.key", "the Secret team/x has no tls.key"),
            ("3 of 7 parts at http://a:8787/status", "3 of 7 parts at http://a:8787/status"),
        ] {
            assert_eq!(redactor.text(text), rest);
        }
    }

    #[test]
    fn what_is_secret_in_an_object_is_taken_out_there_and_elsewhere() {
        let mut redactor = Redactor::new().unwrap();
        let mut flow = json!({
            "kind": "Flow",
            "metadata": {"name": "etl", "annotations": {APPLIED: "all of it", "note": "a"}, "managedFields": [1]},
            "spec": {
                "env": [{"name": "REGION", "value": "north-1"}, {"name": "X", "valueFrom": {"secretKeyRef": {"name": "s"}}}],
                "parameters": {"days": 7, "db": {"password": "hunter2"}, "api_tokens": ["tok-12345"]},
                "args": ["--fast", "--db-password", "hunter3", "last"],
                "code": {"inline": "print('hi')"},
                "template": {"spec": {"containers": [{"env": [{"name": "A", "value": "deep-value"}]}]}},
            },
        });
        redactor.object(&mut flow);
        let wanted = json!({
            "kind": "Flow",
            "metadata": {"name": "etl", "annotations": {"note": "a"}},
            "spec": {
                "env": [{"name": "REGION", "value": REDACTED}, {"name": "X", "valueFrom": {"secretKeyRef": {"name": "s"}}}],
                "parameters": {"days": 7, "db": {"password": REDACTED}, "api_tokens": REDACTED},
                "args": ["--fast", "--db-password", REDACTED, "last"],
                "code": {"inline": "REDACTED: a script of 11 characters"},
                "template": {"spec": {"containers": [{"env": [{"name": "A", "value": REDACTED}]}]}},
            },
        });
        assert_eq!(flow, wanted);
        let log = "in north-1 as hunter2, hunter3 and deep-value";
        assert_eq!(redactor.text(log), "in REDACTED as REDACTED, REDACTED and REDACTED");
        // What daskflow itself gives to a pod is no secret elsewhere.
        let mut pod = json!({"kind": "Pod", "spec": {"env": [
            {"name": "DASKFLOW_FLOW", "value": "nightly-report"}, {"name": "DB_PASSWORD", "value": "hunter4"},
        ]}});
        redactor.object(&mut pod);
        assert_eq!(redactor.text("nightly-report hunter4"), "nightly-report REDACTED");
    }
}
