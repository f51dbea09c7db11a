//! What a tree is drawn from.

use jiff::Timestamp;

use crate::view::objects::Objects;

/// What is shown, and when.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// The objects.
    pub objects: &'a Objects,
    /// The present moment: ages are from it.
    pub now: Timestamp,
    /// Whether all is shown of an object, or a line.
    pub detail: bool,
}
