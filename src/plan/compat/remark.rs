//! What is said of a translation.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::plan::reading::{self, Unreadable};

/// What became of a field of theirs that is not simply written elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is written, and something is different afterwards.
    Changed,
    /// Nothing is written of its object: it would not do what it did.
    Refused,
}

/// Something that a reader of the translation has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The object of theirs, by its place among those that were given.
    pub of: usize,
    /// Its field, as a path such as `spec.worker.spec.containers[0].args`; empty for all of it.
    pub field: String,
    /// What became of it.
    pub effect: Effect,
    /// The field of ours that the remark belongs to, as a path in the first object that is written; empty for
    /// all of it.
    pub place: String,
    /// What is different, and what to write instead.
    pub message: String,
}

/// Remarks as they are made, with the places of both sides.
#[derive(Debug, Default)]
pub(super) struct Notes {
    of: usize,
    /// What stands before each field of theirs.
    theirs: String,
    /// What stands before each field of ours.
    ours: String,
    pub all: Vec<Remark>,
}

impl Notes {
    /// Of this object of theirs.
    pub fn of(of: usize) -> Self {
        Self { of, ..Self::default() }
    }

    /// Remarks about a part of the same object, with the field that stands before each of theirs and of ours.
    pub fn within(&self, theirs: &str, ours: &str) -> Self {
        Self {
            of: self.of,
            theirs: join(&self.theirs, theirs),
            ours: join(&self.ours, ours),
            all: Vec::new(),
        }
    }

    /// The same about an object that becomes a part of this one.
    pub fn beside(&self, of: usize, theirs: &str, ours: &str) -> Self {
        Self { of, theirs: theirs.to_owned(), ours: join(&self.ours, ours), all: Vec::new() }
    }

    /// Takes the remarks of a part.
    pub fn take(&mut self, part: Self) {
        self.all.extend(part.all);
    }

    /// A field is written at `place`, or left out, and something is different.
    pub fn changed(&mut self, field: &str, place: &str, message: impl Into<String>) {
        self.push(Effect::Changed, (field, place), message.into());
    }

    /// A field cannot be written.
    pub fn refused(&mut self, field: &str, message: impl Into<String>) {
        self.push(Effect::Refused, (field, ""), message.into());
    }

    /// What a field has, as its type; else a refusal of the first field in it that does not fit.
    pub fn or_refused<T: DeserializeOwned>(&mut self, field: &str, value: &Value) -> Option<T> {
        match reading::read(value) {
            Ok(read) => Some(read),
            Err(Unreadable { field: inner, message }) => {
                let inner = inner.to_string();
                let separator = if inner.is_empty() || inner.starts_with('[') { "" } else { "." };
                self.refused(&format!("{field}{separator}{inner}"), message);
                None
            }
        }
    }

    /// Whether something was refused.
    pub fn is_refused(&self) -> bool {
        self.all.iter().any(|remark| remark.effect == Effect::Refused)
    }

    fn push(&mut self, effect: Effect, (field, place): (&str, &str), message: String) {
        let (field, place) = (join(&self.theirs, field), join(&self.ours, place));
        let remark = Remark { of: self.of, field, effect, place, message };
        // Two words of one field may be wrong for the same reason.
        if !self.all.contains(&remark) {
            self.all.push(remark);
        }
    }
}

fn join(before: &str, field: &str) -> String {
    match (before, field) {
        ("", only) | (only, "") => only.to_owned(),
        (before, field) => format!("{before}.{field}"),
    }
}
