//! Decides, purely.
pub mod names;
pub mod schedule;
