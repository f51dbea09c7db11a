//! A fault in a spec.

use crate::api::Reason;

/// What is wrong in a spec that the schema could not refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field, as a path such as `spec.workers.template`.
    pub field: String,
    /// The reason word for conditions and events.
    pub reason: Reason,
    /// What is wrong, and what to write instead.
    pub message: String,
}

impl Violation {
    /// An [`Reason::InvalidSpec`] of this field.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        let field = field.into();
        let message = format!("{field}: {}", message.into());
        Self { field, reason: Reason::InvalidSpec, message }
    }

    /// The message without the field in front of it.
    pub fn said(&self) -> &str {
        let rest = self.message.strip_prefix(&self.field).and_then(|rest| rest.strip_prefix(": "));
        rest.unwrap_or(&self.message)
    }
}
