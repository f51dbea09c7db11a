//! YAML (and so JSON) to trees that know their lines.
//!
//! Built on the parser's events: what serde makes of a text has no lines, and only here can a name that is
//! written twice, or one that kubectl takes for `true`, still be seen.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};
use serde_json::{Map, Value};

use super::fault::Fault;
use super::{json, placeholder, scalar};
use crate::plan::field::{FieldPath, Step};

/// Objects in objects; Kubernetes' own need about 20.
const DEPTH_MAX: usize = 100;
/// Values in one text, each use of an anchor counted anew: short texts can stand for endless ones otherwise.
const NODES_MAX: usize = 1_000_000;

/// A value and the line that it begins on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub line: usize,
    pub content: Content,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    Scalar(Value),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A field and the line that its name is on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub key: String,
    pub line: usize,
    pub value: Node,
}

impl Node {
    /// The field of this name.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        match &self.content {
            Content::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// The text of this field.
    pub fn word(&self, key: &str) -> Option<&str> {
        match self.get(key).map(|entry| &entry.value.content) {
            Some(Content::Scalar(Value::String(word))) => Some(word),
            _ => None,
        }
    }

    /// The same without lines.
    pub fn to_value(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::List(items) => items.iter().map(Self::to_value).collect(),
            Content::Map(entries) => {
                let fields = entries.iter().map(|entry| (entry.key.clone(), entry.value.to_value()));
                Value::Object(fields.collect::<Map<_, _>>())
            }
        }
    }

    /// The line of a field, or of the nearest thing around it that is there.
    pub fn line_of(&self, path: &FieldPath) -> usize {
        let (mut place, mut line) = (self, self.line);
        for step in path.steps() {
            match (step, &place.content) {
                (Step::Field(name), Content::Map(_)) => {
                    let Some(entry) = place.get(name) else { break };
                    (place, line) = (&entry.value, entry.line);
                }
                (Step::Item(index), Content::List(items)) => {
                    let Some(item) = items.get(*index) else { break };
                    (place, line) = (item, item.line);
                }
                _ => break,
            }
        }
        line
    }

    fn count(&self) -> usize {
        1 + match &self.content {
            Content::Scalar(_) => 0,
            Content::List(items) => items.iter().map(Self::count).sum(),
            Content::Map(entries) => entries.iter().map(|entry| entry.value.count()).sum::<usize>(),
        }
    }
}

/// One document of a text.
#[derive(Debug)]
pub(super) struct Document {
    pub root: Node,
    /// What is wrong with the text itself, which is readable all the same.
    pub faults: Vec<Fault>,
}

/// The documents of a text up to the first place that cannot be read, and what is wrong there. Empty
/// documents are left out.
pub(super) fn documents(text: &str) -> (Vec<Document>, Option<Fault>) {
    let mut loader = Loader::default();
    for part in json::parts(text.strip_prefix('\u{feff}').unwrap_or(text)) {
        if let Err(mut fault) = loader.read(&part) {
            if let Some(words) = placeholder::of_template(text, fault.line) {
                fault.message = format!("{words} ({})", fault.message);
            }
            return (loader.documents, Some(fault));
        }
    }
    (loader.documents, None)
}

/// A list or an object that is not complete yet.
struct Frame {
    line: usize,
    anchor: usize,
    content: Open,
}

enum Open {
    List(Vec<Node>),
    Map(OpenMap),
}

#[derive(Default)]
struct OpenMap {
    entries: Vec<Entry>,
    lines: HashMap<String, usize>,
    /// The name whose value comes next.
    key: Option<Key>,
    /// Objects whose fields are added where they are not given.
    merged: Vec<Node>,
}

struct Key {
    line: usize,
    /// None for `<<`, which is no name but takes in another object.
    name: Option<String>,
}

