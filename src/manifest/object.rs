//! The objects in a text, and all that is wrong with each.

use jiff::Timestamp;
use serde_json::Value;

use super::fault::{Fault, Finding};
use super::schemas::SCHEMAS;
use super::similar::similar;
use super::yaml::{Content, Document, Node, documents};
use super::{kustomization, list, metadata, placeholder, planner, rules, schema};
use crate::api::{GROUP, Kind, VERSION};
use crate::plan::field::FieldPath;

/// An object of ours.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Its kind.
    pub kind: Kind,
    /// The line that it begins on, from 1.
    pub line: usize,
    /// The object, with nulls that are no values taken out.
    pub object: Value,
    /// What is wrong with it, by line.
    pub faults: Vec<Fault>,
    /// What may be meant otherwise, by line. Looked for where nothing is wrong.
    pub hints: Vec<Fault>,
}

/// What a text holds.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// Our objects in their order.
    pub manifests: Vec<Manifest>,
    /// How many objects are of other kinds, which nothing is said about.
    pub others: usize,
    /// Those objects, with the lines that they begin on.
    pub foreign: Vec<(usize, Value)>,
    /// What is wrong with the text, apart from its objects, and hints about it.
    pub faults: Vec<Fault>,
    /// The lines on which objects begin, and whether they are others'.
    starts: Vec<(usize, bool)>,
    /// What has ended by then may be meant otherwise.
    now: Option<Timestamp>,
}

/// Checks all objects of a text: YAML with any number of documents, or JSON. Lists of objects are looked
/// into.
pub fn check(text: &str) -> Checked {
    check_with(text, Checked::default())
}

/// The same, with hints about what has ended by `now`.
pub fn check_at(text: &str, now: Timestamp) -> Checked {
    check_with(text, Checked { now: Some(now), ..Checked::default() })
}

fn check_with(text: &str, mut checked: Checked) -> Checked {
    let (documents, broken) = documents(text);
    for document in documents {
        checked.take(&document);
    }
    checked.faults.extend(broken);
    checked
}

impl Checked {
    fn take(&mut self, document: &Document) {
        self.object(&document.root);
        // How others write their objects is theirs.
        let is_others = |line: usize| {
            let before = self.starts.iter().filter(|(start, _)| *start <= line);
            before.max_by_key(|(start, _)| *start).is_some_and(|(_, others)| *others)
        };
        let ours = document.faults.iter().filter(|fault| !is_others(fault.line)).cloned();
        let ours: Vec<Fault> = ours.collect();
        self.faults.extend(ours);
    }

    fn object(&mut self, node: &Node) {
        let Content::Map(_) = node.content else {
            return self.say(
                node.line,
                "",
                "this is no object: write apiVersion, kind and what belongs to them",
            );
        };
        if let Some(named) = kustomization::named(node) {
            return self.object(&named);
        }
        let (Some(version), Some(kind)) = (self.word(node, "apiVersion"), self.word(node, "kind")) else {
            return;
        };
        if let Some(items) = list::items(node) {
            return items.iter().for_each(|item| self.object(item));
        }
        let (group, version_word) = version.1.split_once('/').unwrap_or(("", &version.1));
        if group != GROUP {
            if group.contains("daskflow") && Kind::named(GROUP, &kind.1).is_some() {
                let message = format!(
                    "this is no object of daskflow, and is passed over: those have {GROUP}/{VERSION}"
                );
                self.hint(version.0, "apiVersion", &message);
            }
            self.others += 1;
            self.foreign.push((node.line, node.to_value()));
            return self.starts.push((node.line, true));
        }
        self.starts.push((node.line, false));
        if version_word != VERSION {
            let message = format!("{GROUP} has no version {version_word}: write {GROUP}/{VERSION}");
            return self.say(version.0, "apiVersion", &message);
        }
        if let Some(known) = Kind::named(group, &kind.1) {
            return self.manifests.push(manifest(known, node, self.now));
        }
        let names = Kind::ALL.map(Kind::as_str);
        let meant = similar(&kind.1, names).map(|meant| format!("; did you mean {meant}?"));
        let all = names.join(", ");
        let message = format!("{GROUP} has no kind {}: there are {all}{}", kind.1, meant.unwrap_or_default());
        self.say(kind.0, "kind", &message);
    }

    /// A field that every object has, and its line.
    fn word(&mut self, node: &Node, field: &str) -> Option<(usize, String)> {
        let entry = node.get(field);
        if let Some(entry) = entry
            && let Content::Scalar(Value::String(word)) = &entry.value.content
        {
            return Some((entry.line, word.clone()));
        }
        let line = entry.map_or(node.line, |entry| entry.line);
        self.say(line, field, "Required value: every object says its apiVersion and its kind");
        None
    }

    fn hint(&mut self, line: usize, field: &str, message: &str) {
        let hint = Fault { field: field.to_owned(), hint: true, ..Fault::of_text(line, message) };
        self.faults.push(hint);
    }

    fn say(&mut self, line: usize, field: &str, message: &str) {
        self.faults.push(Fault { field: field.to_owned(), ..Fault::of_text(line, message) });
    }
}

fn manifest(kind: Kind, node: &Node, now: Option<Timestamp>) -> Manifest {
    let mut object = node.to_value();
    let mut found = Vec::new();
    if let Some(schema) = SCHEMAS.get(kind.as_str()) {
        schema::prune_nulls(&schema.openapi, &mut object, None);
        found = schema::findings(&schema.openapi, &object);
        found.extend(metadata::findings(&object));
        let mut mended = object.clone();
        metadata::generate_name(&mut mended);
        let fits = found.iter().all(|finding| finding.repair.is_none());
        // The API server fills in the defaults before it asks the rules.
        let mut filled = mended.clone();
        schema::fill_in(&schema.openapi, &mut filled, None);
        found.extend(rules::findings(&schema.rules, &filled, None, fits));
        let refused = mend(&mut mended, &found);
        found.extend(planner::findings(kind, &mended, &refused));
    }
    let mut faults: Vec<Fault> = found.into_iter().map(|finding| fault(node, finding)).collect();
    for fault in &mut faults {
        placeholder::explain(fault, &object);
    }
    faults.sort_by_key(|fault| fault.line);
    let mut hints = Vec::new();
    if faults.is_empty() {
        let found = planner::hints(kind, &object, now).into_iter().chain(placeholder::hints(&object));
        hints.extend(found.map(|finding| Fault { hint: true, ..fault(node, finding) }));
        hints.sort_by_key(|hint| hint.line);
    }
    Manifest { kind, line: node.line, object, faults, hints }
}

/// Replaces what the schema refuses by something of the right type, and says where that was.
fn mend(object: &mut Value, found: &[Finding]) -> Vec<FieldPath> {
    let mut refused = Vec::new();
    for finding in found {
        if let Some(repair) = &finding.repair {
            finding.path.put(object, repair.clone());
            refused.push(finding.path.clone());
        }
    }
    refused
}

fn fault(node: &Node, finding: Finding) -> Fault {
    Fault {
        line: node.line_of(&finding.path),
        field: finding.path.to_string(),
        reason: finding.reason.map(crate::api::Reason::as_str),
        message: finding.message,
        hint: false,
    }
}
