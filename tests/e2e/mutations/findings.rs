//! What was found: anomalies, and behaviour that the documentation has.

use std::fmt;

use serde_json::Value;

use super::bases::Base;
use super::changes::Change;
use super::exceptions::exception;

/// What may be wrong after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The API server failed.
    Server(String),
    /// The API server refused the change, and its message names no field of it.
    Unnamed(String),
    /// The operator has not seen the spec.
    Stale(String),
    /// The object is written again and again.
    Restless(String),
    /// The conditions contradict each other.
    Contradiction(String),
    /// The API server refused the way back.
    NoWayBack(String),
    /// After the way back, something is not as it was.
    NotAsBefore(String),
    /// The object is deleted.
    Deleted,
    /// The object of the base did not become as it should be.
    NoBase(String),
    /// A line of the operator's log, of the level WARN or ERROR.
    Warning(String),
    /// No value of the field was ever taken.
    Untried,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(why) => write!(f, "the API server failed: {why}"),
            Self::Unnamed(why) => write!(f, "the refusal names no field of the change: {why}"),
            Self::Stale(why) => write!(f, "observedGeneration is not current: {why}"),
            Self::Restless(why) => write!(f, "it is written at rest: {why}"),
            Self::Contradiction(why) => write!(f, "conditions disagree: {why}"),
            Self::NoWayBack(why) => write!(f, "the way back is refused: {why}"),
            Self::NotAsBefore(why) => write!(f, "after the way back: {why}"),
            Self::Deleted => write!(f, "the object was deleted"),
            Self::NoBase(why) => write!(f, "the object to be changed is not as it should be: {why}"),
            Self::Warning(line) => write!(f, "the operator warns: {line}"),
            Self::Untried => write!(f, "no value of this field was ever taken: give it one in values.rs"),
        }
    }
}

/// One thing that was found.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The base.
    pub base: String,
    /// The kind.
    pub kind: String,
    /// The object; empty of a field that was never taken.
    pub object: String,
    /// The field.
    pub leaf: String,
    /// The JSON patch that led to it.
    pub patch: Value,
    /// What is wrong.
    pub fault: Fault,
}

impl Finding {
    /// Of a change of an object.
    pub fn new(base: &Base, object: &str, change: &Change, fault: Fault) -> Self {
        Self {
            base: base.name.to_owned(),
            kind: base.kind.to_owned(),
            object: object.to_owned(),
            leaf: change.leaf.clone(),
            patch: change.patch.clone(),
            fault,
        }
    }

    /// Why this is as documented, if it is.
    pub fn excuse(&self) -> Option<&'static str> {
        exception(self)
    }
}

/// The longest patch that is printed whole.
const PATCH_CHARS_MAX: usize = 600;

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {} (base {}), {}: {}", self.kind, self.object, self.base, self.leaf, self.fault)?;
        if self.patch.is_null() {
            return Ok(());
        }
        let patch = self.patch.to_string().replace('\'', "'\\''");
        let count = patch.chars().count();
        let cut: String = patch.chars().take(PATCH_CHARS_MAX).collect();
        let rest =
            if count > PATCH_CHARS_MAX { format!("  # cut, {count} characters") } else { String::new() };
        write!(
            f,
            "    kubectl patch {} {} --type json --patch '{cut}'{rest}",
            self.kind.to_lowercase(),
            self.object
        )
    }
}
