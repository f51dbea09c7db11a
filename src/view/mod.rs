//! Objects as people read them: words, lines and trees.
//!
//! Everything here is pure: objects and the time come in, and what is to be shown goes out. Who shows it
//! (the commands, a page) adds nothing to it but colours, so that no two of them say something else.

pub mod age;
pub mod backfill;
pub mod cure;
pub mod exit;
pub mod followed;
pub mod objects;
pub mod overview;
pub mod parameter;
pub mod phase;
pub mod plain;
pub mod state;
pub mod status;
pub mod tree;

/// A number and what it counts: `1 object`, `2 objects`.
pub(crate) fn counted(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}
