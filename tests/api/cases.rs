//! The table of objects that obey the rules of the API and of objects that break one:
//! `tests/api/{good,bad}/*.yaml`.
//!
//! One table, three judges: `tests/files/api_rules.rs` asks the rules themselves, without a cluster,
//! `tests/files/cluster_api.rs` the API in this process; the end-to-end test
//! `rules_hold_on_the_real_api_server` asks a real API server.
//!
//! A file holds one object, or two: then the second replaces the first, and it is the second that is judged.
//! A bad one starts with what it is refused for:
//!
//! ```yaml
//! # field: spec.cluster            (the path that is named; none when it is the object itself)
//! # message: write exactly one of …
//! # by: schema                     (see `Judge`; default: rule)
//! ```

use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

/// Who finds the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judge {
    /// A CEL rule of the CRD.
    Rule,
    /// A bound, a required field or a set of words in the CRD's schema.
    Schema,
    /// Something that only the API server checks, such as unknown fields.
    Server,
}

/// What a bad object is refused for.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The path that the message is about; empty for the object as a whole.
    pub field: String,
    /// What the user is told.
    pub message: String,
    /// Who finds the fault.
    pub by: Judge,
}

impl Refusal {
    /// Whether an API server says what the table says. It calls the object as a whole `<nil>`.
    pub fn is_said(&self, message: &str) -> bool {
        let field = if self.field.is_empty() { "<nil>" } else { &self.field };
        match self.by {
            Judge::Server if self.field.is_empty() => message.contains(&self.message),
            _ => (message.split(&format!("{field}: ")))
                .skip(1)
                .any(|rest| first_fault(rest).contains(&self.message)),
        }
    }
}

/// Several faults come as `[field: fault, field: fault]`; each ends where the next known word for a fault
/// begins.
fn first_fault(rest: &str) -> &str {
    let words =
        [": Invalid value: ", ": Required value", ": Unsupported value: ", ": Duplicate value: ", ": Too "];
    let start = words.iter().filter_map(|word| rest.find(word)).min().unwrap_or(rest.len());
    &rest[..start]
}

/// One file of the table.
#[derive(Clone, Debug)]
pub struct Case {
    /// The file's name without its ending.
    pub name: String,
    /// What stands there before, if the case is a change.
    pub before: Option<Value>,
    /// The object that is judged.
    pub object: Value,
    /// None for a good object.
    pub refusal: Option<Refusal>,
}

impl Case {
    /// The kind of the object.
    pub fn kind(&self) -> &str {
        self.object["kind"].as_str().expect("every object has a kind")
    }
}

/// The objects that must be accepted.
pub fn good() -> Vec<Case> {
    let cases = read_folder("good");
    assert!(cases.iter().all(|case| case.refusal.is_none()), "a good object has no message");
    cases
}

/// The objects that must be refused, each with what for.
pub fn bad() -> Vec<Case> {
    let cases = read_folder("bad");
    for case in &cases {
        assert!(case.refusal.is_some(), "bad/{}.yaml does not say what it is refused for", case.name);
    }
    cases
}

fn read_folder(folder: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api").join(folder);
    let mut files: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "no objects in {folder}");
    files.iter().map(|file| read_case(file)).collect()
}

fn read_case(file: &Path) -> Case {
    let name = file.file_stem().unwrap().to_string_lossy().into_owned();
    let text = fs::read_to_string(file).unwrap();
    let mut objects: Vec<Value> = serde_yaml::Deserializer::from_str(&text)
        .map(|document| Value::deserialize(document).unwrap_or_else(|error| panic!("{name}: {error}")))
        .collect();
    let object = objects.pop().unwrap_or_else(|| panic!("{name} is empty"));
    let before = objects.pop();
    assert!(objects.is_empty(), "{name} holds more than two objects");
    Case { name, before, object, refusal: refusal(&text) }
}

fn refusal(text: &str) -> Option<Refusal> {
    let header = |key: &str| {
        let start = format!("# {key}: ");
        text.lines().take_while(|line| line.starts_with('#')).find_map(|line| line.strip_prefix(&start))
    };
    let by = match header("by") {
        None => Judge::Rule,
        Some("schema") => Judge::Schema,
        Some("server") => Judge::Server,
        Some(other) => panic!("nobody is called {other}"),
    };
    let message = header("message")?.to_owned();
    Some(Refusal { field: header("field").unwrap_or_default().to_owned(), message, by })
}
