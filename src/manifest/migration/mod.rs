//! Manifests of dask-kubernetes as ours: texts in, one text out, and what cannot be moved.
//!
//! What it is: [`crate::plan::compat`] with lines and files around it. All texts are given together, since an
//! object there may be a part of one in another file. What comes out has comments where something is
//! different, and is [checked](super::check) as any text of a user's before it is given to anyone.
//!
//! What it is not: it reads no file.

mod defaults;
mod place;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeMap;

use serde_json::Value;

use super::fault::Fault;
use super::object::check;
use super::yaml::{Node, documents};
use super::{kustomization, list, placeholder};
use crate::plan::compat::{self, Effect, GROUP, Remark, Translated};
use crate::plan::field::FieldPath;

/// What manifests become.
#[derive(Clone, Debug, Default)]
pub struct Migration {
    /// Our manifests.
    pub text: String,
    /// How many objects of dask-kubernetes there were.
    pub theirs: usize,
    /// How many objects are written.
    pub ours: usize,
    /// How many objects of other kinds there were, which stay as they are.
    pub others: usize,
    /// How many there were of each of those kinds, with its group where it has one.
    pub kinds: BTreeMap<String, usize>,
    /// What is wrong, by text and line. Hints are about what is not written and need not be, and where
    /// another object is that a fault names.
    pub faults: Vec<(usize, Fault)>,
}

/// An object of theirs and the text that it is from.
struct Source {
    text: usize,
    node: Node,
}

impl Source {
    /// The object in words, with a space behind them.
    fn title(&self) -> String {
        let object = self.node.to_value();
        let word = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let name = ["/metadata/name", "/metadata/generateName"].map(word);
        let name = name.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
        format!("{} {name} ", word("/kind"))
    }
}

/// The objects that are written, by kind, namespace and name, each with the place of the one of theirs.
#[derive(Default)]
struct Names(BTreeMap<[String; 3], usize>);

impl Names {
    /// Whether something is written for this one.
    fn has_of(&self, of: usize) -> bool {
        self.0.values().any(|other| *other == of)
    }
}

/// Writes what the objects in these texts become.
pub fn migrate(texts: &[&str]) -> Migration {
    let mut migration = Migration::default();
    let mut sources = Vec::new();
    for (text, content) in texts.iter().enumerate() {
        let (documents, broken) = documents(content);
        for document in documents {
            migration.faults.extend(document.faults.into_iter().map(|fault| (text, fault)));
            migration.collect(text, document.root, &mut sources);
        }
        migration.faults.extend(broken.map(|fault| (text, of_template(fault))));
    }
    migration.theirs = sources.len();
    let objects: Vec<Value> = sources.iter().map(|source| source.node.to_value()).collect();
    let mut names = Names::default();
    for translated in compat::translate(&objects) {
        migration.write(&translated, &sources, &mut names);
    }
    migration.faults.sort_by_key(|(text, fault)| (*text, fault.line));
    migration
}

impl Migration {
    fn collect(&mut self, text: usize, node: Node, sources: &mut Vec<Source>) {
        let node = kustomization::named(&node).unwrap_or(node);
        if let Some(items) = list::items(&node) {
            return items.into_iter().for_each(|item| self.collect(text, item, sources));
        }
        let group = node.word("apiVersion").unwrap_or_default().split_once('/').map(|(group, _)| group);
        if group == Some(GROUP) {
            return sources.push(Source { text, node });
        }
        self.others += 1;
        if let Some(kind) = node.word("kind") {
            let kind = group.map_or_else(|| kind.to_owned(), |group| format!("{kind} of {group}"));
            *self.kinds.entry(kind).or_default() += 1;
        }
    }

    fn write(&mut self, translated: &Translated, sources: &[Source], names: &mut Names) {
        let objects: serde_json::Result<Vec<Value>> =
            translated.written.iter().map(|written| written.object.to_value()).collect();
        let mut objects = objects.unwrap_or_default();
        objects.iter_mut().for_each(defaults::take_out);
        if let Some(doubles) = doubles(&objects, translated.of, (names, sources)) {
            return self.faults.extend(doubles.iter().filter_map(|remark| fault(remark, sources)));
        }
        if let Some(flow) = translated.relies_on.filter(|flow| !names.has_of(*flow)) {
            return self.faults.extend(fault(&without_flow(translated.of, flow, sources), sources));
        }
        let is_written = !objects.is_empty();
        let (refused, changed): (Vec<&Remark>, Vec<&Remark>) =
            translated.remarks.iter().partition(|remark| remark.effect == Effect::Refused);
        let mut documents = Vec::new();
        for (at, (object, written)) in objects.iter().zip(&translated.written).enumerate() {
            let mut comments = write::Comments::new();
            if at == 0 {
                comments = comments_of(object, translated.of, (&changed, sources));
            }
            if let Some(comment) = &written.comment {
                comments.entry(FieldPath::default()).or_default().push(comment.clone());
            }
            documents.push(write::document(object, &comments));
        }
        let text = documents.join("---\n");
        let refusals = refusals(&text);
        if refusals.is_empty() {
            self.ours += documents.len();
            names.0.extend(objects.iter().filter_map(name_of).map(|name| (name, translated.of)));
            if is_written && !self.text.is_empty() {
                self.text.push_str("---\n");
            }
            self.text.push_str(&text);
        }
        // Why there is nothing; what would have changed is of no use then.
        let is_left_out = !is_written && refused.is_empty();
        let said = if is_left_out { changed } else { refused };
        self.faults.extend(said.into_iter().filter_map(|remark| fault(remark, sources)));
        let root = sources.get(translated.of);
        let found =
            root.map(|root| refusals.into_iter().map(|refusal| (root.text, refused_of(root, refusal))));
        self.faults.extend(found.into_iter().flatten());
    }
}