#[derive(Default)]
struct Loader {
    documents: Vec<Document>,
    faults: Vec<Fault>,
    frames: Vec<Frame>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

impl Loader {
    fn read(&mut self, part: &json::Part<'_>) -> Result<(), Fault> {
        let mut parser = Parser::new_from_str(&part.text);
        while let Some(next) = parser.next_event() {
            match next {
                Ok((event, span)) => self.take(event, span.start.line().saturating_add(part.lines_before))?,
                Err(error) => {
                    let line = error.marker().line().saturating_add(part.lines_before);
                    return Err(Fault::of_text(line, format!("broken YAML: {}", error.info())));
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), Fault> {
        match event {
            Event::Scalar(word, style, anchor, tag) => {
                self.scalar(&word, style, tag.as_deref(), (line, anchor))
            }
            Event::SequenceStart(anchor, _) => {
                self.open(Frame { line, anchor, content: Open::List(Vec::new()) })
            }
            Event::MappingStart(anchor, _) => {
                self.open(Frame { line, anchor, content: Open::Map(OpenMap::default()) })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    let is_inside = self.frames.iter().any(|frame| frame.anchor == anchor);
                    let why = if is_inside {
                        "an anchor cannot be used inside itself"
                    } else {
                        "unknown anchor: those of other documents are not known in this one"
                    };
                    return Err(Fault::of_text(line, format!("broken YAML: {why}")));
                };
                // All of it counts at each use; it is put in as one.
                self.nodes = self.nodes.saturating_add(node.count());
                self.put(Node { line, ..node })
            }
            Event::DocumentStart(_) => {
                self.anchors.clear();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn scalar(
        &mut self,
        word: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        (line, anchor): (usize, usize),
    ) -> Result<(), Fault> {
        let is_text = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
        let plain = style == ScalarStyle::Plain && !is_text;
        if let Some(Frame { content: Open::Map(map), .. }) = self.frames.last_mut()
            && map.key.is_none()
        {
            if let Some(other) = scalar::other_name(word).filter(|_| plain) {
                let message = format!("kubectl reads the name {word} as {other}: write it in quotes");
                self.faults.push(Fault::of_text(line, message));
            }
            let name = (!plain || word != "<<").then(|| word.to_owned());
            map.key = Some(Key { line, name });
            return Ok(());
        }
        let line = if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
            // The parser tells where the text begins; the value begins with the `|` above it and its empty
            // lines.
            let empty = word.chars().take_while(|c| *c == '\n').count();
            line.saturating_sub(empty + 1).max(1)
        } else {
            line
        };
        let value = if plain { scalar::plain(word) } else { Value::String(word.to_owned()) };
        self.complete(Node { line, content: Content::Scalar(value) }, anchor)
    }

    fn open(&mut self, frame: Frame) -> Result<(), Fault> {
        if self.frames.len() >= DEPTH_MAX {
            let message = format!("nested more than {DEPTH_MAX} times; nothing of Kubernetes' is");
            return Err(Fault::of_text(frame.line, message));
        }
        self.frames.push(frame);
        Ok(())
    }

    fn close(&mut self) -> Result<(), Fault> {
        let Some(frame) = self.frames.pop() else { return Ok(()) };
        let content = match frame.content {
            Open::List(items) => Content::List(items),
            Open::Map(map) => Content::Map(map.close()),
        };
        self.complete(Node { line: frame.line, content }, frame.anchor)
    }

    fn complete(&mut self, node: Node, anchor: usize) -> Result<(), Fault> {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        self.put(node)
    }

    fn put(&mut self, node: Node) -> Result<(), Fault> {
        self.nodes = self.nodes.saturating_add(1);
        if self.nodes > NODES_MAX {
            return Err(Fault::of_text(node.line, format!("the text has more than {NODES_MAX} values")));
        }
        let Some(frame) = self.frames.last_mut() else {
            let faults = std::mem::take(&mut self.faults);
            if node.content != Content::Scalar(Value::Null) {
                self.documents.push(Document { root: node, faults });
            }
            return Ok(());
        };
        match &mut frame.content {
            Open::List(items) => items.push(node),
            Open::Map(map) => self.faults.extend(map.put(node)?),
        }
        Ok(())
    }
}

impl OpenMap {
    /// Takes a value, or a name that is not simply written as one.
    fn put(&mut self, node: Node) -> Result<Option<Fault>, Fault> {
        let Some(Key { line, name }) = self.key.take() else {
            let Content::Scalar(Value::String(name)) = node.content else {
                return Err(Fault::of_text(node.line, "the name of a field must be a text"));
            };
            self.key = Some(Key { line: node.line, name: Some(name) });
            return Ok(None);
        };
        let Some(key) = name else {
            self.merged.push(node);
            return Ok(None);
        };
        if let Some(first) = self.lines.get(&key) {
            let message = format!("{key} is given a second time; it is on line {first} already");
            return Ok(Some(Fault::of_text(line, message)));
        }
        self.lines.insert(key.clone(), line);
        self.entries.push(Entry { key, line, value: node });
        Ok(None)
    }

    fn close(mut self) -> Vec<Entry> {
        for merged in self.merged {
            let objects = match merged.content {
                Content::List(objects) => objects,
                content => vec![Node { line: merged.line, content }],
            };
            for entry in objects.into_iter().flat_map(|object| match object.content {
                Content::Map(entries) => entries,
                _ => Vec::new(),
            }) {
                if !self.lines.contains_key(&entry.key) {
                    self.lines.insert(entry.key.clone(), entry.line);
                    self.entries.push(entry);
                }
            }
        }
        self.entries
    }
}

#[cfg(test)]
mod tests;
