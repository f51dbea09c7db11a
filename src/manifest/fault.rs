//! What is told about a manifest.

use serde::Serialize;
use serde_json::Value;

use crate::api::Reason;
use crate::plan::field::FieldPath;

/// One thing that is wrong in a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The line that it is on, from 1; 0 where there is no text, as of an object in a cluster.
    #[serde(skip_serializing_if = "is_none")]
    pub line: usize,
    /// The path of the field in its object; empty where it is about the object or the text as a whole.
    pub field: String,
    /// The word that the operator would tell in a condition; none where the API server would refuse the
    /// object before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// What is wrong, and what to write instead.
    pub message: String,
    /// Nothing is wrong, only perhaps something else meant.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hint: bool,
}

impl Fault {
    /// A fault of the text, rather than of a field.
    pub fn of_text(line: usize, message: impl Into<String>) -> Self {
        Self { line, field: String::new(), reason: None, message: message.into(), hint: false }
    }
}

/// Whether it is the number of no line.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_none(line: &usize) -> bool {
    *line == 0
}

/// A fault whose line is not looked up yet.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub path: FieldPath,
    pub reason: Option<Reason>,
    pub message: String,
    /// What could stand there instead, so that the rest of the object can be looked at.
    pub repair: Option<Value>,
}

impl Finding {
    pub fn new(path: FieldPath, message: impl Into<String>) -> Self {
        Self { path, reason: None, message: message.into(), repair: None }
    }
}