/// The kind, namespace and name of an object; none where it is given a name when it is created.
fn name_of(object: &Value) -> Option<[String; 3]> {
    let word = |path: &str| object.pointer(path).and_then(Value::as_str);
    let name = word("/metadata/name")?;
    Some([word("/kind")?, word("/metadata/namespace").unwrap_or_default(), name].map(str::to_owned))
}

/// What is said of objects of which one has the name of another that is written already: of two that are
/// applied, only the second would be there.
fn doubles(objects: &[Value], of: usize, (names, sources): (&Names, &[Source])) -> Option<[Remark; 2]> {
    let (kind, name, first) = { objects.iter() }.find_map(|object| {
        let [kind, namespace, name] = name_of(object)?;
        let first = names.0.get(&[kind.clone(), namespace, name.clone()])?;
        Some((kind, name, *first))
    })?;
    let title = |of: usize| sources.get(of).map(Source::title).unwrap_or_default();
    let remark = |of: usize, effect: Effect, message: String| {
        let object = sources.get(of).map(|source| source.node.to_value()).unwrap_or_default();
        let is_named = object.pointer("/metadata/name").is_some();
        let field = if is_named { "metadata.name" } else { "metadata.generateName" }.to_owned();
        Remark { of, field, effect, place: String::new(), message }
    };
    let refused = format!(
        "the {kind} {name} is written for the {}already: give one of them another name",
        title(first)
    );
    let other = format!("the {kind} {name} is written for this, and not for the {}too", title(of));
    Some([remark(of, Effect::Refused, refused), remark(first, Effect::Changed, other)])
}

/// What is said of a job whose run is of a Flow that is not written.
fn without_flow(of: usize, flow: usize, sources: &[Source]) -> Remark {
    let title = sources.get(flow).map(Source::title).unwrap_or_default();
    let message = format!("its Flow would be the one that is written for the {title}and that is refused");
    let field = "metadata.generateName".to_owned();
    Remark { of, field, effect: Effect::Refused, place: String::new(), message }
}

/// What is refused of a text that was written, if anything, and the object that it is of.
fn refusals(text: &str) -> Vec<(Value, Fault)> {
    let checked = check(text);
    let of_objects = checked.manifests.into_iter().flat_map(|manifest| {
        let object = manifest.object;
        manifest.faults.into_iter().map(move |fault| (object.clone(), fault))
    });
    of_objects.chain(checked.faults.into_iter().map(|fault| (Value::Null, fault))).collect()
}

/// A refusal of what was written, at the field of theirs that it comes from.
fn refused_of(root: &Source, (ours, refusal): (Value, Fault)) -> Fault {
    let path = place::in_theirs(&refusal.field, &ours, &root.node.to_value());
    let field = path.to_string();
    let of_ours = if refusal.field == field { String::new() } else { format!("{}: ", refusal.field) };
    Fault {
        line: root.node.line_of(&path),
        field,
        ..Fault::of_text(0, format!("what it would become is refused: {of_ours}{}", refusal.message))
    }
}

/// A fault of a text, which names this command where it would name the one that checks.
fn of_template(fault: Fault) -> Fault {
    let words =
        "this looks like a template: give what comes of it: `helm template . | daskflow migrate -f -`";
    Fault { message: fault.message.replace(placeholder::TEMPLATE, words), ..fault }
}

/// Remarks by the fields of an object that they stand above: the nearest that are there. One about another
/// object of theirs than the one of `of` names it.
fn comments_of(object: &Value, of: usize, (remarks, sources): (&[&Remark], &[Source])) -> write::Comments {
    let mut comments = write::Comments::new();
    for remark in remarks {
        let mut place = FieldPath::default();
        for step in FieldPath::find(&remark.place, object).steps() {
            let further = place.join(step.clone());
            if further.get(object).is_none() {
                break;
            }
            place = further;
        }
        let other = sources.get(remark.of).filter(|_| remark.of != of).map(Source::title).unwrap_or_default();
        comments.entry(place).or_default().push(format!("{other}{}: {}", remark.field, remark.message));
    }
    comments
}

/// A remark that stands in no comment.
fn fault(remark: &Remark, sources: &[Source]) -> Option<(usize, Fault)> {
    let source = sources.get(remark.of)?;
    let path = FieldPath::find(&remark.field, &source.node.to_value());
    let fault = Fault {
        line: source.node.line_of(&path),
        field: remark.field.clone(),
        reason: None,
        message: remark.message.clone(),
        hint: remark.effect == Effect::Changed,
    };
    Some((source.text, fault))
}
